"""Where each block of a reducible control-flow graph goes in structured code.

After Ramsey, "Beyond Relooper" (ICFP 2022): a block with one forward predecessor is written in
place, at its predecessor's branch (*inline*); any other block is a *follower*: it is written after
the code of its immediate dominator, or after the loop that it leaves. Threads that go to a follower
are noted in a variable, `Pending`, unless all that entered arrive there.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from canopy.frontends.cuda.cfg import ControlFlow, Loop
from canopy.frontends.cuda.llvm_values import Block, Instruction
from canopy.frontends.cuda.uniformity import Uniformity

__all__ = ["Again", "LiveOut", "Next", "Pending", "PendingKind", "Placement", "VariableKey"]


class PendingKind(Enum):
    """How the threads that go to a follower are known."""

    ALL = "all"  # every thread that entered arrives
    SCALAR = "scalar"  # all or none: a bool
    LANES = "lanes"  # some: a mask


@dataclass(frozen=True, slots=True)
class Pending:
    """The variable that says who goes to ``block``."""

    block: Block


@dataclass(frozen=True, slots=True)
class Again:
    """The variable that says who makes another trip of the loop at ``header``."""

    header: Block


@dataclass(frozen=True, slots=True)
class Next:
    """The value that a header's phi takes in the next trip."""

    phi: Instruction


@dataclass(frozen=True, slots=True)
class LiveOut:
    """A value made in a loop, as seen after the loop: a tile if ``divergent``."""

    value: Instruction
    divergent: bool


VariableKey = Pending | Again | Next | LiveOut | Instruction


class Placement:
    def __init__(self, flow: ControlFlow, uniformity: Uniformity) -> None:
        self._flow = flow
        self._uniformity = uniformity
        self.is_inline: set[Block] = set()
        self.inlined: dict[Block, list[Block]] = {b: [] for b in flow.order}
        self.followers: dict[Block, list[Block]] = {b: [] for b in flow.order}
        self.loop_followers: dict[Block, list[Block]] = {h: [] for h in flow.loops}
        self.pending: dict[Block, PendingKind] = {}
        for block in flow.order[1:]:
            self._place(block)
        for above, hosted in [*self.followers.items(), *self.loop_followers.items()]:
            for block in hosted:
                self.pending[block] = self._pending_kind(above, block)
        self.again = {header: self._again_kind(loop) for header, loop in flow.loops.items()}
        self.uses = self._find_uses()
        self.live_outs: dict[Instruction, set[VariableKey]] = {}
        for value, places in self.uses.items():
            keys = {self.key_for(value, place) for place in places} - {value}
            if keys:
                self.live_outs[value] = keys

    # ---- where blocks go

    def _context(self, block: Block) -> Loop | None:
        """The loop in whose body the code of ``block``, a whole loop for a header, stands."""
        loop = self._flow.loop_of.get(block)
        return loop.parent if loop and loop.header is block else loop

    def _place(self, block: Block) -> None:
        flow = self._flow
        entering = [p for p in flow.predecessors[block] if not flow.is_back_edge(p, block)]
        context = self._context(block)
        if len(entering) == 1 and flow.loop_of.get(entering[0]) is context:
            self.is_inline.add(block)
            self.inlined[entering[0]].append(block)
            return
        above = flow.idom[block]
        assert above is not None
        left = [loop for loop in flow.loops_around(above) if block not in loop.blocks]
        if left:
            self.loop_followers[left[-1].header].append(block)
        else:
            self.followers[above].append(block)

    def body_blocks(self, block: Block) -> set[Block]:
        """The blocks written as part of ``block``: of a header, those inside its loop."""
        found = {block}
        for part in (*self.inlined[block], *self.followers[block]):
            found |= self.subtree(part)
        return found

    def subtree(self, block: Block) -> set[Block]:
        """All blocks written as part of ``block``, those after its loop included."""
        found = self.body_blocks(block)
        for follower in self.loop_followers.get(block, ()):
            found |= self.subtree(follower)
        return found

    def _pending_kind(self, above: Block, block: Block) -> PendingKind:
        flow = self._flow
        if flow.post_dominates(block, above):
            return PendingKind.ALL
        for branch in self.body_blocks(above) & self._uniformity.divergent_branches:
            if block in flow.reachable(branch) and not flow.post_dominates(block, branch):
                return PendingKind.LANES
        return PendingKind.SCALAR

    def _again_kind(self, loop: Loop) -> PendingKind:
        """How the threads that make the next trip are known; ALL: the header decides alone."""
        if loop in self._uniformity.divergent_loops:
            return PendingKind.LANES
        return PendingKind.ALL if self.tests_at_top(loop) else PendingKind.SCALAR

    def tests_at_top(self, loop: Loop) -> bool:
        """Whether the loop tests in its header; of a uniform loop that must be its only test."""
        inside = [s for s in loop.header.successors if s in loop.blocks and s is not loop.header]
        if len(loop.header.successors) != 2 or len(inside) != 1:
            return False
        if loop.header in loop.header.successors:
            return False
        if loop in self._uniformity.divergent_loops:
            return loop.header in self._uniformity.divergent_branches
        return all(source is loop.header for source, _ in loop.exit_edges)

    # ---- variables

    def _find_uses(self) -> dict[Instruction, set[Block]]:
        """The blocks that use each instruction; a phi uses its operands at the end of the edge."""
        uses: dict[Instruction, set[Block]] = {}
        for block in self._flow.order:
            for user in block.instructions:
                places = user.incoming if user.opcode == "phi" else [block] * len(user.operands)
                for operand, place in zip(user.operands, places, strict=True):
                    if isinstance(operand, Instruction):
                        uses.setdefault(operand, set()).add(place)
        return uses

    def key_for(self, value: Instruction, place: Block) -> VariableKey:
        """The variable to read for ``value`` in ``place``."""
        loop = self._flow.loop_of.get(value.block)
        if loop is None or place in loop.blocks or self.is_kept(value):
            return value
        return LiveOut(value, self._uniformity.diverges_at(value, place))

    def is_kept(self, value: Instruction) -> bool:
        """Whether a header's phi keeps, after its loop, the last value that each thread had."""
        loop = self._flow.loop_of.get(value.block)
        if not loop or value.opcode != "phi" or value.block is not loop.header:
            return False
        places = self.uses.get(value, set())
        if loop.parent and not places <= loop.parent.blocks:
            return False
        if loop in self._uniformity.divergent_loops:
            return value in self._uniformity.divergent_values and not places <= loop.blocks
        return self.tests_at_top(loop)

    def exports(self, blocks: set[Block]) -> list[VariableKey]:
        """The variables that code made of ``blocks`` assigns for code outside."""
        found: dict[VariableKey, None] = {}
        for block in self._flow.order:
            if block not in blocks:
                continue
            for target in dict.fromkeys(block.successors):
                if target not in blocks:
                    found.update(dict.fromkeys(self.edge_variables(block, target)))
            for value in block.instructions:
                for key in self.live_outs.get(value, ()):
                    if not self.uses[value] <= blocks:
                        found[key] = None
        return list(found)

    def edge_variables(self, source: Block, target: Block) -> list[VariableKey]:
        """The variables that going from ``source`` to ``target`` assigns."""
        if self._flow.is_back_edge(source, target):
            variables: list[VariableKey] = [Next(phi) for phi in target.phis]
            if self.again[target] is not PendingKind.ALL:
                variables.append(Again(target))
            return variables
        variables = list(target.phis)
        if self.pending.get(target, PendingKind.ALL) is not PendingKind.ALL:
            variables.append(Pending(target))
        return variables
