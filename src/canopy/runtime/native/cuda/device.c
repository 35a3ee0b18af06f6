/* The one device: the CPU, with the limits that CUDA programs expect of compute capability 8.0. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "../pool.h"
#include "device_heap.h"
#include "state.h"

int canopy_cuda_processors(void) { return canopy_get_threads(); }

static _Thread_local unsigned int device_flags;
static enum cudaFuncCache cache_config;
static enum cudaSharedMemConfig shared_config;

static void cpu_name(char *name, size_t size) {
    char line[256];
    snprintf(name, size, "Canopy CPU");
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && fgets(line, sizeof line, file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) || !colon) continue;
        line[strcspn(line, "\n")] = 0;
        snprintf(name, size, "Canopy CPU (%s)", colon + 2);
        break;
    }
    if (file) fclose(file);
}

static int l2_bytes(void) {
    long bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
    return bytes > 0 ? (int)bytes : 1 << 20;
}

static void describe(struct cudaDeviceProp *prop) {
    uint64_t left, total;
    memset(prop, 0, sizeof *prop);
    cpu_name(prop->name, sizeof prop->name);
    canopy_cuda_memory(&left, &total);
    prop->totalGlobalMem = total;
    prop->sharedMemPerBlock = CANOPY_CUDA_STATIC_SHARED;
    prop->regsPerBlock = 65536;
    prop->warpSize = 32;
    prop->memPitch = 2147483647;
    prop->maxThreadsPerBlock = 1024;
    memcpy(prop->maxThreadsDim, (int[]){1024, 1024, 64}, sizeof prop->maxThreadsDim);
    memcpy(prop->maxGridSize, (int[]){2147483647, 65535, 65535}, sizeof prop->maxGridSize);
    prop->clockRate = 2000000;
    prop->totalConstMem = CANOPY_CUDA_CONSTANT;
    prop->major = 8;
    prop->textureAlignment = 512;
    prop->texturePitchAlignment = 32;
    prop->deviceOverlap = 1;
    prop->multiProcessorCount = canopy_cuda_processors();
    prop->integrated = 1;
    prop->canMapHostMemory = 1;
    prop->concurrentKernels = 1;
    prop->asyncEngineCount = 1;
    prop->unifiedAddressing = 1;
    prop->memoryClockRate = 2400000;
    prop->memoryBusWidth = 128;
    prop->l2CacheSize = l2_bytes();
    prop->maxThreadsPerMultiProcessor = 2048;
    prop->streamPrioritiesSupported = 1;
    prop->globalL1CacheSupported = 1;
    prop->localL1CacheSupported = 1;
    prop->sharedMemPerMultiprocessor = 228u << 10;
    prop->regsPerMultiprocessor = 65536;
    prop->managedMemory = 1;
    prop->hostNativeAtomicSupported = 1;
    prop->singleToDoublePrecisionPerfRatio = 2;
    prop->pageableMemoryAccess = 1;
    prop->concurrentManagedAccess = 1;
    prop->computePreemptionSupported = 1;
    prop->canUseHostPointerForRegisteredMem = 1;
    prop->cooperativeLaunch = 1;
    prop->sharedMemPerBlockOptin = CANOPY_CUDA_DYNAMIC_SHARED;
    prop->pageableMemoryAccessUsesHostPageTables = 1;
    prop->directManagedMemAccessFromHost = 1;
    prop->maxBlocksPerMultiProcessor = 32;
    prop->reservedSharedMemPerBlock = 1024;
    prop->memoryPoolsSupported = 1;
    prop->hostRegisterSupported = 1;
    memcpy(prop->uuid.bytes, "canopy-cpu-0", 12);
}

cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *prop, int device) {
    if (!prop) return canopy_cuda_result(cudaErrorInvalidValue);
    if (device) return canopy_cuda_result(cudaErrorInvalidDevice);
    describe(prop);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaChooseDevice(int *device, const struct cudaDeviceProp *prop) {
    if (!device || !prop) return canopy_cuda_result(cudaErrorInvalidValue);
    *device = 0;
    return canopy_cuda_result(cudaSuccess);
}

static bool attribute_of(const struct cudaDeviceProp *p, enum cudaDeviceAttr attribute, int *value) {
    switch (attribute) {
#define IS(name, field) case name: *value = (int)p->field; return true
    IS(cudaDevAttrMaxThreadsPerBlock, maxThreadsPerBlock);
    IS(cudaDevAttrMaxBlockDimX, maxThreadsDim[0]);
    IS(cudaDevAttrMaxBlockDimY, maxThreadsDim[1]);
    IS(cudaDevAttrMaxBlockDimZ, maxThreadsDim[2]);
    IS(cudaDevAttrMaxGridDimX, maxGridSize[0]);
    IS(cudaDevAttrMaxGridDimY, maxGridSize[1]);
    IS(cudaDevAttrMaxGridDimZ, maxGridSize[2]);
    IS(cudaDevAttrMaxSharedMemoryPerBlock, sharedMemPerBlock);
    IS(cudaDevAttrTotalConstantMemory, totalConstMem);
    IS(cudaDevAttrWarpSize, warpSize);
    IS(cudaDevAttrMaxPitch, memPitch);
    IS(cudaDevAttrMaxRegistersPerBlock, regsPerBlock);
    IS(cudaDevAttrClockRate, clockRate);
    IS(cudaDevAttrTextureAlignment, textureAlignment);
    IS(cudaDevAttrGpuOverlap, deviceOverlap);
    IS(cudaDevAttrMultiProcessorCount, multiProcessorCount);
    IS(cudaDevAttrKernelExecTimeout, kernelExecTimeoutEnabled);
    IS(cudaDevAttrIntegrated, integrated);
    IS(cudaDevAttrCanMapHostMemory, canMapHostMemory);
    IS(cudaDevAttrComputeMode, computeMode);
    IS(cudaDevAttrConcurrentKernels, concurrentKernels);
    IS(cudaDevAttrEccEnabled, ECCEnabled);
    IS(cudaDevAttrPciBusId, pciBusID);
    IS(cudaDevAttrPciDeviceId, pciDeviceID);
    IS(cudaDevAttrTccDriver, tccDriver);
    IS(cudaDevAttrMemoryClockRate, memoryClockRate);
    IS(cudaDevAttrGlobalMemoryBusWidth, memoryBusWidth);
    IS(cudaDevAttrL2CacheSize, l2CacheSize);
    IS(cudaDevAttrMaxThreadsPerMultiProcessor, maxThreadsPerMultiProcessor);
    IS(cudaDevAttrAsyncEngineCount, asyncEngineCount);
    IS(cudaDevAttrUnifiedAddressing, unifiedAddressing);
    IS(cudaDevAttrPciDomainId, pciDomainID);
    IS(cudaDevAttrTexturePitchAlignment, texturePitchAlignment);
    IS(cudaDevAttrComputeCapabilityMajor, major);
    IS(cudaDevAttrComputeCapabilityMinor, minor);
    IS(cudaDevAttrStreamPrioritiesSupported, streamPrioritiesSupported);
    IS(cudaDevAttrGlobalL1CacheSupported, globalL1CacheSupported);
    IS(cudaDevAttrLocalL1CacheSupported, localL1CacheSupported);
    IS(cudaDevAttrMaxSharedMemoryPerMultiprocessor, sharedMemPerMultiprocessor);
    IS(cudaDevAttrMaxRegistersPerMultiprocessor, regsPerMultiprocessor);
    IS(cudaDevAttrManagedMemory, managedMemory);
    IS(cudaDevAttrIsMultiGpuBoard, isMultiGpuBoard);
    IS(cudaDevAttrMultiGpuBoardGroupID, multiGpuBoardGroupID);
    IS(cudaDevAttrHostNativeAtomicSupported, hostNativeAtomicSupported);
    IS(cudaDevAttrSingleToDoublePrecisionPerfRatio, singleToDoublePrecisionPerfRatio);
    IS(cudaDevAttrPageableMemoryAccess, pageableMemoryAccess);
    IS(cudaDevAttrConcurrentManagedAccess, concurrentManagedAccess);
    IS(cudaDevAttrComputePreemptionSupported, computePreemptionSupported);
    IS(cudaDevAttrCanUseHostPointerForRegisteredMem, canUseHostPointerForRegisteredMem);
    IS(cudaDevAttrCooperativeLaunch, cooperativeLaunch);
    IS(cudaDevAttrCooperativeMultiDeviceLaunch, cooperativeMultiDeviceLaunch);
    IS(cudaDevAttrMaxSharedMemoryPerBlockOptin, sharedMemPerBlockOptin);
    IS(cudaDevAttrMaxBlocksPerMultiprocessor, maxBlocksPerMultiProcessor);
    IS(cudaDevAttrReservedSharedMemoryPerBlock, reservedSharedMemPerBlock);
    IS(cudaDevAttrMemoryPoolsSupported, memoryPoolsSupported);
    IS(cudaDevAttrHostRegisterSupported, hostRegisterSupported);
    IS(cudaDevAttrPageableMemoryAccessUsesHostPageTables, pageableMemoryAccessUsesHostPageTables);
    IS(cudaDevAttrDirectManagedMemAccessFromHost, directManagedMemAccessFromHost);
    IS(cudaDevAttrMaxPersistingL2CacheSize, persistingL2CacheMaxSize);
    IS(cudaDevAttrMaxAccessPolicyWindowSize, accessPolicyMaxWindowSize);
    IS(cudaDevAttrClusterLaunch, clusterLaunch);
#undef IS
    default: return false;
    }
}

cudaError_t cudaDeviceGetAttribute(int *value, enum cudaDeviceAttr attribute, int device) {
    struct cudaDeviceProp prop;
    if (!value) return canopy_cuda_result(cudaErrorInvalidValue);
    if (device) return canopy_cuda_result(cudaErrorInvalidDevice);
    describe(&prop);
    return canopy_cuda_result(attribute_of(&prop, attribute, value) ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaDeviceGetPCIBusId(char *id, int length, int device) {
    if (!id || length < 13) return canopy_cuda_result(cudaErrorInvalidValue);
    if (device) return canopy_cuda_result(cudaErrorInvalidDevice);
    snprintf(id, (size_t)length, "0000:00:00.0");
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGetDeviceCount(int *count) {
    if (!count) return canopy_cuda_result(cudaErrorInvalidValue);
    *count = 1;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGetDevice(int *device) {
    if (!device) return canopy_cuda_result(cudaErrorInvalidValue);
    *device = 0;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaSetDevice(int device) {
    return canopy_cuda_result(device == 0 ? cudaSuccess : cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceSynchronize(void) { return canopy_cuda_result(canopy_cuda_synchronize()); }
cudaError_t cudaThreadSynchronize(void) { return cudaDeviceSynchronize(); }

cudaError_t cudaDeviceReset(void) {
    canopy_cuda_wait_all();
    canopy_cuda_destroy_streams();
    canopy_cuda_free_all();
    canopy_cuda_unstick();
    return cudaSuccess;
}

cudaError_t cudaThreadExit(void) { return cudaDeviceReset(); }

cudaError_t cudaSetDeviceFlags(unsigned int flags) {
    if (flags > 31) return canopy_cuda_result(cudaErrorInvalidValue);
    device_flags = flags;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGetDeviceFlags(unsigned int *flags) {
    if (!flags) return canopy_cuda_result(cudaErrorInvalidValue);
    *flags = device_flags;
    return canopy_cuda_result(cudaSuccess);
}

static size_t limits[] = {1024, 1u << 20, 8u << 20, 2, 2048, 64};

cudaError_t cudaDeviceSetLimit(enum cudaLimit limit, size_t value) {
    if ((unsigned)limit >= sizeof limits / sizeof *limits) return canopy_cuda_result(cudaErrorInvalidValue);
    limits[limit] = value;
    if (limit == cudaLimitMallocHeapSize) canopy_cuda_heap_limit = value;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaDeviceGetLimit(size_t *value, enum cudaLimit limit) {
    bool right = value && (unsigned)limit < sizeof limits / sizeof *limits;
    if (right) *value = limits[limit];
    return canopy_cuda_result(right ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaDeviceSetCacheConfig(enum cudaFuncCache config) {
    if ((unsigned)config > 3) return canopy_cuda_result(cudaErrorInvalidValue);
    cache_config = config;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaDeviceGetCacheConfig(enum cudaFuncCache *config) {
    if (config) *config = cache_config;
    return canopy_cuda_result(config ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaDeviceSetSharedMemConfig(enum cudaSharedMemConfig config) {
    if ((unsigned)config > 2) return canopy_cuda_result(cudaErrorInvalidValue);
    shared_config = config;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaDeviceGetSharedMemConfig(enum cudaSharedMemConfig *config) {
    if (config) *config = shared_config;
    return canopy_cuda_result(config ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaDeviceCanAccessPeer(int *can, int device, int peer) {
    if (!can) return canopy_cuda_result(cudaErrorInvalidValue);
    if (device || peer) return canopy_cuda_result(cudaErrorInvalidDevice);
    *can = 0;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaDeviceEnablePeerAccess(int peer, unsigned int flags) {
    (void)peer;
    return canopy_cuda_result(flags ? cudaErrorInvalidValue : cudaErrorInvalidDevice);
}

cudaError_t cudaDeviceDisablePeerAccess(int peer) {
    (void)peer;
    return canopy_cuda_result(cudaErrorPeerAccessNotEnabled);
}

cudaError_t cudaDeviceGetP2PAttribute(int *value, enum cudaDeviceP2PAttr attribute, int from, int to) {
    if (!value || (int)attribute < 1 || (int)attribute > 4) return canopy_cuda_result(cudaErrorInvalidValue);
    (void)from, (void)to;
    return canopy_cuda_result(cudaErrorInvalidDevice); /* it takes two devices */
}

