/* What checked kernels call, and what surrounds their launches. */
#include "check.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

bool canopy_check_is_on, canopy_check_is_embedded;
static bool looks_for_races = true, knows_all_memory = true;
static uint64_t launches, dynamic_shared_bytes;
static uint32_t grid[3];
static pthread_mutex_t one_launch = PTHREAD_MUTEX_INITIALIZER;

#define BUCKETS 1024u
static check_block *blocks[BUCKETS], *current;

#define EACH_LANE(call, lane) \
    for (uint64_t lane = 0; lane < (call)->lanes; lane++) \
        if ((call)->mask[lane])

/* ---- the process ---- */

/* The program's own failure stays what it is. */
static void say_summary(int status, void *unused) {
    (void)unused;
    if (!canopy_check_count) {
        fprintf(stderr, "canopy check: no errors in %llu launch%s\n", (unsigned long long)launches,
                launches == 1 ? "" : "es");
        return;
    }
    fprintf(stderr, "canopy check: %llu error%s in %llu launch%s\n", (unsigned long long)canopy_check_count,
            canopy_check_count == 1 ? "" : "s", (unsigned long long)launches, launches == 1 ? "" : "es");
    fflush(NULL);
    if (!status) _exit(1);
}

void canopy_check_start(void) {
    const char *wanted = getenv("CANOPY_CHECK");
    if (canopy_check_is_on || (wanted && (!strcmp(wanted, "0") || !strcmp(wanted, "off")))) return;
    canopy_check_is_on = true;
    looks_for_races = !wanted || strcmp(wanted, "memory") != 0;
    on_exit(say_summary, NULL);
}

/* ---- launches ---- */

static void drop_array(check_region *array) {
    canopy_check_drop_shadow(array);
    free(array->written);
}

static void drop_block(check_block *block) {
    for (uint32_t at = 0; at < block->array_count; at++) drop_array(&block->arrays[at]);
    free(block->arrays);
    free(block);
}

void canopy_check_begin(const char *kernel, const uint32_t extents[3], uint64_t shared_bytes) {
    if (!canopy_check_is_on) return;
    pthread_mutex_lock(&one_launch);
    launches++;
    canopy_check_kernel = kernel;
    dynamic_shared_bytes = shared_bytes;
    memcpy(grid, extents, sizeof grid);
    canopy_check_races_begin(extents);
}

void canopy_check_end(void) {
    if (!canopy_check_is_on) return;
    canopy_check_races_end();
    current = NULL;
    for (uint32_t bucket = 0; bucket < BUCKETS; bucket++)
        while (blocks[bucket]) {
            check_block *block = blocks[bucket];
            blocks[bucket] = block->next;
            drop_block(block);
        }
    pthread_mutex_unlock(&one_launch);
}

static pthread_mutex_t one_open = PTHREAD_MUTEX_INITIALIZER;

void canopy_check_open(const char *kernel, const uint32_t extents[3], uint64_t shared_bytes, bool knows_all) {
    pthread_mutex_lock(&one_open);
    canopy_check_is_on = canopy_check_is_embedded = true;
    knows_all_memory = knows_all;
    canopy_check_begin(kernel, extents, shared_bytes);
}

void canopy_check_close(void) {
    canopy_check_end();
    canopy_check_is_on = false;
    pthread_mutex_unlock(&one_open);
}

/* ---- blocks ---- */

static uint32_t id_of(const uint32_t program[3]) {
    return program[0] + grid[0] * (program[1] + grid[1] * program[2]);
}

static check_block *find_block(uint32_t id) {
    if (current && current->id == id) return current;
    for (check_block *block = blocks[id % BUCKETS]; block; block = block->next)
        if (block->id == id) return current = block;
    return NULL;
}

static check_block *block_of(const canopy_call *call) { return find_block(id_of(call->program)); }

/* The block of the program that ran last, for one that runs alone on this thread: with its arrays and
 * their records, which know that they are another block's. */
static check_block *reused(void) {
    check_block *block = current;
    if (!block) return NULL;
    check_block **at = &blocks[block->id % BUCKETS];
    while (*at != block) at = &(*at)->next;
    *at = block->next;
    for (uint32_t array = 0; array < block->array_count; array++)
        if (block->arrays[array].written) memset(block->arrays[array].written, 0, block->arrays[array].bytes);
    return block;
}

