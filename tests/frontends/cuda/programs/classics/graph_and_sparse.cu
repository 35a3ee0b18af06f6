// Breadth-first search by frontiers, and sparse matrix-vector products: a thread or a warp per row.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <queue>
#include <vector>

__global__ void expand(const int *rows, const int *columns, const int *frontier, int size, int *next, int *next_size,
                       int *level, int depth) {
  int t = blockIdx.x * blockDim.x + threadIdx.x;
  if (t >= size) return;
  int node = frontier[t];
  for (int e = rows[node]; e < rows[node + 1]; ++e) {
    int neighbour = columns[e];
    if (atomicCAS(&level[neighbour], -1, depth) == -1) next[atomicAdd(next_size, 1)] = neighbour;
  }
}

__global__ void spmv_scalar(const int *rows, const int *columns, const double *values, const double *x, double *y, int n) {
  int row = blockIdx.x * blockDim.x + threadIdx.x;
  if (row < n) {
    double sum = 0;
    for (int e = rows[row]; e < rows[row + 1]; e++) sum += values[e] * x[columns[e]];
    y[row] = sum;
  }
}

__global__ void spmv_vector(const int *rows, const int *columns, const double *values, const double *x, double *y, int n) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x & 31;
  if (row >= n) return;
  double sum = 0;
  for (int e = rows[row] + lane; e < rows[row + 1]; e += 32) sum += values[e] * x[columns[e]];
  for (int mask = 16; mask; mask >>= 1) sum += __shfl_xor_sync(~0u, sum, mask);
  if (lane == 0) y[row] = sum;
}

template <typename T>
T *on_device(const std::vector<T> &host) {
  T *pointer;
  cudaMalloc((void **)&pointer, host.size() * sizeof(T));
  cudaMemcpy(pointer, host.data(), host.size() * sizeof(T), cudaMemcpyHostToDevice);
  return pointer;
}

int main() {
  const int n = 5003;
  std::vector<int> rows{0}, columns;
  std::vector<double> values, x(n);
  for (int i = 0; i < n; ++i) {
    int degree = rand() % 9 + (i % 500 == 0 ? 100 : 0);
    for (int d = 0; d < degree; ++d) columns.push_back(rand() % n), values.push_back(rand() / (double)RAND_MAX);
    rows.push_back(columns.size());
    x[i] = sin(i);
  }
  std::vector<int> expected(n, -1);
  std::queue<int> queue({0});
  expected[0] = 0;
  while (!queue.empty()) {
    int node = queue.front();
    queue.pop();
    for (int e = rows[node]; e < rows[node + 1]; ++e)
      if (expected[columns[e]] < 0) expected[columns[e]] = expected[node] + 1, queue.push(columns[e]);
  }
  int *d_rows = on_device(rows), *d_columns = on_device(columns);
  std::vector<int> level(n, -1);
  level[0] = 0;
  int *d_level = on_device(level), *frontier = on_device(std::vector<int>(n, 0)), *next = on_device(level), *size;
  cudaMallocManaged(&size, sizeof(int));
  int current = 1;
  for (int depth = 1; current > 0; ++depth) {
    *size = 0;
    expand<<<(current + 127) / 128, 128>>>(d_rows, d_columns, frontier, current, next, size, d_level, depth);
    cudaDeviceSynchronize();
    current = *size;
    std::swap(frontier, next);
  }
  cudaMemcpy(level.data(), d_level, n * sizeof(int), cudaMemcpyDeviceToHost);
  int failures = level != expected;
  double *d_values = on_device(values), *d_x = on_device(x), *d_y = on_device(x);
  for (int way = 0; way < 2; ++way) {
    if (way == 0) spmv_scalar<<<(n + 127) / 128, 128>>>(d_rows, d_columns, d_values, d_x, d_y, n);
    if (way == 1) spmv_vector<<<(n * 32 + 127) / 128, 128>>>(d_rows, d_columns, d_values, d_x, d_y, n);
    std::vector<double> y(n);
    cudaMemcpy(y.data(), d_y, n * sizeof(double), cudaMemcpyDeviceToHost);
    for (int i = 0; i < n; ++i) {
      double sum = 0;
      for (int e = rows[i]; e < rows[i + 1]; ++e) sum += values[e] * x[columns[e]];
      failures += fabs(sum - y[i]) > 1e-12 * (1 + fabs(sum));
    }
  }
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
