// Allocation of every kind, what pointers are, and pools.
#include "check.h"

static cudaPointerAttributes about(const void* p) {
  cudaPointerAttributes found;
  memset(&found, 0x5a, sizeof found);
  OK(cudaPointerGetAttributes(&found, p));
  return found;
}

static size_t left() {
  size_t free_bytes = 1, total = 0;
  OK(cudaMemGetInfo(&free_bytes, &total));
  CHECK(total > (64u << 20) && free_bytes > (1u << 20) && free_bytes <= total);
  return free_bytes;
}

__device__ int variable[10];

static void device_memory() {
  int *p = nullptr, *q = nullptr, local = 5;
  size_t before = left();
  OK(cudaMalloc(&p, 1 << 20));
  CHECK(p && (size_t)p % 256 == 0);
  CHECK(left() == before - (1 << 20));
  CHECK(about(p + 7).type == cudaMemoryTypeDevice && about(p + 7).device == 0);
  CHECK(about(&local).type == cudaMemoryTypeUnregistered);
  fill<<<1024, 256>>>(p, 3, 1 << 18);
  OK(cudaMemcpy(&local, p + 777, 4, cudaMemcpyDeviceToHost));
  CHECK(local == 3);
  OK(cudaFree(p));
  CHECK(left() == before);
  FAILS(cudaErrorInvalidValue, cudaFree(p));  // twice
  FAILS(cudaErrorInvalidValue, cudaFree(&local));
  OK(cudaFree(nullptr));
  q = (int*)1;
  OK(cudaMalloc(&q, 0));
  FAILS(cudaErrorMemoryAllocation, cudaMalloc(&q, (size_t)1 << 45));
  FAILS(cudaErrorMemoryAllocation, cudaMalloc(&q, before + (1u << 30)));
  FAILS(cudaErrorInvalidValue, cudaMalloc((void**)nullptr, 4));
  FAILS(cudaErrorInvalidValue, cudaMemset(p, 0, 4));
  int* of_variable = nullptr;
  OK(cudaGetSymbolAddress((void**)&of_variable, variable));
  CHECK(about(of_variable + 3).type == cudaMemoryTypeDevice);
  OK(cudaMemset(of_variable, 0x11, 40));
  FAILS(cudaErrorInvalidValue, cudaMemset(of_variable, 0x11, 44));
}

static void host_memory() {
  int *p = nullptr, *q = nullptr, *device = nullptr;
  unsigned int flags = 99;
  OK(cudaMallocHost((void**)&p, 4000));
  OK(cudaHostAlloc(&q, 4000, cudaHostAllocMapped | cudaHostAllocWriteCombined));
  CHECK(p && q && about(p).type == cudaMemoryTypeHost && about(q).hostPointer == q);
  OK(cudaHostGetFlags(&flags, q));
  CHECK(flags & cudaHostAllocWriteCombined);
  FAILS(cudaErrorInvalidValue, cudaHostAlloc(&device, 4, 0x400));
  OK(cudaHostGetDevicePointer(&device, q, 0));
  q[5] = 1;
  add<<<4, 250>>>(device, 41, 1000);
  OK(cudaDeviceSynchronize());
  CHECK(q[5] == 42);
  FAILS(cudaErrorInvalidValue, cudaFree(p));
  OK(cudaFreeHost(p));
  FAILS(cudaErrorInvalidValue, cudaFreeHost(p));
  OK(cudaFreeHost(q));
  static int own[100];
  FAILS(cudaErrorInvalidValue, cudaHostGetDevicePointer(&device, own, 0));
  OK(cudaHostRegister(own, sizeof own, cudaHostRegisterMapped));
  CHECK(about(own).type == cudaMemoryTypeHost);
  FAILS(cudaErrorHostMemoryAlreadyRegistered, cudaHostRegister(own, 8, 0));
  device = nullptr;
  OK(cudaHostGetDevicePointer(&device, own, 0));
  add<<<1, 100>>>(device, 3, 100);
  OK(cudaDeviceSynchronize());
  CHECK(own[99] == 3);
  OK(cudaHostUnregister(own));
  CHECK(about(own).type == cudaMemoryTypeUnregistered);
  FAILS(cudaErrorHostMemoryNotRegistered, cudaHostUnregister(own));
}

