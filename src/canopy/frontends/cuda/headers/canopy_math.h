// CUDA's functions of float and double, on the names of NVIDIA's libdevice, which Canopy computes itself.
// Written for Canopy.
#pragma once

#define CANOPY_LIBDEVICE extern "C" __attribute__((device, const))
#define CANOPY_HOST static __inline__ __attribute__((host))

template <bool, class T> struct canopy_if {};
template <class T> struct canopy_if<true, T> { typedef T type; };
#define CANOPY_INTEGER_ONLY(T, R) typename canopy_if<__is_integral(T), R>::type
#define CANOPY_MIXED(T, U, R) typename canopy_if<__is_arithmetic(T) && __is_arithmetic(U), R>::type

// ---- device code
#define CANOPY_DECLARE1(name)                                                                                    \
  CANOPY_LIBDEVICE float __nv_##name##f(float);                                                                  \
  CANOPY_LIBDEVICE double __nv_##name(double);                                                                   \
  CANOPY_DEVICE float name##f(float x) { return __nv_##name##f(x); }                                             \
  CANOPY_DEVICE double name(double x) { return __nv_##name(x); }
#define CANOPY_MATH1(name)                                                                                       \
  CANOPY_DECLARE1(name)                                                                                          \
  CANOPY_DEVICE float name(float x) { return __nv_##name##f(x); }                                                \
  template <class T> CANOPY_DEVICE CANOPY_INTEGER_ONLY(T, double) name(T x) { return __nv_##name((double)x); }
#define CANOPY_DECLARE2(name)                                                                                    \
  CANOPY_LIBDEVICE float __nv_##name##f(float, float);                                                           \
  CANOPY_LIBDEVICE double __nv_##name(double, double);                                                           \
  CANOPY_DEVICE float name##f(float x, float y) { return __nv_##name##f(x, y); }                                 \
  CANOPY_DEVICE double name(double x, double y) { return __nv_##name(x, y); }
#define CANOPY_MATH2(name)                                                                                       \
  CANOPY_DECLARE2(name)                                                                                          \
  CANOPY_DEVICE float name(float x, float y) { return __nv_##name##f(x, y); }                                    \
  template <class T, class U> CANOPY_DEVICE CANOPY_MIXED(T, U, double) name(T x, U y) {                          \
    return __nv_##name((double)x, (double)y);                                                                    \
  }
CANOPY_MATH1(sin) CANOPY_MATH1(cos) CANOPY_MATH1(tan) CANOPY_MATH1(asin) CANOPY_MATH1(acos) CANOPY_MATH1(atan)
CANOPY_MATH1(sinh) CANOPY_MATH1(cosh) CANOPY_MATH1(tanh) CANOPY_MATH1(asinh) CANOPY_MATH1(acosh)
CANOPY_MATH1(atanh) CANOPY_MATH1(exp) CANOPY_MATH1(exp2) CANOPY_MATH1(exp10) CANOPY_MATH1(expm1)
CANOPY_MATH1(log) CANOPY_MATH1(log2) CANOPY_MATH1(log10) CANOPY_MATH1(log1p) CANOPY_MATH1(logb)
CANOPY_MATH1(sqrt) CANOPY_MATH1(rsqrt) CANOPY_MATH1(cbrt) CANOPY_MATH1(rcbrt)
CANOPY_MATH1(sinpi) CANOPY_MATH1(cospi) CANOPY_MATH1(floor) CANOPY_MATH1(ceil) CANOPY_MATH1(trunc)
CANOPY_MATH1(round) CANOPY_MATH1(rint) CANOPY_MATH1(nearbyint) CANOPY_MATH1(fabs)
CANOPY_MATH1(erf) CANOPY_MATH1(erfc) CANOPY_MATH1(erfinv) CANOPY_MATH1(erfcinv) CANOPY_MATH1(erfcx)
CANOPY_MATH1(normcdf) CANOPY_MATH1(normcdfinv) CANOPY_MATH1(tgamma) CANOPY_MATH1(lgamma)
CANOPY_MATH1(cyl_bessel_i0) CANOPY_MATH1(cyl_bessel_i1)
CANOPY_DECLARE1(j0) CANOPY_DECLARE1(j1) CANOPY_DECLARE1(y0) CANOPY_DECLARE1(y1)
CANOPY_MATH2(pow) CANOPY_MATH2(atan2) CANOPY_MATH2(fmod) CANOPY_MATH2(remainder) CANOPY_MATH2(hypot)
CANOPY_MATH2(copysign) CANOPY_MATH2(nextafter) CANOPY_MATH2(fdim) CANOPY_MATH2(rhypot)
CANOPY_MATH2(fmin) CANOPY_MATH2(fmax)
#undef CANOPY_DECLARE1
#undef CANOPY_DECLARE2
#undef CANOPY_MATH1
#undef CANOPY_MATH2

// Functions whose float form has one signature and whose double form another type throughout.
#define CANOPY_DEVICE_PAIR(R, name, P, ...)                                                                      \
  CANOPY_LIBDEVICE R __nv_##name P;                                                                              \
  CANOPY_DEVICE R name P { return __nv_##name(__VA_ARGS__); }
CANOPY_DEVICE_PAIR(float, fmaf, (float x, float y, float z), x, y, z)
CANOPY_DEVICE_PAIR(double, fma, (double x, double y, double z), x, y, z)
CANOPY_DEVICE_PAIR(float, norm3df, (float x, float y, float z), x, y, z)
CANOPY_DEVICE_PAIR(double, norm3d, (double x, double y, double z), x, y, z)
CANOPY_DEVICE_PAIR(float, rnorm3df, (float x, float y, float z), x, y, z)
CANOPY_DEVICE_PAIR(double, rnorm3d, (double x, double y, double z), x, y, z)
CANOPY_DEVICE_PAIR(float, norm4df, (float x, float y, float z, float w), x, y, z, w)
CANOPY_DEVICE_PAIR(double, norm4d, (double x, double y, double z, double w), x, y, z, w)
CANOPY_DEVICE_PAIR(float, rnorm4df, (float x, float y, float z, float w), x, y, z, w)
CANOPY_DEVICE_PAIR(double, rnorm4d, (double x, double y, double z, double w), x, y, z, w)
CANOPY_DEVICE_PAIR(float, jnf, (int n, float x), n, x)
CANOPY_DEVICE_PAIR(double, jn, (int n, double x), n, x)
CANOPY_DEVICE_PAIR(float, ynf, (int n, float x), n, x)
CANOPY_DEVICE_PAIR(double, yn, (int n, double x), n, x)
CANOPY_DEVICE_PAIR(float, ldexpf, (float x, int n), x, n)
CANOPY_DEVICE_PAIR(double, ldexp, (double x, int n), x, n)
CANOPY_DEVICE_PAIR(float, scalbnf, (float x, int n), x, n)
CANOPY_DEVICE_PAIR(double, scalbn, (double x, int n), x, n)
CANOPY_DEVICE_PAIR(float, powif, (float x, int n), x, n)
CANOPY_DEVICE_PAIR(double, powi, (double x, int n), x, n)
CANOPY_DEVICE_PAIR(int, ilogbf, (float x), x)
CANOPY_DEVICE_PAIR(int, ilogb, (double x), x)
CANOPY_DEVICE_PAIR(long long, llrintf, (float x), x)
CANOPY_DEVICE_PAIR(long long, llrint, (double x), x)
CANOPY_DEVICE_PAIR(long long, llroundf, (float x), x)
CANOPY_DEVICE_PAIR(long long, llround, (double x), x)
#undef CANOPY_DEVICE_PAIR
CANOPY_DEVICE float fma(float x, float y, float z) { return fmaf(x, y, z); }
CANOPY_DEVICE float ldexp(float x, int n) { return ldexpf(x, n); }
CANOPY_DEVICE float scalbn(float x, int n) { return scalbnf(x, n); }
CANOPY_DEVICE int canopy_exponent(long n) { return n > 9999 ? 9999 : n < -9999 ? -9999 : (int)n; }
CANOPY_DEVICE float scalblnf(float x, long n) { return scalbnf(x, canopy_exponent(n)); }
CANOPY_DEVICE double scalbln(double x, long n) { return scalbn(x, canopy_exponent(n)); }
CANOPY_DEVICE float scalbln(float x, long n) { return scalblnf(x, n); }
CANOPY_DEVICE int ilogb(float x) { return ilogbf(x); }
CANOPY_DEVICE long long llrint(float x) { return llrintf(x); }
CANOPY_DEVICE long long llround(float x) { return llroundf(x); }
CANOPY_DEVICE long lrintf(float x) { return (long)llrintf(x); }
CANOPY_DEVICE long lrint(double x) { return (long)llrint(x); }
CANOPY_DEVICE long lrint(float x) { return (long)llrintf(x); }
CANOPY_DEVICE long lroundf(float x) { return (long)llroundf(x); }
CANOPY_DEVICE long lround(double x) { return (long)llround(x); }
CANOPY_DEVICE long lround(float x) { return (long)llroundf(x); }

#define CANOPY_WITH_POINTERS(T, f)                                                                               \
  CANOPY_DEVICE void sincos##f(T x, T* s, T* c) {                                                                \
    *s = sin##f(x);                                                                                              \
    *c = cos##f(x);                                                                                              \
  }                                                                                                              \
  CANOPY_DEVICE void sincospi##f(T x, T* s, T* c) {                                                              \
    *s = sinpi##f(x);                                                                                            \
    *c = cospi##f(x);                                                                                            \
  }                                                                                                              \
  CANOPY_DEVICE T modf##f(T x, T* whole) {                                                                       \
    T t = trunc##f(x);                                                                                           \
    *whole = t;                                                                                                  \
    return copysign##f(fabs##f(x) == (T)__builtin_inf() ? (T)0 : x - t, x);                                      \
  }                                                                                                              \
  CANOPY_DEVICE T frexp##f(T x, int* exponent) {                                                                 \
    bool plain = x != 0 && fabs##f(x) < (T)__builtin_inf();                                                      \
    int e = plain ? ilogb##f(x) + 1 : 0;                                                                         \
    *exponent = e;                                                                                               \
    return plain ? ldexp##f(x, -e) : x;                                                                          \
  }                                                                                                              \
  CANOPY_DEVICE T remquo##f(T x, T y, int* quotient) {                                                           \
    T r = remainder##f(x, y), size = fabs##f(y);                                                                 \
    T eight = size * 8; /* infinite only where |x| < 8 |y| anyway */                                             \
    T q = rint##f((fmod##f(fabs##f(x), eight) - copysign##f((T)1, x) * r) / size);                               \
    bool plain = fabs##f(x) < (T)__builtin_inf() && size > 0 && size < (T)__builtin_inf();                       \
    int low = plain ? (int)q & 7 : 0;                                                                            \
    *quotient = __builtin_signbit(x) != __builtin_signbit(y) ? -low : low;                                       \
    return r;                                                                                                    \
  }                                                                                                              \
  CANOPY_DEVICE T norm##f(int n, const T* p) {                                                                   \
    T most = 0, sum = 0;                                                                                         \
    for (int i = 0; i < n; i++) most = fmax##f(most, fabs##f(p[i]));                                             \
    int e = most > 0 && most < (T)__builtin_inf() ? ilogb##f(most) : 0;                                          \
    for (int i = 0; i < n; i++) {                                                                                \
      T x = ldexp##f(p[i], -e);                                                                                  \
      sum = fma##f(x, x, sum);                                                                                   \
    }                                                                                                            \
    return most == (T)__builtin_inf() ? most : ldexp##f(sqrt##f(sum), e);                                        \
  }                                                                                                              \
  CANOPY_DEVICE T rnorm##f(int n, const T* p) { return 1 / norm##f(n, p); }
