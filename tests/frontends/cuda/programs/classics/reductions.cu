// Seven ways to add up an array, from interleaved addressing to a grid-stride loop with shuffles.
#include <cstdio>
#include <cstdlib>
#include <vector>

#define CHECK(call)                                                                         \
  do {                                                                                      \
    cudaError_t error = (call);                                                             \
    if (error != cudaSuccess) {                                                             \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, cudaGetErrorString(error));        \
      exit(1);                                                                              \
    }                                                                                       \
  } while (0)

constexpr int THREADS = 256;

__global__ void interleaved(const int *in, int *out, int n) {
  extern __shared__ int data[];
  unsigned int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
  data[t] = i < n ? in[i] : 0;
  __syncthreads();
  for (unsigned int s = 1; s < blockDim.x; s *= 2) {
    if (t % (2 * s) == 0) data[t] += data[t + s];
    __syncthreads();
  }
  if (t == 0) out[blockIdx.x] = data[0];
}

__global__ void strided(const int *in, int *out, int n) {
  extern __shared__ int data[];
  unsigned int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
  data[t] = i < n ? in[i] : 0;
  __syncthreads();
  for (unsigned int s = 1; s < blockDim.x; s *= 2) {
    int index = 2 * s * t;
    if (index < blockDim.x) data[index] += data[index + s];
    __syncthreads();
  }
  if (t == 0) out[blockIdx.x] = data[0];
}

__global__ void sequential(const int *in, int *out, int n) {
  extern __shared__ int data[];
  unsigned int t = threadIdx.x, i = blockIdx.x * blockDim.x + t;
  data[t] = i < n ? in[i] : 0;
  __syncthreads();
  for (unsigned int s = blockDim.x / 2; s > 0; s >>= 1) {
    if (t < s) data[t] += data[t + s];
    __syncthreads();
  }
  if (t == 0) out[blockIdx.x] = data[0];
}

__global__ void first_add_on_load(const int *in, int *out, int n) {
  extern __shared__ int data[];
  unsigned int t = threadIdx.x, i = blockIdx.x * (blockDim.x * 2) + t;
  data[t] = (i < n ? in[i] : 0) + (i + blockDim.x < n ? in[i + blockDim.x] : 0);
  __syncthreads();
  for (unsigned int s = blockDim.x / 2; s > 0; s >>= 1) {
    if (t < s) data[t] += data[t + s];
    __syncthreads();
  }
  if (t == 0) out[blockIdx.x] = data[0];
}

// Before Volta: the last warp needs no barrier, since its lanes move together.
__device__ void last_warp(volatile int *data, int t) {
  data[t] += data[t + 32];
  data[t] += data[t + 16];
  data[t] += data[t + 8];
  data[t] += data[t + 4];
  data[t] += data[t + 2];
  data[t] += data[t + 1];
}

__global__ void unrolled_last_warp(const int *in, int *out, int n) {
  extern __shared__ int data[];
  unsigned int t = threadIdx.x, i = blockIdx.x * (blockDim.x * 2) + t;
  data[t] = (i < n ? in[i] : 0) + (i + blockDim.x < n ? in[i + blockDim.x] : 0);
  __syncthreads();
  for (unsigned int s = blockDim.x / 2; s > 32; s >>= 1) {
    if (t < s) data[t] += data[t + s];
    __syncthreads();
  }
  if (t < 32) last_warp(data, t);
  if (t == 0) out[blockIdx.x] = data[0];
}

template <unsigned int blockSize>
__global__ void fully_unrolled(const int *in, int *out, int n) {
  __shared__ int data[blockSize];
  unsigned int t = threadIdx.x;
  int sum = 0;
  for (unsigned int i = blockIdx.x * blockSize * 2 + t; i < n; i += blockSize * 2 * gridDim.x) {
    sum += in[i];
    if (i + blockSize < n) sum += in[i + blockSize];
  }
  data[t] = sum;
  __syncthreads();
  if (blockSize >= 512) { if (t < 256) data[t] += data[t + 256]; __syncthreads(); }
  if (blockSize >= 256) { if (t < 128) data[t] += data[t + 128]; __syncthreads(); }
  if (blockSize >= 128) { if (t < 64) data[t] += data[t + 64]; __syncthreads(); }
  if (t < 32) last_warp(data, t);
  if (t == 0) out[blockIdx.x] = data[0];
}

__global__ void shuffles(const int *in, int *out, int n) {
  __shared__ int of_warps[32];
  int sum = 0;
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) sum += in[i];
  for (int offset = warpSize / 2; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffff, sum, offset);
  int lane = threadIdx.x % warpSize, warp = threadIdx.x / warpSize;
  if (lane == 0) of_warps[warp] = sum;
  __syncthreads();
  sum = threadIdx.x < blockDim.x / warpSize ? of_warps[lane] : 0;
  if (warp == 0)
    for (int offset = warpSize / 2; offset > 0; offset /= 2) sum += __shfl_down_sync(0xffffffff, sum, offset);
  if (threadIdx.x == 0) out[blockIdx.x] = sum;
}

int main() {
  const int n = 100003;
  std::vector<int> host(n);
  long long expected = 0;
  for (int i = 0; i < n; ++i) expected += host[i] = rand() % 201 - 100;
  int *in, *out;
  const int blocks = (n + THREADS - 1) / THREADS, half = (n + 2 * THREADS - 1) / (2 * THREADS);
  CHECK(cudaMalloc(&in, n * sizeof(int)));
  CHECK(cudaMalloc(&out, blocks * sizeof(int)));
  CHECK(cudaMemcpy(in, host.data(), n * sizeof(int), cudaMemcpyHostToDevice));
  int failures = 0;
  for (int way = 0; way < 7; ++way) {
    int count = blocks;
    const size_t bytes = THREADS * sizeof(int);
    switch (way) {
      case 0: interleaved<<<blocks, THREADS, bytes>>>(in, out, n); break;
      case 1: strided<<<blocks, THREADS, bytes>>>(in, out, n); break;
      case 2: sequential<<<blocks, THREADS, bytes>>>(in, out, n); break;
      case 3: first_add_on_load<<<count = half, THREADS, bytes>>>(in, out, n); break;
      case 4: unrolled_last_warp<<<count = half, THREADS, bytes>>>(in, out, n); break;
      case 5: fully_unrolled<THREADS><<<count = 37, THREADS>>>(in, out, n); break;
      case 6: shuffles<<<count = 64, THREADS>>>(in, out, n); break;
    }
    CHECK(cudaGetLastError());
    std::vector<int> partial(count);
    CHECK(cudaMemcpy(partial.data(), out, count * sizeof(int), cudaMemcpyDeviceToHost));
    long long sum = 0;
    for (int value : partial) sum += value;
    if (sum != expected) printf("way %d: %lld instead of %lld\n", way, sum, expected), ++failures;
  }
  puts(failures ? "FAIL" : "PASS");
  return failures;
}
