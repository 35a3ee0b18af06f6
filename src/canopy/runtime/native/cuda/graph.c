/* The graph as a data structure: nodes, dependencies, order, clones. */
#include "graph.h"

#include <stdlib.h>
#include <string.h>

cudaGraph_t canopy_cuda_new_graph(void) { return calloc(1, sizeof(struct CUgraph_st)); }

static void free_node(cudaGraphNode_t node) {
    canopy_cuda_drop_task(node->task);
    if (node->child) canopy_cuda_free_graph(node->child);
    free(node->kernel_params);
    free(node->needs.at);
    free(node);
}

void canopy_cuda_free_graph(cudaGraph_t graph) {
    for (cudaGraphNode_t node = graph->first; node;) {
        cudaGraphNode_t next = node->next;
        free_node(node);
        node = next;
    }
    free(graph);
}

bool canopy_cuda_add_to_nodes(canopy_cuda_nodes *nodes, const cudaGraphNode_t *more, size_t count) {
    for (size_t at = 0; at < count; at++) {
        size_t known = 0;
        while (known < nodes->count && nodes->at[known] != more[at]) known++;
        if (known < nodes->count) continue;
        if (nodes->count == nodes->room) {
            size_t room = nodes->room ? nodes->room * 2 : 4;
            cudaGraphNode_t *grown = realloc(nodes->at, room * sizeof *grown);
            if (!grown) return false;
            nodes->at = grown;
            nodes->room = room;
        }
        nodes->at[nodes->count++] = more[at];
    }
    return true;
}

cudaGraphNode_t canopy_cuda_add_node(cudaGraph_t graph, enum cudaGraphNodeType type, canopy_cuda_task *task,
                                     const cudaGraphNode_t *needs, size_t count) {
    cudaGraphNode_t node = calloc(1, sizeof *node);
    if (!node || !canopy_cuda_add_to_nodes(&node->needs, needs, count)) {
        free(node);
        canopy_cuda_drop_task(task);
        return NULL;
    }
    node->graph = graph;
    node->type = type;
    node->task = task;
    if (graph->last) graph->last->next = node;
    else graph->first = node;
    graph->last = node;
    graph->count++;
    return node;
}

/* ---- order ---- */

static void unmark(cudaGraph_t graph) {
    for (cudaGraphNode_t node = graph->first; node; node = node->next) node->mark = 0;
}

static bool place(cudaGraphNode_t node, cudaGraphNode_t *ordered, size_t *count) {
    if (node->mark) return node->mark == 2;
    node->mark = 1;
    for (size_t at = 0; at < node->needs.count; at++)
        if (!place(node->needs.at[at], ordered, count)) return false;
    node->mark = 2;
    ordered[(*count)++] = node;
    return true;
}

bool canopy_cuda_order(cudaGraph_t graph, cudaGraphNode_t *ordered) {
    size_t count = 0;
    unmark(graph);
    for (cudaGraphNode_t node = graph->first; node; node = node->next)
        if (!place(node, ordered, &count)) return false;
    return true;
}

/* ---- clones ---- */

static cudaGraphNode_t clone_of(cudaGraph_t clone, cudaGraphNode_t node) {
    cudaGraphNode_t at = clone->first;
    while (at && at->origin != node) at = at->next;
    return at;
}

static bool clone_node(cudaGraph_t clone, cudaGraphNode_t node) {
    cudaGraphNode_t fresh = canopy_cuda_add_node(clone, node->type, canopy_cuda_keep_task(node->task), NULL, 0);
    if (!fresh) return false;
    fresh->origin = node;
    if (node->child) fresh->child = canopy_cuda_clone_graph(node->child);
    return !node->child || fresh->child;
}

static bool clone_needs(cudaGraph_t clone, cudaGraphNode_t node) {
    cudaGraphNode_t fresh = clone_of(clone, node);
    for (size_t at = 0; at < node->needs.count; at++) {
        cudaGraphNode_t need = clone_of(clone, node->needs.at[at]);
        if (!canopy_cuda_add_to_nodes(&fresh->needs, &need, 1)) return false;
    }
    return true;
}

cudaGraph_t canopy_cuda_clone_graph(cudaGraph_t graph) {
    cudaGraph_t clone = canopy_cuda_new_graph();
    bool whole = clone != NULL;
    for (cudaGraphNode_t node = graph->first; whole && node; node = node->next) whole = clone_node(clone, node);
    for (cudaGraphNode_t node = graph->first; whole && node; node = node->next) whole = clone_needs(clone, node);
    if (whole) return clone;
    if (clone) canopy_cuda_free_graph(clone);
    return NULL;
}

/* ---- the API: graphs ---- */

