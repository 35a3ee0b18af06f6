// A sum in one launch: the last block to arrive adds up what the others left, by a fence and a counter.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

__device__ unsigned int arrived = 0;
__device__ volatile int turn;
__shared__ bool is_last;

template <unsigned int blockSize>
__device__ void warp_reduce(volatile double *s, unsigned int tid) {  // as before warps had to be synchronised
  if (blockSize >= 64) s[tid] += s[tid + 32];
  if (blockSize >= 32) s[tid] += s[tid + 16];
  if (blockSize >= 16) s[tid] += s[tid + 8];
  if (blockSize >= 8) s[tid] += s[tid + 4];
  if (blockSize >= 4) s[tid] += s[tid + 2];
  if (blockSize >= 2) s[tid] += s[tid + 1];
}

template <unsigned int blockSize>
__global__ void sum_single_pass(const float *in, double *partial, double *result, unsigned int n) {
  __shared__ double s[blockSize];
  unsigned int tid = threadIdx.x;
  double mine = 0;
  for (unsigned int i = blockIdx.x * blockSize + tid; i < n; i += blockSize * gridDim.x) mine += in[i];
  s[tid] = mine;
  __syncthreads();
  if (blockSize >= 128) {
    if (tid < 64) s[tid] += s[tid + 64];
    __syncthreads();
  }
  if (tid < 32) warp_reduce<blockSize>(s, tid);
  if (tid == 0) {
    partial[blockIdx.x] = s[0];
    __threadfence();
    unsigned int ticket = atomicInc(&arrived, gridDim.x);
    is_last = ticket == gridDim.x - 1;
  }
  __syncthreads();
  if (!is_last) return;
  mine = 0;
  for (unsigned int i = tid; i < gridDim.x; i += blockSize) mine += ((volatile double *)partial)[i];
  s[tid] = mine;
  __syncthreads();
  if (tid == 0) {
    double all = 0;
    for (unsigned int i = 0; i < blockSize; i++) all += s[i];
    *result = all;
    arrived = 0;
  }
}

// Blocks append in their order: each waits for the one before it.
__global__ void in_order(int *log, int *length) {
  if (threadIdx.x == 0) {
    while (turn != blockIdx.x) __nanosleep(100);
    log[(*length)++] = blockIdx.x;
    __threadfence();
    turn = blockIdx.x + 1;
  }
}

int main() {
  const unsigned int n = 12345, blocks = 21;
  std::vector<float> host(n);
  double expected = 0, got = 0;
  for (float &f : host) expected += f = rand() / (float)RAND_MAX;
  float *in;
  double *partial, *result;
  cudaMalloc(&in, n * sizeof(float)), cudaMalloc(&partial, blocks * sizeof(double)), cudaMalloc(&result, sizeof(double));
  cudaMemcpy(in, host.data(), n * sizeof(float), cudaMemcpyHostToDevice);
  bool good = true;
  for (int round = 0; round < 3; round++) {  // the counter must come back to zero
    cudaMemset(result, 0xff, sizeof(double));
    sum_single_pass<128><<<blocks, 128>>>(in, partial, result, n);
    cudaMemcpy(&got, result, sizeof got, cudaMemcpyDeviceToHost);
    good &= std::fabs(got - expected) < 1e-8;
  }
  int *log, *length;
  cudaMallocManaged(&log, 40 * sizeof(int)), cudaMallocManaged(&length, sizeof(int));
  *length = 0;
  in_order<<<40, 32>>>(log, length);
  good &= cudaDeviceSynchronize() == cudaSuccess && *length == 40;
  for (int i = 0; i < 40; i++) good &= log[i] == i;
  printf("%.6f, expected %.6f\n%s\n", got, expected, good ? "PASS" : "FAIL");
  return !good;
}
