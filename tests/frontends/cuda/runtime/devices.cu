// Devices, their attributes, limits and versions; errors by name.
#include "check.h"

__global__ void nothing() {}

static int attribute(cudaDeviceAttr which) {
  int value = -1;
  OK(cudaDeviceGetAttribute(&value, which, 0));
  return value;
}

static void devices() {
  int device = -1, count = -1;
  OK(cudaGetDeviceCount(&count));
  CHECK(count == 1);
  OK(cudaGetDevice(&device));
  CHECK(device == 0);
  OK(cudaSetDevice(0));
  FAILS(cudaErrorInvalidDevice, cudaSetDevice(1));
  FAILS(cudaErrorInvalidDevice, cudaSetDevice(-1));
  FAILS(cudaErrorInvalidDevice, cudaInitDevice(3, 0, 0));
  OK(cudaInitDevice(0, 0, 0));
  int two[] = {0, 5};
  OK(cudaSetValidDevices(two, 1));
  FAILS(cudaErrorInvalidDevice, cudaSetValidDevices(two, 2));
  cudaDeviceProp wanted = {};
  device = -1;
  OK(cudaChooseDevice(&device, &wanted));
  CHECK(device == 0);
  char bus[32] = "";
  OK(cudaDeviceGetPCIBusId(bus, sizeof bus, 0));
  device = -1;
  OK(cudaDeviceGetByPCIBusId(&device, bus));
  CHECK(strlen(bus) == 12 && device == 0);
  FAILS(cudaErrorInvalidDevice, cudaDeviceGetByPCIBusId(&device, "0000:99:00.0"));
}

static void properties() {
  cudaDeviceProp prop;
  memset(&prop, 0x5a, sizeof prop);
  OK(cudaGetDeviceProperties(&prop, 0));
  CHECK(strncmp(prop.name, "Canopy CPU", 10) == 0);
  CHECK(prop.warpSize == 32 && prop.maxThreadsPerBlock == 1024 && prop.maxThreadsDim[2] == 64);
  CHECK(prop.sharedMemPerBlock == 48 << 10 && prop.sharedMemPerBlockOptin == 227 << 10);
  CHECK(prop.totalConstMem == 64 << 10 && prop.totalGlobalMem > (64u << 20));
  CHECK(prop.multiProcessorCount >= 1 && prop.major >= 7 && prop.integrated == 1);
  CHECK(attribute(cudaDevAttrWarpSize) == 32);
  CHECK(attribute(cudaDevAttrMaxThreadsPerBlock) == 1024);
  CHECK(attribute(cudaDevAttrMultiProcessorCount) == prop.multiProcessorCount);
  CHECK(attribute(cudaDevAttrComputeCapabilityMajor) == prop.major);
  CHECK(attribute(cudaDevAttrMaxSharedMemoryPerBlockOptin) == 227 << 10);
  CHECK(attribute(cudaDevAttrManagedMemory) == 1 && attribute(cudaDevAttrMemoryPoolsSupported) == 1);
  int value;
  FAILS(cudaErrorInvalidValue, cudaDeviceGetAttribute(&value, (cudaDeviceAttr)9999, 0));
  FAILS(cudaErrorInvalidDevice, cudaDeviceGetAttribute(&value, cudaDevAttrWarpSize, 1));
  FAILS(cudaErrorInvalidDevice, cudaGetDeviceProperties(&prop, 7));
}

static void settings() {
  unsigned int flags = 99;
  OK(cudaSetDeviceFlags(cudaDeviceScheduleYield));
  OK(cudaGetDeviceFlags(&flags));
  CHECK(flags == cudaDeviceScheduleYield);
  size_t bytes = 0;
  OK(cudaDeviceSetLimit(cudaLimitMallocHeapSize, 5 << 20));
  OK(cudaDeviceGetLimit(&bytes, cudaLimitMallocHeapSize));
  CHECK(bytes == 5 << 20);
  FAILS(cudaErrorInvalidValue, cudaDeviceGetLimit(&bytes, (cudaLimit)77));
  cudaFuncCache cache = cudaFuncCachePreferNone;
  OK(cudaDeviceSetCacheConfig(cudaFuncCachePreferL1));
  OK(cudaDeviceGetCacheConfig(&cache));
  CHECK(cache == cudaFuncCachePreferL1);
  cudaSharedMemConfig banks = cudaSharedMemBankSizeDefault;
  OK(cudaDeviceSetSharedMemConfig(cudaSharedMemBankSizeEightByte));
  OK(cudaDeviceGetSharedMemConfig(&banks));
  CHECK(banks == cudaSharedMemBankSizeEightByte);
  int runtime = 0, driver = 0;
  OK(cudaRuntimeGetVersion(&runtime));
  OK(cudaDriverGetVersion(&driver));
  CHECK(runtime == CUDART_VERSION && driver >= runtime);
  int least = 9, greatest = 9;
  OK(cudaDeviceGetStreamPriorityRange(&least, &greatest));
  CHECK(least == 0 && greatest < 0);
}

// One device has no peers, and no process to share memory with.
static void peers() {
  int can = 9, value;
  OK(cudaDeviceCanAccessPeer(&can, 0, 0));
  CHECK(can == 0);
  FAILS(cudaErrorInvalidDevice, cudaDeviceEnablePeerAccess(1, 0));
  FAILS(cudaErrorPeerAccessNotEnabled, cudaDeviceDisablePeerAccess(1));
  FAILS(cudaErrorInvalidDevice, cudaDeviceGetP2PAttribute(&value, cudaDevP2PAttrAccessSupported, 0, 1));
  cudaIpcMemHandle_t memory;
  cudaIpcEventHandle_t event_handle;
  void* p;
  cudaEvent_t event;
  OK(cudaMalloc(&p, 64));
  OK(cudaEventCreate(&event));
  FAILS(cudaErrorNotSupported, cudaIpcGetMemHandle(&memory, p));
  FAILS(cudaErrorNotSupported, cudaIpcOpenMemHandle(&p, memory, cudaIpcMemLazyEnablePeerAccess));
  FAILS(cudaErrorNotSupported, cudaIpcCloseMemHandle(p));
  FAILS(cudaErrorNotSupported, cudaIpcGetEventHandle(&event_handle, event));
  OK(cudaEventDestroy(event));
  OK(cudaFree(p));
}

static void errors() {
  CHECK(!strcmp(cudaGetErrorName(cudaErrorInvalidValue), "cudaErrorInvalidValue"));
  CHECK(!strcmp(cudaGetErrorString(cudaErrorInvalidValue), "invalid argument"));
  CHECK(!strcmp(cudaGetErrorString(cudaErrorMemoryAllocation), "out of memory"));
  CHECK(!strcmp(cudaGetErrorString(cudaSuccess), "no error"));
  CHECK(!strcmp(cudaGetErrorString((cudaError_t)12345), "unrecognized error code"));
  CHECK(!strcmp(cudaGetErrorString(cudaErrorIllegalAddress), "an illegal memory access was encountered"));
  nothing<<<0, 1>>>();
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidConfiguration);
  OK(cudaDeviceSynchronize());  // success does not clear it
  CHECK(cudaPeekAtLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaGetLastError() == cudaErrorInvalidConfiguration);
  CHECK(cudaGetLastError() == cudaSuccess);
}

int main() {
  devices();
  properties();
  settings();
  peers();
  errors();
  printf("PASS\n");
}
