// The C++ library in device code, under std and under cuda::std; cuda::atomic and cuda::atomic_ref.
#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <complex>
#include <cstdint>
#include <cstdio>
#include <cuda/atomic>
#include <cuda/std/array>
#include <cuda/std/atomic>
#include <cuda/std/bit>
#include <cuda/std/cmath>
#include <cuda/std/complex>
#include <cuda/std/cstdint>
#include <cuda/std/functional>
#include <cuda/std/limits>
#include <cuda/std/optional>
#include <cuda/std/span>
#include <cuda/std/tuple>
#include <cuda/std/type_traits>
#include <cuda/std/utility>
#include <functional>
#include <iostream>
#include <limits>
#include <numeric>
#include <optional>
#include <random>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>
__host__ __device__ __noinline__ constexpr int sq(int x) { return x * x; }
__global__ void library(const float* x, float* o, int n) {
  int i = threadIdx.x;
  if (i >= n) return;
  std::array<float, 4> a = {x[i], x[i] + 1, 2.0f, 3.0f};
  float m = std::numeric_limits<float>::lowest();
  for (float v : a) m = std::max(m, v);
  float s = std::sqrt(std::abs(x[i])) + std::min(x[i], 2.0f) + std::pow(2.0f, x[i]) + std::fma(x[i], 2.0f, 1.0f);
  std::swap(m, s);
  std::pair<int, float> p = std::make_pair(i, m);
  std::tuple<int, float, double> t(i, s, 2.5);
  float r = p.second + std::get<1>(t) + (float)std::get<2>(t) + sq(i);
  auto [q, w] = p;
  std::complex<float> c(x[i], 1.0f), d(0.5f, -2.0f);
  c = c * d + std::conj(c);
  auto fn = [=](float y) { return std::floor(y) + std::isnan(y) + std::fabs(y); };
  o[i] = r + c.real() - c.imag() + fn(r) + q + w + std::exp(-x[i] * x[i]) + std::clamp(r, 0.0f, 1.0f) + std::norm(c) + std::abs(-3);
}
static float on_host(float xi, int i) {
  float m = std::max(std::max(xi, xi + 1), 3.0f);
  float s = std::sqrt(std::abs(xi)) + std::min(xi, 2.0f) + std::pow(2.0f, xi) + std::fma(xi, 2.0f, 1.0f);
  std::swap(m, s);
  float r = m + s + 2.5f + i * i;
  std::complex<float> c(xi, 1.0f), d(0.5f, -2.0f);
  c = c * d + std::conj(c);
  return r + c.real() - c.imag() + std::floor(r) + std::fabs(r) + i + m + std::exp(-xi * xi) + std::clamp(r, 0.0f, 1.0f) + std::norm(c) + 3;
}
__device__ cuda::atomic<int, cuda::thread_scope_device> counter;
__device__ float sum_of(cuda::std::span<const float> all) {
  float sum = 0;
  for (float one : all) sum += one;
  return sum;
}
__global__ void atomics(int* hist, float* total, float* o, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  __shared__ cuda::atomic<unsigned, cuda::thread_scope_block> local;
  if (threadIdx.x == 0) local.store(0);
  __syncthreads();
  if (i < n) {
    cuda::atomic_ref<int, cuda::thread_scope_device> bin(hist[i % 7]);
    bin.fetch_add(1, cuda::memory_order_relaxed);
    cuda::atomic_ref<float>(*total).fetch_add(0.5f);
    ++counter; local += 2;
    cuda::std::array<int, 3> a = {i, 2, 3};
    cuda::std::optional<int> opt = i % 2 ? cuda::std::optional<int>(i) : cuda::std::nullopt;
    cuda::std::complex<float> c(1, i);
    const float three[3] = {1, 2, 4};
    auto t = cuda::std::make_tuple(a[0], c.imag());
    auto [u, v] = cuda::std::make_pair(cuda::std::max(i, 3), cuda::std::numeric_limits<int>::max());
    o[i] = opt.value_or(-1) + cuda::std::get<1>(t) + u + (v > 0) + cuda::std::sqrt(4.0f) + cuda::std::abs(c * c - c * c) + cuda::std::bit_cast<int>(0.0f) +
           sum_of(three) + sum_of(cuda::std::span<const float>(three, 2).subspan(1));
  }
  __syncthreads();
  if (threadIdx.x == 0) atomicMax(hist + 7, (int)local.load());
}
__global__ void read_counter(int* out) { *out = counter.load(cuda::std::memory_order_acquire); }
int main() {
  float *x, *o, *total;
  int* hist;
  cudaMallocManaged(&x, 128);
  cudaMallocManaged(&o, 4000);
  cudaMallocManaged(&hist, 40);
  cudaMallocManaged(&total, 4);
  for (int i = 0; i < 32; i++) x[i] = i * 0.37f - 4;
  library<<<1, 32>>>(x, o, 32);
  if (cudaDeviceSynchronize()) return 1;
  for (int i = 0; i < 32; i++)
    if (std::fabs(o[i] - on_host(x[i], i)) > 1e-4f * std::fabs(o[i])) {
      printf("%d: %g, on the host %g\n", i, o[i], on_host(x[i], i));
      return 1;
    }
  for (int i = 0; i < 10; i++) hist[i] = 0;
  *total = 0;
  atomics<<<3, 96>>>(hist, total, o, 250);
  read_counter<<<1, 1>>>(hist + 8);
  if (cudaDeviceSynchronize()) return 1;
  bool counted = *total == 125 && hist[7] == 192 && hist[8] == 250;
  for (int i = 0; i < 7; i++) counted = counted && hist[i] == (250 - i + 6) / 7;
  for (int i = 0; i < 250; i++) counted = counted && o[i] == (i % 2 ? i : -1) + i + (i > 3 ? i : 3) + 12;
  cuda::atomic<int> host(4);
  host.fetch_max(9);
  int nine = 9;
  bool swapped = host.compare_exchange_strong(nine, 1);
  puts(counted && swapped && host.load() == 1 ? "PASS" : "FAIL");
}
