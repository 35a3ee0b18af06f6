// Launches chosen by the runtime's advice, attributes of functions, more shared memory than by default.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

__global__ void square(int *array, int n) {
  extern __shared__ int unused[];
  int idx = threadIdx.x + blockIdx.x * blockDim.x;
  if (idx < n) array[idx] *= array[idx];
}

__global__ void __launch_bounds__(128, 2) reverse_blocks(const int *in, int *out, int n) {
  extern __shared__ int s[];
  int base = blockIdx.x * n;
  for (int i = threadIdx.x; i < n; i += blockDim.x) s[i] = in[base + i];
  __syncthreads();
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[base + i] = s[n - 1 - i];
}

__global__ void with_static(int *out) {
  __shared__ int table[100];
  table[threadIdx.x] = threadIdx.x;
  __syncthreads();
  out[threadIdx.x] = table[99 - threadIdx.x];
}

struct SharedOfBlock {
  size_t operator()(int block) const { return block * sizeof(int); }
};

int main() {
  bool good = true;
  const int n = 10000;
  int *data;
  cudaMallocManaged(&data, n * sizeof(int));
  std::iota(data, data + n, 0);
  int min_grid = 0, block = 0, active = 0;
  cudaOccupancyMaxPotentialBlockSize(&min_grid, &block, square, 0, n);
  good &= block > 0 && block <= 1024 && min_grid > 0;
  cudaOccupancyMaxActiveBlocksPerMultiprocessor(&active, square, block, 0);
  good &= active >= 1;
  square<<<(n + block - 1) / block, block>>>(data, n);
  int block2 = 0;
  cudaOccupancyMaxPotentialBlockSizeVariableSMem(&min_grid, &block2, square, SharedOfBlock(), 256);
  good &= block2 > 0 && block2 <= 256;
  good &= cudaDeviceSynchronize() == cudaSuccess;
  for (int i = 0; i < n; i++) good &= data[i] == i * i;

  cudaFuncAttributes attributes;
  good &= cudaFuncGetAttributes(&attributes, with_static) == cudaSuccess && attributes.sharedSizeBytes == 400;
  good &= cudaFuncGetAttributes(&attributes, reverse_blocks) == cudaSuccess && attributes.maxThreadsPerBlock == 128;
  int most = 0;
  cudaDeviceGetAttribute(&most, cudaDevAttrMaxSharedMemoryPerBlockOptin, 0);
  const int m = std::min(most, 80 * 1024) / (int)sizeof(int), bytes = m * sizeof(int);
  int *in, *out;
  cudaMallocManaged(&in, 2 * bytes), cudaMallocManaged(&out, 2 * bytes);
  std::iota(in, in + 2 * m, 5);
  reverse_blocks<<<2, 128, bytes>>>(in, out, m);
  good &= cudaGetLastError() != cudaSuccess;  // more than 48 KiB must be asked for
  good &= cudaFuncSetAttribute(reverse_blocks, cudaFuncAttributeMaxDynamicSharedMemorySize, bytes) == cudaSuccess;
  good &= cudaFuncSetCacheConfig(reverse_blocks, cudaFuncCachePreferShared) == cudaSuccess;
  reverse_blocks<<<2, 128, bytes>>>(in, out, m);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  for (int b = 0; b < 2; b++)
    for (int i = 0; i < m; i++) good &= out[b * m + i] == in[b * m + m - 1 - i];
  // The same kernel through the functions behind <<< >>>, with an array of arguments.
  int *table = out;
  void *args[] = {&table};
  good &= cudaLaunchKernel((const void *)with_static, dim3(1), dim3(100), args, 0, 0) == cudaSuccess;
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(2), config.blockDim = dim3(96), config.dynamicSmemBytes = 1000 * sizeof(int);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  for (int i = 0; i < 100; i++) good &= out[i] == 99 - i;
  good &= cudaLaunchKernelEx(&config, reverse_blocks, (const int *)in, out, 1000) == cudaSuccess && cudaDeviceSynchronize() == cudaSuccess;
  for (int i = 0; i < 2000; i++) good &= out[i] == in[i / 1000 * 1000 + 999 - i % 1000];
  puts(good ? "PASS" : "FAIL");
  return good ? 0 : 1;
}
