"""Moves pure ops whose operands do not change in a loop to before it.

    for ... {                              %1 = splat %a, shape=(64) : tile<64xi32>
      %1 = splat %a, shape=(64) ...   ->   for ... {
      ...                                    ...

The loop may run no time at all, so that only ops move that are harmless on any operands.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from canopy.ir.control import For, While
from canopy.ir.core import Kernel, Op, Region, Value
from canopy.ir.elementwise import Constant, Div, Rem
from canopy.ir.shape import Gather
from canopy.ir.types import is_float
from canopy.passes.rewriter import Rewriter, is_pure

__all__ = ["hoist_invariants"]


def hoist_invariants(kernel: Kernel) -> Kernel:
    """``kernel`` with loop-invariant pure ops before their loops."""
    return _Hoister().kernel(kernel)


class _Hoister(Rewriter):
    def __init__(self) -> None:
        super().__init__()
        self._level: dict[Value, int] = {}  # position in `regions` of the one that makes a value
        self._is_loop: list[bool] = []  # for each of `regions`
        self._loop_regions: set[int] = set()

    def region(self, region: Region) -> Region:
        self._is_loop.append(id(region) in self._loop_regions)
        made = super().region(region)
        self._is_loop.pop()
        return made

    def build(self, args: tuple[Value, ...], fill: Callable[[], None]) -> Region:
        self._level.update(dict.fromkeys(args, len(self.regions)))
        return super().build(args, fill)

    def op(self, op: Op) -> Sequence[Value]:
        if isinstance(op, For | While):
            self._loop_regions.update(id(region) for region in op.regions)
        made = self.translated(op)
        level = self._target_level(made)
        self.regions[level].ops.append(made)
        self._level.update(dict.fromkeys(made.results, level))
        return made.results

    def _target_level(self, op: Op) -> int:
        level = len(self.regions) - 1
        if not _is_harmless(op):
            return level
        highest = max((self._level.get(value, 0) for value in op.operands), default=0)
        while level > highest and self._is_loop[level]:
            level -= 1
        return level


def _is_harmless(op: Op) -> bool:
    """May it run where it did not before? Not if it could trap or read outside of a tile."""
    if not is_pure(op) or op.regions or isinstance(op, Gather):
        return False
    if isinstance(op, Div | Rem) and not is_float(op.lhs.type):
        divisor = op.rhs.op
        return isinstance(divisor, Constant) and divisor.value > 0
    return True
