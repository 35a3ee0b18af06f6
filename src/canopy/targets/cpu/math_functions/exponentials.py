"""exp, log and what is made of them, for f32 and f64 lanes.

exp: x = n ln 2 + r, then 2^n * P(r). log: x = 2^e (1 + f) with 1 + f in [sqrt 1/2, sqrt 2], then
e ln 2 + log1p(f). Functions take and give `Lanes` of either format.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from canopy.targets.cpu.math_functions import coefficients as fit
from canopy.targets.cpu.math_functions.lanes import Lanes
from canopy.targets.cpu.math_functions.scaling import can_scale, scaled

__all__ = [
    "FUNCTIONS",
    "PI",
    "exp",
    "exp2",
    "exp_polynomial",
    "exp_reduced",
    "log",
    "log2",
    "split",
]

Polynomial = Callable[[Lanes], Lanes]
NAN, INFINITY = math.nan, math.inf


@dataclass(frozen=True)
class Logarithm:
    """log_b(2) and log_b(e), each as high + low; the high part of log_b(2) has 11 spare bits."""

    two_high: float
    two_low: float
    e_high: float
    e_low: float


def split(value: Fraction, bits: int) -> tuple[float, float]:
    """``value`` as a float of at most ``bits`` significant bits and the float of what is left."""
    exponent = math.frexp(float(value))[1] - bits
    high = Fraction(round(value / Fraction(2) ** exponent)) * Fraction(2) ** exponent
    return float(high), float(value - high)


# To 50 digits: more than two doubles hold.
LN_2 = Fraction("0.69314718055994530941723212145817656807550013436026")
LN_10 = Fraction("2.3025850929940456840179914546843642076011014886288")
PI = Fraction("3.1415926535897932384626433832795028841971693993751")


def _logarithm(scale: Fraction, bits: int) -> Logarithm:
    """Constants of the logarithm that is ``scale`` times the natural one."""
    return Logarithm(*split(LN_2 * scale, bits - 11), *split(scale, bits))


_LOGARITHMS = {
    (name, bits): _logarithm(scale, 24 if bits == 32 else 53)
    for bits in (32, 64)
    for name, scale in (("log", Fraction(1)), ("log2", 1 / LN_2), ("log10", 1 / LN_10))
}


def scale_by_power(mantissa: Lanes, shifted: Lanes, is_low: Lanes) -> Lanes:
    """mantissa * 2**n, gradual underflow and overflow included, rounded once.

    ``shifted`` is n + rounding_shift + bias - 1, so that its low bits are the exponent field of
    2**(n - 1); where ``is_low``, n is raised by half the exponent range of f32 to stay normal.
    """
    form = mantissa.format
    lift = 64 if form.bits == 32 else 512
    bits = shifted.bits()
    bits = is_low.where(bits + lift, bits)
    power = (bits << form.mantissa).as_float()
    return (mantissa * power) * is_low.where(2.0 ** (1 - lift), shifted.of(2.0))


def _scaled(mantissa: Lanes, shifted: Lanes, is_low: Lanes) -> Lanes:
    """`scale_by_power`, by one instruction where the processor has it: the results are the same."""
    if not can_scale(mantissa):
        return scale_by_power(mantissa, shifted, is_low)
    return scaled(mantissa, shifted - _exponent_shift(mantissa))


def _exponent_shift(x: Lanes) -> float:
    return x.format.rounding_shift + x.format.bias - 1


def split_exponent(x: Lanes, per_unit: float) -> tuple[Lanes, Lanes]:
    """n = rint(x * per_unit), both as ``shifted`` (see `scale_by_power`) and as a float."""
    shift = _exponent_shift(x)
    shifted = x.fma(per_unit, shift)
    return shifted, shifted - shift


def _limits(x: Lanes) -> tuple[float, float, float]:
    """Exponents of 2: all results are 0 below the first, inf above the second; low below third."""
    return (-151.0, 129.0, -124.0) if x.format.bits == 32 else (-1076.0, 1025.0, -1020.0)


def _clamped(x: Lanes, ln_base: float) -> tuple[Lanes, Lanes]:
    """x within the limits of base**x, and where its result may be denormal."""
    zero, infinite, low = (limit * math.log(2) / ln_base for limit in _limits(x))
    return x.at_least(zero).at_most(infinite), x < low


def exp_reduced(x: Lanes) -> tuple[Lanes, Lanes]:
    """x as n ln 2 + r: ``shifted`` of n (see `scale_by_power`) and r."""
    high, low = split(LN_2, 13 if x.format.bits == 32 else 42)
    shifted, n = split_exponent(x, 1 / math.log(2))
    return shifted, n.fma(-low, n.fma(-high, x))


def _exp_tail(r: Lanes) -> Lanes:
    return r.polynomial(fit.EXP_F32 if r.format.bits == 32 else fit.EXP_F64)


def exp_polynomial(r: Lanes) -> Lanes:
    """exp(r) for |r| <= ln 2 / 2."""
    return (r * r).fma(_exp_tail(r), r) + 1.0


def careful_exp_polynomial(r: Lanes) -> Lanes:
    """`exp_polynomial` a quarter ulp better: what 1 + r loses is added to the small terms."""
    high = r + 1.0
    low = r - (high - 1.0)
    return high + (r * r).fma(_exp_tail(r), low)


def exp(x: Lanes, polynomial: Polynomial = exp_polynomial) -> Lanes:
    clamped, is_low = _clamped(x, 1.0)
    shifted, r = exp_reduced(clamped)
    return _scaled(polynomial(r), shifted, is_low)


def exp2(x: Lanes) -> Lanes:
    clamped, is_low = _clamped(x, math.log(2))
    shifted, n = split_exponent(clamped, 1.0)
    r = clamped - n
    tail = r.polynomial(fit.EXP2_F32 if x.format.bits == 32 else fit.EXP2_F64)
    return _scaled(r.fma(tail, 1.0), shifted, is_low)


def exp10(x: Lanes) -> Lanes:
    clamped, is_low = _clamped(x, math.log(10))
    high, low = split(LN_2 / LN_10, 13 if x.format.bits == 32 else 42)
    shifted, n = split_exponent(clamped, math.log2(10))
    r = n.fma(-low, n.fma(-high, clamped))
    tail = r.polynomial(fit.EXP10_F32 if x.format.bits == 32 else fit.EXP10_F64)
    return _scaled(r.fma(tail, 1.0), shifted, is_low)


def expm1(x: Lanes) -> Lanes:
    """exp(x) - 1 as 2^n (exp(r) - 1) + (2^n - 1), in halves so that n = 128 stays finite."""
    form = x.format
    lowest, highest = (-30.0, 89.0) if form.bits == 32 else (-50.0, 710.0)
    clamped = x.at_least(lowest).at_most(highest)
    shifted, r = exp_reduced(clamped)
    tail = _exp_tail(r)
    half_power = (shifted.bits() << form.mantissa).as_float()
    result = half_power.fma((r * r).fma(tail, r), half_power - 0.5) * 2.0
    return (x.abs() < 2.0 ** -(form.mantissa + 2)).where(x, result)


def sigmoid(x: Lanes) -> Lanes:
    """1 / (1 + exp(-x)), from exp(-|x|) so that small results keep their accuracy.

    One correction of the quotient takes back its rounding and that of the sum below it.
    """
    small = exp(-x.abs(), careful_exp_polynomial)
    divisor = small + 1.0
    lost = small - (divisor - 1.0)
    numerator = (x < 0.0).where(small, x.of(1.0))
    quotient = numerator / divisor
    residual = quotient.fma(-lost, quotient.fma(-divisor, numerator))
    reciprocal = divisor.fma(-0.5, 1.457)  # of 1 to 2, to 5 percent
    return residual.fma(reciprocal, quotient)


def log_parts(x: Lanes) -> tuple[Lanes, Lanes, Lanes]:
    """(e, f, y): log(x) = e ln 2 + f + y for positive finite x, with |y| well below |f|."""
    form = x.format
    is_tiny = x < form.smallest_normal
    normal = is_tiny.where(x * 2.0 ** (form.mantissa + 1), x)
    adjust = is_tiny.where(-float(form.mantissa + 1), x.of(0.0))
    root_half = x.of(math.sqrt(0.5)).bits()
    exponent = (normal.bits() - root_half) >> form.mantissa
    f = (normal.bits() - (exponent << form.mantissa)).as_float() - 1.0
    return exponent.to_float() + adjust, f, log1p_tail(f)


def log1p_tail(f: Lanes) -> Lanes:
    """log1p(f) - f for 1 + f in [sqrt 1/2, sqrt 2]."""
    square = f * f
    if f.format.bits == 32:
        return square * f.fma(f.polynomial(fit.LOG_F32), -0.5)
    s = f / (f + 2.0)
    half = square * 0.5
    tail = (s * s) * (s * s).polynomial(fit.LOG_F64)
    return s.fma(half + tail, -half)


def _log_of_parts(x: Lanes, name: str, exponent: Lanes, f: Lanes, y: Lanes) -> Lanes:
    """The sum of `log_parts` in the base that ``name`` tells."""
    scale = _LOGARITHMS[name, x.format.bits]
    if name == "log":
        return exponent.fma(scale.two_high, f + exponent.fma(scale.two_low, y))
    low = f.fma(scale.e_low, exponent * scale.two_low) if name == "log10" else f * scale.e_low
    return exponent.fma(scale.two_high, f.fma(scale.e_high, y.fma(scale.e_high, low)))


def _log_ends(x: Lanes, result: Lanes) -> Lanes:
    """log of what is not positive and finite."""
    result = (x < INFINITY).where(result, x)
    return (x > 0.0).where(result, x.equals(0.0).where(-INFINITY, x.of(NAN)))


def log(x: Lanes) -> Lanes:
    return _log_ends(x, _log_of_parts(x, "log", *log_parts(x)))


def log2(x: Lanes) -> Lanes:
    return _log_ends(x, _log_of_parts(x, "log2", *log_parts(x)))


def log10(x: Lanes) -> Lanes:
    return _log_ends(x, _log_of_parts(x, "log10", *log_parts(x)))


def log1p(x: Lanes) -> Lanes:
    """log of u = 1 + x, with the rounding error of that sum carried into f."""
    form = x.format
    u = x + 1.0
    error = (x > 1.0).where(1.0 - (u - x), x - (u - 1.0))
    root_half = x.of(math.sqrt(0.5)).bits()
    exponent = (u.bits() - root_half) >> form.mantissa
    shift = exponent << form.mantissa
    unscale = (x.of(1.0).bits() - shift).as_float()
    f = (u.bits() - shift).as_float() - 1.0
    f = f + (x < 4.0 / form.epsilon).where(error * unscale, x.of(0.0))
    result = _log_of_parts(x, "log", exponent.to_float(), f, log1p_tail(f))
    result = (x.abs() < 2.0 ** -(form.mantissa + 2)).where(x, result)
    result = (x < INFINITY).where(result, x)
    return (x > -1.0).where(result, x.equals(-1.0).where(-INFINITY, x.of(NAN)))


FUNCTIONS: dict[str, Callable[[Lanes], Lanes]] = {
    "exp": exp,
    "exp2": exp2,
    "exp10": exp10,
    "expm1": expm1,
    "log": log,
    "log2": log2,
    "log10": log10,
    "log1p": log1p,
    "sigmoid": sigmoid,
}
