// Odd-even transposition sorts of several arrays, each on a stream of its own, copied from pinned memory.
#include <algorithm>
#include <cassert>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define STREAMS 4
#define N 200

__global__ void odd_even(short *data, int n) {
  extern __shared__ short s[];
  const unsigned t = threadIdx.x;
  for (unsigned i = t; i < n; i += blockDim.x) s[i] = data[i];
  __syncthreads();
  bool odd = false, was_sorted = false;
  for (int round = 0; round < n; ++round, odd = !odd) {
    unsigned left = 2 * t + odd;
    bool swaps = left + 1 < n && s[left] > s[left + 1];
    if (swaps) {
      short swap = s[left];
      s[left] = s[left + 1], s[left + 1] = swap;
    }
    bool is_sorted = !__syncthreads_or(swaps);
    if (is_sorted && was_sorted) break;  // neither the odd nor the even pairs have changed
    was_sorted = is_sorted;
  }
  for (unsigned i = t; i < n; i += blockDim.x) data[i] = s[i];
}

int main() {
  cudaStream_t streams[STREAMS];
  short *host[STREAMS], *device[STREAMS];
  std::vector<short> expected[STREAMS];
  cudaEvent_t done[STREAMS];
  for (int s = 0; s < STREAMS; ++s) {
    assert(cudaStreamCreateWithFlags(&streams[s], cudaStreamNonBlocking) == cudaSuccess);
    cudaEventCreateWithFlags(&done[s], cudaEventDisableTiming);
    cudaMallocHost((void **)&host[s], N * sizeof(short));
    cudaMalloc((void **)&device[s], N * sizeof(short));
    for (int i = 0; i < N; ++i) host[s][i] = s == 3 ? (short)(N - i) : (short)(rand() % 65536 - 32768);
    expected[s].assign(host[s], host[s] + N);
    std::sort(expected[s].begin(), expected[s].end());
  }
  for (int s = 0; s < STREAMS; ++s) cudaMemcpyAsync(device[s], host[s], N * sizeof(short), cudaMemcpyHostToDevice, streams[s]);
  for (int s = 0; s < STREAMS; ++s) odd_even<<<1, 128, N * sizeof(short), streams[s]>>>(device[s], N);
  for (int s = 0; s < STREAMS; ++s) {
    cudaMemcpyAsync(host[s], device[s], N * sizeof(short), cudaMemcpyDeviceToHost, streams[s]);
    cudaEventRecord(done[s], streams[s]);
  }
  bool good = true;
  for (int s = 0; s < STREAMS; ++s) {
    good &= cudaEventSynchronize(done[s]) == cudaSuccess && cudaStreamQuery(streams[s]) == cudaSuccess;
    good &= std::equal(expected[s].begin(), expected[s].end(), host[s]);
    cudaFreeHost(host[s]), cudaFree(device[s]), cudaEventDestroy(done[s]), cudaStreamDestroy(streams[s]);
  }
  puts(good ? "PASS" : "FAIL");
  return good ? 0 : 1;
}
