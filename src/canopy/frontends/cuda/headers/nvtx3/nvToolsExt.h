// The same as nvToolsExt.h. Written for Canopy.
#pragma once
#include "../nvToolsExt.h"
