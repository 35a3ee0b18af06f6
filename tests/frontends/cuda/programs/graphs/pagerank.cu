// PageRank on a compressed graph: pull with gathers, push with atomics on doubles, until it settles.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <numeric>
#include <vector>

using real = double;

struct Graph {
  int n;
  const int *row, *col, *degree;
};

__device__ real dangling;
__device__ real change;

__global__ void contributions(Graph g, const real *rank, real *share) {
  int v = blockIdx.x * blockDim.x + threadIdx.x;
  if (v >= g.n) return;
  if (g.degree[v] == 0) {
    atomicAdd(&dangling, rank[v]);
    share[v] = 0;
  } else {
    share[v] = rank[v] / g.degree[v];
  }
}

__global__ void pull(Graph g, const real *__restrict__ share, const real *__restrict__ rank, real *next, real damping) {
  int v = blockIdx.x * blockDim.x + threadIdx.x;
  real delta = 0;
  if (v < g.n) {
    real sum = 0;
    for (int e = g.row[v]; e < g.row[v + 1]; ++e) sum += __ldg(&share[g.col[e]]);
    next[v] = (1 - damping) / g.n + damping * (sum + dangling / g.n);
    delta = fabs(next[v] - rank[v]);
  }
  for (int o = 16; o; o >>= 1) delta += __shfl_down_sync(0xffffffffu, delta, o);
  if ((threadIdx.x & 31) == 0) atomicAdd(&change, delta);
}

template <typename T>
T *upload(const std::vector<T> &v) {
  T *p = nullptr;
  if (cudaMalloc(&p, v.size() * sizeof(T)) != cudaSuccess) exit(2);
  cudaMemcpy(p, v.data(), v.size() * sizeof(T), cudaMemcpyHostToDevice);
  return p;
}

int main() {
  const int n = 1003;
  const real damping = 0.85;
  std::vector<std::vector<int>> in(n);
  std::vector<int> degree(n), row{0}, col;
  for (int v = 0; v < n; ++v) {
    degree[v] = v % 17 == 0 ? 0 : 1 + rand() % 8;
    for (int e = 0; e < degree[v]; ++e) in[rand() % (1 + rand() % n)].push_back(v);
  }
  for (auto &list : in) {
    col.insert(col.end(), list.begin(), list.end());
    row.push_back((int)col.size());
  }
  Graph g{n, upload(row), upload(col), upload(degree)};
  std::vector<real> rank(n, 1.0 / n), got(n);
  real *d_rank = upload(rank), *d_next = upload(rank), *d_share = upload(rank), zero = 0, moved = 1;
  int rounds = 0;
  for (; moved > 1e-10 && rounds < 200; ++rounds) {
    cudaMemcpyToSymbol(dangling, &zero, sizeof zero);
    cudaMemcpyToSymbol(change, &zero, sizeof zero);
    contributions<<<(n + 127) / 128, 128>>>(g, d_rank, d_share);
    pull<<<(n + 127) / 128, 128>>>(g, d_share, d_rank, d_next, damping);
    cudaMemcpyFromSymbol(&moved, change, sizeof moved);
    std::swap(d_rank, d_next);
  }
  cudaMemcpy(got.data(), d_rank, n * sizeof(real), cudaMemcpyDeviceToHost);
  for (int round = 0; round < rounds; ++round) {
    std::vector<real> next(n);
    real lost = 0;
    for (int v = 0; v < n; ++v) lost += degree[v] ? 0 : rank[v];
    for (int v = 0; v < n; ++v) {
      real sum = 0;
      for (int u : in[v]) sum += rank[u] / degree[u];
      next[v] = (1 - damping) / n + damping * (sum + lost / n);
    }
    rank.swap(next);
  }
  real worst = 0;
  for (int v = 0; v < n; ++v) worst = std::fmax(worst, std::isnan(got[v]) ? 1 : std::fabs(got[v] - rank[v]) / rank[v]);
  real total = std::accumulate(got.begin(), got.end(), 0.0);
  printf("%d rounds, sum %.12f, off by %g\n", rounds, total, worst);
  bool good = cudaGetLastError() == cudaSuccess && worst < 1e-9 && std::fabs(total - 1) < 1e-9 && rounds > 20 && rounds < 200;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
