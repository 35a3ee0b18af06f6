"""References in float64 for the f32 math functions, and the error measured in units of f32."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch

Reference = Callable[[np.ndarray], np.ndarray]


def _torch(function: Any) -> Reference:
    return lambda x: function(torch.from_numpy(x)).numpy()


_erfc, _erfinv = _torch(torch.special.erfc), _torch(torch.special.erfinv)


def _sinpi(x: np.ndarray) -> np.ndarray:
    reduced = np.fmod(x, 2.0)
    return np.where(np.trunc(x) == x, np.copysign(x - x, x), np.sin(np.pi * reduced))


def _cospi(x: np.ndarray) -> np.ndarray:
    reduced = np.fmod(np.abs(x), 2.0)
    return np.where(np.fmod(reduced, 1.0) == 0.5, 0.0, np.cos(np.pi * reduced))


UNARY: dict[str, Reference] = {
    "exp": np.exp,
    "exp2": np.exp2,
    "exp10": lambda x: np.power(10.0, x),
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "cbrt": np.cbrt,
    "rcbrt": lambda x: 1 / np.cbrt(x),
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "sinpi": _sinpi,
    "cospi": _cospi,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": _torch(torch.special.erf),
    "erfc": _erfc,
    "erfcx": _torch(torch.special.erfcx),
    "erfinv": _erfinv,
    "normcdf": lambda x: 0.5 * _erfc(x * -np.sqrt(0.5)),
    "normcdfinv": _torch(torch.special.ndtri),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "lgamma": _torch(torch.special.gammaln),
    "j0": _torch(torch.special.bessel_j0),
    "j1": _torch(torch.special.bessel_j1),
    "y0": _torch(torch.special.bessel_y0),
    "y1": _torch(torch.special.bessel_y1),
    "i0": lambda x: np.where(np.isinf(x), np.inf, _torch(torch.special.i0)(x)),
    "i1": lambda x: np.where(np.isinf(x), x, np.copysign(_torch(torch.special.i1)(x), x)),
}


def ulps(got: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """|got - exact| in units of the last place of f32 at ``exact``; 1e9 where no number agrees.

    Past the range of f32 the correctly rounded result is asked for; a wrong sign of zero is wrong.
    """
    rounded = exact.astype(np.float32)
    magnitude = np.abs(exact)
    usual = (magnitude > 0) & np.isfinite(magnitude)
    exponent = np.frexp(np.where(usual, magnitude, 1.0))[1] - 1
    unit = np.ldexp(1.0, np.clip(exponent, -126, 127) - 23)
    error = np.abs(got.astype(np.float64) - exact) / unit
    both_nan = np.isnan(got) & np.isnan(exact)
    error[both_nan | ((got == rounded) & ~np.isfinite(rounded))] = 0
    error[~np.isfinite(error)] = 1e9
    error[(np.signbit(got) != np.signbit(exact)) & ~np.isnan(exact)] = 1e9
    return error


def patterns(first: int, last: int, step: int = 1) -> np.ndarray:
    """The f32 values of the bit patterns first, first + step, ... below last."""
    return np.arange(first, last, step, dtype=np.uint64).astype(np.uint32).view(np.float32)


SPECIALS = np.array(
    [
        *(0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1.0, -1.0, 0.5, -0.5, 2.0, -2.0, 0.625),
        *(1e-45, -1e-45, 1.1754944e-38, 3.4028235e38, -3.4028235e38, 88.72283, 88.72284, 89.5),
        *(-87.33654, -87.33655, -103.97, -103.98, -104.5, 127.99999, 128.0, -126.0, -149.0, -150.0),
        *(0.70710677, 0.7071068, 1.4142135, 1.4142137, 0.99999994, 1.0000001, 65536.0, 65540.0),
        *(38.53184, -45.1, 9.010913, 4.0, 3.9999998, 1e10, -1e10, 8388608.0, 8388607.5, 1e22),
    ],
    np.float32,
)
