// Launching kernels, what is known of them, and what a failed one leaves behind.
#include "check.h"
#include <cassert>

__global__ void __launch_bounds__(128) limited(int* p) { p[threadIdx.x] = 1; }
__global__ void with_static(int* p) {
  __shared__ int s[1024];
  s[threadIdx.x] = threadIdx.x;
  __syncthreads();
  p[threadIdx.x] = s[blockDim.x - 1 - threadIdx.x];
}
__global__ void with_dynamic(int* p, int last) {
  extern __shared__ int d[];
  d[last] = 5;
  d[0] = 1;
  __syncthreads();
  *p = d[last] + d[0];
}
struct Pair { double a; int b; };
__global__ void sum(int* p, Pair pair, short c) { *p = (int)pair.a + pair.b + c; }
__global__ void fails(int n) { assert(n < 0); }

static int* data;

static void invalid_launches() {
  add<<<1, 1025>>>(data, 1, 1);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  add<<<0, 32>>>(data, 1, 1);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  add<<<1, 0>>>(data, 1, 1);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  add<<<dim3(1, 70000), 32>>>(data, 1, 1);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  add<<<1, dim3(1, 1, 65)>>>(data, 1, 1);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  limited<<<1, 256>>>(data);
  CHECK(cudaGetLastError() == cudaErrorLaunchOutOfResources);
  add<<<1, 32, 300 << 10>>>(data, 1, 1);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);
  cudaStream_t gone;
  OK(cudaStreamCreate(&gone));
  OK(cudaStreamDestroy(gone));
  OK(cudaDeviceSynchronize());
  add<<<1, 32, 0, gone>>>(data, 1, 1);
  CHECK(cudaGetLastError() == cudaErrorInvalidResourceHandle);
  FAILS(cudaErrorInvalidDeviceFunction, cudaLaunchKernel((const void*)data, dim3(1), dim3(1), nullptr, 0, 0));
  OK(cudaDeviceSynchronize());  // none of them is sticky
}

static void by_pointer() {
  Pair pair = {4, 5};
  short c = 6;
  void* args[] = {&data, &pair, &c};
  *data = 0;
  OK(cudaLaunchKernel(sum, dim3(1), dim3(1), args, 0, 0));
  OK(cudaDeviceSynchronize());
  CHECK(*data == 15);
  pair.b = 50;
  OK(cudaLaunchCooperativeKernel(sum, dim3(1), dim3(1), args, 0, 0));
  OK(cudaDeviceSynchronize());
  CHECK(*data == 60);
  FAILS(cudaErrorCooperativeLaunchTooLarge, cudaLaunchCooperativeKernel(sum, dim3(1 << 20), dim3(1), args, 0, 0));
  cudaLaunchAttribute attribute = {};
  attribute.id = cudaLaunchAttributePriority;
  cudaLaunchConfig_t config = {dim3(1), dim3(1), 0, 0, &attribute, 1};
  c = 100;
  OK(cudaLaunchKernelExC(&config, sum, args));
  OK(cudaDeviceSynchronize());
  CHECK(*data == 154);
  OK(cudaLaunchKernelEx(&config, sum, data, pair, 7));  // an int for a short
  OK(cudaDeviceSynchronize());
  CHECK(*data == 61);
  attribute.id = cudaLaunchAttributeClusterDimension;
  attribute.val.clusterDim.x = 2;
  attribute.val.clusterDim.y = attribute.val.clusterDim.z = 1;
  FAILS(cudaErrorNotSupported, cudaLaunchKernelExC(&config, sum, args));
}

static void shared_memory() {
  const int last = (100 << 10) / 4 - 1;
  with_dynamic<<<1, 1, 100 << 10>>>(data, last);
  CHECK(cudaGetLastError() == cudaErrorInvalidValue);  // not asked for
  OK(cudaFuncSetAttribute(with_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 100 << 10));
  with_dynamic<<<1, 1, 100 << 10>>>(data, last);
  OK(cudaGetLastError());
  OK(cudaDeviceSynchronize());
  CHECK(*data == 6);
  FAILS(cudaErrorInvalidValue, cudaFuncSetAttribute(with_dynamic, cudaFuncAttributeMaxDynamicSharedMemorySize, 1 << 20));
  with_static<<<1, 96>>>(data);
  OK(cudaDeviceSynchronize());
  CHECK(data[0] == 95 && data[95] == 0);
}

