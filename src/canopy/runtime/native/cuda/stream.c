/* Streams: each one but the default runs its work on a thread of its own, in order.
 *
 * The default stream waits for every blocking stream and then works on the calling thread, so what
 * is submitted to any stream afterwards starts behind it, as CUDA's legacy default stream has it.
 */
#include "elsewhere.h"
#include "graph.h"

#include <stdatomic.h>
#include <stdlib.h>

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_mutex_t legacy_lock = PTHREAD_MUTEX_INITIALIZER; /* host threads share one default stream */
static cudaStream_t streams;
static _Atomic unsigned int stream_count; /* in the list */
static _Atomic unsigned long long next_id = 3;
static _Thread_local bool in_callback;

void canopy_cuda_lock_streams(void) { pthread_mutex_lock(&list_lock); }
void canopy_cuda_unlock_streams(void) { pthread_mutex_unlock(&list_lock); }
cudaStream_t canopy_cuda_first_stream(void) { return streams; }
bool canopy_cuda_in_callback(void) { return in_callback; }

static bool is_legacy(cudaStream_t stream) { return !stream || stream == cudaStreamLegacy; }

bool canopy_cuda_is_stream(cudaStream_t stream) {
    if (is_legacy(stream) || stream == cudaStreamPerThread) return true;
    canopy_cuda_lock_streams();
    cudaStream_t at = streams;
    while (at && at != stream) at = at->next;
    bool found = at && !at->is_destroyed;
    canopy_cuda_unlock_streams();
    return found;
}

/* ---- tasks ---- */

canopy_cuda_task *canopy_cuda_keep_task(canopy_cuda_task *task) {
    if (task) __atomic_add_fetch(&task->owners, 1, __ATOMIC_RELAXED);
    return task;
}

void canopy_cuda_drop_task(canopy_cuda_task *task) {
    if (task && __atomic_fetch_sub(&task->owners, 1, __ATOMIC_ACQ_REL) == 0) task->release(task);
}

static void run_task(canopy_cuda_task *task) {
    if (canopy_cuda_sticky() == cudaSuccess || !task->skip_after_failure) task->run(task);
    canopy_cuda_drop_task(task);
}

/* ---- the thread of a stream ---- */

/* A destroyed stream is freed by the last who uses it: its thread, or one that waits for it. */
static void free_if_unused(cudaStream_t stream) {
    if (!stream->is_over || stream->pins) return;
    cudaStream_t *link = &streams;
    while (*link && *link != stream) link = &(*link)->next;
    if (*link) {
        *link = stream->next;
        atomic_fetch_sub(&stream_count, 1);
    }
    pthread_cond_destroy(&stream->changed);
    pthread_mutex_destroy(&stream->lock);
    free(stream->frontier.at);
    free(stream);
}

