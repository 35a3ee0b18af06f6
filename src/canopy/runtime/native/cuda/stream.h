/* Streams, and the graphs that they capture. */
#ifndef CANOPY_CUDA_STREAM_H
#define CANOPY_CUDA_STREAM_H

#include <pthread.h>

#include "state.h"

struct CUgraph_st {
    canopy_cuda_task *first, *last;
    size_t count;
    size_t references; /* the graph itself and what was instantiated from it */
};

struct CUstream_st {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    pthread_t thread;
    canopy_cuda_task *first, *last;
    bool busy, stop;
    unsigned int flags;
    int priority;
    cudaGraph_t graph;          /* while it captures */
    cudaStream_t captured_by;   /* the stream whose capture this one has joined */
    struct CUstream_st *next;   /* in the list of all streams */
};

void canopy_cuda_lock_streams(void);
void canopy_cuda_unlock_streams(void);
/* The graph that a stream captures into, or NULL. */
cudaGraph_t canopy_cuda_graph_of(cudaStream_t stream);
/* A stream that waits for work of a capture joins it. */
void canopy_cuda_join_capture(cudaStream_t stream, cudaStream_t origin);

#endif
