// What the programs of this folder share. A program ends at the first check that fails.
#pragma once
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <cuda_runtime.h>

#define CHECK(condition)                                        \
  do {                                                          \
    if (!(condition)) {                                         \
      printf("line %d: %s\n", __LINE__, #condition);            \
      fflush(stdout);                                           \
      _Exit(1);                                                 \
    }                                                           \
  } while (0)
#define OK(call) CHECK((call) == cudaSuccess)
#define FAILS(code, call)                       \
  do {                                          \
    CHECK((call) == code);                      \
    CHECK(cudaPeekAtLastError() == code);       \
    CHECK(cudaGetLastError() == code);          \
    CHECK(cudaGetLastError() == cudaSuccess);   \
  } while (0)

template <class T> __global__ void fill(T* p, T value, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) p[i] = value;
}
template <class T> __global__ void add(T* p, T value, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) p[i] += value;
}
// Adds after a while, so that work which does not wait for it reads the old value.
static __global__ void add_late(int* p, int value, int turns) {
  unsigned int state = threadIdx.x + 1;
  for (int i = 0; i < turns; i++) state = state * 1664525u + 1013904223u;
  *p += value + (state == 0x12345678u && turns < 0);
}
