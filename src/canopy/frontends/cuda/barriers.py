"""Barriers that some threads of a block may not reach: found in its code, checked as it runs.

Threads that have returned do not count. A barrier is *doubtful* where a branch that parts threads
leads one way to it and the other way past it to another barrier, or to it again. Where the others
then stand at a barrier of their own the results would be wrong, and the kernel stops; else it is
reported once, and the threads that are there go on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from canopy import ir
from canopy.frontends.cuda.cfg import ControlFlow
from canopy.frontends.cuda.llvm_values import Block, Instruction
from canopy.frontends.cuda.native_calls import call_native
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import I8, I32

__all__ = ["check_barrier", "find_doubtful", "note_exit"]

_BARRIERS = ("llvm.nvvm.barrier0", "llvm.nvvm.barrier.cta.")


def find_doubtful(t: Translator, flow: ControlFlow) -> None:
    """Notes the doubtful barriers of a kernel, and makes room to note who has returned."""
    barriers = {b for b in flow.order if any(_is_barrier(i) for i in b.instructions)}
    if not barriers:
        return
    for branch in t.uniformity.divergent_branches:
        _judge(t, flow, branch, barriers)
    if t.doubtful_barriers:
        flags = t.as_tile(t.add(ir.Scratch, bytes=t.lanes))
        t.exit_flags = t.add(ir.Offset, pointer=flags, index=t.linear_index(), scale=1)
        t.builder.effect(ir.Store, pointer=t.exit_flags, value=t.constant(0, t.tile_type(I8)))


def note_exit(t: Translator, target: Block, mask: Mask) -> None:
    """Notes threads that go to a block which only returns."""
    if t.exit_flags is None or mask is None or not _only_returns(target):
        return
    gone = t.constant(1, t.tile_type(I8))
    t.builder.effect(ir.Store, pointer=t.exit_flags, value=gone, mask=mask)


def check_barrier(t: Translator, i: Instruction, mask: Mask) -> None:
    """Where a doubtful barrier is run, asks whether a thread is missing."""
    if i.block not in t.doubtful_barriers or mask is None or mask is t.living:
        return
    assert t.exit_flags is not None
    flags = t.add(ir.Load, pointer=t.exit_flags, type=I8)
    stays = t.add(ir.Compare, predicate="eq", lhs=flags, rhs=t.constant(0, flags.type))
    absent = t.both(t.inverted(mask), stays)
    absent = absent if t.living is None else t.both(t.living, absent)
    some_wait = t.any_active(mask)  # nobody is here in a branch that no thread took
    missing = t.add(ir.And, lhs=absent, rhs=t.add(ir.Splat, source=some_wait, shape=absent.shape))
    stops = t.constant(int(t.doubtful_barriers[i.block]), I32)
    call_native(t, "canopy_cuda_barrier", [stops], missing, I32, text=str(i.location))


def _is_barrier(i: Instruction) -> bool:
    return i.callee.startswith(_BARRIERS)


def _only_returns(block: Block) -> bool:
    return all(i.opcode in ("phi", "ret") for i in block.instructions)


def _judge(t: Translator, flow: ControlFlow, branch: Block, barriers: set[Block]) -> None:
    """Adds the barriers that threads parted by ``branch`` may miss; True for those that stop."""
    first, second = branch.successors
    after = flow.postdom[branch] - {branch}
    sides = [_reached([s], lambda b: flow.forward[b], after) & barriers for s in (first, second)]
    apart = [sides[0] - sides[1], sides[1] - sides[0]]
    for own, other in ((0, 1), (1, 0)):
        past = _reached([branch.successors[other]], lambda b: b.successors, set()) & barriers
        for block in sides[own]:
            met = flow.post_dominates(block, branch.successors[other])
            if past and not met:
                stops = block in apart[own] and bool(apart[other])
                t.doubtful_barriers[block] = t.doubtful_barriers.get(block, False) or stops


def _reached(
    start: Iterable[Block], successors: Callable[[Block], Iterable[Block]], end: set[Block]
) -> set[Block]:
    """Blocks on paths from ``start`` that stop before ``end``."""
    found: set[Block] = set()
    waiting = list(start)
    while waiting:
        block = waiting.pop()
        if block not in found and block not in end:
            found.add(block)
            waiting.extend(successors(block))
    return found