static void managed_memory() {
  int *p = nullptr, plain;
  cudaStream_t stream;
  OK(cudaStreamCreate(&stream));
  OK(cudaMallocManaged(&p, 4000));
  CHECK(p && about(p).type == cudaMemoryTypeManaged && about(p).hostPointer == p);
  int* none = nullptr;
  FAILS(cudaErrorInvalidValue, cudaMallocManaged(&none, 4, 17));
  OK(cudaMemPrefetchAsync(p, 4000, 0, stream));
  FAILS(cudaErrorInvalidDevice, cudaMemPrefetchAsync(p, 4000, 3, stream));
  FAILS(cudaErrorInvalidValue, cudaMemPrefetchAsync(&plain, 4, 0));
  OK(cudaMemAdvise(p, 4000, cudaMemAdviseSetReadMostly, 0));
  FAILS(cudaErrorInvalidValue, cudaMemAdvise(p, 8000, cudaMemAdviseSetReadMostly, 0));
  int told[2] = {7, 7}, where = 7;
  OK(cudaMemRangeGetAttribute(told, 4, cudaMemRangeAttributeReadMostly, p, 4000));
  OK(cudaMemRangeGetAttribute(&where, 4, cudaMemRangeAttributeLastPrefetchLocation, p + 10, 400));
  CHECK(told[0] == 1 && where == 0);
  OK(cudaMemAdvise(p, 400, cudaMemAdviseSetPreferredLocation, cudaCpuDeviceId));
  OK(cudaMemAdvise(p, 4000, cudaMemAdviseSetAccessedBy, 0));
  OK(cudaMemAdvise(p, 4000, cudaMemAdviseUnsetReadMostly, 0));
  int of_half = 7;
  void* answers[] = {told, &where, &of_half};
  size_t sizes[] = {8, 4, 4};
  cudaMemRangeAttribute questions[] = {cudaMemRangeAttributeAccessedBy, cudaMemRangeAttributePreferredLocation,
                                       cudaMemRangeAttributeReadMostly};
  OK(cudaMemRangeGetAttributes(answers, sizes, questions, 3, p, 400));
  CHECK(told[0] == 0 && told[1] == cudaInvalidDeviceId && where == cudaCpuDeviceId && of_half == 0);
  OK(cudaMemRangeGetAttributes(answers, sizes, questions, 3, p, 4000));
  CHECK(where == cudaInvalidDeviceId);  // of a part only
  FAILS(cudaErrorInvalidValue, cudaMemRangeGetAttribute(told, 4, cudaMemRangeAttributeReadMostly, &plain, 4));
  OK(cudaStreamAttachMemAsync(stream, p));
  FAILS(cudaErrorInvalidValue, cudaStreamAttachMemAsync(stream, &plain, 4, cudaMemAttachSingle));
  p[999] = 4;
  add<<<4, 250, 0, stream>>>(p, 5, 1000);
  OK(cudaStreamSynchronize(stream));
  CHECK(p[999] == 9);
  OK(cudaFree(p));
  OK(cudaStreamDestroy(stream));
}

static void shaped_memory() {
  char* p = nullptr;
  size_t pitch = 0;
  OK(cudaMallocPitch(&p, &pitch, 1000, 7));
  CHECK(p && pitch >= 1000 && pitch % 256 == 0);
  OK(cudaMemset2D(p, pitch, 7, 1000, 7));
  FAILS(cudaErrorInvalidValue, cudaMemset2D(p, pitch, 7, 1000, 8));
  OK(cudaFree(p));
  cudaPitchedPtr volume = {};
  OK(cudaMalloc3D(&volume, make_cudaExtent(100, 5, 3)));
  CHECK(volume.ptr && volume.pitch >= 100 && volume.xsize == 100 && volume.ysize == 5);
  OK(cudaMemset(volume.ptr, 0, volume.pitch * 15));
  FAILS(cudaErrorInvalidValue, cudaMemset(volume.ptr, 0, volume.pitch * 15 + 1));
  OK(cudaFree(volume.ptr));
}

static unsigned long long pool_value(cudaMemPool_t pool, cudaMemPoolAttr which) {
  unsigned long long value = 99;
  OK(cudaMemPoolGetAttribute(pool, which, &value));
  return value;
}

