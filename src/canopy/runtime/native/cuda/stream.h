/* Streams, and the graphs that they capture. */
#ifndef CANOPY_CUDA_STREAM_H
#define CANOPY_CUDA_STREAM_H

#include <pthread.h>

#include "state.h"

/* Nodes that something depends on. */
typedef struct {
    cudaGraphNode_t *at;
    size_t count, room;
} canopy_cuda_nodes;

/* What a program asked of a stream that changes nothing. */
typedef struct {
    struct cudaAccessPolicyWindow window;
    enum cudaSynchronizationPolicy synchronization;
} canopy_cuda_stream_hints;

struct CUstream_st {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    canopy_cuda_task *first, *last;
    uint64_t submitted, finished; /* tasks */
    bool stop;
    unsigned int flags;
    int priority;
    canopy_cuda_stream_hints hints;
    unsigned long long id;
    unsigned int pins;            /* threads that wait for it; guarded by the list's lock */
    bool is_destroyed, is_over;   /* the program let go of it; its thread has ended */
    struct CUstream_st *next;     /* in the list of all streams */
    /* while it captures: */
    cudaGraph_t graph;
    cudaStream_t origin;          /* where the capture began */
    unsigned long long capture;   /* number of the capture */
    enum cudaStreamCaptureMode mode;
    canopy_cuda_nodes frontier;   /* what its next node depends on */
};

/* The stream behind a handle: NULL for the legacy default stream, this thread's own for
 * cudaStreamPerThread. */
cudaStream_t canopy_cuda_stream_of(cudaStream_t handle);
void canopy_cuda_lock_streams(void);
void canopy_cuda_unlock_streams(void);
cudaStream_t canopy_cuda_first_stream(void); /* of the locked list */

/* ---- capture.c ---- */

bool canopy_cuda_any_capture(void);
/* Whether the calling thread is inside a function that a stream called. */
bool canopy_cuda_in_callback(void);
cudaError_t canopy_cuda_capture_task(cudaStream_t stream, canopy_cuda_task *task);
/* What an event remembers of a capture, and what a stream that waits for it does with that. */
unsigned long long canopy_cuda_capture_point(cudaStream_t stream, canopy_cuda_nodes *point);
bool canopy_cuda_capture_is_active(unsigned long long capture);
cudaError_t canopy_cuda_join_capture(cudaStream_t stream, unsigned long long capture,
                                     const canopy_cuda_nodes *point);

#endif
