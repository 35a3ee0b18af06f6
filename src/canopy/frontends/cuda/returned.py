"""Which threads have returned: nobody waits for them at a barrier.

Kept only for kernels whose barriers ask: one byte per thread, set where threads go to a block that
does nothing but return.
"""

from __future__ import annotations

from canopy import ir
from canopy.frontends.cuda.llvm_values import Block
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import I8

__all__ = ["THREAD_EXIT", "keep_returned", "not_returned", "note_return", "only_returns"]

THREAD_EXIT = "canopy_exit"  # what PTX's exit calls


def keep_returned(t: Translator) -> None:
    """Makes room for the flags where a barrier may be passed unevenly, or is checked."""
    if not t.waits.uneven and t.checks is None:
        return
    flags = t.as_tile(t.add(ir.Scratch, bytes=t.lanes))
    t.returned = t.add(ir.Offset, pointer=flags, index=t.lane_index(), scale=1)
    t.builder.effect(ir.Store, pointer=t.returned, value=t.constant(0, t.tile_type(I8)))


def note_return(t: Translator, target: Block, mask: Mask) -> None:
    """Notes threads of ``mask`` that go to ``target`` and return there."""
    if t.returned is None or mask is None or not only_returns(target):
        return
    gone = t.constant(1, t.tile_type(I8))
    t.builder.effect(ir.Store, pointer=t.returned, value=gone, mask=mask)


def not_returned(t: Translator, threads: ir.Value) -> ir.Value:
    """Those of ``threads`` that still run."""
    if t.returned is None:
        return threads
    flags = t.add(ir.Load, pointer=t.returned, type=I8)
    runs = t.add(ir.Compare, predicate="eq", lhs=flags, rhs=t.constant(0, flags.type))
    return t.both(threads, runs)


def only_returns(block: Block) -> bool:
    """Whether threads that come to a block do nothing but end."""
    done = [i for i in block.instructions if i.opcode != "phi"]
    return done[0].callee == THREAD_EXIT or all(i.opcode == "ret" for i in done)
