// Code from before __syncwarp whose lanes also wait for what others write. (A race by today's rules,
// which the check reports.)
#include <cstdio>
#include <cstring>

// Lanes poll for values of earlier rows, each going on where it has found one, and then add up in
// shared memory as a warp that moves together may: without __syncwarp.
__global__ void rows_in_order(const int* first, const int* need, int* ready, int* x, int rows) {
  __shared__ int parts[96];
  int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, lane = threadIdx.x % 32, sum = 0;
  if (row >= rows) return;
  int at = first[row] + lane;
  while (at < first[row + 1]) {
    const volatile int* flag = ready + need[at];
    if (*flag == 1) {
      __threadfence();
      sum += x[need[at]];
      at += 32;
    }
  }
  parts[threadIdx.x] = sum;
  for (int step = 16; step > 0; step /= 2)
    if (lane < step) parts[threadIdx.x] += parts[threadIdx.x + step];
  if (lane == 0) {
    x[row] = parts[threadIdx.x] % 1000 + row;
    __threadfence();
    *(volatile int*)(ready + row) = 1;
  }
}

int main() {
  const int rows = 250;
  int first[rows + 1] = {0}, want[rows], *starts, *need, *ready, *x;
  cudaMallocManaged(&starts, sizeof first), cudaMallocManaged(&need, 60 * sizeof want);
  cudaMallocManaged(&ready, sizeof want), cudaMallocManaged(&x, sizeof want);
  for (int i = 0; i < rows; i++) {
    int sum = 0, at = first[i];
    for (int j = i - 1; j >= 0 && j > i - 60; j--) need[at++] = j, sum += want[j];
    first[i + 1] = at, want[i] = sum % 1000 + i, ready[i] = 0;
  }
  memcpy(starts, first, sizeof first);
  rows_in_order<<<(rows + 2) / 3, 96>>>(starts, need, ready, x, rows);
  bool good = cudaDeviceSynchronize() == cudaSuccess;
  for (int i = 0; i < rows; i++) good = good && x[i] == want[i];
  puts(good ? "PASS" : "FAIL");
  return !good;
}
