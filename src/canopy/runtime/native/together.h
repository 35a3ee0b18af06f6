/* Cooperative launches: every program of a grid on a thread of its own, all of them at once. */
#ifndef CANOPY_TOGETHER_H
#define CANOPY_TOGETHER_H

#include "entry.h"

/* Runs the whole grid, whose programs may wait for each other in both directions, and returns 0 or
 * the code of a failure, whose message is then canopy_message() of the calling thread. No program
 * starts before there is a thread for each: where one cannot be made, none runs. */
CANOPY_EXPORT int32_t canopy_run_together(canopy_entry entry, const void *args,
                                          const uint32_t grid[3], const uint32_t block[3],
                                          uint64_t scratch_bytes);

#endif
