/* Kernels whose programs wait for each other: each program runs as a fiber of its own, a stack that
 * gives way to others where it waits.
 *
 * A block may also be several programs, its members: each runs `lanes` of its threads, and they
 * share barriers and memory. The entry of such a kernel calls canopy_run_apart; what stands below
 * is called by the programs. Fibers stay on the thread that started them.
 */
#ifndef CANOPY_APART_H
#define CANOPY_APART_H

#include "entry.h"

/* Runs the programs first..last-1 by `program`, which takes one id at a time; and further programs
 * of the same launch while all of these wait. lanes: threads of the block per member; 0: the whole
 * block is one program. Returns 0 or the code of a failure, as an entry does. */
CANOPY_EXPORT int32_t canopy_run_apart(canopy_entry program, const void *args, const uint32_t grid[3],
                                       const uint32_t block[3], uint64_t first, uint64_t last,
                                       uint64_t scratch_bytes, uint32_t lanes);

/* Lets others run: in loops that wait for what they write. */
CANOPY_EXPORT void canopy_pause(void);

/* Waits for all programs of the grid. */
CANOPY_EXPORT void canopy_grid_barrier(void);

/* Which member of its block the program is. */
CANOPY_EXPORT uint32_t canopy_member(void);

/* Memory number `index` of the block: `bytes`, aligned to 64, the same for all members. */
CANOPY_EXPORT void *canopy_block_memory(uint32_t index, uint64_t bytes);

/* How a block barrier combines what its members bring. */
enum { CANOPY_SUM = 0, CANOPY_ALL = 1, CANOPY_ANY = 2 };
/* The 16 that programs name, and one for each of the block's tiles of two warps or more. */
#define CANOPY_BARRIERS 32

/* Waits at a barrier of the block for `threads` of its threads (0: all that have not ended; else a
 * multiple of a warp), and returns the sum, minimum or maximum of `value` over the members. */
CANOPY_EXPORT uint32_t canopy_block_barrier(uint32_t barrier, uint32_t threads, uint32_t combine,
                                            uint32_t value);
/* Counts for a barrier without waiting. */
CANOPY_EXPORT void canopy_block_arrive(uint32_t barrier, uint32_t threads);

#endif
