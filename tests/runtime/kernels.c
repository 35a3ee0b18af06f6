/* Hand-written kernel entries for the runtime's tests. */
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#define KERNEL(name)                                                                         \
    int32_t name(const void *args, const uint32_t grid[3], const uint32_t block[3],          \
                 uint64_t first, uint64_t last, void *scratch)
#define UNUSED (void)args, (void)grid, (void)block, (void)first, (void)last, (void)scratch

static uint64_t slot(const void *args, int index) { return ((const uint64_t *)args)[index]; }

uint64_t captured[64];
uint32_t captured_grid[3], captured_block[3];

/* Copies slot_count (the first slot) slots to `captured`. */
KERNEL(capture) {
    UNUSED;
    memcpy(captured, args, 8 * 16);
    memcpy(captured_grid, grid, sizeof captured_grid);
    memcpy(captured_block, block, sizeof captured_block);
    return 0;
}

KERNEL(nothing) {
    UNUSED;
    return 0;
}

/* out[id] += 1 */
KERNEL(count_up) {
    UNUSED;
    int32_t *out = (int32_t *)slot(args, 0);
    for (uint64_t id = first; id < last; id++) out[id]++;
    return 0;
}

static _Thread_local int thread_mark;

/* out[id] = an address that is this thread's own; busy for slot 1 ns */
KERNEL(note_thread) {
    UNUSED;
    uint64_t *out = (uint64_t *)slot(args, 0);
    for (uint64_t id = first; id < last; id++) {
        struct timespec from, now;
        clock_gettime(CLOCK_MONOTONIC, &from);
        do clock_gettime(CLOCK_MONOTONIC, &now);
        while ((uint64_t)((now.tv_sec - from.tv_sec) * 1000000000 + now.tv_nsec - from.tv_nsec) <
               slot(args, 1));
        out[id] = (uint64_t)&thread_mark;
    }
    return 0;
}

/* Every program waits for the one before it: turn goes from id to id + 1. */
KERNEL(take_turns) {
    UNUSED;
    _Atomic uint64_t *turn = (_Atomic uint64_t *)slot(args, 0);
    for (uint64_t id = first; id < last; id++) {
        while (atomic_load(turn) != id) {}
        atomic_store(turn, id + 1);
    }
    return 0;
}

/* Returns 7 from the program that slot 0 names. */
KERNEL(fail_at) {
    UNUSED;
    return first <= slot(args, 0) && slot(args, 0) < last ? 7 : 0;
}

typedef int32_t (*assert_fail)(const char *, const char *, int32_t, uint32_t, uint32_t, uint32_t);

/* Program 3 fails an assertion; slot 0 is canopy_assert_fail. */
KERNEL(assert_three) {
    UNUSED;
    if (first > 3 || 3 >= last) return 0;
    return ((assert_fail)slot(args, 0))("index out of range", "k.py", 12, 3, 0, 0);
}

/* out[id] = 1 where the scratch is aligned and nobody else writes to it meanwhile. */
KERNEL(use_scratch) {
    UNUSED;
    uint8_t *out = (uint8_t *)slot(args, 0);
    volatile uint64_t *mine = scratch;
    for (uint64_t id = first; id < last; id++) {
        for (int at = 0; at < 512; at++) mine[at] = id;
        int whole = (uintptr_t)scratch % 64 == 0;
        for (int at = 0; at < 512; at++) whole &= mine[at] == id;
        out[id] = (uint8_t)whole;
    }
    return 0;
}

/* out[id] = 1e-40 * 1: zero where denormals are flushed */
KERNEL(denormal) {
    UNUSED;
    float *out = (float *)slot(args, 0);
    volatile float tiny = 1e-38f, half = 0.01f;
    for (uint64_t id = first; id < last; id++) out[id] = tiny * half;
    return 0;
}
