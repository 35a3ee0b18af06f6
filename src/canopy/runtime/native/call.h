/* How compiled code calls a function of the runtime: once for all lanes of a tile.
 *
 * int32_t function(const canopy_call *call) acts for each lane where mask holds, in ascending order,
 * and writes its result, if it has one, at the lane's place. It returns 0, or the code with which the
 * kernel ends (entry.h). */
#ifndef CANOPY_CALL_H
#define CANOPY_CALL_H

#include "entry.h"

typedef struct {
    const char *data;
    uint64_t stride; /* bytes from lane to lane; 0: one value for all */
} canopy_argument;

typedef struct {
    const uint32_t *program; /* ids along x, y, z */
    const uint8_t *mask;
    void *results;
    uint64_t lanes;
    const char *text; /* the call's own, constant */
    canopy_argument arguments[];
} canopy_call;

static inline const void *canopy_lane(const canopy_call *call, int argument, uint64_t lane) {
    return call->arguments[argument].data + lane * call->arguments[argument].stride;
}

#define CANOPY_LANE(call, type, argument, lane) (*(type const *)canopy_lane(call, argument, lane))

/* The functions that kernels of CUDA C++ call; what they take stands where they are defined. */
CANOPY_EXPORT int32_t canopy_cuda_printf(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_cuda_assert(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_cuda_trap(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_cuda_malloc(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_cuda_free(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_cuda_memmove(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_cuda_sleep(const canopy_call *call);

/* What checked kernels call (cuda/check.c). */
CANOPY_EXPORT int32_t canopy_check_enter(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_check_array(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_check_access(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_check_barrier(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_check_warp(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_check_fence(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_check_arrive(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_check_leave(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_check_grid(const canopy_call *call);
CANOPY_EXPORT int32_t canopy_check_together(const canopy_call *call);

#endif
