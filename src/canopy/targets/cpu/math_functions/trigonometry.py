"""sin, cos and tan of f32 and f64 lanes, and sinpi and cospi.

x = n pi/2 + r with |r| <= pi/4: pi/2 is subtracted in three parts, which fma makes exact enough
up to `REDUCTION_LIMIT`. Beyond it the caller takes libm lane by lane.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir

from canopy.targets.cpu.math_functions import coefficients as fit
from canopy.targets.cpu.math_functions.exponentials import PI, split
from canopy.targets.cpu.math_functions.lanes import Lanes, constant, declare, lanes_of

__all__ = ["REDUCED", "REDUCTION_LIMIT", "TURNS", "any_lane", "beyond_reduction"]

REDUCTION_LIMIT = {32: 65536.0, 64: 1048576.0}


def _half_pi(bits: int) -> tuple[float, float, float]:
    """pi/2 as three floats of the format, highest first."""
    significant = 24 if bits == 32 else 53
    high, _ = split(PI / 2, significant)
    rest = PI / 2 - type(PI)(high)
    middle, low = split(rest, significant)
    return high, middle, low


def _reduce(x: Lanes) -> tuple[Lanes, Lanes]:
    """(quadrant, r): x = quadrant * pi/2 + r, the quadrant as integers right in the low bits."""
    high, middle, low = _half_pi(x.format.bits)
    shifted = x.fma(2 / math.pi, x.format.rounding_shift)
    n = shifted - x.format.rounding_shift
    r = n.fma(-low, n.fma(-middle, n.fma(-high, x)))
    return shifted.bits(), r


def _sin_polynomial(r: Lanes) -> Lanes:
    z = r * r
    return (r * z).fma(z.polynomial(fit.SIN_F32 if r.format.bits == 32 else fit.SIN_F64), r)


def _cos_polynomial(r: Lanes) -> Lanes:
    z = r * r
    tail = z.polynomial(fit.COS_F32 if r.format.bits == 32 else fit.COS_F64)
    return (z * z).fma(tail, z.fma(-0.5, 1.0))


def _bit_set(bits: Lanes, mask: int) -> Lanes:
    """Where any of ``mask`` is set."""
    masked = (bits & mask).value
    zero = constant(masked.type, 0)
    return Lanes(bits.builder, bits.builder.icmp_signed("!=", masked, zero))


def _sign_from_bit_1(value: Lanes, quadrant: Lanes) -> Lanes:
    """``value`` negated where the quadrant has its bit of weight 2."""
    sign = (quadrant & 2) << (value.format.bits - 2)
    return (value.bits() ^ sign).as_float()


def sin(x: Lanes) -> Lanes:
    quadrant, r = _reduce(x)
    value = _bit_set(quadrant, 1).where(_cos_polynomial(r), _sin_polynomial(r))
    return x.equals(0.0).where(x, _sign_from_bit_1(value, quadrant))


def cos(x: Lanes) -> Lanes:
    quadrant, r = _reduce(x)
    value = _bit_set(quadrant, 1).where(_sin_polynomial(r), _cos_polynomial(r))
    return _sign_from_bit_1(value, quadrant + 1)


def tan(x: Lanes) -> Lanes:
    quadrant, r = _reduce(x)
    s, c = _sin_polynomial(r), _cos_polynomial(r)
    odd = _bit_set(quadrant, 1)
    return x.equals(0.0).where(x, odd.where(-c, s) / odd.where(s, c))


def _reduce_turns(x: Lanes) -> tuple[Lanes, Lanes]:
    """(quadrant, r): x = quadrant / 2 + r, exactly; every large x is an even integer."""
    form = x.format
    is_large = x.abs() >= 2.0 ** (form.mantissa + 1)
    small = is_large.where(x - x, x)  # NaN for an infinity, else 0
    doubled = small * 2.0
    n = doubled.rint()
    quadrant = (n - (n * 0.25).intrinsic("floor") * 4.0) + form.rounding_shift
    return quadrant.bits(), n.fma(-0.5, small)


def _sinpi_polynomial(r: Lanes) -> Lanes:
    high, low = split(PI, 24 if r.format.bits == 32 else 53)
    z = r * r
    tail = z.polynomial(fit.SINPI_F32 if r.format.bits == 32 else fit.SINPI_F64)
    return r.fma(high, r * z.fma(tail, low))


def _cospi_polynomial(r: Lanes) -> Lanes:
    z = r * r
    return z.fma(z.polynomial(fit.COSPI_F32 if r.format.bits == 32 else fit.COSPI_F64), 1.0)


def sinpi(x: Lanes) -> Lanes:
    """sin(pi x); a zero of the sign of x at the integers, as in CUDA."""
    quadrant, r = _reduce_turns(x)
    value = _bit_set(quadrant, 1).where(_cospi_polynomial(r), _sinpi_polynomial(r))
    value = _sign_from_bit_1(value, quadrant)
    return value.equals(0.0).where(value.of(0.0).copysign(x), value)


def cospi(x: Lanes) -> Lanes:
    """cos(pi x); +0 at the halves of odd integers."""
    quadrant, r = _reduce_turns(x)
    value = _bit_set(quadrant, 1).where(_sinpi_polynomial(r), _cospi_polynomial(r))
    return _sign_from_bit_1(value, quadrant + 1) + 0.0


def beyond_reduction(x: Lanes) -> Lanes:
    """The lanes, as i1, that are finite and too large for `_reduce`; infinities give NaN there."""
    magnitude = x.abs()
    is_large = magnitude > REDUCTION_LIMIT[x.format.bits]
    return is_large & (magnitude < math.inf)


def any_lane(condition: Lanes) -> Lanes:
    """Whether some lane is set: one i1."""
    if not lanes_of(condition.type):
        return condition
    builder = condition.builder
    function = declare(builder.module, "vector.reduce.or", ir.IntType(1), [condition.type])
    return Lanes(builder, builder.call(function, [condition.value]))


REDUCED: dict[str, Callable[[Lanes], Lanes]] = {"sin": sin, "cos": cos, "tan": tan}
TURNS: dict[str, Callable[[Lanes], Lanes]] = {"sinpi": sinpi, "cospi": cospi}
