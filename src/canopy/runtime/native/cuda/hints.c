/* What programs ask of streams and of managed memory that changes nothing here; it is kept, and told when asked. */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"

/* ---- attributes of streams ---- */

static canopy_cuda_stream_hints default_hints = {.synchronization = cudaSyncPolicyAuto};

static canopy_cuda_stream_hints *hints_of(cudaStream_t handle) {
    cudaStream_t stream = canopy_cuda_stream_of(handle);
    return stream ? &stream->hints : &default_hints;
}

cudaError_t cudaStreamSetAttribute(cudaStream_t stream, cudaStreamAttrID attribute, const cudaStreamAttrValue *value) {
    if (!value) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    canopy_cuda_stream_hints *hints = hints_of(stream);
    switch ((int)attribute) {
    case cudaLaunchAttributeAccessPolicyWindow: hints->window = value->accessPolicyWindow; break;
    case cudaLaunchAttributeSynchronizationPolicy: hints->synchronization = value->syncPolicy; break;
    default: return canopy_cuda_result(cudaErrorInvalidValue);
    }
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamGetAttribute(cudaStream_t stream, cudaStreamAttrID attribute, cudaStreamAttrValue *value) {
    if (!value) return canopy_cuda_result(cudaErrorInvalidValue);
    if (!canopy_cuda_is_stream(stream)) return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    memset(value, 0, sizeof *value);
    switch ((int)attribute) {
    case cudaLaunchAttributeAccessPolicyWindow: value->accessPolicyWindow = hints_of(stream)->window; break;
    case cudaLaunchAttributeSynchronizationPolicy: value->syncPolicy = hints_of(stream)->synchronization; break;
    case cudaLaunchAttributePriority: return cudaStreamGetPriority(stream, &value->priority);
    default: return canopy_cuda_result(cudaErrorInvalidValue);
    }
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaStreamCopyAttributes(cudaStream_t to, cudaStream_t from) {
    if (!canopy_cuda_is_stream(to) || !canopy_cuda_is_stream(from))
        return canopy_cuda_result(cudaErrorInvalidResourceHandle);
    *hints_of(to) = *hints_of(from);
    return canopy_cuda_result(cudaSuccess);
}

/* ---- advice about ranges of managed memory ---- */

typedef struct range {
    struct range *next;
    const char *from, *to;
    int settings[4]; /* by cudaMemRangeAttribute - 1; -2: none */
} range;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static range *ranges; /* the latest first; they may overlap */

static void note(const void *pointer, size_t bytes, enum cudaMemRangeAttribute attribute, int setting) {
    range *fresh = calloc(1, sizeof *fresh);
    if (!fresh) return;
    *fresh = (range){.from = pointer, .to = (const char *)pointer + bytes, .settings = {-3, -3, -3, -3}};
    fresh->settings[attribute - 1] = setting;
    pthread_mutex_lock(&lock);
    range **link = &ranges; /* what it takes the place of goes */
    while (*link) {
        range *old = *link;
        if (old->from < fresh->from || old->to > fresh->to || old->settings[attribute - 1] == -3) {
            link = &old->next;
            continue;
        }
        *link = old->next;
        free(old);
    }
    fresh->next = ranges;
    ranges = fresh;
    pthread_mutex_unlock(&lock);
}

void canopy_cuda_forget_advice(const void *pointer, uint64_t bytes) {
    const char *from = pointer, *to = from + bytes;
    pthread_mutex_lock(&lock);
    for (range **link = &ranges; *link;) {
        range *old = *link;
        if (old->to <= from || old->from >= to) {
            link = &old->next;
            continue;
        }
        *link = old->next;
        free(old);
    }
    pthread_mutex_unlock(&lock);
}

void canopy_cuda_note_prefetch(const void *pointer, size_t bytes, int device) {
    note(pointer, bytes, cudaMemRangeAttributeLastPrefetchLocation, device);
}

void canopy_cuda_note_advice(const void *pointer, size_t bytes, enum cudaMemoryAdvise advice, int device) {
    switch (advice) {
    case cudaMemAdviseSetReadMostly: note(pointer, bytes, cudaMemRangeAttributeReadMostly, 1); break;
    case cudaMemAdviseUnsetReadMostly: note(pointer, bytes, cudaMemRangeAttributeReadMostly, 0); break;
    case cudaMemAdviseSetPreferredLocation:
        note(pointer, bytes, cudaMemRangeAttributePreferredLocation, device);
        break;
    case cudaMemAdviseUnsetPreferredLocation: note(pointer, bytes, cudaMemRangeAttributePreferredLocation, -2); break;
    case cudaMemAdviseSetAccessedBy: note(pointer, bytes, cudaMemRangeAttributeAccessedBy, device); break;
    case cudaMemAdviseUnsetAccessedBy: note(pointer, bytes, cudaMemRangeAttributeAccessedBy, -2); break;
    }
}

/* What holds for all of a range, by the latest advice about it; `none` if it is not one for all. */
static int setting_of(const char *from, const char *to, enum cudaMemRangeAttribute attribute, int none) {
    for (const range *at = ranges; at; at = at->next) {
        if (at->settings[attribute - 1] == -3 || at->to <= from || at->from >= to) continue;
        return at->from <= from && at->to >= to ? at->settings[attribute - 1] : none;
    }
    return none;
}

cudaError_t cudaMemRangeGetAttribute(void *data, size_t data_bytes, enum cudaMemRangeAttribute attribute,
                                     const void *pointer, size_t bytes) {
    if (!data || (int)attribute < 1 || (int)attribute > 4 || data_bytes < 4 || data_bytes % 4)
        return canopy_cuda_result(cudaErrorInvalidValue);
    cudaError_t problem = canopy_cuda_check_managed(pointer, bytes, 0);
    if (problem != cudaSuccess) return canopy_cuda_result(problem);
    int *found = data;
    for (size_t at = 0; at < data_bytes / 4; at++) found[at] = cudaInvalidDeviceId;
    pthread_mutex_lock(&lock);
    *found = setting_of(pointer, (const char *)pointer + bytes, attribute,
                        attribute == cudaMemRangeAttributeReadMostly ? 0 : cudaInvalidDeviceId);
    pthread_mutex_unlock(&lock);
    return canopy_cuda_result(cudaSuccess);
}

cudaError_t cudaMemRangeGetAttributes(void **data, size_t *data_bytes, enum cudaMemRangeAttribute *attributes,
                                      size_t count, const void *pointer, size_t bytes) {
    if (!data || !data_bytes || !attributes || !count) return canopy_cuda_result(cudaErrorInvalidValue);
    for (size_t at = 0; at < count; at++) {
        cudaError_t problem = cudaMemRangeGetAttribute(data[at], data_bytes[at], attributes[at], pointer, bytes);
        if (problem != cudaSuccess) return problem;
    }
    return canopy_cuda_result(cudaSuccess);
}
