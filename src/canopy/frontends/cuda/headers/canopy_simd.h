// Two half words or four bytes in one word: CUDA's SIMD intrinsics. Written for Canopy.
#pragma once

// In an expression sa, sb are a lane as a signed number, ua, ub as an unsigned one; low and high are the ends
// of the signed range.
#define CANOPY_EACH_LANE(bits, S, U, statement)                                                                  \
  const int low = -(1 << (bits - 1)), high = (1 << (bits - 1)) - 1, most = (1 << bits) - 1;                      \
  (void)low, (void)high, (void)most;                                                                             \
  _Pragma("unroll") for (int k = 0; k < 32; k += bits) {                                                         \
    int sa = (S)(a >> k), ua = (U)(a >> k), sb = (S)(b >> k), ub = (U)(b >> k);                                  \
    (void)sa, (void)ua, (void)sb, (void)ub;                                                                      \
    statement;                                                                                                   \
  }
#define CANOPY_LANEWISE(name, bits, S, U, expression)                                                            \
  CANOPY_DEVICE unsigned int name(unsigned int a, unsigned int b) {                                              \
    unsigned int r = 0;                                                                                          \
    CANOPY_EACH_LANE(bits, S, U, r |= (unsigned int)(U)(expression) << k)                                        \
    return r;                                                                                                    \
  }
#define CANOPY_LANEWISE_UNARY(name, bits, S, U, expression)                                                      \
  CANOPY_DEVICE unsigned int name(unsigned int a) {                                                              \
    unsigned int r = 0, b = 0;                                                                                   \
    CANOPY_EACH_LANE(bits, S, U, r |= (unsigned int)(U)(expression) << k)                                        \
    return r;                                                                                                    \
  }
#define CANOPY_LANE_SUM(name, bits, S, U, expression)                                                            \
  CANOPY_DEVICE unsigned int name(unsigned int a, unsigned int b) {                                              \
    unsigned int r = 0;                                                                                          \
    CANOPY_EACH_LANE(bits, S, U, r += (unsigned int)(expression))                                                \
    return r;                                                                                                    \
  }
