"""Functions written for f32 lanes alone."""

from __future__ import annotations

from collections.abc import Callable

from canopy.targets.cpu.math_functions import coefficients as fit
from canopy.targets.cpu.math_functions.exponentials import exp_polynomial, exp_reduced
from canopy.targets.cpu.math_functions.lanes import Lanes

__all__ = ["FUNCTIONS"]


def erf(x: Lanes) -> Lanes:
    """An odd polynomial below 1, else 1 - exp(-P(|x|)), which is 1 from 4 on."""
    magnitude = x.abs()
    small = x.fma((x * x).polynomial(fit.ERF_SMALL_F32), x)
    exponent = -magnitude.at_most(4.0).polynomial(fit.ERF_LARGE_F32)
    shifted, r = exp_reduced(exponent)
    power = ((shifted.bits() + 1) << 23).as_float()
    large = exp_polynomial(r).fma(-power, 1.0).copysign(x)
    return (magnitude < 1.0).where(small, large)


def tanh(x: Lanes) -> Lanes:
    """An odd polynomial below 0.625, else 1 - 2 / (exp(2|x|) + 1)."""
    magnitude = x.abs()
    z = x * x
    small = (x * z).fma(z.polynomial(fit.TANH_F32), x)
    shifted, r = exp_reduced(magnitude.at_most(9.5) * 2.0)
    power = ((shifted.bits() + 1) << 23).as_float()
    large = 1.0 - 2.0 / exp_polynomial(r).fma(power, 1.0)
    return (magnitude < 0.625).where((x.equals(0.0)).where(x, small), large.copysign(x))


FUNCTIONS: dict[str, Callable[[Lanes], Lanes]] = {"erf": erf, "tanh": tanh}
