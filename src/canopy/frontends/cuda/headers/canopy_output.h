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
#define CANOPY_BYTES(name, T)                                                                                    \
  extern "C" __attribute__((device, always_inline)) inline void* name(void* to, T with, size_t bytes) {          \
    return __builtin_##name(to, with, bytes);                                                                    \
  }
CANOPY_BYTES(memcpy, const void*)
CANOPY_BYTES(memmove, const void*)
CANOPY_BYTES(memset, int)
#undef CANOPY_BYTES
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

// Not inline: clang wants replacements of these to be none.
#define CANOPY_OPERATOR __attribute__((device, weak))
#define CANOPY_NEW(name)                                                                                         \
  CANOPY_OPERATOR void* operator name(size_t bytes) { return malloc(bytes); }                                    \
  CANOPY_OPERATOR void* operator name(size_t, void* place) noexcept { return place; }
#define CANOPY_DELETE(name)                                                                                      \
  CANOPY_OPERATOR void operator name(void* pointer) noexcept { free(pointer); }                                  \
  CANOPY_OPERATOR void operator name(void* pointer, size_t) noexcept { free(pointer); }                          \
  CANOPY_OPERATOR void operator name(void*, void*) noexcept {}
CANOPY_NEW(new)
CANOPY_NEW(new[])
CANOPY_DELETE(delete)
CANOPY_DELETE(delete[])
#undef CANOPY_NEW
#undef CANOPY_DELETE
#undef CANOPY_OPERATOR
