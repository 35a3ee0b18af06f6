// Arithmetic on float2 ... uint4 with the names of the CUDA samples. Written for Canopy.
#pragma once
#ifndef HELPER_MATH_H
#define HELPER_MATH_H
#include <cuda_runtime.h>
#include <math.h>

typedef unsigned int uint;
typedef unsigned short ushort;

#ifndef EXIT_WAIVED
#define EXIT_WAIVED 2
#endif

#ifndef __CUDACC__
inline int max(int a, int b) { return a > b ? a : b; }
inline int min(int a, int b) { return a < b ? a : b; }
inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
#endif

#define CANOPY_FN inline __host__ __device__

// ---- one vector from another
CANOPY_FN float2 make_float2(float s) { return make_float2(s, s); }
CANOPY_FN float2 make_float2(float3 a) { return make_float2(a.x, a.y); }
CANOPY_FN float2 make_float2(int2 a) { return make_float2(float(a.x), float(a.y)); }
CANOPY_FN float2 make_float2(uint2 a) { return make_float2(float(a.x), float(a.y)); }
CANOPY_FN int2 make_int2(int s) { return make_int2(s, s); }
CANOPY_FN int2 make_int2(int3 a) { return make_int2(a.x, a.y); }
CANOPY_FN int2 make_int2(uint2 a) { return make_int2(int(a.x), int(a.y)); }
CANOPY_FN int2 make_int2(float2 a) { return make_int2(int(a.x), int(a.y)); }
CANOPY_FN uint2 make_uint2(uint s) { return make_uint2(s, s); }
CANOPY_FN uint2 make_uint2(uint3 a) { return make_uint2(a.x, a.y); }
CANOPY_FN uint2 make_uint2(int2 a) { return make_uint2(uint(a.x), uint(a.y)); }
// What the three types of 3 and of 4 components have in common: T from its kin A and B.
#define CANOPY_MAKE(T, N, A, B)                                                                                  \
  CANOPY_FN N##3 make_##N##3(T s) { return make_##N##3(s, s, s); }                                               \
  CANOPY_FN N##3 make_##N##3(N##2 a) { return make_##N##3(a.x, a.y, T(0)); }                                     \
  CANOPY_FN N##3 make_##N##3(N##2 a, T s) { return make_##N##3(a.x, a.y, s); }                                   \
  CANOPY_FN N##3 make_##N##3(N##4 a) { return make_##N##3(a.x, a.y, a.z); }                                      \
  CANOPY_FN N##3 make_##N##3(A##3 a) { return make_##N##3(T(a.x), T(a.y), T(a.z)); }                             \
  CANOPY_FN N##3 make_##N##3(B##3 a) { return make_##N##3(T(a.x), T(a.y), T(a.z)); }                             \
  CANOPY_FN N##4 make_##N##4(T s) { return make_##N##4(s, s, s, s); }                                            \
  CANOPY_FN N##4 make_##N##4(N##3 a) { return make_##N##4(a.x, a.y, a.z, T(0)); }                                \
  CANOPY_FN N##4 make_##N##4(N##3 a, T w) { return make_##N##4(a.x, a.y, a.z, w); }                              \
  CANOPY_FN N##4 make_##N##4(A##4 a) { return make_##N##4(T(a.x), T(a.y), T(a.z), T(a.w)); }                     \
  CANOPY_FN N##4 make_##N##4(B##4 a) { return make_##N##4(T(a.x), T(a.y), T(a.z), T(a.w)); }
CANOPY_MAKE(float, float, int, uint)
CANOPY_MAKE(int, int, float, uint)
CANOPY_MAKE(uint, uint, float, int)
#undef CANOPY_MAKE

// CANOPY_EACHn(E): E of every component, as the arguments of make_...
#define CANOPY_EACH2(E) E(x), E(y)
#define CANOPY_EACH3(E) E(x), E(y), E(z)
#define CANOPY_EACH4(E) E(x), E(y), E(z), E(w)
#define CANOPY_VECTOR(V, n, E) make_##V##n(CANOPY_EACH##n(E))

