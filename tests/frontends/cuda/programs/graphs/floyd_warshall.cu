// All shortest paths: Floyd-Warshall in tiles (diagonal, cross, rest), and the paths themselves.
#include <cstdio>
#include <cstdlib>
#include <vector>

#define B 16
#define INF 1000000

__device__ __forceinline__ void relax(int &d, int &via, int candidate, int k) {
  if (candidate < d) d = candidate, via = k;
}

__global__ void phase1(int *dist, int *via, int n, int k) {
  __shared__ int t[B][B];
  int r = k * B + threadIdx.y, c = k * B + threadIdx.x;
  int d = t[threadIdx.y][threadIdx.x] = dist[r * n + c], v = via[r * n + c];
  __syncthreads();
  for (int m = 0; m < B; m++) {
    relax(d, v, t[threadIdx.y][m] + t[m][threadIdx.x], k * B + m);
    __syncthreads();
    t[threadIdx.y][threadIdx.x] = d;
    __syncthreads();
  }
  dist[r * n + c] = d, via[r * n + c] = v;
}

__global__ void phase2(int *dist, int *via, int n, int k) {
  if (blockIdx.x == k) return;
  __shared__ int diagonal[B][B], own[B][B];
  bool is_row = blockIdx.y == 0;
  int r = (is_row ? k : blockIdx.x) * B + threadIdx.y, c = (is_row ? blockIdx.x : k) * B + threadIdx.x;
  diagonal[threadIdx.y][threadIdx.x] = dist[(k * B + threadIdx.y) * n + k * B + threadIdx.x];
  int d = own[threadIdx.y][threadIdx.x] = dist[r * n + c], v = via[r * n + c];
  __syncthreads();
  for (int m = 0; m < B; m++) {
    if (is_row)
      relax(d, v, diagonal[threadIdx.y][m] + own[m][threadIdx.x], k * B + m);
    else
      relax(d, v, own[threadIdx.y][m] + diagonal[m][threadIdx.x], k * B + m);
    __syncthreads();
    own[threadIdx.y][threadIdx.x] = d;
    __syncthreads();
  }
  dist[r * n + c] = d, via[r * n + c] = v;
}

__global__ void phase3(int *dist, int *via, int n, int k) {
  if (blockIdx.x == k || blockIdx.y == k) return;
  __shared__ int left[B][B], top[B][B];
  int r = blockIdx.y * B + threadIdx.y, c = blockIdx.x * B + threadIdx.x;
  left[threadIdx.y][threadIdx.x] = dist[r * n + k * B + threadIdx.x];
  top[threadIdx.y][threadIdx.x] = dist[(k * B + threadIdx.y) * n + c];
  __syncthreads();
  int d = dist[r * n + c], v = via[r * n + c];
#pragma unroll
  for (int m = 0; m < B; m++) relax(d, v, left[threadIdx.y][m] + top[m][threadIdx.x], k * B + m);
  dist[r * n + c] = d, via[r * n + c] = v;
}

static int length(const std::vector<int> &edge, const std::vector<int> &via, int n, int a, int b, int depth = 0) {
  int v = via[a * n + b];
  if (v < 0 || depth > n) return edge[a * n + b];
  return length(edge, via, n, a, v, depth + 1) + length(edge, via, n, v, b, depth + 1);
}

int main() {
  const int n = 5 * B, bytes = n * n * sizeof(int);
  std::vector<int> edge(n * n, INF), dist(n * n), via(n * n, -1), expected;
  for (int i = 0; i < n; i++) {
    for (int e = 0; e < 4; e++) edge[i * n + rand() % n] = 1 + rand() % 100;
    edge[i * n + i] = 0;
  }
  int *d_dist, *d_via;
  cudaMalloc(&d_dist, bytes);
  cudaMalloc(&d_via, bytes);
  cudaMemcpy(d_dist, edge.data(), bytes, cudaMemcpyHostToDevice);
  cudaMemcpy(d_via, via.data(), bytes, cudaMemcpyHostToDevice);
  dim3 threads(B, B);
  for (int k = 0; k < n / B; k++) {
    phase1<<<1, threads>>>(d_dist, d_via, n, k);
    phase2<<<dim3(n / B, 2), threads>>>(d_dist, d_via, n, k);
    phase3<<<dim3(n / B, n / B), threads>>>(d_dist, d_via, n, k);
  }
  cudaMemcpy(dist.data(), d_dist, bytes, cudaMemcpyDeviceToHost);
  cudaMemcpy(via.data(), d_via, bytes, cudaMemcpyDeviceToHost);
  expected = edge;
  for (int k = 0; k < n; k++)
    for (int i = 0; i < n; i++)
      for (int j = 0; j < n; j++)
        if (expected[i * n + k] + expected[k * n + j] < expected[i * n + j]) expected[i * n + j] = expected[i * n + k] + expected[k * n + j];
  bool good = cudaGetLastError() == cudaSuccess && dist == expected;
  for (int i = 0; good && i < n * n; i++)
    if (expected[i] < INF && length(edge, via, n, i / n, i % n) != expected[i]) good = false;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
