"""Verifier rules of the ops in `canopy.ir.elementwise`."""

from __future__ import annotations

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
from canopy.ir.math import FUNCTIONS, INTEGER_FUNCTIONS, PREDICATES
from canopy.ir.types import element_type, is_bool, is_float, is_integer, is_pointer
from canopy.ir.verifier.table import (
    is_integer_or_bool,
    of_kind,
    one_type,
    require,
    rule,
    same_shape,
)


@rule(Constant)
def _constant(op: Constant) -> None:
    element = element_type(op.type)
    value = op.value
    if is_float(element):
        return
    require(op, not isinstance(value, float), f"has the value {value} for the type {op.type}")
    low = -(1 << (element.bits - 1)) if is_integer(element) else 0
    fits = low <= value < (1 << element.bits)
    require(op, fits, f"has the value {value}, which {element} cannot hold")


@rule(Add, Sub, Mul, Div, Rem, Min, Max)
def _arithmetic(op: Binary) -> None:
    one_type(op, op.lhs, op.rhs)
    require(op, not is_pointer(op.lhs.type), f"needs numbers, got {op.lhs.type}")


@rule(MulHigh, ShiftLeft, ShiftRight)
def _integer_arithmetic(op: Binary) -> None:
    one_type(op, op.lhs, op.rhs)
    of_kind(op, op.lhs, is_integer, "integers")


@rule(And, Or, Xor)
def _bitwise(op: Binary) -> None:
    one_type(op, op.lhs, op.rhs)
    of_kind(op, op.lhs, is_integer_or_bool, "integers or bools")


@rule(Compare)
def _compare(op: Compare) -> None:
    one_type(op, op.lhs, op.rhs)


@rule(Select)
def _select(op: Select) -> None:
    one_type(op, op.if_true, op.if_false)
    of_kind(op, op.condition, is_bool, "a bool condition")
    if op.condition.is_tile:
        same_shape(op, op.condition, op.if_true)


@rule(MathCall)
def _math_call(op: MathCall) -> None:
    name = op.function
    require(op, name in FUNCTIONS, f"names the unknown function {name!r}")
    count = len(op.arguments)
    require(op, count == FUNCTIONS[name], f"{name} takes {FUNCTIONS[name]} arguments, got {count}")
    same_shape(op, *op.arguments)
    first = op.arguments[0]
    if is_integer(first.type):
        require(op, name in INTEGER_FUNCTIONS, f"{name} takes floats, got {first.type}")
        integer = op.type is None or is_integer(op.type)
        require(op, integer, f"{name} of integers gives integers, not {op.type}")
        return
    only_integers = name in INTEGER_FUNCTIONS and name not in ("abs", "neg")
    require(op, is_float(first.type) and not only_integers, f"{name} cannot take {first.type}")
    if name in PREDICATES:
        answers = op.type is not None and is_integer_or_bool(op.type)
        require(op, answers, f"{name} needs an integer or bool result type")
        return
    same = op.type is None or op.type == element_type(first.type)
    require(op, same, f"{name} of {first.type} cannot give {op.type}")
    if name == "ldexp" and is_integer(op.arguments[1].type):
        return
    one_type(op, *op.arguments)


@rule(Fma)
def _fma(op: Fma) -> None:
    one_type(op, op.a, op.b, op.c)
    require(op, is_float(op.a.type) or is_integer(op.a.type), f"needs numbers, got {op.a.type}")


@rule(Clamp)
def _clamp(op: Clamp) -> None:
    one_type(op, op.source, op.low, op.high)
    of_kind(op, op.source, is_float, "floats")


@rule(Cast)
def _cast(op: Cast) -> None:
    numbers = not is_pointer(op.source.type)
    require(op, numbers, "needs numbers, got a pointer", "bitcast a pointer to a 64-bit integer")


@rule(Bitcast)
def _bitcast(op: Bitcast) -> None:
    bits = element_type(op.source.type).bits
    same = bits == op.type.bits
    require(op, same, f"of {op.source.type} ({bits} bits) cannot give {op.type}")
