// LU decomposition with partial pivoting, and the solution of a linear system by it.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <vector>

// The row with the largest entry of a column: an argmax in one block.
__global__ void find_pivot(const double *A, int n, int k, int *pivot) {
  __shared__ double best[64];
  __shared__ int where[64];
  int t = threadIdx.x;
  best[t] = -1, where[t] = k;
  for (int row = k + t; row < n; row += blockDim.x) {
    double v = fabs(A[row * n + k]);
    if (v > best[t]) best[t] = v, where[t] = row;
  }
  for (int s = blockDim.x / 2; s > 0; s >>= 1) {
    __syncthreads();
    if (t < s && (best[t + s] > best[t] || (best[t + s] == best[t] && where[t + s] < where[t]))) {
      best[t] = best[t + s];
      where[t] = where[t + s];
    }
  }
  if (t == 0) pivot[k] = where[0];
}

__global__ void swap_rows(double *A, int n, int k, const int *pivot) {
  int col = blockIdx.x * blockDim.x + threadIdx.x, p = pivot[k];
  if (col >= n || p == k) return;
  double t = A[k * n + col];
  A[k * n + col] = A[p * n + col];
  A[p * n + col] = t;
}

__global__ void scale_column(double *A, int n, int k) {
  int row = k + 1 + blockIdx.x * blockDim.x + threadIdx.x;
  if (row < n) A[row * n + k] /= A[k * n + k];
}

__global__ void update(double *A, int n, int k) {
  int col = k + 1 + blockIdx.x * blockDim.x + threadIdx.x, row = k + 1 + blockIdx.y * blockDim.y + threadIdx.y;
  if (col < n && row < n) A[row * n + col] -= A[row * n + k] * A[k * n + col];
}

// Forward and backward substitution: a column at a time, the block in step.
__global__ void solve(const double *A, double *b, const int *pivot, int n) {
  if (threadIdx.x == 0)
    for (int k = 0; k < n; k++) {
      double t = b[k];
      b[k] = b[pivot[k]], b[pivot[k]] = t;
    }
  for (int k = 0; k < n; k++) {
    __syncthreads();
    for (int row = k + 1 + threadIdx.x; row < n; row += blockDim.x) b[row] -= A[row * n + k] * b[k];
  }
  for (int k = n - 1; k >= 0; k--) {
    __syncthreads();
    if (threadIdx.x == 0) b[k] /= A[k * n + k];
    __syncthreads();
    for (int row = threadIdx.x; row < k; row += blockDim.x) b[row] -= A[row * n + k] * b[k];
  }
}

int main(int argc, char *argv[]) {
  int n = argc > 1 ? atoi(argv[1]) : 70;
  std::vector<double> A(n * n), b(n, 0.0), x(n), LU(n * n);
  std::vector<int> pivots(n);
  srand(7);
  for (auto &v : A) v = rand() / (double)RAND_MAX - 0.5;
  for (auto &v : x) v = rand() / (double)RAND_MAX + 1;
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) b[i] += A[i * n + j] * x[j];
  double *dA, *db;
  int *dp;
  cudaMalloc((void **)&dA, n * n * sizeof(double));
  cudaMalloc((void **)&db, n * sizeof(double));
  cudaMalloc((void **)&dp, n * sizeof(int));
  cudaMemcpy(dA, A.data(), n * n * sizeof(double), cudaMemcpyHostToDevice);
  cudaMemcpy(db, b.data(), n * sizeof(double), cudaMemcpyHostToDevice);
  for (int k = 0; k < n; k++) {
    int left = n - k - 1;
    find_pivot<<<1, 64>>>(dA, n, k, dp);
    swap_rows<<<(n + 31) / 32, 32>>>(dA, n, k, dp);
    if (left == 0) break;
    scale_column<<<(left + 31) / 32, 32>>>(dA, n, k);
    update<<<dim3((left + 15) / 16, (left + 7) / 8), dim3(16, 8)>>>(dA, n, k);
  }
  solve<<<1, 64>>>(dA, db, dp, n);
  cudaError_t err = cudaDeviceSynchronize();
  cudaMemcpy(LU.data(), dA, n * n * sizeof(double), cudaMemcpyDeviceToHost);
  cudaMemcpy(b.data(), db, n * sizeof(double), cudaMemcpyDeviceToHost);
  cudaMemcpy(pivots.data(), dp, n * sizeof(int), cudaMemcpyDeviceToHost);
  double residual = 0, error = 0, multiplier = 0;
  for (int k = 0; k < n; k++)
    for (int j = 0; j < n && pivots[k] != k; j++) std::swap(A[k * n + j], A[pivots[k] * n + j]);
  for (int i = 0; i < n; i++)
    for (int j = 0; j < n; j++) {
      double s = 0;
      for (int k = 0; k <= std::min(i, j); k++) s += (k == i ? 1.0 : LU[i * n + k]) * LU[k * n + j];
      residual = fmax(residual, fabs(s - A[i * n + j]));
      if (j < i) multiplier = fmax(multiplier, fabs(LU[i * n + j]));
    }
  for (int i = 0; i < n; i++) error = fmax(error, fabs(b[i] - x[i]));
  printf("|PA - LU| %g, |x - x'| %g, largest multiplier %g\n", residual, error, multiplier);
  bool ok = err == cudaSuccess && residual < 1e-12 && error < 1e-8 && multiplier <= 1 && !std::isnan(b[0]);
  printf(ok ? "PASS\n" : "FAIL\n");
  return ok ? 0 : 1;
}
