/* Streams: each one but the default runs its work on a thread of its own, in order.
 *
 * The default stream waits for every blocking stream and then works on the calling thread, so what
 * is submitted to any stream afterwards starts behind it, as CUDA's legacy default stream has it.
 */
#include "stream.h"

#include <errno.h>
#include <stdlib.h>

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static cudaStream_t streams;

void canopy_cuda_lock_streams(void) { pthread_mutex_lock(&list_lock); }
void canopy_cuda_unlock_streams(void) { pthread_mutex_unlock(&list_lock); }

static bool is_default(cudaStream_t stream) {
    return !stream || stream == cudaStreamLegacy || stream == cudaStreamPerThread;
}

bool canopy_cuda_is_stream(cudaStream_t stream) {
    if (is_default(stream)) return true;
    canopy_cuda_lock_streams();
    cudaStream_t at = streams;
    while (at && at != stream) at = at->next;
    canopy_cuda_unlock_streams();
    return at != NULL;
}

/* ---- the thread of a stream ---- */

static void *work(void *argument) {
    cudaStream_t stream = argument;
    pthread_mutex_lock(&stream->lock);
    for (;;) {
        while (!stream->first && !stream->stop) pthread_cond_wait(&stream->changed, &stream->lock);
        canopy_cuda_task *task = stream->first;
        if (!task) break;
        stream->first = task->next;
        if (!stream->first) stream->last = NULL;
        stream->busy = true;
        pthread_mutex_unlock(&stream->lock);
        if (canopy_cuda_sticky() == cudaSuccess || !task->skip_after_failure) task->run(task);
        task->release(task);
        pthread_mutex_lock(&stream->lock);
        stream->busy = false;
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    return NULL;
}

static void wait_idle(cudaStream_t stream) {
    pthread_mutex_lock(&stream->lock);
    while (stream->first || stream->busy) pthread_cond_wait(&stream->changed, &stream->lock);
    pthread_mutex_unlock(&stream->lock);
    canopy_output_flush(); /* synchronising is when what kernels print appears */
}

/* Streams cannot be destroyed while they are waited for here: the list stays locked. */
static void wait_for_streams(bool blocking_only) {
    canopy_cuda_lock_streams();
    for (cudaStream_t at = streams; at; at = at->next)
        if (!blocking_only || !(at->flags & cudaStreamNonBlocking)) wait_idle(at);
    canopy_cuda_unlock_streams();
    canopy_output_flush();
}

void canopy_cuda_wait_all(void) { wait_for_streams(false); }

static bool any_capture(void) {
    canopy_cuda_lock_streams();
    bool found = false;
    for (cudaStream_t at = streams; at; at = at->next) found |= at->graph != NULL;
    canopy_cuda_unlock_streams();
    return found;
}

cudaError_t canopy_cuda_synchronize(void) {
    if (any_capture()) return cudaErrorStreamCaptureUnsupported;
    wait_for_streams(false);
    return cudaSuccess;
}

/* ---- submitting ---- */

static void append(canopy_cuda_task **first, canopy_cuda_task **last, canopy_cuda_task *task) {
    task->next = NULL;
    if (*last) (*last)->next = task;
    else *first = task;
    *last = task;
}

cudaGraph_t canopy_cuda_graph_of(cudaStream_t stream) {
    return is_default(stream) ? NULL : stream->graph;
}

bool canopy_cuda_is_capturing(cudaStream_t stream) { return canopy_cuda_graph_of(stream) != NULL; }

cudaError_t canopy_cuda_submit(cudaStream_t stream, canopy_cuda_task *task) {
    cudaError_t problem = canopy_cuda_sticky();
    if (problem == cudaSuccess && !canopy_cuda_is_stream(stream)) problem = cudaErrorInvalidResourceHandle;
    if (problem == cudaSuccess && is_default(stream) && stream != cudaStreamPerThread && any_capture())
        problem = cudaErrorStreamCaptureImplicit;
    if (problem != cudaSuccess) {
        task->release(task);
        return problem;
    }
    if (is_default(stream)) {
        wait_for_streams(true);
        task->run(task);
        task->release(task);
        return canopy_cuda_sticky();
    }
    if (stream->graph) {
        append(&stream->graph->first, &stream->graph->last, task);
        stream->graph->count++;
        return cudaSuccess;
    }
    pthread_mutex_lock(&stream->lock);
    append(&stream->first, &stream->last, task);
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    return cudaSuccess;
}

/* ---- the API ---- */

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int priority) {
    if (!stream || flags > cudaStreamNonBlocking) return canopy_cuda_result(cudaErrorInvalidValue);
    cudaStream_t fresh = calloc(1, sizeof *fresh);
    if (!fresh) return canopy_cuda_result(cudaErrorMemoryAllocation);
    fresh->flags = flags;
    fresh->priority = priority > 0 ? 0 : priority < -5 ? -5 : priority;
    pthread_mutex_init(&fresh->lock, NULL);
    pthread_cond_init(&fresh->changed, NULL);
    if (pthread_create(&fresh->thread, NULL, work, fresh)) {
        free(fresh);
        return canopy_cuda_result(cudaErrorOperatingSystem);
    }
    canopy_cuda_lock_streams();
    fresh->next = streams;
    streams = fresh;
    canopy_cuda_unlock_streams();
    *stream = fresh;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags) {
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned int *flags) {
    if (!flags) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    *flags = is_default(stream) ? cudaStreamDefault : stream->flags;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int *priority) {
    if (!priority) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    *priority = is_default(stream) ? 0 : stream->priority;
    return canopy_cuda_result(cudaSuccess);
}

