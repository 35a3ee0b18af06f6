"""Leaves out ops whose results nobody uses, and values that a for loop carries for nobody.

%1 = for %0, %n, %s, [%a, %b] : i32, i32 ...       ->   %1 = for %0, %n, %s, [%a] : i32 ...
  (where nothing reads the second result, and its argument only feeds itself)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from canopy.ir.control import For, Yield
from canopy.ir.core import Kernel, Op, Region, Value, walk
from canopy.ir.memory import Load
from canopy.passes.rewriter import Rewriter

__all__ = ["eliminate_dead_code"]


def eliminate_dead_code(kernel: Kernel) -> Kernel:
    """``kernel`` without what has no effect. A loop without effects is taken to end."""
    return _Sweeper(_live_values(kernel)).kernel(kernel)


def _has_effects(op: Op) -> bool:
    if op.has_side_effects or (isinstance(op, Load) and op.volatile):
        return True
    return any(_has_effects(inner) for region in op.regions for inner in region.ops)


def _live_values(kernel: Kernel) -> set[Value]:
    """Values that an effect depends on. Backward over the ops until nothing is added: one round,
    and one more for each loop that carries liveness around."""
    live: set[Value] = set()
    ops = list(walk(kernel.body.ops))
    effects = {op for op in ops if _has_effects(op)}
    while True:
        before = len(live)
        for op in reversed(ops):
            if op in effects or any(result in live for result in op.results):
                live.update(_needs(op, live))
        if len(live) == before:
            return live


def _needs(op: Op, live: set[Value]) -> Sequence[Value]:
    """What must be live because ``op`` is kept."""
    if not isinstance(op, For):
        handed = [inner.terminator for inner in op.regions if inner.ops]
        return (*op.operands, *(v for end in handed if end.is_terminator for v in end.operands))
    needed = [op.lower, op.upper, op.step]
    yields = op.body.terminator.operands
    for initial, arg, yielded, result in zip(
        op.initial, op.body.args[1:], yields, op.results, strict=True
    ):
        if arg in live or result in live:
            needed += [initial, arg, yielded, result]
    return needed


class _Sweeper(Rewriter):
    def __init__(self, live: set[Value]) -> None:
        super().__init__()
        self._live = live

    def ops(self, region: Region) -> None:
        for op in region.ops:
            if self._is_kept(op):
                self.values.update(zip(op.results, self.op(op), strict=True))

    def _is_kept(self, op: Op) -> bool:
        if op.is_terminator or _has_effects(op):
            return True
        return any(result in self._live for result in op.results)

    def op(self, op: Op) -> Sequence[Value]:
        if isinstance(op, For) and any(arg not in self._live for arg in op.body.args[1:]):
            return self._narrowed(op)
        return super().op(op)

    def _narrowed(self, op: For) -> Sequence[Value]:
        """The loop without the carried values that are not live; their results stand for none."""
        kept = [arg in self._live for arg in op.body.args[1:]]
        end = op.body.terminator
        assert isinstance(end, Yield)

        def pick(values: Sequence[Value]) -> tuple[Value, ...]:
            return tuple(value for value, keep in zip(values, kept, strict=True) if keep)

        shorter = dataclasses.replace(end, values=pick(end.values))
        body = Region((op.body.args[0], *pick(op.body.args[1:])), [*op.body.ops[:-1], shorter])
        results = pick(op.results)
        narrowed = For(
            lower=self.values[op.lower],
            upper=self.values[op.upper],
            step=self.values[op.step],
            initial=tuple(self.values[value] for value in pick(op.initial)),
            body=self.region(body),
            location=op.location,
            results=tuple(Value(value.type, value.name) for value in results),
        )
        made = dict(zip(results, self.emit(narrowed).results, strict=True))
        return tuple(made.get(result, result) for result in op.results)
