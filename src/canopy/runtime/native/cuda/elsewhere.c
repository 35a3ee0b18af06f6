#include "elsewhere.h"

#include <stdlib.h>

static canopy_cuda_runner taken_by; /* set before the program's main */

void canopy_cuda_take_launches(canopy_cuda_runner runner) { taken_by = runner; }

canopy_cuda_runner canopy_cuda_taken_over(void) { return taken_by; }

static void (*exit_told)(int status);

static void exits(int status, void *unused) {
    (void)unused;
    if (exit_told) exit_told(status);
}

void canopy_cuda_tell_exit(void (*told)(int status)) {
    static bool is_registered;
    exit_told = told;
    if (!is_registered) is_registered = !on_exit(exits, NULL);
}

int32_t canopy_cuda_run_here(const canopy_cuda_launch *launch) { return canopy_launch(launch->request); }

uint64_t canopy_cuda_extents(canopy_cuda_extent *found, uint64_t room) {
    uint64_t count = canopy_cuda_allocations(found, room);
    uint64_t taken = count < room ? count : room;
    return count + canopy_cuda_variables(found + taken, room - taken);
}
