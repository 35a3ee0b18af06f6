// half and half2. The work is in canopy_float16.h. Written for Canopy.
#pragma once
#include "canopy_host.h"
#ifdef __cplusplus
#include "canopy_rounding.h"

#ifdef __CUDA__
#define CANOPY_MEMBER __inline__ __attribute__((host, device, always_inline))
#else
#define CANOPY_MEMBER __inline__ __attribute__((always_inline))
#endif

// Where the machine converts, it does; elsewhere the bits are computed.
CANOPY_SMALL float canopy_half_to_float(unsigned short bits) {
#if defined(__CUDA_ARCH__) || defined(__F16C__) || defined(__aarch64__)
  return (float)__builtin_bit_cast(_Float16, bits);
#else
  unsigned int magnitude = (unsigned int)(bits & 0x7fff) << 13, sign = (unsigned int)(bits & 0x8000) << 16;
  float scaled = __builtin_bit_cast(float, magnitude) * 0x1p112f;
  unsigned int wide = __builtin_bit_cast(unsigned int, scaled);
  if (magnitude >= 0x0f800000u) wide = 0x7f800000u | (magnitude & 0x7fffff);
  return __builtin_bit_cast(float, wide | sign);
#endif
}
CANOPY_SMALL unsigned int canopy_float_to_half(float v) {
#if defined(__CUDA_ARCH__) || defined(__F16C__) || defined(__aarch64__)
  return __builtin_bit_cast(unsigned short, (_Float16)v);
#else
  return canopy_narrow<canopy_half_format>(v, CANOPY_NEAREST);
#endif
}

#define CANOPY_T __half
#define CANOPY_T2 __half2
#define CANOPY_RAW __half_raw
#define CANOPY_RAW2 __half2_raw
#define CANOPY_FORMAT canopy_half_format
#define CANOPY_WIDEN(bits) canopy_half_to_float(bits)
#define CANOPY_NARROW(v) canopy_float_to_half(v)
#define CANOPY_NAME(a, b) a##half##b
#define CANOPY_BOTH __half2half2
#define CANOPY_TO(from) __##from##2half
#define CANOPY_FROM(to) __half2##to
#define CANOPY_TO_MODE(from, mode) __##from##2half_##mode
#define CANOPY_FROM_MODE(to, mode) __half2##to##_##mode
#ifdef __CUDA_NO_HALF_OPERATORS__
#define CANOPY_NO_OPERATORS
#endif
#include "canopy_float16.h"
#include "canopy_float16_names.h"

typedef __half half;
typedef __half2 half2;
typedef __half nv_half;
typedef __half2 nv_half2;
typedef __half __nv_half;
typedef __half2 __nv_half2;
typedef __half_raw __nv_half_raw;
typedef __half2_raw __nv_half2_raw;
#ifdef __CUDA__
#define CUDART_INF_FP16 __ushort_as_half((unsigned short)0x7C00U)
#define CUDART_NAN_FP16 __ushort_as_half((unsigned short)0x7FFFU)
#define CUDART_MIN_DENORM_FP16 __ushort_as_half((unsigned short)0x0001U)
#define CUDART_MAX_NORMAL_FP16 __ushort_as_half((unsigned short)0x7BFFU)
#define CUDART_NEG_ZERO_FP16 __ushort_as_half((unsigned short)0x8000U)
#define CUDART_ZERO_FP16 __ushort_as_half((unsigned short)0x0000U)
#define CUDART_ONE_FP16 __ushort_as_half((unsigned short)0x3C00U)
#endif
#endif
