// half, bfloat16 and fp8: host and device agree bit for bit; shuffles, shared memory, atomics on halves.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <type_traits>
#include <vector>

#define REQUIRE(what)                         \
  if (!(what)) {                              \
    printf("line %d: %s\n", __LINE__, #what); \
    exit(1);                                  \
  }

template <class T> static T* managed(size_t n) {
  T* p;
  REQUIRE(cudaMallocManaged(&p, n * sizeof(T)) == cudaSuccess);
  return p;
}
static void finish() { REQUIRE(cudaDeviceSynchronize() == cudaSuccess); }

// Bits of the results of one pair of numbers, here and in a kernel.
template <class T> __host__ __device__ void results(T a, T b, float x, unsigned short* out) {
  T all[6] = {a + b, a / b, __hfma(a, b, a), __hmax(a, b), T(x), T((double)x)};
  for (int i = 0; i < 6; i++) out[i] = ((__half_raw*)all)[i].x;
}
__host__ __device__ void roundings(float x, unsigned short* out) {
  out[0] = __half_as_ushort(__float2half_rd(x));
  out[1] = __bfloat16_as_ushort(__float2bfloat16_ru(x));
  out[2] = __nv_fp8_e4m3(x).__x;
  out[3] = __nv_fp8_e5m2(x).__x;
  out[4] = (unsigned short)__half2int_rz(__half(x));
}
template <class T> __global__ void compute(int n, const T* a, const float* x, unsigned short* out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  results(a[2 * i], a[2 * i + 1], x[i], out + 6 * i);
}
__global__ void round_off(int n, const float* x, unsigned short* out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) roundings(x[i], out + 5 * i);
}

static float* some_floats(int n) {
  float* x = managed<float>(n);
  for (int i = 0; i < n; i++) {
    unsigned bits = (unsigned)rand() * 2654435761u;
    if (i % 2) bits = 0x38000000u + bits % 0x10000000u;
    memcpy(x + i, &bits, 4);
    if (x[i] != x[i]) x[i] = i;
  }
  return x;
}

template <class T> static void arithmetic_agrees() {
  const int n = 5000;
  T* a = managed<T>(2 * n);
  float* x = some_floats(n);
  unsigned short *out = managed<unsigned short>(6 * n), here[6];
  for (int i = 0; i < 2 * n; i++) a[i] = __builtin_bit_cast(T, (unsigned short)(i % 2 ? rand() : 0x3c00 + rand() % 3000));
  compute<<<(n + 127) / 128, 128>>>(n, a, x, out);
  finish();
  for (int i = 0; i < n; i++) {
    results(a[2 * i], a[2 * i + 1], x[i], here);
    for (int j = 0; j < 6; j++) {
      T one = __builtin_bit_cast(T, here[j]), other = __builtin_bit_cast(T, out[6 * i + j]);
      REQUIRE(here[j] == out[6 * i + j] || (__hisnan(one) && __hisnan(other)));
    }
  }
}

static void roundings_agree() {
  const int n = 5000;
  float* x = some_floats(n);
  unsigned short *out = managed<unsigned short>(5 * n), here[5];
  round_off<<<(n + 127) / 128, 128>>>(n, x, out);
  finish();
  for (int i = 0; i < n; i++) {
    roundings(x[i], here);
    REQUIRE(!memcmp(here, out + 5 * i, sizeof here));
  }
}

// A dot product as people write it: two at a time, shuffles within a warp, an atomic at the end.
template <class T, class T2> __global__ void dot(const T2* a, const T2* b, int n, float* sum, T* rough, T2* both) {
  __shared__ T2 staged[128];
  T2 part(T(0.0f), T(0.0f));
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) part = __hfma2(a[i], b[i], part);
  staged[threadIdx.x] = part;
  __syncthreads();
  part = staged[threadIdx.x ^ 1];
  for (int offset = 16; offset > 0; offset /= 2) part += __shfl_down_sync(0xffffffff, part, offset);
  T first = __shfl_sync(0xffffffff, part.x, 0);
  if (threadIdx.x % 32 == 0) {
    atomicAdd(sum, __low2float(part) + __high2float(part));
    atomicAdd(rough, first == part.x ? T(1.0f) : T(100.0f));
    atomicAdd(rough + 1, T(2));
    atomicAdd(both, T2(T(1.0f), T(0.5f)));
  }
}

template <class T, class T2> static void dot_is_right() {
  const int n = 1000;
  T2 *a = managed<T2>(n), *b = managed<T2>(n), *both = managed<T2>(1);
  T* rough = managed<T>(2);
  float* sum = managed<float>(1);
  double expected = 0;
  for (int i = 0; i < n; i++) {
    a[i] = T2(T(rand() % 2), T(-(rand() % 2)));
    b[i] = T2(T(rand() % 2), T(rand() % 2));
    expected += (double)(float)a[i].x * (float)b[i].x + (double)(float)a[i].y * (float)b[i].y;
  }
  *sum = 0;
  rough[0] = rough[1] = T(0);
  *both = T2(T(0), T(0));
  dot<<<2, 128>>>(a, b, n, sum, rough, both);
  finish();
  REQUIRE(*sum == expected);  // sums of at most 128: exact in every order
  REQUIRE((float)rough[0] == 8 && (float)rough[1] == 16 && both->x == T(8.0f) && both->y == T(4.0f));
}

__global__ void quantize(const float4* x, __nv_fp8x4_e4m3* packed, float4* back, int n) {
  int i = threadIdx.x;
  if (i >= n) return;
  packed[i] = __nv_fp8x4_e4m3(x[i]);
  back[i] = float4(packed[i]);
}

static void fp8_packs() {
  float4 *x = managed<float4>(32), *back = managed<float4>(32);
  auto* packed = managed<__nv_fp8x4_e4m3>(32);
  for (int i = 0; i < 32; i++) x[i] = make_float4(i, -i / 8.0f, 1000, 1.0f / (i + 1));
  quantize<<<1, 32>>>(x, packed, back, 32);
  finish();
  for (int i = 0; i < 32; i++) {
    REQUIRE(back[i].x == float(__nv_fp8_e4m3(x[i].x)) && back[i].y == float(__nv_fp8_e4m3(x[i].y)));
    REQUIRE(back[i].z == 448 && back[i].w == float(__nv_fp8_e4m3(x[i].w)));
    REQUIRE((packed[i].__x & 0xff) == __nv_fp8_e4m3(x[i].x).__x);
  }
}

int main() {
  static_assert(sizeof(half) == 2 && sizeof(half2) == 4 && alignof(half2) == 4 && sizeof(__nv_fp8_e5m2) == 1, "");
  static_assert(std::is_trivially_default_constructible<__half2>::value, "usable as __shared__");
  srand(3);
  half2 pair = __floats2half2_rn(1.5f, -2.0f);
  half h = 3;
  h += pair.x;
  REQUIRE((float)h == 4.5f && __half2float(__high2half(pair)) == -2 && __half2int_rd(h) == 4 && h > pair.x);
  REQUIRE(__hbeq2(__lowhigh2highlow(pair), make_half2(half(-2.0), half(1.5))) && __half_as_short(half(-0.0f)) == -32768);
  roundings_agree();
  arithmetic_agrees<__half>();
  arithmetic_agrees<__nv_bfloat16>();
  dot_is_right<__half, __half2>();
  dot_is_right<nv_bfloat16, nv_bfloat162>();
  fp8_packs();
  printf("PASS\n");
}
