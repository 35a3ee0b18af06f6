"""Happens-before between pipes: which accesses no event orders.

Each memory of a core is kept in blocks of 32 bytes; per block and pipe stands the step of the last
read and the last write. An access is ordered behind another pipe's if it knows, through events,
that this step is done. Verdicts do not depend on time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from canopy.errors import Location
from canopy.targets.ascend.npu import Instruction, Pipe

__all__ = ["Hazard", "History", "Order", "Ranges"]

_BLOCK = 32
_NOBODY = -1  # the serial of buffers that have none
_MOST_RANGES = 4096
_PIPES = {pipe: number for number, pipe in enumerate(Pipe)}
Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Hazard:
    """A fault of the program, at the user's line."""

    location: Location
    fact: str

    def __str__(self) -> str:
        return f"{self.location}: {self.fact}"


class Order:
    """What each pipe knows of the others: the last step that is done."""

    def __init__(self) -> None:
        self.known = np.zeros((len(Pipe), len(Pipe)), np.int64)
        self.steps = [0] * len(Pipe)
        self.signals: dict[tuple[Pipe, Pipe, int], Array] = {}
        self.set_at: dict[tuple[Pipe, Pipe, int], Location] = {}
        self._waited: dict[tuple[Pipe, Pipe, int], int] = {}

    def step(self, pipe: Pipe) -> int:
        number = _PIPES[pipe]
        self.steps[number] += 1
        self.known[number, number] = self.steps[number]
        return self.steps[number]

    def set(self, source: Pipe, target: Pipe, event: int, location: Location) -> bool:
        """False if the event may still be set: nothing tells ``source`` that ``target`` has waited
        for it."""
        key = (source, target, event)
        self.set_at[key] = location
        waited = self._waited.get(key, 0)
        is_new = key not in self.signals
        is_new = is_new and self.known[_PIPES[source], _PIPES[target]] >= waited
        self.signals[key] = self.known[_PIPES[source]].copy()
        return is_new

    def wait(self, source: Pipe, target: Pipe, event: int) -> bool:
        """False if nothing sets the event."""
        told = self.signals.pop((source, target, event), None)
        if told is None:
            return False
        number = _PIPES[target]
        self._waited[source, target, event] = self.step(target)
        np.maximum(self.known[number], told, out=self.known[number])
        return True

    def meet(self) -> None:
        """A barrier of all pipes."""
        self.known[:] = self.known.max(axis=0)


class History:
    """The accesses to one memory of a core."""

    def __init__(self, size: int) -> None:
        blocks = -(-size // _BLOCK)
        self._writes = np.zeros((len(Pipe), blocks), np.int32)
        self._reads = np.zeros((len(Pipe), blocks), np.int32)
        self._owners = np.zeros(blocks, np.int32)  # serials of what wrote last; 0: nothing did
        self._lines: dict[tuple[Pipe, int], Location] = {}

    def grow(self, size: int) -> None:
        missing = -(-size // _BLOCK) - self._writes.shape[1]
        if missing > 0:
            more = np.zeros((len(Pipe), missing + 1024), np.int32)
            self._writes = np.concatenate([self._writes, more], axis=1)
            self._reads = np.concatenate([self._reads, more], axis=1)
            self._owners = np.concatenate([self._owners, more[0]])

    def touch(
        self,
        order: Order,
        pipe: Pipe,
        step: int,
        first: int,
        end: int,
        owner: int | None,
        instruction: Instruction,
    ) -> tuple[Pipe, str, Location] | None:
        """Notes an access, a write if it has an ``owner``; (pipe, what it did, its line) of an
        earlier one that is not ordered."""
        writes = owner is not None
        span = slice(first // _BLOCK, -(-end // _BLOCK))
        number = _PIPES[pipe]
        known = order.known[number]
        found = self._unordered(self._writes[:, span], known, "writes")
        if found is None and writes:
            found = self._unordered(self._reads[:, span], known, "reads")
        (self._writes if writes else self._reads)[number, span] = step
        if writes:
            self._owners[span] = owner or _NOBODY
        self._lines[pipe, step] = instruction.location
        if found is None:
            return None
        other, verb, at = found
        return other, verb, self._lines.get((other, at), instruction.location)

    @staticmethod
    def _unordered(steps: Array, known: Array, verb: str) -> tuple[Pipe, str, int] | None:
        latest = steps.max(axis=1, initial=0)
        late = latest > known
        if not late.any():
            return None
        number = int(late.argmax())
        return list(Pipe)[number], verb, int(latest[number])

    def unread(self, first: int, end: int, owner: int) -> str:
        """Why what a span holds is not what this owner wrote; empty if it is."""
        owner = owner or _NOBODY
        span = slice(first // _BLOCK, -(-end // _BLOCK))
        owners = self._owners[span]
        if (owners == owner).all():
            return ""
        if not owners.all():
            return "before it is written"
        others = (owners != owner) & (owners != _NOBODY)
        if owner == _NOBODY or not others.any():
            return ""
        place = first // _BLOCK + int(others.argmax())
        pipe = int(self._writes[:, place].argmax())
        number = int(self._writes[pipe, place])
        line = self._lines.get((list(Pipe)[pipe], number))
        return f"although another buffer overwrote it at {line}"


class Ranges:
    """The accesses to the user's arrays, by address, within one program of the grid."""

    def __init__(self, pipes: frozenset[Pipe]) -> None:
        self._pipes = [_PIPES[pipe] for pipe in pipes]  # those that access the arrays
        self._rows = np.zeros((64, 5), np.int64)  # pipe, step, first, end, writes
        self._lines: list[Location] = []

    def touch(
        self, order: Order, pipe: Pipe, first: int, end: int, writes: bool, line: Location
    ) -> tuple[Pipe, str, Location] | None:
        """Notes an access; (pipe, what it did, its line) of an earlier one that is not ordered."""
        number = _PIPES[pipe]
        rows = self._rows[: len(self._lines)]
        late = rows[:, 1] > order.known[number][rows[:, 0]]
        late &= (rows[:, 2] < end) & (rows[:, 3] > first)
        if not writes:
            late &= rows[:, 4] != 0
        found = None
        if late.any():
            place = int(late.argmax())
            verb = "writes" if rows[place, 4] else "reads"
            found = list(Pipe)[int(rows[place, 0])], verb, self._lines[place]
        if len(self._lines) == len(self._rows):
            self._shrink(order)
        self._rows[len(self._lines)] = number, order.steps[number], first, end, writes
        self._lines.append(line)
        return found

    def _shrink(self, order: Order) -> None:
        """Forgets what all pipes know to be done; of the rest, at most the newest thousands."""
        rows = self._rows
        known = order.known[self._pipes].min(axis=0)
        kept = np.flatnonzero(rows[:, 1] > known[rows[:, 0]])[-_MOST_RANGES:]
        self._rows = np.zeros((max(64, 2 * len(kept)), 5), np.int64)
        self._rows[: len(kept)] = rows[kept]
        self._lines = [self._lines[place] for place in kept]
