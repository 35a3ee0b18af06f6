// Recursion that ends in the call, or in one operation on its result.
#include <cstdio>
__device__ int gcd(int a, int b) { return b ? gcd(b, a % b) : a; }
__device__ long long fact(int n) { if (n <= 1) return 1; return n * fact(n - 1); }
__device__ int depth(const int* next, int i) { if (i < 0) return 0; return 1 + depth(next, next[i]); }
__device__ int sum_digits(unsigned n) { if (n < 10) return n; return n % 10 + sum_digits(n / 10); }
struct Tree { int l, r, v; };
__device__ int find(const Tree* t, int at, int v) { if (at < 0) return -1; if (t[at].v == v) return at; if (v < t[at].v) return find(t, t[at].l, v); return find(t, t[at].r, v); }
__global__ void k(int* o, const int* next, const Tree* t) { int i = threadIdx.x; o[i] = gcd(i * 12, 90 + i) + (int)fact(i % 9) + depth(next, i) + sum_digits(i * 7919) + find(t, 0, i); }
int g(int a, int b) { return b ? g(b, a % b) : a; }
int main() { int* o; cudaMallocManaged(&o, 4096); int* next = o + 256; for (int i = 0; i < 40; i++) next[i] = i * 2 / 3 - 1; Tree* t = (Tree*)(o + 512); for (int i = 0; i < 31; i++) t[i] = {i == 0 ? -1 : i - 1, i < 30 ? -1 : -1, 30 - i}; for (int i = 0; i < 30; i++) { t[i].l = i + 1; t[i].r = -1; } t[30].l = -1;
  k<<<1, 32>>>(o, next, t); int bad = cudaDeviceSynchronize();
  for (int i = 0; i < 32; i++) { long long f = 1; for (int n = i % 9; n > 1; n--) f *= n; int d = 0; for (int j = i; j >= 0; j = next[j]) d++; int s = 0; for (unsigned n = i * 7919; n; n /= 10) s += n % 10; int fd = i <= 30 ? 30 - i : -1; int w = g(i * 12, 90 + i) + f + d + s + fd; if (o[i] != w) { printf("%d: %d %d\n", i, o[i], w); bad = 1; } }
  if (!bad) printf("PASS\n"); return bad; }
