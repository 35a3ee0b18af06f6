// The types of 16 bits and their functions, once for half and once for bfloat16: cuda_fp16.h and
// cuda_bf16.h set the names. No include guard on purpose. Written for Canopy.
//
//   CANOPY_T, CANOPY_T2, CANOPY_RAW, CANOPY_RAW2   __half, __half2, __half_raw, __half2_raw
//   CANOPY_FORMAT                                  canopy_half_format
//   CANOPY_WIDEN(bits), CANOPY_NARROW(float)       bits to float, float to bits, to nearest
//   CANOPY_TO(from), CANOPY_FROM(to)               __##from##2half, __half2##to
//   CANOPY_NAME(a, b)                              a##half##b

struct __attribute__((aligned(2))) CANOPY_RAW {
  unsigned short x;
};
struct __attribute__((aligned(4))) CANOPY_RAW2 {
  unsigned short x, y;
};

struct __attribute__((aligned(2))) CANOPY_T {
  unsigned short __x;

  CANOPY_T() = default;
  CANOPY_MEMBER constexpr CANOPY_T(const CANOPY_RAW& raw) : __x(raw.x) {}
  CANOPY_MEMBER CANOPY_T(float v) : __x((unsigned short)CANOPY_NARROW(v)) {}
  CANOPY_MEMBER CANOPY_T(double v) : __x((unsigned short)canopy_narrow<CANOPY_FORMAT>(v, CANOPY_NEAREST)) {}
  CANOPY_MEMBER CANOPY_T(short v) : CANOPY_T((float)v) {}
  CANOPY_MEMBER CANOPY_T(unsigned short v) : CANOPY_T((float)v) {}
  CANOPY_MEMBER CANOPY_T(int v) : CANOPY_T(canopy_marked(v)) {}
  CANOPY_MEMBER CANOPY_T(unsigned int v) : CANOPY_T((double)v) {}
  CANOPY_MEMBER CANOPY_T(long v) : CANOPY_T(canopy_marked((long long)v)) {}
  CANOPY_MEMBER CANOPY_T(unsigned long v) : CANOPY_T(canopy_marked((unsigned long long)v)) {}
  CANOPY_MEMBER CANOPY_T(long long v) : CANOPY_T(canopy_marked(v)) {}
  CANOPY_MEMBER CANOPY_T(unsigned long long v) : CANOPY_T(canopy_marked(v)) {}
  CANOPY_MEMBER operator CANOPY_RAW() const { return CANOPY_RAW{__x}; }
  CANOPY_MEMBER operator CANOPY_RAW() const volatile { return CANOPY_RAW{__x}; }
  CANOPY_MEMBER operator float() const { return CANOPY_WIDEN(__x); }
};

struct __attribute__((aligned(4))) CANOPY_T2 {
  CANOPY_T x, y;

  CANOPY_T2() = default;
  CANOPY_MEMBER constexpr CANOPY_T2(const CANOPY_T& low, const CANOPY_T& high) : x(low), y(high) {}
  CANOPY_MEMBER CANOPY_T2(const CANOPY_RAW2& raw) : x(CANOPY_RAW{raw.x}), y(CANOPY_RAW{raw.y}) {}
  CANOPY_MEMBER operator CANOPY_RAW2() const { return CANOPY_RAW2{x.__x, y.__x}; }
};

// ---- the same bits under another type
CANOPY_SMALL CANOPY_T CANOPY_NAME(__ushort_as_, )(unsigned short bits) { return CANOPY_T(CANOPY_RAW{bits}); }
CANOPY_SMALL CANOPY_T CANOPY_NAME(__short_as_, )(short bits) { return CANOPY_T(CANOPY_RAW{(unsigned short)bits}); }
CANOPY_SMALL unsigned short CANOPY_NAME(__, _as_ushort)(CANOPY_T v) { return v.__x; }
CANOPY_SMALL short CANOPY_NAME(__, _as_short)(CANOPY_T v) { return (short)v.__x; }

