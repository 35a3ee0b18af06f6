// CUDA's mathematical functions that host code may call and that the C library does not have.
// Written for Canopy.
#pragma once

CANOPY_HOST double rsqrt(double x) noexcept { return 1 / __builtin_sqrt(x); }
CANOPY_HOST double rcbrt(double x) noexcept { return 1 / __builtin_cbrt(x); }
CANOPY_HOST double rhypot(double x, double y) noexcept { return 1 / __builtin_hypot(x, y); }
CANOPY_HOST double norm3d(double x, double y, double z) noexcept { return __builtin_hypot(__builtin_hypot(x, y), z); }
CANOPY_HOST double norm4d(double x, double y, double z, double w) noexcept {
  return __builtin_hypot(__builtin_hypot(x, y), __builtin_hypot(z, w));
}
CANOPY_HOST double rnorm3d(double x, double y, double z) noexcept { return 1 / norm3d(x, y, z); }
CANOPY_HOST double rnorm4d(double x, double y, double z, double w) noexcept { return 1 / norm4d(x, y, z, w); }
CANOPY_HOST double norm(int n, const double* p) noexcept {
  double r = 0;
  for (int i = 0; i < n; i++) r = __builtin_hypot(r, p[i]);
  return r;
}
CANOPY_HOST double rnorm(int n, const double* p) noexcept { return 1 / norm(n, p); }

CANOPY_HOST void sincospi(double x, double* s, double* c) noexcept {
  double r = __builtin_fmod(x, 2.0);  // exact; then to the nearest quarter turn
  double quarter = __builtin_rint(2 * r);
  double t = (r - quarter / 2) * 3.14159265358979323846;
  double sine = __builtin_sin(t), cosine = __builtin_cos(t);
  switch ((int)quarter & 3) {
    case 0: *s = sine, *c = cosine; break;
    case 1: *s = cosine, *c = -sine; break;
    case 2: *s = -sine, *c = -cosine; break;
    default: *s = -cosine, *c = sine;
  }
  if (x == __builtin_trunc(x)) *s = __builtin_copysign(0.0, x);
}
CANOPY_HOST double sinpi(double x) noexcept {
  double s, c;
  sincospi(x, &s, &c);
  return x - x == 0 ? s : __builtin_nan("");
}
CANOPY_HOST double cospi(double x) noexcept {
  double s, c;
  sincospi(x, &s, &c);
  return x - x == 0 ? c + 0.0 : __builtin_nan("");
}

CANOPY_HOST double normcdf(double x) noexcept { return __builtin_erfc(x * -0.70710678118654752440) / 2; }
CANOPY_HOST double erfcx(double x) noexcept {
  if (x < 25) return __builtin_exp(x * x) * __builtin_erfc(x);
  double q = 1 / (2 * x * x);  // the asymptotic series
  return 0.56418958354775628695 / x * (1 - q * (1 - 3 * q * (1 - 5 * q * (1 - 7 * q))));
}
CANOPY_HOST double canopy_newton_erfcinv(double y) noexcept {  // 0 < y <= 1
  double t = __builtin_sqrt(-2 * __builtin_log(y / 2));
  double x = 0.70710678118654752440 * (t - (2.30753 + t * 0.27061) / (1 + t * (0.99229 + t * 0.04481)));
  for (int i = 0; i < 3; i++) {  // Halley's steps
    double e = (__builtin_erfc(x) - y) / (1.12837916709551257390 * __builtin_exp(-x * x));
    x += e / (1 + x * e);
  }
  return x;
}
CANOPY_HOST double erfcinv(double y) noexcept {
  if (!(y >= 0 && y <= 2)) return __builtin_nan("");
  if (y == 0 || y == 2) return y == 0 ? __builtin_inf() : -__builtin_inf();
  return y <= 1 ? canopy_newton_erfcinv(y) : -canopy_newton_erfcinv(2 - y);
}
CANOPY_HOST double erfinv(double y) noexcept {
  double size = __builtin_fabs(y);
  if (size > 0.5 || y != y) return __builtin_copysign(erfcinv(1 - size), y);
  double x = y * 0.88622692545275801365;
  for (int i = 0; i < 4; i++) x -= (__builtin_erf(x) - y) / (1.12837916709551257390 * __builtin_exp(-x * x));
  return x;
}
CANOPY_HOST double normcdfinv(double y) noexcept { return -1.41421356237309504880 * erfcinv(2 * y); }

CANOPY_HOST double canopy_bessel_i(int order, double x) noexcept {
  double q = x * x / 4, term = order ? x / 2 : 1, sum = term;
  if (q < 900) {  // the power series
    for (int k = 1; k < 200 && term != 0; k++) sum += term *= q / (k * (double)(k + order));
    return sum;
  }
  double size = __builtin_fabs(x);  // the asymptotic series
  term = sum = 1;
  for (int k = 1; k < 30; k++) sum += term *= ((2 * k - 1) * (2 * k - 1) - 4.0 * order) / (8 * k * size);
  double half = __builtin_exp(size / 2);
  return __builtin_copysign(half * (sum / __builtin_sqrt(6.28318530717958647693 * size)) * half, order ? x : 1.0);
}
CANOPY_HOST double cyl_bessel_i0(double x) noexcept { return canopy_bessel_i(0, x); }
CANOPY_HOST double cyl_bessel_i1(double x) noexcept { return canopy_bessel_i(1, x); }

#define CANOPY_FLOAT(name)                                                                                       \
  CANOPY_HOST float name##f(float x) noexcept { return (float)name((double)x); }                                          \
  CANOPY_HOST float name(float x) noexcept { return (float)name((double)x); }
CANOPY_FLOAT(rsqrt) CANOPY_FLOAT(rcbrt) CANOPY_FLOAT(sinpi) CANOPY_FLOAT(cospi) CANOPY_FLOAT(normcdf)
CANOPY_FLOAT(erfcx) CANOPY_FLOAT(erfinv) CANOPY_FLOAT(normcdfinv) CANOPY_FLOAT(erfcinv)
CANOPY_FLOAT(cyl_bessel_i0) CANOPY_FLOAT(cyl_bessel_i1)
#undef CANOPY_FLOAT
CANOPY_HOST float rhypotf(float x, float y) noexcept { return (float)rhypot((double)x, (double)y); }
CANOPY_HOST float rhypot(float x, float y) noexcept { return rhypotf(x, y); }
CANOPY_HOST float norm3df(float x, float y, float z) noexcept { return (float)norm3d(x, y, z); }
CANOPY_HOST float norm4df(float x, float y, float z, float w) noexcept { return (float)norm4d(x, y, z, w); }
CANOPY_HOST float rnorm3df(float x, float y, float z) noexcept { return (float)rnorm3d(x, y, z); }
CANOPY_HOST float rnorm4df(float x, float y, float z, float w) noexcept { return (float)rnorm4d(x, y, z, w); }
CANOPY_HOST void sincospif(float x, float* s, float* c) noexcept {
  double sine, cosine;
  sincospi((double)x, &sine, &cosine);
  *s = (float)sine, *c = (float)cosine;
}
CANOPY_HOST float fdividef(float x, float y) noexcept { return x / y; }
