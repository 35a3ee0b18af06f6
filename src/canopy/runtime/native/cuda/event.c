/* Events: points in a stream's work, with the time when they were reached. */
#include <math.h>
#include <pthread.h>
#include <stdlib.h>

#include "../clock.h"
#include "stream.h"

struct CUevent_st {
    pthread_mutex_t lock;
    pthread_cond_t reached_one;
    unsigned int flags;
    uint64_t recorded, reached; /* how many records were submitted, and how many are behind us */
    uint64_t time_ns;           /* of the last one reached; 0: none */
    uint64_t references;        /* the program's, and those of work that names it */
    cudaStream_t capture;       /* the capturing stream where it was recorded last, or NULL */
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
    *task = (event_task){{NULL, run, release, false}, event, wanted, waits};
    return canopy_cuda_submit(stream, &task->task);
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

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
    if (!event || !canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    event->capture = canopy_cuda_is_capturing(stream) ? stream : NULL;
    /* In a capture it orders the streams that join; the graph keeps their order by itself. */
    if (event->capture) return canopy_cuda_result(cudaSuccess);
    return canopy_cuda_result(submit(stream, event, false));
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned int flags) {
    if (!event || !canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (flags) return canopy_cuda_result(cudaErrorInvalidValue);
    if (event->capture && canopy_cuda_is_capturing(event->capture)) {
        canopy_cuda_join_capture(stream, event->capture);
        return canopy_cuda_result(cudaSuccess);
    }
    return canopy_cuda_result(submit(stream, event, true));
}

cudaError_t cudaEventSynchronize(cudaEvent_t event) {
    if (!event) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (event->capture && canopy_cuda_is_capturing(event->capture))
        return canopy_cuda_result(cudaErrorCapturedEvent);
    pthread_mutex_lock(&event->lock);
    uint64_t wanted = event->recorded;
    while (event->reached < wanted) pthread_cond_wait(&event->reached_one, &event->lock);
    pthread_mutex_unlock(&event->lock);
    canopy_output_flush();
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaEventQuery(cudaEvent_t event) {
    if (!event) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    pthread_mutex_lock(&event->lock);
    bool reached = event->reached == event->recorded;
    pthread_mutex_unlock(&event->lock);
    return canopy_cuda_result(reached ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaEventElapsedTime(float *milliseconds, cudaEvent_t start, cudaEvent_t end) {
    if (!milliseconds) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!start || !end || (start->flags | end->flags) & cudaEventDisableTiming)
        return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (!start->recorded || !end->recorded) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (start->reached < start->recorded || end->reached < end->recorded)
        return canopy_cuda_result(cudaErrorNotReady);
    *milliseconds = (float)((double)((int64_t)(end->time_ns - start->time_ns)) * 1e-6);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
    if (!event) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    drop(event);
    return canopy_cuda_result(cudaSuccess);
}
