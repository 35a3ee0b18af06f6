"""Which reads the L2 cache answers.

Programs that run at the same time (a wave) go through their parts of memory side by side, so that
what several of them read comes from HBM once; what an earlier wave has touched is found again while
all that was touched since fits. Parts are told apart by where they begin: overlapping ones count as
different, which makes hits of stencils fewer than they are.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from canopy.targets.ascend.recorder import Item

__all__ = ["missing_shares"]


def missing_shares(
    programs: Sequence[Mapping[int, Item]], wave: int, capacity: int
) -> dict[int, float]:
    """Per copy (by its key in the items) the share of its bytes that HBM moves."""
    cache = _Cache(capacity)
    missed: dict[int, int] = {}
    moved: dict[int, int] = {}
    for first in range(0, len(programs), max(wave, 1)):
        together = programs[first : first + max(wave, 1)]
        seen: dict[tuple[int, int], bool] = {}
        for program in together:
            for key, item in program.items():
                part = (item.address, item.bytes)
                is_first = part not in seen
                if is_first:
                    seen[part] = cache.holds(part)
                moved[key] = moved.get(key, 0) + item.moved
                missed[key] = missed.get(key, 0) + _missed(item, is_first, seen[part], capacity)
        cache.add(seen)
    return {key: missed[key] / moved[key] if moved[key] else 1.0 for key in moved}


def _missed(item: Item, is_first: bool, is_held: bool, capacity: int) -> int:
    if item.is_written:
        return item.bytes  # written back once, now or later
    if item.bytes > capacity:
        return item.moved
    return item.bytes if is_first and not is_held else 0


class _Cache:
    """The parts that were touched last, as many as fit."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._parts: OrderedDict[tuple[int, int], None] = OrderedDict()
        self._used = 0

    def holds(self, part: tuple[int, int]) -> bool:
        return part in self._parts

    def add(self, parts: Mapping[tuple[int, int], bool]) -> None:
        """The parts of a wave, after all its programs have asked."""
        for part in parts:
            if part in self._parts:
                self._parts.move_to_end(part)
            else:
                self._parts[part] = None
                self._used += part[1]
        while self._used > self._capacity and self._parts:
            part, _ = self._parts.popitem(last=False)
            self._used -= part[1]
