/* What running kernels say: assertion messages and device_print. */
#ifndef CANOPY_REPORT_H
#define CANOPY_REPORT_H

#include "entry.h"

#define CANOPY_MESSAGE_BYTES 1024

/* Element kinds of canopy_print_values. */
enum {
    CANOPY_BOOL = 0, CANOPY_I8, CANOPY_I16, CANOPY_I32, CANOPY_I64,
    CANOPY_U8, CANOPY_U16, CANOPY_U32, CANOPY_U64,
    CANOPY_F16, CANOPY_BF16, CANOPY_F32, CANOPY_F64, CANOPY_POINTER,
};

/* Writes the message of this thread, which the launch reports if the entry then returns non-zero.
 * Returns CANOPY_ASSERTION_FAILED, for the generated code to return. */
CANOPY_EXPORT int32_t canopy_assert_fail(const char *message, const char *file, int32_t line,
                                         uint32_t pid_x, uint32_t pid_y, uint32_t pid_z);
/* Any other failure: sets the message of this thread. */
CANOPY_EXPORT void canopy_report(const char *message);
/* The message of this thread: of the failure above, or of its last failed launch. "": none. */
CANOPY_EXPORT const char *canopy_message(void);
void canopy_clear_message(void);

/* One line per element on standard output, `pid (x, y, z) idx (i, j)<prefix><value>`; data holds
 * count packed elements, row-major in shape; the prefix carries its own spaces and colon.
 * The lines of one call are written together. */
CANOPY_EXPORT void canopy_print_values(const uint32_t pid[3], const char *prefix, int32_t kind,
                                       const void *data, uint64_t count, const int64_t *shape,
                                       int32_t rank, int32_t hex);
/* The prefix alone, for a print without operands. */
CANOPY_EXPORT void canopy_print_text(const uint32_t pid[3], const char *text);

#endif