static void pools() {
  cudaMemPool_t common = nullptr, current = nullptr, own = nullptr;
  OK(cudaDeviceGetDefaultMemPool(&common, 0));
  OK(cudaDeviceGetMemPool(&current, 0));
  CHECK(common && common == current);
  cudaMemPoolProps props = {};
  props.allocType = cudaMemAllocationTypePinned;
  props.location = {cudaMemLocationTypeDevice, 0};
  OK(cudaMemPoolCreate(&own, &props));
  CHECK(own && own != common);
  props.location.id = 1;
  FAILS(cudaErrorInvalidDevice, cudaMemPoolCreate(&current, &props));
  unsigned long long keep = 1 << 20, zero = 0;
  OK(cudaMemPoolSetAttribute(own, cudaMemPoolAttrReleaseThreshold, &keep));
  CHECK(pool_value(own, cudaMemPoolAttrReleaseThreshold) == keep);
  cudaStream_t stream;
  OK(cudaStreamCreate(&stream));
  int *p = nullptr, *q = nullptr, *r = nullptr, seen = 0;
  OK(cudaMallocFromPoolAsync(&p, 4000, own, stream));
  OK(cudaMallocAsync(&q, 4000, stream));
  OK(cudaMallocAsync(&r, 400, own, stream));
  CHECK(p && q && r && pool_value(own, cudaMemPoolAttrUsedMemCurrent) == 4400);
  CHECK(pool_value(common, cudaMemPoolAttrUsedMemCurrent) == 4000);
  fill<<<4, 250, 0, stream>>>(p, 6, 1000);
  OK(cudaMemcpyAsync(&seen, p + 500, 4, cudaMemcpyDeviceToHost, stream));
  OK(cudaFreeAsync(p, stream));
  OK(cudaFreeAsync(r, stream));
  OK(cudaStreamSynchronize(stream));
  CHECK(seen == 6);
  FAILS(cudaErrorInvalidValue, cudaFreeAsync(p, stream));
  CHECK(pool_value(own, cudaMemPoolAttrUsedMemCurrent) == 0);
  CHECK(pool_value(own, cudaMemPoolAttrUsedMemHigh) == 4400);
  OK(cudaMemPoolSetAttribute(own, cudaMemPoolAttrUsedMemHigh, &zero));
  CHECK(pool_value(own, cudaMemPoolAttrUsedMemHigh) == 0);
  OK(cudaDeviceSetMemPool(0, own));
  OK(cudaDeviceGetMemPool(&current, 0));
  CHECK(current == own);
  FAILS(cudaErrorInvalidDevice, cudaDeviceSetMemPool(1, own));
  cudaMemAccessDesc access = {{cudaMemLocationTypeDevice, 0}, cudaMemAccessFlagsProtReadWrite};
  OK(cudaMemPoolSetAccess(own, &access, 1));
  access.flags = cudaMemAccessFlagsProtNone;
  FAILS(cudaErrorInvalidValue, cudaMemPoolSetAccess(own, &access, 1));
  cudaMemAccessFlags flags = cudaMemAccessFlagsProtNone;
  OK(cudaMemPoolGetAccess(&flags, own, &access.location));
  CHECK(flags == cudaMemAccessFlagsProtReadWrite);
  OK(cudaMemPoolTrimTo(own, 0));
  OK(cudaFreeAsync(q, stream));
  OK(cudaMemPoolDestroy(own));
  FAILS(cudaErrorInvalidValue, cudaMemPoolTrimTo(own, 0));
  FAILS(cudaErrorInvalidValue, cudaMemPoolDestroy(own));
  OK(cudaDeviceGetMemPool(&current, 0));
  CHECK(current == common);
  OK(cudaStreamDestroy(stream));
}

static void reset() {
  int* p;
  OK(cudaDeviceSynchronize());
  size_t before = left();
  OK(cudaMalloc(&p, 1 << 20));
  OK(cudaDeviceReset());
  CHECK(left() == before);
  FAILS(cudaErrorInvalidValue, cudaFree(p));
  OK(cudaMalloc(&p, 1 << 20));
  OK(cudaThreadExit());
  CHECK(left() == before);
}

int main() {
  device_memory();
  host_memory();
  managed_memory();
  shaped_memory();
  pools();
  reset();
  printf("PASS\n");
}
