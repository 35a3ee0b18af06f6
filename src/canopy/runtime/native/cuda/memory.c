#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "../allocator.h"
#include "check.h"
#include "elsewhere.h"
#include "state.h"

#define ALIGNMENT 512u /* what CUDA promises is 256; rows of cudaMallocPitch start at 512 */
#define LARGE_BYTES (64u << 20) /* from here on the machine is asked what is left */

/* Allocations sorted by address. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static canopy_cuda_allocation *known;
static size_t known_count, known_room;
static uint64_t used_bytes;

/* ---- the registry ---- */

/* The first allocation that starts behind the address. */
static size_t behind(const void *pointer) {
    size_t low = 0, high = known_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if ((const char *)known[middle].pointer <= (const char *)pointer) low = middle + 1;
        else high = middle;
    }
    return low;
}

static check_kind check_kind_of(enum cudaMemoryType type) {
    if (type == cudaMemoryTypeManaged) return CHECK_MANAGED;
    return type == cudaMemoryTypeHost ? CHECK_HOST : CHECK_DEVICE;
}

static bool insert(canopy_cuda_allocation fresh) {
    if (known_count == known_room) {
        size_t room = known_room ? known_room * 2 : 64;
        canopy_cuda_allocation *grown = realloc(known, room * sizeof *grown);
        if (!grown) return false;
        known = grown;
        known_room = room;
    }
    size_t at = behind(fresh.pointer);
    memmove(known + at + 1, known + at, (known_count - at) * sizeof *known);
    known[at] = fresh;
    known_count++;
    if (canopy_check_is_on) canopy_check_add(fresh.pointer, fresh.bytes, check_kind_of(fresh.type), NULL);
    return true;
}

static canopy_cuda_allocation *holder(const void *pointer) {
    size_t at = behind(pointer);
    if (!at) return NULL;
    canopy_cuda_allocation *found = &known[at - 1];
    uint64_t offset = (uint64_t)((const char *)pointer - (const char *)found->pointer);
    return offset < found->bytes || offset == 0 ? found : NULL;
}

bool canopy_cuda_find(const void *pointer, canopy_cuda_allocation *found) {
    pthread_mutex_lock(&lock);
    const canopy_cuda_allocation *at = holder(pointer);
    if (at) *found = *at;
    pthread_mutex_unlock(&lock);
    return at != NULL;
}

bool canopy_cuda_find_any(const void *pointer, canopy_cuda_allocation *found) {
    return canopy_cuda_find(pointer, found) || canopy_cuda_find_variable(pointer, found);
}

uint64_t canopy_cuda_allocations(canopy_cuda_extent *found, uint64_t room) {
    pthread_mutex_lock(&lock);
    for (size_t at = 0; at < known_count && at < room; at++)
        found[at] = (canopy_cuda_extent){known[at].pointer, known[at].bytes};
    uint64_t count = known_count;
    pthread_mutex_unlock(&lock);
    return count;
}

static void forget(canopy_cuda_allocation *at) {
    size_t index = (size_t)(at - known);
    memmove(known + index, known + index + 1, (known_count - index - 1) * sizeof *known);
    known_count--;
}

/* ---- how much there is ---- */

static uint64_t number_in(const char *path) {
    char text[32] = {0};
    FILE *file = fopen(path, "r");
    if (!file) return UINT64_MAX;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    char *end = text;
    unsigned long long number = length ? strtoull(text, &end, 10) : 0;
    return end == text ? UINT64_MAX : number;
}

static uint64_t total_memory(void) {
    static uint64_t total;
    if (total) return total;
    uint64_t bytes = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t group = number_in("/sys/fs/cgroup/memory.max");
    if (group == UINT64_MAX) group = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes");
    return total = group < bytes ? group : bytes;
}

/* A number of a file of lines like "MemAvailable:   1234 kB" or "inactive_file 1234". */
static uint64_t field_of(const char *path, const char *name) {
    char line[128];
    uint64_t number = UINT64_MAX;
    FILE *file = fopen(path, "r");
    while (file && number == UINT64_MAX && fgets(line, sizeof line, file))
        if (!strncmp(line, name, strlen(name))) number = strtoull(line + strlen(name), NULL, 10);
    if (file) fclose(file);
    return number;
}

