"""A loop that only gathers tiles to be reduced gets a straight version for a single trip.

    %sums = for %zero, %n, %block, [%nothing] body(%i, %s) { .. %t = add %s, %v; yield [%t] }
    %r = reduce [%sums] ..
becomes
    %r = if (%zero < %n and %n - %zero <= %block) {
      .. %t = add %nothing, %v
      %r1 = reduce [%t] ..; yield [%r1]
    } else {
      %sums = for ..
      %r2 = reduce [%sums] ..; yield [%r2]
    }

A row that one block covers, the usual case, then needs no tile in memory to gather in.
"""

from __future__ import annotations

from collections.abc import Sequence

from canopy.ir.contraction import Reduce
from canopy.ir.control import For, If, Yield
from canopy.ir.core import Kernel, Op, Region, Value, walk
from canopy.ir.elementwise import And, Compare, Constant, Sub
from canopy.ir.types import ScalarType
from canopy.passes.rewriter import Rewriter

__all__ = ["split_off_single_trips"]

MAX_BODY_OPS = 32  # the body is compiled twice


def split_off_single_trips(kernel: Kernel) -> Kernel:
    """``kernel`` with a straight version of each loop whose tiles are only reduced."""
    return _Splitter(kernel).kernel(kernel)


class _Splitter(Rewriter):
    def __init__(self, kernel: Kernel) -> None:
        super().__init__()
        self._users: dict[Value, list[Op]] = {}
        self._reduced: dict[For, list[Reduce]] = {}
        self._moved: set[Op] = set()
        for op in walk(kernel.body.ops):
            for value in op.operands:
                self._users.setdefault(value, []).append(op)
        for region in (kernel.body, *(r for op in walk(kernel.body.ops) for r in op.regions)):
            self._find(region)

    def _find(self, region: Region) -> None:
        here = set(region.ops)
        for op in region.ops:
            if isinstance(op, For) and _is_short(op) and _starts_at_constant(op):
                users = [self._users.get(result, []) for result in op.results]
                reduces = [found[0] for found in users if len(found) == 1 and found[0] in here]
                sums = [found for found in reduces if isinstance(found, Reduce)]
                if sums and len(sums) == len(users) and all(map(_stands_alone, sums)):
                    self._reduced[op] = sums
                    self._moved.update(sums)

    def op(self, op: Op) -> Sequence[Value]:
        if isinstance(op, For) and op in self._reduced:
            return self._split(op, self._reduced[op])
        if op in self._moved:  # into both branches
            return tuple(self.values[result] for result in op.results)
        return super().op(op)

    def _split(self, op: For, reduces: list[Reduce]) -> Sequence[Value]:
        results = tuple(Value(r.result.type, r.result.name) for r in reduces)
        made = If(
            condition=self._has_one_trip(op),
            then_region=self.build((), lambda: self._straight(op, reduces)),
            else_region=self.build((), lambda: self._looped(op, reduces)),
            location=op.location,
            results=results,
        )
        self.emit(made)
        for reduce, result in zip(reduces, results, strict=True):
            self.values[reduce.result] = result
        return op.results  # nobody reads them any more

    def _has_one_trip(self, op: For) -> Value:
        lower, upper, step = (self.values[v] for v in (op.lower, op.upper, op.step))
        place = op.location
        some = self.make(Compare, predicate="lt", lhs=lower, rhs=upper, location=place)
        length = self.make(Sub, lhs=upper, rhs=lower, location=place)
        short = self.make(Compare, predicate="le", lhs=length, rhs=step, location=place)
        return self.make(And, lhs=some, rhs=short, location=place)

    def _straight(self, op: For, reduces: list[Reduce]) -> None:
        starts = [self.values[value] for value in (op.lower, *op.initial)]
        self.values.update(zip(op.body.args, starts, strict=True))
        for inner in op.body.ops[:-1]:
            self.values.update(zip(inner.results, self.op(inner), strict=True))
        yielded = [self.values[value] for value in op.body.terminator.operands]
        self._reduce(op, reduces, yielded)

    def _looped(self, op: For, reduces: list[Reduce]) -> None:
        self._reduce(op, reduces, self.copy(op).results)

    def _reduce(self, op: For, reduces: list[Reduce], tiles: Sequence[Value]) -> None:
        self.values.update(zip(op.results, tiles, strict=True))
        self.emit(Yield(values=tuple(self.copy(r).result for r in reduces), location=op.location))


def _is_short(op: For) -> bool:
    inner = op.body.ops
    plain = not any(each.regions for each in inner)
    return plain and len(inner) <= MAX_BODY_OPS and bool(op.results)


def _starts_at_constant(op: For) -> bool:
    """From a known place that keeps ``upper - lower`` from wrapping, with known tiles."""
    lower = op.lower.op
    type_ = op.lower.type
    if not isinstance(lower, Constant) or lower.value < 0:
        return False
    if not isinstance(type_, ScalarType) or type_.kind != "int":
        return False
    return all(value.is_tile and isinstance(value.op, Constant) for value in op.initial)


def _stands_alone(op: Reduce) -> bool:
    """One result, and nothing from outside in the combine region, so that it may move."""
    inside = {*op.combine.args, *(v for inner in op.combine.ops for v in inner.results)}
    read = {value for inner in op.combine.ops for value in inner.operands}
    return len(op.sources) == 1 and read <= inside
