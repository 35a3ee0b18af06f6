// C++ of device code: one functor per subject, run on the device and on the host.
#include <cstdio>
#include <cstdint>
#include <cstring>
#include <type_traits>
#define HD __host__ __device__
int bad = 0;
#define CHECK(c) do { if (!(c)) { printf("FAIL line %d\n", __LINE__); bad = 1; } } while (0)
// run any functor on device and host, compare results
template <class F> __global__ void apply(F f, long long* o, int n) { int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) o[i] = f(i); }
template <class F> void compare(const char* name, F f, int n = 300) {
  static long long* o = nullptr; if (!o) cudaMallocManaged(&o, 8 * 4096);
  for (int i = 0; i < n; i++) o[i] = -77;
  apply<<<(n + 95) / 96, 96>>>(f, o, n);
  if (cudaDeviceSynchronize() != cudaSuccess) { printf("FAIL %s: error\n", name); bad = 1; return; }
  for (int i = 0; i < n; i++) { long long w = f(i); if (o[i] != w) { printf("FAIL %s at %d: %lld, not %lld\n", name, i, o[i], w); bad = 1; return; } }
}
// classes without virtual functions, inheritance, operators
struct Base { int a; HD Base(int a) : a(a) {} HD int twice() const { return 2 * a; } };
struct Derived : Base { int b; HD Derived(int x) : Base(x), b(x * x) {} HD int total() const { return twice() + b; } };
struct Complex { float re, im; HD Complex operator*(const Complex& o) const { return {re * o.re - im * o.im, re * o.im + im * o.re}; }
  HD Complex& operator+=(const Complex& o) { re += o.re; im += o.im; return *this; } };
