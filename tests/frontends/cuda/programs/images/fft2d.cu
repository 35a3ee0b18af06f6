// A two-dimensional FFT with cuComplex: rows by Stockham in shared memory, a tiled transpose, rows again; a filter.
#include <cuComplex.h>
#include <cmath>
#include <complex>
#include <cstdio>
#include <cstdlib>
#include <vector>

#define TILE 16

template <int LOG>
__global__ void fft_rows(cuFloatComplex *data, float sign) {
  constexpr int N = 1 << LOG;
  __shared__ cuFloatComplex ping[N], pong[N];
  cuFloatComplex *from = ping, *to = pong;
  data += blockIdx.x * N;
  for (int i = threadIdx.x; i < N; i += blockDim.x) from[i] = data[i];
  for (int half = N / 2, s = 1; half >= 1; half /= 2, s *= 2) {
    __syncthreads();
    int t = threadIdx.x, p = t / s, q = t % s;
    float angle = sign * 3.14159265358979f * p / half;
    cuFloatComplex w = make_cuFloatComplex(cosf(angle), sinf(angle));
    cuFloatComplex a = from[q + s * p], b = from[q + s * (p + half)];
    to[q + s * 2 * p] = cuCaddf(a, b);
    to[q + s * (2 * p + 1)] = cuCmulf(cuCsubf(a, b), w);
    cuFloatComplex *swap = from;
    from = to, to = swap;
  }
  __syncthreads();
  for (int i = threadIdx.x; i < N; i += blockDim.x) data[i] = from[i];
}

__global__ void transpose(const cuFloatComplex *in, cuFloatComplex *out, int width, int height) {
  __shared__ cuFloatComplex tile[TILE][TILE + 1];
  int x = blockIdx.x * TILE + threadIdx.x, y = blockIdx.y * TILE + threadIdx.y;
  tile[threadIdx.y][threadIdx.x] = in[y * width + x];
  __syncthreads();
  x = blockIdx.y * TILE + threadIdx.x, y = blockIdx.x * TILE + threadIdx.y;
  out[y * height + x] = tile[threadIdx.x][threadIdx.y];
}

__global__ void power(const cuFloatComplex *in, float *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = cuCrealf(cuCmulf(in[i], cuConjf(in[i]))) - cuCabsf(in[i]);
}

int main() {
  const int w = 64, h = 32, n = w * h;
  std::vector<std::complex<double>> x(n), spectrum(n), rows(n);
  cuFloatComplex *data, *other;
  float *energy;
  cudaMallocManaged(&data, n * sizeof(*data)), cudaMallocManaged(&other, n * sizeof(*other));
  cudaMallocManaged(&energy, n * sizeof(float));
  for (int i = 0; i < n; i++) {
    data[i] = make_cuComplex(rand() / (float)RAND_MAX - 0.5f, rand() / (float)RAND_MAX - 0.5f);
    x[i] = {data[i].x, data[i].y};
  }
  dim3 tile(TILE, TILE);
  auto transform = [&](float sign) {
    fft_rows<6><<<h, w / 2>>>(data, sign);
    transpose<<<dim3(w / TILE, h / TILE), tile>>>(data, other, w, h);
    fft_rows<5><<<w, h / 2>>>(other, sign);
    transpose<<<dim3(h / TILE, w / TILE), tile>>>(other, data, h, w);
    return cudaDeviceSynchronize() == cudaSuccess;
  };
  bool good = transform(-1);
  for (int r = 0; r < h; r++)
    for (int k = 0; k < w; k++)
      for (int i = 0; i < w; i++) rows[r * w + k] += x[r * w + i] * std::polar(1.0, -2 * M_PI * (i * k % w) / w);
  for (int k = 0; k < w; k++)
    for (int l = 0; l < h; l++)
      for (int i = 0; i < h; i++) spectrum[l * w + k] += rows[i * w + k] * std::polar(1.0, -2 * M_PI * (i * l % h) / h);
  double worst = 0;
  auto seen = [&](double e) { worst = e <= worst ? worst : e == e ? e : INFINITY; };
  for (int i = 0; i < n; i++) seen(std::abs(spectrum[i] - std::complex<double>(data[i].x, data[i].y)) * 1e-2);
  power<<<(n + 63) / 64, 64>>>(data, energy, n);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  for (int i = 0; i < n; i++) seen(std::fabs(energy[i] - (std::norm(spectrum[i]) - std::abs(spectrum[i]))) * 1e-4);
  good &= transform(1);
  for (int i = 0; i < n; i++) seen(std::abs(x[i] - std::complex<double>(data[i].x / n, data[i].y / n)));
  printf("worst %g\n", worst);
  good &= worst < 1e-5;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
