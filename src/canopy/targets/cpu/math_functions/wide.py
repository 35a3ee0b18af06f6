"""Functions of f32 lanes computed in f64, rounded once at the end; and f64 ones built the same way.

The f64 forms below are accurate to 1e-9 or better, relative: half an ulp of f32 and a little.
Those listed in `FULL_F64` are good to a few ulp of f64 too.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import partial

from canopy.targets.cpu.math_functions import coefficients as fit
from canopy.targets.cpu.math_functions import exponentials as e
from canopy.targets.cpu.math_functions.lanes import Lanes, constant

Body = Callable[..., Lanes]
INFINITY, NAN = math.inf, math.nan
ROOT_HALF = Fraction("0.70710678118654752440084436210484903928483593768847")
SMALL = 2.0**-8  # below it a short Taylor series serves where the formula would cancel


def _odd_series(x: Lanes, cubic: float, fifth: float) -> Lanes:
    z = x * x
    return (x * z).fma(z.fma(fifth, cubic), x)


def _near_zero(x: Lanes, series: Lanes, otherwise: Lanes) -> Lanes:
    """The series for small |x|, and x itself at zero, whose sign it keeps."""
    return (x.abs() < SMALL).where(x.equals(0.0).where(x, series), otherwise)


def sinh(x: Lanes) -> Lanes:
    power = e.exp(x)
    return _near_zero(x, _odd_series(x, 1 / 6, 1 / 120), (power - 1.0 / power) * 0.5)


def cosh(x: Lanes) -> Lanes:
    power = e.exp(x.abs())
    return (power + 1.0 / power) * 0.5


def asinh(x: Lanes) -> Lanes:
    magnitude = x.abs()
    value = e.log(magnitude + magnitude.fma(magnitude, 1.0).sqrt()).copysign(x)
    return _near_zero(x, _odd_series(x, -1 / 6, 3 / 40), value)


def acosh(x: Lanes) -> Lanes:
    return (x < 1.0).where(NAN, e.log(x + x.fma(x, -1.0).sqrt()))


def atanh(x: Lanes) -> Lanes:
    value = e.log((x + 1.0) / (1.0 - x)) * 0.5
    return _near_zero(x, _odd_series(x, 1 / 3, 1 / 5), value)


def cbrt(x: Lanes) -> Lanes:
    return e.exp2(e.log2(x.abs()) * (1 / 3)).copysign(x)


def rcbrt(x: Lanes) -> Lanes:
    return e.exp2(e.log2(x.abs()) * (-1 / 3)).copysign(x)


def hypot(x: Lanes, y: Lanes) -> Lanes:
    root = x.fma(x, y * y).sqrt()
    infinite = Lanes(
        x.builder, x.builder.or_(x.abs().equals(INFINITY).value, y.abs().equals(INFINITY).value)
    )
    return infinite.where(INFINITY, root)


def _atan_unit(t: Lanes) -> Lanes:
    """atan of t in [0, 1]."""
    z = t * t
    return (t * z).fma(z.polynomial(fit.ATAN_F64), t)


def atan2(y: Lanes, x: Lanes) -> Lanes:
    """The angle of (x, y): that of the octant, reflected by the larger coordinate and the signs."""
    height, width = y.abs(), x.abs()
    steep = height > width
    small, large = steep.where(width, height), steep.where(height, width)
    ratio = small / large
    ratio = large.equals(0.0).where(0.0, ratio)
    ratio = small.equals(INFINITY).where(1.0, ratio)
    angle = _atan_unit(ratio)
    angle = steep.where(math.pi / 2 - angle, angle)
    x_bits = x.bits()
    is_left = Lanes(x.builder, x.builder.icmp_signed("<", x_bits.value, constant(x_bits.type, 0)))
    angle = is_left.where(math.pi - angle, angle)
    unordered = Lanes(x.builder, x.builder.fcmp_unordered("uno", x.value, y.value))
    return unordered.where(x + y, angle.copysign(y))


def atan(x: Lanes) -> Lanes:
    return atan2(x, x.of(1.0))


def _leg(x: Lanes) -> Lanes:
    """sqrt(1 - x^2); NaN outside [-1, 1]."""
    return ((1.0 - x) * (x + 1.0)).sqrt()


def asin(x: Lanes) -> Lanes:
    return atan2(x, _leg(x))


def acos(x: Lanes) -> Lanes:
    return atan2(_leg(x), x)


def _erfcx_right(t: Lanes) -> Lanes:
    """exp(t^2) erfc(t) of t >= 0."""
    q = (t - 3.75) / (t + 3.75)
    q = (t < 1e30).where(q, 1.0)
    return q.polynomial(fit.ERFCX_F64) / t.fma(2.0, 1.0)


def _exp_of_square(x: Lanes, sign: float, error: Lanes | None = None) -> Lanes:
    """exp(sign * (x + error)^2), the rounding error of the square carried along."""
    square = x * x
    low = x.fma(x, -square)
    if error is not None:
        low = (x * 2.0).fma(error, low)
    power = e.exp(square * sign)
    corrected = power.fma(low * sign, power)
    return (power < INFINITY).where(corrected, power)


def _erfc_near(x: Lanes, error: Lanes | None = None) -> Lanes:
    """erfc(x + error), where error is far below x."""
    t = x.abs().at_most(40.0)
    signed_error = None if error is None else (x < 0.0).where(-error, error)
    right = _exp_of_square(t, -1.0, signed_error) * _erfcx_right(t)
    return (x < 0.0).where(2.0 - right, right)


def erfc(x: Lanes) -> Lanes:
    return _erfc_near(x)


def erfcx(x: Lanes) -> Lanes:
    right = _erfcx_right(x.abs())
    left = _exp_of_square(x.at_least(-40.0), 1.0) * 2.0 - right
    return (x < 0.0).where(left, right)


def normcdf(x: Lanes) -> Lanes:
    """erfc(-x / sqrt 2) / 2; the tail feels the rounding of that quotient, so it is carried."""
    high, low = e.split(ROOT_HALF, 53)
    bounded = x.at_most(60.0).at_least(-60.0)
    quotient = bounded * -high
    error = bounded.fma(-high, -quotient) - bounded * low
    return _erfc_near(quotient, error) * 0.5


def _erfinv_small(x: Lanes) -> Lanes:
    """erfinv of |x| <= 1/2."""
    return x * (x * x).polynomial(fit.ERFINV_SMALL_F64)


def _erfcinv_tail(y: Lanes, is_full: bool = False) -> Lanes:
    """erfcinv of 0 < y <= 1/2; +inf at zero, NaN below."""
    s = (-e.log(y)).sqrt()
    value = s * (1.0 / s).polynomial(fit.ERFCINV_TAIL_F64)
    if is_full:
        value = (s > 10.36).where(s * (1.0 / s).polynomial(fit.ERFCINV_FAR_F64), value)
        # One Newton step squares the error of the polynomial
        value = (_erfc_near(value) - y).fma(
            _exp_of_square(value, 1.0) * (math.sqrt(math.pi) / 2), value
        )
    return (s < INFINITY).where(value, s)


def erfinv(x: Lanes, is_full: bool = False) -> Lanes:
    magnitude = x.abs()
    tail = _erfcinv_tail(1.0 - magnitude, is_full).copysign(x)
    tail = (magnitude <= 1.0).where(tail, NAN)
    return (magnitude < 0.5).where(_erfinv_small(x), tail)


def erfcinv(y: Lanes, is_full: bool = False) -> Lanes:
    offset = 1.0 - y
    is_left = y > 1.0
    tail = _erfcinv_tail(is_left.where(2.0 - y, y), is_full)
    tail = is_left.where(-tail, tail)
    tail = (offset.abs() <= 1.0).where(tail, NAN)
    return (offset.abs() < 0.5).where(_erfinv_small(offset), tail)


def normcdfinv(p: Lanes, is_full: bool = False) -> Lanes:
    return erfcinv(p * 2.0, is_full) * -math.sqrt(2) + 0.0


def pow(x: Lanes, y: Lanes) -> Lanes:
    """x**y of f32 values held in f64, with the special cases of C's pow."""
    magnitude = x.abs()
    power = e.exp2(e.log2(magnitude) * y)
    is_integer = y.equals(y.intrinsic("floor"))
    half = y * 0.5
    is_even = half.equals(half.intrinsic("floor"))
    is_negative = x.bits() < 0
    power = is_negative.where(
        is_integer.where(is_even.where(power, -power), _negative_base(x, power)), power
    )
    y_infinite = y.abs().equals(INFINITY)
    unit_base = Lanes(x.builder, x.builder.and_(magnitude.equals(1.0).value, y_infinite.value))
    power = unit_base.where(1.0, power)
    power = x.equals(1.0).where(1.0, power)
    return y.equals(0.0).where(1.0, power)


