// Loads and stores with a cache hint, prefetches, and kinds of addresses. Written for Canopy.
#pragma once

#define CANOPY_LOAD(name)                                                                                        \
  template <class T> CANOPY_DEVICE T name(const T* p) { return *p; }
CANOPY_LOAD(__ldg) CANOPY_LOAD(__ldca) CANOPY_LOAD(__ldcg) CANOPY_LOAD(__ldcs) CANOPY_LOAD(__ldlu)
template <class T> CANOPY_DEVICE T __ldcv(const T* p) { return *const_cast<const T*>(p); }
#undef CANOPY_LOAD
template <class T> struct canopy_same { typedef T type; };
#define CANOPY_STORE(name)                                                                                       \
  template <class T> CANOPY_DEVICE void name(T* p, typename canopy_same<T>::type value) { *p = value; }
CANOPY_STORE(__stwb) CANOPY_STORE(__stcg) CANOPY_STORE(__stcs) CANOPY_STORE(__stwt)
#undef CANOPY_STORE

CANOPY_DEVICE void __prefetch_global_l1(const void*) {}
CANOPY_DEVICE void __prefetch_global_l2(const void*) {}

// A shared address, as inline PTX takes it, is a distance of at most 32 bits from the block's memory.
extern "C" __attribute__((device)) long long __canopy_to_shared(const void*);
extern "C" __attribute__((device)) void* __canopy_from_shared(long long);
CANOPY_DEVICE size_t __cvta_generic_to_shared(const void* p) { return (unsigned int)__canopy_to_shared(p); }
CANOPY_DEVICE void* __cvta_shared_to_generic(size_t address) { return __canopy_from_shared((int)address); }
CANOPY_DEVICE size_t __cvta_generic_to_global(const void* p) { return (size_t)p; }
CANOPY_DEVICE void* __cvta_global_to_generic(size_t address) { return (void*)address; }
CANOPY_DEVICE size_t __cvta_generic_to_local(const void* p) { return (size_t)p; }
CANOPY_DEVICE void* __cvta_local_to_generic(size_t address) { return (void*)address; }
CANOPY_DEVICE size_t __cvta_generic_to_constant(const void* p) { return (size_t)p; }
CANOPY_DEVICE void* __cvta_constant_to_generic(size_t address) { return (void*)address; }
