// Matrix products: naive, tiled through shared memory at any size, and 8x4 outputs in registers.
#include <cmath>
#include <iostream>
#include <random>
#include <vector>

template <int TILE>
__global__ void tiled(const float *a, const float *b, float *c, int m, int n, int k) {
  __shared__ float as[TILE][TILE];
  __shared__ float bs[TILE][TILE + 1];
  int row = blockIdx.y * TILE + threadIdx.y, column = blockIdx.x * TILE + threadIdx.x;
  float sum = 0.0f;
  for (int t = 0; t < k; t += TILE) {
    as[threadIdx.y][threadIdx.x] = row < m && t + threadIdx.x < k ? a[row * k + t + threadIdx.x] : 0.0f;
    bs[threadIdx.y][threadIdx.x] = t + threadIdx.y < k && column < n ? b[(t + threadIdx.y) * n + column] : 0.0f;
    __syncthreads();
#pragma unroll
    for (int i = 0; i < TILE; ++i) sum += as[threadIdx.y][i] * bs[i][threadIdx.x];
    __syncthreads();
  }
  if (row < m && column < n) c[row * n + column] = sum;
}

__global__ void naive(const float *a, const float *b, float *c, int m, int n, int k) {
  int row = blockIdx.y * blockDim.y + threadIdx.y, column = blockIdx.x * blockDim.x + threadIdx.x;
  if (row >= m || column >= n) return;
  float sum = 0;
  for (int i = 0; i < k; i++) sum += a[row * k + i] * b[i * n + column];
  c[row * n + column] = sum;
}

template <int BM, int BN, int BK, int TM, int TN>
__global__ void __launch_bounds__((BM / TM) * (BN / TN)) registers(const float *a, const float *b, float *c, int m,
                                                                     int n, int k, float alpha, float beta) {
  __shared__ float as[BK][BM], bs[BK][BN];
  constexpr int threads = (BM / TM) * (BN / TN);
  const int tx = threadIdx.x % (BN / TN), ty = threadIdx.x / (BN / TN);
  float sums[TM][TN] = {{0}}, left[TM], right[TN];
  for (int t = 0; t < k; t += BK) {
    for (int i = threadIdx.x; i < BM * BK; i += threads) {
      int r = blockIdx.y * BM + i / BK, s = t + i % BK;
      as[i % BK][i / BK] = r < m && s < k ? a[r * k + s] : 0.0f;
    }
    for (int i = threadIdx.x; i < BK * BN; i += threads) {
      int r = t + i / BN, s = blockIdx.x * BN + i % BN;
      bs[i / BN][i % BN] = r < k && s < n ? b[r * n + s] : 0.0f;
    }
    __syncthreads();
    for (int p = 0; p < BK; ++p) {
      for (int i = 0; i < TM; ++i) left[i] = as[p][ty * TM + i];
      for (int j = 0; j < TN; ++j) right[j] = bs[p][tx * TN + j];
      for (int i = 0; i < TM; ++i)
        for (int j = 0; j < TN; ++j) sums[i][j] += left[i] * right[j];
    }
    __syncthreads();
  }
  for (int i = 0; i < TM; ++i)
    for (int j = 0; j < TN; ++j) {
      int row = blockIdx.y * BM + ty * TM + i, column = blockIdx.x * BN + tx * TN + j;
      if (row < m && column < n) c[row * n + column] = alpha * sums[i][j] + beta * c[row * n + column];
    }
}

int main() {
  const int m = 131, n = 97, k = 75;
  std::mt19937 generator(42);
  std::uniform_real_distribution<float> uniform(-1, 1);
  std::vector<float> a(m * k), b(k * n), c(m * n), expected(m * n);
  for (auto &x : a) x = uniform(generator);
  for (auto &x : b) x = uniform(generator);
  for (int i = 0; i < m; ++i)
    for (int j = 0; j < n; ++j) {
      double sum = 0;
      for (int p = 0; p < k; ++p) sum += (double)a[i * k + p] * b[p * n + j];
      expected[i * n + j] = sum;
    }
  float *da, *db, *dc;
  cudaMalloc(&da, a.size() * sizeof(float));
  cudaMalloc(&db, b.size() * sizeof(float));
  cudaMalloc(&dc, c.size() * sizeof(float));
  cudaMemcpy(da, a.data(), a.size() * sizeof(float), cudaMemcpyHostToDevice);
  cudaMemcpy(db, b.data(), b.size() * sizeof(float), cudaMemcpyHostToDevice);
  bool ok = true;
  for (int way = 0; way < 4; ++way) {
    cudaMemset(dc, 0, c.size() * sizeof(float));
    if (way == 0) naive<<<dim3((n + 15) / 16, (m + 15) / 16), dim3(16, 16)>>>(da, db, dc, m, n, k);
    if (way == 1) tiled<16><<<dim3((n + 15) / 16, (m + 15) / 16), dim3(16, 16)>>>(da, db, dc, m, n, k);
    if (way == 2) tiled<32><<<dim3((n + 31) / 32, (m + 31) / 32), dim3(32, 32)>>>(da, db, dc, m, n, k);
    if (way == 3) registers<64, 32, 8, 8, 4><<<dim3((n + 31) / 32, (m + 63) / 64), 64>>>(da, db, dc, m, n, k, 1, 1);
    cudaError_t error = cudaMemcpy(c.data(), dc, c.size() * sizeof(float), cudaMemcpyDeviceToHost);
    float worst = error == cudaSuccess ? 0 : INFINITY;
    for (size_t i = 0; i < c.size(); ++i) worst = std::fabs(c[i] - expected[i]) <= worst ? worst : std::isnan(c[i]) ? INFINITY : std::fabs(c[i] - expected[i]);
    std::cout << "way " << way << ": largest error " << worst << std::endl;
    ok = ok && worst < 1e-4f;
  }
  std::cout << (ok ? "PASS" : "FAIL") << std::endl;
  return !ok;
}
