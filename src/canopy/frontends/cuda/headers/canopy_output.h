// What kernels say to the outside, and what they ask of it. Written for Canopy.
// assert comes from the C library's header, which calls __assert_fail.
#pragma once

// None of these is marked as not returning: threads that go on are threads like others to the compiler.
extern "C" __attribute__((device)) void canopy_assert(const char* assertion, const char* file, unsigned int line,
                                                      const char* function);
extern "C" __attribute__((device)) void canopy_trap();
extern "C" __attribute__((device)) void canopy_sleep(unsigned int nanoseconds);

// Device code sees these, host code those of the C library.
extern "C" __attribute__((device)) int printf(const char* format, ...);
extern "C" __attribute__((device)) int vprintf(const char* format, const char* values);
extern "C" __attribute__((device)) void* malloc(size_t bytes);
extern "C" __attribute__((device)) void free(void* pointer);
extern "C" __attribute__((device, always_inline)) inline void __assert_fail(const char* assertion, const char* file,
                                                                            unsigned int line, const char* function) {
  canopy_assert(assertion, file, line, function);
}
extern "C" __attribute__((device, always_inline)) inline void __assertfail(const char* assertion, const char* file,
                                                                           unsigned int line, const char* function,
                                                                           size_t) {
  canopy_assert(assertion, file, line, function);
}
extern "C" __attribute__((device, always_inline)) inline void abort() { canopy_trap(); }
CANOPY_DEVICE void __trap() { canopy_trap(); }
CANOPY_DEVICE void __brkpt() { canopy_trap(); }
CANOPY_DEVICE void __nanosleep(unsigned int nanoseconds) { canopy_sleep(nanoseconds); }
CANOPY_DEVICE long long clock64() { return __nvvm_read_ptx_sreg_clock64(); }
extern "C" __attribute__((device, always_inline)) inline long clock() { return __nvvm_read_ptx_sreg_clock64(); }

#define CANOPY_NEW(name)                                                                                         \
  __attribute__((device, always_inline)) inline void* operator name(size_t bytes) { return malloc(bytes); }      \
  __attribute__((device, always_inline)) inline void* operator name(size_t, void* place) noexcept { return place; }
#define CANOPY_DELETE(name)                                                                                      \
  __attribute__((device, always_inline)) inline void operator name(void* pointer) noexcept { free(pointer); }    \
  __attribute__((device, always_inline)) inline void operator name(void* pointer, size_t) noexcept {             \
    free(pointer);                                                                                               \
  }                                                                                                              \
  __attribute__((device, always_inline)) inline void operator name(void*, void*) noexcept {}
CANOPY_NEW(new)
CANOPY_NEW(new[])
CANOPY_DELETE(delete)
CANOPY_DELETE(delete[])
#undef CANOPY_NEW
#undef CANOPY_DELETE
