/* Launches that run elsewhere: a process that holds the program as a library (the simulator's) may
 * take every launch over. Streams then have no threads: all work happens where it is submitted. */
#ifndef CANOPY_CUDA_ELSEWHERE_H
#define CANOPY_CUDA_ELSEWHERE_H

#include "../pool.h"
#include "module.h"

/* A launch as who takes over sees it. Slots: parameters, then addresses of variables. */
typedef struct {
    const char *module, *kernel;
    const uint64_t *slots;
    uint32_t grid[3], block[3];
    uint32_t shared_bytes, reserved;
    const canopy_launch_request *request; /* for canopy_launch, which runs it here after all */
} canopy_cuda_launch;

typedef struct {
    const void *start;
    uint64_t bytes;
} canopy_cuda_extent;

/* Returns 0, or the code of a failure. */
typedef int32_t (*canopy_cuda_runner)(const canopy_cuda_launch *launch);

CANOPY_EXPORT void canopy_cuda_take_launches(canopy_cuda_runner runner);
/* `told` hears the status when the process exits, unless it is NULL by then. */
CANOPY_EXPORT void canopy_cuda_tell_exit(void (*told)(int status));
CANOPY_EXPORT int32_t canopy_cuda_run_here(const canopy_cuda_launch *launch);
/* All memory that kernels may touch, as far as there is room; returns how many there are. */
CANOPY_EXPORT uint64_t canopy_cuda_extents(canopy_cuda_extent *found, uint64_t room);

canopy_cuda_runner canopy_cuda_taken_over(void);
uint64_t canopy_cuda_allocations(canopy_cuda_extent *found, uint64_t room);
uint64_t canopy_cuda_variables(canopy_cuda_extent *found, uint64_t room);

#endif
