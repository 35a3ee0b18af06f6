/* CUDA's driver interface over the runtime's functions. Contexts are handles without content: there is one device, and
 * the runtime's context is the only one. */
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "canopy_driver_api.h"
#include "state.h"

#define EXPORT __attribute__((visibility("default")))
#define CONTEXTS 32 /* on one thread's stack of them */

static atomic_bool initialised;
static char context; /* the address of it is the handle */
static _Thread_local CUcontext current[CONTEXTS];
static _Thread_local unsigned current_count;

/* The driver's functions have no last error: the runtime's is taken back. */
static CUresult of_runtime(cudaError_t error) {
    if (error != cudaSuccess) cudaGetLastError();
    switch (error) {
    case cudaErrorInvalidConfiguration:
    case cudaErrorInvalidDevicePointer: return CUDA_ERROR_INVALID_VALUE;
    case cudaErrorInvalidDeviceFunction: return CUDA_ERROR_INVALID_HANDLE;
    case cudaErrorInvalidSymbol: return CUDA_ERROR_NOT_FOUND;
    default: return (CUresult)error;
    }
}

EXPORT CUresult cuInit(unsigned int flags) {
    if (flags) return CUDA_ERROR_INVALID_VALUE;
    initialised = true;
    return CUDA_SUCCESS;
}

EXPORT CUresult cuDriverGetVersion(int *version) { return of_runtime(cudaDriverGetVersion(version)); }

static const struct {
    CUresult code;
    const char *name, *text;
} own_errors[] = {
    {CUDA_SUCCESS, "CUDA_SUCCESS", "no error"},
    {CUDA_ERROR_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CUDA_ERROR_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CUDA_ERROR_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CUDA_ERROR_NO_DEVICE, "CUDA_ERROR_NO_DEVICE", "no CUDA-capable device is detected"},
    {CUDA_ERROR_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CUDA_ERROR_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CUDA_ERROR_FILE_NOT_FOUND, "CUDA_ERROR_FILE_NOT_FOUND", "file not found"},
    {CUDA_ERROR_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CUDA_ERROR_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CUDA_ERROR_NOT_READY, "CUDA_ERROR_NOT_READY", "device not ready"},
    {CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES, "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES", "too many resources requested for launch"},
    {CUDA_ERROR_ASSERT, "CUDA_ERROR_ASSERT", "device-side assert triggered"},
    {CUDA_ERROR_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", "unspecified launch failure"},
    {CUDA_ERROR_NOT_SUPPORTED, "CUDA_ERROR_NOT_SUPPORTED", "operation not supported"},
    {CUDA_ERROR_UNKNOWN, "CUDA_ERROR_UNKNOWN", "unknown error"},
};

static CUresult text_of(CUresult code, const char **text, bool is_name) {
    for (size_t at = 0; text && at < sizeof own_errors / sizeof *own_errors; at++) {
        if (own_errors[at].code != code) continue;
        *text = is_name ? own_errors[at].name : own_errors[at].text;
        return CUDA_SUCCESS;
    }
    if (text) *text = NULL;
    return CUDA_ERROR_INVALID_VALUE;
}
EXPORT CUresult cuGetErrorName(CUresult code, const char **text) { return text_of(code, text, true); }
EXPORT CUresult cuGetErrorString(CUresult code, const char **text) { return text_of(code, text, false); }

/* ---- the device */

static CUresult check_device(const void *result, CUdevice device) {
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (!result) return CUDA_ERROR_INVALID_VALUE;
    return device ? CUDA_ERROR_INVALID_DEVICE : CUDA_SUCCESS;
}

EXPORT CUresult cuDeviceGetCount(int *count) {
    CUresult result = check_device(count, 0);
    return result ? result : of_runtime(cudaGetDeviceCount(count));
}
EXPORT CUresult cuDeviceGet(CUdevice *device, int ordinal) {
    CUresult result = check_device(device, ordinal);
    if (!result) *device = ordinal;
    return result;
}
static CUresult properties(struct cudaDeviceProp *found, const void *result, CUdevice device) {
    CUresult code = check_device(result, device);
    return code ? code : of_runtime(cudaGetDeviceProperties(found, device));
}
EXPORT CUresult cuDeviceGetName(char *name, int room, CUdevice device) {
    struct cudaDeviceProp found;
    CUresult result = properties(&found, name, device);
    if (!result && room > 0) snprintf(name, (size_t)room, "%s", found.name);
    return result;
}
EXPORT CUresult cuDeviceGetUuid(CUuuid *uuid, CUdevice device) {
    struct cudaDeviceProp found;
    CUresult result = properties(&found, uuid, device);
    if (!result) memcpy(uuid, &found.uuid, sizeof *uuid);
    return result;
}
EXPORT CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device) {
    struct cudaDeviceProp found;
    CUresult result = properties(&found, bytes, device);
    if (!result) *bytes = found.totalGlobalMem;
    return result;
}
EXPORT CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute attribute, CUdevice device) {
    CUresult result = check_device(value, device);
    return result ? result : of_runtime(cudaDeviceGetAttribute(value, (enum cudaDeviceAttr)attribute, device));
}
EXPORT CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device) {
    CUresult result = cuDeviceGetAttribute(major, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR, device);
    return result ? result : cuDeviceGetAttribute(minor, CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR, device);
}