// ---- from and to floats
#define CANOPY_OF_BITS(bits) CANOPY_T(CANOPY_RAW{(unsigned short)(bits)})
CANOPY_SMALL CANOPY_T CANOPY_TO(float)(float v) { return CANOPY_T(v); }
CANOPY_SMALL CANOPY_T CANOPY_TO(double)(double v) { return CANOPY_T(v); }
CANOPY_SMALL float CANOPY_FROM(float)(CANOPY_T v) { return (float)v; }
#define CANOPY_ROUNDED(suffix, mode)                                                                             \
  CANOPY_SMALL CANOPY_T CANOPY_TO_MODE(float, suffix)(float v) {                                                 \
    return CANOPY_OF_BITS(canopy_narrow<CANOPY_FORMAT>(v, mode));                                                \
  }
CANOPY_SMALL CANOPY_T CANOPY_TO_MODE(float, rn)(float v) { return CANOPY_T(v); }
CANOPY_ROUNDED(rz, CANOPY_TO_ZERO)
CANOPY_ROUNDED(rd, CANOPY_DOWN)
CANOPY_ROUNDED(ru, CANOPY_UP)
#undef CANOPY_ROUNDED

// ---- from and to integers
#define CANOPY_INTEGER_MODE(T, name, suffix, mode)                                                               \
  CANOPY_SMALL CANOPY_T CANOPY_TO_MODE(name, suffix)(T v) {                                                      \
    return CANOPY_OF_BITS(canopy_narrow<CANOPY_FORMAT>(canopy_marked(v), mode));                              \
  }                                                                                                              \
  CANOPY_SMALL T CANOPY_FROM_MODE(name, suffix)(CANOPY_T v) { return canopy_to_integer<T>((float)v, mode); }
#define CANOPY_INTEGER(T, name)                                                                                  \
  CANOPY_INTEGER_MODE(T, name, rn, CANOPY_NEAREST)                                                               \
  CANOPY_INTEGER_MODE(T, name, rz, CANOPY_TO_ZERO)                                                               \
  CANOPY_INTEGER_MODE(T, name, rd, CANOPY_DOWN)                                                                  \
  CANOPY_INTEGER_MODE(T, name, ru, CANOPY_UP)
CANOPY_INTEGER(short, short)
CANOPY_INTEGER(unsigned short, ushort)
CANOPY_INTEGER(int, int)
CANOPY_INTEGER(unsigned int, uint)
CANOPY_INTEGER(long long, ll)
CANOPY_INTEGER(unsigned long long, ull)
#undef CANOPY_INTEGER_MODE
#undef CANOPY_INTEGER
CANOPY_SMALL signed char CANOPY_FROM_MODE(char, rz)(CANOPY_T v) {
  return canopy_to_integer<signed char>((float)v, CANOPY_TO_ZERO);
}
CANOPY_SMALL unsigned char CANOPY_FROM_MODE(uchar, rz)(CANOPY_T v) {
  return canopy_to_integer<unsigned char>((float)v, CANOPY_TO_ZERO);
}

// ---- pairs
CANOPY_SMALL CANOPY_T2 CANOPY_NAME(make_, 2)(CANOPY_T x, CANOPY_T y) { return CANOPY_T2(x, y); }
CANOPY_SMALL CANOPY_T2 CANOPY_NAME(__halves2, 2)(CANOPY_T x, CANOPY_T y) { return CANOPY_T2(x, y); }
CANOPY_SMALL CANOPY_T2 CANOPY_BOTH(CANOPY_T v) { return CANOPY_T2(v, v); }
CANOPY_SMALL CANOPY_T2 CANOPY_NAME(__float2, 2_rn)(float v) { return CANOPY_T2(CANOPY_T(v), CANOPY_T(v)); }
CANOPY_SMALL CANOPY_T2 CANOPY_NAME(__floats2, 2_rn)(float x, float y) { return CANOPY_T2(CANOPY_T(x), CANOPY_T(y)); }
CANOPY_SMALL CANOPY_T2 CANOPY_NAME(__float22, 2_rn)(float2 v) { return CANOPY_T2(CANOPY_T(v.x), CANOPY_T(v.y)); }
CANOPY_SMALL float2 CANOPY_NAME(__, 22float2)(CANOPY_T2 v) { return make_float2((float)v.x, (float)v.y); }
CANOPY_SMALL float __low2float(CANOPY_T2 v) { return (float)v.x; }
CANOPY_SMALL float __high2float(CANOPY_T2 v) { return (float)v.y; }
CANOPY_SMALL CANOPY_T CANOPY_NAME(__low2, )(CANOPY_T2 v) { return v.x; }
CANOPY_SMALL CANOPY_T CANOPY_NAME(__high2, )(CANOPY_T2 v) { return v.y; }
CANOPY_SMALL CANOPY_T2 CANOPY_NAME(__low2, 2)(CANOPY_T2 v) { return CANOPY_T2(v.x, v.x); }
CANOPY_SMALL CANOPY_T2 CANOPY_NAME(__high2, 2)(CANOPY_T2 v) { return CANOPY_T2(v.y, v.y); }
CANOPY_SMALL CANOPY_T2 CANOPY_NAME(__lows2, 2)(CANOPY_T2 a, CANOPY_T2 b) { return CANOPY_T2(a.x, b.x); }
CANOPY_SMALL CANOPY_T2 CANOPY_NAME(__highs2, 2)(CANOPY_T2 a, CANOPY_T2 b) { return CANOPY_T2(a.y, b.y); }
CANOPY_SMALL CANOPY_T2 __lowhigh2highlow(CANOPY_T2 v) { return CANOPY_T2(v.y, v.x); }