CANOPY_WITH_POINTERS(float, f)
CANOPY_WITH_POINTERS(double, )
#undef CANOPY_WITH_POINTERS
CANOPY_DEVICE void sincos(float x, float* s, float* c) { sincosf(x, s, c); }
CANOPY_DEVICE void sincospi(float x, float* s, float* c) { sincospif(x, s, c); }
CANOPY_DEVICE float modf(float x, float* whole) { return modff(x, whole); }
CANOPY_DEVICE float frexp(float x, int* exponent) { return frexpf(x, exponent); }
CANOPY_DEVICE float remquo(float x, float y, int* quotient) { return remquof(x, y, quotient); }

#define CANOPY_PREDICATES(T, Bits)                                                                               \
  CANOPY_DEVICE bool isnan(T x) { return x != x; }                                                               \
  CANOPY_DEVICE bool isinf(T x) { return __builtin_fabs(x) == __builtin_inf(); }                                 \
  CANOPY_DEVICE bool isfinite(T x) { return __builtin_fabs(x) < __builtin_inf(); }                               \
  /* the C++ library's own is a template, which templates of the host would not prefer to this one */             \
  static __inline__ __attribute__((host, device, always_inline)) bool signbit(T x) {                             \
    return __builtin_bit_cast(Bits, x) < 0;                                                                      \
  }                                                                                                              \
  CANOPY_DEVICE bool isnormal(T x) { return __builtin_isnormal(x); }
