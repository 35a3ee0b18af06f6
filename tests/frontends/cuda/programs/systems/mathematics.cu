// Functions of CUDA's math API, fast forms and roundings, against the host's in double, one element per function.
#include <cmath>
#include <cstdio>
#include <cstdlib>

#define FUNCTIONS(X)                                                                                              \
  X(sinf(x), sin(x)) X(cosf(x), cos(x)) X(tanf(x), tan(x)) X(asinf(u), asin(u)) X(acosf(u), acos(u))              \
  X(atanf(x), atan(x)) X(atan2f(x, y), atan2(x, y)) X(sinhf(x), sinh(x)) X(coshf(x), cosh(x)) X(tanhf(x), tanh(x))\
  X(expf(x), exp(x)) X(exp2f(x), exp2(x)) X(exp10f(u), pow(10, u)) X(expm1f(u), expm1(u)) X(logf(p), log(p))      \
  X(log2f(p), log2(p)) X(log10f(p), log10(p)) X(log1pf(p), log1p(p)) X(sqrtf(p), sqrt(p)) X(rsqrtf(p), 1 / sqrt(p))\
  X(cbrtf(x), cbrt(x)) X(powf(p, u), pow(p, u)) X(hypotf(x, y), hypot(x, y)) X(erff(u), erf(u)) X(erfcf(u), erfc(u))\
  X(tgammaf(p), tgamma(p)) X(lgammaf(p), lgamma(p)) X(fmodf(x, p), fmod(x, p)) X(remainderf(x, p), remainder(x, p))\
  X(floorf(x), floor(x)) X(ceilf(x), ceil(x)) X(truncf(x), trunc(x)) X(roundf(x), round(x)) X(rintf(x), rint(x))  \
  X(fabsf(x), fabs(x)) X(fmaf(x, y, p), fma(x, y, p)) X(fmaxf(x, y), fmax(x, y)) X(fminf(x, y), fmin(x, y))       \
  X(fdimf(x, y), fdim(x, y)) X(copysignf(p, x), copysign(p, x)) X(sinpif(u), sin(M_PI * u)) X(cospif(u), cos(M_PI * u)) \
  X(__sinf(x), sin(x)) X(__cosf(x), cos(x)) X(__expf(x), exp(x)) X(__logf(p), log(p)) X(__powf(p, u), pow(p, u))  \
  X(__fdividef(x, p), x / p) X(__frcp_rn(p), 1 / p) X(__saturatef(x), x < 0 ? 0 : x > 1 ? 1 : x)                  \
  X(normcdff(u), 0.5 * erfc(-u / sqrt(2.0))) X(ldexpf(x, 3), x * 8) X(float(ilogbf(p)), ilogb(p))                 \
  X(float(__float2int_rn(x)), nearbyint(x)) X(float(__float2int_rd(x)), floor(x)) X(float(__float2int_ru(x)), ceil(x)) \
  X(float(__float2int_rz(x)), trunc(x)) X(float(isnan(sqrtf(x))), x < 0) X(float(signbit(x)), x < 0)

#define COUNT_ONE(a, b) +1
enum { COUNT = 0 FUNCTIONS(COUNT_ONE) };
static const char *names[] = {
#define NAME(a, b) #a,
    FUNCTIONS(NAME)};

__global__ void floats(const float *in, float (*out)[COUNT], int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x, k = 0;
  if (i >= n) return;
  float x = in[3 * i], y = in[3 * i + 1], u = in[3 * i + 2], p = fabsf(y) + 0.125f;
#define COMPUTE(a, b) out[i][k++] = a;
  FUNCTIONS(COMPUTE)
}