static check_block *new_block(uint32_t id, bool is_alone) {
    check_block *block = is_alone ? reused() : NULL;
    if (!block) block = calloc(1, sizeof *block);
    if (!block) abort();
    uint32_t count = block->array_count, room = block->array_room;
    check_region *arrays = block->arrays;
    memset(block, 0, sizeof *block);
    block->arrays = arrays;
    block->array_count = count;
    block->array_room = room;
    block->id = id;
    for (uint32_t warp = 0; warp < CANOPY_CHECK_WARPS; warp++) block->clocks[warp][warp] = 1;
    block->next = blocks[id % BUCKETS];
    blocks[id % BUCKETS] = block;
    return current = block;
}

/* (i32 extents x, y, z, i32 threads per program, 0: all of the block); text: the kernel as written */
int32_t canopy_check_enter(const canopy_call *call) {
    if (!canopy_check_is_on) return 0;
    uint32_t id = id_of(call->program), lanes = CANOPY_LANE(call, uint32_t, 3, 0);
    check_block *block = find_block(id);
    canopy_check_kernel = call->text;
    if (block && lanes) return 0; /* another member of it came first */
    block = new_block(id, lanes == 0);
    for (int axis = 0; axis < 3; axis++) {
        block->program[axis] = call->program[axis];
        block->extents[axis] = CANOPY_LANE(call, uint32_t, axis, 0);
    }
    block->lanes = lanes ? lanes : 1024;
    return 0;
}

static check_region *array_at(check_block *block, const char *start) {
    for (uint32_t at = 0; at < block->array_count; at++)
        if (block->arrays[at].start == start) return &block->arrays[at];
    return NULL;
}

/* (address, i64 bytes, of dynamic shared memory 0; i32 check_kind); text: its name */
int32_t canopy_check_array(const canopy_call *call) {
    check_block *block = canopy_check_is_on ? block_of(call) : NULL;
    if (!block) return 0;
    const char *start = CANOPY_LANE(call, const char *, 0, 0);
    uint64_t bytes = CANOPY_LANE(call, uint64_t, 1, 0);
    check_kind kind = (check_kind)CANOPY_LANE(call, int32_t, 2, 0);
    if (!bytes) bytes = dynamic_shared_bytes;
    check_region *known = array_at(block, start);
    if (known && known->bytes == bytes) return 0;
    if (known) drop_array(known);
    if (!known && block->array_count == block->array_room) {
        block->array_room = block->array_room * 2 + 8;
        block->arrays = realloc(block->arrays, block->array_room * sizeof *block->arrays);
        if (!block->arrays) abort();
    }
    if (!known) known = &block->arrays[block->array_count++];
    *known = (check_region){.start = start, .bytes = bytes, .kind = kind, .name = call->text};
    if (kind == CHECK_SHARED) known->written = calloc(1, bytes ? bytes : 1);
    return 0;
}

/* ---- accesses ---- */

enum { ADDRESS, ROOT, BYTES, FLAGS, ALIGNMENT, FIRST_THREAD, VALUE };

static bool is_inside(const check_region *region, const char *address, uint64_t bytes, uint64_t first) {
    const char *start = region->start + first;
    return address >= start && bytes <= region->bytes && (uint64_t)(address - start) <= region->bytes - bytes;
}

typedef struct {
    check_access access;
    const char *root; /* the array or allocation that the address was computed from, or NULL */
    uint64_t lane;
    check_region *region, *wanted, *freed; /* where it lies; where it should; what was there */
} lookup;

/* Bytes from an array's start to this thread's own. */
static uint64_t own_offset(const check_region *array, const lookup *l) {
    return array->kind == CHECK_LOCAL ? array->bytes * l->lane : 0;
}

static bool find_in_block(lookup *l) {
    check_block *block = l->access.block;
    check_region *rooted = l->root ? array_at(block, l->root) : NULL;
    if (rooted) {
        l->wanted = rooted;
        if (is_inside(rooted, l->access.address, l->access.bytes, own_offset(rooted, l))) l->region = rooted;
        return true;
    }
    for (uint32_t at = 0; at < block->array_count && !l->region; at++) {
        check_region *array = &block->arrays[at];
        if (is_inside(array, l->access.address, l->access.bytes, own_offset(array, l))) l->region = array;
    }
    return l->region != NULL;
}

