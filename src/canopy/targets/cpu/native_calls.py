"""Calls of the native runtime for the active lanes of a tile (runtime/native/call.h)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import element_type
from canopy.targets.cpu import conversions, memory
from canopy.targets.cpu.diagnostics import address_of, declare, text_constant
from canopy.targets.cpu.llvm import I32, I64, POINTER, LLValue, constant

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["emit_native_call"]


def emit_native_call(program: Program, op: ir.NativeCall) -> None:
    """Hands over where the lanes of mask, arguments and results lie; leaves where it fails."""
    b = program.builder
    operands = [address_of(program, v, element_type(v.type)) for v in (op.mask, *op.arguments)]
    mask, *arguments = operands
    results = _place_of_results(program, op)
    lanes = 1
    for extent in op.mask.shape:
        lanes *= extent
    words = [_ids(program), mask, results, constant(I64, lanes), text_constant(program, op.text)]
    for value, address in zip(op.arguments, arguments, strict=True):
        stride = element_type(value.type).bytes if value.is_tile else 0
        words += [address, constant(I64, stride)]
    call = program.alloca(ll.ArrayType(I64, len(words)))
    for position, word in enumerate(words):
        number = word if word.type == I64 else b.ptrtoint(word, I64)
        b.store(number, b.gep(call, [constant(I64, position)], source_etype=I64))
    status = b.call(declare(program, op.function, I32, [POINTER]), [call])
    with b.if_then(b.icmp_signed("!=", status, constant(I32, 0)), likely=False):
        b.ret(status)
        b.position_at_end(b.function.append_basic_block("unreached"))
    if not op.mask.is_tile:
        program.scalars[op.result] = memory.load_scalar(b, results, op.type)


def _place_of_results(program: Program, op: ir.NativeCall) -> LLValue:
    if not op.mask.is_tile:
        slot: LLValue = program.alloca(conversions.memory_type(op.type))
        return slot
    buffer = program.result_buffer(op.result)
    program.buffers[op.result] = buffer
    return buffer.address


def _ids(program: Program) -> LLValue:
    b = program.builder
    ids = program.alloca(ll.ArrayType(I32, 3))
    for axis, value in enumerate(program.ids):
        b.store(value, b.gep(ids, [constant(I32, axis)], source_etype=I32))
    return ids
