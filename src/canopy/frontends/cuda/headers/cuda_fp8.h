// The floats of 8 bits, e4m3 and e5m2, alone and in twos and fours. Written for Canopy.
#pragma once
#include "cuda_bf16.h"
#ifdef __cplusplus

typedef unsigned char __nv_fp8_storage_t;
typedef unsigned short __nv_fp8x2_storage_t;
typedef unsigned int __nv_fp8x4_storage_t;
typedef enum __nv_saturation_t { __NV_NOSAT, __NV_SATFINITE } __nv_saturation_t;
typedef enum __nv_fp8_interpretation_t { __NV_E4M3, __NV_E5M2 } __nv_fp8_interpretation_t;

// ---- conversions of bits; a float comes from half, bfloat16 or itself without loss
CANOPY_SMALL __nv_fp8_storage_t __nv_cvt_float_to_fp8(const float x, const __nv_saturation_t saturate,
                                                      const __nv_fp8_interpretation_t kind) {
  const bool finite = saturate == __NV_SATFINITE;
  return (__nv_fp8_storage_t)(kind == __NV_E4M3 ? canopy_narrow<canopy_e4m3_format>(x, CANOPY_NEAREST, finite)
                                                : canopy_narrow<canopy_e5m2_format>(x, CANOPY_NEAREST, finite));
}
CANOPY_SMALL __nv_fp8_storage_t __nv_cvt_double_to_fp8(const double x, const __nv_saturation_t saturate,
                                                       const __nv_fp8_interpretation_t kind) {
  const bool finite = saturate == __NV_SATFINITE;
  return (__nv_fp8_storage_t)(kind == __NV_E4M3 ? canopy_narrow<canopy_e4m3_format>(x, CANOPY_NEAREST, finite)
                                                : canopy_narrow<canopy_e5m2_format>(x, CANOPY_NEAREST, finite));
}
CANOPY_SMALL __nv_fp8_storage_t __nv_cvt_halfraw_to_fp8(const __half_raw x, const __nv_saturation_t saturate,
                                                        const __nv_fp8_interpretation_t kind) {
  return __nv_cvt_float_to_fp8((float)__half(x), saturate, kind);
}
CANOPY_SMALL __nv_fp8_storage_t __nv_cvt_bfloat16raw_to_fp8(const __nv_bfloat16_raw x, const __nv_saturation_t saturate,
                                                            const __nv_fp8_interpretation_t kind) {
  return __nv_cvt_float_to_fp8((float)__nv_bfloat16(x), saturate, kind);
}
CANOPY_SMALL __nv_fp8x2_storage_t canopy_two(__nv_fp8_storage_t low, __nv_fp8_storage_t high) {
  return (__nv_fp8x2_storage_t)((unsigned int)low | (unsigned int)high << 8);
}
#define CANOPY_PAIR_TO_FP8(name, T, one)                                                                         \
  CANOPY_SMALL __nv_fp8x2_storage_t name(const T x, const __nv_saturation_t saturate,                            \
                                         const __nv_fp8_interpretation_t kind) {                                 \
    return canopy_two(one(CANOPY_FIRST(x), saturate, kind), one(CANOPY_SECOND(x), saturate, kind));              \
  }
#define CANOPY_FIRST(v) v.x
#define CANOPY_SECOND(v) v.y
CANOPY_PAIR_TO_FP8(__nv_cvt_float2_to_fp8x2, float2, __nv_cvt_float_to_fp8)
CANOPY_PAIR_TO_FP8(__nv_cvt_double2_to_fp8x2, double2, __nv_cvt_double_to_fp8)
#undef CANOPY_FIRST
#undef CANOPY_SECOND
#define CANOPY_FIRST(v) {v.x}
#define CANOPY_SECOND(v) {v.y}
CANOPY_PAIR_TO_FP8(__nv_cvt_halfraw2_to_fp8x2, __half2_raw, __nv_cvt_halfraw_to_fp8)
CANOPY_PAIR_TO_FP8(__nv_cvt_bfloat16raw2_to_fp8x2, __nv_bfloat162_raw, __nv_cvt_bfloat16raw_to_fp8)
#undef CANOPY_FIRST
#undef CANOPY_SECOND
#undef CANOPY_PAIR_TO_FP8