static void find_in_memory(lookup *l) {
    check_region *here = canopy_check_find(l->access.address);
    check_region *rooted = l->root ? canopy_check_find(l->root) : NULL;
    if (here && here->kind == CHECK_FREED) l->freed = here;
    if (rooted && rooted->kind == CHECK_FREED) l->freed = rooted;
    if (rooted && !l->freed) l->wanted = rooted;
    check_region *region = l->wanted ? l->wanted : here;
    if (l->freed || !region) return;
    if (is_inside(region, l->access.address, l->access.bytes, 0)) l->region = region;
    else l->wanted = region;
}

static void note_written(lookup *l) {
    uint8_t *flags = l->region->written + (l->access.address - l->region->start);
    if (l->access.flags & CHECK_WRITE) {
        memset(flags, 1, l->access.bytes);
        return;
    }
    if (memchr(flags, 1, l->access.bytes)) return;
    canopy_check_uninitialized(&l->access, l->region);
    memset(flags, 1, l->access.bytes); /* told once */
}

static bool has_races(const check_region *region) {
    return region->kind != CHECK_LOCAL && region->kind != CHECK_ARGUMENT;
}

typedef struct {
    lookup bounds, alignment; /* the first of each */
    uint64_t out_of_bounds, misaligned;
} failures;

static void check_lane(lookup *l, uint32_t alignment, failures *failed) {
    if (!l->access.bytes) return;
    if ((uintptr_t)l->access.address % alignment && !failed->misaligned++) failed->alignment = *l;
    if (!find_in_block(l)) find_in_memory(l);
    if (!l->region && !l->wanted && !l->freed && !knows_all_memory) return;
    if (!l->region) {
        if (!failed->out_of_bounds++) failed->bounds = *l;
        return;
    }
    if (l->region->written) note_written(l);
    if (looks_for_races && has_races(l->region)) canopy_check_race(l->region, &l->access);
}

static int32_t outcome(const failures *failed, uint32_t alignment) {
    if (failed->out_of_bounds) {
        const lookup *l = &failed->bounds;
        check_region own = l->wanted ? *l->wanted : (check_region){0};
        own.start += l->wanted ? own_offset(&own, l) : 0;
        canopy_check_out_of_bounds(&l->access, l->wanted ? &own : NULL, l->freed, failed->out_of_bounds - 1);
        return CANOPY_ILLEGAL_ADDRESS;
    }
    if (!failed->misaligned) return 0;
    canopy_check_misaligned(&failed->alignment.access, alignment, failed->misaligned - 1);
    return CANOPY_MISALIGNED_ADDRESS;
}

/* (address, the address that it was computed from or 0, i64 bytes, i32 CHECK_ flags, i32 alignment,
 * i32 first thread, and of a plain write the value); text: the place */
int32_t canopy_check_access(const canopy_call *call) {
    check_block *block = canopy_check_is_on ? block_of(call) : NULL;
    if (!block) return 0;
    failures failed = {.out_of_bounds = 0};
    uint32_t flags = CANOPY_LANE(call, uint32_t, FLAGS, 0), alignment = CANOPY_LANE(call, uint32_t, ALIGNMENT, 0);
    uint32_t first = CANOPY_LANE(call, uint32_t, FIRST_THREAD, 0);
    bool has_value = flags == (CHECK_WRITE | CHECK_HAS_VALUE);
    flags &= ~(uint32_t)CHECK_HAS_VALUE;
    canopy_check_tick();
    EACH_LANE(call, lane) {
        lookup l = {.root = CANOPY_LANE(call, const char *, ROOT, 0), .lane = lane};
        l.access = (check_access){
            .block = block,
            .place = call->text,
            .address = CANOPY_LANE(call, const char *, ADDRESS, lane),
            .bytes = CANOPY_LANE(call, uint64_t, BYTES, lane),
            .flags = flags,
            .thread = first + (uint32_t)lane,
            .value = has_value ? canopy_lane(call, VALUE, lane) : NULL,
        };
        check_lane(&l, alignment, &failed);
    }
    if (flags & (CHECK_ATOMIC | CHECK_VOLATILE))
        EACH_LANE(call, lane) canopy_check_synchronize(block, first + (uint32_t)lane, flags);
    return outcome(&failed, alignment);
}

