// __managed__ variables: host and device see each other's changes.
#include <cstdio>
struct Pair {
  int a;
  float b;
};
__managed__ int counter = 4;
__device__ __managed__ float values[3] = {1, 2, 3};
__managed__ Pair pair;
__managed__ int* pointer;
namespace inner {
static __managed__ int hidden = 2;
}
__global__ void use() {
  atomicAdd(&counter, 3);
  if (threadIdx.x) return;
  values[1] = 7;
  pair.b = 2.5f;
  inner::hidden *= pair.a;
  pointer[1] = values[0];
}
int main() {
  if (counter != 4 || values[2] != 3 || inner::hidden != 2) return printf("initial\n");
  counter = 10;
  values[0] = 5;
  pair.a = 21;
  cudaMallocManaged(&pointer, 64);
  use<<<1, 32>>>();
  if (cudaDeviceSynchronize() != cudaSuccess) return printf("failed\n");
  int copy;
  cudaMemcpyFromSymbol(&copy, counter, sizeof copy);
  bool right = counter == 106 && copy == 106 && values[1] == 7 && pair.b == 2.5f;
  right = right && inner::hidden == 42 && pointer[1] == 5;
  if (right) printf("PASS\n");
  else printf("%d %d %g %g %d\n", counter, copy, values[1], pair.b, inner::hidden);
  return !right;
}
