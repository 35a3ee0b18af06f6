"""Calls in device code: the thread's place, and barriers."""

from __future__ import annotations

from canopy import ir
from canopy.frontends.cuda.call_rules import WARP, calls, in_play, is_true, reduced
from canopy.frontends.cuda.llvm_values import Instruction
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import BOOL, I32, element_type

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
    return t.constant(t.lanes // WARP, I32)


@calls("llvm.nvvm.barrier.cta.sync", "llvm.nvvm.barrier0")
def _barrier(t: Translator, i: Instruction, mask: Mask) -> None:
    t.builder.effect(ir.Barrier)


@calls("llvm.nvvm.bar.warp.sync", "llvm.nvvm.membar.")
def _order(t: Translator, i: Instruction, mask: Mask) -> None:
    """What all lanes did to memory happens before what they do next: between two of these a target
    keeps the order of each thread only."""
    t.builder.effect(ir.Barrier)


@calls("llvm.lifetime.", "llvm.assume")
def _nothing(t: Translator, i: Instruction, mask: Mask) -> None:
    """Facts for an optimiser."""


@calls("llvm.nvvm.barrier0.", "llvm.nvvm.barrier.cta.red.")
def _barrier_vote(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """__syncthreads_count, _and, _or: a barrier that counts or combines a condition."""
    t.builder.effect(ir.Barrier)
    holds = is_true(t, i, len(i.operands) - 1)
    if ".popc" in i.callee:
        counted = in_play(t, t.add(ir.Cast, source=holds, type=I32), mask, 0)
        return reduced(t, t.flat(counted), ir.Add, axis=0)
    every = ".and" in i.callee
    kind: type[ir.Binary] = ir.And if every else ir.Or
    found = reduced(t, t.flat(in_play(t, holds, mask, every)), kind, axis=0)
    return (
        found
        if element_type(t.variable_type(i)) is BOOL
        else t.add(ir.Cast, source=found, type=I32)
    )
