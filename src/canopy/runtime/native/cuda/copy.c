/* Copies and fills. There is one memory, so a direction is checked, not needed. */
#include <stdlib.h>
#include <string.h>

#include "graph.h"

/* Pageable memory of at most so many bytes is copied aside, so that the caller need not wait. */
#define STAGED_BYTES (64u << 10)

typedef struct {
    canopy_cuda_task task;
    struct cudaMemcpy3DParms wanted;
    void *staged; /* a copy of the source, or NULL */
} copy_task;

typedef struct {
    canopy_cuda_task task;
    struct cudaMemsetParams wanted;
    size_t depth, rows_apart; /* slices, and rows from one to the next */
} fill_task;

/* ---- copies ---- */

static char *start_of(struct cudaPitchedPtr place, struct cudaPos at) {
    return (char *)place.ptr + (at.z * place.ysize + at.y) * place.pitch + at.x;
}

static void run_copy(canopy_cuda_task *task) {
    const struct cudaMemcpy3DParms *wanted = &((copy_task *)task)->wanted;
    struct cudaPitchedPtr to = wanted->dstPtr, from = wanted->srcPtr;
    size_t width = wanted->extent.width, height = wanted->extent.height, depth = wanted->extent.depth;
    char *to_start = start_of(to, wanted->dstPos);
    const char *from_start = start_of(from, wanted->srcPos);
    if (to.pitch == width && from.pitch == width && (depth == 1 || (to.ysize == height && from.ysize == height))) {
        memmove(to_start, from_start, width * height * depth);
        return;
    }
    for (size_t slice = 0; slice < depth; slice++)
        for (size_t row = 0; row < height; row++)
            memmove(to_start + (slice * to.ysize + row) * to.pitch,
                    from_start + (slice * from.ysize + row) * from.pitch, width);
}

static void release_copy(canopy_cuda_task *task) {
    free(((copy_task *)task)->staged);
    free(task);
}

/* Whether an extent from a place on lies inside the allocation; unknown memory is the host's. */
static bool is_inside(struct cudaPitchedPtr place, struct cudaPos at, struct cudaExtent extent, bool device) {
    canopy_cuda_allocation found;
    if (!place.ptr) return false;
    if (!canopy_cuda_find_any(place.ptr, &found)) return !device;
    size_t rows = (at.z + extent.depth - 1) * place.ysize + at.y + extent.height - 1, bytes;
    if (__builtin_mul_overflow(rows, place.pitch, &bytes)) return false;
    if (__builtin_add_overflow(bytes, at.x + extent.width, &bytes)) return false;
    return bytes <= found.bytes - (uint64_t)((const char *)place.ptr - (const char *)found.pointer);
}

static bool is_empty(struct cudaExtent extent) { return !extent.width || !extent.height || !extent.depth; }

