// The same as cuda_fp16.h. Written for Canopy.
#pragma once
#include "cuda_fp16.h"