// ---- operators
#define CANOPY_NEGATED(c) -a.c
#define CANOPY_NEGATE(V, n) CANOPY_FN V##n operator-(V##n a) { return CANOPY_VECTOR(V, n, CANOPY_NEGATED); }
#define CANOPY_SUM(c) a.c + b.c
#define CANOPY_SUM_RIGHT(c) a.c + b
#define CANOPY_DIFFERENCE(c) a.c - b.c
#define CANOPY_DIFFERENCE_RIGHT(c) a.c - b
#define CANOPY_DIFFERENCE_LEFT(c) b - a.c
#define CANOPY_PRODUCT(c) a.c * b.c
#define CANOPY_PRODUCT_RIGHT(c) a.c * b
#define CANOPY_QUOTIENT(c) a.c / b.c
#define CANOPY_QUOTIENT_RIGHT(c) a.c / b
#define CANOPY_QUOTIENT_LEFT(c) b / a.c
#define CANOPY_OPERATOR(op, T, V, n, each, right, left)                                                          \
  CANOPY_FN V##n operator op(V##n a, V##n b) { return CANOPY_VECTOR(V, n, each); }                               \
  CANOPY_FN V##n operator op(V##n a, T b) { return CANOPY_VECTOR(V, n, right); }                                 \
  CANOPY_FN V##n operator op(T b, V##n a) { return CANOPY_VECTOR(V, n, left); }                                  \
  CANOPY_FN void operator op##=(V##n& a, V##n b) { a = a op b; }                                                 \
  CANOPY_FN void operator op##=(V##n& a, T b) { a = a op b; }
#define CANOPY_ARITHMETIC(T, V, n)                                                                               \
  CANOPY_OPERATOR(+, T, V, n, CANOPY_SUM, CANOPY_SUM_RIGHT, CANOPY_SUM_RIGHT)                                    \
  CANOPY_OPERATOR(-, T, V, n, CANOPY_DIFFERENCE, CANOPY_DIFFERENCE_RIGHT, CANOPY_DIFFERENCE_LEFT)                \
  CANOPY_OPERATOR(*, T, V, n, CANOPY_PRODUCT, CANOPY_PRODUCT_RIGHT, CANOPY_PRODUCT_RIGHT)
#define CANOPY_SIZES(M, T, V) M(T, V, 2) M(T, V, 3) M(T, V, 4)
CANOPY_SIZES(CANOPY_ARITHMETIC, float, float)
CANOPY_SIZES(CANOPY_ARITHMETIC, int, int)
CANOPY_SIZES(CANOPY_ARITHMETIC, uint, uint)
#define CANOPY_DIVIDE(T, V, n)                                                                                   \
  CANOPY_OPERATOR(/, T, V, n, CANOPY_QUOTIENT, CANOPY_QUOTIENT_RIGHT, CANOPY_QUOTIENT_LEFT)
CANOPY_SIZES(CANOPY_DIVIDE, float, float)
#define CANOPY_SIGNED(T, V, n) CANOPY_NEGATE(V, n)
CANOPY_SIZES(CANOPY_SIGNED, float, float)
CANOPY_SIZES(CANOPY_SIGNED, int, int)

// ---- functions
CANOPY_FN float lerp(float a, float b, float t) { return a + t * (b - a); }
CANOPY_FN float clamp(float f, float a, float b) { return fmaxf(a, fminf(f, b)); }
CANOPY_FN int clamp(int f, int a, int b) { return f < a ? a : f > b ? b : f; }
CANOPY_FN uint clamp(uint f, uint a, uint b) { return f < a ? a : f > b ? b : f; }
CANOPY_FN float fracf(float v) { return v - floorf(v); }
CANOPY_FN float smoothstep(float a, float b, float x) {
  float y = clamp((x - a) / (b - a), 0.0f, 1.0f);
  return y * y * (3.0f - 2.0f * y);
}

#define CANOPY_CLAMP_EACH(c) clamp(v.c, a.c, b.c)
#define CANOPY_CLAMP_BOTH(c) clamp(v.c, a, b)
#define CANOPY_CLAMP(T, V, n)                                                                                    \
  CANOPY_FN V##n clamp(V##n v, T a, T b) { return CANOPY_VECTOR(V, n, CANOPY_CLAMP_BOTH); }                      \
  CANOPY_FN V##n clamp(V##n v, V##n a, V##n b) { return CANOPY_VECTOR(V, n, CANOPY_CLAMP_EACH); }
CANOPY_SIZES(CANOPY_CLAMP, float, float)
CANOPY_SIZES(CANOPY_CLAMP, int, int)
CANOPY_SIZES(CANOPY_CLAMP, uint, uint)

#define CANOPY_LESS(c) (a.c < b.c ? a.c : b.c)
#define CANOPY_GREATER(c) (a.c > b.c ? a.c : b.c)
#define CANOPY_EXTREMES(T, V, n)                                                                                 \
  CANOPY_FN V##n min(V##n a, V##n b) { return CANOPY_VECTOR(V, n, CANOPY_LESS); }                                \
  CANOPY_FN V##n max(V##n a, V##n b) { return CANOPY_VECTOR(V, n, CANOPY_GREATER); }
CANOPY_SIZES(CANOPY_EXTREMES, int, int)
CANOPY_SIZES(CANOPY_EXTREMES, uint, uint)

