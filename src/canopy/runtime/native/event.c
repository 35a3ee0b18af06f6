#include "event.h"

#include <math.h>

#include "clock.h"

void canopy_event_record(canopy_event *event) { event->time_ns = canopy_now_ns(); }

double canopy_event_elapsed(const canopy_event *start, const canopy_event *end) {
    if (start->time_ns == 0 || end->time_ns == 0) return NAN;
    return (double)(int64_t)(end->time_ns - start->time_ns) * 1e-6;
}
