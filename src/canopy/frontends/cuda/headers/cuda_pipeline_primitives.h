// Asynchronous copies of one thread: done when they return, so that there is nothing to wait for. For Canopy.
#pragma once

#include "cuda_runtime.h"

#ifdef __CUDACC__
CANOPY_DEVICE void __pipeline_memcpy_async(void* shared, const void* global, size_t size, size_t zeros = 0) {
  size_t copied = zeros > size ? 0 : size - zeros;
  if (zeros == 0 && size == 16) {
    *(int4*)shared = *(const int4*)global;
  } else if (zeros == 0 && size == 8) {
    *(int2*)shared = *(const int2*)global;
  } else if (zeros == 0 && size == 4) {
    *(int*)shared = *(const int*)global;
  } else {
    for (size_t at = 0; at < size; at++) ((char*)shared)[at] = at < copied ? ((const char*)global)[at] : 0;
  }
}
CANOPY_DEVICE void __pipeline_commit() {}
CANOPY_DEVICE void __pipeline_wait_prior(size_t) {}
#endif
