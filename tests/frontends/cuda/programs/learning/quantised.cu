// Quantised products: int8 with __dp4a and per-row scales, fp8 in both formats, sums kept in wide types.
#include <cuda_fp8.h>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <vector>

// Symmetric int8 per row, packed four to a word; a warp per row.
__global__ void quantise_rows(const float *x, int *packed, float *scales, int cols) {
  const float *row = x + blockIdx.x * cols;
  float most = 0;
  for (int c = threadIdx.x; c < cols; c += 32) most = fmaxf(most, fabsf(row[c]));
  for (int o = 16; o; o >>= 1) most = fmaxf(most, __shfl_xor_sync(0xffffffff, most, o));
  float scale = most / 127.0f;
  if (threadIdx.x == 0) scales[blockIdx.x] = scale;
  for (int c = threadIdx.x; c < cols / 4; c += 32) {
    char4 q = make_char4(__float2int_rn(row[4 * c] / scale), __float2int_rn(row[4 * c + 1] / scale), __float2int_rn(row[4 * c + 2] / scale),
                         __float2int_rn(row[4 * c + 3] / scale));
    packed[blockIdx.x * (cols / 4) + c] = *reinterpret_cast<int *>(&q);
  }
}

// C = A * B^T, tiles of packed words in shared memory.
__global__ void gemm_s8(const int *a, const int *b, const float *sa, const float *sb, float *c, int *raw, int m, int n, int k4) {
  __shared__ int ta[16][9], tb[16][9];
  int row = blockIdx.y * 16 + threadIdx.y, col = blockIdx.x * 16 + threadIdx.x, sum = 0;
  for (int k = 0; k < k4; k += 8) {
    if (threadIdx.x < 8) {
      int kk = k + threadIdx.x, other = blockIdx.x * 16 + threadIdx.y;
      ta[threadIdx.y][threadIdx.x] = row < m && kk < k4 ? a[row * k4 + kk] : 0;
      tb[threadIdx.y][threadIdx.x] = other < n && kk < k4 ? b[other * k4 + kk] : 0;
    }
    __syncthreads();
#pragma unroll
    for (int i = 0; i < 8; i++) sum = __dp4a(ta[threadIdx.y][i], tb[threadIdx.x][i], sum);
    __syncthreads();
  }
  if (row < m && col < n) raw[row * n + col] = sum, c[row * n + col] = sum * sa[row] * sb[col];
}

template <typename F8>
__global__ void through_fp8(const float *x, unsigned char *bits, float *back, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  F8 small = F8(x[i]);
  bits[i] = small.__x;
  back[i] = float(small);
}

// Round to nearest even among `mantissa` bits, saturating.
static double rounded(double x, int mantissa, int least_exponent, double most) {
  if (x == 0) return 0;
  int e = std::max((int)std::floor(std::log2(std::fabs(x))), least_exponent);
  double step = std::ldexp(1.0, e - mantissa), r = std::nearbyint(x / step) * step;
  return std::fmax(-most, std::fmin(most, r));
}

int main() {
  const int m = 21, n = 35, k = 72, k4 = k / 4;
  std::vector<float> a(m * k), b(n * k), c(m * n), sa(m), sb(n);
  std::vector<int> raw(m * n), qa(m * k4), qb(n * k4);
  for (float &v : a) v = rand() / (float)RAND_MAX * 3 - 1.5f;
  for (float &v : b) v = rand() / (float)RAND_MAX * 0.2f - 0.1f;
  float *d_a, *d_b, *d_c, *d_sa, *d_sb;
  int *d_qa, *d_qb, *d_raw;
  cudaMalloc(&d_a, a.size() * 4), cudaMalloc(&d_b, b.size() * 4), cudaMalloc(&d_c, c.size() * 4), cudaMalloc(&d_raw, c.size() * 4);
  cudaMalloc(&d_sa, m * 4), cudaMalloc(&d_sb, n * 4), cudaMalloc(&d_qa, m * k), cudaMalloc(&d_qb, n * k);
  cudaMemcpy(d_a, a.data(), a.size() * 4, cudaMemcpyHostToDevice);
  cudaMemcpy(d_b, b.data(), b.size() * 4, cudaMemcpyHostToDevice);
  quantise_rows<<<m, 32>>>(d_a, d_qa, d_sa, k);
  quantise_rows<<<n, 32>>>(d_b, d_qb, d_sb, k);
  gemm_s8<<<dim3((n + 15) / 16, (m + 15) / 16), dim3(16, 16)>>>(d_qa, d_qb, d_sa, d_sb, d_c, d_raw, m, n, k4);
  cudaMemcpy(c.data(), d_c, c.size() * 4, cudaMemcpyDeviceToHost);
  cudaMemcpy(raw.data(), d_raw, raw.size() * 4, cudaMemcpyDeviceToHost);
  cudaMemcpy(qa.data(), d_qa, m * k, cudaMemcpyDeviceToHost);
  cudaMemcpy(qb.data(), d_qb, n * k, cudaMemcpyDeviceToHost);
  const int8_t *ba = (int8_t *)qa.data(), *bb = (int8_t *)qb.data();
  int bad = 0;
  for (int i = 0; i < m; i++)
    for (int j = 0; j < n; j++) {
      int exact = 0;
      double real = 0;
      for (int l = 0; l < k; l++) exact += ba[i * k + l] * bb[j * k + l], real += (double)a[i * k + l] * b[j * k + l];
      bad += raw[i * n + j] != exact || !(std::fabs(c[i * n + j] - real) < 0.05);
    }
  for (int i = 0; i < m * k; i++) {
    float most = 0;
    for (int l = 0; l < k; l++) most = std::fmax(most, std::fabs(a[i / k * k + l]));
    bad += std::abs(ba[i] - a[i] / (most / 127)) > 0.501f;
  }
  const int count = 777;
  std::vector<float> x(count), back(count);
  std::vector<unsigned char> bits(count);
  for (int i = 0; i < count; i++) x[i] = std::ldexp(rand() / (float)RAND_MAX - 0.5f, rand() % 32 - 14);
  x[0] = 0, x[1] = 448, x[2] = 1e9f, x[3] = -1e9f, x[4] = 1.0625f, x[5] = 1.1875f, x[6] = 17.0f, x[7] = 57344;
  float *d_x, *d_back;
  unsigned char *d_bits;
  cudaMalloc(&d_x, count * 4), cudaMalloc(&d_back, count * 4), cudaMalloc(&d_bits, count);
  cudaMemcpy(d_x, x.data(), count * 4, cudaMemcpyHostToDevice);
  for (int format = 0; format < 2; format++) {
    if (format == 0) through_fp8<__nv_fp8_e4m3><<<(count + 63) / 64, 64>>>(d_x, d_bits, d_back, count);
    if (format == 1) through_fp8<__nv_fp8_e5m2><<<(count + 63) / 64, 64>>>(d_x, d_bits, d_back, count);
    cudaMemcpy(back.data(), d_back, count * 4, cudaMemcpyDeviceToHost);
    cudaMemcpy(bits.data(), d_bits, count, cudaMemcpyDeviceToHost);
    for (int i = 0; i < count; i++) {
      double want = format == 0 ? rounded(x[i], 3, -6, 448) : rounded(x[i], 2, -14, 57344);
      if (back[i] != want && bad++ < 5) printf("%g became %g, not %g\n", x[i], back[i], want);
      bad += (bits[i] >> 7) != (std::signbit(back[i]) ? 1 : 0);
    }
  }
  printf("%d wrong\n%s\n", bad, bad ? "FAIL" : "PASS");
  return bad != 0;
}
