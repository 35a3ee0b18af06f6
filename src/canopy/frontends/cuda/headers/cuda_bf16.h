// bfloat16 and its pair. The work is in canopy_float16.h. Written for Canopy.
#pragma once
#include "cuda_fp16.h"
#ifdef __cplusplus

CANOPY_SMALL float canopy_bfloat16_to_float(unsigned short bits) {
  return __builtin_bit_cast(float, (unsigned int)bits << 16);
}
CANOPY_SMALL unsigned int canopy_float_to_bfloat16(float v) {
#ifdef __CUDA_ARCH__
  return __builtin_bit_cast(unsigned short, (__bf16)v);
#else
  return canopy_narrow<canopy_bfloat16_format>(v, CANOPY_NEAREST);
#endif
}

#define CANOPY_T __nv_bfloat16
#define CANOPY_T2 __nv_bfloat162
#define CANOPY_RAW __nv_bfloat16_raw
#define CANOPY_RAW2 __nv_bfloat162_raw
#define CANOPY_FORMAT canopy_bfloat16_format
#define CANOPY_WIDEN(bits) canopy_bfloat16_to_float(bits)
#define CANOPY_NARROW(v) canopy_float_to_bfloat16(v)
#define CANOPY_NAME(a, b) a##bfloat16##b
#define CANOPY_BOTH __bfloat162bfloat162
#define CANOPY_TO(from) __##from##2bfloat16
#define CANOPY_FROM(to) __bfloat162##to
#define CANOPY_TO_MODE(from, mode) __##from##2bfloat16_##mode
#define CANOPY_FROM_MODE(to, mode) __bfloat162##to##_##mode
#ifdef __CUDA_NO_BFLOAT16_OPERATORS__
#define CANOPY_NO_OPERATORS
#endif
#include "canopy_float16.h"
#include "canopy_float16_names.h"

typedef __nv_bfloat16 nv_bfloat16;
typedef __nv_bfloat162 nv_bfloat162;
#ifdef __CUDA__
#define CUDART_INF_BF16 __ushort_as_bfloat16((unsigned short)0x7F80U)
#define CUDART_NAN_BF16 __ushort_as_bfloat16((unsigned short)0x7FFFU)
#define CUDART_MIN_DENORM_BF16 __ushort_as_bfloat16((unsigned short)0x0001U)
#define CUDART_MAX_NORMAL_BF16 __ushort_as_bfloat16((unsigned short)0x7F7FU)
#define CUDART_NEG_ZERO_BF16 __ushort_as_bfloat16((unsigned short)0x8000U)
#define CUDART_ZERO_BF16 __ushort_as_bfloat16((unsigned short)0x0000U)
#define CUDART_ONE_BF16 __ushort_as_bfloat16((unsigned short)0x3F80U)
#endif
#endif