/* What can be had without swapping or being killed, cached blocks of our own included. */
static uint64_t available_memory(void) {
    canopy_memory_stats stats;
    canopy_alloc_stats(&stats);
    uint64_t kilobytes = field_of("/proc/meminfo", "MemAvailable:");
    uint64_t bytes = kilobytes == UINT64_MAX ? total_memory() : kilobytes * 1024;
    uint64_t limit = number_in("/sys/fs/cgroup/memory.max"), used = number_in("/sys/fs/cgroup/memory.current");
    if (limit != UINT64_MAX && used != UINT64_MAX) {
        uint64_t files = field_of("/sys/fs/cgroup/memory.stat", "inactive_file ");
        if (files != UINT64_MAX) used = used > files ? used - files : 0;
        uint64_t left = limit > used ? limit - used : 0;
        if (left < bytes) bytes = left;
    }
    return bytes + stats.cached_bytes;
}

/* Memory of the device: what was available when the program first asked. Pages are given when they
 * are touched, so what was promised is counted, and large requests look at the machine again. */
static uint64_t capacity(void) {
    static uint64_t bytes;
    if (!bytes) bytes = available_memory();
    return bytes;
}

static bool is_available(uint64_t bytes) {
    if (bytes > capacity() || used_bytes > capacity() - bytes) return false;
    return bytes < LARGE_BYTES || bytes <= available_memory();
}

void canopy_cuda_memory(uint64_t *free_bytes, uint64_t *total_bytes) {
    pthread_mutex_lock(&lock);
    *total_bytes = total_memory();
    *free_bytes = used_bytes < capacity() ? capacity() - used_bytes : 0;
    pthread_mutex_unlock(&lock);
}

cudaError_t cudaMemGetInfo(size_t *free_bytes, size_t *total_bytes) {
    if (!free_bytes || !total_bytes) return canopy_cuda_result(cudaErrorInvalidValue);
    uint64_t left, total;
    canopy_cuda_memory(&left, &total);
    *free_bytes = left;
    *total_bytes = total;
    return canopy_cuda_result(cudaSuccess);
}

/* ---- allocation ---- */

/* Counts bytes as used, if they are to be had. */
static bool reserve(uint64_t bytes, cudaMemPool_t pool) {
    pthread_mutex_lock(&lock);
    bool fits = is_available(bytes);
    if (fits) {
        used_bytes += bytes;
        canopy_cuda_count_in_pool(pool, (int64_t)bytes);
    }
    pthread_mutex_unlock(&lock);
    return fits;
}

static void unreserve(uint64_t bytes, cudaMemPool_t pool) {
    pthread_mutex_lock(&lock);
    used_bytes -= bytes;
    canopy_cuda_count_in_pool(pool, -(int64_t)bytes);
    pthread_mutex_unlock(&lock);
}

cudaError_t canopy_cuda_allocate(void **pointer, uint64_t bytes, enum cudaMemoryType type,
                                 unsigned int flags, cudaMemPool_t pool) {
    if (!pointer) return cudaErrorInvalidValue;
    *pointer = NULL;
    if (canopy_cuda_sticky() != cudaSuccess) return canopy_cuda_sticky();
    if (bytes == 0) return cudaSuccess;
    if (!reserve(bytes, pool)) return cudaErrorMemoryAllocation;
    char *block = canopy_alloc(bytes + ALIGNMENT);
    bool kept = false;
    if (block) {
        char *start = block + (ALIGNMENT - (uintptr_t)block % ALIGNMENT) % ALIGNMENT;
        canopy_cuda_allocation fresh = {start, bytes, block, type, flags, pool};
        pthread_mutex_lock(&lock);
        kept = insert(fresh);
        pthread_mutex_unlock(&lock);
        if (kept) *pointer = start;
        else canopy_free(block);
    }
    if (kept) return cudaSuccess;
    unreserve(bytes, pool);
    return cudaErrorMemoryAllocation;
}

static cudaError_t allocate(void **pointer, uint64_t bytes, enum cudaMemoryType type, unsigned int flags) {
    return canopy_cuda_allocate(pointer, bytes, type, flags, NULL);
}

