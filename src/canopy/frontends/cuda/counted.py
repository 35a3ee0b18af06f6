"""Recognises loops that count up by a constant step to a bound known before the loop.

header:  i = phi [lower, entry], [next, latch];  more phis
         br (i < upper), body, after
latch:   next = i + step
"""

from __future__ import annotations

from dataclasses import dataclass

from canopy.frontends.cuda.cfg import ControlFlow, Loop
from canopy.frontends.cuda.llvm_values import Block, Instruction, LlvmValue, Number
from canopy.frontends.cuda.placement import Placement

__all__ = ["Counted", "find_counted"]


@dataclass(frozen=True, slots=True)
class Counted:
    """The counter, its bound and step; compared as unsigned unless ``is_signed``."""

    phi: Instruction
    upper: LlvmValue
    step: int
    is_signed: bool


def find_counted(loop: Loop, flow: ControlFlow, placement: Placement) -> Counted | None:
    """How a loop counts, or None. The counter must not be used after the loop."""
    header = loop.header
    if not placement.tests_at_top(loop) or len(loop.latches) != 1:
        return None
    rest = [i for i in header.instructions if i.opcode != "phi"]
    test = rest[0]
    if len(rest) != 2 or test.opcode != "icmp" or test.predicate not in ("slt", "ult"):
        return None
    phi, upper = test.operands
    if not isinstance(phi, Instruction) or phi.opcode != "phi" or phi.block is not header:
        return None
    if header.successors[0] not in loop.blocks or _is_made_in(upper, loop):
        return None
    if placement.uses.get(test, set()) - {header} or not placement.uses[phi] <= loop.blocks:
        return None
    if _leaves_with(phi, header, loop):
        return None
    step = _step(phi, loop.latches[0])
    return Counted(phi, upper, step, test.predicate == "slt") if step > 0 else None


def _is_made_in(value: LlvmValue, loop: Loop) -> bool:
    return isinstance(value, Instruction) and value.block in loop.blocks


def _leaves_with(phi: Instruction, header: Block, loop: Loop) -> bool:
    """Whether the edge out of the loop passes the counter on."""
    exits = (p for target in loop.exit_targets for p in target.phis)
    return any(
        operand is phi
        for p in exits
        for operand, source in zip(p.operands, p.incoming, strict=True)
        if source is header
    )


def _step(phi: Instruction, latch: Block) -> int:
    """The constant that a trip adds to ``phi``; 0 if it does anything else."""
    following = phi.operands[phi.incoming.index(latch)]
    if not isinstance(following, Instruction) or following.opcode != "add":
        return 0
    base, added = following.operands
    if base is not phi or not isinstance(added, Number):
        return 0
    return int(added.value)
