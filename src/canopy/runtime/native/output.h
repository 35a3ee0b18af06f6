/* Text that programs of a launch print.
 *
 * It is kept until the launch ends, put into the order of the program ids, and written to standard
 * output at the next flush: of a CUDA program at its synchronisations, else when the launch ends. */
#ifndef CANOPY_OUTPUT_H
#define CANOPY_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>

#include "entry.h"

/* Adds text of the program that runs on this thread. */
void canopy_output_add(const uint32_t program[3], const char *text, size_t bytes);
/* This thread has run its share of a launch; the launch has ended. */
void canopy_output_close(const void *launch);
void canopy_output_end(const void *launch);
/* Writes what ended launches, and this thread, have printed. */
CANOPY_EXPORT void canopy_output_flush(void);
/* As a flush, from the handler of a signal that ends the program: what running launches have printed so far too. */
void canopy_output_rescue(void);
/* Whether a flush would write anything. */
bool canopy_output_waits(void);

#endif