cudaError_t cudaGraphCreate(cudaGraph_t *graph, unsigned int flags) {
    if (!graph || flags) return canopy_cuda_result(cudaErrorInvalidValue);
    *graph = canopy_cuda_new_graph();
    return canopy_cuda_result(*graph ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    if (!graph) return canopy_cuda_result(cudaErrorInvalidValue);
    canopy_cuda_free_graph(graph);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGraphClone(cudaGraph_t *clone, cudaGraph_t graph) {
    if (!clone || !graph) return canopy_cuda_result(cudaErrorInvalidValue);
    *clone = canopy_cuda_clone_graph(graph);
    return canopy_cuda_result(*clone ? cudaSuccess : cudaErrorMemoryAllocation);
}

cudaError_t cudaGraphNodeFindInClone(cudaGraphNode_t *found, cudaGraphNode_t node, cudaGraph_t clone) {
    if (!found || !node || !clone) return canopy_cuda_result(cudaErrorInvalidValue);
    *found = clone_of(clone, node);
    return canopy_cuda_result(*found ? cudaSuccess : cudaErrorInvalidValue);
}

/* Hands out an array the way CUDA does: how many there are, or as many as there is room for. */
static cudaError_t hand_out(const cudaGraphNode_t *from, size_t available, cudaGraphNode_t *nodes, size_t *count) {
    if (!nodes) {
        *count = available;
        return cudaSuccess;
    }
    for (size_t at = 0; at < *count; at++) nodes[at] = at < available ? from[at] : NULL;
    if (*count > available) *count = available;
    return cudaSuccess;
}

static cudaError_t hand_out_if(cudaGraph_t graph, bool (*wanted)(cudaGraphNode_t node, cudaGraphNode_t of),
                               cudaGraphNode_t of, cudaGraphNode_t *nodes, size_t *count) {
    cudaGraphNode_t *found = malloc((graph->count + 1) * sizeof *found);
    size_t available = 0;
    if (!found) return cudaErrorMemoryAllocation;
    for (cudaGraphNode_t node = graph->first; node; node = node->next)
        if (wanted(node, of)) found[available++] = node;
    cudaError_t result = hand_out(found, available, nodes, count);
    free(found);
    return result;
}

static bool is_any(cudaGraphNode_t node, cudaGraphNode_t of) { return (void)node, (void)of, true; }
static bool is_root(cudaGraphNode_t node, cudaGraphNode_t of) { return (void)of, node->needs.count == 0; }

static bool needs(cudaGraphNode_t node, cudaGraphNode_t of) {
    for (size_t at = 0; at < node->needs.count; at++)
        if (node->needs.at[at] == of) return true;
    return false;
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    if (!graph || !count) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(hand_out_if(graph, is_any, NULL, nodes, count));
}

cudaError_t cudaGraphGetRootNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    if (!graph || !count) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(hand_out_if(graph, is_root, NULL, nodes, count));
}

cudaError_t cudaGraphGetEdges(cudaGraph_t graph, cudaGraphNode_t *from, cudaGraphNode_t *to, size_t *count) {
    if (!graph || !count || !from != !to) return canopy_cuda_result(cudaErrorInvalidValue);
    size_t at = 0;
    for (cudaGraphNode_t node = graph->first; node; node = node->next)
        for (size_t need = 0; need < node->needs.count; need++, at++) {
            if (!from || at >= *count) continue;
            from[at] = node->needs.at[need];
            to[at] = node;
        }
    if (!from || at < *count) *count = at;
    return canopy_cuda_result(cudaSuccess);
}

/* ---- the API: nodes ---- */

cudaError_t cudaGraphNodeGetType(cudaGraphNode_t node, enum cudaGraphNodeType *type) {
    if (!node || !type) return canopy_cuda_result(cudaErrorInvalidValue);
    *type = node->type;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGraphNodeGetDependencies(cudaGraphNode_t node, cudaGraphNode_t *nodes, size_t *count) {
    if (!node || !count) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(hand_out(node->needs.at, node->needs.count, nodes, count));
}

cudaError_t cudaGraphNodeGetDependentNodes(cudaGraphNode_t node, cudaGraphNode_t *nodes, size_t *count) {
    if (!node || !count) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(hand_out_if(node->graph, needs, node, nodes, count));
}

bool canopy_cuda_belong(cudaGraph_t graph, const cudaGraphNode_t *nodes, size_t count) {
    for (size_t at = 0; at < count; at++)
        if (!nodes || !nodes[at] || nodes[at]->graph != graph) return false;
    return true;
}

cudaError_t cudaGraphAddDependencies(cudaGraph_t graph, const cudaGraphNode_t *from, const cudaGraphNode_t *to,
                                     size_t count) {
    if (!graph || !canopy_cuda_belong(graph, from, count) || !canopy_cuda_belong(graph, to, count))
        return canopy_cuda_result(cudaErrorInvalidValue);
    for (size_t at = 0; at < count; at++)
        if (from[at] == to[at] || needs(to[at], from[at])) return canopy_cuda_result(cudaErrorInvalidValue);
    for (size_t at = 0; at < count; at++)
        if (!canopy_cuda_add_to_nodes(&to[at]->needs, &from[at], 1))
            return canopy_cuda_result(cudaErrorMemoryAllocation);
    return canopy_cuda_result(cudaSuccess);
}

static bool remove_need(cudaGraphNode_t node, cudaGraphNode_t need) {
    canopy_cuda_nodes *list = &node->needs;
    for (size_t at = 0; at < list->count; at++) {
        if (list->at[at] != need) continue;
        memmove(list->at + at, list->at + at + 1, (--list->count - at) * sizeof *list->at);
        return true;
    }
    return false;
}

cudaError_t cudaGraphRemoveDependencies(cudaGraph_t graph, const cudaGraphNode_t *from,
                                        const cudaGraphNode_t *to, size_t count) {
    if (!graph || !canopy_cuda_belong(graph, from, count) || !canopy_cuda_belong(graph, to, count))
        return canopy_cuda_result(cudaErrorInvalidValue);
    for (size_t at = 0; at < count; at++)
        if (!remove_need(to[at], from[at])) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGraphDestroyNode(cudaGraphNode_t node) {
    if (!node) return canopy_cuda_result(cudaErrorInvalidValue);
    cudaGraph_t graph = node->graph;
    cudaGraphNode_t before = NULL, *link = &graph->first;
    for (; *link != node; link = &before->next) before = *link;
    *link = node->next;
    if (graph->last == node) graph->last = before;
    graph->count--;
    for (cudaGraphNode_t at = graph->first; at; at = at->next) remove_need(at, node);
    free_node(node);
    return canopy_cuda_result(cudaSuccess);
}

/* ---- adding nodes, and their parameters ---- */

static cudaError_t add(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *depends, size_t count,
                       enum cudaGraphNodeType type, canopy_cuda_task *task) {
    *node = canopy_cuda_add_node(graph, type, task, depends, count);
    return *node ? cudaSuccess : cudaErrorMemoryAllocation;
}

static cudaError_t prepare_kernel(const struct cudaKernelNodeParams *wanted, canopy_cuda_task **task) {
    if (!wanted) return cudaErrorInvalidValue;
    if (wanted->extra) return cudaErrorNotSupported;
    return canopy_cuda_prepare_launch(wanted->func, wanted->gridDim, wanted->blockDim, wanted->kernelParams,
                                      wanted->sharedMemBytes, task);
}

static cudaError_t describe_kernel(cudaGraphNode_t node, struct cudaKernelNodeParams *found) {
    free(node->kernel_params);
    node->kernel_params = calloc(canopy_cuda_parameter_count(node->task) + 1, sizeof *node->kernel_params);
    if (!node->kernel_params) return cudaErrorMemoryAllocation;
    canopy_cuda_describe_launch(node->task, found, node->kernel_params);
    return cudaSuccess;
}

static cudaError_t describe_copy(cudaGraphNode_t node, struct cudaMemcpy3DParms *found) {
    canopy_cuda_describe_copy(node->task, found);
    return cudaSuccess;
}

static cudaError_t describe_fill(cudaGraphNode_t node, struct cudaMemsetParams *found) {
    canopy_cuda_describe_fill(node->task, found);
    return cudaSuccess;
}

static cudaError_t describe_host(cudaGraphNode_t node, struct cudaHostNodeParams *found) {
    canopy_cuda_describe_host(node->task, found);
    return cudaSuccess;
}

static void replace_task(cudaGraphNode_t node, canopy_cuda_task *task) {
    canopy_cuda_drop_task(node->task);
    node->task = task;
}

/* The add, get and set functions of a type of node. */
#define NODE(name, params, prepare, describe)                                                              \
    cudaError_t cudaGraphAdd##name##Node(cudaGraphNode_t *node, cudaGraph_t graph,                         \
                                         const cudaGraphNode_t *depends, size_t count,                     \
                                         const struct params *wanted) {                                    \
        canopy_cuda_task *task;                                                                            \
        if (!node || !graph || !canopy_cuda_belong(graph, depends, count))                                             \
            return canopy_cuda_result(cudaErrorInvalidValue);                                              \
        cudaError_t problem = prepare(wanted, &task);                                                      \
        if (problem != cudaSuccess) return canopy_cuda_result(problem);                                    \
        return canopy_cuda_result(add(node, graph, depends, count, cudaGraphNodeType##name, task));        \
    }                                                                                                      \
    cudaError_t cudaGraph##name##NodeGetParams(cudaGraphNode_t node, struct params *found) {               \
        if (!node || !found || node->type != cudaGraphNodeType##name)                                      \
            return canopy_cuda_result(cudaErrorInvalidValue);                                              \
        return canopy_cuda_result(describe(node, found));                                                  \
    }                                                                                                      \
    cudaError_t cudaGraph##name##NodeSetParams(cudaGraphNode_t node, const struct params *wanted) {        \
        canopy_cuda_task *task;                                                                            \
        if (!node || node->type != cudaGraphNodeType##name)                                                \
            return canopy_cuda_result(cudaErrorInvalidValue);                                              \
        cudaError_t problem = prepare(wanted, &task);                                                      \
        if (problem == cudaSuccess) replace_task(node, task);                                              \
        return canopy_cuda_result(problem);                                                                \
    }

NODE(Kernel, cudaKernelNodeParams, prepare_kernel, describe_kernel)
NODE(Memcpy, cudaMemcpy3DParms, canopy_cuda_prepare_copy, describe_copy)
NODE(Memset, cudaMemsetParams, canopy_cuda_prepare_fill, describe_fill)
NODE(Host, cudaHostNodeParams, canopy_cuda_prepare_host, describe_host)

static struct cudaMemcpy3DParms flat_copy(void *to, const void *from, size_t bytes, enum cudaMemcpyKind kind) {
    return (struct cudaMemcpy3DParms){
        .srcPtr = {(void *)from, bytes, bytes, 1},
        .dstPtr = {to, bytes, bytes, 1},
        .extent = {bytes, 1, 1},
        .kind = kind,
    };
}

cudaError_t cudaGraphAddMemcpyNode1D(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *depends,
                                     size_t count, void *to, const void *from, size_t bytes,
                                     enum cudaMemcpyKind kind) {
    struct cudaMemcpy3DParms wanted = flat_copy(to, from, bytes, kind);
    return cudaGraphAddMemcpyNode(node, graph, depends, count, &wanted);
}

cudaError_t cudaGraphMemcpyNodeSetParams1D(cudaGraphNode_t node, void *to, const void *from, size_t bytes,
                                           enum cudaMemcpyKind kind) {
    struct cudaMemcpy3DParms wanted = flat_copy(to, from, bytes, kind);
    return cudaGraphMemcpyNodeSetParams(node, &wanted);
}

cudaError_t cudaGraphAddEmptyNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *depends,
                                  size_t count) {
    if (!node || !graph || !canopy_cuda_belong(graph, depends, count)) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(add(node, graph, depends, count, cudaGraphNodeTypeEmpty, NULL));
}

cudaError_t cudaGraphAddChildGraphNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *depends,
                                       size_t count, cudaGraph_t child) {
    if (!node || !graph || !child || child == graph || !canopy_cuda_belong(graph, depends, count))
        return canopy_cuda_result(cudaErrorInvalidValue);
    cudaGraph_t clone = canopy_cuda_clone_graph(child);
    if (!clone) return canopy_cuda_result(cudaErrorMemoryAllocation);
    cudaError_t problem = add(node, graph, depends, count, cudaGraphNodeTypeGraph, NULL);
    if (problem == cudaSuccess) (*node)->child = clone;
    else canopy_cuda_free_graph(clone);
    return canopy_cuda_result(problem);
}

cudaError_t cudaGraphChildGraphNodeGetGraph(cudaGraphNode_t node, cudaGraph_t *graph) {
    if (!node || !graph || !node->child) return canopy_cuda_result(cudaErrorInvalidValue);
    *graph = node->child;
    return canopy_cuda_result(cudaSuccess);
}

static cudaError_t add_event(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *depends, size_t count,
                             cudaEvent_t event, bool waits) {
    canopy_cuda_task *task;
    if (!node || !graph || !event || !canopy_cuda_belong(graph, depends, count)) return cudaErrorInvalidValue;
    cudaError_t problem = canopy_cuda_prepare_event(event, waits, &task);
    if (problem != cudaSuccess) return problem;
    return add(node, graph, depends, count, task->type, task);
}

cudaError_t cudaGraphAddEventRecordNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *depends,
                                        size_t count, cudaEvent_t event) {
    return canopy_cuda_result(add_event(node, graph, depends, count, event, false));
}

cudaError_t cudaGraphAddEventWaitNode(cudaGraphNode_t *node, cudaGraph_t graph, const cudaGraphNode_t *depends,
                                      size_t count, cudaEvent_t event) {
    return canopy_cuda_result(add_event(node, graph, depends, count, event, true));
}
