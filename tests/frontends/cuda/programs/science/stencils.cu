// Stencils: 2-D heat with a halo in shared memory, 3-D of radius 2 with a column of z in registers.
#include <cmath>
#include <cstdio>
#include <cstring>
#include <cstdlib>
#include <vector>

constexpr int TX = 32, TY = 8, R = 2;
__constant__ float weights[R + 1];

__global__ void heat2d(const float *in, float *out, int nx, int ny, float k) {
  __shared__ float tile[TY + 2][TX + 2];
  const int x = blockIdx.x * TX + threadIdx.x, y = blockIdx.y * TY + threadIdx.y;
  const int lx = threadIdx.x + 1, ly = threadIdx.y + 1;
  auto at = [&](int cx, int cy) {
    cx = min(max(cx, 0), nx - 1), cy = min(max(cy, 0), ny - 1);
    return in[cy * nx + cx];
  };
  tile[ly][lx] = at(x, y);
  if (threadIdx.x == 0) tile[ly][0] = at(x - 1, y);
  if (threadIdx.x == TX - 1) tile[ly][TX + 1] = at(x + 1, y);
  if (threadIdx.y == 0) tile[0][lx] = at(x, y - 1);
  if (threadIdx.y == TY - 1) tile[TY + 1][lx] = at(x, y + 1);
  __syncthreads();
  if (x < nx && y < ny)
    out[y * nx + x] = tile[ly][lx] + k * (tile[ly][lx - 1] + tile[ly][lx + 1] + tile[ly - 1][lx] + tile[ly + 1][lx] - 4 * tile[ly][lx]);
}

__global__ void star3d(const float *in, float *out, dim3 n) {
  __shared__ float tile[TY + 2 * R][16 + 2 * R];
  const int x = blockIdx.x * 16 + threadIdx.x, y = blockIdx.y * TY + threadIdx.y;
  const size_t plane = (size_t)n.x * n.y, here = (size_t)(y + R) * n.x + x + R;
  float column[2 * R + 1];
#pragma unroll
  for (int d = 0; d < 2 * R; ++d) column[d + 1] = in[here + d * plane];
  for (unsigned z = R; z < n.z - R; ++z) {
#pragma unroll
    for (int d = 0; d < 2 * R; ++d) column[d] = column[d + 1];
    column[2 * R] = in[here + (z + R) * plane];
    __syncthreads();
    tile[threadIdx.y + R][threadIdx.x + R] = column[R];
    if (threadIdx.y < R) {
      tile[threadIdx.y][threadIdx.x + R] = in[here + z * plane - R * n.x];
      tile[threadIdx.y + TY + R][threadIdx.x + R] = in[here + z * plane + TY * n.x];
    }
    if (threadIdx.x < R) {
      tile[threadIdx.y + R][threadIdx.x] = in[here + z * plane - R];
      tile[threadIdx.y + R][threadIdx.x + 16 + R] = in[here + z * plane + 16];
    }
    __syncthreads();
    float sum = weights[0] * column[R];
#pragma unroll
    for (int d = 1; d <= R; ++d)
      sum += weights[d] * (column[R - d] + column[R + d] + tile[threadIdx.y + R][threadIdx.x + R - d] + tile[threadIdx.y + R][threadIdx.x + R + d] +
                           tile[threadIdx.y + R - d][threadIdx.x + R] + tile[threadIdx.y + R + d][threadIdx.x + R]);
    out[here + z * plane] = sum;
  }
}

static bool close(const std::vector<float> &a, const std::vector<float> &b) {
  for (size_t i = 0; i < a.size(); ++i)
    if (!(std::fabs(a[i] - b[i]) <= 1e-5f * (1 + std::fabs(b[i])))) return printf("at %zu: %g, not %g\n", i, a[i], b[i]), false;
  return true;
}

int main() {
  const int nx = 77, ny = 53;
  std::vector<float> a(nx * ny), b(nx * ny), got(nx * ny);
  for (float &v : a) v = rand() % 1000 * 0.1f;
  float *p, *q;
  cudaMalloc(&p, a.size() * sizeof(float)), cudaMalloc(&q, a.size() * sizeof(float));
  cudaMemcpy(p, a.data(), a.size() * sizeof(float), cudaMemcpyHostToDevice);
  for (int step = 0; step < 10; ++step) {
    heat2d<<<dim3((nx + TX - 1) / TX, (ny + TY - 1) / TY), dim3(TX, TY)>>>(p, q, nx, ny, 0.2f);
    std::swap(p, q);
    for (int y = 0; y < ny; ++y)
      for (int x = 0; x < nx; ++x) {
        float c = a[y * nx + x], l = a[y * nx + (x ? x - 1 : 0)], r = a[y * nx + (x < nx - 1 ? x + 1 : x)];
        float u = a[(y ? y - 1 : 0) * nx + x], d = a[(y < ny - 1 ? y + 1 : y) * nx + x];
        b[y * nx + x] = c + 0.2f * (l + r + u + d - 4 * c);
      }
    std::swap(a, b);
  }
  cudaMemcpy(got.data(), p, got.size() * sizeof(float), cudaMemcpyDeviceToHost);
  bool good = close(got, a);

  const dim3 n(2 * 16 + 2 * R, 3 * TY + 2 * R, 13);
  const size_t plane = n.x * n.y, count = plane * n.z;
  std::vector<float> in(count), expected(count, 0), found(count);
  for (float &v : in) v = rand() / (float)RAND_MAX;
  const float w[] = {-1.5f, 0.3f, -0.05f};
  cudaMemcpyToSymbol(weights, w, sizeof w);
  float *d_in, *d_out;
  cudaMalloc(&d_in, count * sizeof(float)), cudaMalloc(&d_out, count * sizeof(float));
  cudaMemset(d_out, 0, count * sizeof(float));
  cudaMemcpy(d_in, in.data(), count * sizeof(float), cudaMemcpyHostToDevice);
  star3d<<<dim3(2, 3), dim3(16, TY)>>>(d_in, d_out, n);
  cudaMemcpy(found.data(), d_out, count * sizeof(float), cudaMemcpyDeviceToHost);
  for (unsigned z = R; z < n.z - R; ++z)
    for (unsigned y = R; y < n.y - R; ++y)
      for (unsigned x = R; x < n.x - R; ++x) {
        size_t i = z * plane + y * n.x + x;
        float sum = w[0] * in[i];
        for (int d = 1; d <= R; ++d)
          sum += w[d] * (in[i - d * plane] + in[i + d * plane] + in[i - d] + in[i + d] + in[i - d * n.x] + in[i + d * n.x]);
        expected[i] = sum;
      }
  good = close(found, expected) && good;
  if (cudaGetLastError() != cudaSuccess) good = false;
  puts(good ? "PASS" : "FAIL");
  return good ? 0 : 1;
}
