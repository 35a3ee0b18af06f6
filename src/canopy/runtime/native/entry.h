/* The one entry of every compiled kernel, whatever language it came from.
 *
 * args     one 8-byte slot per kernel argument: pointers as u64, integers sign- or zero-extended,
 *          floats as raw bits in the low bytes; launchers add one more slot, u64 may_alias.
 * grid     programs along x, y, z;  block: lanes along x, y, z (1, 1, 1 for tile languages).
 * first..last-1   linear program ids to run, x fastest, in ascending order, each to its end.
 * scratch  scratch_bytes of memory of this worker, aligned to 64 bytes, contents undefined.
 *
 * Returns 0, or a code of the kernel's own (> 0) or one below (< 0). After a failure no further
 * programs are handed out; programs that already run finish.
 */
#ifndef CANOPY_ENTRY_H
#define CANOPY_ENTRY_H

#include <stdint.h>

#define CANOPY_EXPORT __attribute__((visibility("default")))

typedef int32_t (*canopy_entry)(const void *args, const uint32_t grid[3], const uint32_t block[3],
                                uint64_t first, uint64_t last, void *scratch);

enum {
    CANOPY_ASSERTION_FAILED = 1,
    CANOPY_TRAPPED = 2,
    CANOPY_THREADS_ASSERTED = 3, /* which have said so, each for itself */
    CANOPY_ILLEGAL_ADDRESS = 4, /* these three: found by a checked kernel, and reported */
    CANOPY_MISALIGNED_ADDRESS = 5,
    CANOPY_DIVERGENT_BARRIER = 6,
    CANOPY_OUT_OF_MEMORY = -1,
    CANOPY_DEADLOCK = -2,
};

#endif
