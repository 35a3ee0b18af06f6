// 2-D convolution, NCHW, with padding and stride: direct, and tiled with the filters in constant memory.
#include <cstdio>
#include <cstdlib>
#include <cmath>

#define MAX_FILTERS 8
#define TILE 8

__constant__ float c_weight[MAX_FILTERS * 3 * 3 * 3];

typedef struct {
  int n, c, h, w, k, r, stride, pad, oh, ow;
} ConvParams;

__global__ void conv2d_direct(const float *x, const float *weight, const float *bias, float *y, ConvParams p) {
  int total = p.n * p.k * p.oh * p.ow;
  for (int index = blockIdx.x * blockDim.x + threadIdx.x; index < total; index += gridDim.x * blockDim.x) {
    int ox = index % p.ow, oy = index / p.ow % p.oh, k = index / p.ow / p.oh % p.k, n = index / p.ow / p.oh / p.k;
    float sum = bias[k];
    for (int c = 0; c < p.c; c++)
      for (int r = 0; r < p.r; r++)
        for (int s = 0; s < p.r; s++) {
          int iy = oy * p.stride - p.pad + r, ix = ox * p.stride - p.pad + s;
          if (iy < 0 || iy >= p.h || ix < 0 || ix >= p.w) continue;
          sum += x[((n * p.c + c) * p.h + iy) * p.w + ix] * weight[((k * p.c + c) * p.r + r) * p.r + s];
        }
    y[index] = sum;
  }
}

template <int C, int R>
__global__ void conv2d_tiled(const float *x, const float *bias, float *y, ConvParams p) {
  __shared__ float tile[C][TILE + R - 1][TILE + R - 1];
  int n = blockIdx.z / p.k, k = blockIdx.z % p.k;
  int x0 = blockIdx.x * TILE - p.pad, y0 = blockIdx.y * TILE - p.pad;
  for (int c = 0; c < C; c++)
    for (int ty = threadIdx.y; ty < TILE + R - 1; ty += TILE)
      for (int tx = threadIdx.x; tx < TILE + R - 1; tx += TILE) {
        bool ok = y0 + ty >= 0 && y0 + ty < p.h && x0 + tx >= 0 && x0 + tx < p.w;
        tile[c][ty][tx] = ok ? x[((n * C + c) * p.h + y0 + ty) * p.w + x0 + tx] : 0.0f;
      }
  __syncthreads();
  int ox = blockIdx.x * TILE + threadIdx.x, oy = blockIdx.y * TILE + threadIdx.y;
  if (ox >= p.ow || oy >= p.oh) return;
  float sum = bias[k];
#pragma unroll
  for (int c = 0; c < C; c++)
#pragma unroll
    for (int r = 0; r < R; r++)
#pragma unroll
      for (int s = 0; s < R; s++) sum += tile[c][threadIdx.y + r][threadIdx.x + s] * c_weight[((k * C + c) * R + r) * R + s];
  y[((n * p.k + k) * p.oh + oy) * p.ow + ox] = sum;
}

static double check(const ConvParams &p, const float *x, const float *w, const float *b, const float *y) {
  double worst = 0;
  for (int i = 0; i < p.n * p.k * p.oh * p.ow; i++) {
    int ox = i % p.ow, oy = i / p.ow % p.oh, k = i / p.ow / p.oh % p.k, n = i / p.ow / p.oh / p.k;
    double sum = b[k];
    for (int c = 0; c < p.c; c++)
      for (int r = 0; r < p.r; r++)
        for (int s = 0; s < p.r; s++) {
          int iy = oy * p.stride - p.pad + r, ix = ox * p.stride - p.pad + s;
          if (iy >= 0 && iy < p.h && ix >= 0 && ix < p.w) sum += (double)x[((n * p.c + c) * p.h + iy) * p.w + ix] * w[((k * p.c + c) * p.r + r) * p.r + s];
        }
    double e = fabs(y[i] - sum);
    if (!(e <= worst)) worst = e == e ? e : INFINITY;
  }
  return worst;
}

int main(void) {
  ConvParams p = {2, 3, 21, 27, 5, 3, 1, 1, 0, 0};
  float *x, *w, *b, *y;
  cudaMallocManaged(&x, sizeof(float) * p.n * p.c * p.h * p.w);
  cudaMallocManaged(&w, sizeof(float) * p.k * p.c * p.r * p.r);
  cudaMallocManaged(&b, sizeof(float) * p.k);
  cudaMallocManaged(&y, sizeof(float) * p.n * p.k * p.h * p.w);
  for (int i = 0; i < p.n * p.c * p.h * p.w; i++) x[i] = rand() % 200 / 100.0f - 1;
  for (int i = 0; i < p.k * p.c * p.r * p.r; i++) w[i] = rand() % 200 / 100.0f - 1;
  for (int i = 0; i < p.k; i++) b[i] = i + 1;
  cudaMemcpyToSymbol(c_weight, w, sizeof(float) * p.k * p.c * p.r * p.r, 0, cudaMemcpyHostToDevice);
  double worst = 0;
  for (int test = 0; test < 3; test++) {
    p.stride = test == 1 ? 2 : 1;
    p.oh = (p.h + 2 * p.pad - p.r) / p.stride + 1, p.ow = (p.w + 2 * p.pad - p.r) / p.stride + 1;
    cudaMemset(y, 0xff, sizeof(float) * p.n * p.k * p.oh * p.ow);
    if (test < 2) {
      conv2d_direct<<<16, 128>>>(x, w, b, y, p);
    } else {
      dim3 grid((p.ow + TILE - 1) / TILE, (p.oh + TILE - 1) / TILE, p.n * p.k), block(TILE, TILE);
      conv2d_tiled<3, 3><<<grid, block>>>(x, b, y, p);
    }
    if (cudaDeviceSynchronize() != cudaSuccess) worst = 1e9;
    worst = fmax(worst, check(p, x, w, b, y));
  }
  printf("largest error %g\n", worst);
  printf("%s\n", worst < 1e-4 ? "PASS" : "FAIL");
  return worst < 1e-4 ? 0 : 1;
}
