/* A caching allocator for host memory: blocks aligned to 64 bytes, kept for reuse when freed.
 *
 * A fresh large mapping costs a page fault per page at every use (64 MB: 27 ms; 4 ms in huge pages;
 * 1.2 ms where the pages are there already). Blocks of 1 MiB and more are mappings of their own, in
 * huge pages where the system gives them.
 */
#ifndef CANOPY_ALLOCATOR_H
#define CANOPY_ALLOCATOR_H

#include <stdbool.h>

#include "entry.h"

#define CANOPY_LARGE_BYTES (1u << 20)

typedef struct {
    uint64_t used_bytes;   /* handed out, as rounded to size classes */
    uint64_t cached_bytes; /* free, kept for reuse */
    uint64_t peak_bytes;   /* the most that used_bytes was since the last reset */
    uint64_t peak_held_bytes; /* the same of used_bytes + cached_bytes */
    uint64_t limit_bytes;  /* what cached_bytes may reach */
    uint64_t hits;         /* allocations served from the cache */
    uint64_t misses;
} canopy_memory_stats;

/* NULL where memory is out. 0 bytes give a block of the smallest class. */
CANOPY_EXPORT void *canopy_alloc(uint64_t bytes);
/* Keeps the block for reuse. Past the limit, the large blocks that were freed longest ago go back to
 * the system; a block that was not wanted for a second is offered to it, for when memory runs
 * short. */
CANOPY_EXPORT void canopy_free(void *block);
/* Whether the address is a large block of this allocator, in use. Any address may be asked about
 * that belongs to readable memory. */
bool canopy_owns_large(const void *address);
/* Returns cached blocks to the system. */
CANOPY_EXPORT void canopy_alloc_trim(void);
/* The most that is kept; a quarter of the machine's memory unless set. */
CANOPY_EXPORT void canopy_alloc_limit(uint64_t bytes);
CANOPY_EXPORT void canopy_alloc_stats(canopy_memory_stats *stats);
CANOPY_EXPORT void canopy_alloc_reset_peak(void);

#endif
