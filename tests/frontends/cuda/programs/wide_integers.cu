// 128-bit integers and conversions of floats to integers of every width, against the host's own.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

typedef unsigned __int128 u128;
typedef __int128 i128;
typedef unsigned long long u64;

struct result {
  u128 sum, difference, product, quotient, rest, left, right, bits, chosen, power;
  i128 signed_quotient, signed_rest, arithmetic, from_double;
  u128 from_float;
  double as_double, as_signed_double;
  float as_float;
  u64 modular;
  int order, signed_order, equal;
};

__host__ __device__ u64 modular_power(u64 base, u64 exponent, u64 modulus) {
  u64 result = 1;
  for (; exponent; exponent >>= 1) {
    if (exponent & 1) result = (u128)result * base % modulus;
    base = (u128)base * base % modulus;
  }
  return result;
}

__host__ __device__ void compute(u128 a, u128 b, double d, result& r) {
  i128 x = a, y = b;
  int n = (int)(b & 127);
  r.sum = a + b, r.difference = a - b, r.product = a * b, r.bits = (a & b) ^ ~(a | 5);
  r.quotient = a / b, r.rest = a % b, r.signed_quotient = x / y, r.signed_rest = x % y;
  r.left = a << n, r.right = a >> n, r.arithmetic = x >> n;
  r.order = (a < b) + (a <= b) * 2 + (a > b) * 4 + (a >= b) * 8;
  r.signed_order = (x < y) + (x <= y) * 2 + (x > y) * 4 + (x >= y) * 8;
  r.equal = a == b, r.chosen = n % 3 ? a : b;
  r.as_double = (double)a, r.as_signed_double = (double)x, r.as_float = (float)a;
  r.from_double = (i128)d, r.from_float = (u128)(float)fabs(d);
  r.modular = modular_power((u64)a, n, (u64)(b >> 64) | 1);
  u128 power = 1;
  for (int k = 0; k < n; k++) power = power * 3 + (signed char)k + (unsigned short)n;
  r.power = power;
}

__global__ void on_device(const u128* a, const u128* b, const double* d, result* r, int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i < n) compute(a[i], b[i], d[i], r[i]);
}

// What a GPU's conversions give, of numbers that are known and that are not.
template <typename To>
__device__ void convert(double x, int at, long long* out) {
  out[at] = (long long)(To)x;
  out[at + 1] = (long long)(To)1e30;
  out[at + 2] = (long long)(To)-1e30f;
  out[at + 3] = (long long)(To)__builtin_nanf("");
  out[at + 4] = (long long)(To)(float)-x;
  out[at + 5] = (long long)(To)300.7f;
}
__global__ void conversions(double large, long long* out) {
  convert<int>(large, 0, out), convert<unsigned int>(large, 6, out);
  convert<long long>(large, 12, out), convert<u64>(large, 18, out);
  convert<short>(large, 24, out), convert<unsigned char>(large, 30, out);
}
static const long long converted[36] = {
    2147483647, 2147483647, -2147483648LL, 0, -2147483648LL, 300,
    4294967295LL, 4294967295LL, 0, 0, 0, 300,
    9223372036854775807LL, 9223372036854775807LL, -9223372036854775807LL - 1, 0, -9223372036854775807LL - 1, 300,
    -1, -1, 0, 0, 0, 300,
    32767, 32767, -32768, 0, -32768, 300,
    255, 255, 0, 0, 0, 44,
};

static u128 any_number() {
  u128 x = 0;
  for (int k = 0; k < 9; k++) x = x << 15 | (unsigned)rand() % 32768;
  x >>= rand() % 128;
  if (rand() % 4 == 0) x = -x;
  return rand() % 8 ? x : (x >> 64) << 64;  // a half of zeros
}

int main() {
  const int n = 3001;
  srand(time(nullptr));
  u128 *a, *b;
  double* d;
  result *r, expected;
  long long* out;
  cudaMallocManaged(&a, n * sizeof *a), cudaMallocManaged(&b, n * sizeof *b), cudaMallocManaged(&d, n * sizeof *d);
  cudaMallocManaged(&r, n * sizeof *r), cudaMallocManaged(&out, sizeof converted);
  for (int i = 0; i < n; i++) {
    a[i] = any_number(), b[i] = rand() % 9 ? any_number() : a[i] + rand() % 3 - 1;
    if (b[i] == 0 || (i128)b[i] == -1) b[i] = 7;
    d[i] = ldexp(rand() / 1e9 - 1, rand() % 127);
  }
  on_device<<<(n + 127) / 128, 128>>>(a, b, d, r, n);
  conversions<<<1, 1>>>(1e25, out);
  int failures = cudaDeviceSynchronize() != cudaSuccess;
  for (int i = 0; i < n && failures < 10; i++) {
    memset(&expected, 0, sizeof expected), compute(a[i], b[i], d[i], expected);
#define SAME(field) (r[i].field == expected.field || (failures++, printf("%s of number %d\n", #field, i)))
    SAME(sum), SAME(difference), SAME(product), SAME(quotient), SAME(rest), SAME(left), SAME(right), SAME(bits);
    SAME(chosen), SAME(power), SAME(signed_quotient), SAME(signed_rest), SAME(arithmetic), SAME(from_double);
    SAME(from_float), SAME(as_double), SAME(as_signed_double), SAME(as_float), SAME(modular), SAME(order);
    SAME(signed_order), SAME(equal);
  }
  for (int k = 0; k < 36; k++)
    if (out[k] != converted[k]) failures++, printf("conversion %d: %lld\n", k, out[k]);
  puts(failures ? "FAIL" : "PASS");
  return failures != 0;
}
