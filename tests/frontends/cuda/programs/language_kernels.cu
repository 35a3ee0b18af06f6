// How kernels take, share and return data: parameters, pointers, barriers, block shapes, memory.
#include <cstdio>
#include <cstring>
int bad = 0;
#define CHECK(c) do { if (!(c)) { printf("FAIL line %d\n", __LINE__); bad = 1; } } while (0)
#define SYNC() CHECK(cudaDeviceSynchronize() == cudaSuccess)
typedef int (*Fn)(int);
__device__ int plus1(int x) { return x + 1; } __device__ int times3(int x) { return x * 3; }
__device__ Fn d_plus = plus1; __device__ Fn d_times = times3; __constant__ Fn c_table[2] = {times3, plus1};
__global__ void by_pointer(int* o, Fn f) { o[threadIdx.x] = f(threadIdx.x); }
__global__ void by_table(int* o) { o[threadIdx.x] = c_table[threadIdx.x & 1](threadIdx.x); }
struct Config { int n; float scale[4]; int* p; };
__global__ void modify(Config c, int* o) { c.n += threadIdx.x; c.scale[c.n & 3] = 7; for (int i = 0; i < 4; i++) c.n += (int)c.scale[i]; int* q = &c.n; *q += 1; o[threadIdx.x] = c.n + (c.p == o); }
__device__ int counter() { static int calls = 5; return atomicAdd(&calls, 1); }
__global__ void statics(int* o) { o[threadIdx.x] = counter(); __shared__ int s; if (threadIdx.x == 0) s = 3; __syncthreads(); o[threadIdx.x + 64] = s; }
namespace { __global__ void hidden(int* o) { o[threadIdx.x] = 42; } }
template <typename T, int N, bool B> __global__ void templ(T* o) { T v[N]; for (int i = 0; i < N; i++) v[i] = B ? i : -i; T s = 0; for (int i = 0; i < N; i++) s += v[(i * 7 + threadIdx.x) % N]; o[threadIdx.x] = s + v[threadIdx.x % N]; }
template <typename T> void run_templ(T* o) { templ<T, 5, true><<<1, 32>>>(o); } void run_again(int* o) { templ<int, 5, true><<<1, 32>>>(o); }
__global__ void moves(char* d, int n, int shift) { char b[40]; for (int i = 0; i < 40; i++) b[i] = i + threadIdx.x; memmove(b + shift, b + 3, n); memset(b, threadIdx.x, n & 7); memcpy(b + 30, b + 1, n & 3); for (int i = 0; i < 40; i++) d[threadIdx.x * 40 + i] = b[i]; }
__global__ void early(int* o, int n) { int i = threadIdx.x + blockIdx.x * blockDim.x; if (i >= n) return; __shared__ int s[256]; s[threadIdx.x] = i; __syncthreads(); o[i] = s[(threadIdx.x + 1) % min(blockDim.x, n - blockIdx.x * blockDim.x)]; }
__device__ __noinline__ void sync_inside(int* s, int v) { __syncthreads(); s[threadIdx.x] = v; __syncthreads(); }
__global__ void barriers(int* o, int rounds) { __shared__ int s[128]; int v = threadIdx.x; for (int r = 0; r < rounds; r++) { sync_inside(s, v); v += s[(threadIdx.x + 1) % blockDim.x]; if (r & 1) { __syncthreads(); s[threadIdx.x] = v; __syncthreads(); v ^= s[blockDim.x - 1 - threadIdx.x]; } } o[threadIdx.x] = v; }
__global__ void shapes(int* o) { int t = threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z); int n = blockDim.x * blockDim.y * blockDim.z; __shared__ int s[1024]; s[t] = t * 3; __syncthreads(); o[blockIdx.x * n + t] = s[n - 1 - t] + blockIdx.y; }
struct Vec { float x, y, z; __host__ __device__ Vec(float a = 0) : x(a), y(a * 2), z(a * 3) {} __device__ Vec operator+(const Vec& o) const { Vec r; r.x = x + o.x; r.y = y + o.y; r.z = z + o.z; return r; } __device__ float& operator[](int i) { return (&x)[i]; } };
struct Mesh { Vec* p; int n; struct { short a; char b; } tag[3]; };
__global__ void mesh(Mesh m, float* o) { Vec v = m.p[threadIdx.x % m.n] + Vec(1.f); v[threadIdx.x % 3] += m.tag[threadIdx.x % 3].a + m.tag[1].b; o[threadIdx.x] = v.x + v.y * 10 + v.z * 100; }
template <class F> __global__ void foreach(int n, F f) { for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) f(i); }
extern __shared__ double dyn[];
__global__ void dynamic(double* o, int n) { float* f = (float*)(dyn + n); dyn[threadIdx.x] = threadIdx.x * 0.5; f[threadIdx.x] = threadIdx.x; __syncthreads(); o[threadIdx.x] = dyn[n - 1 - threadIdx.x] + f[(threadIdx.x + 1) % n]; }
__global__ void bigindex(char* p, size_t n) { size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x; size_t stride = n / 64; if (i < 64) p[i * stride + (size_t)3] = (char)i; }
struct Functor { int k; __device__ int operator()(int a) const { return a * k; } }; template <class Op> struct Wrap { Op op; __device__ int run(int a) { return op(a) + 1; } };
template <class Op> __global__ void nested_template(Wrap<Op> w, int* o) { o[threadIdx.x] = w.run(threadIdx.x); }
__global__ void volatile_mem(volatile int* o) { volatile int v = threadIdx.x; for (int i = 0; i < 3; i++) v = v + 1; o[threadIdx.x] = v; }
enum class Color : unsigned char { Red = 1, Green = 2, Blue = 200 }; __device__ int of(Color c) { switch (c) { case Color::Red: return 10; case Color::Green: return 20; case Color::Blue: return 30; } return -1; }
__global__ void enums(int* o) { Color c = threadIdx.x % 3 == 0 ? Color::Red : threadIdx.x % 3 == 1 ? Color::Green : Color::Blue; o[threadIdx.x] = of(c) + (int)c; }
__global__ void ptrptr(int** rows, int n, int* o) { int s = 0; for (int i = 0; i < n; i++) s += rows[i][threadIdx.x]; o[threadIdx.x] = s; }
int main() {
  int* o; cudaMallocManaged(&o, 1 << 20); Fn f; 
  cudaMemcpyFromSymbol(&f, d_plus, sizeof f); by_pointer<<<1, 32>>>(o, f); SYNC(); CHECK(o[5] == 6);
  cudaMemcpyFromSymbol(&f, d_times, sizeof f); by_pointer<<<1, 32>>>(o, f); SYNC(); CHECK(o[5] == 15);
  by_table<<<1, 32>>>(o); SYNC(); CHECK(o[4] == 12 && o[5] == 6);
  Config c{3, {1, 2, 3, 4}, o}; modify<<<1, 32>>>(c, o); SYNC(); for (int t = 0; t < 32; t++) { int n = 3 + t; float s[4] = {1, 2, 3, 4}; s[n & 3] = 7; for (float v : s) n += (int)v; CHECK(o[t] == n + 2); }
  statics<<<1, 64>>>(o); SYNC(); long sum = 0; for (int t = 0; t < 64; t++) { sum += o[t]; CHECK(o[t + 64] == 3); } CHECK(sum == 64 * 5 + 63 * 32);
  statics<<<1, 64>>>(o); SYNC(); sum = 0; for (int t = 0; t < 64; t++) sum += o[t]; CHECK(sum == 64 * 69 + 63 * 32);
  hidden<<<1, 8>>>(o); SYNC(); CHECK(o[7] == 42);
  run_templ(o); SYNC(); CHECK(o[3] == 10 + 3); run_again(o); SYNC(); templ<float, 7, false><<<1, 32>>>((float*)o); SYNC(); CHECK(((float*)o)[8] == -8);
  char* d; cudaMallocManaged(&d, 40 * 32); for (int shift = 0; shift < 8; shift += 2) { moves<<<1, 32>>>(d, 20, shift); SYNC(); for (int t = 0; t < 32; t++) { char b[40]; for (int i = 0; i < 40; i++) b[i] = i + t; memmove(b + shift, b + 3, 20); memset(b, t, 4); memcpy(b + 30, b + 1, 0); CHECK(!memcmp(b, d + 40 * t, 40)); } }
  for (int n : {1, 100, 250, 300}) { memset(o, 255, 4096); early<<<3, 128>>>(o, n); SYNC(); for (int i = 0; i < n; i++) { int b = i / 128 * 128, m = n - b < 128 ? n - b : 128; CHECK(o[i] == b + (i - b + 1) % m); } CHECK(o[n] == -1); }
  for (int threads : {1, 31, 33, 100, 128}) { barriers<<<1, threads>>>(o, 4); SYNC(); int v[128], s[128]; for (int t = 0; t < threads; t++) v[t] = t; for (int r = 0; r < 4; r++) { memcpy(s, v, sizeof v); for (int t = 0; t < threads; t++) v[t] += s[(t + 1) % threads]; if (r & 1) { memcpy(s, v, sizeof v); for (int t = 0; t < threads; t++) v[t] ^= s[threads - 1 - t]; } } CHECK(!memcmp(v, o, threads * 4)); }
  dim3 all[] = {dim3(1), dim3(7), dim3(33), dim3(1000), dim3(1024), dim3(5, 3), dim3(16, 16), dim3(3, 5, 7), dim3(1, 1, 64), dim3(2, 1, 9), dim3(1, 17), dim3(32, 32)};
  for (dim3 b : all) { int n = b.x * b.y * b.z; shapes<<<dim3(2, 1), b>>>(o); SYNC(); for (int i = 0; i < 2 * n; i++) CHECK(o[i] == (n - 1 - i % n) * 3); }
  Vec* vs; cudaMallocManaged(&vs, 10 * sizeof(Vec)); for (int i = 0; i < 10; i++) vs[i] = Vec(i); Mesh m{vs, 10, {{1, 2}, {300, 4}, {5, 6}}}; float* fo = (float*)o; mesh<<<1, 32>>>(m, fo); SYNC();
  for (int t = 0; t < 32; t++) { float k = t % 10 + 1, v[3] = {k, k * 2, k * 3}; v[t % 3] += m.tag[t % 3].a + 4; CHECK(fo[t] == v[0] + v[1] * 10 + v[2] * 100); }
  int scale = 6; foreach<<<2, 40>>>(300, [=] __device__ (int i) { o[i] = i * scale; }); SYNC(); CHECK(o[299] == 299 * 6);
  foreach<<<2, 40>>>(300, [o] __host__ __device__ (int i) { o[i] += 1; }); SYNC(); CHECK(o[299] == 299 * 6 + 1);
  double* od = (double*)o; dynamic<<<1, 50, 50 * 12>>>(od, 50); SYNC(); for (int t = 0; t < 50; t++) CHECK(od[t] == (49 - t) * 0.5 + (t + 1) % 50);
  char* big; size_t n = (size_t)5 << 30; if (cudaMallocManaged(&big, n) == cudaSuccess) { bigindex<<<1, 64>>>(big, n); SYNC(); CHECK(big[63 * (n / 64) + 3] == 63 && big[40 * (n / 64) + 3] == 40); cudaFree(big); }
  nested_template<<<1, 32>>>(Wrap<Functor>{{4}}, o); SYNC(); CHECK(o[5] == 21);
  volatile_mem<<<1, 32>>>(o); SYNC(); CHECK(o[31] == 34);
  enums<<<1, 32>>>(o); SYNC(); CHECK(o[0] == 11 && o[1] == 22 && o[2] == 230);
  int** rows; cudaMallocManaged(&rows, 64); for (int i = 0; i < 3; i++) { cudaMallocManaged(&rows[i], 256); for (int t = 0; t < 32; t++) rows[i][t] = i * 100 + t; } ptrptr<<<1, 32>>>(rows, 3, o); SYNC(); CHECK(o[9] == 300 + 27);
  if (!bad) printf("PASS\n"); return bad;
}
