"""How much a launch writes in loops that walk arrays with the whole grid.

    for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += gridDim.x * blockDim.x) ..

Together the blocks write as many elements as the bound says, which is known when the loop starts:
where that is more than the caches hold, the stores go past them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from canopy import ir
from canopy.ir.types import element_type, is_integer
from canopy.targets.cpu.arithmetic import widen_index
from canopy.targets.cpu.llvm import I64, LLValue, constant

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["writes_more_than"]


def writes_more_than(program: Program, ops: list[ir.Op], limit_bytes: int) -> LLValue | None:
    """Whether such a loop among ``ops`` writes more bytes; None where there is none."""
    b = program.builder
    found: LLValue | None = None
    for loop in ir.walk(ops):
        if not isinstance(loop, ir.While) or not _steps_by_grid(loop):
            continue
        stored = sum(_stored_bytes(op) for op in ir.walk(loop.body.ops))
        for bound in _bounds(loop) if stored else ():
            if bound not in program.scalars:
                continue
            count = widen_index(b, program.scalar(bound), bound)
            many = b.icmp_signed(">", count, constant(I64, limit_bytes // stored))
            found = many if found is None else b.or_(found, many)
    return found


def _stored_bytes(op: ir.Op) -> int:
    return element_type(op.value.type).bytes if isinstance(op, ir.Store) else 0


def _steps_by_grid(loop: ir.While) -> bool:
    """Whether a scalar that the loop carries moves by a multiple of the number of blocks."""
    steps = (v.op for v in loop.body.terminator.operands if not v.is_tile)
    return any(isinstance(op, ir.Add) and any(map(_counts_blocks, op.operands)) for op in steps)


def _counts_blocks(value: ir.Value) -> bool:
    op = value.op
    if isinstance(op, (ir.Mul, ir.Cast, ir.Bitcast)):
        return any(map(_counts_blocks, op.operands))
    return isinstance(op, ir.NumPrograms)


def _bounds(loop: ir.While) -> Iterator[ir.Value]:
    """The scalars that the loop's condition compares indices with."""
    for op in loop.before.ops:
        for side in op.operands if isinstance(op, ir.Compare) else ():
            if isinstance(side.op, ir.Splat) and is_integer(side.type):
                yield side.op.source
