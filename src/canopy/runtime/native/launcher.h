/* The Launcher type: a compiled kernel that Python calls as launcher(grid_x, grid_y, grid_z, *args). */
#ifndef CANOPY_LAUNCHER_H
#define CANOPY_LAUNCHER_H

#include <stdbool.h>
#include <stdint.h>

#include "pool.h"
#include "stable_abi.h"

/* Creates the types and adds them to the module; false with a Python error set. */
bool canopy_launcher_init(PyObject *module);

/* make_launcher(...) and set_timing(bool) of the module. */
PyObject *canopy_make_launcher(PyObject *module, PyObject *args, PyObject *keywords);
PyObject *canopy_set_timing(PyObject *module, PyObject *enabled);

/* Reads one number of a grid or a block; false with a Python error set. */
bool canopy_read_extent(PyObject *value, const char *what, char axis, uint32_t *result);
bool canopy_check_total(const uint32_t grid[3]);
/* Runs with the GIL released where the launch may take longer than handing the GIL over. */
int32_t canopy_launch_from_python(const canopy_launch_request *request);
/* Sets KernelFailure with the code and the message of this thread; returns NULL. */
PyObject *canopy_raise_failure(const char *kernel, int32_t code);

#endif
