"""Along which axis the elements of a tile lie side by side in memory.

A guess that chooses loops, never what they compute: remainders are taken not to wrap, and of
several operands the first that tells decides.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy import ir
from canopy.ir.types import element_type

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["contiguous_axis"]

Steps = tuple[int | None, ...]  # what one step along each axis adds; None where unknown


def contiguous_axis(program: Program, value: ir.Value) -> int | None:
    """The axis along which neighbours in the tile are neighbours in memory, if one is found."""
    if program.buffer_of(value) is not None:
        return len(value.shape) - 1
    match value.op:
        case ir.Load(pointer=pointer):
            return _unit_axis(steps_of(pointer), element_type(value.type).bytes)
        case ir.Transpose(source=source, order=order):
            inner = contiguous_axis(program, source)
            return None if inner is None else order.index(inner)
        case ir.Binary() | ir.Select() | ir.Cast() | ir.Bitcast() | ir.MathCall() | ir.Fma() as op:
            found = (contiguous_axis(program, v) for v in op.operands if v.is_tile)
            return next((axis for axis in found if axis is not None), None)
        case _:
            return None


def _unit_axis(steps: Steps, unit: int) -> int | None:
    return next((axis for axis, step in enumerate(steps) if step == unit), None)


def steps_of(value: ir.Value) -> Steps:
    """What one step along each axis adds to an index or, in bytes, to a pointer."""
    match value.op:
        case ir.Splat() | ir.Constant():
            return (0,) * len(value.shape)
        case ir.Range():
            return (1,)
        case ir.Offset(pointer=pointer, index=index, scale=scale):
            return _sum(steps_of(pointer), steps_of(index), scale)
        case ir.Add(lhs=lhs, rhs=rhs):
            return _sum(steps_of(lhs), steps_of(rhs), 1)
        case ir.Sub(lhs=lhs, rhs=rhs):
            return _sum(steps_of(lhs), steps_of(rhs), -1)
        case ir.Mul(lhs=lhs, rhs=rhs):
            return _product(lhs, rhs)
        case ir.Rem(lhs=lhs):
            return steps_of(lhs)
        case ir.Cast(source=source) | ir.Bitcast(source=source):
            return steps_of(source)
        case ir.Broadcast(source=source):
            pairs = zip(steps_of(source), source.shape, value.shape, strict=True)
            return tuple(step if old == new else 0 for step, old, new in pairs)
        case ir.ExpandDims(source=source, axis=axis):
            inner = steps_of(source)
            return (*inner[:axis], 0, *inner[axis:])
        case ir.Transpose(source=source, order=order):
            inner = steps_of(source)
            return tuple(inner[axis] for axis in order)
        case _:
            return (None,) * len(value.shape)


def _sum(left: Steps, right: Steps, factor: int) -> Steps:
    return tuple(
        None if a is None or b is None else a + factor * b for a, b in zip(left, right, strict=True)
    )


def _product(lhs: ir.Value, rhs: ir.Value) -> Steps:
    left, right = steps_of(lhs), steps_of(rhs)
    for steps, factor in ((left, _constant(rhs)), (right, _constant(lhs))):
        if factor is not None:
            return tuple(None if step is None else step * factor for step in steps)
    return tuple(0 if a == b == 0 else None for a, b in zip(left, right, strict=True))


def _constant(value: ir.Value) -> int | None:
    op = value.op
    while isinstance(op, (ir.Splat, ir.Broadcast, ir.ExpandDims, ir.Cast)):
        op = op.source.op
    return op.value if isinstance(op, ir.Constant) and isinstance(op.value, int) else None