def _negative_base(x: Lanes, power: Lanes) -> Lanes:
    """A negative base and no integer exponent: NaN, but for -0 and -inf, which act as +0, +inf."""
    magnitude = x.abs()
    special = magnitude.equals(0.0).where(power, NAN)
    return magnitude.equals(INFINITY).where(power, special)


def cbrt_full(x: Lanes) -> Lanes:
    """An estimate, and one of Newton's steps from the exact error of its cube."""
    tiny = x.abs() < 2.0**-900  # whose errors would underflow
    size = tiny.where(x.abs() * 2.0**600, x.abs())
    root = e.exp2(e.log2(size) * (1 / 3))
    square = root * root
    error = square.fma(root, -size) + root.fma(root, -square) * root
    root = root - error / (square * 3.0)
    root = tiny.where(root * 2.0**-200, root)
    root = (size < INFINITY).where(root, size)
    return size.equals(0.0).where(size, root).copysign(x)


def rcbrt_full(x: Lanes) -> Lanes:
    return 1.0 / cbrt_full(x)


# Up to here the power series of I0 and I1 (all terms positive), from here on the asymptotic one.
_BESSEL_BORDER = 28.0


def _bessel_series(order: int) -> tuple[float, ...]:
    """sum over k of (z/4)^k / (k! (k + order)!), lowest power first, until it no longer counts."""
    terms, term = [], Fraction(1, math.factorial(order))
    largest = Fraction(int(_BESSEL_BORDER**2), 4)
    for k in range(1, 80):
        terms.append(float(term / 4 ** (k - 1)))
        term = term / (k * (k + order))
        if term * largest**k < Fraction(1, 1 << 20):
            break
    return tuple(terms)


