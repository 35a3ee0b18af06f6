// Marks on types and functions that say nothing to this compiler, and names that programs test for.
// Written for Canopy.
#pragma once
#define __CUDA_RUNTIME_H__
#define __CUDA_RUNTIME_API_H__
#define __VECTOR_TYPES_H__
#define __device_builtin__
#define __device_builtin_texture_type__
#define __device_builtin_surface_type__
#define __cudart_builtin__
#define __builtin_align__(n) __attribute__((aligned(n)))
#define __inline_hint__
#define __nv_pure__ __attribute__((pure))
#define __no_return__ __attribute__((noreturn))
#define __maxnreg__(...)
#define __block_size__(...)
#define __cluster_dims__(...)
#define __grid_constant__
