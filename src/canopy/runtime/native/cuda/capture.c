/* Stream capture: what is submitted becomes nodes, which depend on the stream's latest ones. */
#include <stdatomic.h>
#include <stdlib.h>

#include "graph.h"

static _Atomic unsigned int active;              /* captures under way */
static _Atomic unsigned long long next_capture = 1;

bool canopy_cuda_any_capture(void) { return atomic_load(&active) != 0; }

bool canopy_cuda_is_capturing(cudaStream_t handle) {
    if (!canopy_cuda_any_capture()) return false;
    cudaStream_t stream = canopy_cuda_stream_of(handle);
    return stream && stream->graph;
}

bool canopy_cuda_capture_is_active(unsigned long long capture) {
    if (!capture || !canopy_cuda_any_capture()) return false;
    bool found = false;
    canopy_cuda_lock_streams();
    for (cudaStream_t at = canopy_cuda_first_stream(); at; at = at->next)
        found |= at->graph && at->capture == capture;
    canopy_cuda_unlock_streams();
    return found;
}

cudaError_t canopy_cuda_capture_task(cudaStream_t stream, canopy_cuda_task *task) {
    cudaGraphNode_t node =
        canopy_cuda_add_node(stream->graph, task->type, task, stream->frontier.at, stream->frontier.count);
    if (!node) return cudaErrorMemoryAllocation;
    stream->frontier.count = 0;
    return canopy_cuda_add_to_nodes(&stream->frontier, &node, 1) ? cudaSuccess : cudaErrorMemoryAllocation;
}

unsigned long long canopy_cuda_capture_point(cudaStream_t handle, canopy_cuda_nodes *point) {
    point->count = 0;
    if (!canopy_cuda_is_capturing(handle)) return 0;
    cudaStream_t stream = canopy_cuda_stream_of(handle);
    canopy_cuda_add_to_nodes(point, stream->frontier.at, stream->frontier.count);
    return stream->capture;
}

static cudaStream_t origin_of(unsigned long long capture) {
    canopy_cuda_lock_streams();
    cudaStream_t at = canopy_cuda_first_stream();
    while (at && !(at->graph && at->capture == capture && at->origin == at)) at = at->next;
    canopy_cuda_unlock_streams();
    return at;
}

cudaError_t canopy_cuda_join_capture(cudaStream_t handle, unsigned long long capture,
                                     const canopy_cuda_nodes *point) {
    cudaStream_t stream = canopy_cuda_stream_of(handle), origin = origin_of(capture);
    if (!stream || !origin) return cudaErrorStreamCaptureImplicit;
    if (stream->graph && stream->capture != capture) return cudaErrorStreamCaptureMerge;
    stream->graph = origin->graph;
    stream->origin = origin;
    stream->capture = capture;
    stream->mode = origin->mode;
    return canopy_cuda_add_to_nodes(&stream->frontier, point->at, point->count) ? cudaSuccess
                                                                               : cudaErrorMemoryAllocation;
}

/* ---- the API ---- */

cudaError_t cudaStreamBeginCapture(cudaStream_t handle, enum cudaStreamCaptureMode mode) {
    if ((int)mode < 0 || (int)mode > 2) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(handle)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    cudaStream_t stream = canopy_cuda_stream_of(handle);
    if (!stream) return canopy_cuda_result(cudaErrorStreamCaptureUnsupported);
    if (stream->graph) return canopy_cuda_result(cudaErrorIllegalState);
    cudaGraph_t graph = canopy_cuda_new_graph();
    if (!graph) return canopy_cuda_result(cudaErrorMemoryAllocation);
    stream->capture = atomic_fetch_add(&next_capture, 1);
    stream->frontier.count = 0;
    stream->mode = mode;
    stream->origin = stream;
    stream->graph = graph;
    atomic_fetch_add(&active, 1);
    return canopy_cuda_result(cudaSuccess);
}

