/* Who touched what when: a record per four bytes of shared and global memory, and what orders accesses.
 *
 * Every warp has a clock, and knows of the others' what the barriers told it: an earlier access of
 * another warp is ordered if its clock is known. Lanes of one warp are ordered by the warp's own
 * clock, which goes on at barriers and at what lanes of a warp do together. Blocks are ordered by the
 * grid's barrier. Beside these, what wrote before a fence, an atomic or a volatile store is taken as
 * ordered with what reads after an atomic or a volatile load that came later: this sees less than
 * there may be, and blames nobody who is right.
 *
 * Writes of what is there already do not race with each other: many threads may set one flag. Nor,
 * in global memory, do they race with reads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"

#define UNIT 4u
#define SITES 4096u

typedef struct {
    check_event write, atomic;
    check_event reads[3]; /* the last; the last before by another warp; by another block */
    uint32_t value;       /* that the write wrote */
} cell;

typedef struct parts {
    struct parts *next;
    cell bytes[UNIT];
} parts;

typedef struct {
    cell whole;
    parts *parts; /* where its bytes were touched one by one */
} unit;

struct check_shadow {
    uint64_t size; /* of this mapping */
    parts *all;
    unit units[];
};

static uint32_t now, launch_start, total_blocks;
static uint32_t grid[3];
static uint32_t *block_released; /* by block: when it last published its writes */
static uint32_t grid_opened[2], grid_generation;
static const char *sites[SITES];
static uint64_t shadow_bytes;

/* ---- places in the source as numbers ---- */

static uint16_t site_of(const char *place) {
    static const char *last_place;
    static uint16_t last_site;
    if (place == last_place) return last_site;
    uint32_t at = (uint32_t)(((uintptr_t)place >> 1) * 0x9E3779B1u) % SITES, tries = 0;
    while (sites[at] && sites[at] != place && tries++ < 64) at = (at + 1) % SITES;
    if (!sites[at]) sites[at] = place;
    last_place = place;
    last_site = (uint16_t)at;
    return last_site;
}

/* ---- the life of a launch ---- */

void canopy_check_races_begin(const uint32_t extents[3]) {
    uint64_t blocks = (uint64_t)extents[0] * extents[1] * extents[2];
    memcpy(grid, extents, sizeof grid);
    total_blocks = blocks <= 1u << 28 ? (uint32_t)blocks : 0;
    block_released = calloc(total_blocks ? total_blocks : 1, sizeof *block_released);
    launch_start = ++now;
    grid_generation = 0;
    memset(grid_opened, 0, sizeof grid_opened);
}

void canopy_check_races_end(void) {
    free(block_released);
    block_released = NULL;
}

void canopy_check_tick(void) { now++; }

void canopy_check_block_of(uint32_t id, uint32_t program[3]) {
    program[0] = id % grid[0];
    program[1] = id / grid[0] % grid[1];
    program[2] = id / grid[0] / grid[1];
}

/* ---- what orders ---- */

static uint32_t warp_of(uint32_t thread) { return thread / CANOPY_CHECK_WARP % CANOPY_CHECK_WARPS; }

static void raise_to(uint32_t *clocks, const uint32_t *others) {
    for (uint32_t warp = 0; warp < CANOPY_CHECK_WARPS; warp++)
        if (clocks[warp] < others[warp]) clocks[warp] = others[warp];
}

void canopy_check_step_warp(check_block *block, uint32_t warp) { block->clocks[warp][warp]++; }

void canopy_check_join_block(check_block *block) {
    uint32_t all[CANOPY_CHECK_WARPS];
    for (uint32_t warp = 0; warp < CANOPY_CHECK_WARPS; warp++) all[warp] = block->clocks[warp][warp];
    for (uint32_t warp = 0; warp < CANOPY_CHECK_WARPS; warp++) {
        raise_to(block->clocks[warp], all);
        canopy_check_step_warp(block, warp);
    }
}

void canopy_check_arrive_at(check_block *block, uint32_t number, uint32_t thread) {
    check_barrier *barrier = &block->barriers[number % CHECK_BARRIERS];
    raise_to(barrier->pending, block->clocks[warp_of(thread)]);
    block->arrived[thread / block->lanes % 1024] = barrier->generation;
}

/* The first that leaves finds all that have come. */
void canopy_check_leave_from(check_block *block, uint32_t number, uint32_t thread) {
    check_barrier *barrier = &block->barriers[number % CHECK_BARRIERS];
    uint32_t mine = block->arrived[thread / block->lanes % 1024], warp = warp_of(thread);
    if (mine == barrier->generation) {
        memcpy(barrier->open[mine % 2], barrier->pending, sizeof barrier->pending);
        memset(barrier->pending, 0, sizeof barrier->pending);
        barrier->generation++;
        barrier->place = NULL;
    }
    raise_to(block->clocks[warp], barrier->open[mine % 2]);
    canopy_check_step_warp(block, warp);
}

void canopy_check_pass_grid(check_block *block, bool leaves) {
    if (!leaves) {
        block->grid_generation = grid_generation;
        return;
    }
    if (block->grid_generation == grid_generation) grid_opened[grid_generation++ % 2] = ++now;
    block->grid_time = grid_opened[block->grid_generation % 2];
    canopy_check_join_block(block);
}

static void release(check_block *block, uint32_t warp) {
    block->released[warp] = now;
    if (total_blocks) block_released[block->id] = now;
}

void canopy_check_fence_of(check_block *block, uint32_t thread) { release(block, warp_of(thread)); }

void canopy_check_synchronize(check_block *block, uint32_t thread, uint32_t flags) {
    uint32_t warp = warp_of(thread);
    bool is_atomic = flags & CHECK_ATOMIC, writes = flags & CHECK_WRITE;
    if (is_atomic || writes) release(block, warp);
    if (is_atomic || !writes) block->acquired[warp] = block->any_acquired = now;
}

