"""Combine regions of reductions and scans, on scalars or on vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy import ir
from canopy.ir.types import element_type
from canopy.targets.cpu import memory
from canopy.targets.cpu.arithmetic import constant_of, emit_elementwise
from canopy.targets.cpu.llvm import LLValue, lanes_of, splat

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["combine", "combine_unless", "is_lane_by_lane"]


_VECTORISED = (
    *(ir.Binary, ir.Compare, ir.Select, ir.MathCall, ir.Fma, ir.Clamp),
    *(ir.Cast, ir.Bitcast, ir.Constant, ir.Yield),
)


def is_lane_by_lane(region: ir.Region) -> bool:
    """Whether a combine region may run on vectors, and on lanes that count for nothing.

    One with branches, loops or assertions may not: it runs once for each pair of lanes.
    """
    return all(isinstance(op, _VECTORISED) for op in region.ops)


def combine(program: Program, region: ir.Region, arguments: list[LLValue]) -> list[LLValue]:
    """Emits a combine region on scalars or vectors and gives what it yields.

    The region may use scalars from outside.
    """
    if not is_lane_by_lane(region):
        return _combine_scalars(program, region, arguments)
    builder = program.builder
    known = dict(zip(region.args, arguments, strict=True))
    lanes = max(lanes_of(value) for value in arguments)

    def operand(value: ir.Value) -> LLValue:
        if value in known:
            return known[value]
        scalar = program.scalar(value)
        return splat(builder, scalar, lanes) if lanes else scalar

    for op in region.ops:
        if isinstance(op, ir.Yield):
            return [operand(value) for value in op.values]
        if isinstance(op, ir.Constant):
            scalar = constant_of(element_type(op.type), op.value)
            known[op.result] = splat(builder, scalar, lanes) if lanes else scalar
        else:
            known[op.result] = emit_elementwise(builder, op, [operand(v) for v in op.operands])
    raise AssertionError("a combine region ends in a yield")


def _combine_scalars(
    program: Program, region: ir.Region, arguments: list[LLValue]
) -> list[LLValue]:
    """A combine region of any scalar ops, as straight-line code of the program."""
    program.scalars.update(zip(region.args, arguments, strict=True))
    program.block(region.ops)
    return [program.scalar(value) for value in region.terminator.operands]


def combine_unless(
    program: Program,
    region: ir.Region,
    first: LLValue,
    held: list[LLValue],
    fresh: list[LLValue],
) -> list[LLValue]:
    """``fresh`` where ``first`` holds, else ``held`` combined with ``fresh``."""
    b = program.builder
    if is_lane_by_lane(region):
        merged = combine(program, region, held + fresh)
        return [b.select(first, new, both) for new, both in zip(fresh, merged, strict=True)]
    slots = [memory.stack_slot(b, value.type) for value in fresh]
    with b.if_else(first) as (then, otherwise):
        with then:
            for slot, value in zip(slots, fresh, strict=True):
                b.store(value, slot)
        with otherwise:
            for slot, value in zip(slots, combine(program, region, held + fresh), strict=True):
                b.store(value, slot)
    return [b.load(slot, typ=value.type) for slot, value in zip(slots, fresh, strict=True)]
