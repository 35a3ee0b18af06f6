// The plain loops of the same computations, for g++ -O3 -march=native -ffast-math -fopenmp.
#include <algorithm>
#include <cmath>
#include <cstring>

#define EXPORT extern "C" __attribute__((visibility("default")))

EXPORT void saxpy(int n, float a, const float *x, float *y) {
#pragma omp parallel for simd
  for (int i = 0; i < n; ++i) y[i] = a * x[i] + y[i];
}

EXPORT void triad(float *a, const float *b, const float *c, float s, int n) {
#pragma omp parallel for simd
  for (int i = 0; i < n; ++i) a[i] = b[i] + s * c[i];
}

EXPORT void sum(const float *in, float *out, int n) {
  float total = 0;
#pragma omp parallel for simd reduction(+ : total)
  for (int i = 0; i < n; ++i) total += in[i];
  *out = total;
}

EXPORT void stencil(const float *in, float *out, int nx, int ny, int nz, float a, float b) {
  int row = nx, plane = nx * ny;
#pragma omp parallel for
  for (int z = 1; z < nz - 1; ++z)
    for (int y = 1; y < ny - 1; ++y)
#pragma omp simd
      for (int x = 1; x < nx - 1; ++x) {
        int i = z * plane + y * row + x;
        out[i] = a * in[i] + b * (in[i - 1] + in[i + 1] + in[i - row] + in[i + row] + in[i - plane] + in[i + plane]);
      }
}

EXPORT void nbody(const float *bodies, float *forces, int n, float softening) {
#pragma omp parallel for
  for (int i = 0; i < n; ++i) {
    float fx = 0, fy = 0, fz = 0;
#pragma omp simd reduction(+ : fx, fy, fz)
    for (int j = 0; j < n; ++j) {
      float dx = bodies[4 * j] - bodies[4 * i], dy = bodies[4 * j + 1] - bodies[4 * i + 1];
      float dz = bodies[4 * j + 2] - bodies[4 * i + 2];
      float inverse = 1.0f / std::sqrt(dx * dx + dy * dy + dz * dz + softening);
      float s = bodies[4 * j + 3] * inverse * inverse * inverse;
      fx += dx * s;
      fy += dy * s;
      fz += dz * s;
    }
    forces[4 * i] = fx;
    forces[4 * i + 1] = fy;
    forces[4 * i + 2] = fz;
    forces[4 * i + 3] = 0;
  }
}

EXPORT void transpose(const float *in, float *out, int width, int height) {
#pragma omp parallel for
  for (int x = 0; x < width; ++x)
    for (int y = 0; y < height; ++y) out[(long long)x * height + y] = in[(long long)y * width + x];
}

EXPORT void histogram(const unsigned char *data, int n, unsigned int *bins) {
  std::memset(bins, 0, 256 * sizeof(unsigned int));
#pragma omp parallel for reduction(+ : bins[:256])
  for (int i = 0; i < n; ++i) ++bins[data[i]];
}

static inline float cumulative_normal(float d) {
  float k = 1.0f / (1.0f + 0.2316419f * std::fabs(d));
  float tail = 0.39894228040143267794f * std::exp(-0.5f * d * d) *
               (k * (0.31938153f + k * (-0.356563782f + k * (1.781477937f + k * (-1.821255978f + k * 1.330274429f)))));
  return d > 0 ? 1.0f - tail : tail;
}

EXPORT void black_scholes(const float *price, const float *strike, const float *years, float *call, float *put,
                          float rate, float volatility, int n) {
#pragma omp parallel for simd
  for (int i = 0; i < n; ++i) {
    float s = price[i], x = strike[i], t = years[i];
    float root = std::sqrt(t);
    float d1 = (std::log(s / x) + (rate + 0.5f * volatility * volatility) * t) / (volatility * root);
    float d2 = d1 - volatility * root;
    float n1 = cumulative_normal(d1), n2 = cumulative_normal(d2), discount = std::exp(-rate * t);
    call[i] = s * n1 - x * discount * n2;
    put[i] = x * discount * (1.0f - n2) - s * (1.0f - n1);
  }
}

EXPORT void mandelbrot(int *out, int width, int height, int most) {
#pragma omp parallel for schedule(dynamic, 8)
  for (int y = 0; y < height; ++y)
#pragma omp simd
    for (int x = 0; x < width; ++x) {
      float cr = -2.0f + 3.0f * x / width, ci = -1.5f + 3.0f * y / height, zr = 0, zi = 0;
      int count = 0;
      while (count < most && zr * zr + zi * zi < 4.0f) {
        float next = zr * zr - zi * zi + cr;
        zi = 2 * zr * zi + ci;
        zr = next;
        ++count;
      }
      out[y * width + x] = count;
    }
}

EXPORT void bitonic_sort(float *values, int n) { std::sort(values, values + n); }

EXPORT void scan(const float *in, float *out, float *, int n) {
  float sum = 0;
  for (int i = 0; i < n; ++i) out[i] = sum += in[i];
}
