/* Makes a loaded library take its large blocks of memory from the caching allocator.
 *
 * A library calls posix_memalign and free through slots that the dynamic linker filled in. Both
 * slots of one library are pointed at functions of ours: large blocks then come from canopy_alloc,
 * everything else from where it came before. torch's CPU tensors are allocated by libc10.so alone.
 */
#ifndef CANOPY_INTERPOSE_H
#define CANOPY_INTERPOSE_H

#include <stdbool.h>

#include "entry.h"

/* `library` is the last part of a path, such as "libc10.so". False, and nothing changed, where no
 * such library is loaded or it does not allocate through posix_memalign. Safe to repeat. */
CANOPY_EXPORT bool canopy_keep_memory(const char *library);
/* New blocks come from the C library again; those in use are still freed properly. */
CANOPY_EXPORT void canopy_stop_keeping_memory(void);

#endif
