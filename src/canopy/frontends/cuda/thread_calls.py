"""Calls in device code: the thread's place."""

from __future__ import annotations

from canopy import ir
from canopy.frontends.cuda.call_rules import WARP, calls
from canopy.frontends.cuda.llvm_values import Instruction
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import I32

__all__: list[str] = []


@calls("llvm.nvvm.read.ptx.sreg.")
def _place(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    _, register, axis_name = i.callee.rsplit(".", 2)
    axis = "xyz".index(axis_name)
    if register == "tid":
        return t.thread_index(axis)
    if register == "ctaid":
        return t.add(ir.ProgramId, axis=axis)
    if register == "nctaid":
        return t.add(ir.NumPrograms, axis=axis)
    return t.block_extent(axis)


@calls("llvm.nvvm.read.ptx.sreg.warpsize")
def _warp_size(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    return t.constant(WARP, I32)


@calls("llvm.nvvm.read.ptx.sreg.laneid")
def _lane_id(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    index = t.linear_index()
    return t.add(ir.And, lhs=index, rhs=t.constant(WARP - 1, index.type))


@calls("llvm.nvvm.read.ptx.sreg.warpid")
def _warp_id(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    index = t.linear_index()
    return t.add(ir.ShiftRight, lhs=index, rhs=t.constant(WARP.bit_length() - 1, index.type))


@calls("llvm.nvvm.read.ptx.sreg.nwarpid")
def _warp_count(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    count = t.add(ir.Mul, lhs=t.block_extent(0), rhs=t.block_extent(1))
    count = t.add(ir.Mul, lhs=count, rhs=t.block_extent(2))
    above = t.add(ir.Add, lhs=count, rhs=t.constant(WARP - 1, I32))
    return t.add(ir.ShiftRight, lhs=above, rhs=t.constant(WARP.bit_length() - 1, I32))


@calls("llvm.lifetime.", "llvm.assume", "llvm.experimental.noalias.scope.decl")
def _nothing(t: Translator, i: Instruction, mask: Mask) -> None:
    """Facts for an optimiser."""