__global__ void rounded(const float *in, float (*out)[8], double (*wide)[4], int n) {
  int i = blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float x = in[3 * i], y = in[3 * i + 1];
  out[i][0] = __fadd_rd(x, y), out[i][1] = __fadd_ru(x, y), out[i][2] = __fmul_rz(x, y), out[i][3] = __fdiv_ru(x, y);
  out[i][4] = __fsqrt_rd(fabsf(x)), out[i][5] = __double2float_ru((double)x * y), out[i][6] = __int2float_rz(__float_as_int(x)), out[i][7] = __fmaf_rd(x, y, x);
  wide[i][0] = __dadd_ru((double)x, (double)y * 1e-20), wide[i][1] = sqrt(fabs((double)x)), wide[i][2] = fma(x / 3.0, y / 7.0, 1 / 3.0), wide[i][3] = rsqrt(fabs((double)x));
}

static const char *roundings[] = {"fadd_rd", "fadd_ru", "fmul_rz", "fdiv_ru", "fsqrt_rd", "double2float_ru", "int2float_rz", "fmaf_rd",
                                  "dadd_ru", "sqrt", "fma", "rsqrt"};
static int failed[COUNT + 12];

static float toward(long double exact, int direction) {  // -1 down, 1 up, 0 to zero
  float f = (float)exact;
  if (direction == 0) direction = exact > 0 ? -1 : 1;
  if (direction < 0 && f > exact) return nextafterf(f, -INFINITY);
  if (direction > 0 && f < exact) return nextafterf(f, INFINITY);
  return f;
}

int main() {
  const int n = 300;
  float *in, (*out)[COUNT], (*r)[8];
  double(*wide)[4];
  int bad = 0;
  cudaMallocManaged(&in, 3 * n * sizeof(float)), cudaMallocManaged(&out, n * sizeof *out), cudaMallocManaged(&r, n * sizeof *r), cudaMallocManaged(&wide, n * sizeof *wide);
  for (int i = 0; i < 3 * n; i++) in[i] = (rand() / (float)RAND_MAX - 0.5f) * (i % 3 == 2 ? 1.9f : 9.0f);
  for (int i = 0; i < 3 * n; i += 21) in[i] = i / 21 % 8 - 3.5f;  // halves between two numbers
  floats<<<(n + 63) / 64, 64>>>(in, out, n);
  rounded<<<(n + 63) / 64, 64>>>(in, r, wide, n);
  if (cudaDeviceSynchronize() != cudaSuccess) return puts("FAIL"), 1;
  for (int i = 0; i < n; i++) {
    double x = in[3 * i], y = in[3 * i + 1], u = in[3 * i + 2], p = std::fabs((float)y) + 0.125f;
    const double expected[] = {
#define EXPECTED(a, b) (double)(b),
        FUNCTIONS(EXPECTED)};
    for (int k = 0; k < COUNT; k++)
      if (!(std::fabs(out[i][k] - expected[k]) <= 2e-6 * (1 + std::fabs(expected[k]))) && failed[k]++ == 0)
        bad++, printf("%s of %g %g %g: %g, not %g\n", names[k], x, y, u, out[i][k], expected[k]);
    int bits;
    memcpy(&bits, &in[3 * i], 4);
    long double lx = x, ly = y;
    const float e[8] = {toward(lx + ly, -1), toward(lx + ly, 1), toward(lx * ly, 0), toward(lx / ly, 1), toward(sqrtl(fabsl(lx)), -1), toward(lx * ly, 1), toward(bits, 0), toward(lx * ly + lx, -1)};
    for (int k = 0; k < 8; k++)
      if (r[i][k] != e[k] && failed[COUNT + k]++ == 0) bad++, printf("%s of %g %g: %.9g, not %.9g\n", roundings[k], x, y, r[i][k], e[k]);
    const double a = x / 3.0, b = y / 7.0, root = sqrt(fabs(x)), w[4] = {y > 0 ? nextafter(x, INFINITY) : x, root, fma(a, b, 1 / 3.0), 1 / root};
    for (int k = 0; k < 4; k++)
      if (!(fabs(wide[i][k] - w[k]) <= (k == 3 ? 1e-15 * w[k] : 0)) && failed[COUNT + 8 + k]++ == 0)
        bad++, printf("%s of %g %g: %.17g, not %.17g\n", roundings[8 + k], x, y, wide[i][k], w[k]);
  }
  puts(bad ? "FAIL" : "PASS");
  return bad != 0;
}
