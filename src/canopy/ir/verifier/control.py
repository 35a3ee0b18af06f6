"""Verifier rules of the ops in `canopy.ir.control`."""

from __future__ import annotations

from canopy.ir.control import (
    Assert,
    Clock,
    Condition,
    For,
    If,
    NativeCall,
    NumPrograms,
    Print,
    ProgramId,
    While,
    Yield,
)
from canopy.ir.core import Op, Value
from canopy.ir.types import is_bool, is_integer
from canopy.ir.verifier.table import (
    an_axis,
    fitting_mask,
    of_kind,
    one_type,
    region_arguments,
    region_yields,
    require,
    rule,
    same_shape,
)


@rule(ProgramId, NumPrograms)
def _grid_axis(op: ProgramId | NumPrograms) -> None:
    an_axis(op, op.axis, 3)


@rule(Clock)
def _clock(op: Clock) -> None:
    """It has no operands."""


@rule(For)
def _for(op: For) -> None:
    one_type(op, op.lower, op.upper, op.step)
    scalar = is_integer(op.lower.type) and not op.lower.is_tile
    require(op, scalar, f"needs integer bounds, got {op.lower.type}")
    carried = tuple(value.type for value in op.initial)
    region_arguments(op, "body", op.body, (op.lower.type, *carried))
    region_yields(op, "body", op.body, carried)


@rule(While)
def _while(op: While) -> None:
    carried = tuple(value.type for value in op.initial)
    region_arguments(op, "before", op.before, carried)
    last = op.before.ops[-1] if op.before.ops else None
    ended = isinstance(last, Condition)
    require(op, ended, "has a before region that does not end in a condition")
    assert isinstance(last, Condition)
    region_arguments(op, "body", op.body, tuple(value.type for value in last.values))
    region_yields(op, "body", op.body, carried)


@rule(If)
def _if(op: If) -> None:
    _scalar_bool(op, op.condition)
    region_arguments(op, "then", op.then_region, ())
    region_arguments(op, "else", op.else_region, ())
    types = tuple(value.type for value in op.results)
    for name, region in (("then", op.then_region), ("else", op.else_region)):
        ends = bool(region.ops) and region.terminator.is_terminator
        if types or ends:  # a region that yields nothing may end without a yield
            region_yields(op, name, region, types)


def _scalar_bool(op: Op, value: Value) -> None:
    scalar = is_bool(value.type) and not value.is_tile
    require(op, scalar, f"needs one bool, got {value.type}", "use any_lane on a tile of bools")


@rule(Yield)
def _yield(op: Yield) -> None:
    """What a yield hands over is checked by the op around it."""


@rule(Condition)
def _condition(op: Condition) -> None:
    _scalar_bool(op, op.condition)


@rule(Assert)
def _assert(op: Assert) -> None:
    of_kind(op, op.condition, is_bool, "a bool condition")
    fitting_mask(op, op.mask, op.condition)


@rule(Print)
def _print(op: Print) -> None:
    """Anything can be printed."""


@rule(NativeCall)
def _native_call(op: NativeCall) -> None:
    of_kind(op, op.mask, is_bool, "a bool mask")
    tiles = [value for value in op.arguments if value.is_tile]
    same_shape(op, op.mask, *tiles)