static bool reaches(cudaGraphNode_t from, cudaGraphNode_t wanted) {
    if (from == wanted) return true;
    if (from->mark) return false;
    from->mark = 1;
    for (size_t at = 0; at < from->needs.count; at++)
        if (reaches(from->needs.at[at], wanted)) return true;
    return false;
}

/* Whether everything that another stream added comes before the end of the stream where it began. */
static bool is_joined(cudaStream_t origin, cudaStream_t other) {
    for (size_t at = 0; at < other->frontier.count; at++) {
        bool found = false;
        for (cudaGraphNode_t node = origin->graph->first; node; node = node->next) node->mark = 0;
        for (size_t from = 0; !found && from < origin->frontier.count; from++)
            found = reaches(origin->frontier.at[from], other->frontier.at[at]);
        if (!found) return false;
    }
    return true;
}

/* Takes the streams of a capture out of it; whether all of them had joined its first one. */
static bool leave(cudaStream_t origin) {
    cudaGraph_t graph = origin->graph;
    bool joined = true;
    canopy_cuda_lock_streams();
    for (cudaStream_t at = canopy_cuda_first_stream(); at; at = at->next)
        if (at != origin && at->graph == graph) joined = joined && is_joined(origin, at);
    for (cudaStream_t at = canopy_cuda_first_stream(); at; at = at->next) {
        if (at->graph != graph) continue;
        at->graph = NULL;
        at->frontier.count = 0;
    }
    canopy_cuda_unlock_streams();
    atomic_fetch_sub(&active, 1);
    return joined;
}

cudaError_t cudaStreamEndCapture(cudaStream_t handle, cudaGraph_t *graph) {
    if (!graph) return canopy_cuda_result(cudaErrorInvalidValue);
    *graph = NULL;
    if (!canopy_cuda_is_stream(handle)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (!canopy_cuda_is_capturing(handle)) return canopy_cuda_result(cudaErrorIllegalState);
    cudaStream_t stream = canopy_cuda_stream_of(handle);
    if (stream->origin != stream) return canopy_cuda_result(cudaErrorStreamCaptureUnmatched);
    cudaGraph_t captured = stream->graph;
    if (leave(stream)) {
        *graph = captured;
        return canopy_cuda_result(cudaSuccess);
    }
    canopy_cuda_free_graph(captured);
    return canopy_cuda_result(cudaErrorStreamCaptureUnjoined);
}

cudaError_t cudaStreamIsCapturing(cudaStream_t stream, enum cudaStreamCaptureStatus *status) {
    if (!status) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    *status = canopy_cuda_is_capturing(stream) ? cudaStreamCaptureStatusActive : cudaStreamCaptureStatusNone;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamGetCaptureInfo(cudaStream_t handle, enum cudaStreamCaptureStatus *status,
                                     unsigned long long *id, cudaGraph_t *graph, const cudaGraphNode_t **nodes,
                                     size_t *count) {
    cudaError_t problem = cudaStreamIsCapturing(handle, status);
    if (problem != cudaSuccess || *status == cudaStreamCaptureStatusNone) return problem;
    cudaStream_t stream = canopy_cuda_stream_of(handle);
    if (id) *id = stream->capture;
    if (graph) *graph = stream->graph;
    if (nodes) *nodes = stream->frontier.at;
    if (count) *count = stream->frontier.count;
    return canopy_cuda_result(cudaSuccess);
}

static _Thread_local enum cudaStreamCaptureMode thread_mode = cudaStreamCaptureModeGlobal;

cudaError_t cudaThreadExchangeStreamCaptureMode(enum cudaStreamCaptureMode *mode) {
    if (!mode || (int)*mode < 0 || (int)*mode > 2) return canopy_cuda_result(cudaErrorInvalidValue);
    enum cudaStreamCaptureMode old = thread_mode;
    thread_mode = *mode;
    *mode = old;
    return canopy_cuda_result(cudaSuccess);
}
