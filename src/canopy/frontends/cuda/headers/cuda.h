// Programs include it for CUDA_VERSION and the runtime's types; the driver's functions are not here.
// Written for Canopy.
#pragma once
#include "canopy_host.h"
