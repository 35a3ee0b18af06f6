// Written for Canopy.
#pragma once
#include <canopy_torch/extension.h>
