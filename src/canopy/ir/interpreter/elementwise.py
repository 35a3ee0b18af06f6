"""Rules of the elementwise ops."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np

from canopy.ir.elementwise import (
    Add,
    And,
    Binary,
    Bitcast,
    Cast,
    Clamp,
    Compare,
    Constant,
    Div,
    Fma,
    MathCall,
    Max,
    Min,
    Mul,
    MulHigh,
    Or,
    Rem,
    Select,
    ShiftLeft,
    ShiftRight,
    Sub,
    Xor,
)
from canopy.ir.interpreter.functions import call
from canopy.ir.interpreter.machine import Machine, rule
from canopy.ir.interpreter.numeric import (
    Array,
    compute,
    convert,
    dtype_of,
    from_python,
    round_float,
)
from canopy.ir.types import element_type, is_float, shape_of

_UFUNCS: dict[type[Binary], Any] = {
    Add: np.add,
    Sub: np.subtract,
    Mul: np.multiply,
    And: np.bitwise_and,
    Or: np.bitwise_or,
    Xor: np.bitwise_xor,
}


@rule(Constant)
def _constant(machine: Machine, op: Constant) -> Array:
    return np.broadcast_to(from_python(op.value, op.type), shape_of(op.type))


@rule(*_UFUNCS)
def _binary(machine: Machine, op: Binary) -> Array:
    return compute(_UFUNCS[type(op)], op.lhs.type, machine[op.lhs], machine[op.rhs])


@rule(MulHigh)
def _mul_high(machine: Machine, op: MulHigh) -> Array:
    lhs, rhs = machine[op.lhs], machine[op.rhs]
    bits = element_type(op.lhs.type).bits
    if bits < 64:
        wide = np.int64 if lhs.dtype.kind == "i" else np.uint64
        return np.asarray((lhs.astype(wide) * rhs.astype(wide)) >> wide(bits)).astype(lhs.dtype)
    product = np.asarray(lhs.astype(object) * rhs.astype(object), object) >> 64
    return np.asarray(product, object).astype(lhs.dtype)


@rule(Div)
def _div(machine: Machine, op: Div) -> Array:
    """Integer division by zero, undefined in CUDA, gives all ones."""
    lhs, rhs = machine[op.lhs], machine[op.rhs]
    if is_float(op.lhs.type):
        return compute(np.divide, op.lhs.type, lhs, rhs)
    divisor = np.where(rhs == 0, np.ones_like(rhs), rhs)
    quotient = np.asarray(np.floor_divide(lhs, divisor))
    inexact = quotient * divisor != lhs
    quotient = quotient + (inexact & ((lhs < 0) != (divisor < 0))).astype(lhs.dtype)
    return np.where(rhs == 0, ~np.zeros_like(lhs), quotient)


@rule(Rem)
def _rem(machine: Machine, op: Rem) -> Array:
    """The integer remainder of a division by zero is lhs."""
    lhs, rhs = machine[op.lhs], machine[op.rhs]
    if is_float(op.lhs.type):
        return compute(np.fmod, op.lhs.type, lhs, rhs)
    divisor = np.where(rhs == 0, np.ones_like(rhs), rhs)
    return np.where(rhs == 0, lhs, np.fmod(lhs, divisor))


@rule(ShiftLeft)
def _shift_left(machine: Machine, op: ShiftLeft) -> Array:
    lhs, rhs = machine[op.lhs], machine[op.rhs]
    inside, amount = _shift_amount(rhs, element_type(op.lhs.type).bits)
    return np.where(inside, np.left_shift(lhs, amount), np.zeros_like(lhs))


@rule(ShiftRight)
def _shift_right(machine: Machine, op: ShiftRight) -> Array:
    lhs, rhs = machine[op.lhs], machine[op.rhs]
    inside, amount = _shift_amount(rhs, element_type(op.lhs.type).bits)
    filled = np.where(lhs < 0, ~np.zeros_like(lhs), np.zeros_like(lhs))
    return np.where(inside, np.right_shift(lhs, amount), filled)


def _shift_amount(rhs: Array, bits: int) -> tuple[Array, Array]:
    inside = (rhs >= 0) & (rhs < bits)
    return inside, np.where(inside, rhs, np.zeros_like(rhs))


@rule(Min)
def _min(machine: Machine, op: Min) -> Array:
    function = np.minimum if op.propagate_nan else np.fmin
    return compute(function, op.lhs.type, machine[op.lhs], machine[op.rhs])


@rule(Max)
def _max(machine: Machine, op: Max) -> Array:
    function = np.maximum if op.propagate_nan else np.fmax
    return compute(function, op.lhs.type, machine[op.lhs], machine[op.rhs])


_PREDICATES: dict[str, Any] = {
    "eq": np.equal,
    "ne": np.not_equal,
    "lt": np.less,
    "le": np.less_equal,
    "gt": np.greater,
    "ge": np.greater_equal,
}


@rule(Compare)
def _compare(machine: Machine, op: Compare) -> Array:
    lhs, rhs = machine[op.lhs], machine[op.rhs]
    if not is_float(op.lhs.type):
        return np.asarray(_PREDICATES[op.predicate](lhs, rhs))
    lhs, rhs = lhs.astype(np.float64), rhs.astype(np.float64)
    answer = _PREDICATES[op.predicate](lhs, rhs)
    return np.where(np.isnan(lhs) | np.isnan(rhs), op.unordered, answer)


@rule(Select)
def _select(machine: Machine, op: Select) -> Array:
    return np.where(machine[op.condition], machine[op.if_true], machine[op.if_false])


@rule(MathCall)
def _math_call(machine: Machine, op: MathCall) -> Array:
    return call(op, machine.all_of(op.arguments))


@rule(Clamp)
def _clamp(machine: Machine, op: Clamp) -> Array:
    def clamp(source: Array, low: Array, high: Array) -> Array:
        limited = np.minimum(np.maximum(source, low), high)
        return limited if op.propagate_nan else np.where(np.isnan(source), low, limited)

    return compute(clamp, op.source.type, *machine.all_of((op.source, op.low, op.high)))


@rule(Cast)
def _cast(machine: Machine, op: Cast) -> Array:
    return convert(machine[op.source], op.source.type, op.type, op.rounding)


@rule(Bitcast)
def _bitcast(machine: Machine, op: Bitcast) -> Array:
    source = machine[op.source]
    return np.atleast_1d(source).view(dtype_of(op.type)).reshape(source.shape)


@rule(Fma)
def _fma(machine: Machine, op: Fma) -> Array:
    a, b, c = machine.all_of((op.a, op.b, op.c))
    if not is_float(op.a.type):
        return np.asarray(a * b + c)
    if a.dtype == np.float64:
        return np.asarray(_exact_fma(a, b, c)).astype(np.float64)
    wide = _odd_sum(a.astype(np.float64) * b.astype(np.float64), c.astype(np.float64))
    return round_float(wide, element_type(op.a.type))


def _odd_sum(x: Array, y: Array) -> Array:
    """x + y in float64, rounded to odd, so that rounding again to fewer bits is rounding once."""
    total = np.atleast_1d(x + y)
    part = total - x
    error = (x - (total - part)) + (y - part)  # Knuth's two-sum
    inexact = (error != 0) & np.isfinite(total)
    # Toward zero first: step back where the rounding went away from zero, then set the last bit.
    away = inexact & ((error < 0) == (total > 0))
    bits = (total.view(np.uint64) - away.astype(np.uint64)) | inexact.astype(np.uint64)
    return np.asarray(bits.view(np.float64)).reshape(np.shape(x + y))


def _exact_fma_lane(a: float, b: float, c: float) -> float:
    plain = a * b + c
    if not (np.isfinite(a) and np.isfinite(b) and np.isfinite(c)):
        return plain
    exact = Fraction(a) * Fraction(b) + Fraction(c)
    if exact == 0:
        return plain  # keeps the sign of zero
    try:
        return float(exact)
    except OverflowError:
        return np.inf if exact > 0 else -np.inf


_exact_fma = np.frompyfunc(_exact_fma_lane, 3, 1)
