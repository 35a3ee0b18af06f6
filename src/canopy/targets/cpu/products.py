"""Matrix products of kept tiles: the element type they run in, batches, and rounding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llvmlite.ir as ll

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.ir import types
from canopy.ir.types import F32, ScalarType, TileType, element_type, is_float
from canopy.targets.cpu import conversions
from canopy.targets.cpu.buffers import Buffer
from canopy.targets.cpu.dot import dot_function
from canopy.targets.cpu.llvm import I8, I64, constant, counted_loop

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["emit_dot"]


def emit_dot(program: Program, op: ir.Dot) -> None:
    element = element_type(op.acc.type)
    assert isinstance(element, ScalarType)
    inner = F32 if is_float(element) and element.bits < 32 else element
    if inner.kind == "int" and inner != types.I32:
        raise UnsupportedError(f"tl.dot cannot accumulate in {inner}", location=op.location)
    lhs, rhs = program.kept_buffer(op.lhs, inner), program.kept_buffer(op.rhs, inner)
    acc = program.kept_buffer(op.acc, inner)
    result = program.result_buffer(op.result)
    assert isinstance(op.acc.type, TileType)
    total = result if inner == element else program.allocate(op.acc.type, inner)
    *batch, m, n = op.acc.shape
    k = op.lhs.shape[-1]
    function = dot_function(program.module, inner, (m, n, k), program.vector_bytes)
    _call_dot(program, function, [lhs, rhs, acc, total], batch[0] if batch else 1, inner)
    program.buffers[op.result] = result
    if inner != element:
        _round_buffer(program, total, result)


def _call_dot(
    program: Program, function: Any, tiles: list[Buffer], batches: int, element: ScalarType
) -> None:
    b = program.builder
    if batches == 1:
        b.call(function, [tile.address for tile in tiles])
        return
    with counted_loop(b, constant(I64, batches), "batch") as i:
        places = []
        for tile in tiles:
            size = tile.shape[-1] * tile.shape[-2] * element.bytes
            places.append(b.gep(tile.address, [b.mul(i, constant(I64, size))], source_etype=I8))
        b.call(function, places)


def _round_buffer(program: Program, source: Buffer, target: Buffer) -> None:
    b = program.builder
    size = 1
    for extent in source.shape:
        size *= extent
    with counted_loop(b, constant(I64, size), "round") as i:
        wide = b.load(b.gep(source.address, [i], source_etype=ll.FloatType()), typ=ll.FloatType())
        assert isinstance(target.element, ScalarType)
        narrow = conversions.from_float(b, wide, target.element, "rtne")
        b.store(
            narrow,
            b.gep(target.address, [i], source_etype=conversions.memory_type(target.element)),
        )
