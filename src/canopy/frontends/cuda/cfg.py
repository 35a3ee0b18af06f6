"""Control-flow graph: order, dominators, loops, and the acyclic graph that structuring works on.

`ControlFlow` takes the blocks of a function whose control flow is reducible; UnsupportedError names
the user's line otherwise.

The **forward graph** leaves out back edges; a latch instead points to the exits of its loop, so
that "every lane that comes here later passes there" is post-dominance in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from canopy.errors import UNKNOWN_LOCATION, Location, UnsupportedError
from canopy.frontends.cuda.llvm_values import Block, Function

__all__ = ["ControlFlow", "Loop", "block_location"]


@dataclass(eq=False, slots=True)
class Loop:
    """A natural loop: its header dominates its blocks; nested loops have a parent."""

    header: Block
    blocks: set[Block]
    latches: list[Block]
    parent: Loop | None = None
    exit_edges: list[tuple[Block, Block]] = field(default_factory=list)

    @property
    def exit_targets(self) -> list[Block]:
        return list(dict.fromkeys(target for _, target in self.exit_edges))


def block_location(block: Block) -> Location:
    """The first known place in a block."""
    known = (i.location for i in reversed(block.instructions) if i.location != UNKNOWN_LOCATION)
    return next(known, UNKNOWN_LOCATION)


class ControlFlow:
    def __init__(self, function: Function) -> None:
        self.entry = function.blocks[0]
        self.order = _reverse_post_order(self.entry, lambda b: b.successors)
        self.index = {block: i for i, block in enumerate(self.order)}
        self.predecessors = {b: [p for p in b.predecessors if p in self.index] for b in self.order}
        self.idom = _dominators(self.order, self.predecessors)
        self.loop_of: dict[Block, Loop] = {}
        self.loops = self._find_loops()
        self.forward = self._forward_graph()
        self.postdom = self._post_dominators(frozenset())
        self.postdom_of_returning = self._post_dominators(self._dead_ends())

    def dominates(self, above: Block, below: Block) -> bool:
        node: Block | None = below
        while node is not None and self.index[node] > self.index[above]:
            node = self.idom[node]
        return node is above

    def is_back_edge(self, source: Block, target: Block) -> bool:
        return self.index[target] <= self.index[source]

    def loops_around(self, block: Block) -> list[Loop]:
        """The loops that hold a block, innermost first."""
        found = []
        loop = self.loop_of.get(block)
        while loop:
            found.append(loop)
            loop = loop.parent
        return found

    def post_dominates(self, later: Block, earlier: Block) -> bool:
        """Whether every path from ``earlier`` in the forward graph meets ``later``."""
        return later in self.postdom[earlier]

    def reachable(self, block: Block) -> set[Block]:
        """Blocks that the forward graph reaches from ``block``, without itself."""
        seen: set[Block] = set()
        work = list(self.forward[block])
        while work:
            node = work.pop()
            if node not in seen:
                seen.add(node)
                work.extend(self.forward[node])
        return seen

    def _find_loops(self) -> dict[Block, Loop]:
        latches: dict[Block, list[Block]] = {}
        for block in self.order:
            for target in dict.fromkeys(block.successors):
                if not self.is_back_edge(block, target):
                    continue
                if not self.dominates(target, block):
                    raise UnsupportedError(
                        "this loop can be entered in more than one place",
                        location=block_location(target),
                        hint="a goto jumps into the loop; give it one entry",
                    )
                latches.setdefault(target, []).append(block)
        loops = {h: Loop(h, self._loop_blocks(h, found), found) for h, found in latches.items()}
        for loop in sorted(loops.values(), key=lambda one: -len(one.blocks)):  # outer before inner
            loop.parent = self.loop_of.get(loop.header)
            for block in loop.blocks:
                self.loop_of[block] = loop
            loop.exit_edges = [
                (b, t)
                for b in self.order
                if b in loop.blocks
                for t in dict.fromkeys(b.successors)
                if t not in loop.blocks
            ]
        return loops

    def _loop_blocks(self, header: Block, latches: list[Block]) -> set[Block]:
        blocks = {header}
        work = list(latches)
        while work:
            block = work.pop()
            if block not in blocks:
                blocks.add(block)
                work.extend(self.predecessors[block])
        return blocks

    def _forward_graph(self) -> dict[Block, list[Block]]:
        graph: dict[Block, list[Block]] = {}
        for block in self.order:
            targets: dict[Block, None] = {}
            for target in block.successors:
                if not self.is_back_edge(block, target):
                    targets[target] = None
                    continue
                targets.update(dict.fromkeys(self._final_exits(self.loops[target])))
            graph[block] = list(targets)
        return graph

    def _final_exits(self, loop: Loop) -> list[Block]:
        """Exits of a loop, looking through an exit that is the back edge of an outer loop."""
        found: list[Block] = []
        for target in loop.exit_targets:
            outer = self.loops.get(target)
            if outer and loop.header in outer.blocks:
                found.extend(self._final_exits(outer))
            else:
                found.append(target)
        return found

    def _dead_ends(self) -> frozenset[Block]:
        """Blocks that end in a trap."""
        return frozenset(b for b in self.order if b.terminator.opcode == "unreachable")

    def _post_dominators(self, ignored: frozenset[Block]) -> dict[Block, set[Block]]:
        """The set of post-dominators of each block in the forward graph, itself included; ways to
        the ``ignored`` blocks do not count."""
        order = _reverse_post_order(self.entry, lambda b: self.forward[b])
        found: dict[Block, set[Block]] = {}
        for block in reversed(order):
            following = [found[t] for t in self.forward[block] if t not in ignored]
            found[block] = (set.intersection(*following) if following else set()) | {block}
        return found


def _reverse_post_order(
    entry: Block, successors: Callable[[Block], Sequence[Block]]
) -> list[Block]:
    order: list[Block] = []
    seen = {entry}
    stack = [(entry, iter(successors(entry)))]
    while stack:
        block, remaining = stack[-1]
        following = next((s for s in remaining if s not in seen), None)
        if following is None:
            order.append(block)
            stack.pop()
            continue
        seen.add(following)
        stack.append((following, iter(successors(following))))
    return order[::-1]


def _dominators(
    order: list[Block], predecessors: dict[Block, list[Block]]
) -> dict[Block, Block | None]:
    """Immediate dominators (Cooper, Harvey, Kennedy: A Simple, Fast Dominance Algorithm)."""
    index = {block: i for i, block in enumerate(order)}
    idom: dict[Block, Block] = {order[0]: order[0]}

    def meet(candidates: Iterable[Block]) -> Block:
        known = [c for c in candidates if c in idom]
        result = known[0]
        for other in known[1:]:
            while result is not other:
                while index[result] > index[other]:
                    result = idom[result]
                while index[other] > index[result]:
                    other = idom[other]
        return result

    changed = True
    while changed:
        changed = False
        for block in order[1:]:
            new = meet(predecessors[block])
            if idom.get(block) is not new:
                idom[block] = new
                changed = True
    return {block: (None if block is order[0] else idom[block]) for block in order}