// e5m2 is the upper byte of a half; e4m3 is a half of another bias, times 2^8.
CANOPY_SMALL __half_raw __nv_cvt_fp8_to_halfraw(const __nv_fp8_storage_t x, const __nv_fp8_interpretation_t kind) {
  const unsigned int sign = (unsigned int)(x & 0x80) << 8, magnitude = x & 0x7f;
  if (kind == __NV_E5M2) return __half_raw{(unsigned short)(magnitude > 0x7c ? 0x7fff : x << 8)};
  if (magnitude == 0x7f) return __half_raw{0x7fff};
  const float small = canopy_half_to_float((unsigned short)(magnitude << 7));
  return __half_raw{(unsigned short)(canopy_float_to_half(small * 256.0f) | sign)};
}
CANOPY_SMALL __half2_raw __nv_cvt_fp8x2_to_halfraw2(const __nv_fp8x2_storage_t x, const __nv_fp8_interpretation_t kind) {
  return __half2_raw{__nv_cvt_fp8_to_halfraw((__nv_fp8_storage_t)(x & 0xff), kind).x,
                     __nv_cvt_fp8_to_halfraw((__nv_fp8_storage_t)(x >> 8), kind).x};
}

// ---- the types
#define CANOPY_FP8_INTEGER(T, name)                                                                              \
  CANOPY_MEMBER explicit name(const T v) : name((float)canopy_marked(v)) {}                                      \
  CANOPY_MEMBER explicit operator T() const { return canopy_to_integer<T>((float)*this, CANOPY_TO_ZERO); }
#define CANOPY_FP8_LONG(T, name)                                                                                 \
  CANOPY_MEMBER explicit name(const T v) : name(canopy_marked(v)) {}                                             \
  CANOPY_MEMBER explicit operator T() const { return canopy_to_integer<T>((float)*this, CANOPY_TO_ZERO); }
#define CANOPY_FP8(name, kind)                                                                                   \
  struct name {                                                                                                  \
    __nv_fp8_storage_t __x;                                                                                      \
    name() = default;                                                                                            \
    CANOPY_MEMBER explicit name(const float v) : __x(__nv_cvt_float_to_fp8(v, __NV_SATFINITE, kind)) {}          \
    CANOPY_MEMBER explicit name(const double v) : __x(__nv_cvt_double_to_fp8(v, __NV_SATFINITE, kind)) {}        \
    CANOPY_MEMBER explicit name(const __half v) : name((float)v) {}                                              \
    CANOPY_MEMBER explicit name(const __nv_bfloat16 v) : name((float)v) {}                                       \
    CANOPY_MEMBER explicit operator __half() const { return __half(__nv_cvt_fp8_to_halfraw(__x, kind)); }        \
    CANOPY_MEMBER explicit operator float() const { return (float)__half(__nv_cvt_fp8_to_halfraw(__x, kind)); }  \
    CANOPY_MEMBER explicit operator __nv_bfloat16() const { return __nv_bfloat16((float)*this); }                \
    CANOPY_MEMBER explicit operator double() const { return (double)(float)*this; }                              \
    CANOPY_MEMBER explicit operator bool() const { return (__x & 0x7f) != 0; }                                   \
    CANOPY_MEMBER explicit operator signed char() const {                                                        \
      return canopy_to_integer<signed char>((float)*this, CANOPY_TO_ZERO);                                       \
    }                                                                                                            \
    CANOPY_MEMBER explicit operator unsigned char() const {                                                      \
      return canopy_to_integer<unsigned char>((float)*this, CANOPY_TO_ZERO);                                     \
    }                                                                                                            \
    CANOPY_FP8_INTEGER(short, name)                                                                              \
    CANOPY_FP8_INTEGER(unsigned short, name)                                                                     \
    CANOPY_FP8_INTEGER(int, name)                                                                                \
    CANOPY_FP8_INTEGER(unsigned int, name)                                                                       \
    CANOPY_FP8_LONG(long long, name)                                                                             \
    CANOPY_FP8_LONG(unsigned long long, name)                                                                    \
  };
