// Virtual functions of objects made on the device, and arithmetic that says whether it overflowed.
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <new>

static int failures = 0;
#define CHECK(c) do { if (!(c)) { printf("FAIL line %d\n", __LINE__); failures++; } } while (0)

struct Shape {
  __device__ virtual ~Shape() {}
  __device__ virtual float area() const = 0;
  __device__ virtual int corners() const { return 0; }
};
__device__ int destroyed;
struct Disc : Shape {
  float r;
  __device__ Disc(float r) : r(r) {}
  __device__ ~Disc() { atomicAdd(&destroyed, 1); }
  __device__ float area() const override { return 3.0f * r * r; }
};
struct Box : Shape {
  float a, b;
  __device__ Box(float a, float b) : a(a), b(b) {}
  __device__ ~Box() { atomicAdd(&destroyed, 100); }
  __device__ float area() const override { return a * b; }
  __device__ int corners() const override { return 4; }
};
struct Cube : Box {  // a second level, which calls its base
  __device__ Cube(float a) : Box(a, a) {}
  __device__ float area() const override { return 6 * Box::area(); }
};

__global__ void make(Shape** shapes, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  if (i % 3 == 0) shapes[i] = new Disc(i);
  else if (i % 3 == 1) shapes[i] = new Box(i, 2);
  else shapes[i] = new Cube(i);
}
__global__ void measure(Shape** shapes, float* areas, int* corners, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) areas[i] = shapes[i]->area(), corners[i] = shapes[i]->corners();
}
__global__ void destroy(Shape** shapes, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) delete shapes[i];
}
__global__ void in_shared_memory(float* out) {
  __shared__ alignas(16) unsigned char place[sizeof(Box)];
  __shared__ Shape* shape;
  if (threadIdx.x == 0) shape = new (place) Box(blockIdx.x, 7);
  __syncthreads();
  out[blockIdx.x * blockDim.x + threadIdx.x] = shape->area() + threadIdx.x;
}

// An array whose length only the device knows; and the checked operations of clang and GCC.
__global__ void arrays(int* out) {
  int n = threadIdx.x + 1;
  int* values = new int[n];
  for (int k = 0; k < n; k++) values[k] = k * 3;
  int sum = 0;
  for (int k = 0; k < n; k++) sum += values[k];
  delete[] values;
  out[threadIdx.x] = sum;
}
template <class T> struct Overflows { T sum, difference, product; int which; };
template <class T> __host__ __device__ Overflows<T> checked(T a, T b) {
  Overflows<T> r;
  r.which = __builtin_add_overflow(a, b, &r.sum) ? 1 : 0;
  r.which |= __builtin_sub_overflow(a, b, &r.difference) ? 2 : 0;
  r.which |= __builtin_mul_overflow(a, b, &r.product) ? 4 : 0;
  return r;
}
template <class T> __global__ void check_all(const T* a, const T* b, Overflows<T>* out) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  out[i] = checked(a[i], b[i]);
}
template <class T> void overflows(T least, T most) {
  const int n = 256;
  T *a, *b;
  Overflows<T>* out;
  cudaMallocManaged(&a, n * sizeof(T)), cudaMallocManaged(&b, n * sizeof(T));
  cudaMallocManaged(&out, n * sizeof(*out));
  const T special[] = {0, 1, (T)-1, least, most, 2, (T)(most / 2), (T)(least / 2)};
  for (int i = 0; i < n; i++) {
    a[i] = i < 64 ? special[i / 8] : (T)((unsigned long long)rand() * rand() * rand() >> (i % 40));
    b[i] = i < 64 ? special[i % 8] : (T)((unsigned long long)rand() * rand() * rand() >> (i / 3 % 40));
  }
  check_all<<<2, 128>>>(a, b, out);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  for (int i = 0; i < n; i++) {
    Overflows<T> want = checked(a[i], b[i]);
    CHECK(out[i].which == want.which && out[i].sum == want.sum);
    CHECK(out[i].difference == want.difference && out[i].product == want.product);
  }
}

int main() {
  srand(time(nullptr));
  const int n = 331;
  Shape** shapes;
  float* areas;
  int* corners;
  cudaMalloc(&shapes, n * sizeof(Shape*));
  cudaMallocManaged(&areas, 1024 * sizeof(float)), cudaMallocManaged(&corners, n * sizeof(int));
  make<<<3, 128>>>(shapes, n);
  measure<<<3, 128>>>(shapes, areas, corners, n);
  destroy<<<3, 128>>>(shapes, n);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  for (int i = 0; i < n; i++) {
    float f = i;
    CHECK(areas[i] == (i % 3 == 0 ? 3 * f * f : i % 3 == 1 ? f * 2 : 6 * f * f));
    CHECK(corners[i] == (i % 3 ? 4 : 0));
  }
  int gone = 0;
  cudaMemcpyFromSymbol(&gone, destroyed, sizeof gone);
  CHECK(gone == (n + 2) / 3 + 100 * (n - (n + 2) / 3));
  in_shared_memory<<<4, 64>>>(areas);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  for (int i = 0; i < 256; i++) CHECK(areas[i] == i / 64 * 7 + i % 64);
  arrays<<<1, 100>>>(corners);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  for (int i = 0; i < 100; i++) CHECK(corners[i] == 3 * i * (i + 1) / 2);
  overflows<int>(INT_MIN, INT_MAX);
  overflows<unsigned>(0, UINT_MAX);
  overflows<long long>(LLONG_MIN, LLONG_MAX);
  overflows<unsigned long long>(0, ULLONG_MAX);
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
