// Batch normalisation, max pooling with indices and its backward pass, dropout with a hash, nearest upsampling.
#include <cfloat>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

struct Shape {
  int n, c, h, w;
  __host__ __device__ int at(int b, int ch, int y, int x) const { return ((b * c + ch) * h + y) * w + x; }
  __host__ __device__ int size() const { return n * c * h * w; }
};

// Welford's mean and variance of a channel, merged over the block.
struct Moments {
  float mean, m2, count;
};
__device__ Moments merge(const Moments &a, const Moments &b) {
  if (b.count == 0) return a;
  Moments r;
  float delta = b.mean - a.mean;
  r.count = a.count + b.count;
  r.mean = a.mean + delta * b.count / r.count;
  r.m2 = a.m2 + b.m2 + delta * delta * a.count * b.count / r.count;
  return r;
}

__global__ void batch_norm(const float *x, float *y, Shape s, float eps) {
  __shared__ Moments all[64];
  const int c = blockIdx.x, plane = s.h * s.w;
  Moments m = {0, 0, 0};
  for (int i = threadIdx.x; i < s.n * plane; i += 64) {
    float v = x[s.at(i / plane, c, 0, 0) + i % plane], delta = v - m.mean;
    m.count += 1;
    m.mean += delta / m.count;
    m.m2 += delta * (v - m.mean);
  }
  all[threadIdx.x] = m;
  for (int half = 32; half >= 1; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) all[threadIdx.x] = merge(all[threadIdx.x], all[threadIdx.x + half]);
  }
  __syncthreads();
  m = all[0];
  const float inv = 1.0f / sqrtf(m.m2 / m.count + eps);
  for (int i = threadIdx.x; i < s.n * plane; i += 64) {
    int at = s.at(i / plane, c, 0, 0) + i % plane;
    y[at] = (x[at] - m.mean) * inv;
  }
}

__global__ void max_pool(const float *x, float *y, int *index, Shape in, Shape out, int k) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= out.size()) return;
  int ox = i % out.w, oy = i / out.w % out.h, bc = i / out.w / out.h;
  float best = -FLT_MAX;
  int where = -1;
  for (int dy = 0; dy < k; dy++)
    for (int dx = 0; dx < k; dx++) {
      int yy = oy * k + dy, xx = ox * k + dx;
      if (yy >= in.h || xx >= in.w) break;
      int at = (bc * in.h + yy) * in.w + xx;
      if (x[at] > best) best = x[where = at];
    }
  y[i] = best, index[i] = where;
}

__global__ void max_pool_backward(const float *dy, const int *index, float *dx, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) dx[index[i]] += dy[i];  // windows do not overlap
}

__global__ void dropout(float *x, bool *kept, int n, unsigned seed, float p) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  unsigned h = (i + 1) * 0x9E3779B9u ^ seed;
  h ^= h >> 16, h *= 0x7feb352dU, h ^= h >> 15, h *= 0x846ca68bU, h ^= h >> 16;
  kept[i] = __uint2float_rz(h) * 0x1p-32f >= p;
  x[i] = kept[i] ? x[i] / (1 - p) : 0;
}

int main() {
  const Shape in = {3, 4, 11, 14}, out = {3, 4, 6, 7};
  float *x, *norm, *y, *dy, *dx;
  int *index;
  bool *kept;
  for (float **p : {&x, &norm, &y, &dy, &dx}) cudaMallocManaged(p, in.size() * sizeof(float));
  cudaMallocManaged(&index, out.size() * sizeof(int)), cudaMallocManaged(&kept, in.size());
  for (int i = 0; i < in.size(); i++) x[i] = 100 + i / (in.h * in.w) % in.c * 3 + rand() % 1000 / 500.0f, dy[i] = rand() % 100;
  cudaMemset(dx, 0, in.size() * sizeof(float));
  batch_norm<<<in.c, 64>>>(x, norm, in, 1e-5f);
  max_pool<<<(out.size() + 127) / 128, 128>>>(norm, y, index, in, out, 2);
  max_pool_backward<<<(out.size() + 127) / 128, 128>>>(dy, index, dx, out.size());
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  bool good = true;
  for (int c = 0; c < in.c; c++) {
    double mean = 0, var = 0, count = in.n * in.h * in.w;
    auto each = [&](auto f) {
      for (int b = 0; b < in.n; b++)
        for (int i = 0; i < in.h * in.w; i++) f(in.at(b, c, 0, i));
    };
    each([&](int at) { mean += x[at] / count; });
    each([&](int at) { var += (x[at] - mean) * (x[at] - mean) / count; });
    each([&](int at) { good &= std::fabs(norm[at] - (x[at] - mean) / std::sqrt(var + 1e-5)) < 1e-3; });
  }
  std::vector<double> expected(in.size());
  for (int i = 0; i < out.size(); i++) {
    int ox = i % out.w, oy = i / out.w % out.h, bc = i / out.w / out.h, where = -1;
    for (int yy = 2 * oy; yy < std::min(2 * oy + 2, in.h); yy++)
      for (int xx = 2 * ox; xx < std::min(2 * ox + 2, in.w); xx++)
        if (int at = (bc * in.h + yy) * in.w + xx; where < 0 || norm[at] > norm[where]) where = at;
    good &= index[i] == where && y[i] == norm[where];
    expected[where] += dy[i];
  }
  for (int i = 0; i < in.size(); i++) good &= dx[i] == expected[i];
  std::vector<float> before(norm, norm + in.size());
  dropout<<<(in.size() + 127) / 128, 128>>>(norm, kept, in.size(), 77, 0.3f);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  int left = 0;
  for (int i = 0; i < in.size(); i++) {
    unsigned h = (i + 1) * 0x9E3779B9u ^ 77u;
    h ^= h >> 16, h *= 0x7feb352dU, h ^= h >> 15, h *= 0x846ca68bU, h ^= h >> 16;
    bool keep = h / 4294967296.0 >= 0.3f;  // rounding toward zero keeps the order
    if (std::fabs(h / 4294967296.0 - 0.3) > 1e-6) good &= keep == kept[i];
    good &= kept[i] ? std::fabs(norm[i] - before[i] / 0.7f) < 1e-5f : norm[i] == 0;
    left += kept[i];
  }
  printf("%d of %d kept\n", left, in.size());
  good &= std::abs(left - 0.7 * in.size()) < 80;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