cudaError_t canopy_cuda_release(void *pointer, bool host) {
    if (!pointer) return cudaSuccess;
    pthread_mutex_lock(&lock);
    canopy_cuda_allocation *at = holder(pointer);
    bool valid = at && at->pointer == pointer && at->block &&
                 (at->type == cudaMemoryTypeHost) == host;
    void *block = NULL;
    if (valid) {
        block = at->block;
        if (at->type == cudaMemoryTypeManaged) canopy_cuda_forget_advice(pointer, at->bytes);
        used_bytes -= at->bytes;
        canopy_cuda_count_in_pool(at->pool, -(int64_t)at->bytes);
        forget(at);
    }
    pthread_mutex_unlock(&lock);
    if (!valid) return cudaErrorInvalidValue;
    if (canopy_check_is_on) canopy_check_freed(pointer, block, canopy_free);
    else canopy_free(block);
    return cudaSuccess;
}

cudaError_t cudaMalloc(void **pointer, size_t bytes) {
    return canopy_cuda_result(allocate(pointer, bytes, cudaMemoryTypeDevice, 0));
}

cudaError_t cudaMallocManaged(void **pointer, size_t bytes, unsigned int flags) {
    bool known_flags = flags == cudaMemAttachGlobal || flags == cudaMemAttachHost;
    if (!known_flags || bytes == 0) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(allocate(pointer, bytes, cudaMemoryTypeManaged, flags));
}

cudaError_t cudaHostAlloc(void **pointer, size_t bytes, unsigned int flags) {
    unsigned int all = cudaHostAllocPortable | cudaHostAllocMapped | cudaHostAllocWriteCombined;
    if (flags & ~all) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(allocate(pointer, bytes, cudaMemoryTypeHost, flags));
}

cudaError_t cudaMallocHost(void **pointer, size_t bytes) { return cudaHostAlloc(pointer, bytes, 0); }

cudaError_t cudaMallocPitch(void **pointer, size_t *pitch, size_t width, size_t height) {
    if (!pitch) return canopy_cuda_result(cudaErrorInvalidValue);
    size_t row, bytes;
    if (__builtin_add_overflow(width, ALIGNMENT - 1, &row)) return canopy_cuda_result(cudaErrorInvalidValue);
    row -= row % ALIGNMENT;
    if (__builtin_mul_overflow(row, height, &bytes)) return canopy_cuda_result(cudaErrorMemoryAllocation);
    *pitch = row;
    return canopy_cuda_result(allocate(pointer, bytes, cudaMemoryTypeDevice, 0));
}

cudaError_t cudaMalloc3D(struct cudaPitchedPtr *pointer, struct cudaExtent extent) {
    size_t rows;
    if (!pointer) return canopy_cuda_result(cudaErrorInvalidValue);
    if (__builtin_mul_overflow(extent.height, extent.depth, &rows))
        return canopy_cuda_result(cudaErrorMemoryAllocation);
    pointer->xsize = extent.width;
    pointer->ysize = extent.height;
    return cudaMallocPitch(&pointer->ptr, &pointer->pitch, extent.width, rows);
}

cudaError_t cudaFree(void *pointer) {
    if (pointer) canopy_cuda_wait_all(); /* work that was queued may still use it */
    return canopy_cuda_result(canopy_cuda_release(pointer, false));
}

cudaError_t cudaFreeHost(void *pointer) {
    if (pointer) canopy_cuda_wait_all();
    return canopy_cuda_result(canopy_cuda_release(pointer, true));
}

void canopy_cuda_free_all(void) {
    pthread_mutex_lock(&lock);
    for (size_t at = 0; at < known_count; at++) {
        if (!known[at].block && canopy_check_is_on) canopy_check_remove(known[at].pointer);
        if (!known[at].block) continue;
        canopy_cuda_count_in_pool(known[at].pool, -(int64_t)known[at].bytes);
        if (canopy_check_is_on) canopy_check_freed(known[at].pointer, known[at].block, canopy_free);
        else canopy_free(known[at].block);
    }
    known_count = 0;
    used_bytes = 0;
    pthread_mutex_unlock(&lock);
}

/* ---- host memory that the program allocated ---- */

