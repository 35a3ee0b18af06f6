/* The thread pool: runs the programs of a grid on the caller and on workers.
 *
 * Every thread takes program ids in ascending order and runs each to its end, so a program may
 * wait for one with a smaller id (locks, look-back), never for a larger one.
 */
#ifndef CANOPY_POOL_H
#define CANOPY_POOL_H

#include <stdatomic.h>
#include <stdbool.h>

#include "entry.h"

typedef struct {
    canopy_entry entry;
    const void *args;
    uint32_t grid[3];
    uint32_t block[3];
    uint64_t scratch_bytes; /* per worker */
    bool alone;             /* on the calling thread only */
    uint64_t max_chunk;     /* programs handed out at once at most; 0: the pool chooses */
    /* What one program cost last time, in picoseconds; 0: unknown. Read to choose between inline
     * and parallel, written after the launch. May be NULL. Accessed atomically. */
    uint64_t *program_ps;
} canopy_launch_request;

/* Runs the whole grid and returns 0 or the code of the first failure, whose message is then
 * canopy_message() of the calling thread. A launch while another thread's launch has the workers
 * runs on the caller alone. An empty grid runs nothing. */
CANOPY_EXPORT int32_t canopy_launch(const canopy_launch_request *request);

/* What the threads of one launch count together, for programs that wait for each other. */
typedef struct {
    _Atomic uint64_t arrived, ended; /* at the grid barrier, and for good */
    _Atomic uint32_t generation;     /* grid barriers that have opened */
    _Atomic uint32_t inside, idle;   /* threads */
} canopy_meeting;

/* For a kernel that runs in a launch: what its threads share, and how many programs are one thread's
 * fair share. NULL: this thread runs the launch alone. */
canopy_meeting *canopy_launch_meeting(uint64_t *share);
/* Takes further programs of the launch. Returns their number, 0: none is left. */
uint64_t canopy_take_programs(uint64_t *first);
bool canopy_launch_has_failed(void);

/* Expected duration on one thread; UINT64_MAX where nothing is known. */
CANOPY_EXPORT uint64_t canopy_expected_ns(const canopy_launch_request *request);

CANOPY_EXPORT int canopy_get_threads(void);
/* Takes effect before the next launch. Returns 0, or -1 where count is not in 1..1024. */
CANOPY_EXPORT int canopy_set_threads(int count);

/* Lets the threads of a loaded OpenMP runtime run launches instead of the pool's workers, or no
 * longer. Returns whether they do from now on: false where there is none, or after a fork. */
CANOPY_EXPORT bool canopy_share_openmp(bool wanted);

#endif
