// Cooley-Tukey in shared memory with complex numbers as structures, and the naive transform beside it.
#include <cmath>
#include <cstdio>
#include <cstdlib>

struct Complex {
  float re, im;
  Complex() = default;  // shared memory is not initialised
  __host__ __device__ Complex(float r, float i = 0) : re(r), im(i) {}
  __host__ __device__ Complex operator+(const Complex &o) const { return {re + o.re, im + o.im}; }
  __host__ __device__ Complex operator-(const Complex &o) const { return {re - o.re, im - o.im}; }
  __host__ __device__ Complex operator*(const Complex &o) const { return {re * o.re - im * o.im, re * o.im + im * o.re}; }
};

template <int N>
__global__ void fft(const Complex *in, Complex *out, bool inverse) {
  __shared__ Complex data[N];
  const int bits = 31 - __clz(N);
  for (int i = threadIdx.x; i < N; i += blockDim.x) data[__brev(i) >> (32 - bits)] = in[blockIdx.x * N + i];
  for (int length = 2; length <= N; length *= 2) {
    __syncthreads();
    for (int pair = threadIdx.x; pair < N / 2; pair += blockDim.x) {
      int k = pair % (length / 2), low = (pair / (length / 2)) * length + k, high = low + length / 2;
      float s, c;
      sincospif((inverse ? 2.0f : -2.0f) * k / length, &s, &c);
      Complex twisted = data[high] * Complex(c, s), kept = data[low];
      data[low] = kept + twisted;
      data[high] = kept - twisted;
    }
  }
  __syncthreads();
  float scale = inverse ? 1.0f / N : 1.0f;
  for (int i = threadIdx.x; i < N; i += blockDim.x) out[blockIdx.x * N + i] = data[i] * Complex(scale);
}

__global__ void naive(const Complex *in, Complex *out, int n) {
  int k = blockIdx.x * blockDim.x + threadIdx.x;
  if (k >= n) return;
  double re = 0, im = 0;
  for (int i = 0; i < n; ++i) {
    double angle = -2 * M_PI * ((long long)i * k % n) / n;
    re += in[i].re * cos(angle) - in[i].im * sin(angle);
    im += in[i].re * sin(angle) + in[i].im * cos(angle);
  }
  out[k] = Complex(re, im);
}

int main() {
  constexpr int N = 512;
  Complex *in, *out, *back, *slow;
  for (Complex **p : {&in, &out, &back, &slow}) cudaMallocManaged(p, 4 * N * sizeof(Complex));
  for (int i = 0; i < 4 * N; ++i) in[i] = Complex(rand() / (float)RAND_MAX - 0.5f, rand() / (float)RAND_MAX);
  fft<N><<<4, 128>>>(in, out, false);
  fft<N><<<4, 96>>>(out, back, true);
  naive<<<(N + 63) / 64, 64>>>(in, slow, N);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  float worst = 0;
  auto seen = [&](float e) { worst = e <= worst ? worst : e == e ? e : INFINITY; };
  for (int i = 0; i < 4 * N; ++i) seen(hypotf(back[i].re - in[i].re, back[i].im - in[i].im));
  for (int i = 0; i < N; ++i) seen(0.01f * hypotf(out[i].re - slow[i].re, out[i].im - slow[i].im));
  printf("largest error %g\n", worst);
  puts(worst < 2e-6f ? "PASS" : "FAIL");
  return !(worst < 2e-6f);
}
