/* Executable graphs: a graph's work in one order, as it was when the graph was instantiated. */
#include <stdlib.h>

#include "graph.h"

typedef struct {
    cudaGraphNode_t node; /* of the graph that was instantiated */
    canopy_cuda_task *task;
} step;

/* Never changed once it may run: an update makes another. */
typedef struct {
    uint32_t owners; /* beyond the first */
    size_t count;
    step steps[];
} plan;

struct CUgraphExec_st {
    pthread_mutex_t lock;
    plan *plan;
};

static plan *keep(cudaGraphExec_t exec) {
    pthread_mutex_lock(&exec->lock);
    plan *found = exec->plan;
    __atomic_add_fetch(&found->owners, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&exec->lock);
    return found;
}

static void drop(plan *unused) {
    if (__atomic_fetch_sub(&unused->owners, 1, __ATOMIC_ACQ_REL)) return;
    for (size_t at = 0; at < unused->count; at++) canopy_cuda_drop_task(unused->steps[at].task);
    free(unused);
}

static void replace(cudaGraphExec_t exec, plan *fresh) {
    pthread_mutex_lock(&exec->lock);
    plan *old = exec->plan;
    exec->plan = fresh;
    pthread_mutex_unlock(&exec->lock);
    drop(old);
}

/* ---- from a graph ---- */

static size_t count_steps(cudaGraph_t graph) {
    size_t count = 0;
    for (cudaGraphNode_t node = graph->first; node; node = node->next)
        count += node->child ? count_steps(node->child) : 1;
    return count;
}

static cudaError_t add_steps(plan *fresh, cudaGraph_t graph) {
    cudaGraphNode_t *ordered = malloc((graph->count + 1) * sizeof *ordered);
    if (!ordered) return cudaErrorMemoryAllocation;
    cudaError_t problem = canopy_cuda_order(graph, ordered) ? cudaSuccess : cudaErrorInvalidValue;
    for (size_t at = 0; at < graph->count && problem == cudaSuccess; at++) {
        cudaGraphNode_t node = ordered[at];
        if (node->child) problem = add_steps(fresh, node->child);
        else fresh->steps[fresh->count++] = (step){node, canopy_cuda_keep_task(node->task)};
    }
    free(ordered);
    return problem;
}

static cudaError_t plan_of(cudaGraph_t graph, plan **made) {
    plan *fresh = calloc(1, sizeof *fresh + count_steps(graph) * sizeof(step));
    if (!fresh) return cudaErrorMemoryAllocation;
    cudaError_t problem = add_steps(fresh, graph);
    if (problem != cudaSuccess) drop(fresh);
    else *made = fresh;
    return problem;
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph, unsigned long long flags) {
    if (!exec || !graph || flags > 15) return canopy_cuda_result(cudaErrorInvalidValue);
    cudaGraphExec_t fresh = calloc(1, sizeof *fresh);
    if (!fresh) return canopy_cuda_result(cudaErrorMemoryAllocation);
    cudaError_t problem = plan_of(graph, &fresh->plan);
    if (problem != cudaSuccess) {
        free(fresh);
        return canopy_cuda_result(problem);
    }
    pthread_mutex_init(&fresh->lock, NULL);
    *exec = fresh;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    if (!exec) return canopy_cuda_result(cudaErrorInvalidValue);
    drop(exec->plan);
    pthread_mutex_destroy(&exec->lock);
    free(exec);
    return canopy_cuda_result(cudaSuccess);
}

/* ---- launching ---- */

typedef struct {
    canopy_cuda_task task;
    plan *plan;
} graph_task;

static void run_graph(canopy_cuda_task *task) {
    const plan *work = ((graph_task *)task)->plan;
    for (size_t at = 0; at < work->count; at++) {
        canopy_cuda_task *part = work->steps[at].task;
        if (part && canopy_cuda_sticky() == cudaSuccess) part->run(part);
    }
}

