// What plain C and C++ sources see of CUDA: types and runtime functions. CUDA sources see canopy_cuda.h
// before anything else. Written for Canopy.
#pragma once
#ifndef __CUDA__
#include <stddef.h>

#define __host__
#define __device__
#define __global__
#define __shared__
#define __constant__
#define __managed__
#define __restrict__ __restrict
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __launch_bounds__(...)

#include "canopy_marks.h"
#include "canopy_vectors.h"
#include "canopy_runtime_api.h"
#include "canopy_textures.h"
#endif