static void *work(void *argument) {
    cudaStream_t stream = argument;
    pthread_mutex_lock(&stream->lock);
    for (;;) {
        while (!stream->first && !stream->stop) pthread_cond_wait(&stream->changed, &stream->lock);
        canopy_cuda_task *task = stream->first;
        if (!task) break;
        stream->first = task->next;
        if (!stream->first) stream->last = NULL;
        bool keeps_lock = task->tells_others;
        if (!keeps_lock) pthread_mutex_unlock(&stream->lock);
        run_task(task);
        if (!keeps_lock) pthread_mutex_lock(&stream->lock);
        stream->finished++;
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    canopy_cuda_lock_streams();
    stream->is_over = true;
    free_if_unused(stream);
    canopy_cuda_unlock_streams();
    return NULL;
}

static bool is_idle(cudaStream_t stream) {
    pthread_mutex_lock(&stream->lock);
    bool idle = stream->finished == stream->submitted;
    pthread_mutex_unlock(&stream->lock);
    return idle;
}

/* Waits for what was submitted until now. */
static void wait_idle(cudaStream_t stream) {
    pthread_mutex_lock(&stream->lock);
    uint64_t wanted = stream->submitted;
    while (stream->finished < wanted) pthread_cond_wait(&stream->changed, &stream->lock);
    pthread_mutex_unlock(&stream->lock);
    canopy_output_flush(); /* synchronising is when what kernels print appears */
}

/* Takes a pin of a stream that has work. The list's lock is held. */
static cudaStream_t busy_stream(bool blocking_only) {
    for (cudaStream_t at = streams; at; at = at->next) {
        if (blocking_only && at->flags & cudaStreamNonBlocking) continue;
        if (!is_idle(at)) {
            at->pins++;
            return at;
        }
    }
    return NULL;
}

/* The list is not locked meanwhile: other threads go on submitting. */
static void wait_for_streams(bool blocking_only) {
    cudaStream_t at = NULL;
    if (!atomic_load(&stream_count)) {
        canopy_output_flush();
        return;
    }
    canopy_cuda_lock_streams();
    while ((at = busy_stream(blocking_only))) {
        canopy_cuda_unlock_streams();
        wait_idle(at);
        canopy_cuda_lock_streams();
        at->pins--;
        free_if_unused(at);
    }
    canopy_cuda_unlock_streams();
    canopy_output_flush(); /* synchronising is when what kernels print appears */
}

void canopy_cuda_wait_all(void) {
    if (!in_callback) wait_for_streams(false);
}

void canopy_cuda_wait_stream(cudaStream_t handle) {
    cudaStream_t stream = canopy_cuda_stream_of(handle);
    if (stream) wait_idle(stream);
    else wait_for_streams(true);
}

cudaError_t canopy_cuda_synchronize(void) {
    if (in_callback) return cudaErrorNotPermitted;
    if (canopy_cuda_any_capture()) return cudaErrorStreamCaptureUnsupported;
    wait_for_streams(false);
    return cudaSuccess;
}

/* ---- submitting ---- */

static void append(cudaStream_t stream, canopy_cuda_task *task) {
    pthread_mutex_lock(&stream->lock);
    task->next = NULL;
    if (stream->last) stream->last->next = task;
    else stream->first = task;
    stream->last = task;
    stream->submitted++;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
}

/* A capture whose stream the default stream would have to wait for. */
static bool blocks_default_stream(void) {
    if (!canopy_cuda_any_capture()) return false;
    bool found = false;
    canopy_cuda_lock_streams();
    for (cudaStream_t at = streams; at; at = at->next)
        found |= at->graph && !(at->flags & cudaStreamNonBlocking);
    canopy_cuda_unlock_streams();
    return found;
}

static cudaError_t check_submission(cudaStream_t stream) {
    if (canopy_cuda_sticky() != cudaSuccess) return canopy_cuda_sticky();
    if (in_callback) return cudaErrorNotPermitted;
    if (!canopy_cuda_is_stream(stream)) return cudaErrorInvalidResourceHandle;
    if (is_legacy(stream) && blocks_default_stream()) return cudaErrorStreamCaptureImplicit;
    return cudaSuccess;
}

cudaError_t canopy_cuda_submit(cudaStream_t handle, canopy_cuda_task *task) {
    cudaError_t problem = check_submission(handle);
    if (problem != cudaSuccess) {
        canopy_cuda_drop_task(task);
        return problem;
    }
    cudaStream_t stream = canopy_cuda_stream_of(handle);
    if (stream && stream->graph) return canopy_cuda_capture_task(stream, task);
    if (!stream || canopy_cuda_taken_over()) {
        wait_for_streams(true);
        pthread_mutex_lock(&legacy_lock);
        run_task(task);
        pthread_mutex_unlock(&legacy_lock);
        return canopy_cuda_sticky();
    }
    append(stream, task);
    return cudaSuccess;
}

/* ---- making and destroying ---- */

static cudaError_t create(cudaStream_t *stream, unsigned int flags, int priority) {
    cudaStream_t fresh = calloc(1, sizeof *fresh);
    if (!fresh) return cudaErrorMemoryAllocation;
    fresh->hints.synchronization = cudaSyncPolicyAuto;
    fresh->flags = flags;
    fresh->priority = priority > 0 ? 0 : priority < -5 ? -5 : priority;
    fresh->id = atomic_fetch_add(&next_id, 1);
    pthread_mutex_init(&fresh->lock, NULL);
    pthread_cond_init(&fresh->changed, NULL);
    canopy_cuda_lock_streams();
    fresh->next = streams;
    streams = fresh;
    atomic_fetch_add(&stream_count, 1);
    canopy_cuda_unlock_streams();
    pthread_t thread;
    if (pthread_create(&thread, NULL, work, fresh)) {
        canopy_cuda_lock_streams();
        fresh->is_over = true;
        free_if_unused(fresh);
        canopy_cuda_unlock_streams();
        return cudaErrorOperatingSystem;
    }
    pthread_detach(thread);
    *stream = fresh;
    return cudaSuccess;
}

/* Its thread finishes what was submitted, and ends. False where there is no such stream. */
static bool destroy(cudaStream_t stream) {
    canopy_cuda_lock_streams();
    cudaStream_t at = streams;
    while (at && at != stream) at = at->next;
    bool found = at && !at->is_destroyed;
    if (found) {
        stream->is_destroyed = true;
        pthread_mutex_lock(&stream->lock);
        stream->stop = true;
        pthread_cond_broadcast(&stream->changed);
        pthread_mutex_unlock(&stream->lock);
    }
    canopy_cuda_unlock_streams();
    return found;
}

/* The stream of cudaStreamPerThread, made when a thread first uses it. */
static pthread_once_t key_once = PTHREAD_ONCE_INIT;
static pthread_key_t own_key;

static void destroy_own(void *stream) { destroy(stream); }
static void make_key(void) { pthread_key_create(&own_key, destroy_own); }

static cudaStream_t own_stream(void) {
    pthread_once(&key_once, make_key);
    cudaStream_t own = pthread_getspecific(own_key);
    if (own && canopy_cuda_is_stream(own)) return own;
    if (create(&own, cudaStreamDefault, 0) != cudaSuccess) return NULL;
    pthread_setspecific(own_key, own);
    return own;
}

cudaStream_t canopy_cuda_stream_of(cudaStream_t handle) {
    if (is_legacy(handle)) return NULL;
    return handle == cudaStreamPerThread ? own_stream() : handle;
}

void canopy_cuda_destroy_streams(void) {
    for (;;) {
        canopy_cuda_lock_streams();
        cudaStream_t at = streams;
        while (at && at->is_destroyed) at = at->next;
        canopy_cuda_unlock_streams();
        if (!at) return;
        destroy(at);
    }
}

cudaError_t cudaStreamCreateWithPriority(cudaStream_t *stream, unsigned int flags, int priority) {
    if (!stream || flags > cudaStreamNonBlocking) return canopy_cuda_result(cudaErrorInvalidValue);
    return canopy_cuda_result(create(stream, flags, priority));
}

cudaError_t cudaStreamCreateWithFlags(cudaStream_t *stream, unsigned int flags) {
    return cudaStreamCreateWithPriority(stream, flags, 0);
}

cudaError_t cudaStreamCreate(cudaStream_t *stream) {
    return cudaStreamCreateWithPriority(stream, cudaStreamDefault, 0);
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
    bool own = !is_legacy(stream) && stream != cudaStreamPerThread;
    return canopy_cuda_result(own && destroy(stream) ? cudaSuccess : cudaErrorInvalidResourceHandle);
}

/* ---- asking and waiting ---- */

cudaError_t cudaStreamGetFlags(cudaStream_t stream, unsigned int *flags) {
    if (!flags) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    cudaStream_t at = canopy_cuda_stream_of(stream);
    *flags = at ? at->flags : cudaStreamDefault;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamGetPriority(cudaStream_t stream, int *priority) {
    if (!priority) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    cudaStream_t at = canopy_cuda_stream_of(stream);
    *priority = at ? at->priority : 0;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamGetId(cudaStream_t stream, unsigned long long *id) {
    if (!id) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    cudaStream_t at = canopy_cuda_stream_of(stream);
    *id = at ? at->id : 1;
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (in_callback) return canopy_cuda_result(cudaErrorNotPermitted);
    if (canopy_cuda_is_capturing(stream)) return canopy_cuda_result(cudaErrorStreamCaptureUnsupported);
    canopy_cuda_wait_stream(stream);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    if (canopy_cuda_is_capturing(stream)) return canopy_cuda_result(cudaErrorStreamCaptureUnsupported);
    cudaStream_t at = canopy_cuda_stream_of(stream);
    return canopy_cuda_result(!at || is_idle(at) ? cudaSuccess : cudaErrorNotReady);
}

cudaError_t cudaDeviceGetStreamPriorityRange(int *least, int *greatest) {
    if (least) *least = 0;
    if (greatest) *greatest = -5;
    return canopy_cuda_result(cudaSuccess);
}

/* ---- host functions ---- */

typedef struct {
    canopy_cuda_task task;
    cudaStreamCallback_t callback;
    cudaStream_t stream;
    void *data;
} callback_task;

static void run_callback(canopy_cuda_task *task) {
    callback_task *host = (callback_task *)task;
    in_callback = true;
    host->callback(host->stream, canopy_cuda_sticky(), host->data);
    in_callback = false;
}

typedef struct {
    canopy_cuda_task task;
    struct cudaHostNodeParams call;
} host_task;

static void run_host(canopy_cuda_task *task) {
    host_task *host = (host_task *)task;
    in_callback = true;
    host->call.fn(host->call.userData);
    in_callback = false;
}

static void release_host(canopy_cuda_task *task) { free(task); }

cudaError_t canopy_cuda_prepare_host(const struct cudaHostNodeParams *wanted, canopy_cuda_task **task) {
    if (!wanted || !wanted->fn) return cudaErrorInvalidValue;
    host_task *host = calloc(1, sizeof *host);
    if (!host) return cudaErrorMemoryAllocation;
    *host = (host_task){{.run = run_host, .release = release_host, .skip_after_failure = true,
                         .type = cudaGraphNodeTypeHost}, *wanted};
    *task = &host->task;
    return cudaSuccess;
}

void canopy_cuda_describe_host(const canopy_cuda_task *task, struct cudaHostNodeParams *found) {
    *found = ((const host_task *)task)->call;
}

cudaError_t cudaLaunchHostFunc(cudaStream_t stream, cudaHostFn_t function, void *data) {
    canopy_cuda_task *task;
    cudaError_t problem = canopy_cuda_prepare_host(&(struct cudaHostNodeParams){function, data}, &task);
    return canopy_cuda_result(problem != cudaSuccess ? problem : canopy_cuda_submit(stream, task));
}

cudaError_t cudaStreamAddCallback(cudaStream_t stream, cudaStreamCallback_t callback, void *data,
                                  unsigned int flags) {
    if (!callback || flags) return canopy_cuda_result(cudaErrorInvalidValue);
    if (canopy_cuda_is_capturing(stream)) return canopy_cuda_result(cudaErrorStreamCaptureUnsupported);
    callback_task *host = calloc(1, sizeof *host);
    if (!host) return canopy_cuda_result(cudaErrorMemoryAllocation);
    *host = (callback_task){{.run = run_callback, .release = release_host}, callback, stream, data};
    return canopy_cuda_result(canopy_cuda_submit(stream, &host->task));
}