struct Classes { HD long long operator()(int i) const { Derived d(i - 5); Complex z{0.5f, (float)(i % 7)}, s{0, 0}; for (int k = 0; k < i % 4; k++) { s += z; z = z * Complex{0.f, 1.f}; } return d.total() * 100 + (long long)(s.re * 4 + s.im * 2); } };
// constexpr tables
constexpr int squares_of(int n) { return n * n; }
template <int N> struct Table { int v[N]; constexpr Table() : v() { for (int i = 0; i < N; i++) v[i] = squares_of(i) - 3; } };
__device__ constexpr Table<16> dtable{};
struct Tables { HD long long operator()(int i) const { constexpr Table<16> t{}; constexpr int local[5] = {2, 3, 5, 7, 11}; return t.v[i & 15] * 13 + local[i % 5]; } };
__global__ void device_table(int* o) { o[threadIdx.x] = dtable.v[threadIdx.x & 15]; }
// unions, punning, bit fields
union Pun { double d; uint64_t u; uint32_t w[2]; unsigned char c[8]; };
struct Bits { unsigned a : 3; unsigned b : 7; int c : 5; unsigned long long d : 40; unsigned char e : 2; };
struct Puns { HD long long operator()(int i) const { Pun p; p.d = 1.5 * i; p.c[i & 7] ^= 0x5a; Bits b{}; b.a = i; b.b = i * 5; b.c = i - 100; b.d = (unsigned long long)i << 33; b.e = i >> 1; b.c += 3; b.a++; return (long long)(p.u % 1000003) + b.a + b.b * 8 + b.c * 1000 + (long long)(b.d >> 20) + b.e; } };
// local arrays, run-time index, 2D
struct Arrays { HD long long operator()(int i) const { int m[6][5]; for (int r = 0; r < 6; r++) for (int c = 0; c < 5; c++) m[r][c] = r * c + i; for (int k = 0; k < i % 9; k++) m[k % 6][(k * i) % 5] -= k; long long s = 0; int* p = &m[i % 6][0]; for (int c = 0; c < 5; c++) s = s * 31 + p[c]; return s; } };
struct Item { short k; char name[6]; double w; int tag[3]; };
struct Items { HD long long operator()(int i) const { Item a[4]; for (int k = 0; k < 4; k++) { a[k].k = k * i; for (int c = 0; c < 6; c++) a[k].name[c] = 'a' + (i + c * k) % 26; a[k].w = i / (k + 1.0); a[k].tag[i % 3] = i; a[k].tag[(i + 1) % 3] = k; a[k].tag[(i + 2) % 3] = -1; } Item t = a[i & 3]; a[(i + 1) & 3] = t; Item u = a[(i * 7) & 3]; return u.k + u.name[i % 6] * 1000 + (long long)(u.w * 16) + u.tag[0] * 3 + u.tag[2]; } };
// pointers to members, switch with fall-through, goto, do-while, short circuits
struct S { int x, y; HD int f(int k) const { return x * k + y; } HD int g(int k) const { return x - k * y; } };
struct Members { HD long long operator()(int i) const { S s{i, i + 3}; int S::*p = i & 1 ? &S::x : &S::y; int (S::*m)(int) const = &S::f; s.*p += 5; return (s.*m)(i) + s.*p; } };
struct Switches { HD long long operator()(int i) const { int r = 0; switch (i % 11) { case 0: r += 1; case 1: r += 10; break; case 2: case 3: r = 7; case 4: r *= 3; if (i & 1) break; r += 100; default: r -= 5; break; case 8: return -i; case 9: for (int k = 0; k < 10; k++) { if (k == i % 7) break; if (k & 1) continue; r += k; } } return r; } };
struct Gotos { HD long long operator()(int i) const { int n = 0, x = i; again: if (x > 3) { x /= 2; n++; if (n > 6) goto out; goto again; } if (i % 5 == 2) goto out; n += 100; out: return n * 10 + x; } };
struct Loops { HD long long operator()(int i) const { long long s = 0; int k = 0; do { for (int a = 0; a < k; a++) { if ((a ^ i) % 5 == 4) continue; if (a * k > i) break; int b = a; while (b-- > 0 && (b % 3 != i % 3 || b > 5)) { s += b; if (s > 5000) return s + a; } } if (k > 3 && (i % 4 == 1 || s % 7 == 3) && !(s & 8)) break; k++; } while (k < i % 13); return s * 100 + k; } };
// char and short arithmetic, 64 bits, division, shifts
struct Narrow { HD long long operator()(int i) const { char c = i * 3; signed char sc = i * 5; unsigned char uc = i * 7; short s = i * 911; unsigned short us = i * 1234; c += uc; sc >>= 1; uc = ~uc; s *= sc; us <<= 3; us /= 7; s %= 13; return c + sc * 3 + uc * 5 + s * 7 + us * 11 + (c < uc) + (s > us) + (unsigned char)(c * uc); } };
struct Wide { HD long long operator()(int i) const { long long a = (long long)i * 123456789012LL - 5e14; unsigned long long u = a; int sh = i & 63; unsigned v = i * 2654435761u; return (a / (i + 1)) ^ (a % 1000) ^ (long long)(u >> sh) ^ (long long)(u << (63 - sh)) ^ (a >> (sh / 2)) ^ (long long)(u / 12345) ^ (v / 7) ^ (v % 13) ^ ((int)v / 9); } };
struct Doubles { HD long long operator()(int i) const { double x = i / 3.0; float f = (float)x; return (long long)(x * 1e6) + (long long)(f * 64) + (int)(x - 50) + (unsigned)(x) + (unsigned char)(i % 200 + 0.7f) + (long long)((double)(unsigned long long)i * 0.5) + (x < f) + (x != x) + (f >= 2.f ? 3 : 4); } };
template <int N> HD int unrolled(int x) { if constexpr (N == 0) return x; else return unrolled<N - 1>(x * 3 + N); }
template <class... A> HD int sum_all(A... a) { return (0 + ... + (int)a); }
template <class T, class... R> HD int count_of(T, R... r) { if constexpr (sizeof...(r) > 0) return 1 + count_of(r...); else return 1; }
struct Pair { int first; float second; }; HD Pair make(int i) { return {i * 2, i + 0.5f}; }
struct Modern { HD long long operator()(int i) const { auto [a, b] = make(i); auto add = [&](int k) { return a + k; }; auto gen = [=](auto x) { return x * 2; }; int arr[3] = {i, i + 1, i + 2}; auto& [p, q, r] = arr; q = 10; int s = 0; for (int v : arr) s += v; return unrolled<5>(i) + sum_all(1, 2.5, 'c', i) + count_of(1, 2.0, "x", i) + add(3) + gen(i) + (int)(gen(1.5) * 2) + (int)b + s; } };
namespace outer { namespace { struct Hidden { int k; HD int get(int i) const { return k * i - 1; } }; } inline namespace v1 { HD int nested(int x) { return x ^ 0x55; } } }
struct Spaces { HD long long operator()(int i) const { outer::Hidden h{i + 2}; return h.get(3) + outer::nested(i); } };
struct Guard { int* p; HD Guard(int* p) : p(p) { *p += 1; } HD ~Guard() { *p *= 2; } };
struct Scopes { HD long long operator()(int i) const { int v = i; { Guard g(&v); if (i % 3 == 0) return v * 1000; Guard h(&v); for (int k = 0; k < i % 4; k++) { Guard l(&v); if (k == 2) break; } } return v; } };
HD int fib_small(int n) { int a = 0, b = 1; while (n--) { int t = a + b; a = b; b = t; } return a; }
__noinline__ HD int not_inlined(int a, int b) { return a * b - fib_small(a & 15); }
extern "C" HD int c_linkage(int a) { return a * 7; }
struct Inlining { HD long long operator()(int i) const { return not_inlined(i, 3) + c_linkage(i) + not_inlined(2, i); } };
typedef int (*Op)(int, int); HD int op_add(int a, int b) { return a + b; } HD int op_sub(int a, int b) { return a - b; } HD int op_mul(int a, int b) { return a * b; }
struct Pointers { HD long long operator()(int i) const { Op ops[3] = {op_add, op_sub, op_mul}; int s = 0; for (int k = 0; k < 3; k++) s = s * 5 + ops[(i + k) % 3](i, k + 2); return s; } };
int main() {
#define RUN(T) compare(#T, T{})
  RUN(Classes); RUN(Tables); RUN(Puns); RUN(Arrays); RUN(Items); RUN(Members); RUN(Switches); RUN(Gotos); RUN(Loops); RUN(Narrow); RUN(Wide); RUN(Doubles); RUN(Modern); RUN(Spaces); RUN(Scopes); RUN(Inlining); 
  RUN(Pointers);
  int* o; cudaMallocManaged(&o, 1024); device_table<<<1, 32>>>(o); cudaDeviceSynchronize(); for (int i = 0; i < 32; i++) CHECK(o[i] == (i & 15) * (i & 15) - 3);
  int k = 5; compare("lambda", [=] HD (int i) { return (long long)i * k + (i % k); });
  if (!bad) printf("PASS\n");
  return bad;
}
