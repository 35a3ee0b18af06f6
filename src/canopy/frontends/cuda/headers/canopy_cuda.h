// CUDA C++ names for device code, implemented on clang's NVPTX builtins. Written for Canopy.
#pragma once

#define __host__ __attribute__((host))
#define __device__ __attribute__((device))
#define __global__ __attribute__((global))
#define __shared__ __attribute__((shared))
#define __constant__ __attribute__((constant))
#define __managed__ __attribute__((managed))
#define __launch_bounds__(...) __attribute__((launch_bounds(__VA_ARGS__)))
#define __forceinline__ __inline__ __attribute__((always_inline))
#define __align__(n) __attribute__((aligned(n)))
#define __restrict__ __restrict
#define CANOPY_DEVICE static __inline__ __attribute__((device, always_inline))

typedef __SIZE_TYPE__ size_t;

#include "canopy_vectors.h"
#include "canopy_runtime_api.h"

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
#define warpSize 32

// ---- synchronisation
CANOPY_DEVICE void __syncwarp(unsigned int mask = 0xffffffffu) { __nvvm_bar_warp_sync(mask); }
CANOPY_DEVICE int __syncthreads_count(int p) { return __nvvm_bar0_popc(p); }
CANOPY_DEVICE int __syncthreads_and(int p) { return __nvvm_bar0_and(p); }
CANOPY_DEVICE int __syncthreads_or(int p) { return __nvvm_bar0_or(p); }
CANOPY_DEVICE void __threadfence_block() { __nvvm_membar_cta(); }
CANOPY_DEVICE void __threadfence() { __nvvm_membar_gl(); }
CANOPY_DEVICE void __threadfence_system() { __nvvm_membar_sys(); }

// ---- warp votes and shuffles
CANOPY_DEVICE int __any_sync(unsigned int mask, int p) { return __nvvm_vote_any_sync(mask, p); }
CANOPY_DEVICE int __all_sync(unsigned int mask, int p) { return __nvvm_vote_all_sync(mask, p); }
CANOPY_DEVICE unsigned int __ballot_sync(unsigned int mask, int p) { return __nvvm_vote_ballot_sync(mask, p); }

#define CANOPY_SHUFFLE(name, builtin, control)                                                                   \
  CANOPY_DEVICE int name(unsigned int m, int v, int s, int w = 32) {                                             \
    return __nvvm_shfl_sync_##builtin##_i32(m, v, s, ((32 - w) << 8) | control);                                 \
  }                                                                                                              \
  CANOPY_DEVICE unsigned int name(unsigned int m, unsigned int v, int s, int w = 32) {                           \
    return (unsigned int)name(m, (int)v, s, w);                                                                  \
  }                                                                                                              \
  CANOPY_DEVICE float name(unsigned int m, float v, int s, int w = 32) {                                         \
    return __nvvm_shfl_sync_##builtin##_f32(m, v, s, ((32 - w) << 8) | control);                                 \
  }                                                                                                              \
  CANOPY_DEVICE long long name(unsigned int m, long long v, int s, int w = 32) {                                 \
    unsigned int low = name(m, (unsigned int)v, s, w);                                                           \
    unsigned int high = name(m, (unsigned int)(v >> 32), s, w);                                                  \
    return (long long)(((unsigned long long)high << 32) | low);                                                  \
  }                                                                                                              \
  CANOPY_DEVICE unsigned long long name(unsigned int m, unsigned long long v, int s, int w = 32) {               \
    return (unsigned long long)name(m, (long long)v, s, w);                                                      \
  }                                                                                                              \
  CANOPY_DEVICE long name(unsigned int m, long v, int s, int w = 32) {                                           \
    return (long)name(m, (long long)v, s, w);                                                                    \
  }                                                                                                              \
  CANOPY_DEVICE unsigned long name(unsigned int m, unsigned long v, int s, int w = 32) {                         \
    return (unsigned long)name(m, (long long)v, s, w);                                                           \
  }                                                                                                              \
  CANOPY_DEVICE double name(unsigned int m, double v, int s, int w = 32) {                                       \
    return __builtin_bit_cast(double, name(m, __builtin_bit_cast(long long, v), s, w));                          \
  }
CANOPY_SHUFFLE(__shfl_sync, idx, 31)
CANOPY_SHUFFLE(__shfl_up_sync, up, 0)
CANOPY_SHUFFLE(__shfl_down_sync, down, 31)
CANOPY_SHUFFLE(__shfl_xor_sync, bfly, 31)
#undef CANOPY_SHUFFLE

// ---- atomics
#define CANOPY_ATOMIC(name, builtin, T)                                                                          \
  CANOPY_DEVICE T name(T* p, T v) {                                                                              \
    return __scoped_atomic_##builtin(p, v, __ATOMIC_RELAXED, __MEMORY_SCOPE_DEVICE);                             \
  }
#define CANOPY_ATOMIC_INTEGERS(name, builtin)                                                                    \
  CANOPY_ATOMIC(name, builtin, int)                                                                              \
  CANOPY_ATOMIC(name, builtin, unsigned int)                                                                     \
  CANOPY_ATOMIC(name, builtin, long long)                                                                        \
  CANOPY_ATOMIC(name, builtin, unsigned long long)
CANOPY_ATOMIC_INTEGERS(atomicAdd, fetch_add)
CANOPY_ATOMIC(atomicAdd, fetch_add, float)
CANOPY_ATOMIC(atomicAdd, fetch_add, double)
CANOPY_ATOMIC_INTEGERS(atomicSub, fetch_sub)
CANOPY_ATOMIC_INTEGERS(atomicAnd, fetch_and)
CANOPY_ATOMIC_INTEGERS(atomicOr, fetch_or)
CANOPY_ATOMIC_INTEGERS(atomicXor, fetch_xor)
CANOPY_ATOMIC_INTEGERS(atomicMin, fetch_min)
CANOPY_ATOMIC_INTEGERS(atomicMax, fetch_max)
CANOPY_ATOMIC_INTEGERS(atomicExch, exchange_n)
#undef CANOPY_ATOMIC_INTEGERS
#undef CANOPY_ATOMIC
#define CANOPY_CAS(T)                                                                                            \
  CANOPY_DEVICE T atomicCAS(T* p, T expected, T desired) {                                                       \
    __scoped_atomic_compare_exchange_n(p, &expected, desired, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED,         \
                                       __MEMORY_SCOPE_DEVICE);                                                   \
    return expected;                                                                                             \
  }
CANOPY_CAS(int)
CANOPY_CAS(unsigned int)
CANOPY_CAS(unsigned long long)
#undef CANOPY_CAS
CANOPY_DEVICE unsigned int atomicInc(unsigned int* p, unsigned int v) { return __nvvm_atom_inc_gen_ui(p, v); }
CANOPY_DEVICE unsigned int atomicDec(unsigned int* p, unsigned int v) { return __nvvm_atom_dec_gen_ui(p, v); }

#include "canopy_math.h"
#include "canopy_casts.h"
#include "canopy_integer.h"
#include "canopy_simd.h"
#include "canopy_pointers.h"

