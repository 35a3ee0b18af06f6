"""The block graph that early returns leave behind -> nested ifs.

In:   ``cf.cond_br %c, ^bb1, ^bb2``, ``^bb1: tt.return``, ``^bb2: ...``; acyclic, loops are scf
Out:  ``if c {} else {...}``

Where all paths from a branch meet again, the branch becomes an if whose results are the arguments
of the meeting point. Where some paths return before that, the if yields one bool more, whether the
meeting point was reached, and what follows stands in a second if. (A function that returns values
reads such a meeting point once per path instead.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from canopy.errors import UnsupportedError
from canopy.frontends.triton.lanewise import zero
from canopy.frontends.triton.types import parse_type
from canopy.ir import Builder, If, Region, Value, Yield
from canopy.ir.types import BOOL

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Block, Operation

__all__ = ["BlockGraph"]

_TARGET = re.compile(r"\^(\w+)(?:\(([^)]*)\))?")
_NAME = re.compile(r"%([\w$.\-]+(?:#\d+)?)")


def _returns(last: Operation) -> bool:
    """``tt.return``, or what ends the region of a reduction, scan or map."""
    return last.name.startswith("tt.") and last.name.endswith("return")


class BlockGraph:
    """The blocks of one function, or of the region of an operation."""

    def __init__(self, reader: Reader, blocks: list[Block]) -> None:
        self.reader = reader
        self.blocks = blocks
        self.exit = len(self.blocks)
        indices = {block.label: i for i, block in enumerate(self.blocks)}
        self.targets = [self._targets(block.operations[-1], indices) for block in self.blocks]
        backwards = self._order()
        self.rank = {block: -at for at, block in enumerate(backwards)}
        self.meets = self._meeting_points(backwards)
        self.reaches = self._reachable(backwards)
        self.is_void = all(
            not block.operations[-1].operands
            for block in self.blocks
            if _returns(block.operations[-1])
        )

    @staticmethod
    def _targets(last: Operation, indices: dict[str, int]) -> list[tuple[int, list[str]]]:
        """(block, names of the arguments) of each successor."""
        if last.name not in ("cf.br", "cf.cond_br"):
            return []
        text = f"{last.body} : {last.signature}" if last.signature else last.body
        return [
            (indices[label], _NAME.findall(listed.partition(" : ")[0]))
            for label, listed in _TARGET.findall(text)
        ]

    def _order(self) -> list[int]:
        """Blocks reachable from the entry, each after its successors."""
        order: list[int] = []
        state: dict[int, bool] = {}

        def visit(block: int) -> None:
            if block in state:
                if not state[block]:
                    raise UnsupportedError("a loop outside for and while", hint="use for or while")
                return
            state[block] = False
            for target, _ in self.targets[block]:
                visit(target)
            state[block] = True
            order.append(block)

        visit(0)
        return order

    def _meeting_points(self, backwards: list[int]) -> dict[int, int]:
        """Per block, the first block that every path from it passes (its post-dominator)."""
        after: dict[int, set[int]] = {self.exit: {self.exit}}
        for block in backwards:
            successors = [target for target, _ in self.targets[block]] or [self.exit]
            after[block] = {block} | set.intersection(*(after[s] for s in successors))
        # Of the blocks that all paths pass, the nearest one has the most of them after itself.
        return {i: max(after[i] - {i}, key=lambda b: len(after[b])) for i in backwards}

    def _reachable(self, backwards: list[int]) -> dict[int, set[int]]:
        found: dict[int, set[int]] = {}
        for block in backwards:
            found[block] = {block}.union(*(found[target] for target, _ in self.targets[block]))
        return found

    # ---- emission --------------------------------------------------------------------------------

    def emit(
        self, block: int, stop: int | None = None, may_return: bool = False
    ) -> tuple[Value, ...]:
        """Reads from ``block`` up to ``stop``; gives the arguments for it, or what is returned.

        With ``may_return``, a bool comes first: whether ``stop`` was reached.
        """
        reader = self.reader
        while True:
            operations = self.blocks[block].operations
            for op in operations[:-1]:
                reader.run(op)
            last = operations[-1]
            if _returns(last):
                return self._not_reached(stop) if may_return else reader.values(last)
            if last.name == "cf.br":
                block, names = self.targets[block][0]
                values = tuple(reader.known[name] for name in names)
            elif last.name == "cf.cond_br":
                meet = self.meets[block]
                if meet == self.exit:
                    return self._branch_with_returns(last, block, stop, may_return)
                values = self._branch(last, block, meet, False)
                block = meet
            else:
                raise reader.unsupported(last, last.location)
            if block == stop:
                return (reader.constant(True, BOOL), *values) if may_return else values
            self._enter(block, values)

    def _enter(self, block: int, values: Sequence[Value]) -> None:
        for (name, _), value in zip(self.blocks[block].arguments, values, strict=True):
            self.reader.known[name] = value

    def _branch(
        self, op: Operation, block: int, stop: int | None, may_return: bool
    ) -> tuple[Value, ...]:
        """An if whose regions go up to ``stop``; gives its results."""
        regions = []
        for target, names in self.targets[block]:
            outer = self._open(op)
            values: tuple[Value, ...] = tuple(self.reader.known[name] for name in names)
            if target != stop:
                self._enter(target, values)
                values = self.emit(target, stop, may_return)
            elif may_return:
                values = (self.reader.constant(True, BOOL), *values)
            regions.append(self._close(values, outer))
        return self._if(op, self.reader.known[op.operands[0]], regions)

    def _branch_with_returns(
        self, op: Operation, block: int, stop: int | None, may_return: bool
    ) -> tuple[Value, ...]:
        """A branch of which some path returns before the others meet, and all that follows it."""
        meet = self._first_common(block, stop)
        if meet is None or meet == stop:
            return self._branch(op, block, stop, may_return)
        reached, *values = self._branch(op, block, meet, True)
        outer = self._open(op)
        self._enter(meet, values)
        then = self._close(self.emit(meet, stop, may_return), outer)
        outer = self._open(op)
        otherwise = self._close(self._not_reached(stop) if may_return else (), outer)
        return self._if(op, reached, [then, otherwise])

    def _first_common(self, block: int, stop: int | None) -> int | None:
        """The first block that both sides of a branch may reach, no later than ``stop``."""
        (left, _), (right, _) = self.targets[block]
        common = self.reaches[left] & self.reaches[right]
        if not common or not self.is_void:
            return None
        first = min(common, key=lambda b: self.rank[b])
        if not self.reaches[first] - {first} and len(self.blocks[first].operations) == 1:
            return None  # a bare return, read once per path
        return None if stop is not None and self.rank[first] > self.rank[stop] else first

    def _not_reached(self, stop: int | None) -> tuple[Value, ...]:
        """False, and values that nothing reads, in place of the arguments of ``stop``."""
        assert stop is not None
        types = [parse_type(type_) for _, type_ in self.blocks[stop].arguments]
        return (
            self.reader.constant(False, BOOL),
            *(zero(self.reader.build, type_) for type_ in types),
        )

    def _open(self, op: Operation) -> Builder:
        outer, self.reader.build = self.reader.build, Builder(Region(), op.location)
        return outer

    def _close(self, values: Sequence[Value], outer: Builder) -> Region:
        inner, self.reader.build = self.reader.build, outer
        inner.effect(Yield, values=tuple(values))
        return inner.region

    def _if(self, op: Operation, condition: Value, regions: list[Region]) -> tuple[Value, ...]:
        made = self.reader.build.effect(
            If,
            condition=condition,
            then_region=regions[0],
            else_region=regions[1],
            location=op.location,
        )
        return made.results
