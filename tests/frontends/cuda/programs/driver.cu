// The driver interface beside the runtime's; the heap of kernels and its limit.
#include <cuda.h>

#include <cstdio>
#include <cstring>

__device__ int factor = 3;
__global__ void scale(int* p, int n, int more) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) p[i] = p[i] * factor + more;
}
// Takes pieces until none is left, and gives all back.
__global__ void take(size_t bytes, int* count) {
  char* pieces[64];
  int taken = 0;
  for (; taken < 64; taken++) {
    pieces[taken] = (char*)malloc(bytes);
    if (!pieces[taken]) break;
    pieces[taken][bytes - 1] = 1;
  }
  *count = taken;
  for (int k = 0; k < taken; k++) free(pieces[k]);
}

#define CHECK(condition) \
  if (!(condition)) return printf("line %d: %s\n", __LINE__, #condition), 1

static int taken(size_t bytes) {
  int* count;
  cudaMallocManaged(&count, sizeof(int));
  take<<<1, 1>>>(bytes, count);
  cudaDeviceSynchronize();
  int found = *count;
  cudaFree(count);
  return found;
}

int main() {
  int count = -1, value = 0, device_value = 0, major = 0, minor = 0;
  CHECK(cuDeviceGetCount(&count) == CUDA_ERROR_NOT_INITIALIZED);
  CHECK(cuInit(0) == CUDA_SUCCESS && cuInit(1) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuDeviceGetCount(&count) == CUDA_SUCCESS && count == 1);
  CUdevice device = -1;
  CHECK(cuDeviceGet(&device, 0) == CUDA_SUCCESS && device == 0 && cuDeviceGet(&device, 1) == CUDA_ERROR_INVALID_DEVICE);
  char name[256] = "", text[3];
  cudaDeviceProp properties;
  CHECK(cudaGetDeviceProperties(&properties, 0) == cudaSuccess);
  CHECK(cuDeviceGetName(name, 256, device) == CUDA_SUCCESS && !strcmp(name, properties.name));
  CHECK(cuDeviceGetName(text, 3, device) == CUDA_SUCCESS && strlen(text) == 2);
  size_t total = 0, free_bytes = 0, all_bytes = 0;
  CHECK(cuDeviceTotalMem(&total, device) == CUDA_SUCCESS && total == properties.totalGlobalMem);
  CHECK(cuDeviceGetAttribute(&value, CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT, device) == CUDA_SUCCESS);
  CHECK(value == properties.multiProcessorCount);
  CHECK(cuDeviceComputeCapability(&major, &minor, device) == CUDA_SUCCESS && major == properties.major);
  CHECK(cuDriverGetVersion(&value) == CUDA_SUCCESS && value >= CUDA_VERSION);

  CUcontext context = nullptr, found = nullptr;
  CHECK(cuCtxGetDevice(&device_value) == CUDA_ERROR_INVALID_CONTEXT);
  CHECK(cuCtxCreate(&context, 0, device) == CUDA_SUCCESS && context);
  CHECK(cuCtxGetCurrent(&found) == CUDA_SUCCESS && found == context);
  CHECK(cuCtxGetDevice(&device_value) == CUDA_SUCCESS && device_value == 0);
  CHECK(cuMemGetInfo(&free_bytes, &all_bytes) == CUDA_SUCCESS && all_bytes == total && free_bytes <= total);

  const int n = 1000;
  static int in[n], out[n];
  for (int i = 0; i < n; i++) in[i] = i * i;
  CUdeviceptr a = 0, b = 0;
  CHECK(cuMemAlloc(&a, sizeof in) == CUDA_SUCCESS && cuMemAlloc(&b, sizeof in) == CUDA_SUCCESS);
  CHECK(cuMemAlloc(&b, (size_t)1 << 60) == CUDA_ERROR_OUT_OF_MEMORY && cudaGetLastError() == cudaSuccess);
  CHECK(cuMemcpyHtoD(a, in, sizeof in) == CUDA_SUCCESS);
  CUfunction function = nullptr;
  CHECK(cudaGetFuncBySymbol(&function, scale) == cudaSuccess && function);
  CUstream stream;
  CUevent start, end;
  CHECK(cuStreamCreate(&stream, CU_STREAM_NON_BLOCKING) == CUDA_SUCCESS);
  CHECK(cuEventCreate(&start, 0) == CUDA_SUCCESS && cuEventCreate(&end, 0) == CUDA_SUCCESS);
  int size = n, more = 7;
  void* arguments[] = {&a, &size, &more};
  CHECK(cuEventRecord(start, stream) == CUDA_SUCCESS);
  CHECK(cuLaunchKernel(function, 8, 1, 1, 128, 1, 1, 0, stream, arguments, nullptr) == CUDA_SUCCESS);
  CHECK(cuEventRecord(end, stream) == CUDA_SUCCESS && cuEventSynchronize(end) == CUDA_SUCCESS);
  float milliseconds = -1;
  CHECK(cuEventElapsedTime(&milliseconds, start, end) == CUDA_SUCCESS && milliseconds >= 0);
  CHECK(cuMemcpyDtoD(b, a, sizeof in) == CUDA_SUCCESS && cuMemcpyDtoHAsync(out, b, sizeof in, stream) == CUDA_SUCCESS);
  CHECK(cuStreamSynchronize(stream) == CUDA_SUCCESS);
  for (int i = 0; i < n; i++) CHECK(out[i] == i * i * 3 + 7);
  CHECK(cuMemsetD32(a, 0x01020304, n) == CUDA_SUCCESS && cuMemsetD8(a, 9, 4) == CUDA_SUCCESS);
  CHECK(cuMemcpyDtoH(out, a, sizeof in) == CUDA_SUCCESS && out[0] == 0x09090909 && out[n - 1] == 0x01020304);
  CHECK(cuLaunchKernel(function, 1, 1, 1, 2048, 1, 1, 0, stream, arguments, nullptr) == CUDA_ERROR_INVALID_VALUE);
  CHECK(cuMemFree(a) == CUDA_SUCCESS && cuMemFree(a) == CUDA_ERROR_INVALID_VALUE && cuMemFree(b) == CUDA_SUCCESS);

  CUmodule module = nullptr;
  const char* message = nullptr;
  CHECK(cuModuleLoadData(&module, ".version 8.0") == CUDA_ERROR_NOT_SUPPORTED && !module);
  CHECK(cuGetErrorName(CUDA_ERROR_NOT_SUPPORTED, &message) == CUDA_SUCCESS && !strcmp(message, "CUDA_ERROR_NOT_SUPPORTED"));
  CHECK(cuGetErrorString(CUDA_ERROR_OUT_OF_MEMORY, &message) == CUDA_SUCCESS && !strcmp(message, "out of memory"));
  CHECK(cuStreamDestroy(stream) == CUDA_SUCCESS && cuEventDestroy(start) == CUDA_SUCCESS && cuEventDestroy(end) == CUDA_SUCCESS);
  CHECK(cuCtxDestroy(context) == CUDA_SUCCESS);

  CHECK(taken(1 << 20) == 7 && taken(1 << 20) == 7);  // 8 MB, less what eight pieces take beside their content
  CHECK(cudaDeviceSetLimit(cudaLimitMallocHeapSize, 40 << 20) == cudaSuccess && taken(1 << 20) == 39);
  puts("PASS");
  return 0;
}