static bool is_ordered_in_block(const check_event *before, const check_block *block, uint32_t thread) {
    uint32_t theirs = warp_of(before->thread), mine = warp_of(thread);
    if (before->thread == thread) return true;
    if (theirs == mine && block->lanes > 1) return before->clock < block->clocks[mine][mine];
    if (theirs != mine && before->clock <= block->clocks[mine][theirs]) return true;
    return block->released[theirs] >= before->time && block->acquired[mine] > before->time;
}

/* Whether an earlier access happened before what a thread does now. */
static bool is_ordered(const check_event *before, const check_block *block, uint32_t thread, bool is_shared) {
    if (before->time <= launch_start) return true;
    if (before->block == block->id) return is_ordered_in_block(before, block, thread);
    if (is_shared || block->grid_time > before->time || !total_blocks) return true;
    return block->any_acquired > before->time && block_released[before->block] >= before->time;
}

/* ---- records ---- */

/* Half of the machine's memory for all records. */
static bool has_room(uint64_t bytes) {
    uint64_t most = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE) / 2;
    return bytes <= most && shadow_bytes <= most - bytes;
}

static check_shadow *shadow_of(check_region *region) {
    static check_shadow none; /* of regions that are too large */
    if (region->shadow) return region->shadow == &none ? NULL : region->shadow;
    uint64_t size = sizeof(check_shadow) + ((region->bytes + 2 * UNIT) / UNIT + 1) * sizeof(unit);
    void *made = MAP_FAILED;
    if (has_room(size))
        made = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED) {
        fprintf(stderr, "canopy check: races are not looked for in an allocation of %llu bytes\n",
                (unsigned long long)region->bytes);
        region->shadow = &none;
        return NULL;
    }
    shadow_bytes += size;
    region->shadow = made;
    region->shadow->size = size;
    return made;
}

void canopy_check_drop_shadow(check_region *region) {
    check_shadow *shadow = region->shadow;
    region->shadow = NULL;
    if (!shadow || !shadow->size) return;
    for (parts *one = shadow->all, *next; one; one = next) {
        next = one->next;
        free(one);
    }
    shadow_bytes -= shadow->size;
    munmap(shadow, shadow->size);
}

static void note_read(cell *at, const check_event *fresh) {
    check_event *last = &at->reads[0];
    if (last->time && last->block != fresh->block) at->reads[2] = *last;
    else if (last->time && warp_of(last->thread) != warp_of(fresh->thread)) at->reads[1] = *last;
    *last = *fresh;
}

typedef struct {
    const check_access *access;
    check_region *region;
    check_event event;
    bool is_reported;
} visit;

static void compare(visit *v, const check_event *before, bool before_writes) {
    if (v->is_reported) return;
    if (is_ordered(before, v->access->block, v->access->thread, v->region->kind == CHECK_SHARED)) return;
    canopy_check_raced(v->access, before, before_writes, sites[before->site], v->region);
    v->is_reported = true;
}

static bool changes(const cell *at, const char *address, const void *value, uint32_t bytes) {
    if (!value) return true;
    if (at->write.time == now) return memcmp(&at->value, value, bytes) != 0; /* another lane, just now */
    return memcmp(address, value, bytes) != 0;
}

static void visit_cell(visit *v, cell *at, const char *address, uint32_t bytes) {
    const check_access *access = v->access;
    bool is_plain = !(access->flags & (CHECK_ATOMIC | CHECK_VOLATILE));
    if (!is_plain) {
        compare(v, &at->write, true);
        at->atomic = v->event;
        return;
    }
    if (!(access->flags & CHECK_WRITE)) {
        compare(v, &at->write, true);
        note_read(at, &v->event);
        return;
    }
    const char *value = access->value ? (const char *)access->value + (address - access->address) : NULL;
    bool is_change = changes(at, address, value, bytes);
    if (!is_change && v->region->kind != CHECK_SHARED) return;
    if (is_change) compare(v, &at->write, true);
    compare(v, &at->atomic, false);
    for (int which = 2; which >= 0; which--) compare(v, &at->reads[which], false);
    at->write = v->event;
    if (value) memcpy(&at->value, value, bytes);
}

static bool split(check_shadow *shadow, unit *at) {
    if (at->parts) return true;
    parts *made = malloc(sizeof *made);
    if (!made) return false;
    for (uint32_t byte = 0; byte < UNIT; byte++) {
        made->bytes[byte] = at->whole;
        made->bytes[byte].value = at->whole.value >> 8 * byte & 255;
    }
    made->next = shadow->all;
    shadow->all = at->parts = made;
    return true;
}

void canopy_check_race(check_region *region, const check_access *access) {
    check_shadow *shadow = shadow_of(region);
    if (!shadow) return;
    visit v = {.access = access, .region = region};
    v.event = (check_event){access->block->id, now, 0, (uint16_t)access->thread, site_of(access->place)};
    uint32_t warp = warp_of(access->thread);
    v.event.clock = access->block->clocks[warp][warp];
    uint64_t base = (uintptr_t)region->start / UNIT;
    const char *at = access->address, *end = at + access->bytes;
    while (at < end) {
        unit *one = &shadow->units[(uintptr_t)at / UNIT - base];
        bool is_whole = (uintptr_t)at % UNIT == 0 && end - at >= UNIT && !one->parts;
        if (is_whole) {
            visit_cell(&v, &one->whole, at, UNIT);
            at += UNIT;
            continue;
        }
        if (!split(shadow, one)) return;
        visit_cell(&v, &one->parts->bytes[(uintptr_t)at % UNIT], at, 1);
        at++;
    }
}
