// Layers in half precision: rotary embedding and SwiGLU on half2, RMS norm in bfloat16, a half dot with float sums.
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cmath>
#include <cstdio>
#include <cstdlib>

__global__ void rope(half2 *x, const float *freq, int tokens, int pairs) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= tokens * pairs) return;
  float s, c;
  __sincosf((i / pairs) * freq[i % pairs], &s, &c);
  half2 cos2 = __float2half2_rn(c), sin2 = __floats2half2_rn(-s, s);
  half2 v = x[i];
  x[i] = __hfma2(v, cos2, __hmul2(__lowhigh2highlow(v), sin2));
}

__global__ void swiglu(__half *out, const __half *gate, const __half *up, int n) {
  int i = (blockIdx.x * blockDim.x + threadIdx.x) * 2;
  if (i + 1 < n) {
    float2 g = __half22float2(*reinterpret_cast<const half2 *>(gate + i)), u = __half22float2(*(const half2 *)(up + i));
    g.x = g.x / (1.0f + __expf(-g.x)) * u.x, g.y = g.y / (1.0f + __expf(-g.y)) * u.y;
    *reinterpret_cast<half2 *>(out + i) = __float22half2_rn(g);
  } else if (i < n) {
    float g = __half2float(gate[i]);
    out[i] = __float2half(g / (1.0f + __expf(-g)) * (float)up[i]);
  }
}

__global__ void rms_norm(__nv_bfloat16 *out, const __nv_bfloat16 *x, const __nv_bfloat16 *weight, int cols) {
  __shared__ float sums[4];
  const __nv_bfloat16 *row = x + blockIdx.x * cols;
  float sum = 0;
  for (int i = threadIdx.x; i < cols; i += blockDim.x) sum += __bfloat162float(row[i]) * __bfloat162float(row[i]);
  for (int offset = 16; offset; offset >>= 1) sum += __shfl_xor_sync(0xffffffff, sum, offset);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = sum;
  __syncthreads();
  float scale = rsqrtf((sums[0] + sums[1] + sums[2] + sums[3]) / cols + 1e-6f);
  for (int i = threadIdx.x; i < cols; i += blockDim.x)
    out[blockIdx.x * cols + i] = __float2bfloat16(__bfloat162float(row[i]) * scale) * weight[i];
}

__global__ void dot(const half *a, const half *b, int n, float *sum, half *largest) {
  half2 acc = __float2half2_rn(0.f);
  half most = __float2half(-65504.f);
  for (int i = threadIdx.x; i < n / 2; i += 32) {
    half2 x = ((const half2 *)a)[i], y = ((const half2 *)b)[i];
    acc = __hadd2(acc, x * y);
    most = __hmax(most, __hmax(__low2half(x), __high2half(x)));
    if (__hgt(__habs(x.x), __float2half(100.f))) __trap();
  }
  float f = __low2float(acc) + __high2float(acc);
  for (int offset = 16; offset; offset /= 2) {
    f += __shfl_down_sync(~0u, f, offset);
    most = __hmax(most, __shfl_down_sync(~0u, most, offset));
  }
  if (threadIdx.x == 0) *sum = f, *largest = most;
}

template <typename T>
T *managed(int n) {
  T *p = nullptr;
  cudaMallocManaged(&p, n * sizeof(T));
  return p;
}

int main() {
  const int tokens = 13, pairs = 10, n = 2 * tokens * pairs + 1, cols = 200, rows = 5;
  half *q = managed<half>(n + 1), *gate = managed<half>(n + 1), *up = managed<half>(n + 1), *act = managed<half>(n + 1), *most = managed<half>(1);
  float *freq = managed<float>(pairs), *sum = managed<float>(1), before[n];
  __nv_bfloat16 *x = managed<__nv_bfloat16>(rows * cols), *w = managed<__nv_bfloat16>(cols), *y = managed<__nv_bfloat16>(rows * cols);
  auto random = [] { return rand() / (float)RAND_MAX * 4 - 2; };
  for (int i = 0; i < n; i++) q[i] = __float2half(random()), before[i] = __half2float(q[i]), gate[i] = random(), up[i] = random();
  for (int i = 0; i < pairs; i++) freq[i] = powf(100.0f, -i / (float)pairs);
  for (int i = 0; i < rows * cols; i++) x[i] = __float2bfloat16(random());
  for (int i = 0; i < cols; i++) w[i] = __float2bfloat16(random());
  rope<<<(tokens * pairs + 63) / 64, 64>>>((half2 *)q, freq, tokens, pairs);
  swiglu<<<(n / 2 + 64) / 64, 64>>>(act, gate, up, n);
  rms_norm<<<rows, 128>>>(y, x, w, cols);
  dot<<<1, 32>>>(gate, up, n - 1, sum, most);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  int bad = 0;
  auto near = [&](const char *what, double got, double want, double eps) {
    if (!(fabs(got - want) <= eps * (1 + fabs(want))) && bad++ < 5) printf("%s: %g, not %g\n", what, got, want);
  };
  for (int t = 0; t < tokens; t++)
    for (int p = 0; p < pairs; p++) {
      double a = before[2 * (t * pairs + p)], b = before[2 * (t * pairs + p) + 1], angle = t * freq[p];
      near("rope", (float)q[2 * (t * pairs + p)], a * cos(angle) - b * sin(angle), 3e-3);
      near("rope", (float)q[2 * (t * pairs + p) + 1], b * cos(angle) + a * sin(angle), 3e-3);
    }
  double expected = 0, largest = -1e9;
  for (int i = 0; i < n; i++) {
    double g = __half2float(gate[i]), u = __half2float(up[i]);
    near("swiglu", __half2float(act[i]), g / (1 + exp(-g)) * u, 1e-3);
    if (i < n - 1) expected += g * u, largest = fmax(largest, g);
  }
  near("dot", *sum, expected, 2e-2);
  near("max", __half2float(*most), largest, 0);
  for (int r = 0; r < rows; r++) {
    double square = 0;
    for (int c = 0; c < cols; c++) square += pow(__bfloat162float(x[r * cols + c]), 2);
    for (int c = 0; c < cols; c++)
      near("rms", __bfloat162float(y[r * cols + c]), __bfloat162float(x[r * cols + c]) / sqrt(square / cols + 1e-6) * __bfloat162float(w[c]), 1e-2);
  }
  puts(bad ? "FAIL" : "PASS");
  return bad != 0;
}
