// Single-source shortest paths with float weights: Bellman-Ford with atomicMin on a float's bits, work lists.
#include <cfloat>
#include <cstdio>
#include <cstdlib>
#include <queue>
#include <vector>

__device__ float atomicMinFloat(float *address, float value) {
  return value >= 0 ? __int_as_float(atomicMin((int *)address, __float_as_int(value)))
                    : __uint_as_float(atomicMax((unsigned int *)address, __float_as_uint(value)));
}

struct CSR {
  int vertices, edges;
  int *offsets, *targets;
  float *weights;
};

__global__ void relax(CSR g, const int *list, int size, int *next, int *next_size, float *dist, int *queued, int round) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < size; i += gridDim.x * blockDim.x) {
    const int u = list[i];
    const float du = dist[u];
    for (int e = g.offsets[u]; e != g.offsets[u + 1]; e++) {
      const int v = g.targets[e];
      const float candidate = du + g.weights[e];
      if (atomicMinFloat(&dist[v], candidate) > candidate && atomicExch(&queued[v], round) != round) next[atomicAdd(next_size, 1)] = v;
    }
  }
}

int main() {
  const int n = 2000;
  std::vector<int> offsets{0}, targets;
  std::vector<float> weights;
  for (int v = 0; v < n; v++) {
    for (int e = rand() % 6; e >= 0; e--) {
      targets.push_back(rand() % 4 ? (v + 1 + rand() % 20) % n : rand() % n);
      weights.push_back((1 + rand() % 1000) / 64.0f);  // sums are exact
    }
    offsets.push_back((int)targets.size());
  }
  std::vector<float> expected(n, FLT_MAX), got(n);
  std::priority_queue<std::pair<float, int>, std::vector<std::pair<float, int>>, std::greater<>> heap;
  heap.push({expected[0] = 0, 0});
  while (!heap.empty()) {
    auto [d, u] = heap.top();
    heap.pop();
    if (d > expected[u]) continue;
    for (int e = offsets[u]; e < offsets[u + 1]; e++)
      if (d + weights[e] < expected[targets[e]]) heap.push({expected[targets[e]] = d + weights[e], targets[e]});
  }
  CSR g{n, (int)targets.size()};
  float *dist;
  int *lists[2], *size, *queued;
  cudaMalloc(&g.offsets, offsets.size() * sizeof(int));
  cudaMalloc(&g.targets, targets.size() * sizeof(int));
  cudaMalloc(&g.weights, weights.size() * sizeof(float));
  cudaMalloc(&dist, n * sizeof(float)), cudaMalloc(&queued, n * sizeof(int)), cudaMalloc(&size, sizeof(int));
  for (int **list : {&lists[0], &lists[1]}) cudaMalloc(list, n * sizeof(int));
  cudaMemcpy(g.offsets, offsets.data(), offsets.size() * sizeof(int), cudaMemcpyHostToDevice);
  cudaMemcpy(g.targets, targets.data(), targets.size() * sizeof(int), cudaMemcpyHostToDevice);
  cudaMemcpy(g.weights, weights.data(), weights.size() * sizeof(float), cudaMemcpyHostToDevice);
  std::vector<float> start(n, FLT_MAX);
  start[0] = 0;
  cudaMemcpy(dist, start.data(), n * sizeof(float), cudaMemcpyHostToDevice);
  cudaMemset(queued, 0xff, n * sizeof(int));
  cudaMemset(lists[0], 0, sizeof(int));
  int current = 1, round = 0;
  for (; current > 0 && round < n; round++) {
    cudaMemset(size, 0, sizeof(int));
    relax<<<8, 64>>>(g, lists[round % 2], current, lists[(round + 1) % 2], size, dist, queued, round);
    cudaMemcpy(&current, size, sizeof(int), cudaMemcpyDeviceToHost);
  }
  cudaMemcpy(got.data(), dist, n * sizeof(float), cudaMemcpyDeviceToHost);
  bool good = cudaGetLastError() == cudaSuccess && got == expected;
  printf("%d rounds\n%s\n", round, good ? "PASS" : "FAIL");
  return good ? 0 : 1;
}
