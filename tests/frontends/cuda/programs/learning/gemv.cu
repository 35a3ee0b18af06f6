// Vector operations: dot, norm and axpy with grid-stride loops and float4 loads; GEMV by rows and by columns.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

#ifndef N
#define N 10007
#endif

template <typename T, typename Op>
__device__ T block_reduce(T value, Op op) {
  __shared__ T partial[32];
  int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  for (int o = 16; o > 0; o >>= 1) value = op(value, __shfl_down_sync(0xffffffffu, value, o));
  if (lane == 0) partial[warp] = value;
  __syncthreads();
  if (warp == 0) {
    value = lane < blockDim.x >> 5 ? partial[lane] : partial[0];
    if (lane >= blockDim.x >> 5) value = T();
    for (int o = 16; o > 0; o >>= 1) value = op(value, __shfl_down_sync(0xffffffffu, value, o));
  }
  return value;
}

__global__ void dot(const float *a, const float *b, float *out, int n) {
  float sum = 0;
  const float4 *a4 = reinterpret_cast<const float4 *>(a), *b4 = reinterpret_cast<const float4 *>(b);
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n / 4; i += blockDim.x * gridDim.x) {
    float4 x = __ldg(a4 + i), y = __ldg(b4 + i);
    sum += x.x * y.x + x.y * y.y + x.z * y.z + x.w * y.w;
  }
  if (blockIdx.x == 0 && threadIdx.x < n % 4) sum += a[n / 4 * 4 + threadIdx.x] * b[n / 4 * 4 + threadIdx.x];
  sum = block_reduce(sum, [](float x, float y) { return x + y; });
  if (threadIdx.x == 0) atomicAdd(out, sum);
}

__global__ void largest(const float *a, unsigned *out, int n) {
  float most = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) most = fmaxf(most, fabsf(a[i]));
  most = block_reduce(most, [] __device__(float x, float y) { return fmaxf(x, y); });
  if (threadIdx.x == 0) atomicMax(out, __float_as_uint(most));
}

__global__ void axpy(float a, const float *__restrict__ x, float *__restrict__ y, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) y[i] = __fmaf_rn(a, x[i], y[i]);
}

__global__ void gemv_rows(const double *A, const double *x, double *y, int rows, int cols) {
  int row = blockIdx.x * blockDim.y + threadIdx.y;
  if (row >= rows) return;
  double sum = 0;
  for (int c = threadIdx.x; c < cols; c += 32) sum += A[(size_t)row * cols + c] * x[c];
  for (int o = 16; o; o >>= 1) sum += __shfl_xor_sync(0xffffffffu, sum, o);
  if (threadIdx.x == 0) y[row] = sum;
}

__global__ void gemv_columns(const double *A, const double *x, double *y, int rows, int cols) {
  int c = blockIdx.x * blockDim.x + threadIdx.x;
  if (c >= cols) return;
  double sum = 0;
  int r0 = blockIdx.y * 16;
  for (int r = r0; r < min(r0 + 16, rows); r++) sum += A[(size_t)r * cols + c] * x[r];
  atomicAdd(y + c, sum);
}

int main() {
  std::vector<float> a(N), b(N), y(N);
  for (int i = 0; i < N; i++) a[i] = (rand() % 2001 - 1000) / 509.0f, b[i] = (rand() % 2001 - 1000) / 509.0f;
  float *d_a, *d_b, *d_out;
  unsigned *d_most, most_bits;
  cudaMalloc((void **)&d_a, N * sizeof(float)), cudaMalloc((void **)&d_b, N * sizeof(float));
  cudaMalloc((void **)&d_out, sizeof(float)), cudaMalloc((void **)&d_most, sizeof(unsigned));
  cudaMemcpy(d_a, a.data(), N * sizeof(float), cudaMemcpyHostToDevice);
  cudaMemcpy(d_b, b.data(), N * sizeof(float), cudaMemcpyHostToDevice);
  cudaMemset(d_out, 0, sizeof(float)), cudaMemset(d_most, 0, sizeof(unsigned));
  dot<<<7, 128>>>(d_a, d_b, d_out, N);
  largest<<<7, 128>>>(d_a, d_most, N);
  axpy<<<(N + 127) / 128, 128>>>(0.25f, d_a, d_b, N);
  float got = 0, most = 0;
  cudaMemcpy(&got, d_out, sizeof got, cudaMemcpyDeviceToHost);
  cudaMemcpy(&most_bits, d_most, sizeof most_bits, cudaMemcpyDeviceToHost);
  cudaMemcpy(y.data(), d_b, N * sizeof(float), cudaMemcpyDeviceToHost);
  memcpy(&most, &most_bits, 4);
  double want = std::inner_product(a.begin(), a.end(), b.begin(), 0.0);
  float top = 0;
  bool good = std::fabs(got - want) < 0.05;
  for (int i = 0; i < N; i++) {
    good &= y[i] == std::fma(0.25f, a[i], b[i]);
    top = std::fmax(top, std::fabs(a[i]));
  }
  good &= most == top;
  const int rows = 45, cols = 77;
  std::vector<double> A(rows * cols), x(cols), u(rows), v(rows), w(cols);
  for (double &d : A) d = rand() / (double)RAND_MAX;
  for (double &d : x) d = rand() / (double)RAND_MAX;
  for (double &d : u) d = rand() / (double)RAND_MAX;
  double *dA, *dx, *du, *dv, *dw;
  cudaMalloc(&dA, A.size() * 8), cudaMalloc(&dx, cols * 8), cudaMalloc(&du, rows * 8), cudaMalloc(&dv, rows * 8), cudaMalloc(&dw, cols * 8);
  cudaMemcpy(dA, A.data(), A.size() * 8, cudaMemcpyHostToDevice), cudaMemcpy(dx, x.data(), cols * 8, cudaMemcpyHostToDevice);
  cudaMemcpy(du, u.data(), rows * 8, cudaMemcpyHostToDevice), cudaMemset(dw, 0, cols * 8);
  gemv_rows<<<(rows + 3) / 4, dim3(32, 4)>>>(dA, dx, dv, rows, cols);
  gemv_columns<<<dim3((cols + 31) / 32, (rows + 15) / 16), 32>>>(dA, du, dw, rows, cols);
  cudaMemcpy(v.data(), dv, rows * 8, cudaMemcpyDeviceToHost), cudaMemcpy(w.data(), dw, cols * 8, cudaMemcpyDeviceToHost);
  for (int r = 0; r < rows; r++) good &= std::fabs(v[r] - std::inner_product(&A[r * cols], &A[r * cols] + cols, x.begin(), 0.0)) < 1e-10;
  for (int c = 0; c < cols; c++) {
    double sum = 0;
    for (int r = 0; r < rows; r++) sum += A[r * cols + c] * u[r];
    good &= std::fabs(w[c] - sum) < 1e-10;
  }
  printf("dot %g (%g), max %g\n", got, want, most);
  puts(good ? "PASS" : "FAIL");
  return !good;
}