cudaError_t cudaDeviceGetByPCIBusId(int *device, const char *id) {
    if (!device || !id) return canopy_cuda_result(cudaErrorInvalidValue);
    if (strcmp(id, "0000:00:00.0") && strcmp(id, "00:00.0")) return canopy_cuda_result(cudaErrorInvalidDevice);
    *device = 0;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaSetValidDevices(int *devices, int count) {
    if (!devices || count < 0) return canopy_cuda_result(cudaErrorInvalidValue);
    for (int at = 0; at < count; at++)
        if (devices[at]) return canopy_cuda_result(cudaErrorInvalidDevice);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaInitDevice(int device, unsigned int flags, unsigned int more) {
    if (device) return canopy_cuda_result(cudaErrorInvalidDevice);
    return canopy_cuda_result(flags > 31 || more > 1 ? cudaErrorInvalidValue : cudaSuccess);
}

cudaError_t cudaCtxResetPersistingL2Cache(void) { return canopy_cuda_result(cudaSuccess); }

/* ---- other processes: there is no device memory that they could open ---- */

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t *handle, void *pointer) {
    return canopy_cuda_result(handle && pointer ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

cudaError_t cudaIpcOpenMemHandle(void **pointer, cudaIpcMemHandle_t handle, unsigned int flags) {
    (void)handle, (void)flags;
    return canopy_cuda_result(pointer ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

cudaError_t cudaIpcCloseMemHandle(void *pointer) {
    return canopy_cuda_result(pointer ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

cudaError_t cudaIpcGetEventHandle(cudaIpcEventHandle_t *handle, cudaEvent_t event) {
    return canopy_cuda_result(handle && event ? cudaErrorNotSupported : cudaErrorInvalidValue);
}

cudaError_t cudaRuntimeGetVersion(int *version) {
    if (version) *version = CUDART_VERSION;
    return canopy_cuda_result(version ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaDriverGetVersion(int *version) { return cudaRuntimeGetVersion(version); }
cudaError_t cudaProfilerStart(void) { return canopy_cuda_result(cudaSuccess); }
cudaError_t cudaProfilerStop(void) { return canopy_cuda_result(cudaSuccess); }
