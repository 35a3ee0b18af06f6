// Operations of the lanes of a warp: votes, shuffles, matches, reductions. Written for Canopy.
#pragma once

// ---- votes
CANOPY_DEVICE int __any_sync(unsigned int mask, int p) { return __nvvm_vote_any_sync(mask, p); }
CANOPY_DEVICE int __all_sync(unsigned int mask, int p) { return __nvvm_vote_all_sync(mask, p); }
CANOPY_DEVICE int __uni_sync(unsigned int mask, int p) { return __nvvm_vote_uni_sync(mask, p); }
CANOPY_DEVICE unsigned int __ballot_sync(unsigned int mask, int p) { return __nvvm_vote_ballot_sync(mask, p); }
CANOPY_DEVICE unsigned int __activemask() { return __nvvm_activemask(); }

// ---- shuffles
#define CANOPY_SHUFFLE(name, builtin, control)                                                                   \
  CANOPY_DEVICE int name(unsigned int m, int v, int s, int w = 32) {                                             \
    return __nvvm_shfl_sync_##builtin##_i32(m, v, s, (((32 - w) & 31) << 8) | control);                                 \
  }                                                                                                              \
  CANOPY_DEVICE unsigned int name(unsigned int m, unsigned int v, int s, int w = 32) {                           \
    return (unsigned int)name(m, (int)v, s, w);                                                                  \
  }                                                                                                              \
  CANOPY_DEVICE float name(unsigned int m, float v, int s, int w = 32) {                                         \
    return __nvvm_shfl_sync_##builtin##_f32(m, v, s, (((32 - w) & 31) << 8) | control);                                 \
  }                                                                                                              \
  CANOPY_DEVICE long long name(unsigned int m, long long v, int s, int w = 32) {                                 \
    unsigned int low = name(m, (unsigned int)v, s, w);                                                           \
    unsigned int high = name(m, (unsigned int)(v >> 32), s, w);                                                  \
    return (long long)(((unsigned long long)high << 32) | low);                                                  \
  }                                                                                                              \
  CANOPY_DEVICE unsigned long long name(unsigned int m, unsigned long long v, int s, int w = 32) {               \
    return (unsigned long long)name(m, (long long)v, s, w);                                                      \
  }                                                                                                              \
  CANOPY_DEVICE long name(unsigned int m, long v, int s, int w = 32) {                                           \
    return (long)name(m, (long long)v, s, w);                                                                    \
  }                                                                                                              \
  CANOPY_DEVICE unsigned long name(unsigned int m, unsigned long v, int s, int w = 32) {                         \
    return (unsigned long)name(m, (long long)v, s, w);                                                           \
  }                                                                                                              \
  CANOPY_DEVICE double name(unsigned int m, double v, int s, int w = 32) {                                       \
    return __builtin_bit_cast(double, name(m, __builtin_bit_cast(long long, v), s, w));                          \
  }
CANOPY_SHUFFLE(__shfl_sync, idx, 31)
CANOPY_SHUFFLE(__shfl_up_sync, up, 0)
CANOPY_SHUFFLE(__shfl_down_sync, down, 31)
CANOPY_SHUFFLE(__shfl_xor_sync, bfly, 31)
#undef CANOPY_SHUFFLE

// ---- lanes that hold the same value
#define CANOPY_MATCH(T, bits, W)                                                                                 \
  CANOPY_DEVICE unsigned int __match_any_sync(unsigned int mask, T v) {                                          \
    return __nvvm_match_any_sync_i##bits(mask, __builtin_bit_cast(W, v));                                        \
  }                                                                                                              \
  CANOPY_DEVICE unsigned int __match_all_sync(unsigned int mask, T v, int* all) {                                \
    *all = __match_any_sync(mask, v) == mask;                                                                    \
    return *all ? mask : 0;                                                                                      \
  }
CANOPY_MATCH(int, 32, unsigned int)
CANOPY_MATCH(unsigned int, 32, unsigned int)
CANOPY_MATCH(float, 32, unsigned int)
CANOPY_MATCH(long, 64, unsigned long long)
CANOPY_MATCH(unsigned long, 64, unsigned long long)
CANOPY_MATCH(long long, 64, unsigned long long)
CANOPY_MATCH(unsigned long long, 64, unsigned long long)
CANOPY_MATCH(double, 64, unsigned long long)
#undef CANOPY_MATCH

// ---- reductions
#define CANOPY_REDUCE(kind, T, builtin)                                                                          \
  CANOPY_DEVICE T __reduce_##kind##_sync(unsigned int mask, T v) {                                               \
    return (T)__nvvm_redux_sync_##builtin(v, mask);                                                              \
  }
CANOPY_REDUCE(add, int, add)
CANOPY_REDUCE(add, unsigned int, add)
CANOPY_REDUCE(min, int, min)
CANOPY_REDUCE(min, unsigned int, umin)
CANOPY_REDUCE(max, int, max)
CANOPY_REDUCE(max, unsigned int, umax)
CANOPY_REDUCE(and, unsigned int, and)
CANOPY_REDUCE(or, unsigned int, or)
CANOPY_REDUCE(xor, unsigned int, xor)
#undef CANOPY_REDUCE

// ---- the forms without _sync, of the lanes that are active
CANOPY_DEVICE int __any(int p) { return __any_sync(0xffffffffu, p); }
CANOPY_DEVICE int __all(int p) { return __all_sync(0xffffffffu, p); }
CANOPY_DEVICE unsigned int __ballot(int p) { return __ballot_sync(0xffffffffu, p); }
#define CANOPY_OLD_SHUFFLE(name)                                                                                 \
  template <typename T> CANOPY_DEVICE auto name(T v, int s, int w = 32)->decltype(name##_sync(~0u, v, s, w)) {   \
    return name##_sync(~0u, v, s, w);                                                                            \
  }
CANOPY_OLD_SHUFFLE(__shfl)
CANOPY_OLD_SHUFFLE(__shfl_up)
CANOPY_OLD_SHUFFLE(__shfl_down)
CANOPY_OLD_SHUFFLE(__shfl_xor)
#undef CANOPY_OLD_SHUFFLE
