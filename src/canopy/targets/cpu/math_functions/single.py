"""Functions written for f32 lanes alone."""

from __future__ import annotations


from canopy.targets.cpu.math_functions import coefficients as fit
from canopy.targets.cpu.math_functions.exponentials import exp_polynomial, exp_reduced
from canopy.targets.cpu.math_functions.lanes import Lanes

__all__ = ["erf"]


def erf(x: Lanes) -> Lanes:
    """An odd polynomial below 1, else 1 - exp(-P(|x|)), which is 1 from 4 on."""
    magnitude = x.abs()
    small = x.fma((x * x).polynomial(fit.ERF_SMALL_F32), x)
    exponent = -magnitude.at_most(4.0).polynomial(fit.ERF_LARGE_F32)
    shifted, r = exp_reduced(exponent)
    power = ((shifted.bits() + 1) << 23).as_float()
    large = exp_polynomial(r).fma(-power, 1.0).copysign(x)
    return (magnitude < 1.0).where(small, large)


