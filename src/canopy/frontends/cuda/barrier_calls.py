"""Calls in device code: barriers of the block and of the grid, fences.

A block that is one program has nothing to wait for at its barriers. Where its warps are programs of
their own they meet there (`waits`).
"""

from __future__ import annotations

from canopy import ir
from canopy.frontends.cuda.call_rules import calls, in_play, is_true, reduced
from canopy.frontends.cuda.checks import (
    check_barrier,
    check_fence,
    check_grid_barrier,
    check_meeting,
    check_together,
)
from canopy.frontends.cuda.llvm_values import Instruction
from canopy.frontends.cuda.returned import not_returned
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import BOOL, I32, element_type

__all__: list[str] = []


@calls("llvm.nvvm.barrier0", "llvm.nvvm.barrier.cta.sync")
def _barrier(t: Translator, i: Instruction, mask: Mask) -> None:
    """Operands: the barrier's number (0 is __syncthreads), and for how many threads it waits."""
    if t.waits.grain == 0:
        check_barrier(t, i, mask)
        t.builder.effect(ir.Barrier)
        return
    _require_whole_warps(t, i, mask)
    zero = t.constant(0, I32)
    number, threads = _number_and_threads(t, i, mask)

    def meet() -> None:
        check_meeting(t, i, number, arrives=True)
        t.add(ir.Meet, barrier=number, threads=threads, value=zero)
        check_meeting(t, i, number, arrives=False)

    t.when_any(mask, meet)


@calls("llvm.nvvm.barrier.cta.arrive")
def _arrive(t: Translator, i: Instruction, mask: Mask) -> None:
    _require_whole_warps(t, i, mask)
    number, threads = _number_and_threads(t, i, mask)

    def arrive() -> None:
        check_meeting(t, i, number, arrives=True)
        t.builder.effect(ir.Arrive, barrier=number, threads=threads)

    t.when_any(mask, arrive)


def _number_and_threads(t: Translator, i: Instruction, mask: Mask) -> tuple[ir.Value, ir.Value]:
    """Both are the same in all threads of a warp, as PTX demands."""
    operands = [t.operand(o, i) for o in i.operands[:2]]
    operands += [t.constant(0, I32)] * (2 - len(operands))
    number, threads = (
        reduced(t, in_play(t, o, mask, 0), ir.Max, axis=0) if o.is_tile else o for o in operands
    )
    return number, threads


def _require_whole_warps(t: Translator, i: Instruction, mask: Mask) -> None:
    """Reports a barrier that only some lanes of a warp reach, where the others go elsewhere."""
    if i not in t.waits.uneven or mask is None:
        return
    elsewhere = t.both(None, t.inverted(mask))
    if t.checks:
        check_together(t, i, mask, elsewhere)
        return
    others = not_returned(t, elsewhere)
    reached = t.any_active(mask)
    alone = t.inverted(t.any_active(others))
    whole = t.add(ir.Or, lhs=t.inverted(reached), rhs=alone)
    t.builder.effect(
        ir.Assert,
        condition=whole,
        message="some threads of a warp are at this barrier, and others of it are not",
    )


@calls("llvm.nvvm.barrier0.", "llvm.nvvm.barrier.cta.red.")
def _barrier_vote(t: Translator, i: Instruction, mask: Mask) -> ir.Value:
    """__syncthreads_count, _and, _or: a barrier that counts or combines a condition."""
    if t.waits.grain == 0:
        check_barrier(t, i, mask)
    t.builder.effect(ir.Barrier)
    holds = is_true(t, i, len(i.operands) - 1)
    if ".popc" in i.callee:
        counted = in_play(t, t.add(ir.Cast, source=holds, type=I32), mask, 0)
        return _of_block(t, i, mask, reduced(t, t.flat(counted), ir.Add, axis=0), "add")
    every = ".and" in i.callee
    kind: type[ir.Binary] = ir.And if every else ir.Or
    found = reduced(t, t.flat(in_play(t, holds, mask, every)), kind, axis=0)
    if t.waits.grain:
        number = t.add(ir.Cast, source=found, type=I32)
        number = _of_block(t, i, mask, number, "min" if every else "max")
        found = t.add(ir.Compare, predicate="ne", lhs=number, rhs=t.constant(0, I32))
    is_bool = element_type(t.variable_type(i)) is BOOL
    return found if is_bool else t.add(ir.Cast, source=found, type=I32)


def _of_block(t: Translator, i: Instruction, mask: Mask, value: ir.Value, combine: str) -> ir.Value:
    """What all members of the block make of their values; 0 in one that is not there."""
    if t.waits.grain == 0:
        return value
    _require_whole_warps(t, i, mask)
    zero = t.constant(0, I32)

    def meet() -> ir.Value:
        check_meeting(t, i, zero, arrives=True)
        met = t.add(ir.Meet, barrier=zero, threads=zero, value=value, combine=combine)
        check_meeting(t, i, zero, arrives=False)
        return met

    found = t.when_any(mask, meet, zero)
    assert found is not None
    return found


@calls("canopy_grid_sync")
def _grid_barrier(t: Translator, i: Instruction, mask: Mask) -> None:
    def wait() -> None:
        check_grid_barrier(t, is_behind=False)
        t.builder.effect(ir.GridBarrier)
        check_grid_barrier(t, is_behind=True)

    t.when_any(mask, wait)


@calls("llvm.nvvm.bar.warp.sync")
def _warp_barrier(t: Translator, i: Instruction, mask: Mask) -> None:
    """What all lanes did to memory happens before what they do next: between two of these a target
    keeps the order of each thread only."""
    t.builder.effect(ir.Barrier)


@calls("llvm.nvvm.membar.")
def _fence(t: Translator, i: Instruction, mask: Mask) -> None:
    check_fence(t, mask)
    t.builder.effect(ir.Barrier if ".cta" in i.callee and not t.waits.grain else ir.Fence)
