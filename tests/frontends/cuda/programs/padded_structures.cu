// Structures with padding and bit fields, copied, chosen and changed: integers of 24, 40, 48 and 56 bits.
#include <cstdio>
#include <cstring>
#include <cstdlib>
struct A { int a; unsigned char b; };          // padding of three bytes
struct B { double d; unsigned char b; };       // of seven
struct C { double d; unsigned short s; };       // of six
struct D { unsigned a : 24; unsigned b : 8; };
struct E { unsigned long long a : 40, b : 24; };
template <class T> __device__ T pick(bool c, const T& x, const T& y) { T r = c ? x : y; return r; }
__global__ void k(A* a, B* b, C* c, D* d, E* e, unsigned char (*bytes)[3], int n) {
  int i = threadIdx.x; if (i >= n) return;
  A x = pick(i % 3 == 0, a[i], a[(i + 1) % n]); B y = pick(i % 2, b[i], b[(i + 1) % n]); C z = pick(i % 5 > 2, c[i], c[(i + 1) % n]);
  for (int j = 0; j < i % 4; j++) { x = pick(j % 2, x, a[j]); y = pick(j % 2, y, b[j]); z = pick(j & 1, z, c[j]); }
  unsigned char t[3]; memcpy(t, bytes[i], 3); bytes[i][2] = t[0]; __syncthreads();
  struct P { unsigned char v[3]; } p; memcpy(&p, bytes[(i + 1) % n], 3);
  __syncthreads();
  a[i] = x; b[i] = y; c[i] = z;
  d[i].a += d[i].b * 77777; e[i].a = e[i].a * 3 + 5; e[i].b ^= e[i].a;
  memcpy(bytes[i], &p, 3);
}
template <class T> T* man(int n) { T* p; cudaMallocManaged(&p, n * sizeof(T)); for (size_t i = 0; i < n * sizeof(T); i++) ((unsigned char*)p)[i] = rand(); return p; }
int main() {
  const int n = 32;
  A* a = man<A>(n); B* b = man<B>(n); C* c = man<C>(n); D* d = man<D>(n); E* e = man<E>(n); auto bytes = man<unsigned char[3]>(n);
  A a0[n]; D d0[n]; E e0[n]; memcpy(a0, a, sizeof a0); memcpy(d0, d, sizeof d0); memcpy(e0, e, sizeof e0);
  k<<<1, 32>>>(a, b, c, d, e, bytes, n); if (cudaDeviceSynchronize()) return 1;
  for (int i = 0; i < n; i++) {
    A x = i % 3 == 0 ? a0[i] : a0[(i + 1) % n]; for (int j = 0; j < i % 4; j++) x = j % 2 ? x : a0[j];
    d0[i].a += d0[i].b * 77777; e0[i].a = e0[i].a * 3 + 5; e0[i].b ^= e0[i].a;
    if (a[i].a != x.a || a[i].b != x.b || d[i].a != d0[i].a || d[i].b != d0[i].b || e[i].a != e0[i].a || e[i].b != e0[i].b) { printf("bad %d\n", i); return 1; }
  }
  puts("PASS");
}
