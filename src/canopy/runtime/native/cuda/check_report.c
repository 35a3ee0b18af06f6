/* What checked kernels say, on standard error. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "../report.h"
#include "check.h"

#define MOST_REPORTS 25
#define MOST_PAIRS 256
#define NEAR_BYTES (64u << 20)

const char *canopy_check_kernel = "";
uint64_t canopy_check_count;

static bool is_silent(void) {
    if (++canopy_check_count == MOST_REPORTS + 1)
        fprintf(stderr, "canopy check: further errors are counted, not shown\n");
    return canopy_check_count > MOST_REPORTS;
}

/* ---- the text of one report ---- */

static char text[CANOPY_MESSAGE_BYTES];
static size_t used;

__attribute__((format(printf, 1, 2))) static void say(const char *format, ...) {
    va_list values;
    va_start(values, format);
    int length = vsnprintf(text + used, sizeof text - used, format, values);
    va_end(values);
    if (length > 0) used += (size_t)length;
    if (used >= sizeof text) used = sizeof text - 1;
}

/* A report that ends the kernel is its message, for those who get that. */
static void tell(bool ends_kernel) {
    if (used && text[used - 1] == '\n') text[used - 1] = 0;
    if (ends_kernel) canopy_report(text);
    if (!ends_kernel || !canopy_check_is_embedded) fprintf(stderr, "canopy check: %s\n", text);
    used = 0;
}

static const char *what(uint32_t flags) {
    if (flags & CHECK_ATOMIC) return "atomic operation";
    return flags & CHECK_WRITE ? "write" : "read";
}

static void say_thread(const char *label, const char *place, const uint32_t extents[3], uint32_t thread,
                       const uint32_t program[3]) {
    uint32_t x = extents[0] ? extents[0] : 1, y = extents[1] ? extents[1] : 1;
    say("    %s%s, thread (%" PRIu32 ", %" PRIu32 ", %" PRIu32 "), block (%" PRIu32 ", %" PRIu32
            ", %" PRIu32 ")\n", label, place, thread % x, thread / x % y, thread / x / y, program[0], program[1],
            program[2]);
}

static void say_place(const char *label, const check_access *access) {
    say_thread(label, access->place, access->block->extents, access->thread, access->block->program);
}

static const char *noun(const check_region *region) {
    switch (region->kind) {
    case CHECK_DEVICE: return "an allocation";
    case CHECK_MANAGED: return "a managed allocation";
    case CHECK_HOST: return "an allocation of pinned host memory";
    case CHECK_VARIABLE: return "the device variable";
    case CHECK_HEAP: return "an allocation of device malloc";
    case CHECK_FREED: return "freed memory";
    case CHECK_ARGUMENT: return "the parameter";
    case CHECK_SHARED: return "the shared array";
    case CHECK_LOCAL: return "the local array";
    }
    return "memory";
}

static const char *space(const check_region *region) {
    if (region && region->kind == CHECK_SHARED) return "shared";
    return region && region->kind == CHECK_LOCAL ? "local" : "global";
}

static void say_region(const check_region *region) {
    bool has_name = region->name && region->name[0];
    say("%s%s%s of %" PRIu64 " byte%s", noun(region), has_name ? " " : "", has_name ? region->name : "",
            region->bytes, region->bytes == 1 ? "" : "s");
}

/* "12 bytes behind the end of an allocation of 4000 bytes at 0x..." */
static void say_relation(const char *address, const check_region *region) {
    uint64_t before = (uint64_t)(region->start - address), behind = (uint64_t)(address - region->start) - region->bytes;
    bool is_before = address < region->start, is_behind = address >= region->start + region->bytes;
    uint64_t distance = is_before ? before : is_behind ? behind : (uint64_t)(address - region->start);
    say("%" PRIu64 " byte%s %s ", distance, distance == 1 ? "" : "s",
            is_before ? "before the start of" : is_behind ? "behind the end of" : "into");
    say_region(region);
    say(" at %p\n", (const void *)region->start);
}

/* The region that an address may have been meant for. */
static const check_region *nearest(const char *address) {
    const check_region *below, *above;
    canopy_check_neighbours(address, &below, &above);
    uint64_t down = below ? (uint64_t)(address - below->start) - below->bytes : UINT64_MAX;
    uint64_t up = above ? (uint64_t)(above->start - address) : UINT64_MAX;
    if (down > NEAR_BYTES && up > NEAR_BYTES) return NULL;
    return down <= up ? below : above;
}

