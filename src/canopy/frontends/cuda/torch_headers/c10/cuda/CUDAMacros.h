// Written for Canopy.
#pragma once
#include <canopy_torch/cuda.h>
