// Filters of 8-bit images: bilateral, median of nine by minima and maxima, and a bilinear rotation.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <algorithm>
#include <vector>

typedef unsigned char uchar;
__constant__ float gaussian[9];

__global__ void bilateral(uchar4 *out, const uchar4 *in, int w, int h, float sigma) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= w || y >= h) return;
  float3 sum = make_float3(0, 0, 0);
  float weights = 0;
  uchar4 c = in[y * w + x];
  for (int dy = -4; dy <= 4; dy++)
    for (int dx = -4; dx <= 4; dx++) {
      int px = min(max(x + dx, 0), w - 1), py = min(max(y + dy, 0), h - 1);
      uchar4 p = in[py * w + px];
      float r = (float)p.x - c.x, g = (float)p.y - c.y, b = (float)p.z - c.z;
      float f = gaussian[dx + 4] * gaussian[dy + 4] * __expf(-(r * r + g * g + b * b) * sigma);
      weights += f;
      sum.x += f * p.x, sum.y += f * p.y, sum.z += f * p.z;
    }
  out[y * w + x] = make_uchar4(__float2uint_rn(sum.x / weights), __float2uint_rn(sum.y / weights), __float2uint_rn(sum.z / weights), c.w);
}

__device__ inline void order(uchar &a, uchar &b) {
  uchar low = min(a, b);
  b = max(a, b);
  a = low;
}

__global__ void median(uchar *out, const uchar *in, int w, int h) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x < 1 || y < 1 || x >= w - 1 || y >= h - 1) return;
  uchar v[9];
#pragma unroll
  for (int i = 0; i < 9; i++) v[i] = in[(y + i / 3 - 1) * w + x + i % 3 - 1];
#pragma unroll
  for (int i = 0; i < 5; i++)
#pragma unroll
    for (int j = i + 1; j < 9; j++) order(v[i], v[j]);
  out[y * w + x] = v[4];
}

__host__ __device__ inline float sample(const uchar *in, int w, int h, int x, int y) {
  return x < 0 || y < 0 || x >= w || y >= h ? 0.0f : in[y * w + x] / 255.0f;
}

__global__ void rotate(float *out, const uchar *in, int w, int h, float theta) {
  int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * blockDim.y + threadIdx.y;
  if (x >= w || y >= h) return;
  float s, c;
  sincosf(theta, &s, &c);
  float u = x - w * 0.5f, v = y - h * 0.5f;
  float tx = u * c - v * s + w * 0.5f, ty = v * c + u * s + h * 0.5f;
  int x0 = __float2int_rd(tx), y0 = __float2int_rd(ty);
  float fx = tx - floorf(tx), fy = ty - y0;
  float top = (1 - fx) * sample(in, w, h, x0, y0) + fx * sample(in, w, h, x0 + 1, y0);
  float low = (1 - fx) * sample(in, w, h, x0, y0 + 1) + fx * sample(in, w, h, x0 + 1, y0 + 1);
  out[y * w + x] = __saturatef((top + fy * (low - top)) * 1.25f);
}

int main() {
  const int w = 61, h = 43, n = w * h;
  uchar4 *rgba, *smooth;
  uchar *grey, *med;
  float *turned, weights[9];
  cudaMallocManaged(&rgba, n * 4), cudaMallocManaged(&smooth, n * 4), cudaMallocManaged(&grey, n), cudaMallocManaged(&med, n);
  cudaMallocManaged(&turned, n * sizeof(float));
  for (int i = 0; i < n; i++) rgba[i] = make_uchar4(rand(), i % w * 4, rand() % 64 + 96, i), grey[i] = rand(), med[i] = 7;
  for (int i = 0; i < 9; i++) weights[i] = expf(-(i - 4) * (i - 4) / 8.0f);
  cudaMemcpyToSymbol(gaussian, weights, sizeof weights);
  dim3 block(16, 8), grid((w + 15) / 16, (h + 7) / 8);
  const float sigma = 1e-3f, theta = 0.6f;
  bilateral<<<grid, block>>>(smooth, rgba, w, h, sigma);
  median<<<grid, block>>>(med, grey, w, h);
  rotate<<<grid, block>>>(turned, grey, w, h, theta);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  int wrong = 0;
  for (int i = 0; i < n; i++) {
    int x = i % w, y = i / w;
    double sum[3] = {}, total = 0;
    for (int d = 0; d < 81; d++) {
      int px = std::clamp(x + d % 9 - 4, 0, w - 1), py = std::clamp(y + d / 9 - 4, 0, h - 1);
      uchar4 p = rgba[py * w + px], c = rgba[i];
      double r = p.x - c.x, g = p.y - c.y, b = p.z - c.z, f = weights[d % 9] * weights[d / 9] * exp(-(r * r + g * g + b * b) * sigma);
      total += f, sum[0] += f * p.x, sum[1] += f * p.y, sum[2] += f * p.z;
    }
    uchar4 s = smooth[i];
    wrong += !(fabs(s.x - sum[0] / total) < 0.51 && fabs(s.y - sum[1] / total) < 0.51 && fabs(s.z - sum[2] / total) < 0.51) || s.w != (uchar)i;
    if (x < 1 || y < 1 || x >= w - 1 || y >= h - 1) {
      wrong += med[i] != 7;
    } else {
      uchar v[9];
      for (int k = 0; k < 9; k++) v[k] = grey[(y + k / 3 - 1) * w + x + k % 3 - 1];
      std::sort(v, v + 9);
      wrong += med[i] != v[4];
    }
    double u = x - w * 0.5, v = y - h * 0.5, tx = u * cos(theta) - v * sin(theta) + w * 0.5, ty = v * cos(theta) + u * sin(theta) + h * 0.5;
    int x0 = floor(tx), y0 = floor(ty);
    double fx = tx - x0, fy = ty - y0;
    double top = (1 - fx) * sample(grey, w, h, x0, y0) + fx * sample(grey, w, h, x0 + 1, y0);
    double low = (1 - fx) * sample(grey, w, h, x0, y0 + 1) + fx * sample(grey, w, h, x0 + 1, y0 + 1);
    wrong += !(fabs(std::clamp((top + fy * (low - top)) * 1.25, 0.0, 1.0) - turned[i]) < 1e-4);
  }
  printf("%d wrong\n", wrong);
  puts(wrong ? "FAIL" : "PASS");
  return wrong != 0;
}