CANOPY_PREDICATES(float, int)
CANOPY_PREDICATES(double, long long)
#undef CANOPY_PREDICATES
CANOPY_DEVICE int __isnanf(float x) { return isnan(x); }
CANOPY_DEVICE int __isnan(double x) { return isnan(x); }
CANOPY_DEVICE int __isinff(float x) { return isinf(x); }
CANOPY_DEVICE int __isinf(double x) { return isinf(x); }
CANOPY_DEVICE int __finitef(float x) { return isfinite(x); }
CANOPY_DEVICE int __finite(double x) { return isfinite(x); }
CANOPY_DEVICE int __signbitf(float x) { return signbit(x); }
CANOPY_DEVICE int __signbit(double x) { return signbit(x); }

CANOPY_DEVICE float nanf(const char*) { return __builtin_nanf(""); }
CANOPY_DEVICE double nan(const char*) { return __builtin_nan(""); }
CANOPY_DEVICE float fdividef(float x, float y) { return x / y; }

// ---- fast forms: as accurate as the others
CANOPY_DEVICE float __sinf(float x) { return sinf(x); }
CANOPY_DEVICE float __cosf(float x) { return cosf(x); }
CANOPY_DEVICE float __tanf(float x) { return tanf(x); }
CANOPY_DEVICE float __tanhf(float x) { return tanhf(x); }
CANOPY_DEVICE float __expf(float x) { return expf(x); }
CANOPY_DEVICE float __exp10f(float x) { return exp10f(x); }
CANOPY_DEVICE float __logf(float x) { return logf(x); }
CANOPY_DEVICE float __log2f(float x) { return log2f(x); }
CANOPY_DEVICE float __log10f(float x) { return log10f(x); }
CANOPY_DEVICE float __powf(float x, float y) { return powf(x, y); }
CANOPY_DEVICE float __fdividef(float x, float y) { return x / y; }
CANOPY_DEVICE void __sincosf(float x, float* s, float* c) { sincosf(x, s, c); }
CANOPY_LIBDEVICE float __nv_saturatef(float);
CANOPY_DEVICE float __saturatef(float x) { return __nv_saturatef(x); }
CANOPY_DEVICE float saturate(float x) { return __nv_saturatef(x); }

