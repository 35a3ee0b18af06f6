// Atomic functions, for blocks (_block), the device, and the system (_system). Written for Canopy.
// Fences order memory, these do not: they are relaxed, as CUDA says.
#pragma once

#define CANOPY_ATOMIC(name, T, expression)                                                                       \
  CANOPY_DEVICE T name(T* p, T v) { return expression; }                                                         \
  CANOPY_DEVICE T name##_block(T* p, T v) { return expression; }                                                 \
  CANOPY_DEVICE T name##_system(T* p, T v) { return expression; }
#define CANOPY_FETCH(name, T, kind)                                                                              \
  CANOPY_ATOMIC(name, T, __scoped_atomic_##kind(p, v, __ATOMIC_RELAXED, __MEMORY_SCOPE_DEVICE))
#define CANOPY_FETCH_INTEGERS(name, kind)                                                                        \
  CANOPY_FETCH(name, int, kind)                                                                                  \
  CANOPY_FETCH(name, unsigned int, kind)                                                                         \
  CANOPY_FETCH(name, long long, kind)                                                                            \
  CANOPY_FETCH(name, unsigned long long, kind)
CANOPY_FETCH_INTEGERS(atomicAdd, fetch_add)
CANOPY_FETCH(atomicAdd, float, fetch_add)
CANOPY_FETCH(atomicAdd, double, fetch_add)
CANOPY_FETCH_INTEGERS(atomicSub, fetch_sub)
CANOPY_FETCH_INTEGERS(atomicAnd, fetch_and)
CANOPY_FETCH_INTEGERS(atomicOr, fetch_or)
CANOPY_FETCH_INTEGERS(atomicXor, fetch_xor)
CANOPY_FETCH_INTEGERS(atomicMin, fetch_min)
CANOPY_FETCH_INTEGERS(atomicMax, fetch_max)
CANOPY_FETCH_INTEGERS(atomicExch, exchange_n)
CANOPY_ATOMIC(atomicInc, unsigned int, __nvvm_atom_inc_gen_ui(p, v))
CANOPY_ATOMIC(atomicDec, unsigned int, __nvvm_atom_dec_gen_ui(p, v))
#define CANOPY_EXCHANGE_AS(T, W)                                                                                 \
  CANOPY_ATOMIC(atomicExch, T, __builtin_bit_cast(T, atomicExch((W*)p, __builtin_bit_cast(W, v))))
CANOPY_EXCHANGE_AS(float, unsigned int)
CANOPY_EXCHANGE_AS(double, unsigned long long)

#define CANOPY_SWAP(name, T)                                                                                     \
  CANOPY_DEVICE T name(T* p, T expected, T desired) { return __sync_val_compare_and_swap(p, expected, desired); }
#define CANOPY_SWAPS(T)                                                                                          \
  CANOPY_SWAP(atomicCAS, T)                                                                                      \
  CANOPY_SWAP(atomicCAS_block, T)                                                                                \
  CANOPY_SWAP(atomicCAS_system, T)
CANOPY_SWAPS(unsigned short)
CANOPY_SWAPS(int)
CANOPY_SWAPS(unsigned int)
CANOPY_SWAPS(long long)
CANOPY_SWAPS(unsigned long long)

#undef CANOPY_SWAPS
#undef CANOPY_SWAP
#undef CANOPY_EXCHANGE_AS
#undef CANOPY_FETCH_INTEGERS
#undef CANOPY_FETCH
#undef CANOPY_ATOMIC

CANOPY_DEVICE float2 atomicAdd(float2* p, float2 v) { return {atomicAdd(&p->x, v.x), atomicAdd(&p->y, v.y)}; }
CANOPY_DEVICE float4 atomicAdd(float4* p, float4 v) {
  return {atomicAdd(&p->x, v.x), atomicAdd(&p->y, v.y), atomicAdd(&p->z, v.z), atomicAdd(&p->w, v.w)};
}
