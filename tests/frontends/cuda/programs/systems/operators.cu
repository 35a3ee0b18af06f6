// Every operator of C++ on every kind of number, in a kernel and on the host; conversions between all of them.
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#define HD __host__ __device__ inline

struct Numbers {
  int32_t a, b;
  uint32_t c, d;
  int64_t e, f;
  uint64_t g, h;
  int8_t i;
  uint8_t j;
  int16_t k;
  uint16_t l;
  float x, y;
  double u, v;
};

union Bits {
  float f;
  uint32_t u;
  uint8_t bytes[4];
};

HD uint64_t of(double v) {
  uint64_t r;
  memcpy(&r, &v, 8);
  return r;
}
HD uint64_t of(float v) {
  uint32_t r;
  memcpy(&r, &v, 4);
  return r;
}
template <class T>
HD uint64_t of(T v) {
  return (uint64_t)v;
}

// The remainders of floats are functions; everything else is an operator.
template <class T>
HD int integers(uint64_t *o, T a, T b, int shift) {
  int n = 0;
  o[n++] = of((T)(a + b)), o[n++] = of((T)(a - b)), o[n++] = of((T)(a * b)), o[n++] = of((T)(a / (b | 1))), o[n++] = of((T)(a % (b | 1)));
  o[n++] = of((T)(a & b)), o[n++] = of((T)(a | b)), o[n++] = of((T)(a ^ b)), o[n++] = of((T)~a), o[n++] = of((T)-a);
  o[n++] = of((T)(a << shift)), o[n++] = of((T)(a >> shift)), o[n++] = (a < b) | (a <= b) << 1 | (a == b) << 2 | (a != b) << 3 | (a > b) << 4 | (a >= b) << 5;
  o[n++] = of(a ? b : (T)shift), o[n++] = !a, o[n++] = of(a > b ? a : b);
  T z = a;
  z += b, z ^= a, z <<= 1, z -= 3, ++z;
  o[n++] = of(z--);
  o[n++] = of(z);
  return n;
}
template <class T>
HD int floats(uint64_t *o, T a, T b) {
  int n = 0;
  o[n++] = of(a + b), o[n++] = of(a - b), o[n++] = of(a * b), o[n++] = of(a / b), o[n++] = of(-a);
  o[n++] = (a < b) | (a <= b) << 1 | (a == b) << 2 | (a != b) << 3 | (a > b) << 4 | (a >= b) << 5 | (a != a) << 6;
  o[n++] = of(a > b ? a : b), o[n++] = of((int64_t)a), o[n++] = of((int32_t)b), o[n++] = of((float)a), o[n++] = of((double)b);
  return n;
}
template <class To>
HD int converted(uint64_t *o, const Numbers &s) {
  int n = 0;
  o[n++] = of((To)s.a), o[n++] = of((To)s.c), o[n++] = of((To)s.e), o[n++] = of((To)s.g), o[n++] = of((To)s.i);
  o[n++] = of((To)s.j), o[n++] = of((To)s.k), o[n++] = of((To)s.l);
  return n;
}

enum { COUNT = 2 * 18 + 11 + 4 * 8 + 6 };

HD int all(uint64_t *o, const Numbers &s) {
  int n = 0;
  n += integers(o + n, s.a, s.b, 7), n += integers(o + n, s.c, s.d, 9);
  n += floats(o + n, s.x, s.y);
  n += converted<int64_t>(o + n, s), n += converted<uint16_t>(o + n, s), n += converted<float>(o + n, s), n += converted<double>(o + n, s);
  Bits bits;
  bits.f = s.x;
  o[n++] = bits.u >> 3, o[n++] = bits.bytes[2];
  bits.u ^= 0x80000000u;
  o[n++] = of(bits.f), o[n++] = (uint32_t)std::fabs(s.x) & 0xff, o[n++] = of((uint64_t)std::fabs(s.u)), o[n++] = of(s.a < 0 && s.c > 5u);
  return n;
}

__global__ void compute(const Numbers *s, uint64_t (*out)[COUNT], int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) all(out[i], s[i]);
}

int main() {
  const int n = 100;
  Numbers *s;
  uint64_t(*out)[COUNT], expected[COUNT];
  cudaMallocManaged(&s, n * sizeof *s), cudaMallocManaged(&out, n * sizeof *out);
  auto word = [] { return (uint64_t)rand() << 42 ^ (uint64_t)rand() << 21 ^ rand(); };
  for (int i = 0; i < n; i++) {
    s[i] = {(int32_t)word(), (int32_t)word() >> i % 20, (uint32_t)word(), (uint32_t)word() >> i % 20, (int64_t)word(), (int64_t)word() >> i % 50, word(), word() >> i % 50,
            (int8_t)word(), (uint8_t)word(), (int16_t)word(), (uint16_t)word(), (float)(int)word() / 7, (float)(int16_t)word() / 3, (double)(int64_t)word() / 9, (int)word() / 3.0};
    if (i % 9 == 0) s[i].d = s[i].c, s[i].y = s[i].x, s[i].u = s[i].v, s[i].b = s[i].a;
  }
  compute<<<(n + 31) / 32, 32>>>(s, out, n);
  int bad = cudaDeviceSynchronize() != cudaSuccess;
  for (int i = 0; i < n; i++) {
    int count = all(expected, s[i]);
    if (count != COUNT) return printf("%d results\nFAIL\n", count), 1;
    for (int k = 0; k < COUNT; k++)
      if (out[i][k] != expected[k] && bad++ < 5) printf("row %d, result %d: %llx, not %llx\n", i, k, (unsigned long long)out[i][k], (unsigned long long)expected[k]);
  }
  puts(bad ? "FAIL" : "PASS");
  return bad != 0;
}
