// A lid-driven cavity with the D2Q9 lattice Boltzmann method: stream and collide in one kernel.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace d2q9 {
constexpr int Q = 9;
__device__ __constant__ const int cx[Q] = {0, 1, 0, -1, 0, 1, -1, -1, 1};
__device__ __constant__ const int cy[Q] = {0, 0, 1, 0, -1, 1, 1, -1, -1};
__device__ __constant__ const int opposite[Q] = {0, 3, 4, 1, 2, 7, 8, 5, 6};
__device__ __constant__ const float weight[Q] = {4.f / 9, 1.f / 9, 1.f / 9, 1.f / 9, 1.f / 9, 1.f / 36, 1.f / 36, 1.f / 36, 1.f / 36};
}  // namespace d2q9

enum Cell : unsigned char { FLUID, WALL, LID };

__global__ void stream_collide(const float *f, float *g, const Cell *kind, int nx, int ny, float omega, float lid) {
  using namespace d2q9;
  const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y;
  if (x >= nx) return;
  const int n = nx * ny, i = y * nx + x;
  if (kind[i] != FLUID) return;
  float own[Q], rho = 0, ux = 0, uy = 0;
#pragma unroll
  for (int q = 0; q < Q; q++) {
    int from = (y - cy[q]) * nx + x - cx[q];
    switch (kind[from]) {
      case FLUID: own[q] = f[q * n + from]; break;
      case WALL: own[q] = f[opposite[q] * n + i]; break;
      case LID: own[q] = f[opposite[q] * n + i] + 6 * weight[q] * cx[q] * lid; break;
    }
    rho += own[q], ux += own[q] * cx[q], uy += own[q] * cy[q];
  }
  ux /= rho, uy /= rho;
  const float usqr = 1.5f * (ux * ux + uy * uy);
#pragma unroll
  for (int q = 0; q < Q; q++) {
    float cu = 3 * (cx[q] * ux + cy[q] * uy);
    float equilibrium = rho * weight[q] * (1 + cu + 0.5f * cu * cu - usqr);
    g[q * n + i] = own[q] + omega * (equilibrium - own[q]);
  }
}

int main(int argc, char **argv) {
  const int nx = 30, ny = 22, n = nx * ny, steps = argc > 1 ? atoi(argv[1]) : 25;
  const float omega = 1.2f, lid = 0.1f;
  const int cx[] = {0, 1, 0, -1, 0, 1, -1, -1, 1}, cy[] = {0, 0, 1, 0, -1, 1, 1, -1, -1}, op[] = {0, 3, 4, 1, 2, 7, 8, 5, 6};
  const double weight[] = {4. / 9, 1. / 9, 1. / 9, 1. / 9, 1. / 9, 1. / 36, 1. / 36, 1. / 36, 1. / 36};
  std::vector<Cell> kind(n, FLUID);
  for (int i = 0; i < n; i++) {
    int x = i % nx, y = i / nx;
    if (x == 0 || y == 0 || x == nx - 1 || (x > 8 && x < 12 && y > 5 && y < 9)) kind[i] = WALL;
    if (y == ny - 1) kind[i] = LID;
  }
  std::vector<float> start(9 * n), got(9 * n);
  for (int q = 0; q < 9; q++)
    for (int i = 0; i < n; i++) start[q * n + i] = weight[q];
  std::vector<double> a(start.begin(), start.end()), b = a;
  float *f, *g;
  Cell *d_kind;
  cudaMalloc(&f, 9 * n * sizeof(float)), cudaMalloc(&g, 9 * n * sizeof(float)), cudaMalloc(&d_kind, n * sizeof(Cell));
  cudaMemcpy(f, start.data(), 9 * n * sizeof(float), cudaMemcpyHostToDevice);
  cudaMemcpy(g, f, 9 * n * sizeof(float), cudaMemcpyDeviceToDevice);
  cudaMemcpy(d_kind, kind.data(), n * sizeof(Cell), cudaMemcpyHostToDevice);
  for (int s = 0; s < steps; s++) {
    stream_collide<<<dim3(1, ny), 32>>>(f, g, d_kind, nx, ny, omega, lid);
    float *t = f;
    f = g, g = t;
    for (int i = 0; i < n; i++) {
      if (kind[i] != FLUID) continue;
      double own[9], rho = 0, ux = 0, uy = 0;
      for (int q = 0; q < 9; q++) {
        int from = i - cy[q] * nx - cx[q];
        own[q] = kind[from] == FLUID ? a[q * n + from] : a[op[q] * n + i] + (kind[from] == LID ? 6 * weight[q] * cx[q] * lid : 0);
        rho += own[q], ux += own[q] * cx[q], uy += own[q] * cy[q];
      }
      ux /= rho, uy /= rho;
      for (int q = 0; q < 9; q++) {
        double cu = 3 * (cx[q] * ux + cy[q] * uy);
        b[q * n + i] = own[q] + omega * (rho * weight[q] * (1 + cu + 0.5 * cu * cu - 1.5 * (ux * ux + uy * uy)) - own[q]);
      }
    }
    a.swap(b);
  }
  cudaMemcpy(got.data(), f, 9 * n * sizeof(float), cudaMemcpyDeviceToHost);
  double worst = 0, moved = 0;
  for (int i = 0; i < 9 * n; i++) {
    if (kind[i % n] != FLUID) continue;
    double e = fabs(got[i] - a[i]);
    if (!(e <= worst)) worst = e == e ? e : INFINITY;
    moved = fmax(moved, fabs(a[i] - weight[i / n]));
  }
  printf("off by %g, moved by %g\n", worst, moved);
  bool good = cudaGetLastError() == cudaSuccess && worst < 1e-5 && moved > 1e-2;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
