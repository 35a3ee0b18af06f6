"""The mathematical functions of `MathCall`, computed in float64 and rounded to the type."""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Any

import numpy as np

from canopy.errors import UnsupportedError
from canopy.ir.elementwise import MathCall
from canopy.ir.interpreter.numeric import Array, dtype_of, round_float
from canopy.ir.types import element_type, is_float

__all__ = ["call"]


def call(op: MathCall, arguments: tuple[Array, ...]) -> Array:
    """The value of ``op`` on its arguments, lane by lane."""
    result_type = op.result.type
    if not is_float(op.arguments[0].type):
        return np.asarray(_INTEGER[op.function](arguments[0])).astype(dtype_of(result_type))
    if op.function in ("abs", "neg"):  # a change of the sign alone: infinities of float8 stay
        return np.asarray(_FLOAT[op.function](arguments[0]))
    if op.function == "nextafter":  # a step of the type itself
        return np.asarray(np.nextafter(*arguments))
    if op.function not in _FLOAT:
        raise UnsupportedError(
            f"the interpreter has no {op.function}",
            location=op.location,
            hint="run the kernel on a target that has it, or compute it beforehand",
        )
    wide = _FLOAT[op.function](*(argument.astype(np.float64) for argument in arguments))
    if not is_float(result_type):
        return np.asarray(wide).astype(dtype_of(result_type))
    return round_float(np.asarray(wide, np.float64), element_type(result_type))


def _lanes(function: Callable[..., float], count: int = 1) -> Callable[..., Array]:
    """A function of Python floats, over arrays."""
    ufunc = np.frompyfunc(function, count, 1)
    return lambda *arguments: np.asarray(ufunc(*arguments), np.float64)


def _round_half_away(x: Array) -> Array:
    whole = np.trunc(x)
    away = whole + np.copysign((np.abs(x - whole) >= 0.5).astype(np.float64), x)
    return np.asarray(np.copysign(away, x))


def _remainder(x: float, y: float) -> float:
    if math.isinf(x) or y == 0 or math.isnan(x) or math.isnan(y):
        return math.nan
    return math.remainder(x, y)


def _lgamma(x: float) -> float:
    if math.isinf(x) or (x <= 0 and x == math.floor(x)):
        return math.inf
    return math.lgamma(x)


def _tgamma(x: float) -> float:
    if x == 0:
        return math.copysign(math.inf, x)
    if x == -math.inf or (x < 0 and x == math.floor(x)):
        return math.nan
    try:
        return math.gamma(x)
    except OverflowError:
        return math.inf


def _erfcx(x: float) -> float:
    """exp(x*x) * erfc(x); for large x by its continued fraction (Abramowitz and Stegun 7.1.14)."""
    if x < 10.0:
        try:
            return math.exp(x * x) * math.erfc(x)
        except OverflowError:
            return math.inf
    fraction = 0.0
    for term in range(40, 0, -1):
        fraction = term / 2 / (x + fraction)
    return 1 / math.sqrt(math.pi) / (x + fraction)


def _erfcinv(y: float) -> float:
    """The x with erfc(x) == y: a start from the normal quantile, then Newton steps."""
    if not 0 <= y <= 2:
        return math.nan
    if y in (0, 2):
        return math.inf if y == 0 else -math.inf
    if y > 1:
        return -_erfcinv(2 - y)
    x = -NormalDist().inv_cdf(y / 2) / math.sqrt(2) if y / 2 > 0 else 27.0
    for _ in range(2):
        x += (math.erfc(x) - y) * math.sqrt(math.pi) / 2 * math.exp(x * x)
    return x


def _erfinv(y: float) -> float:
    if not abs(y) < 0.5:
        return _erfcinv(1 - y)
    x = y * math.sqrt(math.pi) / 2
    for _ in range(6):
        x -= (math.erf(x) - y) * math.sqrt(math.pi) / 2 * math.exp(x * x)
    return x


def _half_turns(x: Array) -> Array:
    """x reduced to -1 .. 1: sin(pi x) and cos(pi x) have the period 2."""
    return np.asarray(x - 2 * np.rint(x / 2))


def _sinpi(x: Array) -> Array:
    reduced = _half_turns(x)
    folded = np.where(np.abs(reduced) > 0.5, np.copysign(1.0, reduced) - reduced, reduced)
    return np.asarray(np.sin(np.pi * folded))


def _cospi(x: Array) -> Array:
    turns = np.abs(_half_turns(x))
    near_half = (turns > 0.25) & (turns < 0.75)
    return np.where(near_half, np.sin(np.pi * (0.5 - turns)), np.cos(np.pi * turns))


def _logb(x: Array) -> Array:
    exponent = (np.frexp(x)[1] - 1).astype(np.float64)
    special = np.where(x == 0, -np.inf, np.abs(x))
    return np.where(np.isfinite(x) & (x != 0), exponent, special)


def _sigmoid(x: Array) -> Array:
    small = np.exp(-np.abs(x))
    return np.asarray(np.where(x >= 0, 1.0, small) / (1.0 + small))