// ---- arithmetic: of one number and, with a 2 in the name, of a pair
CANOPY_SMALL CANOPY_T __hneg(CANOPY_T a) { return CANOPY_OF_BITS(a.__x ^ 0x8000); }
CANOPY_SMALL CANOPY_T __habs(CANOPY_T a) { return CANOPY_OF_BITS(a.__x & 0x7fff); }
CANOPY_SMALL CANOPY_T __hadd(CANOPY_T a, CANOPY_T b) { return CANOPY_T((float)a + (float)b); }
CANOPY_SMALL CANOPY_T __hsub(CANOPY_T a, CANOPY_T b) { return CANOPY_T((float)a - (float)b); }
CANOPY_SMALL CANOPY_T __hmul(CANOPY_T a, CANOPY_T b) { return CANOPY_T((float)a * (float)b); }
CANOPY_SMALL CANOPY_T __hdiv(CANOPY_T a, CANOPY_T b) { return CANOPY_T((float)a / (float)b); }
CANOPY_SMALL CANOPY_T __hfma(CANOPY_T a, CANOPY_T b, CANOPY_T c) {
  return CANOPY_T(canopy_fma_odd((float)a, (float)b, (float)c, CANOPY_FORMAT()));
}
CANOPY_SMALL CANOPY_T canopy_saturated(CANOPY_T a) {
  return CANOPY_T((float)a > 0.0f ? ((float)a < 1.0f ? (float)a : 1.0f) : 0.0f);
}
CANOPY_SMALL CANOPY_T canopy_relu(CANOPY_T a) {
  return (float)a != (float)a ? CANOPY_OF_BITS(CANOPY_FORMAT::nan) : (float)a > 0.0f ? a : CANOPY_OF_BITS(0);
}
#define CANOPY_TWO(pair, one)                                                                                    \
  CANOPY_SMALL CANOPY_T2 pair(CANOPY_T2 a, CANOPY_T2 b) { return CANOPY_T2(one(a.x, b.x), one(a.y, b.y)); }
