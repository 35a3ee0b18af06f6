// prints: block 1, thread 2: 7.50 of A
// Kernels that print, allocate, look at the clock and assert; a list built in a kernel and taken apart in another.
#include <cassert>
#include <cstdio>
#include <cstdlib>

struct Node {
  int value;
  Node *next;
};
__device__ Node *heads[4];

__global__ void build(int n) {
  Node *head = nullptr;
  for (int i = 0; i < n; i++) {
    Node *node = (Node *)malloc(sizeof(Node));
    assert(node != nullptr && "the heap of kernels is large enough");
    node->value = i * (threadIdx.x + 1), node->next = head;
    head = node;
  }
  heads[threadIdx.x] = head;
}

__global__ void take_apart(int *sums, int *lengths) {
  for (Node *node = heads[threadIdx.x]; node;) {
    sums[threadIdx.x] += node->value, lengths[threadIdx.x]++;
    Node *next = node->next;
    free(node);
    node = next;
  }
}

__global__ void objects(double *out) {
  double *values = new double[threadIdx.x + 1];
  for (int i = 0; i <= threadIdx.x; i++) values[i] = i + 0.5;
  double sum = 0;
  for (int i = 0; i <= threadIdx.x; i++) sum += values[i];
  delete[] values;
  out[threadIdx.x] = sum;
}

__global__ void say(float x, const char *ignored) {
  if (threadIdx.x == 2) printf("block %d, thread %d: %.2f of %c\n", blockIdx.x, threadIdx.x, x * (blockIdx.x + 2), 'A');
}

__global__ void measure(long long *cycles, unsigned *state) {
  long long start = clock64();
  clock_t before = clock();
  unsigned s = threadIdx.x;
  for (int i = 0; i < 2000; i++) s = s * 1664525u + 1013904223u;
  state[threadIdx.x] = s;
  cycles[2 * threadIdx.x] = clock64() - start;
  cycles[2 * threadIdx.x + 1] = clock() - before;
}

int main() {
  bool good = true;
  int *sums, *lengths;
  double *out;
  long long *cycles;
  unsigned *state;
  cudaMallocManaged(&sums, 16), cudaMallocManaged(&lengths, 16), cudaMallocManaged(&out, 32 * 8);
  cudaMallocManaged(&cycles, 64 * 8), cudaMallocManaged(&state, 32 * 4);
  cudaDeviceSetLimit(cudaLimitMallocHeapSize, 1 << 20);
  for (int t = 0; t < 4; t++) sums[t] = lengths[t] = 0;
  build<<<1, 4>>>(50);
  take_apart<<<1, 4>>>(sums, lengths);
  objects<<<1, 32>>>(out);
  say<<<3, 4>>>(2.5f, nullptr);
  measure<<<1, 32>>>(cycles, state);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  for (int t = 0; t < 4; t++) good &= lengths[t] == 50 && sums[t] == 1225 * (t + 1);
  for (int t = 0; t < 32; t++) {
    unsigned s = t;
    for (int i = 0; i < 2000; i++) s = s * 1664525u + 1013904223u;
    good &= out[t] == (t + 1) * (t + 1) / 2.0 && state[t] == s && cycles[2 * t] > 0 && cycles[2 * t + 1] > 0 && cycles[2 * t] < 4000000000ll;
  }
  build<<<1, 1>>>(1 << 20);  // more than the heap holds: the assertion fails
  good &= cudaDeviceSynchronize() == cudaErrorAssert;
  puts(good ? "PASS" : "FAIL");
  return !good;
}