def _libm(name: str, order: bool = False) -> Callable[..., Array]:
    """A function of the C library that Python's math does not have."""

    def call(*arguments: float) -> float:
        function = getattr(_c_library(), name)
        function.restype = ctypes.c_double
        kinds = [ctypes.c_int if order else ctypes.c_double, ctypes.c_double]
        function.argtypes = kinds if order else kinds[:1]
        return float(function(int(arguments[0]), arguments[1]) if order else function(*arguments))

    return _lanes(call, 2 if order else 1)


@functools.lru_cache(maxsize=1)
def _c_library() -> ctypes.CDLL:
    return ctypes.CDLL(ctypes.util.find_library("m"))


def _bessel_i(order: int) -> Callable[..., Array]:
    """The modified function of the first kind, by its power series (all terms positive)."""

    def of_number(x: float) -> float:
        if math.isnan(x) or math.isinf(x):
            return x if order else abs(x)
        quarter, term, total, k = x * x / 4, 1.0, 0.0, 0
        while term > total * 1e-18:
            total += term
            k += 1
            term *= quarter / (k * (k + order))
            if math.isinf(total):
                break
        return total * (x / 2 if order else 1.0)

    return _lanes(of_number)


_FLOAT: dict[str, Callable[..., Any]] = {
    **{name: _libm(name) for name in ("j0", "j1", "y0", "y1")},
    **{name: _libm(name, order=True) for name in ("jn", "yn")},
    "i0": _bessel_i(0),
    "i1": _bessel_i(1),
    "abs": np.abs,
    "neg": np.negative,
    "floor": np.floor,
    "ceil": np.ceil,
    "round": _round_half_away,
    "rint": np.rint,
    "trunc": np.trunc,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1.0 / np.sqrt(x),
    "cbrt": np.cbrt,
    "rcbrt": lambda x: 1.0 / np.cbrt(x),
    "exp": np.exp,
    "exp2": np.exp2,
    "exp10": lambda x: np.power(10.0, x),
    "expm1": np.expm1,
    "log": np.log,
    "log2": np.log2,
    "log10": np.log10,
    "log1p": np.log1p,
    "sin": np.sin,
    "cos": np.cos,
    "tan": np.tan,
    "asin": np.arcsin,
    "acos": np.arccos,
    "atan": np.arctan,
    "sinh": np.sinh,
    "cosh": np.cosh,
    "tanh": np.tanh,
    "asinh": np.arcsinh,
    "acosh": np.arccosh,
    "atanh": np.arctanh,
    "erf": _lanes(math.erf),
    "erfc": _lanes(math.erfc),
    "erfinv": _lanes(_erfinv),
    "erfcinv": _lanes(_erfcinv),
    "lgamma": _lanes(_lgamma),
    "tgamma": _lanes(_tgamma),
    "normcdf": _lanes(lambda x: 0.5 * math.erfc(-x / math.sqrt(2))),
    "normcdfinv": _lanes(lambda p: -math.sqrt(2) * _erfcinv(2 * p)),
    "erfcx": _lanes(_erfcx),
    "sinpi": _sinpi,
    "cospi": _cospi,
    "logb": _logb,
    "sigmoid": _sigmoid,
    "pow": np.power,
    "atan2": np.arctan2,
    "fmod": np.fmod,
    "remainder": _lanes(_remainder, 2),
    "hypot": np.hypot,
    "copysign": np.copysign,
    "fdim": lambda x, y: np.where(x > y, x - y, np.where(np.isnan(x) | np.isnan(y), np.nan, 0.0)),
    "ldexp": lambda x, n: np.ldexp(x, np.clip(n, -5000, 5000).astype(np.int32)),
    "isnan": np.isnan,
    "isinf": np.isinf,
    "isfinite": np.isfinite,
    "signbit": np.signbit,
}


def _bits_of(x: Array) -> Array:
    """The bits of each lane along a new last axis, highest first."""
    unsigned = np.atleast_1d(x).view(f"uint{x.dtype.itemsize * 8}")
    positions = np.arange(x.dtype.itemsize * 8 - 1, -1, -1).astype(unsigned.dtype)
    return np.asarray((unsigned[..., None] >> positions) & np.ones_like(positions))


def _leading_zeros(bits: Array) -> Array:
    first: Array = np.where(bits.any(axis=-1), bits.argmax(axis=-1), bits.shape[-1])
    return first


def _bit_reverse(x: Array) -> Array:
    bits = _bits_of(x)
    weights = np.left_shift(
        bits.dtype.type(1), np.arange(bits.shape[-1]).astype(bits.dtype), dtype=bits.dtype
    )
    total = (bits * weights).sum(axis=-1, dtype=bits.dtype)
    return np.asarray(total.view(x.dtype)).reshape(x.shape)


_INTEGER: dict[str, Callable[[Array], Any]] = {
    "abs": lambda x: np.where(x < 0, -x, x),
    "neg": lambda x: np.zeros_like(x) - x,
    "clz": lambda x: _leading_zeros(_bits_of(x)).reshape(x.shape),
    "ctz": lambda x: _leading_zeros(_bits_of(x)[..., ::-1]).reshape(x.shape),
    "popcount": lambda x: _bits_of(x).sum(axis=-1).reshape(x.shape),
    "bit_reverse": _bit_reverse,
}
