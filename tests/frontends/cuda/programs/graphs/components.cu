// Connected components: label propagation with a changed-flag, and union-find with compare-and-swap.
#include <cstdio>
#include <cstdlib>
#include <map>
#include <numeric>
#include <vector>

__global__ void init(int *label, int n) {
  int v = blockIdx.x * blockDim.x + threadIdx.x;
  if (v < n) label[v] = v;
}

__global__ void propagate(const int2 *edges, int m, int *label, bool *changed) {
  int e = blockIdx.x * blockDim.x + threadIdx.x;
  if (e >= m) return;
  int2 edge = edges[e];
  int a = label[edge.x], b = label[edge.y];
  if (a == b) return;
  int low = min(a, b);
  if (atomicMin(&label[edge.x], low) > low || atomicMin(&label[edge.y], low) > low) *changed = true;
}

__device__ int find(volatile int *parent, int v) {
  while (true) {
    int p = parent[v];
    if (p == v) return v;
    int g = parent[p];
    parent[v] = g;  // halves the path
    v = g;
  }
}

__global__ void unite(const int2 *edges, int m, int *parent) {
  int e = blockIdx.x * blockDim.x + threadIdx.x;
  if (e >= m) return;
  int a = edges[e].x, b = edges[e].y;
  while (true) {
    a = find(parent, a);
    b = find(parent, b);
    if (a == b) break;
    int high = a > b ? a : b, low = a > b ? b : a;
    if (atomicCAS(&parent[high], high, low) == high) break;
  }
}

__global__ void flatten(int *parent, int n, unsigned int *roots) {
  int v = blockIdx.x * blockDim.x + threadIdx.x;
  if (v >= n) return;
  int root = find(parent, v);
  if (root == v) atomicInc(roots, 0xffffffffu);
  parent[v] = root;
}

int main() {
  const int n = 1501, m = 1400;
  std::vector<int2> edges(m);
  for (int2 &e : edges) e = make_int2(rand() % n, rand() % n);
  std::vector<int> truth(n);
  std::iota(truth.begin(), truth.end(), 0);
  for (bool again = true; again;) {
    again = false;
    for (const int2 &e : edges) {
      int low = truth[e.x] < truth[e.y] ? truth[e.x] : truth[e.y];
      again |= truth[e.x] != low || truth[e.y] != low;
      truth[e.x] = truth[e.y] = low;
    }
  }
  unsigned int components = 0;
  for (int v = 0; v < n; v++) components += truth[v] == v;
  int2 *d_edges;
  int *label;
  bool *changed;
  unsigned int *roots;
  cudaMalloc(&d_edges, m * sizeof(int2));
  cudaMemcpy(d_edges, edges.data(), m * sizeof(int2), cudaMemcpyHostToDevice);
  cudaMallocManaged(&label, n * sizeof(int));
  cudaMallocManaged(&changed, sizeof(bool));
  cudaMallocManaged(&roots, sizeof(unsigned int));
  bool good = true;
  init<<<(n + 255) / 256, 256>>>(label, n);
  int rounds = 0;
  do {
    *changed = false;
    propagate<<<(m + 255) / 256, 256>>>(d_edges, m, label, changed);
    cudaDeviceSynchronize();
  } while (*changed && ++rounds < n);
  for (int v = 0; v < n; v++) good &= label[v] == truth[v];
  *roots = 0;
  init<<<(n + 255) / 256, 256>>>(label, n);
  unite<<<(m + 255) / 256, 256>>>(d_edges, m, label);
  flatten<<<(n + 255) / 256, 256>>>(label, n, roots);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  for (int v = 0; v < n; v++) good &= label[v] == truth[v];
  printf("%u components, %u found, %d rounds\n", components, *roots, rounds);
  good &= *roots == components;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