#define CANOPY_UNARY(name, expression)                                                                           \
  CANOPY_LANEWISE_UNARY(name##2, 16, short, unsigned short, expression)                                          \
  CANOPY_LANEWISE_UNARY(name##4, 8, signed char, unsigned char, expression)
#define CANOPY_BINARY(name, expression)                                                                          \
  CANOPY_LANEWISE(name##2, 16, short, unsigned short, expression)                                                \
  CANOPY_LANEWISE(name##4, 8, signed char, unsigned char, expression)
#define CANOPY_SUM(name, expression)                                                                             \
  CANOPY_LANE_SUM(name##2, 16, short, unsigned short, expression)                                                \
  CANOPY_LANE_SUM(name##4, 8, signed char, unsigned char, expression)
#define CANOPY_COMPARISON(name, condition)                                                                       \
  CANOPY_BINARY(__vcmp##name, (condition) ? -1 : 0)                                                              \
  CANOPY_BINARY(__vset##name, (condition) ? 1 : 0)
#define CANOPY_CLIPPED(x) ((x) < low ? low : (x) > high ? high : (x))

CANOPY_UNARY(__vabs, sa < 0 ? -sa : sa)
CANOPY_UNARY(__vabsss, sa == low ? high : sa < 0 ? -sa : sa)
CANOPY_UNARY(__vneg, -sa)
CANOPY_UNARY(__vnegss, sa == low ? high : -sa)
CANOPY_BINARY(__vabsdiffs, sa > sb ? sa - sb : sb - sa)
CANOPY_BINARY(__vabsdiffu, ua > ub ? ua - ub : ub - ua)
CANOPY_BINARY(__vadd, ua + ub)
CANOPY_BINARY(__vaddss, CANOPY_CLIPPED(sa + sb))
CANOPY_BINARY(__vaddus, ua + ub > most ? most : ua + ub)
CANOPY_BINARY(__vsub, ua - ub)
CANOPY_BINARY(__vsubss, CANOPY_CLIPPED(sa - sb))
CANOPY_BINARY(__vsubus, ua < ub ? 0 : ua - ub)
CANOPY_BINARY(__vavgs, (sa + sb + (sa + sb >= 0)) >> 1)
CANOPY_BINARY(__vavgu, (ua + ub + 1) >> 1)
CANOPY_BINARY(__vhaddu, (ua + ub) >> 1)
CANOPY_BINARY(__vmaxs, sa > sb ? sa : sb)
CANOPY_BINARY(__vmaxu, ua > ub ? ua : ub)
CANOPY_BINARY(__vmins, sa < sb ? sa : sb)
CANOPY_BINARY(__vminu, ua < ub ? ua : ub)
CANOPY_SUM(__vsads, sa > sb ? sa - sb : sb - sa)
CANOPY_SUM(__vsadu, ua > ub ? ua - ub : ub - ua)
CANOPY_COMPARISON(eq, ua == ub)
CANOPY_COMPARISON(ne, ua != ub)
CANOPY_COMPARISON(ges, sa >= sb)
CANOPY_COMPARISON(geu, ua >= ub)
CANOPY_COMPARISON(gts, sa > sb)
CANOPY_COMPARISON(gtu, ua > ub)
CANOPY_COMPARISON(les, sa <= sb)
CANOPY_COMPARISON(leu, ua <= ub)
CANOPY_COMPARISON(lts, sa < sb)
CANOPY_COMPARISON(ltu, ua < ub)

// ---- minima and maxima of sums and of three numbers
#define CANOPY_EXTREMES(R, type)                                                                                 \
  CANOPY_DEVICE R __vimax3_##type(R a, R b, R c) { return max(max(a, b), c); }                                   \
  CANOPY_DEVICE R __vimin3_##type(R a, R b, R c) { return min(min(a, b), c); }                                   \
  CANOPY_DEVICE R __viaddmax_##type(R a, R b, R c) { return max((R)((unsigned int)a + (unsigned int)b), c); }    \
  CANOPY_DEVICE R __viaddmin_##type(R a, R b, R c) { return min((R)((unsigned int)a + (unsigned int)b), c); }    \
  CANOPY_DEVICE R __vibmax_##type(R a, R b, bool* first) { return (*first = a >= b) ? a : b; }                   \
  CANOPY_DEVICE R __vibmin_##type(R a, R b, bool* first) { return (*first = a <= b) ? a : b; }
CANOPY_EXTREMES(int, s32)
CANOPY_EXTREMES(unsigned int, u32)
#undef CANOPY_EXTREMES
CANOPY_DEVICE int __vimax_s32_relu(int a, int b) { return max(max(a, b), 0); }
CANOPY_DEVICE int __vimin_s32_relu(int a, int b) { return max(min(a, b), 0); }
CANOPY_DEVICE int __vimax3_s32_relu(int a, int b, int c) { return max(__vimax3_s32(a, b, c), 0); }
CANOPY_DEVICE int __vimin3_s32_relu(int a, int b, int c) { return max(__vimin3_s32(a, b, c), 0); }
CANOPY_DEVICE int __viaddmax_s32_relu(int a, int b, int c) { return max(__viaddmax_s32(a, b, c), 0); }
CANOPY_DEVICE int __viaddmin_s32_relu(int a, int b, int c) { return max(__viaddmin_s32(a, b, c), 0); }

#undef CANOPY_EACH_LANE
#undef CANOPY_LANEWISE
#undef CANOPY_LANEWISE_UNARY
#undef CANOPY_LANE_SUM
#undef CANOPY_UNARY
#undef CANOPY_BINARY
#undef CANOPY_SUM
#undef CANOPY_COMPARISON
#undef CANOPY_CLIPPED