static void say_others(uint64_t others) {
    if (others)
        say("    so do %" PRIu64 " more thread%s of the block\n", others, others == 1 ? "" : "s");
}

void canopy_check_out_of_bounds(const check_access *access, const check_region *wanted, const check_region *freed,
                                uint64_t others) {
    if (is_silent()) return;
    say("%s of %" PRIu64 " byte%s %s in %s\n", what(access->flags), access->bytes,
            access->bytes == 1 ? "" : "s",
            freed ? "of memory that was freed,"
            : wanted && wanted->kind == CHECK_SHARED ? "out of bounds of shared memory"
            : wanted && wanted->kind == CHECK_LOCAL  ? "out of bounds of local memory"
                                                     : "out of bounds of global memory",
            canopy_check_kernel);
    say_place("at ", access);
    const check_region *beside = freed ? freed : wanted ? wanted : nearest(access->address);
    say("    address %p, ", (const void *)access->address);
    if (beside) say_relation(access->address, beside);
    else say("which is no memory of the device: the host's own, or none\n");
    say_others(others);
    tell(true);
}

void canopy_check_misaligned(const check_access *access, uint32_t alignment, uint64_t others) {
    if (is_silent()) return;
    say("misaligned %s in %s: the address must be a multiple of %" PRIu32 "\n",
            what(access->flags), canopy_check_kernel, alignment);
    say_place("at ", access);
    say("    address %p\n", (const void *)access->address);
    say_others(others);
    tell(true);
}

/* Whether an error of these places was told already. */
static bool is_known(const char *one, const char *other) {
    static const char *pairs[MOST_PAIRS][2];
    static uint32_t count;
    for (uint32_t at = 0; at < count; at++)
        if (!strcmp(pairs[at][0], one) && !strcmp(pairs[at][1], other)) return true;
    if (count < MOST_PAIRS) {
        pairs[count][0] = one;
        pairs[count++][1] = other;
    }
    return false;
}

void canopy_check_uninitialized(const check_access *access, const check_region *region) {
    if (is_known(access->place, "") || is_silent()) return;
    say("%s of shared memory that nobody has written, in %s\n", what(access->flags),
            canopy_check_kernel);
    say_place("at ", access);
    say("    ");
    say_relation(access->address, region);
    tell(false);
}

static const char *missing(const check_access *access, const check_event *before) {
    if (access->block->id != before->block) return "blocks of one launch are not ordered: use atomics, or two launches";
    if (before->time && access->thread / CANOPY_CHECK_WARP == before->thread / CANOPY_CHECK_WARP)
        return "no __syncwarp() or __syncthreads() between them";
    return "no __syncthreads() between them";
}

void canopy_check_raced(const check_access *access, const check_event *before, bool before_writes,
                        const char *before_place, const check_region *region) {
    if (is_known(before_place, access->place) || is_silent()) return;
    uint32_t program[3];
    canopy_check_block_of(before->block, program);
    say("race in %s memory in %s: %s of %" PRIu64 " byte%s after a%s\n", space(region),
            canopy_check_kernel, what(access->flags), access->bytes, access->bytes == 1 ? "" : "s",
            before_writes ? " write" : access->flags & CHECK_WRITE ? " use" : " write");
    say_thread("first  ", before_place, access->block->extents, before->thread, program);
    say_place("second ", access);
    say("    address %p, ", (const void *)access->address);
    say_relation(access->address, region);
    say("    %s\n", missing(access, before));
    tell(false);
}

void canopy_check_diverged(const check_block *block, const char *place, uint32_t here, uint32_t missing_thread) {
    if (is_silent()) return;
    uint32_t x = block->extents[0] ? block->extents[0] : 1, y = block->extents[1] ? block->extents[1] : 1;
    say("divergent barrier in %s: some threads of the block do not come to it\n",
            canopy_check_kernel);
    say_thread("at ", place, block->extents, here, block->program);
    say("    thread (%" PRIu32 ", %" PRIu32 ", %" PRIu32 ") takes another way\n", missing_thread % x,
        missing_thread / x % y, missing_thread / x / y);
    tell(true);
}

void canopy_check_parted(const check_block *block, const char *place, uint32_t here, const char *other) {
    if (is_silent()) return;
    say("divergent barrier in %s: threads of one block wait at different places\n",
            canopy_check_kernel);
    say_thread("at ", place, block->extents, here, block->program);
    say("    others wait at %s\n", other);
    tell(true);
}
