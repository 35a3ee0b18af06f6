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

// ---- integers
CANOPY_DEVICE int __popc(unsigned int x) { return __builtin_popcount(x); }
CANOPY_DEVICE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
CANOPY_DEVICE int __clz(int x) { return x ? __builtin_clz((unsigned int)x) : 32; }
CANOPY_DEVICE int __ffs(int x) { return x ? __builtin_ctz((unsigned int)x) + 1 : 0; }
CANOPY_DEVICE int min(int a, int b) { return a < b ? a : b; }
CANOPY_DEVICE unsigned int min(unsigned int a, unsigned int b) { return a < b ? a : b; }
CANOPY_DEVICE long min(long a, long b) { return a < b ? a : b; }
CANOPY_DEVICE unsigned long min(unsigned long a, unsigned long b) { return a < b ? a : b; }
CANOPY_DEVICE long long min(long long a, long long b) { return a < b ? a : b; }
CANOPY_DEVICE int max(int a, int b) { return a > b ? a : b; }
CANOPY_DEVICE unsigned int max(unsigned int a, unsigned int b) { return a > b ? a : b; }
CANOPY_DEVICE long max(long a, long b) { return a > b ? a : b; }
CANOPY_DEVICE unsigned long max(unsigned long a, unsigned long b) { return a > b ? a : b; }
CANOPY_DEVICE long long max(long long a, long long b) { return a > b ? a : b; }
CANOPY_DEVICE int abs(int x) { return x < 0 ? -x : x; }

// ---- floats: calls by name, which Canopy maps onto its own functions
#define CANOPY_MATH1(name)                                                                                       \
  extern "C" __attribute__((device, const)) float name##f(float);                                                \
  extern "C" __attribute__((device, const)) double name(double);                                                 \
  CANOPY_DEVICE float name(float x) { return name##f(x); }
#define CANOPY_MATH2(name)                                                                                       \
  extern "C" __attribute__((device, const)) float name##f(float, float);                                         \
  extern "C" __attribute__((device, const)) double name(double, double);                                         \
  CANOPY_DEVICE float name(float x, float y) { return name##f(x, y); }
CANOPY_MATH1(exp) CANOPY_MATH1(exp2) CANOPY_MATH1(exp10) CANOPY_MATH1(expm1)
CANOPY_MATH1(log) CANOPY_MATH1(log2) CANOPY_MATH1(log10) CANOPY_MATH1(log1p)
CANOPY_MATH1(sqrt) CANOPY_MATH1(rsqrt) CANOPY_MATH1(cbrt)
CANOPY_MATH1(sin) CANOPY_MATH1(cos) CANOPY_MATH1(tan) CANOPY_MATH1(asin) CANOPY_MATH1(acos) CANOPY_MATH1(atan)
CANOPY_MATH1(sinh) CANOPY_MATH1(cosh) CANOPY_MATH1(tanh)
CANOPY_MATH1(erf) CANOPY_MATH1(erfc) CANOPY_MATH1(lgamma) CANOPY_MATH1(tgamma)
CANOPY_MATH1(floor) CANOPY_MATH1(ceil) CANOPY_MATH1(trunc) CANOPY_MATH1(round) CANOPY_MATH1(rint)
CANOPY_MATH1(fabs)
CANOPY_MATH2(pow) CANOPY_MATH2(fmod) CANOPY_MATH2(atan2) CANOPY_MATH2(hypot)
CANOPY_MATH2(fmin) CANOPY_MATH2(fmax) CANOPY_MATH2(copysign)
#undef CANOPY_MATH1
#undef CANOPY_MATH2
CANOPY_DEVICE float fmaf(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
CANOPY_DEVICE double fma(double a, double b, double c) { return __builtin_fma(a, b, c); }
CANOPY_DEVICE float abs(float x) { return fabsf(x); }
CANOPY_DEVICE double abs(double x) { return fabs(x); }
CANOPY_DEVICE float min(float a, float b) { return fminf(a, b); }
CANOPY_DEVICE double min(double a, double b) { return fmin(a, b); }
CANOPY_DEVICE float max(float a, float b) { return fmaxf(a, b); }
CANOPY_DEVICE double max(double a, double b) { return fmax(a, b); }
CANOPY_DEVICE float __expf(float x) { return expf(x); }
CANOPY_DEVICE float __logf(float x) { return logf(x); }
CANOPY_DEVICE float __sinf(float x) { return sinf(x); }
CANOPY_DEVICE float __cosf(float x) { return cosf(x); }
CANOPY_DEVICE float __powf(float x, float y) { return powf(x, y); }
CANOPY_DEVICE float __fdividef(float a, float b) { return a / b; }
CANOPY_DEVICE float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
CANOPY_DEVICE int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
template <typename T> CANOPY_DEVICE T __ldg(const T* p) { return *p; }

