/* Memory that a graph allocates and frees. It has its address when its node is added, lives as long as the node and
 * what was made of the graph, and is the same in every launch. */
#include <stdlib.h>

#include "graph.h"

typedef struct {
    canopy_cuda_task task;
    struct cudaMemAllocNodeParams params; /* dptr: the memory, also of a node that frees */
} memory_task;

static void run_nothing(canopy_cuda_task *task) { (void)task; }
static void release_task(canopy_cuda_task *task) { free(task); }

/* Unless the program has freed it itself. */
static void release_memory(canopy_cuda_task *task) {
    canopy_cuda_allocation found;
    void *pointer = ((memory_task *)task)->params.dptr;
    if (canopy_cuda_find(pointer, &found) && found.pointer == pointer && found.pool == canopy_cuda_graph_pool())
        canopy_cuda_release(pointer, false);
    free(task);
}

static cudaError_t add(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *depends, size_t count,
                       memory_task wanted) {
    memory_task *task = malloc(sizeof *task);
    if (!task) return cudaErrorMemoryAllocation;
    *task = wanted;
    *node = canopy_cuda_add_node(graph, task->task.type, &task->task, depends, count);
    return *node ? cudaSuccess : cudaErrorMemoryAllocation;
}

cudaError_t cudaGraphAddMemAllocNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *depends,
                                     size_t count, struct cudaMemAllocNodeParams *wanted) {
    if (!node || !graph || !wanted || !wanted->bytesize || !canopy_cuda_belong(graph, depends, count) ||
        wanted->poolProps.allocType != cudaMemAllocationTypePinned ||
        wanted->poolProps.location.type != cudaMemLocationTypeDevice)
        return canopy_cuda_result(cudaErrorInvalidValue);
    if (wanted->poolProps.location.id) return canopy_cuda_result(cudaErrorInvalidDevice);
    cudaError_t problem =
        canopy_cuda_allocate(&wanted->dptr, wanted->bytesize, cudaMemoryTypeDevice, 0, canopy_cuda_graph_pool());
    if (problem != cudaSuccess) return canopy_cuda_result(problem);
    memory_task task = {{.run = run_nothing, .release = release_memory, .type = cudaGraphNodeTypeMemAlloc}, *wanted};
    return canopy_cuda_result(add(node, graph, depends, count, task));
}

cudaError_t cudaGraphMemAllocNodeGetParams(cudaGraphNode_t node, struct cudaMemAllocNodeParams *found) {
    if (!node || !found || node->type != cudaGraphNodeTypeMemAlloc || node->task->run != run_nothing)
        return canopy_cuda_result(cudaErrorInvalidValue);
    *found = ((memory_task *)node->task)->params;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGraphAddMemFreeNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *depends,
                                    size_t count, void *pointer) {
    canopy_cuda_allocation found;
    if (!node || !graph || !canopy_cuda_belong(graph, depends, count) || !pointer ||
        !canopy_cuda_find(pointer, &found) || found.pointer != pointer)
        return canopy_cuda_result(cudaErrorInvalidValue);
    memory_task task = {{.run = run_nothing, .release = release_task, .type = cudaGraphNodeTypeMemFree},
                        {.dptr = pointer}};
    return canopy_cuda_result(add(node, graph, depends, count, task));
}

cudaError_t cudaGraphMemFreeNodeGetParams(cudaGraphNode_t node, void *pointer) {
    if (!node || !pointer || node->type != cudaGraphNodeTypeMemFree || node->task->run != run_nothing)
        return canopy_cuda_result(cudaErrorInvalidValue);
    *(void **)pointer = ((memory_task *)node->task)->params.dptr;
    return canopy_cuda_result(cudaSuccess);
}

/* ---- the pool that graphs allocate from ---- */

static enum cudaMemPoolAttr in_pool(enum cudaGraphMemAttributeType attribute) {
    static const enum cudaMemPoolAttr names[] = {cudaMemPoolAttrUsedMemCurrent, cudaMemPoolAttrUsedMemHigh,
                                                 cudaMemPoolAttrReservedMemCurrent, cudaMemPoolAttrReservedMemHigh};
    return (unsigned int)attribute < 4 ? names[attribute] : (enum cudaMemPoolAttr)0;
}

cudaError_t cudaDeviceGetGraphMemAttribute(int device, enum cudaGraphMemAttributeType attribute, void *value) {
    if (device) return canopy_cuda_result(cudaErrorInvalidDevice);
    return cudaMemPoolGetAttribute(canopy_cuda_graph_pool(), in_pool(attribute), value);
}

cudaError_t cudaDeviceSetGraphMemAttribute(int device, enum cudaGraphMemAttributeType attribute, void *value) {
    if (device) return canopy_cuda_result(cudaErrorInvalidDevice);
    return cudaMemPoolSetAttribute(canopy_cuda_graph_pool(), in_pool(attribute), value);
}

cudaError_t cudaDeviceGraphMemTrim(int device) {
    if (device) return canopy_cuda_result(cudaErrorInvalidDevice);
    return cudaMemPoolTrimTo(canopy_cuda_graph_pool(), 0);
}
