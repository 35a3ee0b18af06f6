// The same as cuda_fp8.h. Written for Canopy.
#pragma once
#include "cuda_fp8.h"
