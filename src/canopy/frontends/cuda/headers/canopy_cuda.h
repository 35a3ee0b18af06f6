// CUDA C++ names for device code, implemented on clang's NVPTX builtins. Written for Canopy.
#pragma once
#pragma clang system_header  // a user's warnings are about the user's code

#define __host__ __attribute__((host))
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#ifdef __CUDA_ARCH__
#define __managed__ __device__
#else  // the annotation tells the compiler to use the device's variable
#define __managed__ __attribute__((device, annotate("canopy.managed")))
#endif
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict
#define CANOPY_DEVICE static __inline__ __attribute__((device, always_inline))

typedef __SIZE_TYPE__ size_t;

#include "canopy_marks.h"
#include "canopy_vectors.h"
#include "canopy_runtime_api.h"
#include "canopy_textures.h"
#include "canopy_output.h"

// ---- the thread's place
#define CANOPY_PLACE(T, sreg)                                                                                    \
  struct T {                                                                                                     \
    __declspec(property(get = get_x)) unsigned int x;                                                            \
    __declspec(property(get = get_y)) unsigned int y;                                                            \
    __declspec(property(get = get_z)) unsigned int z;                                                            \
    __device__ static inline unsigned int get_x() { return __nvvm_read_ptx_sreg_##sreg##_x(); }                  \
    __device__ static inline unsigned int get_y() { return __nvvm_read_ptx_sreg_##sreg##_y(); }                  \
    __device__ static inline unsigned int get_z() { return __nvvm_read_ptx_sreg_##sreg##_z(); }                  \
    __device__ operator uint3() const { return {get_x(), get_y(), get_z()}; }                                    \
    __device__ operator dim3() const { return dim3(get_x(), get_y(), get_z()); }                                 \
  };
CANOPY_PLACE(canopy_thread_idx, tid)
CANOPY_PLACE(canopy_block_idx, ctaid)
CANOPY_PLACE(canopy_block_dim, ntid)
CANOPY_PLACE(canopy_grid_dim, nctaid)
#undef CANOPY_PLACE
extern const __device__ __attribute__((weak)) canopy_thread_idx threadIdx;
extern const __device__ __attribute__((weak)) canopy_block_idx blockIdx;
extern const __device__ __attribute__((weak)) canopy_block_dim blockDim;
extern const __device__ __attribute__((weak)) canopy_grid_dim gridDim;
static constexpr int warpSize __attribute__((unused)) = 32;

// ---- synchronisation
CANOPY_DEVICE void __syncwarp(unsigned int mask = 0xffffffffu) { __nvvm_bar_warp_sync(mask); }
CANOPY_DEVICE int __syncthreads_count(int p) { return __nvvm_bar0_popc(p); }
CANOPY_DEVICE int __syncthreads_and(int p) { return __nvvm_bar0_and(p); }
CANOPY_DEVICE int __syncthreads_or(int p) { return __nvvm_bar0_or(p); }
CANOPY_DEVICE void __threadfence_block() { __nvvm_membar_cta(); }
CANOPY_DEVICE void __threadfence() { __nvvm_membar_gl(); }
CANOPY_DEVICE void __threadfence_system() { __nvvm_membar_sys(); }

#include "canopy_warp.h"
#include "canopy_atomic.h"
#include "canopy_math.h"
#include "canopy_casts.h"
#include "canopy_integer.h"
#include "canopy_simd.h"
#include "canopy_pointers.h"

// ---- what host code of a .cu file finds without including it, as with nvcc
#ifndef __CUDACC_RTC__
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <utility>
#endif
