// Keeping what a predicate wants: by ballots and a scan of warps (stable), by aggregated atomics, by groups.
#include <algorithm>
#include <cooperative_groups.h>
#include <cstdio>
#include <cstdlib>
#include <vector>
namespace cg = cooperative_groups;

struct IsOdd {
  __host__ __device__ bool operator()(int x) const { return x & 1; }
};
struct Above {
  int limit;
  __host__ __device__ bool operator()(int x) const { return x > limit; }
};

__device__ inline unsigned lane_mask_lt() { return (1u << (threadIdx.x & 31)) - 1; }

template <typename Predicate>
__global__ void count_blocks(const int *in, int n, int *counts, Predicate wanted) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  int kept = __syncthreads_count(i < n && wanted(in[i]));
  if (threadIdx.x == 0) counts[blockIdx.x] = kept;
}

// An exclusive scan in one warp.
__global__ void scan_counts(int *counts, int blocks, int *total) {
  int carry = 0;
  for (int base = 0; base < blocks; base += 32) {
    int i = base + threadIdx.x, own = i < blocks ? counts[i] : 0, sum = own;
    for (int d = 1; d < 32; d <<= 1) {
      int other = __shfl_up_sync(0xffffffff, sum, d);
      if (threadIdx.x >= d) sum += other;
    }
    if (i < blocks) counts[i] = carry + sum - own;
    carry += __shfl_sync(0xffffffff, sum, 31);
  }
  if (threadIdx.x == 0) *total = carry;
}

template <typename Predicate>
__global__ void scatter(const int *in, int n, const int *offsets, int *out, Predicate wanted) {
  __shared__ int warp_offset[4];
  int i = blockIdx.x * blockDim.x + threadIdx.x, warp = threadIdx.x >> 5;
  bool keep = i < n && wanted(in[i]);
  unsigned votes = __ballot_sync(0xffffffff, keep);
  if ((threadIdx.x & 31) == 0) warp_offset[warp] = __popc(votes);
  __syncthreads();
  int offset = offsets[blockIdx.x];
  for (int w = 0; w < warp; ++w) offset += warp_offset[w];
  if (keep) out[offset + __popc(votes & lane_mask_lt())] = in[i];
}

__device__ int aggregated_increment(int *counter) {
  unsigned active = __activemask();
  int leader = __ffs(active) - 1, change = __popc(active), old = 0;
  if ((threadIdx.x & 31) == leader) old = atomicAdd(counter, change);
  return __shfl_sync(active, old, leader) + __popc(active & lane_mask_lt());
}

template <typename Predicate>
__global__ void unordered(const int *in, int n, int *out, int *count, Predicate wanted) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n && wanted(in[i])) out[aggregated_increment(count)] = in[i];
}

__global__ void unordered_groups(const int *in, int n, int *out, int *count, Above wanted) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n || !wanted(in[i])) return;
  auto g = cg::coalesced_threads();
  int base = 0;
  if (g.thread_rank() == 0) base = atomicAdd(count, (int)g.size());
  out[g.shfl(base, 0) + g.thread_rank()] = in[i];
}

template <typename Predicate>
bool test(const std::vector<int> &host, Predicate wanted) {
  const int n = host.size(), blocks = (n + 127) / 128;
  std::vector<int> expected, got(n);
  std::copy_if(host.begin(), host.end(), std::back_inserter(expected), wanted);
  int *in, *out, *counts, *total;
  cudaMalloc(&in, n * 4), cudaMalloc(&out, n * 4), cudaMalloc(&counts, blocks * 4), cudaMallocManaged(&total, 4);
  cudaMemcpy(in, host.data(), n * 4, cudaMemcpyHostToDevice);
  count_blocks<<<blocks, 128>>>(in, n, counts, wanted);
  scan_counts<<<1, 32>>>(counts, blocks, total);
  scatter<<<blocks, 128>>>(in, n, counts, out, wanted);
  cudaDeviceSynchronize();
  bool good = *total == (int)expected.size();
  cudaMemcpy(got.data(), out, n * 4, cudaMemcpyDeviceToHost);
  good = good && std::equal(expected.begin(), expected.end(), got.begin());
  std::sort(expected.begin(), expected.end());
  for (int way = 0; way < 2; way++) {
    *total = 0;
    cudaMemset(out, 0x80, n * 4);
    if (way == 0) unordered<<<blocks, 128>>>(in, n, out, total, wanted);
    if constexpr (sizeof(Predicate) == sizeof(int)) {
      if (way == 1) unordered_groups<<<blocks, 128>>>(in, n, out, total, wanted);
    } else if (way == 1) {
      break;
    }
    cudaDeviceSynchronize();
    good = good && *total == (int)expected.size();
    cudaMemcpy(got.data(), out, n * 4, cudaMemcpyDeviceToHost);
    std::sort(got.begin(), got.begin() + expected.size());
    good = good && std::equal(expected.begin(), expected.end(), got.begin());
  }
  cudaFree(in), cudaFree(out), cudaFree(counts), cudaFree(total);
  return good;
}

int main() {
  std::vector<int> host(5003);
  for (int &x : host) x = rand() % 100000;
  bool good = test(host, IsOdd()) && test(host, Above{93000});
  puts(good ? "PASS" : "FAIL");
  return !good;
}
