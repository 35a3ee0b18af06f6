"""Which values and branches are equal in all threads of a block (uniform), and which diverge.

A value diverges if it comes from the thread's index, from a divergent operand, from memory at a
divergent address, or from a join of paths that different threads took; and, seen from outside a
loop that threads leave at different times, if it was made inside it. All else is uniform: a scalar.
"""

from __future__ import annotations

from collections.abc import Callable

from canopy.frontends.cuda.cfg import ControlFlow, Loop
from canopy.frontends.cuda.llvm_values import Block, Instruction, LlvmValue

__all__ = ["Uniformity"]

Arrive = Callable[[Block, Block], None]

_DIVERGENT_CALLS = (
    "llvm.nvvm.read.ptx.sreg.tid.",
    "llvm.nvvm.read.ptx.sreg.laneid",
    "llvm.nvvm.shfl.",
    "llvm.nvvm.read.ptx.sreg.lanemask.",
    "llvm.nvvm.read.ptx.sreg.warpid",
    "llvm.nvvm.vote.",
    "llvm.nvvm.atomic.",
    "vprintf",
    "malloc",
    "llvm.nvvm.match.",
    "llvm.nvvm.redux.",
    "llvm.nvvm.activemask",
)
_DIVERGENT_OPCODES = frozenset({"atomicrmw", "cmpxchg", "alloca"})


class Uniformity:
    """The divergent values, branches (as the blocks they end) and loops of a function."""

    def __init__(self, flow: ControlFlow) -> None:
        self._flow = flow
        self.divergent_values: set[LlvmValue] = set()
        self.divergent_branches: set[Block] = set()
        self.divergent_loops: set[Loop] = set()
        self._joins: set[Block] = set()
        while self._sweep():
            pass

    def diverges_at(self, value: LlvmValue, place: Block) -> bool:
        """Whether ``value``, used in ``place``, may differ between threads."""
        if value in self.divergent_values:
            return True
        if not isinstance(value, Instruction):
            return False
        return any(
            loop in self.divergent_loops and place not in loop.blocks
            for loop in self._flow.loops_around(value.block)
        )

    def _sweep(self) -> bool:
        before = self._size()
        for block in self._flow.order:
            for instruction in block.instructions:
                if instruction not in self.divergent_values and self._diverges(instruction):
                    self.divergent_values.add(instruction)
            self._visit_branch(block)
        return self._size() != before

    def _size(self) -> int:
        branches, loops = len(self.divergent_branches), len(self.divergent_loops)
        return len(self.divergent_values) + branches + loops + len(self._joins)

    def _diverges(self, instruction: Instruction) -> bool:
        if instruction.opcode in _DIVERGENT_OPCODES:
            return True
        if instruction.callee.startswith(_DIVERGENT_CALLS):
            return True
        if instruction.callee.startswith("llvm.nvvm.barrier"):  # what it returns, all threads get
            return False
        if instruction.opcode == "phi" and instruction.block in self._joins:
            return True  # trivial phis are gone: it joins different values
        return any(self.diverges_at(o, instruction.block) for o in instruction.operands)

    def _visit_branch(self, block: Block) -> None:
        terminator = block.terminator
        if len(block.successors) < 2 or block in self.divergent_branches:
            return
        if not any(self.diverges_at(o, block) for o in terminator.operands):
            return
        self.divergent_branches.add(block)
        for loop in self._flow.loops_around(block):
            rejoin = self._flow.postdom[block] - {block}
            if not any(later in loop.blocks for later in rejoin):
                self.divergent_loops.add(loop)
        self._joins |= self._find_joins(block)

    def _find_joins(self, branch: Block) -> set[Block]:
        """Blocks where threads that ``branch`` parted meet: the arriving paths are disjoint."""
        flow = self._flow
        label: dict[Block, Block] = {}
        joins: set[Block] = set()

        def arrive(target: Block, mark: Block) -> None:
            if label.setdefault(target, mark) is not mark:
                label[target] = target
                joins.add(target)

        for successor in dict.fromkeys(branch.successors):
            self._advance(branch, successor, successor, arrive)
        after = flow.postdom[branch] - {branch}
        for block in flow.order[flow.index[branch] + 1 :]:
            if block not in label or block in after:
                continue
            for successor in dict.fromkeys(block.successors):
                self._advance(block, successor, label[block], arrive)
        return joins

    def _advance(self, source: Block, target: Block, mark: Block, arrive: Arrive) -> None:
        arrive(target, mark)
        if self._flow.is_back_edge(source, target):
            for final in self._flow.forward[source]:
                arrive(final, mark)
