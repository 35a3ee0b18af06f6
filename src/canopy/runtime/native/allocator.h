/* A caching allocator for host memory: blocks aligned to 64 bytes, kept for reuse when freed.
 *
 * A fresh large mapping costs a page fault per page at every use; reuse avoids it. Blocks of 2 MiB
 * and more ask for huge pages.
 */
#ifndef CANOPY_ALLOCATOR_H
#define CANOPY_ALLOCATOR_H

#include "entry.h"

typedef struct {
    uint64_t used_bytes;   /* handed out, as rounded to size classes */
    uint64_t cached_bytes; /* free, kept for reuse */
    uint64_t peak_bytes;   /* the most that used_bytes ever was */
    uint64_t hits;         /* allocations served from the cache */
    uint64_t misses;
} canopy_memory_stats;

/* NULL where memory is out. 0 bytes give a block of the smallest class. */
CANOPY_EXPORT void *canopy_alloc(uint64_t bytes);
/* Keeps the block for reuse, as long as a quarter of the machine's memory is not exceeded. */
CANOPY_EXPORT void canopy_free(void *block);
/* Returns cached blocks to the system. */
CANOPY_EXPORT void canopy_alloc_trim(void);
CANOPY_EXPORT void canopy_alloc_stats(canopy_memory_stats *stats);

#endif
