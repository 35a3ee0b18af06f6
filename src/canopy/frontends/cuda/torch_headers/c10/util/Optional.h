// Written for Canopy.
#pragma once
#include <canopy_torch/core.h>