/* ---- what orders ---- */

/* (bool: the thread is here, bool: it should be, i32 first thread); text: the place */
int32_t canopy_check_together(const canopy_call *call) {
    check_block *block = canopy_check_is_on ? block_of(call) : NULL;
    if (!block) return 0;
    uint64_t here = call->lanes, missing = call->lanes;
    for (uint64_t lane = call->lanes; lane--;) {
        if (CANOPY_LANE(call, uint8_t, 0, lane)) here = lane;
        else if (CANOPY_LANE(call, uint8_t, 1, lane)) missing = lane;
    }
    if (here == call->lanes || missing == call->lanes) return 0;
    uint32_t first = CANOPY_LANE(call, uint32_t, 2, 0);
    canopy_check_diverged(block, call->text, first + (uint32_t)here, first + (uint32_t)missing);
    return CANOPY_DIVERGENT_BARRIER;
}

/* A barrier of a block that is one program. */
int32_t canopy_check_barrier(const canopy_call *call) {
    check_block *block = canopy_check_is_on ? block_of(call) : NULL;
    if (block) canopy_check_join_block(block);
    return 0;
}

/* (i32 first thread): what lanes of a warp do together */
int32_t canopy_check_warp(const canopy_call *call) {
    check_block *block = canopy_check_is_on ? block_of(call) : NULL;
    if (!block) return 0;
    uint32_t first = CANOPY_LANE(call, uint32_t, 0, 0), stepped = UINT32_MAX;
    EACH_LANE(call, lane) {
        uint32_t warp = (first + (uint32_t)lane) / CANOPY_CHECK_WARP % CANOPY_CHECK_WARPS;
        if (warp != stepped) canopy_check_step_warp(block, warp);
        stepped = warp;
    }
    return 0;
}

/* (i32 first thread): a memory fence */
int32_t canopy_check_fence(const canopy_call *call) {
    check_block *block = canopy_check_is_on ? block_of(call) : NULL;
    if (!block) return 0;
    canopy_check_tick();
    EACH_LANE(call, lane) canopy_check_fence_of(block, CANOPY_LANE(call, uint32_t, 0, 0) + (uint32_t)lane);
    return 0;
}

/* (i32 first thread, i32 barrier, i32 place as a number, i64 places, as bits, where no others may wait);
 * text: the place */
int32_t canopy_check_arrive(const canopy_call *call) {
    check_block *block = canopy_check_is_on ? block_of(call) : NULL;
    if (!block) return 0;
    uint32_t first = CANOPY_LANE(call, uint32_t, 0, 0), number = CANOPY_LANE(call, uint32_t, 1, 0) % CHECK_BARRIERS;
    canopy_check_arrive_at(block, number, first);
    check_barrier *barrier = &block->barriers[number];
    const char *others = barrier->place;
    bool is_wrong = others && CANOPY_LANE(call, uint64_t, 3, 0) >> barrier->place_number & 1;
    barrier->place = call->text;
    barrier->place_number = CANOPY_LANE(call, uint32_t, 2, 0);
    if (!is_wrong || !strcmp(others, call->text)) return 0;
    canopy_check_parted(block, call->text, first, others);
    return CANOPY_DIVERGENT_BARRIER;
}

/* (i32 first thread, i32 barrier) */
int32_t canopy_check_leave(const canopy_call *call) {
    check_block *block = canopy_check_is_on ? block_of(call) : NULL;
    if (block) canopy_check_leave_from(block, CANOPY_LANE(call, uint32_t, 1, 0), CANOPY_LANE(call, uint32_t, 0, 0));
    return 0;
}

/* (i32 whether it is behind the barrier): the barrier of the grid */
int32_t canopy_check_grid(const canopy_call *call) {
    check_block *block = canopy_check_is_on ? block_of(call) : NULL;
    if (block) canopy_check_pass_grid(block, CANOPY_LANE(call, int32_t, 0, 0) != 0);
    return 0;
}
