/* What the runtime's files share. */
#ifndef CANOPY_CUDA_STATE_H
#define CANOPY_CUDA_STATE_H

#include <stdbool.h>
#include <stdint.h>

#include "../output.h"
#include "canopy_runtime_api.h"
#include "module.h"

/* ---- errors ---- */

/* Keeps a failure for cudaGetLastError, and returns it; after a sticky failure returns that one.
 * Every function of the API returns through here. */
cudaError_t canopy_cuda_result(cudaError_t code);
/* A failure that leaves the device unusable: illegal address, assertion, launch failure. */
void canopy_cuda_stick(cudaError_t code);
cudaError_t canopy_cuda_sticky(void);
void canopy_cuda_unstick(void);

/* ---- streams ---- */

/* Work of a stream. It may run more than once, when it is part of a graph. */
typedef struct canopy_cuda_task {
    struct canopy_cuda_task *next;
    void (*run)(struct canopy_cuda_task *task);
    void (*release)(struct canopy_cuda_task *task); /* frees it */
    bool skip_after_failure;
    bool tells_others; /* wakes threads, which must find the stream past it; never waits itself */
    enum cudaGraphNodeType type; /* of the node that it becomes in a graph */
    uint32_t owners;             /* beyond the first: graphs share tasks with what is made of them */
} canopy_cuda_task;

/* Runs a task now, queues it, or adds it to the graph that is captured; owns it from here on. */
cudaError_t canopy_cuda_submit(cudaStream_t stream, canopy_cuda_task *task);
/* Another owner; one owner less. */
canopy_cuda_task *canopy_cuda_keep_task(canopy_cuda_task *task);
void canopy_cuda_drop_task(canopy_cuda_task *task);

bool canopy_cuda_is_stream(cudaStream_t stream);
bool canopy_cuda_is_capturing(cudaStream_t stream);
/* Waits for every stream. */
void canopy_cuda_wait_all(void);
void canopy_cuda_wait_stream(cudaStream_t stream);
void canopy_cuda_destroy_streams(void);
/* Before a synchronous operation: an error where it would break a capture. */
cudaError_t canopy_cuda_synchronize(void);

/* ---- kernels ---- */

/* The work of a launch, or an error of its configuration. */
cudaError_t canopy_cuda_prepare_launch(const void *function, dim3 grid, dim3 block, void **args,
                                       size_t shared_bytes, canopy_cuda_task **task);
/* What a task of prepare_launch was made of; `params` has room for all parameters. */
void canopy_cuda_describe_launch(const canopy_cuda_task *task, struct cudaKernelNodeParams *found,
                                 void **params);
uint32_t canopy_cuda_parameter_count(const canopy_cuda_task *task);

/* ---- copies ---- */

cudaError_t canopy_cuda_prepare_copy(const struct cudaMemcpy3DParms *wanted, canopy_cuda_task **task);
cudaError_t canopy_cuda_prepare_fill(const struct cudaMemsetParams *wanted, canopy_cuda_task **task);

/* ---- memory ---- */

typedef struct {
    void *pointer; /* as the program got it */
    uint64_t bytes;
    void *block; /* as the allocator gave it; NULL for registered host memory */
    enum cudaMemoryType type;
    unsigned int flags;
    cudaMemPool_t pool; /* that it came from, or NULL */
} canopy_cuda_allocation;

/* The allocation that holds an address. */
bool canopy_cuda_find(const void *pointer, canopy_cuda_allocation *found);
/* The allocation, or the device variable, that holds an address. */
bool canopy_cuda_find_any(const void *pointer, canopy_cuda_allocation *found);
/* The device variable that holds an address. */
bool canopy_cuda_find_variable(const void *address, canopy_cuda_allocation *found);
cudaError_t canopy_cuda_allocate(void **pointer, uint64_t bytes, enum cudaMemoryType type,
                                 unsigned int flags, cudaMemPool_t pool);
cudaError_t canopy_cuda_release(void *pointer, bool host);
void canopy_cuda_free_all(void);
/* A pool hears of its allocations; the memory's lock is held. */
void canopy_cuda_count_in_pool(cudaMemPool_t pool, int64_t bytes);
cudaMemPool_t canopy_cuda_graph_pool(void);
/* Whether a range of memory is managed, and the device there is. */
cudaError_t canopy_cuda_check_managed(const void *pointer, size_t bytes, int device);
/* What programs say about managed memory, and that a range is no more. */
void canopy_cuda_note_prefetch(const void *pointer, size_t bytes, int device);
void canopy_cuda_note_advice(const void *pointer, size_t bytes, enum cudaMemoryAdvise advice, int device);
void canopy_cuda_forget_advice(const void *pointer, uint64_t bytes);
void canopy_cuda_memory(uint64_t *free_bytes, uint64_t *total_bytes);

/* ---- devices ---- */

#define CANOPY_CUDA_STATIC_SHARED (48u << 10)
#define CANOPY_CUDA_DYNAMIC_SHARED (227u << 10)
#define CANOPY_CUDA_CONSTANT (64u << 10)
int canopy_cuda_processors(void);

#endif
