// Conversions with a direction of rounding, and bit casts. Written for Canopy.
#pragma once

#define CANOPY_CAST(R, name, T)                                                                                  \
  CANOPY_LIBDEVICE R __nv_##name(T);                                                                             \
  CANOPY_DEVICE R __##name(T x) { return __nv_##name(x); }
#define CANOPY_CASTS(rounding)                                                                                   \
  CANOPY_CAST(int, float2int_##rounding, float)                                                                  \
  CANOPY_CAST(unsigned int, float2uint_##rounding, float)                                                        \
  CANOPY_CAST(long long, float2ll_##rounding, float)                                                             \
  CANOPY_CAST(unsigned long long, float2ull_##rounding, float)                                                   \
  CANOPY_CAST(int, double2int_##rounding, double)                                                                \
  CANOPY_CAST(unsigned int, double2uint_##rounding, double)                                                      \
  CANOPY_CAST(long long, double2ll_##rounding, double)                                                           \
  CANOPY_CAST(unsigned long long, double2ull_##rounding, double)                                                 \
  CANOPY_CAST(float, int2float_##rounding, int)                                                                  \
  CANOPY_CAST(float, uint2float_##rounding, unsigned int)                                                        \
  CANOPY_CAST(float, ll2float_##rounding, long long)                                                             \
  CANOPY_CAST(float, ull2float_##rounding, unsigned long long)                                                   \
  CANOPY_CAST(double, ll2double_##rounding, long long)                                                           \
  CANOPY_CAST(double, ull2double_##rounding, unsigned long long)                                                 \
  CANOPY_CAST(float, double2float_##rounding, double)
CANOPY_CASTS(rn)
CANOPY_CASTS(rz)
CANOPY_CASTS(ru)
CANOPY_CASTS(rd)
#undef CANOPY_CASTS
#undef CANOPY_CAST
CANOPY_DEVICE double __int2double_rn(int x) { return x; }
CANOPY_DEVICE double __uint2double_rn(unsigned int x) { return x; }

CANOPY_DEVICE int __float_as_int(float x) { return __builtin_bit_cast(int, x); }
CANOPY_DEVICE unsigned int __float_as_uint(float x) { return __builtin_bit_cast(unsigned int, x); }
CANOPY_DEVICE float __int_as_float(int x) { return __builtin_bit_cast(float, x); }
CANOPY_DEVICE float __uint_as_float(unsigned int x) { return __builtin_bit_cast(float, x); }
CANOPY_DEVICE long long __double_as_longlong(double x) { return __builtin_bit_cast(long long, x); }
CANOPY_DEVICE double __longlong_as_double(long long x) { return __builtin_bit_cast(double, x); }
CANOPY_DEVICE int __double2hiint(double x) { return (int)(__double_as_longlong(x) >> 32); }
CANOPY_DEVICE int __double2loint(double x) { return (int)__double_as_longlong(x); }
CANOPY_DEVICE double __hiloint2double(int high, int low) {
  return __longlong_as_double((long long)(((unsigned long long)(unsigned int)high << 32) | (unsigned int)low));
}
CANOPY_DEVICE int float_as_int(float x) { return __float_as_int(x); }
CANOPY_DEVICE float int_as_float(int x) { return __int_as_float(x); }
CANOPY_DEVICE unsigned int float_as_uint(float x) { return __float_as_uint(x); }
CANOPY_DEVICE float uint_as_float(unsigned int x) { return __uint_as_float(x); }
