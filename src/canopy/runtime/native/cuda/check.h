/* Checked kernels (`--check`): every access is compared with what memory there is, and with what other
 * threads did to it since the last barrier.
 *
 * Launches of checked programs run one after another, each on one thread, so nothing here is locked
 * but the table of memory, which the host's threads change.
 *
 * check.c holds what kernels call, check_memory.c the memory that is known, check_races.c who touched
 * what when, check_report.c the words.
 */
#ifndef CANOPY_CHECK_H
#define CANOPY_CHECK_H

#include <stdbool.h>
#include <stddef.h>

#include "../call.h"

#define CANOPY_CHECK_WARP 32u
#define CANOPY_CHECK_WARPS 32u

/* Whether this process runs checked kernels. */
extern bool canopy_check_is_on;
/* Called before main by the tables of checked kernels; CANOPY_CHECK says what is checked. */
CANOPY_EXPORT void canopy_check_start(void);
/* Around each launch. `shared_bytes`: of dynamic shared memory. */
void canopy_check_begin(const char *kernel, const uint32_t grid[3], uint64_t shared_bytes);
void canopy_check_end(void);
/* Around a launch of a checked kernel in a process that has others. `knows_all`: what is not in the
 * table of memory is out of bounds. */
void canopy_check_open(const char *kernel, const uint32_t grid[3], uint64_t shared_bytes, bool knows_all);
void canopy_check_close(void);

/* ---- memory ---- */

typedef enum {
    CHECK_DEVICE,   /* cudaMalloc and its like */
    CHECK_MANAGED,
    CHECK_HOST,     /* pinned or registered */
    CHECK_VARIABLE, /* __device__, __constant__, __managed__ */
    CHECK_HEAP,     /* malloc in kernels */
    CHECK_FREED,
    CHECK_ARGUMENT, /* a structure passed by value */
    CHECK_SHARED,
    CHECK_LOCAL, /* one array per thread */
} check_kind;

typedef struct check_shadow check_shadow;

typedef struct check_region {
    const char *start;
    uint64_t bytes; /* CHECK_LOCAL: of one thread's */
    check_kind kind;
    const char *name; /* of variables and arrays, or NULL */
    check_shadow *shadow;
    uint8_t *written;    /* CHECK_SHARED: a flag per byte */
    void *block;         /* CHECK_FREED: what is to be given back in the end */
    void (*give)(void *); /* by this */
} check_region;

void canopy_check_add(const void *start, uint64_t bytes, check_kind kind, const char *name);
void canopy_check_remove(const void *start);
/* Memory was freed: `give` gets its block once it no longer helps to know that. */
void canopy_check_freed(const void *start, void *block, void (*give)(void *));
/* The region that holds an address, live or freed, or NULL. Valid until the table changes. */
check_region *canopy_check_find(const void *address);
/* The live regions next to an address. */
void canopy_check_neighbours(const void *address, const check_region **below, const check_region **above);

/* ---- blocks that run ---- */

#define CHECK_BARRIERS 16

typedef struct {
    uint32_t pending[CANOPY_CHECK_WARPS], open[2][CANOPY_CHECK_WARPS];
    uint32_t generation;
    const char *place; /* of those that wait now */
    uint32_t place_number;
} check_barrier;

typedef struct check_block {
    struct check_block *next;
    uint32_t id, program[3], extents[3], lanes; /* lanes: per program */
    check_region *arrays; /* shared, local, and arguments */
    uint32_t array_count, array_room;
    uint32_t clocks[CANOPY_CHECK_WARPS][CANOPY_CHECK_WARPS];
    uint32_t released[CANOPY_CHECK_WARPS], acquired[CANOPY_CHECK_WARPS];
    uint32_t any_acquired, grid_time, grid_generation;
    uint32_t arrived[1024]; /* by member: the generation of the barrier it is at */
    check_barrier barriers[CHECK_BARRIERS];
} check_block;

/* ---- accesses ---- */

enum { CHECK_WRITE = 1, CHECK_ATOMIC = 2, CHECK_VOLATILE = 4, CHECK_HAS_VALUE = 8 };

typedef struct {
    check_block *block;
    const char *place, *address;
    uint64_t bytes;
    uint32_t flags, thread;
    const void *value; /* of a plain write, or NULL */
} check_access;

/* What is remembered of an access. */
typedef struct {
    uint32_t block, time, clock;
    uint16_t thread, site;
} check_event;

void canopy_check_races_begin(const uint32_t grid[3]);
void canopy_check_races_end(void);
/* Compares an access with earlier ones and remembers it. */
void canopy_check_race(check_region *region, const check_access *access);
void canopy_check_drop_shadow(check_region *region);
/* Before the lanes of one call, and after them where they order memory. */
void canopy_check_tick(void);
void canopy_check_synchronize(check_block *block, uint32_t thread, uint32_t flags);
void canopy_check_fence_of(check_block *block, uint32_t thread);
void canopy_check_join_block(check_block *block);
void canopy_check_step_warp(check_block *block, uint32_t warp);
void canopy_check_arrive_at(check_block *block, uint32_t number, uint32_t thread);
void canopy_check_leave_from(check_block *block, uint32_t number, uint32_t thread);
void canopy_check_pass_grid(check_block *block, bool leaves);
void canopy_check_block_of(uint32_t id, uint32_t program[3]);

/* ---- reports ---- */

extern bool canopy_check_is_embedded; /* kernels end with an exception, which has the text */
extern const char *canopy_check_kernel;
extern uint64_t canopy_check_count;
void canopy_check_out_of_bounds(const check_access *access, const check_region *wanted, const check_region *freed,
                                uint64_t others);
void canopy_check_misaligned(const check_access *access, uint32_t alignment, uint64_t others);
void canopy_check_uninitialized(const check_access *access, const check_region *region);
void canopy_check_raced(const check_access *access, const check_event *before, bool before_writes,
                        const char *before_place, const check_region *region);
void canopy_check_diverged(const check_block *block, const char *place, uint32_t here, uint32_t missing);
void canopy_check_parted(const check_block *block, const char *place, uint32_t here, const char *other);

#endif