static void release_graph(canopy_cuda_task *task) {
    drop(((graph_task *)task)->plan);
    free(task);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    if (!exec) return canopy_cuda_result(cudaErrorInvalidValue);
    graph_task *task = calloc(1, sizeof *task);
    if (!task) return canopy_cuda_result(cudaErrorMemoryAllocation);
    *task = (graph_task){{.run = run_graph, .release = release_graph, .skip_after_failure = true,
                          .type = cudaGraphNodeTypeGraph}, keep(exec)};
    return canopy_cuda_result(canopy_cuda_submit(stream, &task->task));
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
    if (!exec) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(canopy_cuda_is_stream(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

/* ---- updates ---- */

static plan *copy_of(cudaGraphExec_t exec) {
    plan *old = keep(exec);
    plan *fresh = calloc(1, sizeof *fresh + old->count * sizeof(step));
    for (size_t at = 0; fresh && at < old->count; at++)
        fresh->steps[fresh->count++] = (step){old->steps[at].node, canopy_cuda_keep_task(old->steps[at].task)};
    drop(old);
    return fresh;
}

/* Puts a task into a node's place; owns it. */
static cudaError_t put(cudaGraphExec_t exec, cudaGraphNode_t node, canopy_cuda_task *task) {
    plan *fresh = copy_of(exec);
    size_t at = 0;
    while (fresh && at < fresh->count && fresh->steps[at].node != node) at++;
    if (!fresh || at == fresh->count) {
        if (fresh) drop(fresh);
        canopy_cuda_drop_task(task);
        return fresh ? cudaErrorInvalidValue : cudaErrorMemoryAllocation;
    }
    canopy_cuda_drop_task(fresh->steps[at].task);
    fresh->steps[at].task = task;
    replace(exec, fresh);
    return cudaSuccess;
}

static cudaError_t prepare_kernel(const struct cudaKernelNodeParams *wanted, canopy_cuda_task **task) {
    if (!wanted) return cudaErrorInvalidValue;
    return canopy_cuda_prepare_launch(wanted->func, wanted->gridDim, wanted->blockDim, wanted->kernelParams,
                                      wanted->sharedMemBytes, task);
}

#define SET_PARAMS(name, params, prepare)                                                                \
    cudaError_t cudaGraphExec##name##NodeSetParams(cudaGraphExec_t exec, cudaGraphNode_t node,           \
                                                   const struct params *wanted) {                        \
        canopy_cuda_task *task;                                                                          \
        if (!exec || !node || node->type != cudaGraphNodeType##name)                                     \
            return canopy_cuda_result(cudaErrorInvalidValue);                                            \
        cudaError_t problem = prepare(wanted, &task);                                                    \
        return canopy_cuda_result(problem != cudaSuccess ? problem : put(exec, node, task));             \
    }

SET_PARAMS(Kernel, cudaKernelNodeParams, prepare_kernel)
SET_PARAMS(Memcpy, cudaMemcpy3DParms, canopy_cuda_prepare_copy)
SET_PARAMS(Memset, cudaMemsetParams, canopy_cuda_prepare_fill)
SET_PARAMS(Host, cudaHostNodeParams, canopy_cuda_prepare_host)

cudaError_t cudaGraphExecMemcpyNodeSetParams1D(cudaGraphExec_t exec, cudaGraphNode_t node, void *to,
                                               const void *from, size_t bytes, enum cudaMemcpyKind kind) {
    struct cudaMemcpy3DParms wanted = {
        .srcPtr = {(void *)from, bytes, bytes, 1},
        .dstPtr = {to, bytes, bytes, 1},
        .extent = {bytes, 1, 1},
        .kind = kind,
    };
    return cudaGraphExecMemcpyNodeSetParams(exec, node, &wanted);
}

static cudaGraphNode_t first_difference(const plan *old, const plan *fresh) {
    for (size_t at = 0; at < old->count && at < fresh->count; at++)
        if (old->steps[at].node->type != fresh->steps[at].node->type) return fresh->steps[at].node;
    return NULL;
}

/* The nodes of the exec are known by those of the graph that it was made from, which must live. */
cudaError_t cudaGraphExecUpdate(cudaGraphExec_t exec, cudaGraph_t graph, cudaGraphExecUpdateResultInfo *info) {
    plan *fresh;
    if (!exec || !graph || !info) return canopy_cuda_result(cudaErrorInvalidValue);
    *info = (cudaGraphExecUpdateResultInfo){.result = cudaGraphExecUpdateError};
    cudaError_t problem = plan_of(graph, &fresh);
    if (problem != cudaSuccess) return canopy_cuda_result(problem);
    plan *old = keep(exec);
    info->errorNode = first_difference(old, fresh);
    info->result = old->count != fresh->count ? cudaGraphExecUpdateErrorTopologyChanged
                   : info->errorNode          ? cudaGraphExecUpdateErrorNodeTypeChanged
                                              : cudaGraphExecUpdateSuccess;
    bool same = info->result == cudaGraphExecUpdateSuccess;
    for (size_t at = 0; same && at < old->count; at++) fresh->steps[at].node = old->steps[at].node;
    drop(old);
    if (same) replace(exec, fresh);
    else drop(fresh);
    return canopy_cuda_result(same ? cudaSuccess : cudaErrorGraphExecUpdateFailure);
}
