// What goes wrong, and how a program sees it: bad launches, bad arguments, no memory, names of errors.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

static int failures = 0;
static void expect(cudaError_t got, cudaError_t want, int line) {
  if (got == want) return;
  printf("line %d: %s, not %s\n", line, cudaGetErrorName(got), cudaGetErrorName(want));
  ++failures;
}
#define EXPECT(want, call) expect(call, want, __LINE__)

__global__ void touch(int *p) { p[blockIdx.x * blockDim.x + threadIdx.x] += 1; }
__global__ void __launch_bounds__(64) narrow(int *p) { p[threadIdx.x] += 2; }
__global__ void fails(const int *p, int limit) {
  if (p[threadIdx.x] > limit) __trap();
}

int main() {
  int *d, host[64];
  EXPECT(cudaSuccess, cudaMalloc(&d, sizeof host));
  EXPECT(cudaSuccess, cudaMemset(d, 0, sizeof host));
  touch<<<1, 2048>>>(d);  // too many threads: nothing runs
  EXPECT(cudaErrorInvalidConfiguration, cudaPeekAtLastError());
  EXPECT(cudaErrorInvalidConfiguration, cudaGetLastError());
  EXPECT(cudaSuccess, cudaGetLastError());
  touch<<<0, 32>>>(d);
  EXPECT(cudaErrorInvalidConfiguration, cudaGetLastError());
  touch<<<1, dim3(16, 4, 64)>>>(d);
  EXPECT(cudaErrorInvalidConfiguration, cudaGetLastError());
  touch<<<1, 32, 1 << 20>>>(d);
  EXPECT(cudaErrorInvalidValue, cudaGetLastError());
  int asked = 128;
  narrow<<<1, asked>>>(d);
  if (cudaGetLastError() == cudaSuccess) ++failures, puts("more threads than __launch_bounds__ allow");
  EXPECT(cudaSuccess, cudaDeviceSynchronize());
  EXPECT(cudaSuccess, cudaMemcpy(host, d, sizeof host, cudaMemcpyDeviceToHost));
  for (int v : host) failures += v != 0;
  touch<<<1, 64>>>(d);
  EXPECT(cudaSuccess, cudaGetLastError());
  EXPECT(cudaSuccess, cudaMemcpy(host, d, sizeof host, cudaMemcpyDeviceToHost));
  for (int v : host) failures += v != 1;
  void *huge = nullptr;
  EXPECT(cudaErrorMemoryAllocation, cudaMalloc(&huge, (size_t)1 << 50));
  EXPECT(cudaErrorMemoryAllocation, cudaGetLastError());
  EXPECT(cudaErrorInvalidDevice, cudaSetDevice(1000));
  EXPECT(cudaErrorInvalidDevice, cudaGetLastError());
  EXPECT(cudaErrorInvalidValue, cudaMalloc(nullptr, 16));
  cudaGetLastError();
  EXPECT(cudaSuccess, cudaFree(nullptr));
  if (std::string(cudaGetErrorName(cudaErrorMemoryAllocation)) != "cudaErrorMemoryAllocation") ++failures;
  if (std::string(cudaGetErrorString(cudaErrorMemoryAllocation)) != "out of memory") ++failures;
  if (std::string(cudaGetErrorString(cudaSuccess)) != "no error") ++failures;
  cudaEvent_t never;
  EXPECT(cudaSuccess, cudaEventCreate(&never));
  float ms;
  if (cudaEventElapsedTime(&ms, never, never) == cudaSuccess) ++failures;
  cudaGetLastError();
  fails<<<1, 64>>>(d, 5);
  EXPECT(cudaSuccess, cudaDeviceSynchronize());
  fails<<<1, 64>>>(d, 0);  // from here on the device is lost
  cudaError_t lost = cudaDeviceSynchronize();
  if (lost == cudaSuccess) ++failures, puts("a trap went unnoticed");
  EXPECT(lost, cudaMemset(d, 0, 4));
  EXPECT(lost, cudaDeviceSynchronize());
  printf("%d failures, the last error is \"%s\"\n", failures, cudaGetErrorString(lost));
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
