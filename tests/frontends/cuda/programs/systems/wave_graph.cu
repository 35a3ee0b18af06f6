// The wave equation: one time step captured as a graph and launched many times, with a parameter updated between.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <utility>
#include <vector>
#include <cuda_runtime.h>

#define OK(call)                                                               \
  if (cudaError_t e = call) {                                                  \
    printf("%s: %s\nFAIL\n", #call, cudaGetErrorName(e));                      \
    return 1;                                                                  \
  }

__device__ double energy;

__global__ void wave(const double *before, const double *now, double *next, int n, double c2) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) next[i] = i == 0 || i == n - 1 ? 0.0 : 2 * now[i] - before[i] + c2 * (now[i - 1] - 2 * now[i] + now[i + 1]);
}

__global__ void square_sum(const double *now, int n) {
  double sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += now[i] * now[i];
  atomicAdd(&energy, sum);
}

int main() {
  const int n = 500, bytes = n * sizeof(double), rounds = 12;
  std::vector<double> u[3] = {std::vector<double>(n), std::vector<double>(n), std::vector<double>(n)}, got(n);
  for (int i = 0; i < n; i++) u[0][i] = u[1][i] = std::exp(-0.01 * (i - 200) * (i - 200));
  u[0][0] = u[1][0] = u[0][n - 1] = u[1][n - 1] = 0;
  double *d[3];
  for (int k = 0; k < 3; k++) {
    OK(cudaMalloc(&d[k], bytes));
    OK(cudaMemcpy(d[k], u[k].data(), bytes, cudaMemcpyHostToDevice));
  }
  cudaStream_t stream, side;
  OK(cudaStreamCreate(&stream));
  OK(cudaStreamCreate(&side));
  cudaEvent_t fork, join;
  OK(cudaEventCreate(&fork));
  OK(cudaEventCreate(&join));
  cudaGraph_t graph;
  cudaGraphExec_t exec;
  // Three steps bring the buffers back to where they were; the sums run beside them.
  OK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeGlobal));
  for (int k = 0; k < 3; k++) wave<<<(n + 127) / 128, 128, 0, stream>>>(d[k], d[(k + 1) % 3], d[(k + 2) % 3], n, 0.25);
  OK(cudaEventRecord(fork, stream));
  OK(cudaStreamWaitEvent(side, fork, 0));
  square_sum<<<1, 64, 0, side>>>(d[1], n);
  OK(cudaEventRecord(join, side));
  OK(cudaStreamWaitEvent(stream, join, 0));
  OK(cudaStreamEndCapture(stream, &graph));
  size_t nodes = 0;
  OK(cudaGraphGetNodes(graph, nullptr, &nodes));
  OK(cudaGraphInstantiate(&exec, graph, nullptr, nullptr, 0));
  OK(cudaMemcpy(got.data(), d[2], bytes, cudaMemcpyDeviceToHost));
  bool good = nodes == 4 && got == u[2];  // capturing has run nothing
  for (int r = 0; r < rounds; r++) OK(cudaGraphLaunch(exec, stream));
  OK(cudaStreamSynchronize(stream));
  double expected = 0, found = -1;
  for (int r = 0; r < rounds; r++) {
    for (int k = 0; k < 3; k++) {
      auto &before = u[k], &now = u[(k + 1) % 3], &next = u[(k + 2) % 3];
      for (int i = 0; i < n; i++) next[i] = i == 0 || i == n - 1 ? 0.0 : 2 * now[i] - before[i] + 0.25 * (now[i - 1] - 2 * now[i] + now[i + 1]);
    }
    for (double x : u[1]) expected += x * x;
  }
  OK(cudaMemcpyFromSymbol(&found, energy, sizeof found));
  OK(cudaMemcpy(got.data(), d[1], bytes, cudaMemcpyDeviceToHost));
  double worst = 0;
  for (int i = 0; i < n; i++) worst = std::fmax(worst, std::isnan(got[i]) ? 1e9 : std::fabs(got[i] - u[1][i]));
  printf("%zu nodes, off by %g, energy %g (%g)\n", nodes, worst, found, expected);
  good &= worst < 1e-12 && std::fabs(found - expected) < 1e-9 * expected;
  OK(cudaGraphExecDestroy(exec));
  OK(cudaGraphDestroy(graph));
  puts(good ? "PASS" : "FAIL");
  return !good;
}