CANOPY_FP8(__nv_fp8_e4m3, __NV_E4M3)
CANOPY_FP8(__nv_fp8_e5m2, __NV_E5M2)
#undef CANOPY_FP8
#undef CANOPY_FP8_INTEGER
#undef CANOPY_FP8_LONG

#define CANOPY_FP8X2(name, kind)                                                                                 \
  struct name {                                                                                                  \
    __nv_fp8x2_storage_t __x;                                                                                    \
    name() = default;                                                                                            \
    CANOPY_MEMBER explicit name(const float2 v) : __x(__nv_cvt_float2_to_fp8x2(v, __NV_SATFINITE, kind)) {}      \
    CANOPY_MEMBER explicit name(const double2 v) : __x(__nv_cvt_double2_to_fp8x2(v, __NV_SATFINITE, kind)) {}    \
    CANOPY_MEMBER explicit name(const __half2 v) : __x(__nv_cvt_halfraw2_to_fp8x2(v, __NV_SATFINITE, kind)) {}   \
    CANOPY_MEMBER explicit name(const __nv_bfloat162 v)                                                          \
        : __x(__nv_cvt_bfloat16raw2_to_fp8x2(v, __NV_SATFINITE, kind)) {}                                        \
    CANOPY_MEMBER explicit operator __half2() const { return __half2(__nv_cvt_fp8x2_to_halfraw2(__x, kind)); }   \
    CANOPY_MEMBER explicit operator float2() const { return __half22float2((__half2)*this); }                    \
  };
CANOPY_FP8X2(__nv_fp8x2_e4m3, __NV_E4M3)
CANOPY_FP8X2(__nv_fp8x2_e5m2, __NV_E5M2)
#undef CANOPY_FP8X2

#define CANOPY_FP8X4(name, two, kind)                                                                            \
  struct name {                                                                                                  \
    __nv_fp8x4_storage_t __x;                                                                                    \
    name() = default;                                                                                            \
    CANOPY_MEMBER explicit name(const __half2 low, const __half2 high) : __x(two(low).__x | (unsigned int)two(high).__x << 16) {} \
    CANOPY_MEMBER explicit name(const __nv_bfloat162 low, const __nv_bfloat162 high)                             \
        : __x(two(low).__x | (unsigned int)two(high).__x << 16) {}                                               \
    CANOPY_MEMBER explicit name(const float4 v)                                                                  \
        : __x(two(make_float2(v.x, v.y)).__x | (unsigned int)two(make_float2(v.z, v.w)).__x << 16) {}            \
    CANOPY_MEMBER explicit name(const double4 v)                                                                 \
        : __x(two(make_double2(v.x, v.y)).__x | (unsigned int)two(make_double2(v.z, v.w)).__x << 16) {}          \
    CANOPY_MEMBER explicit operator float4() const {                                                             \
      float2 low = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)__x, kind)));         \
      float2 high = __half22float2(__half2(__nv_cvt_fp8x2_to_halfraw2((__nv_fp8x2_storage_t)(__x >> 16), kind))); \
      return make_float4(low.x, low.y, high.x, high.y);                                                          \
    }                                                                                                            \
  };
CANOPY_FP8X4(__nv_fp8x4_e4m3, __nv_fp8x2_e4m3, __NV_E4M3)
CANOPY_FP8X4(__nv_fp8x4_e5m2, __nv_fp8x2_e5m2, __NV_E5M2)
#undef CANOPY_FP8X4
#endif
