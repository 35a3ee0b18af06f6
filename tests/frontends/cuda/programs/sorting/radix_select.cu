// The k-th smallest of many numbers, by digits of their bits from the top; and the k largest of each row.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <vector>

// Floats in the order of unsigned numbers.
__host__ __device__ inline unsigned ordered(float f) {
#ifdef __CUDA_ARCH__
  unsigned u = __float_as_uint(f);
#else
  unsigned u;
  __builtin_memcpy(&u, &f, 4);
#endif
  return u & 0x80000000u ? ~u : u | 0x80000000u;
}
__device__ inline float unordered(unsigned u) { return __uint_as_float(u & 0x80000000u ? u & 0x7fffffffu : ~u); }

__global__ void select(const float *x, int n, int k, float *result) {
  __shared__ int counts[256];
  __shared__ unsigned prefix;
  __shared__ int rank;
  if (threadIdx.x == 0) prefix = 0, rank = k;
  for (int shift = 24; shift >= 0; shift -= 8) {
    counts[threadIdx.x] = 0;
    __syncthreads();
    unsigned high = shift == 24 ? 0u : ~0u << (shift + 8), wanted = prefix;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      unsigned key = ordered(x[i]);
      if ((key & high) == (wanted & high)) atomicAdd(&counts[key >> shift & 255], 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = 0;
      while (rank >= counts[digit]) rank -= counts[digit++];
      prefix |= (unsigned)digit << shift;
    }
    __syncthreads();
  }
  if (threadIdx.x == 0) *result = unordered(prefix);
}

// A warp per row; each round takes the largest that is left: (value, lane) packed into 64 bits.
__global__ void top_k(const float *rows, int width, int k, float *values, int *indices) {
  const int row = blockIdx.x, lane = threadIdx.x;
  const float *x = rows + row * width;
  unsigned long long limit = ~0ull;
  for (int round = 0; round < k; ++round) {
    unsigned long long best = 0;
    for (int i = lane; i < width; i += 32) {
      unsigned long long packed = (unsigned long long)ordered(x[i]) << 32 | (unsigned)~i;
      if (packed < limit && packed > best) best = packed;
    }
    for (int offset = 16; offset > 0; offset >>= 1) {
      unsigned long long other = __shfl_xor_sync(0xffffffffu, best, offset);
      best = other > best ? other : best;
    }
    limit = best;
    if (lane == 0) values[row * k + round] = unordered((unsigned)(best >> 32)), indices[row * k + round] = (int)~(unsigned)best;
  }
}

int main() {
  const int n = 3333, rows = 9, width = 201, k = 7;
  std::vector<float> x(n), table(rows * width);
  for (float &f : x) f = (rand() % 20000 - 10000) / 7.0f;
  for (float &f : table) f = rand() % 300 - 150.0f;
  float *d_x, *d_result, *d_table, *d_values;
  int *d_indices;
  cudaMalloc(&d_x, n * 4), cudaMalloc(&d_result, 4), cudaMalloc(&d_table, table.size() * 4);
  cudaMalloc(&d_values, rows * k * 4), cudaMalloc(&d_indices, rows * k * 4);
  cudaMemcpy(d_x, x.data(), n * 4, cudaMemcpyHostToDevice);
  cudaMemcpy(d_table, table.data(), table.size() * 4, cudaMemcpyHostToDevice);
  std::vector<float> s = x;
  std::sort(s.begin(), s.end());
  bool good = true;
  for (int rank : {0, 1, n / 2, n - 1}) {
    float got = 0;
    select<<<1, 256>>>(d_x, n, rank, d_result);
    cudaMemcpy(&got, d_result, 4, cudaMemcpyDeviceToHost);
    if (got != s[rank]) printf("rank %d: %g, not %g\n", rank, got, s[rank]), good = false;
  }
  top_k<<<rows, 32>>>(d_table, width, k, d_values, d_indices);
  std::vector<float> values(rows * k);
  std::vector<int> indices(rows * k);
  cudaMemcpy(values.data(), d_values, rows * k * 4, cudaMemcpyDeviceToHost);
  cudaMemcpy(indices.data(), d_indices, rows * k * 4, cudaMemcpyDeviceToHost);
  for (int r = 0; r < rows; ++r) {
    std::vector<int> order(width);
    for (int i = 0; i < width; ++i) order[i] = i;
    std::stable_sort(order.begin(), order.end(), [&](int a, int b) { return table[r * width + a] > table[r * width + b]; });
    for (int i = 0; i < k; ++i) good &= indices[r * k + i] == order[i] && values[r * k + i] == table[r * width + order[i]];
  }
  puts(good ? "PASS" : "FAIL");
  return !good;
}