#define CANOPY_DOT2 a.x * b.x + a.y * b.y
#define CANOPY_DOT3 CANOPY_DOT2 + a.z * b.z
#define CANOPY_DOT4 CANOPY_DOT3 + a.w * b.w
#define CANOPY_DOT(T, V, n) CANOPY_FN T dot(V##n a, V##n b) { return CANOPY_DOT##n; }
CANOPY_SIZES(CANOPY_DOT, float, float)
CANOPY_SIZES(CANOPY_DOT, int, int)
CANOPY_SIZES(CANOPY_DOT, uint, uint)

#define CANOPY_FMIN(c) fminf(a.c, b.c)
#define CANOPY_FMAX(c) fmaxf(a.c, b.c)
#define CANOPY_FLOOR(c) floorf(a.c)
#define CANOPY_FRACTION(c) fracf(a.c)
#define CANOPY_REMAINDER(c) fmodf(a.c, b.c)
#define CANOPY_FABS(c) fabsf(a.c)
#define CANOPY_STEP(c) smoothstep(a.c, b.c, v.c)
#define CANOPY_FLOATS(T, V, n)                                                                                   \
  CANOPY_FN V##n fminf(V##n a, V##n b) { return CANOPY_VECTOR(V, n, CANOPY_FMIN); }                              \
  CANOPY_FN V##n fmaxf(V##n a, V##n b) { return CANOPY_VECTOR(V, n, CANOPY_FMAX); }                              \
  CANOPY_FN V##n floorf(V##n a) { return CANOPY_VECTOR(V, n, CANOPY_FLOOR); }                                    \
  CANOPY_FN V##n fracf(V##n a) { return CANOPY_VECTOR(V, n, CANOPY_FRACTION); }                                  \
  CANOPY_FN V##n fmodf(V##n a, V##n b) { return CANOPY_VECTOR(V, n, CANOPY_REMAINDER); }                         \
  CANOPY_FN V##n fabs(V##n a) { return CANOPY_VECTOR(V, n, CANOPY_FABS); }                                       \
  CANOPY_FN V##n smoothstep(V##n a, V##n b, V##n v) { return CANOPY_VECTOR(V, n, CANOPY_STEP); }                 \
  CANOPY_FN V##n lerp(V##n a, V##n b, T t) { return a + t * (b - a); }                                           \
  CANOPY_FN T length(V##n v) { return sqrtf(dot(v, v)); }                                                        \
  CANOPY_FN V##n normalize(V##n v) { return v * rsqrtf(dot(v, v)); }
CANOPY_SIZES(CANOPY_FLOATS, float, float)

#define CANOPY_ABS(c) (a.c < 0 ? -a.c : a.c)
#define CANOPY_ABSOLUTE(T, V, n) CANOPY_FN V##n abs(V##n a) { return CANOPY_VECTOR(V, n, CANOPY_ABS); }
CANOPY_SIZES(CANOPY_ABSOLUTE, int, int)

CANOPY_FN float3 reflect(float3 i, float3 n) { return i - 2.0f * n * dot(n, i); }
CANOPY_FN float3 cross(float3 a, float3 b) {
  return make_float3(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
}

#undef CANOPY_FN
#undef CANOPY_EACH2
#undef CANOPY_EACH3
#undef CANOPY_EACH4
#undef CANOPY_VECTOR
#undef CANOPY_NEGATED
#undef CANOPY_NEGATE
#undef CANOPY_SUM
#undef CANOPY_SUM_RIGHT
#undef CANOPY_DIFFERENCE
#undef CANOPY_DIFFERENCE_RIGHT
#undef CANOPY_DIFFERENCE_LEFT
#undef CANOPY_PRODUCT
#undef CANOPY_PRODUCT_RIGHT
#undef CANOPY_QUOTIENT
#undef CANOPY_QUOTIENT_RIGHT
#undef CANOPY_QUOTIENT_LEFT
#undef CANOPY_OPERATOR
#undef CANOPY_ARITHMETIC
#undef CANOPY_SIZES
#undef CANOPY_DIVIDE
#undef CANOPY_SIGNED
#undef CANOPY_CLAMP_EACH
#undef CANOPY_CLAMP_BOTH
#undef CANOPY_CLAMP
#undef CANOPY_LESS
#undef CANOPY_GREATER
#undef CANOPY_EXTREMES
#undef CANOPY_DOT2
#undef CANOPY_DOT3
#undef CANOPY_DOT4
#undef CANOPY_DOT
#undef CANOPY_FMIN
#undef CANOPY_FMAX
#undef CANOPY_FLOOR
#undef CANOPY_FRACTION
#undef CANOPY_REMAINDER
#undef CANOPY_FABS
#undef CANOPY_STEP
#undef CANOPY_FLOATS
#undef CANOPY_ABS
#undef CANOPY_ABSOLUTE
#endif
