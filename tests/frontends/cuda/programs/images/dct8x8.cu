// The 8 x 8 cosine transform of JPEG: forward, quantised, inverse; blocks of 8 x 8 threads with padded rows.
#include <cmath>
#include <cstdio>
#include <cstdlib>

#define N 8
#define BLOCKS_X 2

__constant__ float C[N][N] = {
    {0.353553391f, 0.353553391f, 0.353553391f, 0.353553391f, 0.353553391f, 0.353553391f, 0.353553391f, 0.353553391f},
    {0.490392640f, 0.415734806f, 0.277785117f, 0.097545161f, -0.097545161f, -0.277785117f, -0.415734806f, -0.490392640f},
    {0.461939766f, 0.191341716f, -0.191341716f, -0.461939766f, -0.461939766f, -0.191341716f, 0.191341716f, 0.461939766f},
    {0.415734806f, -0.097545161f, -0.490392640f, -0.277785117f, 0.277785117f, 0.490392640f, 0.097545161f, -0.415734806f},
    {0.353553391f, -0.353553391f, -0.353553391f, 0.353553391f, 0.353553391f, -0.353553391f, -0.353553391f, 0.353553391f},
    {0.277785117f, -0.490392640f, 0.097545161f, 0.415734806f, -0.415734806f, -0.097545161f, 0.490392640f, -0.277785117f},
    {0.191341716f, -0.461939766f, 0.461939766f, -0.191341716f, -0.191341716f, 0.461939766f, -0.461939766f, 0.191341716f},
    {0.097545161f, -0.277785117f, 0.415734806f, -0.490392640f, 0.490392640f, -0.415734806f, 0.277785117f, -0.097545161f}};

__constant__ short Q[64] = {32, 33, 51, 81, 66, 39, 34, 17, 33, 36, 48, 47, 28, 23, 12, 12, 51, 48, 47, 28, 23, 12,
                            12, 12, 81, 47, 28, 23, 12, 12, 12, 12, 66, 28, 23, 12, 12, 12, 12, 12, 39, 23, 12, 12,
                            12, 12, 12, 12, 34, 12, 12, 12, 12, 12, 12, 12, 17, 12, 12, 12, 12, 12, 12, 12};

template <bool INVERSE>
__device__ float product(const float (*m)[N + 1], int row, int col) {
  float sum = 0;
#pragma unroll
  for (int k = 0; k < N; k++) sum += (INVERSE ? C[k][row] : C[row][k]) * m[k][col];
  return sum;
}

template <bool INVERSE>
__global__ void dct(float *dst, const float *src, int stride) {
  __shared__ float block[BLOCKS_X][N][N + 1], half_way[BLOCKS_X][N][N + 1];
  int tx = threadIdx.x, ty = threadIdx.y, tz = threadIdx.z;
  int x = (blockIdx.x * BLOCKS_X + tz) * N + tx, y = blockIdx.y * N + ty;
  block[tz][ty][tx] = src[y * stride + x];
  __syncthreads();
  half_way[tz][tx][ty] = product<INVERSE>(block[tz], ty, tx);  // transposed
  __syncthreads();
  dst[y * stride + x] = product<INVERSE>(half_way[tz], tx, ty);
}

__global__ void quantise(float *plane, int stride) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  float q = Q[(y % N) * N + x % N];
  plane[y * stride + x] = q * rintf(plane[y * stride + x] / q);
}

int main() {
  const int w = 6 * N, h = 3 * N;
  float *src, *coeffs, *quantised, *back;
  for (float **p : {&src, &coeffs, &quantised, &back}) cudaMallocManaged(p, w * h * sizeof(float));
  for (int i = 0; i < w * h; i++) src[i] = rand() % 256 - 128;
  dim3 grid(w / N / BLOCKS_X, h / N), block(N, N, BLOCKS_X);
  dct<false><<<grid, block>>>(coeffs, src, w);
  dct<true><<<grid, block>>>(back, coeffs, w);
  cudaMemcpy(quantised, coeffs, w * h * sizeof(float), cudaMemcpyDefault);
  quantise<<<dim3(w / N, h / N), dim3(N, N)>>>(quantised, w);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  static const short steps[64] = {32, 33, 51, 81, 66, 39, 34, 17, 33, 36, 48, 47, 28, 23, 12, 12, 51, 48, 47, 28, 23, 12,
                                  12, 12, 81, 47, 28, 23, 12, 12, 12, 12, 66, 28, 23, 12, 12, 12, 12, 12, 39, 23, 12, 12,
                                  12, 12, 12, 12, 34, 12, 12, 12, 12, 12, 12, 12, 17, 12, 12, 12, 12, 12, 12, 12};
  double forward = 0, inverse = 0;
  int rounded = 0;
  for (int y = 0; y < h; y++)
    for (int x = 0; x < w; x++) {
      int u = x % N, v = y % N, x0 = x - u, y0 = y - v;
      double sum = 0;
      for (int j = 0; j < N; j++)
        for (int i = 0; i < N; i++) sum += src[(y0 + j) * w + x0 + i] * cos((2 * i + 1) * u * M_PI / 16) * cos((2 * j + 1) * v * M_PI / 16);
      sum *= (u ? 0.5 : sqrt(0.125)) * (v ? 0.5 : sqrt(0.125));
      float c = coeffs[y * w + x], q = steps[v * N + u];
      forward = fmax(forward, std::isnan(c) ? 1e9 : fabs(sum - c));
      inverse = fmax(inverse, std::isnan(back[y * w + x]) ? 1e9 : fabs(back[y * w + x] - src[y * w + x]));
      rounded += quantised[y * w + x] != q * rintf(c / q);
    }
  printf("forward off by %g, inverse by %g, %d badly rounded\n", forward, inverse, rounded);
  bool good = forward < 1e-3 && inverse < 1e-3 && rounded == 0;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
