// Headers that programs include by name, sizes and alignments of the vector types, complex numbers.
#include <cstdio>
#include <cuComplex.h>
#include <math_constants.h>
#include <library_types.h>
#include <nvToolsExt.h>
#include <nvtx3/nvToolsExt.h>
#include <cuda_profiler_api.h>
#include <vector_functions.hpp>
#include <vector_types.h>
#include <channel_descriptor.h>
#include <crt/host_config.h>
#include <device_launch_parameters.h>
#include <sm_61_intrinsics.h>
#include <type_traits>
static_assert(sizeof(char3) == 3 && alignof(char4) == 4 && alignof(uchar2) == 2 && sizeof(short3) == 6 && alignof(short4) == 8, "");
static_assert(sizeof(float3) == 12 && alignof(float3) == 4 && alignof(float4) == 16 && alignof(int2) == 8 && alignof(double2) == 16 && sizeof(double3) == 24 && alignof(double4) == 16 && alignof(longlong2) == 16 && sizeof(ulong4) == 32, "");
static_assert(std::is_same<decltype(make_uint3(1, 2, 3).x), unsigned int>::value, "");
static_assert(CUDART_VERSION >= 12000 && __CUDACC_VER_MAJOR__ == 12, "");
#ifndef __CUDA_RUNTIME_H__
#error "the runtime's header is not known by its name"
#endif
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
#error "no Ampere"
#endif
struct __device_builtin__ S { int a; };
struct __builtin_align__(16) A16 { float x; };
static_assert(alignof(A16) == 16, "");
__device__ __inline_hint__ int two() { return 2; }
__global__ void k(cuFloatComplex* c, cuDoubleComplex* d, const __grid_constant__ S s) {
  int i = threadIdx.x;
  c[i] = cuCdivf(cuCmulf(c[i], make_cuFloatComplex(i, 1)), cuConjf(c[i]));
  d[i] = cuCadd(make_cuDoubleComplex(cuCabs(d[i]), CUDART_PI), cuComplexFloatToDouble(c[i]));
  d[i].x += s.a + two();
}
int main() {
  cuFloatComplex* c; cuDoubleComplex* d; cudaMallocManaged(&c, 32 * 8); cudaMallocManaged(&d, 32 * 16);
  for (int i = 0; i < 32; i++) { c[i] = make_float2(i + 1, -2); d[i] = make_double2(3e200, 4e200); }
  nvtxRangePush("x"); k<<<1, 32>>>(c, d, S{4}); nvtxRangePop(); cudaProfilerStop();
  cudaDeviceSynchronize();
  bool right = true;
  for (int i = 0; i < 32; i++) {
    cuFloatComplex before = make_float2(i + 1, -2);
    cuFloatComplex e = cuCdivf(cuCmulf(before, make_float2(i, 1)), cuConjf(before));
    right = right && cuCabsf(cuCsubf(c[i], e)) < 1e-5f * cuCabsf(e);
    right = right && fabs(d[i].x / 5e200 - 1) < 1e-14 && fabs(d[i].y - (CUDART_PI + e.y)) < 1e-4;
  }
  right = right && cuCabs(make_double2(0, 0)) == 0 && cuCabsf(make_float2(-CUDART_INF_F, 1)) == CUDART_INF_F;
  right = right && cuCrealf(cuCfmaf(make_float2(1, 2), make_float2(3, 4), make_float2(5, 6))) == 0;
  puts(right ? "PASS" : "FAIL");
}
