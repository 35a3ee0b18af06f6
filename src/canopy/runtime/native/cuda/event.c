/* Events: points in a stream's work, with the time when they were reached. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "../clock.h"
#include "graph.h"

struct CUevent_st {
    pthread_mutex_t lock;
    pthread_cond_t reached_one;
    unsigned int flags;
    uint64_t recorded, reached; /* how many records were submitted, and how many are behind us */
    uint64_t time_ns;           /* of the last one reached; 0: none */
    uint64_t references;        /* the program's, and those of work that names it */
    unsigned long long capture; /* the capture in which it was recorded last, or 0 */
    canopy_cuda_nodes point;    /* the nodes that it stands behind there */
};

typedef struct {
    canopy_cuda_task task;
    cudaEvent_t event;
    uint64_t wanted;
    bool waits;
} event_task;

static void drop(cudaEvent_t event) {
    pthread_mutex_lock(&event->lock);
    bool last = --event->references == 0;
    pthread_mutex_unlock(&event->lock);
    if (!last) return;
    pthread_cond_destroy(&event->reached_one);
    pthread_mutex_destroy(&event->lock);
    free(event->point.at);
    free(event);
}

static void run(canopy_cuda_task *task) {
    event_task *at = (event_task *)task;
    cudaEvent_t event = at->event;
    pthread_mutex_lock(&event->lock);
    if (at->waits) {
        while (event->reached < at->wanted) pthread_cond_wait(&event->reached_one, &event->lock);
    } else {
        event->time_ns = canopy_now_ns();
        if (at->wanted > event->reached) event->reached = at->wanted;
        pthread_cond_broadcast(&event->reached_one);
    }
    pthread_mutex_unlock(&event->lock);
}

static void release(canopy_cuda_task *task) {
    drop(((event_task *)task)->event);
    free(task);
}

static cudaError_t submit(cudaStream_t stream, cudaEvent_t event, bool waits) {
    event_task *task = calloc(1, sizeof *task);
    if (!task) return cudaErrorMemoryAllocation;
    pthread_mutex_lock(&event->lock);
    event->references++;
    uint64_t wanted = waits ? event->recorded : ++event->recorded;
    pthread_mutex_unlock(&event->lock);
    canopy_cuda_task base = {.run = run, .release = release, .tells_others = !waits};
    *task = (event_task){base, event, wanted, waits};
    return canopy_cuda_submit(stream, &task->task);
}

/* An event of a graph is recorded whenever the graph runs. */
static void run_in_graph(canopy_cuda_task *task) {
    event_task at = *(event_task *)task;
    pthread_mutex_lock(&at.event->lock);
    at.wanted = at.waits ? at.event->recorded : ++at.event->recorded;
    pthread_mutex_unlock(&at.event->lock);
    run(&at.task);
}

cudaError_t canopy_cuda_prepare_event(cudaEvent_t event, bool waits, canopy_cuda_task **made) {
    event_task *task = calloc(1, sizeof *task);
    if (!task) return cudaErrorMemoryAllocation;
    pthread_mutex_lock(&event->lock);
    event->references++;
    pthread_mutex_unlock(&event->lock);
    enum cudaGraphNodeType type = waits ? cudaGraphNodeTypeWaitEvent : cudaGraphNodeTypeEventRecord;
    *task = (event_task){{.run = run_in_graph, .release = release, .type = type}, event, 0, waits};
    *made = &task->task;
    return cudaSuccess;
}

cudaError_t cudaEventCreateWithFlags(cudaEvent_t *event, unsigned int flags) {
    if (!event || flags > 7) return canopy_cuda_result(cudaErrorInvalidValue);
    cudaEvent_t fresh = calloc(1, sizeof *fresh);
    if (!fresh) return canopy_cuda_result(cudaErrorMemoryAllocation);
    pthread_mutex_init(&fresh->lock, NULL);
    pthread_cond_init(&fresh->reached_one, NULL);
    fresh->flags = flags;
    fresh->references = 1;
    *event = fresh;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaEventCreate(cudaEvent_t *event) {
    return cudaEventCreateWithFlags(event, cudaEventDefault);
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned int flags) {
    if (!event || !canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (flags > cudaEventRecordExternal) return canopy_cuda_result(cudaErrorInvalidValue);
    if (flags == cudaEventRecordExternal && canopy_cuda_is_capturing(stream)) {
        canopy_cuda_task *task;
        cudaError_t problem = canopy_cuda_prepare_event(event, false, &task);
        return canopy_cuda_result(problem != cudaSuccess ? problem : canopy_cuda_submit(stream, task));
    }
    event->capture = canopy_cuda_capture_point(stream, &event->point);
    /* In a capture it orders the streams that join; the graph keeps their order by itself. */
    if (event->capture) return canopy_cuda_result(cudaSuccess);
    return canopy_cuda_result(submit(stream, event, false));
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    return cudaEventRecordWithFlags(event, stream, cudaEventRecordDefault);
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
    if (!event || !canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (flags > cudaEventWaitExternal) return canopy_cuda_result(cudaErrorInvalidValue);
    if (flags == cudaEventWaitExternal && canopy_cuda_is_capturing(stream)) {
        canopy_cuda_task *task;
        cudaError_t problem = canopy_cuda_prepare_event(event, true, &task);
        return canopy_cuda_result(problem != cudaSuccess ? problem : canopy_cuda_submit(stream, task));
    }
    if (canopy_cuda_capture_is_active(event->capture))
        return canopy_cuda_result(canopy_cuda_join_capture(stream, event->capture, &event->point));
    if (canopy_cuda_is_capturing(stream)) return canopy_cuda_result(cudaErrorStreamCaptureIsolation);
    return canopy_cuda_result(submit(stream, event, true));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    if (!event) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (canopy_cuda_capture_is_active(event->capture)) return canopy_cuda_result(cudaErrorCapturedEvent);
    if (canopy_cuda_in_callback()) return canopy_cuda_result(cudaErrorNotPermitted);
    pthread_mutex_lock(&event->lock);
    uint64_t wanted = event->recorded;
    while (event->reached < wanted) pthread_cond_wait(&event->reached_one, &event->lock);
    pthread_mutex_unlock(&event->lock);
    canopy_output_flush();
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    if (!event) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (canopy_cuda_capture_is_active(event->capture)) return canopy_cuda_result(cudaErrorCapturedEvent);
    pthread_mutex_lock(&event->lock);
    bool reached = event->reached == event->recorded;
    pthread_mutex_unlock(&event->lock);
    return canopy_cuda_result(reached ? cudaSuccess : cudaErrorNotReady);
}

/* The time when an event's last record was reached; 0: not yet. False: it was never recorded. */
static bool time_of(cudaEvent_t event, uint64_t *time_ns) {
    pthread_mutex_lock(&event->lock);
    bool recorded = event->recorded != 0;
    *time_ns = event->reached == event->recorded ? event->time_ns : 0;
    pthread_mutex_unlock(&event->lock);
    return recorded;
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
    uint64_t from, to;
    if (!milliseconds) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!start || !end || (start->flags | end->flags) & cudaEventDisableTiming)
        return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (!time_of(start, &from) || !time_of(end, &to)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (!from || !to) return canopy_cuda_result(cudaErrorNotReady);
    *milliseconds = (float)((double)(int64_t)(to - from) * 1e-6);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    if (!event) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    drop(event);
    return canopy_cuda_result(cudaSuccess);
}
