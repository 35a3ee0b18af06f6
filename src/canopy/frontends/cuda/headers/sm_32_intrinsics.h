// canopy_cuda.h, which every CUDA C++ source sees first, has it all. Written for Canopy.
#pragma once
#include "canopy_host.h"
