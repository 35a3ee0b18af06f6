"""Calls in device code: what a kernel says to the outside, its own memory, and the time.

They become calls of the native runtime on the active threads (runtime/native/cuda/).
"""

from __future__ import annotations

from canopy import ir
from canopy.frontends.cuda.call_rules import calls
from canopy.frontends.cuda.llvm_values import Instruction
from canopy.frontends.cuda.native_calls import as_generic, call_native
from canopy.frontends.cuda.returned import THREAD_EXIT
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import I32, I64, PTR

__all__: list[str] = []

CYCLES_PER_NS = 2  # cudaDeviceProp.clockRate is 2 GHz


@calls("vprintf")
def _printf(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    return call_native(
        t, "canopy_cuda_printf", [as_generic(t, t.operand(o, i)) for o in i.operands], mask, I32
    )


@calls("canopy_assert")
def _assert(t: Translator, i: Instruction, mask: Mask) -> None:
    assertion, file, line, function = (t.operand(o, i) for o in i.operands)
    where = [t.thread_index(axis) for axis in range(3)]
    call_native(t, "canopy_cuda_assert", [assertion, file, line, function, *where], mask, I32)


@calls("canopy_trap", "llvm.trap", "llvm.debugtrap")
def _trap(t: Translator, i: Instruction, mask: Mask) -> None:
    call_native(t, "canopy_cuda_trap", [t.thread_index(axis) for axis in range(3)], mask, I32)


@calls(THREAD_EXIT)
def _exit(t: Translator, i: Instruction, mask: Mask) -> None:
    """The threads go to no other block."""


@calls("canopy_sleep")
def _sleep(t: Translator, i: Instruction, mask: Mask) -> None:
    if t.waits.loops:  # others have a turn sooner
        t.builder.effect(ir.Pause)
        return
    call_native(t, "canopy_cuda_sleep", [t.operand(i.operands[0], i)], mask, I32)


@calls("malloc")
def _malloc(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    return call_native(t, "canopy_cuda_malloc", [t.operand(i.operands[0], i)], mask, PTR)


@calls("free")
def _free(t: Translator, i: Instruction, mask: Mask) -> None:
    call_native(
        t, "canopy_cuda_free", [as_generic(t, t.operand(o, i)) for o in i.operands], mask, I32
    )


@calls("llvm.nvvm.read.ptx.sreg.clock")
def _clock(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    now = t.add(ir.Clock)
    cycles = t.add(ir.Mul, lhs=now, rhs=t.constant(CYCLES_PER_NS, I64))
    wanted = t.element_of(i, i.location)
    return cycles if wanted is I64 else t.add(ir.Cast, source=cycles, type=wanted)


@calls("llvm.nvvm.read.ptx.sreg.globaltimer")
def _global_timer(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    return t.add(ir.Clock)