static cudaError_t check_copy(const struct cudaMemcpy3DParms *wanted) {
    if (!wanted) return cudaErrorInvalidValue;
    if (wanted->srcArray || wanted->dstArray) return cudaErrorNotSupported; /* there are no textures */
    if ((int)wanted->kind < 0 || (int)wanted->kind > 4) return cudaErrorInvalidMemcpyDirection;
    if (wanted->dstPtr.pitch < wanted->extent.width || wanted->srcPtr.pitch < wanted->extent.width)
        return cudaErrorInvalidPitchValue;
    if (is_empty(wanted->extent)) return cudaSuccess;
    bool to_device = wanted->kind == cudaMemcpyHostToDevice || wanted->kind == cudaMemcpyDeviceToDevice;
    bool from_device = wanted->kind == cudaMemcpyDeviceToHost || wanted->kind == cudaMemcpyDeviceToDevice;
    bool right = is_inside(wanted->dstPtr, wanted->dstPos, wanted->extent, to_device) &&
                 is_inside(wanted->srcPtr, wanted->srcPos, wanted->extent, from_device);
    return right ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t canopy_cuda_prepare_copy(const struct cudaMemcpy3DParms *wanted, canopy_cuda_task **task) {
    cudaError_t problem = check_copy(wanted);
    if (problem != cudaSuccess) return problem;
    copy_task *copy = malloc(sizeof *copy);
    if (!copy) return cudaErrorMemoryAllocation;
    *copy = (copy_task){{.run = run_copy, .release = release_copy, .skip_after_failure = true,
                         .type = cudaGraphNodeTypeMemcpy}, *wanted, NULL};
    *task = &copy->task;
    return cudaSuccess;
}

void canopy_cuda_describe_copy(const canopy_cuda_task *task, struct cudaMemcpy3DParms *found) {
    *found = ((const copy_task *)task)->wanted;
}

static bool is_pageable(const void *pointer) {
    canopy_cuda_allocation found;
    return !canopy_cuda_find_any(pointer, &found);
}

/* CUDA has read pageable memory when the call returns: programs reuse it at once. */
static bool stage(copy_task *copy) {
    struct cudaMemcpy3DParms *wanted = &copy->wanted;
    size_t bytes = wanted->extent.width;
    if (wanted->extent.height != 1 || wanted->extent.depth != 1 || bytes > STAGED_BYTES) return false;
    copy->staged = malloc(bytes);
    if (!copy->staged) return false;
    memcpy(copy->staged, start_of(wanted->srcPtr, wanted->srcPos), bytes);
    wanted->srcPtr = (struct cudaPitchedPtr){copy->staged, bytes, bytes, 1};
    wanted->srcPos = (struct cudaPos){0, 0, 0};
    return true;
}

static cudaError_t submit_copy(const struct cudaMemcpy3DParms *wanted, cudaStream_t stream) {
    canopy_cuda_task *task;
    if (!canopy_cuda_is_stream(stream)) return cudaErrorInvalidResourceHandle;
    cudaError_t problem = canopy_cuda_prepare_copy(wanted, &task);
    if (problem != cudaSuccess) return problem;
    if (is_empty(wanted->extent)) {
        canopy_cuda_drop_task(task);
        return cudaSuccess;
    }
    if (!canopy_cuda_stream_of(stream) || canopy_cuda_is_capturing(stream)) return canopy_cuda_submit(stream, task);
    bool waits = is_pageable(wanted->dstPtr.ptr);
    if (!waits && is_pageable(wanted->srcPtr.ptr)) waits = !stage((copy_task *)task);
    problem = canopy_cuda_submit(stream, task);
    if (problem == cudaSuccess && waits) canopy_cuda_wait_stream(stream);
    return problem;
}

static cudaError_t copy(void *to, size_t to_pitch, const void *from, size_t from_pitch, size_t width,
                        size_t height, enum cudaMemcpyKind kind, cudaStream_t stream) {
    struct cudaMemcpy3DParms wanted = {
        .srcPtr = {(void *)from, from_pitch, width, height},
        .dstPtr = {to, to_pitch, width, height},
        .extent = {width, height, 1},
        .kind = kind,
    };
    return canopy_cuda_result(submit_copy(&wanted, stream));
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

cudaError_t cudaMemcpy3DAsync(const struct cudaMemcpy3DParms *wanted, cudaStream_t stream) {
    return canopy_cuda_result(submit_copy(wanted, stream));
}

cudaError_t cudaMemcpy3D(const struct cudaMemcpy3DParms *wanted) { return cudaMemcpy3DAsync(wanted, 0); }

cudaError_t cudaMemcpyPeerAsync(void *to, int to_device, const void *from, int from_device,
                                size_t bytes, cudaStream_t stream) {
    if (to_device || from_device) return canopy_cuda_result(cudaErrorInvalidDevice);
    return copy(to, bytes, from, bytes, bytes, 1, cudaMemcpyDeviceToDevice, stream);
}

cudaError_t cudaMemcpyPeer(void *to, int to_device, const void *from, int from_device, size_t bytes) {
    return cudaMemcpyPeerAsync(to, to_device, from, from_device, bytes, 0);
}

/* ---- fills ---- */

static void fill_row(char *to, const struct cudaMemsetParams *wanted) {
    unsigned int value = wanted->value;
    if (wanted->elementSize == 1) memset(to, (int)value, wanted->width);
    for (size_t at = 0; wanted->elementSize > 1 && at < wanted->width; at++)
        memcpy(to + at * wanted->elementSize, &value, wanted->elementSize); /* little-endian */
}

static void run_fill(canopy_cuda_task *task) {
    const fill_task *fill = (const fill_task *)task;
    const struct cudaMemsetParams *wanted = &fill->wanted;
    for (size_t slice = 0; slice < fill->depth; slice++)
        for (size_t row = 0; row < wanted->height; row++)
            fill_row((char *)wanted->dst + (slice * fill->rows_apart + row) * wanted->pitch, wanted);
}

static void release_fill(canopy_cuda_task *task) { free(task); }

static cudaError_t prepare_fill(const struct cudaMemsetParams *wanted, size_t depth, size_t rows_apart,
                                canopy_cuda_task **task) {
    size_t size = wanted->elementSize, bytes = wanted->width * size;
    if (size != 1 && size != 2 && size != 4) return cudaErrorInvalidValue;
    if (wanted->height * depth > 1 && wanted->pitch < bytes) return cudaErrorInvalidPitchValue;
    struct cudaPitchedPtr place = {wanted->dst, wanted->pitch, bytes, rows_apart};
    struct cudaExtent extent = {bytes, wanted->height, depth};
    if (!is_empty(extent) && !is_inside(place, (struct cudaPos){0, 0, 0}, extent, true)) return cudaErrorInvalidValue;
    fill_task *fill = malloc(sizeof *fill);
    if (!fill) return cudaErrorMemoryAllocation;
    *fill = (fill_task){{.run = run_fill, .release = release_fill, .skip_after_failure = true,
                         .type = cudaGraphNodeTypeMemset}, *wanted, depth, rows_apart};
    *task = &fill->task;
    return cudaSuccess;
}

cudaError_t canopy_cuda_prepare_fill(const struct cudaMemsetParams *wanted, canopy_cuda_task **task) {
    return wanted ? prepare_fill(wanted, 1, wanted->height, task) : cudaErrorInvalidValue;
}

void canopy_cuda_describe_fill(const canopy_cuda_task *task, struct cudaMemsetParams *found) {
    *found = ((const fill_task *)task)->wanted;
}

static cudaError_t fill(void *to, size_t pitch, int value, size_t width, size_t height, size_t depth,
                        size_t rows_apart, cudaStream_t stream) {
    canopy_cuda_task *task;
    struct cudaMemsetParams wanted = {to, pitch, (unsigned char)value, 1, width, height};
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (pitch < width) return canopy_cuda_result(cudaErrorInvalidPitchValue);
    if (!width || !height || !depth) return canopy_cuda_result(cudaSuccess);
    cudaError_t problem = prepare_fill(&wanted, depth, rows_apart, &task);
    return canopy_cuda_result(problem != cudaSuccess ? problem : canopy_cuda_submit(stream, task));
}

cudaError_t cudaMemset(void *to, int value, size_t bytes) { return fill(to, bytes, value, bytes, 1, 1, 1, 0); }

cudaError_t cudaMemsetAsync(void *to, int value, size_t bytes, cudaStream_t stream) {
    return fill(to, bytes, value, bytes, 1, 1, 1, stream);
}

cudaError_t cudaMemset2D(void *to, size_t pitch, int value, size_t width, size_t height) {
    return fill(to, pitch, value, width, height, 1, height, 0);
}

cudaError_t cudaMemset2DAsync(void *to, size_t pitch, int value, size_t width, size_t height,
                              cudaStream_t stream) {
    return fill(to, pitch, value, width, height, 1, height, stream);
}

cudaError_t cudaMemset3DAsync(struct cudaPitchedPtr to, int value, struct cudaExtent extent, cudaStream_t stream) {
    return fill(to.ptr, to.pitch, value, extent.width, extent.height, extent.depth, to.ysize, stream);
}

cudaError_t cudaMemset3D(struct cudaPitchedPtr to, int value, struct cudaExtent extent) {
    return cudaMemset3DAsync(to, value, extent, 0);
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
