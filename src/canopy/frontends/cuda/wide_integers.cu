// What 128-bit integers need besides a few instructions: division, and conversions from and to floats.
// `wide_integers.py` compiles it for sources that ask, and puts calls of it into them. Written for Canopy.

typedef unsigned long long u64;
typedef unsigned __int128 u128;
typedef __int128 i128;

// (high, low) by d, where high < d: schoolbook division of four digits of 32 bits by two.
static __device__ u64 digit(u64 high, unsigned int next, u64 d, u64& rest) {
  u64 d1 = d >> 32, d0 = (unsigned int)d, q = high / d1, r = high % d1;
  while (r >> 32 == 0 && (q >> 32 || q * d0 > (r << 32 | next))) q--, r += d1;
  rest = (high << 32 | next) - q * d;
  return q;
}
static __device__ u64 divided_by_half(u64 high, u64 low, u64 d, u64& rest) {
  int shift = __clzll(d);
  d <<= shift;
  if (shift) high = high << shift | low >> (64 - shift);
  low <<= shift;
  u64 upper = digit(high, (unsigned int)(low >> 32), d, rest);
  u64 lower = digit(rest, (unsigned int)low, d, rest);
  rest >>= shift;
  return upper << 32 | lower;
}
static __device__ u128 divided(u128 a, u128 b, u128& rest) {
  u64 high = a >> 64, divisor = b >> 64, left;
  if (divisor == 0) {
    u64 upper = high / (u64)b;
    u64 lower = divided_by_half(high % (u64)b, a, b, left);
    rest = left;
    return (u128)upper << 64 | lower;
  }
  int shift = __clzll(divisor);
  u128 half = a >> 1;
  u64 q = divided_by_half(half >> 64, half, (b << shift) >> 64, left) >> (63 - shift);
  if (q) q--;  // at most one too large before, and one too small now
  rest = a - b * q;
  if (rest >= b) q++, rest -= b;
  return q;
}
static __device__ u128 magnitude(i128 x) { return x < 0 ? -(u128)x : (u128)x; }

extern "C" {
__device__ u128 canopy_udiv_i128(u128 a, u128 b) {
  u128 rest;
  return divided(a, b, rest);
}
__device__ u128 canopy_urem_i128(u128 a, u128 b) {
  u128 rest;
  divided(a, b, rest);
  return rest;
}
__device__ i128 canopy_sdiv_i128(i128 a, i128 b) {
  u128 rest, q = divided(magnitude(a), magnitude(b), rest);
  return (a < 0) != (b < 0) ? -q : q;
}
__device__ i128 canopy_srem_i128(i128 a, i128 b) {
  u128 rest;
  divided(magnitude(a), magnitude(b), rest);
  return a < 0 ? -rest : rest;
}
}

// The upper 64 bits of a number shifted to the left end, the last one set if anything lies below them, are rounded as
// the whole would be.
template <typename Float>
static __device__ Float rounded(u128 x, Float scale) {
  u64 high = x >> 64;
  if (high == 0) return (Float)(u64)x;
  int shift = __clzll(high);
  x <<= shift;
  Float upper = (Float)((u64)(x >> 64) | ((u64)x != 0));
  return upper * (scale / (Float)((u64)1 << shift));
}
template <typename Float>
static __device__ u128 whole(Float x) {  // from 0 to below 2^128
  Float upper = __builtin_trunc(x * (Float)0x1p-64);
  return (u128)(u64)upper << 64 | (u64)(x - upper * (Float)0x1p64);
}
template <typename Float>
static __device__ u128 saturated(Float x, int bits) {
  u128 most = ((u128)1 << (bits - 1)) + (((u128)1 << (bits - 1)) - 1);
  if (!(x > 0)) return 0;
  return x < (bits == 128 ? (Float)0x1p64 * (Float)0x1p64 : (Float)0x1p127) ? whole(x) : most;
}
template <typename Float>
static __device__ i128 saturated_signed(Float x) {
  u128 size = saturated(x < 0 ? -x : x, 127);
  return x < 0 ? (x <= -(Float)0x1p127 ? (i128)((u128)1 << 127) : -(i128)size) : (i128)size;
}

extern "C" {
__device__ double canopy_uitofp_i128_double(u128 x) { return rounded(x, 0x1p64); }
__device__ float canopy_uitofp_i128_float(u128 x) { return rounded(x, 0x1p64f); }
__device__ double canopy_sitofp_i128_double(i128 x) {
  double size = rounded(magnitude(x), 0x1p64);
  return x < 0 ? -size : size;
}
__device__ float canopy_sitofp_i128_float(i128 x) {
  float size = rounded(magnitude(x), 0x1p64f);
  return x < 0 ? -size : size;
}
__device__ u128 canopy_fptoui_i128_f64(double x) { return saturated(x, 128); }
__device__ u128 canopy_fptoui_i128_f32(float x) { return saturated(x, 128); }
__device__ i128 canopy_fptosi_i128_f64(double x) { return saturated_signed(x); }
__device__ i128 canopy_fptosi_i128_f32(float x) { return saturated_signed(x); }
}
