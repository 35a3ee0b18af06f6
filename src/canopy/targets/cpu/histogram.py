"""tl.histogram: counts of the values of a kept tile."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from canopy import ir
from canopy.targets.cpu import conversions, memory
from canopy.targets.cpu.arithmetic import widen_index
from canopy.targets.cpu.llvm import I8, I32, I64, constant, counted_loop

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["emit_histogram"]


def emit_histogram(program: Program, op: ir.Histogram) -> None:
    b = program.builder
    source = program.kept_buffer(op.source)
    mask = program.kept_buffer(op.mask) if op.mask is not None else None
    result = program.result_buffer(op.result)
    type_ = conversions.memory_type(source.element)
    with counted_loop(b, constant(I64, op.bins), "bins") as i:
        b.store(constant(I32, 0), b.gep(result.address, [i], source_etype=I32))
    with counted_loop(b, constant(I64, math.prod(op.source.shape)), "count") as i:
        raw = b.load(b.gep(source.address, [i], source_etype=type_), typ=type_)
        index = widen_index(b, raw, op.source)
        counted = b.icmp_unsigned("<", index, constant(I64, op.bins))
        if mask is not None:
            on = memory.load_scalar(b, b.gep(mask.address, [i], source_etype=I8), mask.element)
            counted = b.and_(counted, on)
        with b.if_then(counted):
            slot = b.gep(result.address, [index], source_etype=I32)
            b.store(b.add(b.load(slot, typ=I32), constant(I32, 1)), slot)
    program.buffers[op.result] = result
