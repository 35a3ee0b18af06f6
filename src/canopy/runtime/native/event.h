/* Events of the synchronous stream: when control reached this point. */
#ifndef CANOPY_EVENT_H
#define CANOPY_EVENT_H

#include "entry.h"

typedef struct {
    uint64_t time_ns; /* monotonic; 0: never recorded */
} canopy_event;

CANOPY_EXPORT void canopy_event_record(canopy_event *event);
/* Milliseconds from start to end; NaN where one of them was never recorded. */
CANOPY_EXPORT double canopy_event_elapsed(const canopy_event *start, const canopy_event *end);

#endif