// ---- one operation, rounded to nearest, toward zero, up or down
#define CANOPY_ROUNDED1(T, name)                                                                                 \
  CANOPY_LIBDEVICE T __nv_##name(T);                                                                             \
  CANOPY_DEVICE T __##name(T x) { return __nv_##name(x); }
#define CANOPY_ROUNDED2(T, name)                                                                                 \
  CANOPY_LIBDEVICE T __nv_##name(T, T);                                                                          \
  CANOPY_DEVICE T __##name(T x, T y) { return __nv_##name(x, y); }
#define CANOPY_ROUNDED3(T, name)                                                                                 \
  CANOPY_LIBDEVICE T __nv_##name(T, T, T);                                                                       \
  CANOPY_DEVICE T __##name(T x, T y, T z) { return __nv_##name(x, y, z); }
#define CANOPY_DIRECTIONS(rounding)                                                                              \
  CANOPY_ROUNDED2(float, fadd_##rounding)                                                                        \
  CANOPY_ROUNDED2(float, fsub_##rounding)                                                                        \
  CANOPY_ROUNDED2(float, fmul_##rounding)                                                                        \
  CANOPY_ROUNDED2(float, fdiv_##rounding)                                                                        \
  CANOPY_ROUNDED1(float, frcp_##rounding)                                                                        \
  CANOPY_ROUNDED1(float, fsqrt_##rounding)                                                                       \
  CANOPY_ROUNDED3(float, fmaf_##rounding)                                                                        \
  CANOPY_ROUNDED2(double, dadd_##rounding)                                                                       \
  CANOPY_ROUNDED2(double, dsub_##rounding)                                                                       \
  CANOPY_ROUNDED2(double, dmul_##rounding)                                                                       \
  CANOPY_ROUNDED2(double, ddiv_##rounding)                                                                       \
  CANOPY_ROUNDED1(double, drcp_##rounding)                                                                       \
  CANOPY_ROUNDED1(double, dsqrt_##rounding)                                                                      \
  CANOPY_ROUNDED3(double, fma_##rounding)
CANOPY_DIRECTIONS(rn)
CANOPY_DIRECTIONS(rz)
CANOPY_DIRECTIONS(ru)
CANOPY_DIRECTIONS(rd)
CANOPY_ROUNDED1(float, frsqrt_rn)
#undef CANOPY_DIRECTIONS
#undef CANOPY_ROUNDED1
#undef CANOPY_ROUNDED2
#undef CANOPY_ROUNDED3

// ---- abs, min and max
CANOPY_DEVICE int abs(int x) { return x < 0 ? -x : x; }
CANOPY_DEVICE long abs(long x) { return x < 0 ? -x : x; }
CANOPY_DEVICE long long abs(long long x) { return x < 0 ? -x : x; }
CANOPY_DEVICE long labs(long x) { return x < 0 ? -x : x; }
CANOPY_DEVICE long long llabs(long long x) { return x < 0 ? -x : x; }
CANOPY_DEVICE float abs(float x) { return fabsf(x); }
CANOPY_DEVICE double abs(double x) { return fabs(x); }

#define CANOPY_HD static __inline__ __attribute__((host, device))
#define CANOPY_MIN_MAX(R, T, U)                                                                                  \
  CANOPY_HD R min(T a, U b) { return (R)a < (R)b ? (R)a : (R)b; }                                                \
  CANOPY_HD R max(T a, U b) { return (R)a > (R)b ? (R)a : (R)b; }
#define CANOPY_MIN_MAX_INTEGERS(T)                                                                               \
  CANOPY_MIN_MAX(T, T, T)                                                                                        \
  CANOPY_MIN_MAX(unsigned T, unsigned T, unsigned T)                                                             \
  CANOPY_MIN_MAX(unsigned T, T, unsigned T)                                                                      \
  CANOPY_MIN_MAX(unsigned T, unsigned T, T)
CANOPY_MIN_MAX_INTEGERS(int)
CANOPY_MIN_MAX_INTEGERS(long)
CANOPY_MIN_MAX_INTEGERS(long long)
#undef CANOPY_MIN_MAX
#undef CANOPY_MIN_MAX_INTEGERS
#define CANOPY_MIN_MAX(R, T, U, f)                                                                               \
  CANOPY_HD R min(T a, U b) { return __builtin_fmin##f((R)a, (R)b); }                                            \
  CANOPY_HD R max(T a, U b) { return __builtin_fmax##f((R)a, (R)b); }
CANOPY_MIN_MAX(float, float, float, f)
CANOPY_MIN_MAX(double, double, double, )
CANOPY_MIN_MAX(double, float, double, )
CANOPY_MIN_MAX(double, double, float, )
#undef CANOPY_MIN_MAX
CANOPY_HD unsigned int umin(unsigned int a, unsigned int b) { return a < b ? a : b; }
CANOPY_HD unsigned int umax(unsigned int a, unsigned int b) { return a > b ? a : b; }
CANOPY_HD long long llmin(long long a, long long b) { return a < b ? a : b; }
CANOPY_HD long long llmax(long long a, long long b) { return a > b ? a : b; }
CANOPY_HD unsigned long long ullmin(unsigned long long a, unsigned long long b) { return a < b ? a : b; }
CANOPY_HD unsigned long long ullmax(unsigned long long a, unsigned long long b) { return a > b ? a : b; }

#include "canopy_math_host.h"
#undef CANOPY_HD
#undef CANOPY_INTEGER_ONLY
#undef CANOPY_MIXED
