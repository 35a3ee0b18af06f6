// Complex numbers in the names of cuComplex.h, for both halves and for C. Written for Canopy.
#pragma once
#include <math.h>
#include "canopy_host.h"

#ifdef __CUDA__
#define CANOPY_COMPLEX static __inline__ __attribute__((host, device))
#else
#define CANOPY_COMPLEX static __inline__
#endif
typedef float2 cuFloatComplex;
typedef double2 cuDoubleComplex;
typedef cuFloatComplex cuComplex;

// Division scales by the larger part, so that a square neither overflows nor vanishes.
#define CANOPY_COMPLEX_FUNCTIONS(T, V, C, make, fabs, sqrt, real, imag, name, conj, abs, add, sub, mul, div, fma)  \
  CANOPY_COMPLEX T real(C x) { return x.x; }                                                                     \
  CANOPY_COMPLEX T imag(C x) { return x.y; }                                                                     \
  CANOPY_COMPLEX C name(T r, T i) { return make(r, i); }                                                         \
  CANOPY_COMPLEX C conj(C x) { return make(x.x, -x.y); }                                                         \
  CANOPY_COMPLEX C add(C x, C y) { return make(x.x + y.x, x.y + y.y); }                                          \
  CANOPY_COMPLEX C sub(C x, C y) { return make(x.x - y.x, x.y - y.y); }                                          \
  CANOPY_COMPLEX C mul(C x, C y) { return make(x.x * y.x - x.y * y.y, x.x * y.y + x.y * y.x); }                  \
  CANOPY_COMPLEX C div(C x, C y) {                                                                               \
    T scale = (T)1 / (fabs(y.x) + fabs(y.y));                                                                    \
    T a = x.x * scale, b = x.y * scale, c = y.x * scale, d = y.y * scale, norm = (T)1 / (c * c + d * d);          \
    return make((a * c + b * d) * norm, (b * c - a * d) * norm);                                                 \
  }                                                                                                              \
  CANOPY_COMPLEX T abs(C x) {                                                                                    \
    T a = fabs(x.x), b = fabs(x.y), large = a > b ? a : b, small = a > b ? b : a;                                \
    if (a != a || b != b) return a + b;                                                                          \
    if (large == 0 || large + large == large) return large; /* zero, or no end */                               \
    T ratio = small / large;                                                                                     \
    return large * sqrt((T)1 + ratio * ratio);                                                                   \
  }                                                                                                              \
  CANOPY_COMPLEX C fma(C x, C y, C d) {                                                                          \
    return make(x.x * y.x + d.x - x.y * y.y, x.x * y.y + d.y + x.y * y.x);                                       \
  }
CANOPY_COMPLEX_FUNCTIONS(float, float2, cuFloatComplex, make_float2, fabsf, sqrtf, cuCrealf, cuCimagf,
                         make_cuFloatComplex, cuConjf, cuCabsf, cuCaddf, cuCsubf, cuCmulf, cuCdivf, cuCfmaf)
CANOPY_COMPLEX_FUNCTIONS(double, double2, cuDoubleComplex, make_double2, fabs, sqrt, cuCreal, cuCimag,
                         make_cuDoubleComplex, cuConj, cuCabs, cuCadd, cuCsub, cuCmul, cuCdiv, cuCfma)
#undef CANOPY_COMPLEX_FUNCTIONS
CANOPY_COMPLEX cuComplex make_cuComplex(float x, float y) { return make_float2(x, y); }
CANOPY_COMPLEX cuDoubleComplex cuComplexFloatToDouble(cuFloatComplex c) { return make_double2(c.x, c.y); }
CANOPY_COMPLEX cuFloatComplex cuComplexDoubleToFloat(cuDoubleComplex c) { return make_float2((float)c.x, (float)c.y); }
#undef CANOPY_COMPLEX
