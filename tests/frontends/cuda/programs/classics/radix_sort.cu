// Least-significant-digit radix sort, four bits a pass: counts, scan, stable scatter by ballots.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

constexpr int THREADS = 256, RADIX = 16;

__global__ void count_digits(const unsigned *keys, int *counts, int n, int shift) {
  __shared__ int local[RADIX];
  if (threadIdx.x < RADIX) local[threadIdx.x] = 0;
  __syncthreads();
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) atomicAdd(&local[(keys[i] >> shift) & (RADIX - 1)], 1);
  __syncthreads();
  if (threadIdx.x < RADIX) counts[threadIdx.x * gridDim.x + blockIdx.x] = local[threadIdx.x];
}

__global__ void exclusive_scan(int *values, int n) {
  __shared__ int sums[THREADS];
  __shared__ int carry;
  if (threadIdx.x == 0) carry = 0;
  for (int first = 0; first < n; first += THREADS) {
    __syncthreads();
    int i = first + threadIdx.x, own = i < n ? values[i] : 0;
    sums[threadIdx.x] = own;
    __syncthreads();
    for (int offset = 1; offset < THREADS; offset <<= 1) {
      int below = threadIdx.x >= offset ? sums[threadIdx.x - offset] : 0;
      __syncthreads();
      sums[threadIdx.x] += below;
      __syncthreads();
    }
    if (i < n) values[i] = carry + sums[threadIdx.x] - own;
    __syncthreads();
    if (threadIdx.x == THREADS - 1) carry += sums[threadIdx.x];
  }
}

__global__ void scatter(const unsigned *keys, unsigned *sorted, const int *starts, int n, int shift) {
  __shared__ int of_warps[RADIX][THREADS / 32];
  int i = blockIdx.x * blockDim.x + threadIdx.x, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  unsigned key = i < n ? keys[i] : 0;
  int digit = (key >> shift) & (RADIX - 1), rank = 0;
  for (int d = 0; d < RADIX; ++d) {
    unsigned same = __ballot_sync(0xffffffff, i < n && digit == d);
    if (digit == d) rank = __popc(same & ((1u << lane) - 1));
    if (lane == 0) of_warps[d][warp] = __popc(same);
  }
  __syncthreads();
  if (threadIdx.x < RADIX) {
    int sum = 0;
    for (int w = 0; w < THREADS / 32; ++w) {
      int count = of_warps[threadIdx.x][w];
      of_warps[threadIdx.x][w] = sum;
      sum += count;
    }
  }
  __syncthreads();
  if (i < n) sorted[starts[digit * gridDim.x + blockIdx.x] + of_warps[digit][warp] + rank] = key;
}

int main() {
  const int n = 20011, blocks = (n + THREADS - 1) / THREADS;
  std::vector<unsigned> host(n);
  for (auto &key : host) key = (unsigned)rand() * 2654435761u;
  unsigned *keys, *other;
  int *counts;
  cudaMalloc(&keys, n * sizeof(unsigned));
  cudaMalloc(&other, n * sizeof(unsigned));
  cudaMalloc(&counts, RADIX * blocks * sizeof(int));
  cudaMemcpy(keys, host.data(), n * sizeof(unsigned), cudaMemcpyHostToDevice);
  for (int shift = 0; shift < 32; shift += 4) {
    count_digits<<<blocks, THREADS>>>(keys, counts, n, shift);
    exclusive_scan<<<1, THREADS>>>(counts, RADIX * blocks);
    scatter<<<blocks, THREADS>>>(keys, other, counts, n, shift);
    std::swap(keys, other);
  }
  std::vector<unsigned> sorted(n);
  cudaMemcpy(sorted.data(), keys, n * sizeof(unsigned), cudaMemcpyDeviceToHost);
  std::sort(host.begin(), host.end());
  bool ok = cudaGetLastError() == cudaSuccess && sorted == host;
  puts(ok ? "PASS" : "FAIL");
  return !ok;
}
