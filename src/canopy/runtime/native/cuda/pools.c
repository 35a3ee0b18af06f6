/* Memory in the order of a stream, and the pools that it comes from. All pools share the allocator;
 * a pool counts what came from it, and keeps its settings. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "../allocator.h"
#include "state.h"

struct CUmemPoolHandle_st {
    struct CUmemPoolHandle_st *next;
    int reuse[3];
    uint64_t release_threshold;
    uint64_t used, used_high;
    bool is_destroyed; /* freed with its last allocation */
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct CUmemPoolHandle_st graph_pool = {.reuse = {1, 1, 1}}; /* of memory nodes */
static struct CUmemPoolHandle_st default_pool = {.next = &graph_pool, .reuse = {1, 1, 1}};
static cudaMemPool_t pools = &default_pool, current = &default_pool;

cudaMemPool_t canopy_cuda_graph_pool(void) { return &graph_pool; }

static void free_unused(cudaMemPool_t pool) {
    if (!pool->is_destroyed || pool->used) return;
    cudaMemPool_t *link = &pools;
    while (*link != pool) link = &(*link)->next;
    *link = pool->next;
    free(pool);
}

void canopy_cuda_count_in_pool(cudaMemPool_t pool, int64_t bytes) {
    if (!pool) return;
    pthread_mutex_lock(&lock);
    pool->used += (uint64_t)bytes;
    if (pool->used > pool->used_high) pool->used_high = pool->used;
    free_unused(pool);
    pthread_mutex_unlock(&lock);
}

static bool is_pool(cudaMemPool_t pool) {
    pthread_mutex_lock(&lock);
    cudaMemPool_t at = pools;
    while (at && at != pool) at = at->next;
    bool found = at && !at->is_destroyed;
    pthread_mutex_unlock(&lock);
    return found;
}

/* ---- pools ---- */