static void about_kernels() {
  cudaFuncAttributes found;
  memset(&found, 0x5a, sizeof found);
  OK(cudaFuncGetAttributes(&found, with_static));
  CHECK(found.sharedSizeBytes == 4096 && found.maxThreadsPerBlock == 1024);
  CHECK(found.maxDynamicSharedSizeBytes == (48 << 10) - 4096);
  OK(cudaFuncGetAttributes(&found, limited));
  CHECK(found.maxThreadsPerBlock == 128);
  OK(cudaFuncSetAttribute(limited, cudaFuncAttributePreferredSharedMemoryCarveout, 50));
  OK(cudaFuncGetAttributes(&found, limited));
  CHECK(found.preferredShmemCarveout == 50);
  const char* name = nullptr;
  OK(cudaFuncGetName(&name, limited));
  CHECK(name && strstr(name, "limited"));
  OK(cudaFuncSetCacheConfig(limited, cudaFuncCachePreferShared));
  FAILS(cudaErrorInvalidDeviceFunction, cudaFuncSetCacheConfig(data, cudaFuncCachePreferShared));
  OK(cudaFuncSetSharedMemConfig(limited, cudaSharedMemBankSizeFourByte));
  FAILS(cudaErrorInvalidValue, cudaFuncSetSharedMemConfig(limited, (cudaSharedMemConfig)9));
  int blocks = -1, grid = -1, block = -1;
  OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add<int>, 256, 0));
  CHECK(blocks == 8);
  OK(cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(&blocks, add<int>, 1024, 0, cudaOccupancyDefault));
  CHECK(blocks == 2);
  OK(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&blocks, add<int>, 64, 100 << 10));
  CHECK(blocks == 2);
  OK(cudaOccupancyMaxPotentialBlockSize(&grid, &block, add<int>));
  int same_grid = 0, same_block = 0;
  OK(cudaOccupancyMaxPotentialBlockSizeWithFlags(&same_grid, &same_block, add<int>, 0, 0, cudaOccupancyDefault));
  CHECK(same_grid == grid && same_block == block);
  CHECK(block >= 128 && block <= 1024 && grid >= 1);
  size_t bytes = 0;
  OK(cudaOccupancyAvailableDynamicSMemPerBlock(&bytes, with_static, 2, 128));
  CHECK(bytes == (114 << 10) - 4096);
}

// These have nothing to do but to report a failed kernel.
static void after_a_failure() {
  OK(cudaProfilerStart());
  OK(cudaProfilerStop());
  OK(cudaCtxResetPersistingL2Cache());
  int* p = (int*)1;
  fails<<<1, 1>>>(1);
  CHECK(cudaDeviceSynchronize() == cudaErrorAssert);
  CHECK(cudaGetLastError() == cudaErrorAssert && cudaGetLastError() == cudaErrorAssert);  // it stays
  CHECK(cudaMalloc(&p, 4) == cudaErrorAssert);
  CHECK(cudaMemcpy(data, data + 1, 4, cudaMemcpyDefault) == cudaErrorAssert);
  CHECK(cudaProfilerStart() == cudaErrorAssert);
  CHECK(cudaProfilerStop() == cudaErrorAssert);
  CHECK(cudaCtxResetPersistingL2Cache() == cudaErrorAssert);
  OK(cudaDeviceReset());
  OK(cudaMallocManaged(&data, 4096));
  *data = 1;
  add<<<1, 1>>>(data, 1, 1);
  OK(cudaDeviceSynchronize());
  CHECK(*data == 2);
}

int main() {
  OK(cudaMallocManaged(&data, 4096));
  invalid_launches();
  by_pointer();
  shared_memory();
  about_kernels();
  after_a_failure();
  printf("PASS\n");
}
