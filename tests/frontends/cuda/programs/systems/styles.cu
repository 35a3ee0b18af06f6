// C++ as people write it for GPUs: lambdas, variadic and recursive templates, CRTP, functors in tables, constexpr, iterators.
#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <tuple>
#include <type_traits>
#include <utility>
#include <vector>

template <typename F, typename... Args>
__global__ void for_each_index(int n, F f, Args... args) {
  for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += blockDim.x * gridDim.x) f(i, args...);
}

template <typename Derived>
struct Activation {
  __host__ __device__ float operator()(float x) const { return static_cast<const Derived *>(this)->value(x); }
};
struct Relu : Activation<Relu> {
  __host__ __device__ float value(float x) const { return x > 0 ? x : 0; }
};
struct Leaky : Activation<Leaky> {
  float slope;
  __host__ __device__ explicit Leaky(float s) : slope(s) {}
  __host__ __device__ float value(float x) const { return x > 0 ? x : slope * x; }
};

// Expression templates: one kernel per formula.
template <typename L, typename R, typename Op>
struct Binary {
  L l;
  R r;
  __host__ __device__ auto operator[](int i) const { return Op::apply(l[i], r[i]); }
};
struct Plus { template <class A, class B> __host__ __device__ static auto apply(A a, B b) { return a + b; } };
struct Times { template <class A, class B> __host__ __device__ static auto apply(A a, B b) { return a * b; } };
struct Vec {
  const double *p;
  __host__ __device__ double operator[](int i) const { return p[i]; }
};
template <typename T> struct is_expression : std::false_type {};
template <> struct is_expression<Vec> : std::true_type {};
template <class L, class R, class O> struct is_expression<Binary<L, R, O>> : std::true_type {};
template <class L, class R, class = std::enable_if_t<is_expression<L>::value && is_expression<R>::value>>
Binary<L, R, Plus> operator+(L l, R r) { return {l, r}; }
template <class L, class R, class = std::enable_if_t<is_expression<L>::value && is_expression<R>::value>>
Binary<L, R, Times> operator*(L l, R r) { return {l, r}; }

template <typename E>
__global__ void evaluate(E e, double *out, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) out[i] = e[i];
}

template <int N>
struct Power {
  template <typename T> __host__ __device__ static constexpr T of(T x) { return x * Power<N - 1>::of(x); }
};
template <>
struct Power<0> {
  template <typename T> __host__ __device__ static constexpr T of(T) { return T(1); }
};
template <typename... T> __host__ __device__ constexpr auto sum_of(T... v) { return (v + ...); }
constexpr std::array<int, 5> primes = {2, 3, 5, 7, 11};

typedef int (*Operation)(int, int);
__device__ int add(int a, int b) { return a + b; }
__device__ int subtract(int a, int b) { return a - b; }
__device__ int least(int a, int b) { return a < b ? a : b; }
__device__ Operation operations[] = {add, subtract, least};

template <typename Function>
__global__ void __launch_bounds__(64) tables(const int *a, const int *b, int *out, int n, Function chosen) {
  int i = threadIdx.x;
  if (i >= n) return;
  out[i] = operations[i % 3](a[i], b[i]) + chosen(i);
}

struct Fibonacci {
  __host__ __device__ static int of(int n, int a = 0, int b = 1) { return n == 0 ? a : of(n - 1, b, a + b); }
  __host__ __device__ int operator()(int i) const { return of(i % 12); }
};

class Base {
 public:
  __device__ virtual float area() const = 0;
  __device__ virtual ~Base() {}
};
class Square : public Base {
  float side_;

 public:
  __device__ explicit Square(float s) : side_(s) {}
  __device__ float area() const override { return side_ * side_; }
};
class Circle : public Base {
  float r_;

 public:
  __device__ explicit Circle(float r) : r_(r) {}
  __device__ float area() const override { return 3.25f * r_ * r_; }
};
__global__ void areas(float *out, int n) {
  int i = threadIdx.x;
  if (i >= n) return;
  Base *shape = i % 2 ? (Base *)new Circle(i) : new Square(i);
  out[i] = shape->area();
  delete shape;
}

int main() {
  const int n = 60;
  bool good = true;
  float *f;
  double *d[4];
  int *a, *b, *out;
  cudaMallocManaged(&f, n * 4), cudaMallocManaged(&a, n * 4), cudaMallocManaged(&b, n * 4), cudaMallocManaged(&out, n * 4);
  for (auto &p : d) cudaMallocManaged(&p, n * 8);
  for (int i = 0; i < n; i++) a[i] = rand() % 100, b[i] = rand() % 100, d[0][i] = rand() % 50 / 4.0, d[1][i] = rand() % 50, d[2][i] = i;
  const Leaky leaky(0.25f);
  int base = 5;
  auto fill = [=] __device__(int i, float scale, auto g) { f[i] = g((i - base) * scale) + sum_of(i, primes[i % 5], 0.5f) + Power<3>::of(i % 4); };
  for_each_index<<<2, 16>>>(n, fill, 0.5f, leaky);
  cudaDeviceSynchronize();
  for (int i = 0; i < n; i++) good &= f[i] == leaky((i - base) * 0.5f) + (i + primes[i % 5] + 0.5f) + (i % 4) * (i % 4) * (i % 4);
  for_each_index<<<1, 64>>>(n, [f] __device__(int i, Relu r) { f[i] = r(f[i] - 20); }, Relu());
  evaluate<<<1, 64>>>(Vec{d[0]} * Vec{d[1]} + Vec{d[2]} * Vec{d[0]}, d[3], n);
  std::vector<float> before(f, f + n);
  cudaDeviceSynchronize();
  for (int i = 0; i < n; i++) {
    float x = leaky((i - base) * 0.5f) + (i + primes[i % 5] + 0.5f) + (i % 4) * (i % 4) * (i % 4) - 20;
    good &= f[i] == (x > 0 ? x : 0) && d[3][i] == d[0][i] * d[1][i] + d[2][i] * d[0][i];
  }
  tables<<<1, 64>>>(a, b, out, n, Fibonacci());
  areas<<<1, 64>>>(f, n);
  good &= cudaDeviceSynchronize() == cudaSuccess;
  for (int i = 0; i < n; i++) {
    good &= out[i] == (i % 3 == 0 ? a[i] + b[i] : i % 3 == 1 ? a[i] - b[i] : std::min(a[i], b[i])) + Fibonacci::of(i % 12);
    good &= f[i] == (i % 2 ? 3.25f : 1.0f) * i * i;
  }
  puts(good ? "PASS" : "FAIL");
  return good ? 0 : 1;
}
