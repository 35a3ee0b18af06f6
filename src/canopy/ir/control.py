"""Structured control flow, the program's place in the grid, and diagnostics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from canopy.ir.core import Op, Region, Value
from canopy.ir.types import I32, I64, ElementType, Type, with_element

__all__ = [
    "Assert",
    "Clock",
    "Condition",
    "For",
    "If",
    "NativeCall",
    "NumPrograms",
    "Print",
    "ProgramId",
    "While",
    "Yield",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class ProgramId(Op):
    """This program's index along axis 0, 1 or 2 of the grid."""

    axis: int

    def result_types(self) -> tuple[Type, ...]:
        return (I32,)


@dataclass(frozen=True, eq=False, kw_only=True)
class NumPrograms(Op):
    """The extent of the grid along axis 0, 1 or 2."""

    axis: int

    def result_types(self) -> tuple[Type, ...]:
        return (I32,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Clock(Op):
    """Nanoseconds, as i64, of a clock that never runs backwards."""

    has_side_effects: ClassVar[bool] = True

    def result_types(self) -> tuple[Type, ...]:
        return (I64,)


@dataclass(frozen=True, eq=False, kw_only=True)
class For(Op):
    """Runs body(i, carried...) for i = lower, lower + step, .. while i < upper (signed, unless the
    type is unsigned; step > 0); body yields the next carried values; results are the last ones."""

    lower: Value
    upper: Value
    step: Value
    initial: tuple[Value, ...]
    body: Region

    def result_types(self) -> tuple[Type, ...]:
        return tuple(value.type for value in self.initial)


@dataclass(frozen=True, eq=False, kw_only=True)
class While(Op):
    """Runs before(carried...), which ends in a condition with values; while it holds,
    body(values...) yields the next carried values; results are the values of the last condition."""

    initial: tuple[Value, ...]
    before: Region
    body: Region

    def result_types(self) -> tuple[Type, ...]:
        condition = self.before.terminator
        assert isinstance(condition, Condition)
        return tuple(value.type for value in condition.values)


@dataclass(frozen=True, eq=False, kw_only=True)
class If(Op):
    """Runs then_region or else_region by a scalar bool; results are what the region run yields."""

    condition: Value
    then_region: Region
    else_region: Region

    def result_types(self) -> tuple[Type, ...]:
        if not self.then_region.ops:
            return ()
        terminator = self.then_region.terminator
        return tuple(v.type for v in terminator.values) if isinstance(terminator, Yield) else ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Yield(Op):
    """Ends a region and gives its values to the op that holds it."""

    is_terminator: ClassVar[bool] = True

    values: tuple[Value, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Condition(Op):
    """Ends the first region of a while: goes on if condition holds, and passes the values."""

    is_terminator: ClassVar[bool] = True

    condition: Value
    values: tuple[Value, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Assert(Op):
    """Stops the kernel with message if any lane of condition is false (lanes where mask is false do
    not count)."""

    has_side_effects: ClassVar[bool] = True

    condition: Value
    message: str
    mask: Value | None = None


@dataclass(frozen=True, eq=False, kw_only=True)
class Print(Op):
    """Prints prefix and every lane of the values; in hexadecimal if ``hex``."""

    has_side_effects: ClassVar[bool] = True

    prefix: str
    values: tuple[Value, ...]
    hex: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class NativeCall(Op):
    """Calls the native runtime's ``function`` for the lanes where mask holds, in their order, and
    gives its results; it may touch any memory, and stop the kernel. Scalars are every lane's;
    ``text`` is told to the function as well."""

    has_side_effects: ClassVar[bool] = True

    function: str
    arguments: tuple[Value, ...]
    mask: Value
    type: ElementType
    text: str = ""

    def result_types(self) -> tuple[Type, ...]:
        return (with_element(self.mask.type, self.type),)