/* ---- contexts */

EXPORT CUresult cuDevicePrimaryCtxRetain(CUcontext *made, CUdevice device) {
    CUresult result = check_device(made, device);
    if (!result) *made = (CUcontext)&context;
    return result;
}
EXPORT CUresult cuDevicePrimaryCtxRelease(CUdevice device) { return check_device(&context, device); }

EXPORT CUresult cuCtxPushCurrent(CUcontext pushed) {
    if (pushed != (CUcontext)&context || current_count == CONTEXTS) return CUDA_ERROR_INVALID_CONTEXT;
    current[current_count++] = pushed;
    return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxPopCurrent(CUcontext *popped) {
    if (!current_count) return CUDA_ERROR_INVALID_CONTEXT;
    current_count--;
    if (popped) *popped = current[current_count];
    return CUDA_SUCCESS;
}
EXPORT CUresult cuCtxCreate(CUcontext *made, unsigned int flags, CUdevice device) {
    CUresult result = flags > 31 ? CUDA_ERROR_INVALID_VALUE : check_device(made, device);
    if (result) return result;
    *made = (CUcontext)&context;
    return cuCtxPushCurrent(*made);
}
EXPORT CUresult cuCtxDestroy(CUcontext destroyed) {
    if (destroyed != (CUcontext)&context) return CUDA_ERROR_INVALID_CONTEXT;
    if (current_count) current_count--;
    return of_runtime(cudaDeviceSynchronize());
}
EXPORT CUresult cuCtxGetCurrent(CUcontext *found) {
    CUresult result = check_device(found, 0);
    if (!result) *found = current_count ? current[current_count - 1] : NULL;
    return result;
}
EXPORT CUresult cuCtxSetCurrent(CUcontext wanted) {
    if (!initialised) return CUDA_ERROR_NOT_INITIALIZED;
    if (current_count) current_count--;
    return wanted ? cuCtxPushCurrent(wanted) : CUDA_SUCCESS;
}
EXPORT CUresult cuCtxGetDevice(CUdevice *device) {
    CUresult result = check_device(device, 0);
    if (!result && !current_count) return CUDA_ERROR_INVALID_CONTEXT;
    if (!result) *device = 0;
    return result;
}
EXPORT CUresult cuCtxSynchronize(void) { return of_runtime(cudaDeviceSynchronize()); }

/* ---- memory */

#define ADDRESS(number) ((void *)(uintptr_t)(number))

static CUresult allocated(cudaError_t error, void *made, CUdeviceptr *pointer) {
    if (!error) *pointer = (CUdeviceptr)(uintptr_t)made;
    return of_runtime(error);
}
EXPORT CUresult cuMemGetInfo(size_t *free_bytes, size_t *total) { return of_runtime(cudaMemGetInfo(free_bytes, total)); }
EXPORT CUresult cuMemAlloc(CUdeviceptr *pointer, size_t bytes) {
    void *made = NULL;
    if (!pointer || !bytes) return CUDA_ERROR_INVALID_VALUE;
    return allocated(cudaMalloc(&made, bytes), made, pointer);
}
EXPORT CUresult cuMemAllocManaged(CUdeviceptr *pointer, size_t bytes, unsigned int flags) {
    void *made = NULL;
    if (!pointer || !bytes) return CUDA_ERROR_INVALID_VALUE;
    return allocated(cudaMallocManaged(&made, bytes, flags), made, pointer);
}
EXPORT CUresult cuMemFree(CUdeviceptr pointer) { return of_runtime(cudaFree(ADDRESS(pointer))); }
EXPORT CUresult cuMemAllocHost(void **pointer, size_t bytes) { return of_runtime(cudaMallocHost(pointer, bytes)); }
EXPORT CUresult cuMemHostAlloc(void **pointer, size_t bytes, unsigned int flags) {
    return of_runtime(cudaHostAlloc(pointer, bytes, flags));
}
EXPORT CUresult cuMemFreeHost(void *pointer) { return of_runtime(cudaFreeHost(pointer)); }

EXPORT CUresult cuMemcpy(CUdeviceptr target, CUdeviceptr source, size_t bytes) {
    return of_runtime(cudaMemcpy(ADDRESS(target), ADDRESS(source), bytes, cudaMemcpyDefault));
}
EXPORT CUresult cuMemcpyHtoD(CUdeviceptr target, const void *source, size_t bytes) {
    return of_runtime(cudaMemcpy(ADDRESS(target), source, bytes, cudaMemcpyHostToDevice));
}
EXPORT CUresult cuMemcpyDtoH(void *target, CUdeviceptr source, size_t bytes) {
    return of_runtime(cudaMemcpy(target, ADDRESS(source), bytes, cudaMemcpyDeviceToHost));
}
EXPORT CUresult cuMemcpyDtoD(CUdeviceptr target, CUdeviceptr source, size_t bytes) {
    return of_runtime(cudaMemcpy(ADDRESS(target), ADDRESS(source), bytes, cudaMemcpyDeviceToDevice));
}
EXPORT CUresult cuMemcpyHtoDAsync(CUdeviceptr target, const void *source, size_t bytes, CUstream stream) {
    return of_runtime(cudaMemcpyAsync(ADDRESS(target), source, bytes, cudaMemcpyHostToDevice, stream));
}
EXPORT CUresult cuMemcpyDtoHAsync(void *target, CUdeviceptr source, size_t bytes, CUstream stream) {
    return of_runtime(cudaMemcpyAsync(target, ADDRESS(source), bytes, cudaMemcpyDeviceToHost, stream));
}
EXPORT CUresult cuMemcpyDtoDAsync(CUdeviceptr target, CUdeviceptr source, size_t bytes, CUstream stream) {
    return of_runtime(cudaMemcpyAsync(ADDRESS(target), ADDRESS(source), bytes, cudaMemcpyDeviceToDevice, stream));
}
EXPORT CUresult cuMemsetD8(CUdeviceptr target, unsigned char value, size_t count) {
    return of_runtime(cudaMemset(ADDRESS(target), value, count));
}
EXPORT CUresult cuMemsetD32(CUdeviceptr target, unsigned int value, size_t count) {
    if (target % sizeof value) return CUDA_ERROR_INVALID_VALUE;
    CUresult result = of_runtime(cudaMemset(ADDRESS(target), 0, count * sizeof value)); /* in order with the stream */
    if (!result) result = cuCtxSynchronize();
    for (size_t at = 0; !result && at < count; at++) ((unsigned int *)ADDRESS(target))[at] = value;
    return result;
}

/* ---- streams and events */

EXPORT CUresult cuStreamCreate(CUstream *made, unsigned int flags) { return of_runtime(cudaStreamCreateWithFlags(made, flags)); }
EXPORT CUresult cuStreamDestroy(CUstream stream) { return of_runtime(cudaStreamDestroy(stream)); }
EXPORT CUresult cuStreamSynchronize(CUstream stream) { return of_runtime(cudaStreamSynchronize(stream)); }
EXPORT CUresult cuStreamQuery(CUstream stream) { return of_runtime(cudaStreamQuery(stream)); }
EXPORT CUresult cuStreamWaitEvent(CUstream stream, CUevent event, unsigned int flags) {
    return of_runtime(cudaStreamWaitEvent(stream, event, flags));
}
EXPORT CUresult cuEventCreate(CUevent *made, unsigned int flags) { return of_runtime(cudaEventCreateWithFlags(made, flags)); }
EXPORT CUresult cuEventDestroy(CUevent event) { return of_runtime(cudaEventDestroy(event)); }
EXPORT CUresult cuEventRecord(CUevent event, CUstream stream) { return of_runtime(cudaEventRecord(event, stream)); }
EXPORT CUresult cuEventSynchronize(CUevent event) { return of_runtime(cudaEventSynchronize(event)); }
EXPORT CUresult cuEventQuery(CUevent event) { return of_runtime(cudaEventQuery(event)); }
EXPORT CUresult cuEventElapsedTime(float *milliseconds, CUevent start, CUevent end) {
    return of_runtime(cudaEventElapsedTime(milliseconds, start, end));
}

/* ---- modules and functions */

static CUresult no_module(const char *function) {
    fprintf(stderr, "canopy: %s: device code cannot be loaded as PTX, cubin or fat binary on a CPU; compile the kernel "
            "with the program, and take it by cudaGetFuncBySymbol\n", function);
    return CUDA_ERROR_NOT_SUPPORTED;
}
EXPORT CUresult cuModuleLoad(CUmodule *module, const char *file) {
    (void)module, (void)file;
    return no_module("cuModuleLoad");
}
EXPORT CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    (void)module, (void)image;
    return no_module("cuModuleLoadData");
}
EXPORT CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned int count, void *options, void **values) {
    (void)module, (void)image, (void)count, (void)options, (void)values;
    return no_module("cuModuleLoadDataEx");
}
EXPORT CUresult cuModuleLoadFatBinary(CUmodule *module, const void *image) {
    (void)module, (void)image;
    return no_module("cuModuleLoadFatBinary");
}
EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    (void)function, (void)module, (void)name;
    return CUDA_ERROR_INVALID_HANDLE;
}
EXPORT CUresult cuModuleGetGlobal(CUdeviceptr *pointer, size_t *bytes, CUmodule module, const char *name) {
    (void)pointer, (void)bytes, (void)module, (void)name;
    return CUDA_ERROR_INVALID_HANDLE;
}
EXPORT CUresult cuModuleUnload(CUmodule module) {
    (void)module;
    return CUDA_ERROR_INVALID_HANDLE;
}

/* A function is its stub in the host half. */
EXPORT cudaError_t cudaGetFuncBySymbol(CUfunction *function, const void *symbol) {
    struct cudaFuncAttributes attributes;
    cudaError_t error = function ? cudaFuncGetAttributes(&attributes, symbol) : cudaErrorInvalidValue;
    if (!error) *function = (CUfunction)symbol;
    return canopy_cuda_result(error);
}
EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned int grid_x, unsigned int grid_y, unsigned int grid_z,
                               unsigned int block_x, unsigned int block_y, unsigned int block_z,
                               unsigned int shared_bytes, CUstream stream, void **parameters, void **extra) {
    if (extra) return CUDA_ERROR_NOT_SUPPORTED; /* parameters packed into one buffer */
    dim3 grid = {grid_x, grid_y, grid_z}, block = {block_x, block_y, block_z};
    return of_runtime(cudaLaunchKernel(function, grid, block, parameters, shared_bytes, stream));
}
EXPORT CUresult cuOccupancyMaxActiveBlocksPerMultiprocessor(int *blocks, CUfunction function, int block_size,
                                                            size_t shared_bytes) {
    return of_runtime(cudaOccupancyMaxActiveBlocksPerMultiprocessor(blocks, function, block_size, shared_bytes));
}
