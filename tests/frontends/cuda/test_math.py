"""CUDA's mathematical functions against mpmath, within the errors that CUDA documents."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ziglang")
mpmath = pytest.importorskip("mpmath")

from canopy.frontends.cuda import CudaModule, compile_cuda  # noqa: E402
from tests.frontends.cuda.test_kernels import run_on_cpu  # noqa: E402

RNG = np.random.default_rng()
ROWS = 96
mp = mpmath.mp.clone()
mp.prec = 120

# name: exact function, bounds in ulp of float and of double, arguments. Most bounds are those that
# CUDA documents; those of tan, tanh, expm1, log1p, log2, sinpi, cospi, rsqrt, rcbrt, rhypot, erfcx,
# tgamma and the Bessel functions are what is reached here, with room for rare arguments.
Exact = Callable[..., Any]
ANY, SMALL, POSITIVE, UNIT, ABOVE = "any", "small", "positive", "unit", "above one"


def _ncdf(x: Any) -> Any:
    return mp.erfc(-x / mp.sqrt(2)) / 2


def _erfinv(x: Any) -> Any:
    return mp.erfinv(x) if abs(x) < 1 else x * mp.inf if abs(x) == 1 else mp.nan


UNARY: dict[str, tuple[Exact, float, float, str]] = {
    "sin": (mp.sin, 2, 2, ANY),
    "cos": (mp.cos, 2, 2, ANY),
    "tan": (mp.tan, 4, 4, ANY),
    "sinpi": (mp.sinpi, 1.1, 2, SMALL),
    "cospi": (mp.cospi, 1.1, 2, SMALL),
    "asin": (mp.asin, 2, 2, UNIT),
    "acos": (mp.acos, 2, 2, UNIT),
    "atan": (mp.atan, 2, 2, ANY),
    "sinh": (mp.sinh, 3, 2, SMALL),
    "cosh": (mp.cosh, 2, 2, SMALL),
    "tanh": (mp.tanh, 2, 2.5, SMALL),
    "asinh": (mp.asinh, 3, 3, ANY),
    "acosh": (mp.acosh, 4, 3, ABOVE),
    "atanh": (mp.atanh, 3, 2, UNIT),
    "exp": (mp.exp, 2, 1.1, SMALL),
    "exp2": (lambda x: mp.power(2, x), 2, 1.1, SMALL),
    "exp10": (lambda x: mp.power(10, x), 2, 1.2, SMALL),
    "expm1": (mp.expm1, 1.5, 2, SMALL),
    "log": (mp.log, 1, 1, POSITIVE),
    "log2": (lambda x: mp.log(x, 2), 1.1, 1.1, POSITIVE),
    "log10": (mp.log10, 2, 1, POSITIVE),
    "log1p": (mp.log1p, 1.6, 1.2, POSITIVE),
    "sqrt": (mp.sqrt, 0.5, 0.5, POSITIVE),
    "rsqrt": (lambda x: 1 / mp.sqrt(x), 2, 1.5, POSITIVE),
    "cbrt": (mp.cbrt, 1, 1, POSITIVE),
    "rcbrt": (lambda x: 1 / mp.cbrt(x), 1, 1.5, POSITIVE),
    "erf": (mp.erf, 2, 2, SMALL),
    "erfc": (mp.erfc, 4, 5, SMALL),
    "erfinv": (_erfinv, 2, 5, UNIT),
    "erfcinv": (lambda x: _erfinv(1 - x), 4, 6, UNIT),
    "erfcx": (lambda x: mp.exp(x * x) * mp.erfc(x), 4, 6, SMALL),
    "normcdf": (_ncdf, 5, 5, SMALL),
    "tgamma": (mp.gamma, 7, 10, ABOVE),
    "lgamma": (mp.loggamma, 6, 4, ABOVE),
    "j0": (lambda x: mp.besselj(0, x), 9, 7, UNIT),
    "j1": (lambda x: mp.besselj(1, x), 9, 7, UNIT),
    "y0": (lambda x: mp.bessely(0, x), 9, 7, "half"),
    "y1": (lambda x: mp.bessely(1, x), 9, 7, "half"),
    "cyl_bessel_i0": (lambda x: mp.besseli(0, x), 1, 5, SMALL),
    "cyl_bessel_i1": (lambda x: mp.besseli(1, x), 1, 5, SMALL),
    "floor": (mp.floor, 0, 0, ANY),
    "ceil": (mp.ceil, 0, 0, ANY),
    "trunc": (lambda x: mp.sign(x) * mp.floor(abs(x)), 0, 0, ANY),
    "round": (lambda x: mp.sign(x) * mp.floor(abs(x) + 0.5), 0, 0, ANY),
    "rint": (mp.nint, 0, 0, ANY),
    "nearbyint": (mp.nint, 0, 0, ANY),
    "fabs": (abs, 0, 0, ANY),
    "logb": (lambda x: mp.floor(mp.log(abs(x), 2)), 0, 0, "exponents"),
    "ilogb": (lambda x: mp.floor(mp.log(abs(x), 2)), 0, 0, "exponents"),
    "lrint": (mp.nint, 0, 0, SMALL),
    "llrint": (mp.nint, 0, 0, SMALL),
    "lround": (lambda x: mp.sign(x) * mp.floor(abs(x) + 0.5), 0, 0, SMALL),
    "llround": (lambda x: mp.sign(x) * mp.floor(abs(x) + 0.5), 0, 0, SMALL),
}
BINARY: dict[str, tuple[Exact, float, float]] = {
    "pow": (mp.power, 4, 2),
    "atan2": (mp.atan2, 3, 2),
    "hypot": (mp.hypot, 3, 2),
    "rhypot": (lambda x, y: 1 / mp.hypot(x, y), 2, 2),
    "fmod": (lambda x, y: mp.mpf(math.fmod(x, y)), 0, 0),
    "remainder": (lambda x, y: mp.mpf(math.remainder(x, y)), 0, 0),
    "fdim": (lambda x, y: max(x - y, mp.mpf(0)), 0.5, 0.5),
    "fmax": (max, 0, 0),
    "fmin": (min, 0, 0),
    "max": (max, 0, 0),
    "min": (min, 0, 0),
    "copysign": (lambda x, y: abs(x) * mp.sign(y), 0, 0),
}


def _numbers(kind: str, dtype: Any) -> np.ndarray:
    x = RNG.standard_normal(ROWS)
    match kind:
        case "any":
            x *= 10.0 ** RNG.integers(-6, 7, ROWS)
        case "small":
            x *= 5
        case "positive":
            x = np.abs(x) * 10.0 ** RNG.integers(-30, 30, ROWS)
        case "unit":
            x = RNG.uniform(0.001, 1, ROWS)
        case "half":
            x = RNG.uniform(0.01, 0.5, ROWS)
        case "above one":
            x = 1 + np.abs(x) * 10
        case "exponents":
            x *= 2.0 ** RNG.integers(-120, 120, ROWS)
    return x.astype(dtype)


def _source(calls: list[str], type_: str) -> str:
    lines = [f"  out[{n} * {ROWS} + i] = {call};" for n, call in enumerate(calls)]
    body = "\n".join(lines)
    head = f"__global__ void f(const {type_}* in, {type_}* out) {{\n  int i = threadIdx.x;"
    return f"{head}\n{body}\n}}\n"


def run(source: str, *arguments: Any, kernel: str = "f", threads: int = ROWS) -> None:
    module: CudaModule = compile_cuda(source, "math.cu")
    run_on_cpu(module.kernel(kernel, (threads, 1, 1)), arguments, (1,), (threads, 1, 1))


def _assert_within(
    name: str, found: np.ndarray, exact: list[Any], ulps: float, x: np.ndarray
) -> None:
    for got, want, argument in zip(found, exact, x.reshape(len(found), -1), strict=True):
        rounded = found.dtype.type(float(want)) if found.dtype != np.float64 else float(want)
        if not math.isfinite(rounded) or not math.isfinite(got):
            assert got == rounded or (math.isnan(got) and math.isnan(rounded)), (name, argument)
            continue
        error = abs(mp.mpf(float(got)) - want) / mp.mpf(float(np.spacing(abs(rounded))))
        assert error <= max(ulps, 0) + 1e-9, (name, argument, got, float(want), float(error))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_functions(dtype: Any) -> None:
    """All in one kernel, by their f-suffixed names for float and as overloads."""
    is_float = dtype is np.float32
    unary = [(name, *row) for name, row in UNARY.items()]
    inputs = [_numbers(row[4], dtype) for row in unary]
    pairs = [(_numbers(POSITIVE, dtype), _numbers(SMALL, dtype)) for _ in BINARY]
    pairs[0] = (_numbers(ABOVE, dtype), pairs[0][1])
    calls = []
    for n, (name, *_) in enumerate(unary):
        suffix = "f" if is_float and n % 2 else ""
        calls.append(f"{name}{suffix}(in[{n * ROWS} + i])")
    for n, name in enumerate(BINARY, len(unary) // 2 + len(unary) % 2):
        suffix = "f" if is_float and n % 2 and name not in ("min", "max") else ""
        calls.append(f"{name}{suffix}(in[{2 * n * ROWS} + i], in[{(2 * n + 1) * ROWS} + i])")
    flat = [*inputs, *([inputs[0]] if len(inputs) % 2 else []), *(x for p in pairs for x in p)]
    out = np.full((len(calls), ROWS), 77, dtype)
    run(_source(calls, "float" if is_float else "double"), np.concatenate(flat), out)
    for found, x, (name, exact, single, double, _) in zip(out, inputs, unary, strict=False):
        values = [exact(mp.mpf(float(v))) for v in x]
        _assert_within(name, found, values, single if is_float else double, x)
    for found, (x, y), (name, row) in zip(out[len(unary) :], pairs, BINARY.items(), strict=True):
        exact, single, double = row
        values = [exact(mp.mpf(float(a)), mp.mpf(float(b))) for a, b in zip(x, y, strict=True)]
        ulps = single if is_float else double
        _assert_within(name, found, values, ulps, np.stack([x, y], 1))
