// The same as cuda_bf16.h. Written for Canopy.
#pragma once
#include "cuda_bf16.h"