#define CANOPY_ARITHMETIC(one, pair)                                                                             \
  CANOPY_TWO(pair, one)                                                                                          \
  CANOPY_SMALL CANOPY_T one##_rn(CANOPY_T a, CANOPY_T b) { return one(a, b); }                                   \
  CANOPY_TWO(pair##_rn, one)                                                                                     \
  CANOPY_SMALL CANOPY_T one##_sat(CANOPY_T a, CANOPY_T b) { return canopy_saturated(one(a, b)); }                \
  CANOPY_TWO(pair##_sat, one##_sat)
CANOPY_ARITHMETIC(__hadd, __hadd2)
CANOPY_ARITHMETIC(__hsub, __hsub2)
CANOPY_ARITHMETIC(__hmul, __hmul2)
#undef CANOPY_ARITHMETIC
CANOPY_TWO(__h2div, __hdiv)
CANOPY_SMALL CANOPY_T2 __hneg2(CANOPY_T2 a) { return CANOPY_T2(__hneg(a.x), __hneg(a.y)); }
CANOPY_SMALL CANOPY_T2 __habs2(CANOPY_T2 a) { return CANOPY_T2(__habs(a.x), __habs(a.y)); }
CANOPY_SMALL CANOPY_T __hfma_sat(CANOPY_T a, CANOPY_T b, CANOPY_T c) { return canopy_saturated(__hfma(a, b, c)); }
CANOPY_SMALL CANOPY_T __hfma_relu(CANOPY_T a, CANOPY_T b, CANOPY_T c) { return canopy_relu(__hfma(a, b, c)); }
#define CANOPY_FUSED(suffix)                                                                                     \
  CANOPY_SMALL CANOPY_T2 __hfma2##suffix(CANOPY_T2 a, CANOPY_T2 b, CANOPY_T2 c) {                                \
    return CANOPY_T2(__hfma##suffix(a.x, b.x, c.x), __hfma##suffix(a.y, b.y, c.y));                              \
  }
CANOPY_FUSED()
CANOPY_FUSED(_sat)
CANOPY_FUSED(_relu)
#undef CANOPY_FUSED
// a * b + c of complex numbers, in the order of the hardware's instructions.
CANOPY_SMALL CANOPY_T2 __hcmadd(CANOPY_T2 a, CANOPY_T2 b, CANOPY_T2 c) {
  CANOPY_T re = __hfma(__hneg(a.y), b.y, __hfma(a.x, b.x, c.x));
  return CANOPY_T2(re, __hfma(a.y, b.x, __hfma(a.x, b.y, c.y)));
}

// ---- comparisons: false with a NaN; those with a u are true then
CANOPY_SMALL bool __hisnan(CANOPY_T a) { return (a.__x & 0x7fff) > CANOPY_FORMAT::infinity; }
CANOPY_SMALL int __hisinf(CANOPY_T a) {
  return (a.__x & 0x7fff) == CANOPY_FORMAT::infinity ? (a.__x >> 15 ? -1 : 1) : 0;
}
CANOPY_SMALL CANOPY_T2 __hisnan2(CANOPY_T2 a) {
  return CANOPY_T2(CANOPY_T(__hisnan(a.x) ? 1.0f : 0.0f), CANOPY_T(__hisnan(a.y) ? 1.0f : 0.0f));
}
#define CANOPY_COMPARE_PAIR(name)                                                                                \
  CANOPY_SMALL CANOPY_T2 __h##name##2(CANOPY_T2 a, CANOPY_T2 b) {                                                \
    return CANOPY_T2(CANOPY_T(__h##name(a.x, b.x) ? 1.0f : 0.0f), CANOPY_T(__h##name(a.y, b.y) ? 1.0f : 0.0f));  \
  }                                                                                                              \
  CANOPY_SMALL bool __hb##name##2(CANOPY_T2 a, CANOPY_T2 b) { return __h##name(a.x, b.x) && __h##name(a.y, b.y); } \
  CANOPY_SMALL unsigned int __h##name##2_mask(CANOPY_T2 a, CANOPY_T2 b) {                                        \
    return (__h##name(a.x, b.x) ? 0xffffu : 0u) | (__h##name(a.y, b.y) ? 0xffff0000u : 0u);                      \
  }
#define CANOPY_COMPARE(name, op)                                                                                 \
  CANOPY_SMALL bool __h##name(CANOPY_T a, CANOPY_T b) { return (float)a op (float)b; }                           \
  CANOPY_SMALL bool __h##name##u(CANOPY_T a, CANOPY_T b) {                                                       \
    return (float)a op (float)b || (float)a != (float)a || (float)b != (float)b;                                 \
  }                                                                                                              \
  CANOPY_COMPARE_PAIR(name)                                                                                      \
  CANOPY_COMPARE_PAIR(name##u)
CANOPY_COMPARE(eq, ==)
CANOPY_COMPARE(lt, <)
CANOPY_COMPARE(le, <=)
CANOPY_COMPARE(gt, >)
CANOPY_COMPARE(ge, >=)
#undef CANOPY_COMPARE
CANOPY_SMALL bool __hne(CANOPY_T a, CANOPY_T b) { return (float)a < (float)b || (float)a > (float)b; }
CANOPY_SMALL bool __hneu(CANOPY_T a, CANOPY_T b) { return (float)a != (float)b; }
CANOPY_COMPARE_PAIR(ne)
CANOPY_COMPARE_PAIR(neu)
#undef CANOPY_COMPARE_PAIR

// Of equal numbers the bits tell +0 from -0; a NaN loses, or with _nan wins.
CANOPY_SMALL CANOPY_T __hmax_nan(CANOPY_T a, CANOPY_T b) {
  if (__hisnan(a) || __hisnan(b)) return CANOPY_OF_BITS(CANOPY_FORMAT::nan);
  return (float)a == (float)b ? CANOPY_OF_BITS(a.__x & b.__x) : (float)a > (float)b ? a : b;
}
CANOPY_SMALL CANOPY_T __hmin_nan(CANOPY_T a, CANOPY_T b) {
  if (__hisnan(a) || __hisnan(b)) return CANOPY_OF_BITS(CANOPY_FORMAT::nan);
  return (float)a == (float)b ? CANOPY_OF_BITS(a.__x | b.__x) : (float)a < (float)b ? a : b;
}
CANOPY_SMALL CANOPY_T __hmax(CANOPY_T a, CANOPY_T b) {
  return __hisnan(a) ? __hmax_nan(b, b) : __hisnan(b) ? a : __hmax_nan(a, b);
}
CANOPY_SMALL CANOPY_T __hmin(CANOPY_T a, CANOPY_T b) {
  return __hisnan(a) ? __hmin_nan(b, b) : __hisnan(b) ? a : __hmin_nan(a, b);
}
CANOPY_TWO(__hmax2, __hmax)
CANOPY_TWO(__hmin2, __hmin)
CANOPY_TWO(__hmax2_nan, __hmax_nan)
CANOPY_TWO(__hmin2_nan, __hmin_nan)
#undef CANOPY_TWO

// ---- operators
#ifndef CANOPY_NO_OPERATORS
#define CANOPY_OPERATOR(op, T, function)                                                                         \
  CANOPY_SMALL T operator op(const T& a, const T& b) { return function(a, b); }                                  \
  CANOPY_SMALL T& operator op##=(T& a, const T& b) { return a = function(a, b); }
CANOPY_OPERATOR(+, CANOPY_T, __hadd)
CANOPY_OPERATOR(-, CANOPY_T, __hsub)
CANOPY_OPERATOR(*, CANOPY_T, __hmul)
CANOPY_OPERATOR(/, CANOPY_T, __hdiv)
CANOPY_OPERATOR(+, CANOPY_T2, __hadd2)
CANOPY_OPERATOR(-, CANOPY_T2, __hsub2)
CANOPY_OPERATOR(*, CANOPY_T2, __hmul2)
CANOPY_OPERATOR(/, CANOPY_T2, __h2div)
#undef CANOPY_OPERATOR
#define CANOPY_STEPS(T, one, negate)                                                                             \
  CANOPY_SMALL T operator+(const T& a) { return a; }                                                             \
  CANOPY_SMALL T operator-(const T& a) { return negate(a); }                                                     \
  CANOPY_SMALL T& operator++(T& a) { return a += one; }                                                          \
  CANOPY_SMALL T& operator--(T& a) { return a -= one; }                                                          \
  CANOPY_SMALL T operator++(T& a, int) { T old = a; a += one; return old; }                                      \
  CANOPY_SMALL T operator--(T& a, int) { T old = a; a -= one; return old; }
CANOPY_STEPS(CANOPY_T, CANOPY_T(1.0f), __hneg)
CANOPY_STEPS(CANOPY_T2, CANOPY_T2(CANOPY_T(1.0f), CANOPY_T(1.0f)), __hneg2)
#undef CANOPY_STEPS
#define CANOPY_RELATION(op, name)                                                                                \
  CANOPY_SMALL bool operator op(const CANOPY_T& a, const CANOPY_T& b) { return __h##name(a, b); }                \
  CANOPY_SMALL bool operator op(const CANOPY_T2& a, const CANOPY_T2& b) { return __hb##name##2(a, b); }
CANOPY_RELATION(==, eq)
CANOPY_RELATION(!=, neu)
CANOPY_RELATION(<, lt)
CANOPY_RELATION(<=, le)
CANOPY_RELATION(>, gt)
CANOPY_RELATION(>=, ge)
#undef CANOPY_RELATION
#endif

#ifdef __CUDA__
// ---- mathematics: in float, rounded once
#define CANOPY_MATH(name, expression)                                                                            \
  CANOPY_DEVICE CANOPY_T h##name(CANOPY_T a) { float x = (float)a; return CANOPY_T(expression); }                \
  CANOPY_DEVICE CANOPY_T2 h2##name(CANOPY_T2 a) { return CANOPY_T2(h##name(a.x), h##name(a.y)); }
CANOPY_MATH(exp, expf(x))
CANOPY_MATH(exp2, exp2f(x))
CANOPY_MATH(exp10, exp10f(x))
CANOPY_MATH(log, logf(x))
CANOPY_MATH(log2, log2f(x))
CANOPY_MATH(log10, log10f(x))
CANOPY_MATH(sqrt, sqrtf(x))
CANOPY_MATH(rsqrt, rsqrtf(x))
CANOPY_MATH(rcp, 1.0f / x)
CANOPY_MATH(sin, sinf(x))
CANOPY_MATH(cos, cosf(x))
CANOPY_MATH(tanh, tanhf(x))
CANOPY_MATH(tanh_approx, tanhf(x))
CANOPY_MATH(rint, rintf(x))
CANOPY_MATH(floor, floorf(x))
CANOPY_MATH(ceil, ceilf(x))
CANOPY_MATH(trunc, truncf(x))
#undef CANOPY_MATH

// ---- between lanes, and atomically: as words
#define CANOPY_LANES(name)                                                                                       \
  CANOPY_DEVICE CANOPY_T name(unsigned int mask, CANOPY_T v, int lane, int width = 32) {                          \
    return CANOPY_OF_BITS((unsigned int)name(mask, (unsigned int)v.__x, lane, width));                           \
  }                                                                                                              \
  CANOPY_DEVICE CANOPY_T2 name(unsigned int mask, CANOPY_T2 v, int lane, int width = 32) {                        \
    return __builtin_bit_cast(CANOPY_T2, name(mask, __builtin_bit_cast(unsigned int, v), lane, width));          \
  }
CANOPY_LANES(__shfl_sync)
CANOPY_LANES(__shfl_up_sync)
CANOPY_LANES(__shfl_down_sync)
CANOPY_LANES(__shfl_xor_sync)
#undef CANOPY_LANES

// Changes the word that holds *address until nobody came in between.
CANOPY_DEVICE CANOPY_T atomicAdd(CANOPY_T* address, CANOPY_T value) {
  unsigned long long place = (unsigned long long)address;
  unsigned int* word = (unsigned int*)(place & ~3ull);
  const unsigned int shift = (unsigned int)(place & 2) * 8;
  unsigned int seen = *(volatile unsigned int*)word, expected;
  do {
    expected = seen;
    CANOPY_T sum = __hadd(CANOPY_OF_BITS(expected >> shift), value);
    seen = atomicCAS(word, expected, (expected & ~(0xffffu << shift)) | ((unsigned int)sum.__x << shift));
  } while (seen != expected);
  return CANOPY_OF_BITS(expected >> shift);
}
// The two halves are added atomically, each by itself or, as here, both at once.
CANOPY_DEVICE CANOPY_T2 atomicAdd(CANOPY_T2* address, CANOPY_T2 value) {
  unsigned int *word = (unsigned int*)address, seen = *(volatile unsigned int*)word, expected;
  do {
    expected = seen;
    CANOPY_T2 sum = __hadd2(__builtin_bit_cast(CANOPY_T2, expected), value);
    seen = atomicCAS(word, expected, __builtin_bit_cast(unsigned int, sum));
  } while (seen != expected);
  return __builtin_bit_cast(CANOPY_T2, expected);
}
#endif
#undef CANOPY_OF_BITS
