/* What kernels call beside printf: assertions, traps, memory of their own, sleep. */
#include <inttypes.h>
#include <malloc.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "../call.h"
#include "../report.h"
#include "check.h"
#include "device_heap.h"

_Atomic size_t canopy_cuda_heap_limit = 8 << 20;
static _Atomic size_t heap_bytes;

#define EACH_LANE(call, lane) \
    for (uint64_t lane = 0; lane < (call)->lanes; lane++) \
        if ((call)->mask[lane])

static const char *or_nothing(const char *text) { return text ? text : ""; }

/* (const char *assertion, file, i32 line, const char *function, i32 thread x, y, z); one line for each
 * thread, as CUDA writes them, and the first is the message of the launch. */
int32_t canopy_cuda_assert(const canopy_call *call) {
    char line[CANOPY_MESSAGE_BYTES];
    int32_t status = 0;
    EACH_LANE(call, lane) {
        snprintf(line, sizeof line,
                 "%s:%" PRId32 ": %s: block: [%" PRIu32 ",%" PRIu32 ",%" PRIu32 "], thread: [%" PRId32 ",%" PRId32
                 ",%" PRId32 "] Assertion `%s` failed.",
                 or_nothing(CANOPY_LANE(call, const char *, 1, lane)), CANOPY_LANE(call, int32_t, 2, lane),
                 or_nothing(CANOPY_LANE(call, const char *, 3, lane)), call->program[0], call->program[1],
                 call->program[2], CANOPY_LANE(call, int32_t, 4, lane), CANOPY_LANE(call, int32_t, 5, lane),
                 CANOPY_LANE(call, int32_t, 6, lane), or_nothing(CANOPY_LANE(call, const char *, 0, lane)));
        fprintf(stderr, "%s\n", line);
        if (!status) canopy_report(line);
        status = CANOPY_THREADS_ASSERTED;
    }
    return status;
}

/* (i32 thread x, y, z) */
int32_t canopy_cuda_trap(const canopy_call *call) {
    char line[CANOPY_MESSAGE_BYTES];
    EACH_LANE(call, lane) {
        snprintf(line, sizeof line,
                 "a trap was reached: block: [%" PRIu32 ",%" PRIu32 ",%" PRIu32 "], thread: [%" PRId32 ",%" PRId32
                 ",%" PRId32 "]",
                 call->program[0], call->program[1], call->program[2], CANOPY_LANE(call, int32_t, 0, lane),
                 CANOPY_LANE(call, int32_t, 1, lane), CANOPY_LANE(call, int32_t, 2, lane));
        canopy_report(line);
        return CANOPY_TRAPPED;
    }
    return 0;
}

/* What a block of `bytes` takes of the heap counts as the C library rounds it. */
static bool heap_has_room(size_t bytes) {
    size_t limit = atomic_load(&canopy_cuda_heap_limit);
    return bytes <= limit && atomic_load(&heap_bytes) <= limit - bytes;
}

static void *from_heap(size_t bytes) {
    void *made = heap_has_room(bytes) ? malloc(bytes ? bytes : 1) : NULL;
    if (made) atomic_fetch_add(&heap_bytes, malloc_usable_size(made));
    return made;
}

/* (u64 bytes) -> address, NULL where the device's heap has no room */
int32_t canopy_cuda_malloc(const canopy_call *call) {
    void **results = call->results;
    EACH_LANE(call, lane) {
        uint64_t bytes = CANOPY_LANE(call, uint64_t, 0, lane);
        results[lane] = from_heap(bytes);
        if (results[lane] && canopy_check_is_on)
            canopy_check_add(results[lane], bytes, CHECK_HEAP, NULL);
    }
    return 0;
}

/* (address) */
int32_t canopy_cuda_free(const canopy_call *call) {
    EACH_LANE(call, lane) {
        void *block = CANOPY_LANE(call, void *, 0, lane);
        atomic_fetch_sub(&heap_bytes, malloc_usable_size(block));
        if (canopy_check_is_on) canopy_check_freed(block, block, free);
        else free(block);
    }
    return 0;
}

/* (address, address, u64 bytes) */
int32_t canopy_cuda_memmove(const canopy_call *call) {
    EACH_LANE(call, lane) memmove(CANOPY_LANE(call, void *, 0, lane), CANOPY_LANE(call, void *, 1, lane),
                                  CANOPY_LANE(call, uint64_t, 2, lane));
    return 0;
}

/* (u32 nanoseconds): the longest sleep of the lanes, for all of them. */
int32_t canopy_cuda_sleep(const canopy_call *call) {
    uint32_t longest = 0;
    EACH_LANE(call, lane) {
        uint32_t wanted = CANOPY_LANE(call, uint32_t, 0, lane);
        if (wanted > longest) longest = wanted;
    }
    nanosleep(&(struct timespec){.tv_sec = longest / 1000000000u, .tv_nsec = longest % 1000000000u}, NULL);
    return 0;
}
