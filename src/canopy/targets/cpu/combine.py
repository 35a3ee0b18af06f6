"""Combine regions of reductions and scans, on scalars or on vectors."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy import ir
from canopy.ir.types import element_type
from canopy.targets.cpu.arithmetic import constant_of, emit_elementwise
from canopy.targets.cpu.llvm import LLValue, lanes_of, splat

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["combine"]


def combine(program: Program, region: ir.Region, arguments: list[LLValue]) -> list[LLValue]:
    """Emits a combine region on scalars or vectors and gives what it yields.

    The region may use scalars from outside.
    """
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