cudaError_t cudaMemPoolCreate(cudaMemPool_t *pool, const struct cudaMemPoolProps *props) {
    if (!pool || !props || props->allocType != cudaMemAllocationTypePinned ||
        props->location.type != cudaMemLocationTypeDevice)
        return canopy_cuda_result(cudaErrorInvalidValue);
    if (props->location.id) return canopy_cuda_result(cudaErrorInvalidDevice);
    if (props->handleTypes != cudaMemHandleTypeNone) return canopy_cuda_result(cudaErrorNotSupported);
    cudaMemPool_t fresh = calloc(1, sizeof *fresh);
    if (!fresh) return canopy_cuda_result(cudaErrorMemoryAllocation);
    memcpy(fresh->reuse, default_pool.reuse, sizeof fresh->reuse);
    pthread_mutex_lock(&lock);
    fresh->next = pools;
    pools = fresh;
    pthread_mutex_unlock(&lock);
    *pool = fresh;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaMemPoolDestroy(cudaMemPool_t pool) {
    if (!is_pool(pool) || pool == &default_pool) return canopy_cuda_result(cudaErrorInvalidValue);
    pthread_mutex_lock(&lock);
    if (current == pool) current = &default_pool;
    pool->is_destroyed = true;
    free_unused(pool);
    pthread_mutex_unlock(&lock);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaDeviceGetDefaultMemPool(cudaMemPool_t *pool, int device) {
    if (!pool) return canopy_cuda_result(cudaErrorInvalidValue);
    if (device) return canopy_cuda_result(cudaErrorInvalidDevice);
    *pool = &default_pool;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaDeviceGetMemPool(cudaMemPool_t *pool, int device) {
    if (!pool) return canopy_cuda_result(cudaErrorInvalidValue);
    if (device) return canopy_cuda_result(cudaErrorInvalidDevice);
    *pool = current;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaDeviceSetMemPool(int device, cudaMemPool_t pool) {
    if (device) return canopy_cuda_result(cudaErrorInvalidDevice);
    if (!is_pool(pool)) return canopy_cuda_result(cudaErrorInvalidValue);
    current = pool;
    return canopy_cuda_result(cudaSuccess);
}

static bool read_attribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value) {
    switch (attribute) {
    case cudaMemPoolReuseFollowEventDependencies:
    case cudaMemPoolReuseAllowOpportunistic:
    case cudaMemPoolReuseAllowInternalDependencies: *(int *)value = pool->reuse[attribute - 1]; return true;
    case cudaMemPoolAttrReleaseThreshold: *(uint64_t *)value = pool->release_threshold; return true;
    case cudaMemPoolAttrReservedMemCurrent:
    case cudaMemPoolAttrUsedMemCurrent: *(uint64_t *)value = pool->used; return true;
    case cudaMemPoolAttrReservedMemHigh:
    case cudaMemPoolAttrUsedMemHigh: *(uint64_t *)value = pool->used_high; return true;
    }
    return false;
}

static bool write_attribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, const void *value) {
    switch (attribute) {
    case cudaMemPoolReuseFollowEventDependencies:
    case cudaMemPoolReuseAllowOpportunistic:
    case cudaMemPoolReuseAllowInternalDependencies: pool->reuse[attribute - 1] = *(const int *)value; return true;
    case cudaMemPoolAttrReleaseThreshold: pool->release_threshold = *(const uint64_t *)value; return true;
    case cudaMemPoolAttrReservedMemHigh:
    case cudaMemPoolAttrUsedMemHigh:
        if (*(const uint64_t *)value) return false; /* they can only be reset */
        pool->used_high = pool->used;
        return true;
    default: return false;
    }
}

cudaError_t cudaMemPoolGetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value) {
    if (!value || !is_pool(pool)) return canopy_cuda_result(cudaErrorInvalidValue);
    pthread_mutex_lock(&lock);
    bool known = read_attribute(pool, attribute, value);
    pthread_mutex_unlock(&lock);
    return canopy_cuda_result(known ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolSetAttribute(cudaMemPool_t pool, enum cudaMemPoolAttr attribute, void *value) {
    if (!value || !is_pool(pool)) return canopy_cuda_result(cudaErrorInvalidValue);
    pthread_mutex_lock(&lock);
    bool right = write_attribute(pool, attribute, value);
    pthread_mutex_unlock(&lock);
    return canopy_cuda_result(right ? cudaSuccess : cudaErrorInvalidValue);
}

cudaError_t cudaMemPoolTrimTo(cudaMemPool_t pool, size_t bytes) {
    if (!is_pool(pool)) return canopy_cuda_result(cudaErrorInvalidValue);
    if (bytes <= pool->used) canopy_alloc_trim();
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaMemPoolSetAccess(cudaMemPool_t pool, const struct cudaMemAccessDesc *access, size_t count) {
    if (!is_pool(pool) || (count && !access)) return canopy_cuda_result(cudaErrorInvalidValue);
    for (size_t at = 0; at < count; at++) {
        if (access[at].location.id) return canopy_cuda_result(cudaErrorInvalidDevice);
        if (access[at].flags != cudaMemAccessFlagsProtReadWrite) /* its own device always has access */
            return canopy_cuda_result(cudaErrorInvalidValue);
    }
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaMemPoolGetAccess(enum cudaMemAccessFlags *flags, cudaMemPool_t pool,
                                 struct cudaMemLocation *location) {
    if (!flags || !location || !is_pool(pool)) return canopy_cuda_result(cudaErrorInvalidValue);
    if (location->id) return canopy_cuda_result(cudaErrorInvalidDevice);
    *flags = cudaMemAccessFlagsProtReadWrite;
    return canopy_cuda_result(cudaSuccess);
}

/* ---- allocation in stream order ---- */

typedef struct {
    canopy_cuda_task task;
    void *pointer;
} memory_task;

static void run_nothing(canopy_cuda_task *task) { (void)task; }
static void run_free(canopy_cuda_task *task) { canopy_cuda_release(((memory_task *)task)->pointer, false); }
static void release_task(canopy_cuda_task *task) { free(task); }

static void release_memory(canopy_cuda_task *task) {
    canopy_cuda_release(((memory_task *)task)->pointer, false);
    free(task);
}

static cudaError_t submit(cudaStream_t stream, canopy_cuda_task wanted, void *pointer) {
    memory_task *task = calloc(1, sizeof *task);
    if (!task) return cudaErrorMemoryAllocation;
    *task = (memory_task){wanted, pointer};
    return canopy_cuda_submit(stream, &task->task);
}

/* Memory of a graph lives as long as the graph: every launch of it uses the same. */
static cudaError_t allocate(void **pointer, size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
    if (!pointer) return cudaErrorInvalidValue;
    if (!canopy_cuda_is_stream(stream)) return cudaErrorInvalidResourceHandle;
    cudaError_t problem = canopy_cuda_allocate(pointer, bytes, cudaMemoryTypeDevice, 0, pool);
    if (problem != cudaSuccess || !canopy_cuda_is_capturing(stream)) return problem;
    canopy_cuda_task wanted = {.run = run_nothing, .release = release_memory, .type = cudaGraphNodeTypeMemAlloc};
    return submit(stream, wanted, *pointer);
}

cudaError_t cudaMallocFromPoolAsync(void **pointer, size_t bytes, cudaMemPool_t pool, cudaStream_t stream) {
    if (!is_pool(pool)) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(allocate(pointer, bytes, pool, stream));
}

cudaError_t cudaMallocAsync(void **pointer, size_t bytes, cudaStream_t stream) {
    return canopy_cuda_result(allocate(pointer, bytes, current, stream));
}

cudaError_t cudaFreeAsync(void *pointer, cudaStream_t stream) {
    canopy_cuda_allocation found;
    if (!pointer || !canopy_cuda_find(pointer, &found) || found.pointer != pointer || !found.block)
        return canopy_cuda_result(cudaErrorInvalidValue);
    bool in_graph = canopy_cuda_is_capturing(stream);
    canopy_cuda_task wanted = {.run = in_graph ? run_nothing : run_free, .release = release_task,
                               .type = cudaGraphNodeTypeMemFree};
    return canopy_cuda_result(submit(stream, wanted, pointer));
}
