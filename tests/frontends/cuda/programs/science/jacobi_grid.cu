// Jacobi iterations in one cooperative launch: the grid meets after each sweep and looks at the residual.
#include <cooperative_groups.h>
#include <cuda_runtime.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

namespace cg = cooperative_groups;

#define checkCudaErrors(x)                                                                          \
  if (cudaError_t e = (x)) {                                                                        \
    printf("%s failed at %d: %s (%s)\n", #x, __LINE__, cudaGetErrorName(e), cudaGetErrorString(e)); \
    puts("FAIL");                                                                                   \
    exit(EXIT_FAILURE);                                                                             \
  }

__global__ void jacobi(const float *A, const double *b, double *x, double *x_new, double *sums, int n, int limit, int *iterations) {
  cg::grid_group grid = cg::this_grid();
  cg::thread_block cta = cg::this_thread_block();
  cg::thread_block_tile<32> tile32 = cg::tiled_partition<32>(cta);
  int it = 0;
  for (; it < limit; it++) {
    double part = 0.0;
    for (int row = grid.thread_rank(); row < n; row += grid.size()) {
      double sum = 0.0;
      for (int j = 0; j < n; j++)
        if (j != row) sum += (double)A[row * n + j] * x[j];
      x_new[row] = (b[row] - sum) / A[row * n + row];
      part += fabs(x_new[row] - x[row]);
    }
    for (int offset = tile32.size() / 2; offset > 0; offset /= 2) part += tile32.shfl_down(part, offset);
    if (tile32.thread_rank() == 0) atomicAdd(&sums[it], part);
    cg::sync(grid);
    if (sums[it] < 1e-9) break;
    double *t = x;
    x = x_new, x_new = t;
    grid.sync();
  }
  if (grid.thread_rank() == 0) *iterations = it;
}

int main() {
  int supported = 0, limit = 400, n = 96, *iterations, per_sm = 0;
  checkCudaErrors(cudaDeviceGetAttribute(&supported, cudaDevAttrCooperativeLaunch, 0));
  cudaDeviceProp prop;
  checkCudaErrors(cudaGetDeviceProperties(&prop, 0));
  if (!supported || !prop.cooperativeLaunch) return puts("no cooperative launch\nFAIL"), 1;
  float *A;
  double *b, *x, *x_new, *sums;
  checkCudaErrors(cudaMallocManaged(&A, n * n * sizeof(float)));
  checkCudaErrors(cudaMallocManaged(&b, n * sizeof(double)));
  checkCudaErrors(cudaMallocManaged(&x, n * sizeof(double)));
  checkCudaErrors(cudaMallocManaged(&x_new, n * sizeof(double)));
  checkCudaErrors(cudaMallocManaged(&sums, limit * sizeof(double)));
  checkCudaErrors(cudaMallocManaged(&iterations, sizeof(int)));
  std::vector<double> truth(n);
  for (int i = 0; i < n; i++) {
    truth[i] = sin(i * 0.7) * 3;
    for (int j = 0; j < n; j++) A[i * n + j] = rand() % 100 / 100.0f - 0.5f;
    A[i * n + i] = 0.75f * n;
  }
  for (int i = 0; i < n; i++) {
    x[i] = x_new[i] = 0, b[i] = 0;
    for (int j = 0; j < n; j++) b[i] += (double)A[i * n + j] * truth[j];
  }
  checkCudaErrors(cudaMemset(sums, 0, limit * sizeof(double)));
  checkCudaErrors(cudaOccupancyMaxActiveBlocksPerMultiprocessor(&per_sm, jacobi, 32, 0));
  int blocks = std::min(3, per_sm * prop.multiProcessorCount);
  void *args[] = {&A, &b, &x, &x_new, &sums, &n, &limit, &iterations};
  checkCudaErrors(cudaLaunchCooperativeKernel((void *)jacobi, dim3(blocks), dim3(32), args, 0, NULL));
  checkCudaErrors(cudaDeviceSynchronize());
  double worst = 0;
  for (int i = 0; i < n; i++) {
    double e = fabs(x[i] - truth[i]);
    if (!(e <= worst)) worst = e == e ? e : INFINITY;
  }
  printf("%d blocks, %d iterations, off by %g\n", blocks, *iterations, worst);
  bool good = worst < 1e-8 && *iterations > 5 && *iterations < limit;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
