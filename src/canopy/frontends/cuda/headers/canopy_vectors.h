// The vector types, dim3 and the functions that make them, for both halves and for plain C and C++.
// Written for Canopy.
#pragma once

#ifdef __CUDA__
#define CANOPY_HD static __inline__ __attribute__((host, device))
#else
#define CANOPY_HD static __inline__
#endif

#ifdef __cplusplus
#define CANOPY_TYPE(name)
#else
#define CANOPY_TYPE(name) typedef struct name name;
#endif
#define CANOPY_ALIGNED(n) __attribute__((aligned(n)))
#define CANOPY_VECTORS(T, name, a2, a4)                                                                          \
  struct name##1 { T x; };                                                                                       \
  struct CANOPY_ALIGNED(a2) name##2 { T x, y; };                                                                 \
  struct name##3 { T x, y, z; };                                                                                 \
  struct CANOPY_ALIGNED(a4) name##4 { T x, y, z, w; };                                                           \
  CANOPY_TYPE(name##1) CANOPY_TYPE(name##2) CANOPY_TYPE(name##3) CANOPY_TYPE(name##4)                            \
  CANOPY_HD name##1 make_##name##1(T x) { name##1 v = {x}; return v; }                                           \
  CANOPY_HD name##2 make_##name##2(T x, T y) { name##2 v = {x, y}; return v; }                                   \
  CANOPY_HD name##3 make_##name##3(T x, T y, T z) { name##3 v = {x, y, z}; return v; }                           \
  CANOPY_HD name##4 make_##name##4(T x, T y, T z, T w) { name##4 v = {x, y, z, w}; return v; }
CANOPY_VECTORS(signed char, char, 2, 4)
CANOPY_VECTORS(unsigned char, uchar, 2, 4)
CANOPY_VECTORS(short, short, 4, 8)
CANOPY_VECTORS(unsigned short, ushort, 4, 8)
CANOPY_VECTORS(int, int, 8, 16)
CANOPY_VECTORS(unsigned int, uint, 8, 16)
CANOPY_VECTORS(long, long, 16, 16)
CANOPY_VECTORS(unsigned long, ulong, 16, 16)
CANOPY_VECTORS(long long, longlong, 16, 16)
CANOPY_VECTORS(unsigned long long, ulonglong, 16, 16)
CANOPY_VECTORS(float, float, 8, 16)
CANOPY_VECTORS(double, double, 16, 16)
#undef CANOPY_VECTORS
// CUDA 13's names for four 8-byte components at a stated alignment.
#define CANOPY_FOUR(T, name)                                                                                     \
  typedef struct name##4 name##4_16a;                                                                            \
  struct CANOPY_ALIGNED(32) name##4_32a { T x, y, z, w; };                                                       \
  CANOPY_TYPE(name##4_32a)                                                                                       \
  CANOPY_HD struct name##4 make_##name##4_16a(T x, T y, T z, T w) { return make_##name##4(x, y, z, w); }         \
  CANOPY_HD struct name##4_32a make_##name##4_32a(T x, T y, T z, T w) {                                          \
    struct name##4_32a v = {x, y, z, w};                                                                         \
    return v;                                                                                                    \
  }
CANOPY_FOUR(long, long)
CANOPY_FOUR(unsigned long, ulong)
CANOPY_FOUR(long long, longlong)
CANOPY_FOUR(unsigned long long, ulonglong)
CANOPY_FOUR(double, double)
#undef CANOPY_FOUR
#undef CANOPY_ALIGNED
#undef CANOPY_TYPE

#ifdef __cplusplus
#ifdef __CUDA__
#define CANOPY_BOTH __attribute__((host, device))
#else
#define CANOPY_BOTH
#endif
struct dim3 {
  unsigned int x, y, z;
  CANOPY_BOTH constexpr dim3(unsigned int vx = 1, unsigned int vy = 1, unsigned int vz = 1) : x(vx), y(vy), z(vz) {}
  CANOPY_BOTH constexpr dim3(uint3 v) : x(v.x), y(v.y), z(v.z) {}
  CANOPY_BOTH constexpr operator uint3() const { return uint3{x, y, z}; }
};
#undef CANOPY_BOTH
#endif
#undef CANOPY_HD
