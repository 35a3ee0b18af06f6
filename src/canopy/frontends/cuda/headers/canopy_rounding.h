// Rounding to small floats: half, bfloat16 and the two of 8 bits; in every rounding mode, on both
// halves, exactly. Written for Canopy.
#pragma once

#ifdef __CUDA__
#define CANOPY_SMALL static __inline__ __attribute__((host, device, always_inline))
#else
#define CANOPY_SMALL static __inline__ __attribute__((always_inline))
#endif

enum canopy_mode { CANOPY_NEAREST, CANOPY_TO_ZERO, CANOPY_DOWN, CANOPY_UP };

// A format by its bits: `infinity` is what overflow gives, `largest` the largest finite number.
template <int mantissa_, int bias_, int sign_, unsigned infinity_, unsigned nan_> struct canopy_format {
  enum : unsigned { infinity = infinity_, largest = infinity_ - 1, nan = nan_ };
  enum : int { mantissa = mantissa_, bias = bias_, sign = sign_ };
};
typedef canopy_format<10, 15, 15, 0x7c00, 0x7fff> canopy_half_format;
typedef canopy_format<7, 127, 15, 0x7f80, 0x7fff> canopy_bfloat16_format;
typedef canopy_format<3, 7, 7, 0x7f, 0x7f> canopy_e4m3_format;
typedef canopy_format<2, 15, 7, 0x7c, 0x7f> canopy_e5m2_format;

// The bits in format F of the float or double with bits `word`, which has `mantissa` bits and `bias`.
template <class F, class Word>
CANOPY_SMALL unsigned canopy_narrow_word(Word word, int mantissa, int bias, canopy_mode mode, bool saturate) {
  const int width = 8 * (int)sizeof(Word);
  const unsigned negative = (unsigned)(word >> (width - 1));
  const Word magnitude = word & (((Word)1 << (width - 1)) - 1);
  const Word infinity = (((Word)1 << (width - 1 - mantissa)) - 1) << mantissa;
  const Word fraction = magnitude & (((Word)1 << mantissa) - 1);
  const int stored = (int)(magnitude >> mantissa);
  const int exponent = (stored ? stored : 1) - bias + F::bias;
  // Normal in F: exponent and fraction side by side, so that a carry moves on; else the significand.
  const Word significand = fraction | (stored ? (Word)1 << mantissa : 0);
  const Word normal = significand + ((Word)(exponent > 1 ? exponent - 1 : 0) << mantissa);
  const int down = exponent < 1 ? 1 - exponent : 0;
  const int drop = mantissa - F::mantissa + (down < mantissa + 2 ? down : mantissa + 2);
  const int shift = drop < width - 1 ? drop : width - 1;
  const Word kept = normal >> shift, rest = normal & (((Word)1 << shift) - 1), half = (Word)1 << (shift - 1);
  const bool away = mode == CANOPY_NEAREST ? rest > half || (rest == half && (kept & 1))
                    : mode == CANOPY_UP    ? !negative && rest != 0
                    : mode == CANOPY_DOWN  ? negative && rest != 0
                                           : false;
  const Word rounded = kept + away;
  const bool stays = saturate || mode == CANOPY_TO_ZERO || (mode == CANOPY_UP && negative) ||
                     (mode == CANOPY_DOWN && !negative);
  unsigned made = rounded > F::largest ? (stays ? (unsigned)F::largest : (unsigned)F::infinity) : (unsigned)rounded;
  if (magnitude == infinity) made = saturate ? (unsigned)F::largest : (unsigned)F::infinity;
  if (magnitude > infinity) return F::nan;
  return made | negative << F::sign;
}
template <class F> CANOPY_SMALL unsigned canopy_narrow(float x, canopy_mode mode, bool saturate = false) {
  return canopy_narrow_word<F, unsigned int>(__builtin_bit_cast(unsigned int, x), 23, 127, mode, saturate);
}
template <class F> CANOPY_SMALL unsigned canopy_narrow(double x, canopy_mode mode, bool saturate = false) {
  return canopy_narrow_word<F, unsigned long long>(__builtin_bit_cast(unsigned long long, x), 52, 1023, mode, saturate);
}

