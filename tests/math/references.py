"""The f32 math functions in double precision, from the C library's functions of doubles.

Each reference is an LLVM function of its own over f64 lanes. Where the C library has no such
function a formula stands in, whose error is far below that of a correctly rounded f32.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from llvmlite import ir

from canopy.targets.cpu.math_functions import emit_math
from canopy.targets.cpu.math_functions.lanes import Lanes, type_name
from canopy.targets.cpu.math_functions.libm import emit_lane_loop

__all__ = ["REFERENCES", "reference_function"]

Reference = Callable[[Lanes], Lanes]

_LIBM = (
    *("exp", "exp2", "exp10", "expm1", "log", "log2", "log10", "log1p", "sqrt", "cbrt"),
    *("sin", "cos", "tan", "asin", "acos", "atan", "sinh", "cosh", "tanh"),
    *("asinh", "acosh", "atanh", "erf", "erfc"),
)


def libm(name: str, x: Lanes) -> Lanes:
    """The C library's function of each lane."""
    return _call(f"reference.libm.{name}", x, lambda v: _lane_loop(name, v))


def _lane_loop(name: str, x: Lanes) -> Lanes:
    return Lanes(x.builder, emit_lane_loop(x.builder, name, [x.value]))


def _call(name: str, x: Lanes, body: Reference) -> Lanes:
    """A call of the module's function of that name, made if it is not there: its stack is its own
    at every call."""
    module = x.builder.module
    full = f"{name}.{type_name(x.type)}"
    function = module.globals.get(full)
    if function is None:
        function = ir.Function(module, ir.FunctionType(x.type, [x.type]), full)
        function.linkage = "internal"
        function.attributes.add("noinline")
        builder = ir.IRBuilder(function.append_basic_block("entry"))
        builder.ret(body(Lanes(builder, function.args[0])).value)
    return Lanes(x.builder, x.builder.call(function, [x.value]))


def _sinpi(x: Lanes) -> Lanes:
    """x is reduced to -1 .. 1 exactly, and folded to -1/2 .. 1/2; whole x give a zero like x."""
    reduced = x - (x * 0.5).intrinsic("rint") * 2.0
    far = reduced.abs() > 0.5
    folded = far.where(x.of(1.0).copysign(reduced) - reduced, reduced)
    found = libm("sin", folded * math.pi)
    whole = x.intrinsic("trunc").equals(x)
    zero = x.of(0.0).copysign(x)
    return whole.where(x.abs().equals(math.inf).where(math.nan, zero), found)


def _cospi(x: Lanes) -> Lanes:
    """cos(pi x) = sin(pi (1/2 - |x|)), with |x| reduced to 0 .. 1 first."""
    reduced = (x - (x * 0.5).intrinsic("rint") * 2.0).abs()
    found = libm("sin", (0.5 - reduced) * math.pi)
    return reduced.equals(0.5).where(0.0, found)


def _erfcx(x: Lanes) -> Lanes:
    """Far out by the asymptotic series, whose next term is below 1e-10 there."""
    near = libm("exp", x * x) * libm("erfc", x)
    square = 1.0 / (x * x)
    series = 1.0 - square * (0.5 - square * (0.75 - square * (1.875 - square * 6.5625)))
    far = series / (x * math.sqrt(math.pi))
    return (x > 20.0).where(far, near)


def _erfinv(y: Lanes) -> Lanes:
    """Ours in f64, and a Newton step on the C library's erf, which squares its error."""
    start = Lanes(y.builder, emit_math(y.builder, "erfinv", [y.value]))
    slope = libm("exp", start * start) * (math.sqrt(math.pi) / 2)
    small = start - (libm("erf", start) - y) * slope
    magnitude = y.abs()
    tail = start.abs() + (libm("erfc", start.abs()) - (1.0 - magnitude)) * slope
    found = (magnitude < 0.5).where(small, tail.copysign(y))
    found = magnitude.equals(1.0).where(y.of(math.inf).copysign(y), found)
    found = y.equals(0.0).where(y, found)
    return (magnitude <= 1.0).where(found, math.nan)


def _erfcinv(y: Lanes) -> Lanes:
    """As erfinv near 1; else the same Newton step on erfc, from the nearer end."""
    offset = 1.0 - y
    near = _call("reference.erfinv", offset, _erfinv)
    left = y > 1.0
    end = left.where(2.0 - y, y)
    start = Lanes(y.builder, emit_math(y.builder, "erfcinv", [end.value]))
    slope = libm("exp", start * start) * (math.sqrt(math.pi) / 2)
    tail = start + (libm("erfc", start) - end) * slope
    tail = end.equals(0.0).where(math.inf, tail)
    tail = left.where(-tail, tail)
    found = (offset.abs() < 0.5).where(near, tail)
    return (offset.abs() <= 1.0).where(found, math.nan)


def _normcdfinv(p: Lanes) -> Lanes:
    found = _call("reference.erfcinv", p * 2.0, _erfcinv) * -math.sqrt(2)
    return p.equals(0.5).where(0.0, found)


def _of_libm(name: str) -> Reference:
    return lambda x: libm(name, x)


REFERENCES: dict[str, Reference] = {
    **{name: _of_libm(name) for name in _LIBM},
    "rsqrt": lambda x: 1.0 / libm("sqrt", x),
    "rcbrt": lambda x: 1.0 / libm("cbrt", x),
    "sigmoid": lambda x: 1.0 / (libm("exp", -x) + 1.0),
    "normcdf": lambda x: libm("erfc", x * -math.sqrt(0.5)) * 0.5,
    "sinpi": _sinpi,
    "cospi": _cospi,
    "erfcx": _erfcx,
    "erfinv": _erfinv,
    "erfcinv": _erfcinv,
    "normcdfinv": _normcdfinv,
}


def reference_function(builder: Any, function: str, x: Lanes) -> Lanes:
    """``function`` of f64 lanes."""
    assert x.builder is builder
    return _call(f"reference.{function}", x, REFERENCES[function])
