"""Ops that work lane by lane on scalars and tiles; all tile operands have one shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from canopy.ir.core import Op, Value
from canopy.ir.types import BOOL, ElementType, ScalarType, Type, with_element

__all__ = [
    "Add",
    "And",
    "Binary",
    "Bitcast",
    "Cast",
    "Clamp",
    "Compare",
    "Constant",
    "Div",
    "Fma",
    "MathCall",
    "Max",
    "Min",
    "Mul",
    "MulHigh",
    "Or",
    "Rem",
    "Select",
    "ShiftLeft",
    "ShiftRight",
    "Sub",
    "Xor",
]

Predicate = Literal["eq", "ne", "lt", "le", "gt", "ge"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Constant(Op):
    """A number known ahead: of a scalar type, or the same in every lane of a tile."""

    value: int | float | bool
    type: Type

    def result_types(self) -> tuple[Type, ...]:
        return (self.type,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Binary(Op):
    """Base of ops on two operands of one type, with a result of that type."""

    lhs: Value
    rhs: Value

    def result_types(self) -> tuple[Type, ...]:
        return (self.lhs.type,)


class Add(Binary):
    """lhs + rhs; integers wrap around."""


class Sub(Binary):
    """lhs - rhs; integers wrap around."""


class Mul(Binary):
    """lhs * rhs; integers wrap around (low half)."""


class MulHigh(Binary):
    """The high half of the full product of two integers."""


class Div(Binary):
    """lhs / rhs; integers truncate toward zero, by signedness of the type; floats round to nearest."""


class Rem(Binary):
    """The remainder with the sign of lhs: integers as in C, floats as fmod."""


class And(Binary):
    """Bitwise and of integers or bools."""


class Or(Binary):
    """Bitwise or of integers or bools."""


class Xor(Binary):
    """Bitwise exclusive or of integers or bools."""


class ShiftLeft(Binary):
    """lhs shifted left by rhs bits; 0 where rhs is not below the width."""


class ShiftRight(Binary):
    """lhs shifted right by rhs bits: sign-filling for signed types, zero-filling for unsigned."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Min(Binary):
    """The smaller one; for floats NaN wins if ``propagate_nan``, else the operand that is a number."""

    propagate_nan: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Max(Binary):
    """The larger one; for floats NaN wins if ``propagate_nan``, else the operand that is a number."""

    propagate_nan: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class Compare(Op):
    """lhs ``predicate`` rhs as bool; with a NaN the answer is ``unordered``."""

    predicate: Predicate
    lhs: Value
    rhs: Value
    unordered: bool = False

    def result_types(self) -> tuple[Type, ...]:
        return (with_element(self.lhs.type, BOOL),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Select(Op):
    """if_true where condition holds, else if_false; the condition is a bool tile or one bool for all."""

    condition: Value
    if_true: Value
    if_false: Value

    def result_types(self) -> tuple[Type, ...]:
        return (self.if_true.type,)


@dataclass(frozen=True, eq=False, kw_only=True)
class MathCall(Op):
    """A mathematical function, by its name in `canopy.ir.math.FUNCTIONS`, lane by lane."""

    function: str
    arguments: tuple[Value, ...]
    type: ScalarType | None = (
        None  # element type of the result where it is not that of the argument
    )

    def result_types(self) -> tuple[Type, ...]:
        first = self.arguments[0].type
        return (with_element(first, self.type) if self.type else first,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Fma(Op):
    """a * b + c with one rounding."""

    a: Value
    b: Value
    c: Value

    def result_types(self) -> tuple[Type, ...]:
        return (self.a.type,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Clamp(Op):
    """source limited to low..high; NaN stays NaN if ``propagate_nan``, else becomes low."""

    source: Value
    low: Value
    high: Value
    propagate_nan: bool = False

    def result_types(self) -> tuple[Type, ...]:
        return (self.source.type,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Cast(Op):
    """Numeric conversion to element type ``type``: integers extend by their own signedness or wrap,
    float to integer truncates toward zero (out of range: as the target), to bool tests for non-zero,
    floats round to nearest even, or toward zero if ``rounding`` is "rtz"."""

    source: Value
    type: ScalarType
    rounding: Literal["rtne", "rtz"] = "rtne"

    def result_types(self) -> tuple[Type, ...]:
        return (with_element(self.source.type, self.type),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Bitcast(Op):
    """The same bits under another element type of equal width (pointers count as 64-bit integers)."""

    source: Value
    type: ElementType

    def result_types(self) -> tuple[Type, ...]:
        return (with_element(self.source.type, self.type),)
