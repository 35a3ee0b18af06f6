// Virtual functions of objects made in kernels: interfaces, overriders, several bases, destructors.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <new>

__device__ int destroyed;

struct Named {
  __device__ virtual int id(int more) const { return 1 + more; }
  __device__ virtual ~Named() { atomicAdd(&destroyed, 1); }
};
struct Shape {
  __device__ virtual float area(float scale) const = 0;
  __device__ virtual void grow(float by) = 0;
  __device__ virtual ~Shape() { atomicAdd(&destroyed, 100); }
};
struct Square : Shape, Named {
  float side;
  __device__ explicit Square(float s) : side(s) {}
  __device__ float area(float scale) const override { return scale * side * side; }
  __device__ void grow(float by) override { side += by; }
};
struct Box : Square {
  float other;
  __device__ Box(float a, float b) : Square(a), other(b) {}
  __device__ float area(float scale) const override { return scale * side * other + Square::area(0); }
  __device__ int id(int more) const override { return 2 + more * (int)other; }
};
// A thread's own objects, called through a reference.
__device__ float both(const Shape& a, const Shape& b) { return a.area(1) + b.area(2); }

__global__ void make(Shape** shapes, Named** names, const int* kinds) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  Square* made = kinds[i] % 3 ? new Square(i) : new Box(i, 2);
  shapes[i] = made, names[i] = made;
}
__global__ void use(Shape** shapes, Named** names, float* areas, int* ids) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  shapes[i]->grow(1);
  Square own(3);
  Box box(i, 5);
  areas[i] = shapes[i]->area(2) + both(own, box), ids[i] = names[i]->id(i);
}
__global__ void clear(Shape** shapes) { delete shapes[blockIdx.x * blockDim.x + threadIdx.x]; }

int main() {
  const int n = 192;
  srand(time(nullptr));
  Shape** shapes;
  Named** names;
  float* areas;
  int *ids, *kinds, count = 0, failures = 0;
  cudaMallocManaged(&shapes, n * sizeof *shapes), cudaMallocManaged(&names, n * sizeof *names);
  cudaMallocManaged(&areas, n * sizeof *areas), cudaMallocManaged(&ids, n * sizeof *ids);
  cudaMallocManaged(&kinds, n * sizeof *kinds);
  for (int i = 0; i < n; i++) kinds[i] = rand();
  make<<<3, n / 3>>>(shapes, names, kinds), use<<<3, n / 3>>>(shapes, names, areas, ids), clear<<<3, n / 3>>>(shapes);
  cudaMemcpyFromSymbol(&count, destroyed, sizeof count);
  // Each Square ends both of its bases; so do the two of each thread's own.
  if (count != 101 * 3 * n) failures++, printf("%d destroyed\n", count);
  for (int i = 0; i < n; i++) {
    bool is_box = kinds[i] % 3 == 0;
    float area = (is_box ? 2.0f * (i + 1) * 2 : 2.0f * (i + 1) * (i + 1)) + 9 + 2.0f * i * 5;
    int id = is_box ? 2 + i * 2 : 1 + i;
    if ((areas[i] != area || ids[i] != id) && failures++ < 10) printf("%d: %g, %d\n", i, areas[i], ids[i]);
  }
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