/* Removes a stream from the list, so that nobody else finds it. */
static bool unlist(cudaStream_t stream) {
    canopy_cuda_lock_streams();
    cudaStream_t *link = &streams;
    while (*link && *link != stream) link = &(*link)->next;
    bool found = *link != NULL;
    if (found) *link = stream->next;
    canopy_cuda_unlock_streams();
    return found;
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    if (is_default(stream) || !unlist(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    pthread_mutex_lock(&stream->lock);
    stream->stop = true;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    pthread_join(stream->thread, NULL); /* what was submitted is finished first */
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    free(stream);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (canopy_cuda_is_capturing(stream)) return canopy_cuda_result(cudaErrorStreamCaptureUnsupported);
    if (is_default(stream)) wait_for_streams(true);
    else wait_idle(stream);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (canopy_cuda_is_capturing(stream)) return canopy_cuda_result(cudaErrorStreamCaptureUnsupported);
    if (is_default(stream)) return canopy_cuda_result(cudaSuccess);
    pthread_mutex_lock(&stream->lock);
    bool idle = !stream->first && !stream->busy;
    pthread_mutex_unlock(&stream->lock);
    return canopy_cuda_result(idle ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return canopy_cuda_result(cudaSuccess);
}

/* ---- host functions ---- */

typedef struct {
    canopy_cuda_task task;
    cudaHostFn_t function;
    cudaStreamCallback_t callback;
    cudaStream_t stream;
    void *data;
} host_task;

static void run_host(canopy_cuda_task *task) {
    host_task *host = (host_task *)task;
    if (host->function) host->function(host->data);
    else host->callback(host->stream, canopy_cuda_sticky(), host->data);
}

static void release_host(canopy_cuda_task *task) { free(task); }

static cudaError_t submit_host(cudaStream_t stream, cudaHostFn_t function,
                               cudaStreamCallback_t callback, void *data) {
    host_task *host = calloc(1, sizeof *host);
    if (!host) return cudaErrorMemoryAllocation;
    *host = (host_task){{NULL, run_host, release_host, function != NULL}, function, callback, stream, data};
    return canopy_cuda_submit(stream, &host->task);
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data) {
    if (!function) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(submit_host(stream, function, NULL, data));
}

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void *data,
                                  unsigned int flags) {
    if (!callback || flags) return canopy_cuda_result(cudaErrorInvalidValue);
    if (canopy_cuda_is_capturing(stream)) return canopy_cuda_result(cudaErrorStreamCaptureUnsupported);
    return canopy_cuda_result(submit_host(stream, NULL, callback, data));
}

/* ---- graphs ---- */

struct CUgraphExec_st {
    cudaGraph_t graph;
};

typedef struct {
    canopy_cuda_task task;
    cudaGraph_t graph;
} graph_task;

static void drop_graph(cudaGraph_t graph) {
    canopy_cuda_lock_streams();
    bool last = --graph->references == 0;
    canopy_cuda_unlock_streams();
    if (!last) return;
    for (canopy_cuda_task *task = graph->first; task;) {
        canopy_cuda_task *next = task->next;
        task->release(task);
        task = next;
    }
    free(graph);
}

static void keep_graph(cudaGraph_t graph) {
    canopy_cuda_lock_streams();
    graph->references++;
    canopy_cuda_unlock_streams();
}

static void run_graph(canopy_cuda_task *task) {
    for (canopy_cuda_task *at = ((graph_task *)task)->graph->first; at; at = at->next)
        if (canopy_cuda_sticky() == cudaSuccess) at->run(at);
}

static void release_graph(canopy_cuda_task *task) {
    drop_graph(((graph_task *)task)->graph);
    free(task);
}

cudaError_t cudaStreamBeginCapture(cudaStream_t stream, enum cudaStreamCaptureMode mode) {
    if ((int)mode < 0 || (int)mode > 2) return canopy_cuda_result(cudaErrorInvalidValue);
    if (is_default(stream)) return canopy_cuda_result(cudaErrorStreamCaptureUnsupported);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (stream->graph) return canopy_cuda_result(cudaErrorIllegalState);
    cudaGraph_t graph = calloc(1, sizeof *graph);
    if (!graph) return canopy_cuda_result(cudaErrorMemoryAllocation);
    graph->references = 1;
    stream->graph = graph;
    stream->captured_by = stream;
    return canopy_cuda_result(cudaSuccess);
}

void canopy_cuda_join_capture(cudaStream_t stream, cudaStream_t origin) {
    if (is_default(stream) || stream->graph) return;
    stream->graph = origin->graph;
    stream->captured_by = origin->captured_by;
}

cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *graph) {
    if (!graph) return canopy_cuda_result(cudaErrorInvalidValue);
    *graph = NULL;
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (!canopy_cuda_is_capturing(stream)) return canopy_cuda_result(cudaErrorIllegalState);
    if (stream->captured_by != stream) return canopy_cuda_result(cudaErrorStreamCaptureUnmatched);
    cudaGraph_t captured = stream->graph;
    canopy_cuda_lock_streams();
    for (cudaStream_t at = streams; at; at = at->next)
        if (at->graph == captured) at->graph = NULL;
    canopy_cuda_unlock_streams();
    *graph = captured;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
    if (!status) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    *status = canopy_cuda_is_capturing(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGraphInstantiateWithFlags(cudaGraphExec_t *exec, cudaGraph_t graph,
                                          unsigned long long flags) {
    (void)flags;
    if (!exec || !graph) return canopy_cuda_result(cudaErrorInvalidValue);
    cudaGraphExec_t fresh = calloc(1, sizeof *fresh);
    if (!fresh) return canopy_cuda_result(cudaErrorMemoryAllocation);
    keep_graph(graph);
    fresh->graph = graph;
    *exec = fresh;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGraphLaunch(cudaGraphExec_t exec, cudaStream_t stream) {
    if (!exec) return canopy_cuda_result(cudaErrorInvalidValue);
    graph_task *task = calloc(1, sizeof *task);
    if (!task) return canopy_cuda_result(cudaErrorMemoryAllocation);
    *task = (graph_task){{NULL, run_graph, release_graph, true}, exec->graph};
    keep_graph(exec->graph);
    return canopy_cuda_result(canopy_cuda_submit(stream, &task->task));
}

cudaError_t cudaGraphUpload(cudaGraphExec_t exec, cudaStream_t stream) {
    if (!exec) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGraphGetNodes(cudaGraph_t graph, cudaGraphNode_t *nodes, size_t *count) {
    if (!graph || !count) return canopy_cuda_result(cudaErrorInvalidValue);
    size_t at = 0;
    for (canopy_cuda_task *task = graph->first; nodes && task && at < *count; task = task->next)
        nodes[at++] = (cudaGraphNode_t)task;
    *count = nodes ? at : graph->count;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGraphDestroy(cudaGraph_t graph) {
    if (!graph) return canopy_cuda_result(cudaErrorInvalidValue);
    drop_graph(graph);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaGraphExecDestroy(cudaGraphExec_t exec) {
    if (!exec) return canopy_cuda_result(cudaErrorInvalidValue);
    drop_graph(exec->graph);
    free(exec);
    return canopy_cuda_result(cudaSuccess);
}
