// The names of mathematical functions: overloads, std:: forms, functions with pointers, and host code's.
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>

int bad = 0;
#define CHECK(c)                                     \
  if (!(c)) {                                        \
    printf("FAIL line %d: %s\n", __LINE__, #c);      \
    bad = 1;                                         \
  }

template <class T, class U> struct same { static const bool value = false; };
template <class T> struct same<T, T> { static const bool value = true; };
#define OF_TYPE(T, call) static_assert(same<T, decltype(call)>::value, #call)

__global__ void names(const float* f, const double* d, int n, float* out) {
  float x = f[threadIdx.x];
  double y = d[threadIdx.x];
  OF_TYPE(float, sin(x));
  OF_TYPE(double, sin(n));
  OF_TYPE(float, std::sqrt(x));
  OF_TYPE(double, std::pow(x, 2));
  OF_TYPE(double, pow(x, y));
  OF_TYPE(float, pow(x, x));
  OF_TYPE(float, max(x, x));
  OF_TYPE(unsigned int, max(n, 3u));
  OF_TYPE(float, abs(x));
  OF_TYPE(int, std::abs(n));
  OF_TYPE(bool, isnan(x));
  float r = 0;
  r += std::sin(x) - sinf(x) + std::exp(x) - exp(x) + std::fabs(x) - fabsf(x) + std::tanh(x) - tanhf(x);
  r += std::floor(x) - floorf(x) + std::round(x) - roundf(x) + std::cbrt(x) - cbrtf(x);
  r += std::fmax(x, 1.f) - fmaxf(x, 1) + std::copysign(x, -1.f) + fabsf(x) + std::fma(x, x, x) - fmaf(x, x, x);
  r += std::hypot(x, x) - hypotf(x, x) + std::atan2(x, x) - atan2f(x, x) + std::fmod(x, 2.f) - fmodf(x, 2);
  r += std::isnan(x) + std::isinf(y) + (std::isfinite(x) ? 0 : 1) + std::abs(-2) - 2 + std::max(1.f, 2.f) - 2;
  r += (std::isnormal(x) ? 0 : 1) + (std::signbit(-1.f) ? 0 : 1) + (float)(std::lround(2.5) - 3);
  r += abs(n) - std::abs((long)n) + (float)(labs(-5L) + llabs(-5LL) - 10) + fabs(n) - n;
  out[threadIdx.x] = r;
}

__global__ void pointers(const double* d, double* out) {
  double x = d[threadIdx.x], s, c, whole;
  float sf, cf, wholef, xf = (float)x;
  int e, ef, q;
  sincos(x, &s, &c);
  sincosf(xf, &sf, &cf);
  double* r = out + 20 * threadIdx.x;
  r[0] = s, r[1] = c, r[2] = sf, r[3] = cf;
  r[4] = modf(x, &whole), r[5] = whole, r[6] = modff(xf, &wholef), r[7] = wholef;
  r[8] = frexp(x, &e), r[9] = e, r[10] = frexpf(xf, &ef), r[11] = ef;
  r[12] = remquo(x, 0.75, &q), r[13] = q;
  double p[5] = {x, 1, 2, 3, 4};
  r[14] = norm(5, p), r[15] = norm3d(x * 1e300, 1e300, 2e300), r[16] = norm4df(1e30f, 1e30f, 1e30f, 1e30f);
  sincospi(x, &s, &c);
  r[17] = s, r[18] = c, r[19] = scalbln(x, 3) - ldexp(x, 3);
}

__global__ void specials(float* o) {
  float inf = o[2], nan = o[3];
  int e;
  bool ok[] = {
      fmaxf(nan, 2) == 2, fminf(2, nan) == 2, isnan(sqrtf(-1)), rsqrtf(0) == inf, powf(0, 0) == 1, isnan(logf(-1)),
      logf(0) == -inf, expf(-inf) == 0, tanhf(inf) == 1, atan2f(0, -1) > 3.14f, ilogbf(0) == -2147483647 - 1,
      ilogbf(inf) == 2147483647, ilogbf(nan) == -2147483647 - 1, frexpf(inf, &e) == inf, modff(inf, o) == 0,
      norm3df(inf, nan, 1) == inf, erfinvf(1) == inf, normcdff(-inf) == 0, normcdff(inf) == 1, cbrtf(-8) == -2,
      remainderf(5, 3) == -1, isnan(fmodf(1, 0)), __saturatef(nan) == 0, __saturatef(3) == 1, hypotf(inf, nan) == inf,
      nextafterf(0, 1) > 0, 1 / copysignf(0, -1) == -inf, (int)nan == 0, (int)inf == 2147483647, tgammaf(5) == 24,
      fdimf(2, 5) == 0, j0f(0) == 1, cospif(0.5f) == 0, sinpif(1) == 0, lgammaf(1) == 0, exp10f(3) == 1000,
  };
  int wrong = 0;
  for (int k = 0; k < (int)(sizeof(ok) / sizeof(bool)); k++)
    if (!ok[k] && !wrong) wrong = k + 1;
  o[1] = wrong;
}

bool near(double a, double b, double bound) { return fabs(a - b) <= bound * fmax(1.0, fabs(b)); }

int main() {
  float *f, *out;
  double *d, *wide;
  cudaMallocManaged(&f, 256), cudaMallocManaged(&out, 256);
  cudaMallocManaged(&d, 512), cudaMallocManaged(&wide, 64 * 20 * 8);
  for (int i = 0; i < 64; i++) f[i] = rand() / (float)RAND_MAX * 9 + 0.1f, d[i] = (rand() / (double)RAND_MAX - 0.5) * 50;
  names<<<1, 64>>>(f, d, 7, out);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  for (int i = 0; i < 64; i++) CHECK(near(out[i], 0, 1e-5));
  pointers<<<1, 64>>>(d, wide);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  for (int i = 0; i < 64; i++) {
    double x = d[i], w, *r = wide + 20 * i;
    float xf = (float)x, wf;
    int e, q;
    CHECK(near(r[0], sin(x), 1e-15) && near(r[1], cos(x), 1e-15) && near(r[2], sinf(xf), 1e-6) && near(r[3], cosf(xf), 1e-6));
    CHECK(r[4] == modf(x, &w) && r[5] == w && r[6] == modff(xf, &wf) && r[7] == wf);
    CHECK(r[8] == frexp(x, &e) && r[9] == e && r[10] == frexpf(xf, &e) && r[11] == e);
    CHECK(r[12] == remquo(x, 0.75, &q) && ((int)r[13] - q) % 8 == 0 && (r[13] == 0 || (r[13] < 0) == (x < 0)));
    CHECK(near(r[14], sqrt(x * x + 30), 1e-15) && near(r[15], 1e300 * sqrt(x * x + 5), 1e-15) && near(r[16], 2e30, 1e-6));
    double s, c;
    sincospi(x, &s, &c);
    CHECK(near(r[17], s, 1e-15) && near(r[18], c, 1e-15) && r[19] == 0);
  }
  out[2] = INFINITY, out[3] = NAN;
  specials<<<1, 1>>>(out);
  CHECK(cudaDeviceSynchronize() == cudaSuccess);
  if (out[1] != 0) printf("FAIL special value %d\n", (int)out[1]), bad = 1;

  // host code
  CHECK(near(rsqrtf(4.f), 0.5, 1e-7) && near(rcbrt(8.0), 0.5, 1e-15) && near(rhypot(3.0, 4.0), 0.2, 1e-15));
  CHECK(near(sinpi(0.25), sqrt(0.5), 1e-15) && cospi(0.5) == 0 && near(norm3d(1.0, 2.0, 2.0), 3, 1e-15));
  CHECK(near(erf(erfinv(0.3)), 0.3, 1e-15) && near(erf(erfinv(-0.99)), -0.99, 1e-15) && near(erfc(erfcinv(1e-20)), 1e-20, 1e-15));
  CHECK(fabs(erfc(erfcinv(1e-20)) / 1e-20 - 1) < 1e-12 && near(normcdf(0.0), 0.5, 1e-15) && near(normcdfinv(0.975), 1.959963984540054, 1e-14));
  CHECK(near(erfcx(1.0), 0.42758357615580700442, 1e-14) && near(erfcx(30.0), 0.018795888861416751, 1e-15));
  CHECK(near(cyl_bessel_i0(1.0), 1.26606587775200833560, 1e-15) && near(cyl_bessel_i1(-1.0), -0.56515910399248502721, 1e-15));
  CHECK(fabs(cyl_bessel_i0(100.0) / 1.0737517071310738e42 - 1) < 1e-13);
  CHECK(max(3, 4) == 4 && min(2u, 5) == 2 && max(1.5f, 2.5f) == 2.5f && std::max(1, 2) == 2 && exp10(2.0) > 99.9);
  if (!bad) printf("PASS\n");
  return bad;
}
