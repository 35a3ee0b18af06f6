"""Functions of a few instructions, and those of integers."""

from __future__ import annotations

import math
from collections.abc import Callable

from llvmlite import ir

from canopy.targets.cpu.math_functions.lanes import Lanes, constant, declare, like, type_name

__all__ = ["DIRECT", "INTEGER", "PREDICATES"]

Body = Callable[..., Lanes]


def _intrinsic(name: str) -> Body:
    return lambda *arguments: arguments[0].intrinsic(name, *arguments[1:])


def rsqrt(x: Lanes) -> Lanes:
    return 1.0 / x.sqrt()


def fdim(x: Lanes, y: Lanes) -> Lanes:
    """x - y where x > y, else +0; NaN with a NaN."""
    unordered = Lanes(x.builder, x.builder.fcmp_unordered("uno", x.value, y.value))
    return unordered.where(x + y, (x > y).where(x - y, 0.0))


def ldexp(x: Lanes, exponent: Lanes) -> Lanes:
    """x * 2**exponent, the exponent being a float of integral value (NaN counts as 0)."""
    integer = like(x.type, ir.IntType(32))
    saturate = declare(
        x.builder.module, f"fptosi.sat.{type_name(integer)}", integer, [exponent.type]
    )
    power = x.builder.call(saturate, [exponent.at_most(9999.0).at_least(-9999.0).value])
    symbol = f"llvm.ldexp.{type_name(x.type)}.{type_name(integer)}"
    function = x.builder.module.globals.get(symbol)
    if function is None:
        kind = ir.FunctionType(x.type, [x.type, integer])
        function = ir.Function(x.builder.module, kind, symbol)
    return Lanes(x.builder, x.builder.call(function, [x.value, power]))


DIRECT: dict[str, Body] = {
    "abs": _intrinsic("fabs"),
    "neg": lambda x: -x,
    "floor": _intrinsic("floor"),
    "ceil": _intrinsic("ceil"),
    "round": _intrinsic("round"),  # halves away from zero, as in C
    "rint": _intrinsic("rint"),
    "trunc": _intrinsic("trunc"),
    "sqrt": _intrinsic("sqrt"),
    "rsqrt": rsqrt,
    "copysign": _intrinsic("copysign"),
    "fdim": fdim,
    "ldexp": ldexp,
}


def _as_i32(condition: Lanes) -> Lanes:
    target = like(condition.type, ir.IntType(32))
    return Lanes(condition.builder, condition.builder.zext(condition.value, target))


PREDICATES: dict[str, Body] = {
    "isnan": lambda x: _as_i32(x.is_nan()),
    "isinf": lambda x: _as_i32(x.abs().equals(math.inf)),
    "isfinite": lambda x: _as_i32(x.abs() < math.inf),
    "signbit": lambda x: _as_i32(x.bits() < 0),
}


def _flagged(name: str) -> Body:
    """An integer intrinsic with a flag, here false: zero and the lowest integer are defined."""

    def body(x: Lanes) -> Lanes:
        flag = ir.IntType(1)
        function = declare(x.builder.module, name, x.type, [x.type, flag])
        return Lanes(x.builder, x.builder.call(function, [x.value, flag(0)]))

    return body


def _negated(x: Lanes) -> Lanes:
    return Lanes(x.builder, x.builder.sub(constant(x.type, 0), x.value))


INTEGER: dict[str, Body] = {
    "abs": _flagged("abs"),
    "neg": _negated,
    "clz": _flagged("ctlz"),
    "ctz": _flagged("cttz"),
    "popcount": _intrinsic("ctpop"),
    "bit_reverse": _intrinsic("bitreverse"),
}
