// Ascend C on a CPU: the documented calls, executed functionally and checked as they run.
//
// Written from the public documentation of Ascend C: names and behaviour, no code of CANN. A call
// takes effect at once, in program order; what the pipes of a chip would do side by side is followed
// in the order that events and queues give, and what they leave open is reported.
#pragma once

#include "canopy_ascend/core.h"
#include "canopy_ascend/order.h"
#include "canopy_ascend/tensor.h"
#include "canopy_ascend/queue.h"
#include "canopy_ascend/sync.h"
#include "canopy_ascend/copy.h"
#include "canopy_ascend/lanes.h"
#include "canopy_ascend/elementwise.h"
#include "canopy_ascend/choose.h"
#include "canopy_ascend/reduce.h"
#include "canopy_ascend/rearrange.h"
#include "canopy_ascend/sort.h"
#include "canopy_ascend/functions.h"
#include "canopy_ascend/cube.h"
#include "canopy_ascend/launch.h"