def _bessel_asymptotic(order: int) -> tuple[float, ...]:
    """The series in 1/x behind exp(x) / sqrt(2 pi x) (Abramowitz and Stegun 9.7.1)."""
    terms, term, square = [], Fraction(1), 4 * order * order
    for k in range(1, 26):
        terms.append(float(term))
        term = -term * (square - (2 * k - 1) ** 2) / (8 * k)
    return tuple(terms)


def _bessel_i(order: int, x: Lanes) -> Lanes:
    magnitude = x.abs()
    small = magnitude.at_most(_BESSEL_BORDER)
    series, square = _bessel_series(order), small * small
    slope = tuple(k * term for k, term in enumerate(series[1:], start=1))
    # What rounding the square took counts up to x / 2 times in the result.
    near = square.polynomial(slope).fma(small.fma(small, -square), square.polynomial(series))
    if order:
        near = near * small * 0.5
    large = magnitude.at_least(_BESSEL_BORDER)
    half = e.exp(large * 0.5)  # twice, since exp(x) is too large before the quotient is
    far = (1.0 / large).polynomial(_bessel_asymptotic(order)) / (large * math.tau).sqrt()
    value = (magnitude < _BESSEL_BORDER).where(near, far * half * half)
    value = magnitude.equals(INFINITY).where(INFINITY, value)
    value = x.is_nan().where(NAN, value)
    return value.copysign(x) if order else value


THROUGH_F64: dict[str, Body] = {
    "i0": partial(_bessel_i, 0),
    "i1": partial(_bessel_i, 1),
    "sinh": sinh,
    "cosh": cosh,
    "asinh": asinh,
    "acosh": acosh,
    "atanh": atanh,
    "cbrt": cbrt,
    "rcbrt": rcbrt,
    "hypot": hypot,
    "atan": atan,
    "atan2": atan2,
    "asin": asin,
    "acos": acos,
    "erfc": erfc,
    "erfcx": erfcx,
    "normcdf": normcdf,
    "erfinv": erfinv,
    "erfcinv": erfcinv,
    "normcdfinv": normcdfinv,
    "pow": pow,
}
FULL_F64: dict[str, Body] = {
    "i0": partial(_bessel_i, 0),
    "i1": partial(_bessel_i, 1),
    "cbrt": cbrt_full,
    "rcbrt": rcbrt_full,
    "erfc": erfc,
    "erfcx": erfcx,
    "normcdf": normcdf,
    "erfinv": partial(erfinv, is_full=True),
    "erfcinv": partial(erfcinv, is_full=True),
    "normcdfinv": partial(normcdfinv, is_full=True),
}
