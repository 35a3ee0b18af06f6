// Bitonic sort: small arrays in shared memory, a large one by a kernel per step.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define THREADS 128
#define PER_BLOCK (2 * THREADS)

__device__ inline void comparator(unsigned &keyA, unsigned &valA, unsigned &keyB, unsigned &valB, unsigned dir) {
  if ((keyA > keyB) == dir) {
    unsigned t = keyA;
    keyA = keyB;
    keyB = t;
    t = valA;
    valA = valB;
    valB = t;
  }
}

__global__ void sort_shared(unsigned *key, unsigned *val, unsigned direction) {
  __shared__ unsigned s_key[PER_BLOCK], s_val[PER_BLOCK];
  key += blockIdx.x * PER_BLOCK;
  val += blockIdx.x * PER_BLOCK;
  for (int i = threadIdx.x; i < PER_BLOCK; i += blockDim.x) s_key[i] = key[i], s_val[i] = val[i];
  for (unsigned size = 2; size <= PER_BLOCK; size <<= 1) {
    unsigned ddd = direction ^ ((threadIdx.x & (size / 2)) != 0);
    for (unsigned stride = size / 2; stride > 0; stride >>= 1) {
      __syncthreads();
      unsigned pos = 2 * threadIdx.x - (threadIdx.x & (stride - 1));
      comparator(s_key[pos], s_val[pos], s_key[pos + stride], s_val[pos + stride], ddd);
    }
  }
  __syncthreads();
  for (int i = threadIdx.x; i < PER_BLOCK; i += blockDim.x) key[i] = s_key[i], val[i] = s_val[i];
}

__global__ void bitonic_step(float *values, int j, int k) {
  unsigned i = threadIdx.x + blockDim.x * blockIdx.x;
  unsigned ixj = i ^ j;
  if (ixj > i) {
    if ((i & k) == 0 && values[i] > values[ixj]) {
      float temp = values[i];
      values[i] = values[ixj];
      values[ixj] = temp;
    }
    if ((i & k) != 0 && values[i] < values[ixj]) {
      float temp = values[i];
      values[i] = values[ixj];
      values[ixj] = temp;
    }
  }
}

bool small_arrays(int arrays) {
  int n = arrays * PER_BLOCK;
  std::vector<unsigned> key(n), val(n), sorted, index(n);
  for (int i = 0; i < n; i++) key[i] = sorted.emplace_back(rand() % 1000 * 4000000u), val[i] = i;
  unsigned *d_key, *d_val;
  cudaMalloc(&d_key, n * sizeof(unsigned));
  cudaMalloc(&d_val, n * sizeof(unsigned));
  cudaMemcpy(d_key, key.data(), n * sizeof(unsigned), cudaMemcpyHostToDevice);
  cudaMemcpy(d_val, val.data(), n * sizeof(unsigned), cudaMemcpyHostToDevice);
  sort_shared<<<arrays, THREADS>>>(d_key, d_val, 1);
  std::vector<unsigned> out(n);
  cudaMemcpy(out.data(), d_key, n * sizeof(unsigned), cudaMemcpyDeviceToHost);
  cudaMemcpy(index.data(), d_val, n * sizeof(unsigned), cudaMemcpyDeviceToHost);
  bool good = true;
  std::vector<bool> seen(n);
  for (int a = 0; a < arrays; a++) std::sort(&sorted[a * PER_BLOCK], &sorted[a * PER_BLOCK] + PER_BLOCK);
  for (int i = 0; i < n; i++) {
    good &= out[i] == sorted[i] && index[i] < (unsigned)n && key[index[i]] == out[i] && !seen[index[i]];
    if (index[i] < (unsigned)n) seen[index[i]] = true;
  }
  cudaFree(d_key);
  cudaFree(d_val);
  return good;
}

bool large_array(int n) {
  std::vector<float> host(n), sorted;
  for (float &x : host) x = rand() / (float)RAND_MAX - 0.5f;
  sorted = host;
  std::sort(sorted.begin(), sorted.end());
  float *device;
  cudaMalloc(&device, n * sizeof(float));
  cudaMemcpy(device, host.data(), n * sizeof(float), cudaMemcpyHostToDevice);
  for (int k = 2; k <= n; k <<= 1)
    for (int j = k >> 1; j > 0; j >>= 1) bitonic_step<<<n / 64, 64>>>(device, j, k);
  cudaMemcpy(host.data(), device, n * sizeof(float), cudaMemcpyDeviceToHost);
  cudaFree(device);
  return host == sorted;
}

int main() {
  bool good = small_arrays(7) && large_array(4096);
  printf(good ? "PASS\n" : "FAIL\n");
  return good ? EXIT_SUCCESS : EXIT_FAILURE;
}
