// Intrinsics of integers and bits. Written for Canopy.
#pragma once

CANOPY_DEVICE int __popc(unsigned int x) { return __builtin_popcount(x); }
CANOPY_DEVICE int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
CANOPY_DEVICE int __clz(int x) { return x ? __builtin_clz((unsigned int)x) : 32; }
CANOPY_DEVICE int __clzll(long long x) { return x ? __builtin_clzll((unsigned long long)x) : 64; }
CANOPY_DEVICE int __ffs(int x) { return x ? __builtin_ctz((unsigned int)x) + 1 : 0; }
CANOPY_DEVICE int __ffsll(long long x) { return x ? __builtin_ctzll((unsigned long long)x) + 1 : 0; }
CANOPY_DEVICE unsigned int __brev(unsigned int x) { return __builtin_bitreverse32(x); }
CANOPY_DEVICE unsigned long long __brevll(unsigned long long x) { return __builtin_bitreverse64(x); }
CANOPY_DEVICE unsigned int __fns(unsigned int mask, unsigned int base, int offset) {
  if (offset == 0) return base < 32 && (mask >> base & 1) ? base : 0xffffffffu;
  int found = 0, step = offset < 0 ? -1 : 1;
  for (int bit = (int)base; bit >= 0 && bit < 32; bit += step) {
    found += (int)(mask >> bit & 1);
    if (found == offset * step) return (unsigned int)bit;
  }
  return 0xffffffffu;
}

CANOPY_LIBDEVICE int __nv_mulhi(int, int);
CANOPY_LIBDEVICE unsigned int __nv_umulhi(unsigned int, unsigned int);
CANOPY_LIBDEVICE long long __nv_mul64hi(long long, long long);
CANOPY_LIBDEVICE unsigned long long __nv_umul64hi(unsigned long long, unsigned long long);
CANOPY_DEVICE int __mulhi(int a, int b) { return __nv_mulhi(a, b); }
CANOPY_DEVICE unsigned int __umulhi(unsigned int a, unsigned int b) { return __nv_umulhi(a, b); }
CANOPY_DEVICE long long __mul64hi(long long a, long long b) { return __nv_mul64hi(a, b); }
CANOPY_DEVICE unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
  return __nv_umul64hi(a, b);
}
CANOPY_DEVICE int mulhi(int a, int b) { return __nv_mulhi(a, b); }
CANOPY_DEVICE unsigned int mulhi(unsigned int a, unsigned int b) { return __nv_umulhi(a, b); }
CANOPY_DEVICE long long mul64hi(long long a, long long b) { return __nv_mul64hi(a, b); }
CANOPY_DEVICE unsigned long long mul64hi(unsigned long long a, unsigned long long b) {
  return __nv_umul64hi(a, b);
}
CANOPY_DEVICE int __mul24(int a, int b) {
  return (int)((unsigned int)((int)((unsigned int)a << 8) >> 8) * (unsigned int)((int)((unsigned int)b << 8) >> 8));
}
CANOPY_DEVICE unsigned int __umul24(unsigned int a, unsigned int b) { return (a & 0xffffff) * (b & 0xffffff); }
CANOPY_DEVICE int mul24(int a, int b) { return __mul24(a, b); }
CANOPY_DEVICE unsigned int umul24(unsigned int a, unsigned int b) { return __umul24(a, b); }
CANOPY_DEVICE unsigned int __sad(int a, int b, unsigned int c) {
  return c + (a > b ? (unsigned int)a - (unsigned int)b : (unsigned int)b - (unsigned int)a);
}
CANOPY_DEVICE unsigned int __usad(unsigned int a, unsigned int b, unsigned int c) {
  return c + (a > b ? a - b : b - a);
}
CANOPY_DEVICE int __hadd(int a, int b) { return (a & b) + ((a ^ b) >> 1); }
CANOPY_DEVICE int __rhadd(int a, int b) { return (a | b) - ((a ^ b) >> 1); }
CANOPY_DEVICE unsigned int __uhadd(unsigned int a, unsigned int b) { return (a & b) + ((a ^ b) >> 1); }
CANOPY_DEVICE unsigned int __urhadd(unsigned int a, unsigned int b) { return (a | b) - ((a ^ b) >> 1); }

CANOPY_DEVICE unsigned int __byte_perm(unsigned int x, unsigned int y, unsigned int s) {
  unsigned long long both = (unsigned long long)y << 32 | x;
  unsigned int r = 0;
#pragma unroll
  for (int k = 0; k < 4; k++) r |= (unsigned int)(both >> (s >> 4 * k & 7) * 8 & 0xff) << 8 * k;
  return r;
}
CANOPY_DEVICE unsigned int __funnelshift_l(unsigned int low, unsigned int high, unsigned int n) {
  return (unsigned int)(((unsigned long long)high << 32 | low) << (n & 31) >> 32);
}
CANOPY_DEVICE unsigned int __funnelshift_lc(unsigned int low, unsigned int high, unsigned int n) {
  return n < 32 ? __funnelshift_l(low, high, n) : low;
}
CANOPY_DEVICE unsigned int __funnelshift_r(unsigned int low, unsigned int high, unsigned int n) {
  return (unsigned int)(((unsigned long long)high << 32 | low) >> (n & 31));
}
CANOPY_DEVICE unsigned int __funnelshift_rc(unsigned int low, unsigned int high, unsigned int n) {
  return n < 32 ? __funnelshift_r(low, high, n) : high;
}

// ---- products of bytes and half words
#define CANOPY_DP4A(R, B, bytes)                                                                                 \
  CANOPY_DEVICE R __dp4a(R a, R b, R c) {                                                                        \
    _Pragma("unroll") for (int k = 0; k < 32; k += 8) c += (R)(B)(a >> k) * (R)(B)(b >> k);                      \
    return c;                                                                                                    \
  }                                                                                                              \
  CANOPY_DEVICE R __dp4a(bytes a, bytes b, R c) {                                                                \
    return c + (R)a.x * (R)b.x + (R)a.y * (R)b.y + (R)a.z * (R)b.z + (R)a.w * (R)b.w;                            \
  }
#define CANOPY_DP2A(R, H, B, halves, bytes)                                                                      \
  CANOPY_DEVICE R __dp2a_lo(R a, R b, R c) {                                                                     \
    return c + (R)(H)a * (R)(B)b + (R)(H)(a >> 16) * (R)(B)(b >> 8);                                             \
  }                                                                                                              \
  CANOPY_DEVICE R __dp2a_hi(R a, R b, R c) {                                                                     \
    return c + (R)(H)a * (R)(B)(b >> 16) + (R)(H)(a >> 16) * (R)(B)(b >> 24);                                    \
  }                                                                                                              \
  CANOPY_DEVICE R __dp2a_lo(halves a, bytes b, R c) { return c + (R)a.x * (R)b.x + (R)a.y * (R)b.y; }            \
  CANOPY_DEVICE R __dp2a_hi(halves a, bytes b, R c) { return c + (R)a.x * (R)b.z + (R)a.y * (R)b.w; }
CANOPY_DP4A(int, signed char, char4)
CANOPY_DP4A(unsigned int, unsigned char, uchar4)
CANOPY_DP2A(int, short, signed char, short2, char4)
CANOPY_DP2A(unsigned int, unsigned short, unsigned char, ushort2, uchar4)
#undef CANOPY_DP4A
#undef CANOPY_DP2A
