/* Scratch memory: one block per thread, grown on need, kept until the thread ends. */
#ifndef CANOPY_SCRATCH_H
#define CANOPY_SCRATCH_H

#include <stdint.h>

/* A block of at least `bytes`, aligned to 64 (NULL for 0 bytes, or when memory is out). A launch
 * inside a launch (the block is taken) gets a block of its own. Give back what was taken. */
void *canopy_scratch_take(uint64_t bytes);
void canopy_scratch_give(void *block);

#endif
