/* Copies and fills. There is one memory, so a direction is checked, not needed. */
#include <stdlib.h>
#include <string.h>

#include "state.h"

typedef struct {
    canopy_cuda_task task;
    char *to;
    const char *from; /* NULL: fill */
    size_t to_pitch, from_pitch, width, height;
    int value;
} copy_task;

static void run(canopy_cuda_task *task) {
    copy_task *copy = (copy_task *)task;
    if (copy->to_pitch == copy->width && copy->from_pitch == copy->width) {
        copy->width *= copy->height;
        copy->height = 1;
        copy->to_pitch = copy->from_pitch = copy->width;
    }
    for (size_t row = 0; row < copy->height; row++) {
        char *to = copy->to + row * copy->to_pitch;
        if (copy->from) memmove(to, copy->from + row * copy->from_pitch, copy->width);
        else memset(to, copy->value, copy->width);
    }
}

static void release(canopy_cuda_task *task) { free(task); }

static cudaError_t submit(cudaStream_t stream, copy_task wanted) {
    if (!canopy_cuda_is_stream(stream)) return cudaErrorInvalidResourceHandle;
    if (!wanted.width || !wanted.height) return cudaSuccess;
    copy_task *task = malloc(sizeof *task);
    if (!task) return cudaErrorMemoryAllocation;
    *task = wanted;
    task->task = (canopy_cuda_task){NULL, run, release, true};
    return canopy_cuda_submit(stream, &task->task);
}

/* Whether `rows` rows lie inside the allocation of the pointer; unknown memory is the host's. */
static bool inside(const void *pointer, size_t pitch, size_t width, size_t rows, bool device) {
    canopy_cuda_allocation found;
    if (!pointer) return false;
    if (!canopy_cuda_find(pointer, &found)) return !device;
    uint64_t offset = (uint64_t)((const char *)pointer - (const char *)found.pointer);
    return (rows - 1) * pitch + width <= found.bytes - offset;
}

static cudaError_t check(const copy_task *copy, enum cudaMemcpyKind kind) {
    if ((int)kind < 0 || (int)kind > 4) return cudaErrorInvalidMemcpyDirection;
    if (copy->to_pitch < copy->width || copy->from_pitch < copy->width) return cudaErrorInvalidPitchValue;
    if (!copy->width || !copy->height) return cudaSuccess;
    bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
    bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
    bool right = inside(copy->to, copy->to_pitch, copy->width, copy->height, to_device) &&
                 inside(copy->from, copy->from_pitch, copy->width, copy->height, from_device);
    return right ? cudaSuccess : cudaErrorInvalidValue;
}

static cudaError_t copy(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                        size_t height, enum cudaMemcpyKind kind, cudaStream_t stream) {
    copy_task wanted = {.to = to, .from = from, .to_pitch = to_pitch, .from_pitch = from_pitch,
                        .width = width, .height = height};
    cudaError_t problem = check(&wanted, kind);
    return canopy_cuda_result(problem != cudaSuccess ? problem : submit(stream, wanted));
}

static cudaError_t fill(void *to, size_t pitch, int value, size_t width, size_t height, cudaStream_t stream) {
    copy_task wanted = {.to = to, .to_pitch = pitch, .from_pitch = pitch, .width = width,
                        .height = height, .value = value};
    if (pitch < width) return canopy_cuda_result(cudaErrorInvalidPitchValue);
    bool right = !width || !height || inside(to, pitch, width, height, true);
    return canopy_cuda_result(right ? submit(stream, wanted) : cudaErrorInvalidValue);
}

cudaError_t cudaMemcpy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
    return copy(to, bytes, from, bytes, bytes, 1, kind, 0);
}

cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind,
                            cudaStream_t stream) {
    return copy(to, bytes, from, bytes, bytes, 1, kind, stream);
}

cudaError_t cudaMemcpy2D(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                         size_t height, enum cudaMemcpyKind kind) {
    return copy(to, to_pitch, from, from_pitch, width, height, kind, 0);
}

cudaError_t cudaMemcpy2DAsync(void *to, size_t to_pitch, const void *from, size_t from_pitch,
                              size_t width, size_t height, enum cudaMemcpyKind kind, cudaStream_t stream) {
    return copy(to, to_pitch, from, from_pitch, width, height, kind, stream);
}

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                                size_t bytes, cudaStream_t stream) {
    if (to_device || from_device) return canopy_cuda_result(cudaErrorInvalidDevice);
    return copy(to, bytes, from, bytes, bytes, 1, cudaMemcpyDeviceToDevice, stream);
}

cudaError_t cudaMemcpyPeer(void *to, int to_device, const void *from, int from_device, size_t bytes) {
    return cudaMemcpyPeerAsync(to, to_device, from, from_device, bytes, 0);
}

cudaError_t cudaMemset(void *to, int value, size_t bytes) { return fill(to, bytes, value, bytes, 1, 0); }

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    return fill(to, bytes, value, bytes, 1, stream);
}

cudaError_t cudaMemset2D(void *to, size_t pitch, int value, size_t width, size_t height) {
    return fill(to, pitch, value, width, height, 0);
}

cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
    return fill(to, pitch, value, width, height, stream);
}

/* ---- variables by their shadow in the host half ---- */

static cudaError_t place(const void *symbol, size_t bytes, size_t offset, char **address) {
    void *start;
    size_t size;
    cudaError_t problem = cudaGetSymbolAddress(&start, symbol);
    if (problem == cudaSuccess) problem = cudaGetSymbolSize(&size, symbol);
    if (problem != cudaSuccess) return problem;
    if (offset > size || bytes > size - offset) return cudaErrorInvalidValue;
    *address = (char *)start + offset;
    return cudaSuccess;
}

cudaError_t cudaMemcpyToSymbolAsync(const void *symbol, const void *from, size_t bytes, size_t offset,
                                    enum cudaMemcpyKind kind, cudaStream_t stream) {
    char *to;
    bool right = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault;
    cudaError_t problem = right ? place(symbol, bytes, offset, &to) : cudaErrorInvalidMemcpyDirection;
    if (problem != cudaSuccess) return canopy_cuda_result(problem);
    return copy(to, bytes, from, bytes, bytes, 1, cudaMemcpyDefault, stream);
}

cudaError_t cudaMemcpyFromSymbolAsync(void *to, const void *symbol, size_t bytes, size_t offset,
                                      enum cudaMemcpyKind kind, cudaStream_t stream) {
    char *from;
    bool right = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice || kind == cudaMemcpyDefault;
    cudaError_t problem = right ? place(symbol, bytes, offset, &from) : cudaErrorInvalidMemcpyDirection;
    if (problem != cudaSuccess) return canopy_cuda_result(problem);
    return copy(to, bytes, from, bytes, bytes, 1, cudaMemcpyDefault, stream);
}

cudaError_t cudaMemcpyToSymbol(const void *symbol, const void *from, size_t bytes, size_t offset,
                               enum cudaMemcpyKind kind) {
    return cudaMemcpyToSymbolAsync(symbol, from, bytes, offset, kind, 0);
}

cudaError_t cudaMemcpyFromSymbol(void *to, const void *symbol, size_t bytes, size_t offset,
                                 enum cudaMemcpyKind kind) {
    return cudaMemcpyFromSymbolAsync(to, symbol, bytes, offset, kind, 0);
}