// An integer as a float that rounds further as the integer would: bits that do not fit leave a mark.
CANOPY_SMALL double canopy_marked(unsigned long long x) {
  if (x >> 53) x = (x & ~0x7ffull) | ((x & 0x7ff) ? 0x800 : 0);
  return (double)x;
}
CANOPY_SMALL double canopy_marked(long long x) {
  return x < 0 ? -canopy_marked(0 - (unsigned long long)x) : canopy_marked((unsigned long long)x);
}
CANOPY_SMALL float canopy_marked(unsigned int x) {
  if (x >> 24) x = (x & ~0xffu) | ((x & 0xff) ? 0x100 : 0);
  return (float)x;
}
CANOPY_SMALL float canopy_marked(int x) {
  return x < 0 ? -canopy_marked(0 - (unsigned int)x) : canopy_marked((unsigned int)x);
}
CANOPY_SMALL float canopy_marked(short x) { return (float)x; }
CANOPY_SMALL float canopy_marked(unsigned short x) { return (float)x; }

// a * b + c, rounded to odd: rounding the result once more is as if it were the only rounding.
#ifdef __CUDA_ARCH__
extern "C" __attribute__((device, const, noconvergent)) float canopy_fma_odd_half(float a, float b, float c);
extern "C" __attribute__((device, const, noconvergent)) float canopy_fma_odd_bfloat16(float a, float b, float c);
CANOPY_SMALL float canopy_fma_odd(float a, float b, float c, canopy_half_format) {
  return canopy_fma_odd_half(a, b, c);
}
CANOPY_SMALL float canopy_fma_odd(float a, float b, float c, canopy_bfloat16_format) {
  return canopy_fma_odd_bfloat16(a, b, c);
}
#else
CANOPY_SMALL float canopy_fma_odd(float a, float b, float c, canopy_half_format) {
  float product = a * b, sum = product + c, part = sum - product;  // a product of halves is exact
  float error = (product - (sum - part)) + (c - part);
  int bits = __builtin_bit_cast(int, sum), lost = error > 0 || error < 0;
  int step = (error > 0) == (sum > 0) ? 1 : -1;
  return __builtin_bit_cast(float, bits + (lost & ~bits ? step : 0));
}
CANOPY_SMALL float canopy_fma_odd(float a, float b, float c, canopy_bfloat16_format) {
  double product = (double)a * b, sum = product + c, part = sum - product;  // exact in double
  double error = (product - (sum - part)) + (c - part);
  long long bits = __builtin_bit_cast(long long, sum), lost = error > 0 || error < 0;
  long long step = (error > 0) == (sum > 0) ? 1 : -1;
  sum = __builtin_bit_cast(double, bits + (lost & ~bits ? step : 0));
  float near = (float)sum;
  int small = __builtin_bit_cast(int, near), inexact = near < sum || near > sum;
  int back = (near < sum) == (sum > 0) ? 1 : -1;
  return __builtin_bit_cast(float, small + (inexact & ~small ? back : 0));
}
#endif

// ---- to integers: rounded, and kept within the type's range
CANOPY_SMALL float canopy_rounded(float x, canopy_mode mode) {
  return mode == CANOPY_NEAREST ? __builtin_rintf(x)
         : mode == CANOPY_DOWN  ? __builtin_floorf(x)
         : mode == CANOPY_UP    ? __builtin_ceilf(x)
                                : __builtin_truncf(x);
}
// `above` is one more than the largest; of a NaN comes 0, or with 64 bits the top bit.
template <class T> CANOPY_SMALL T canopy_to_integer(float x, canopy_mode mode) {
  const bool is_signed = (T)-1 < (T)0;
  const int bits = 8 * (int)sizeof(T) - is_signed;
  const float above = (float)(1ull << (bits - 1)) * 2.0f, below = is_signed ? -above : 0.0f;
  const T largest = (T)(~0ull >> (64 - bits)), smallest = (T)(-(T)largest - 1);
  const float whole = canopy_rounded(x, mode);
  if (x != x) return sizeof(T) == 8 ? (T)(1ull << 63) : (T)0;
  if (whole >= above) return largest;
  if (whole <= below) return is_signed ? smallest : (T)0;
  return (T)whole;
}