cudaError_t cudaHostRegister(void *pointer, size_t bytes, unsigned int flags) {
    if (!pointer || !bytes || flags > 15) return canopy_cuda_result(cudaErrorInvalidValue);
    pthread_mutex_lock(&lock);
    bool taken = holder(pointer) || holder((char *)pointer + bytes - 1);
    canopy_cuda_allocation fresh = {pointer, bytes, NULL, cudaMemoryTypeHost, flags, NULL};
    bool kept = !taken && insert(fresh);
    pthread_mutex_unlock(&lock);
    if (taken) return canopy_cuda_result(cudaErrorHostMemoryAlreadyRegistered);
    return canopy_cuda_result(kept ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaHostUnregister(void *pointer) {
    pthread_mutex_lock(&lock);
    canopy_cuda_allocation *at = pointer ? holder(pointer) : NULL;
    bool valid = at && at->pointer == pointer && !at->block;
    if (valid) forget(at);
    pthread_mutex_unlock(&lock);
    if (valid && canopy_check_is_on) canopy_check_remove(pointer);
    return canopy_cuda_result(valid ? cudaSuccess : cudaErrorHostMemoryNotRegistered);
}

cudaError_t cudaHostGetDevicePointer(void **device, void *host, unsigned int flags) {
    canopy_cuda_allocation found;
    if (!device || !host || flags) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_find(host, &found) || found.type != cudaMemoryTypeHost)
        return canopy_cuda_result(cudaErrorInvalidValue);
    *device = host;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaHostGetFlags(unsigned int *flags, void *host) {
    canopy_cuda_allocation found;
    if (!flags || !canopy_cuda_find(host, &found) || found.type != cudaMemoryTypeHost)
        return canopy_cuda_result(cudaErrorInvalidValue);
    *flags = found.flags | cudaHostAllocMapped;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaPointerGetAttributes(struct cudaPointerAttributes *attributes, const void *pointer) {
    if (!attributes) return canopy_cuda_result(cudaErrorInvalidValue);
    canopy_cuda_allocation found;
    memset(attributes, 0, sizeof *attributes);
    if (!canopy_cuda_find_any(pointer, &found)) {
        attributes->type = cudaMemoryTypeUnregistered;
        attributes->device = cudaInvalidDeviceId;
        attributes->hostPointer = (void *)pointer;
        return canopy_cuda_result(cudaSuccess);
    }
    attributes->type = found.type;
    attributes->devicePointer = (void *)pointer;
    attributes->hostPointer = found.type == cudaMemoryTypeDevice ? NULL : (void *)pointer;
    return canopy_cuda_result(cudaSuccess);
}

/* ---- hints about managed memory: there is one memory ---- */

cudaError_t canopy_cuda_check_managed(const void *pointer, size_t bytes, int device) {
    canopy_cuda_allocation found;
    if (device != cudaCpuDeviceId && device != 0) return cudaErrorInvalidDevice;
    if (!bytes || !canopy_cuda_find(pointer, &found) || found.type != cudaMemoryTypeManaged)
        return cudaErrorInvalidValue;
    uint64_t offset = (uint64_t)((const char *)pointer - (const char *)found.pointer);
    return bytes <= found.bytes - offset ? cudaSuccess : cudaErrorInvalidValue;
}

cudaError_t cudaMemPrefetchAsync(const void *pointer, size_t bytes, int device, cudaStream_t stream) {
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    cudaError_t problem = canopy_cuda_check_managed(pointer, bytes, device);
    if (problem == cudaSuccess) canopy_cuda_note_prefetch(pointer, bytes, device);
    return canopy_cuda_result(problem);
}

cudaError_t cudaMemAdvise(const void *pointer, size_t bytes, enum cudaMemoryAdvise advice, int device) {
    if ((int)advice < 1 || (int)advice > 6) return canopy_cuda_result(cudaErrorInvalidValue);
    cudaError_t problem = canopy_cuda_check_managed(pointer, bytes, device);
    if (problem == cudaSuccess) canopy_cuda_note_advice(pointer, bytes, advice, device);
    return canopy_cuda_result(problem);
}

cudaError_t cudaStreamAttachMemAsync(cudaStream_t stream, void *pointer, size_t bytes,
                                     unsigned int flags) {
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    bool known_flags = flags == cudaMemAttachGlobal || flags == cudaMemAttachHost || flags == cudaMemAttachSingle;
    if (!known_flags) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(canopy_cuda_check_managed(pointer, bytes ? bytes : 1, 0));
}
