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

__all__ = ["Hazard", "History", "Order"]

_BLOCK = 32
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

    def step(self, pipe: Pipe) -> int:
        number = _PIPES[pipe]
        self.steps[number] += 1
        self.known[number, number] = self.steps[number]
        return self.steps[number]

    def set(self, source: Pipe, target: Pipe, event: int) -> bool:
        """False if the event was set already."""
        key = (source, target, event)
        is_new = key not in self.signals
        self.signals[key] = self.known[_PIPES[source]].copy()
        return is_new

    def wait(self, source: Pipe, target: Pipe, event: int) -> bool:
        """False if nothing sets the event."""
        told = self.signals.pop((source, target, event), None)
        if told is None:
            return False
        number = _PIPES[target]
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
        self._lines: dict[tuple[Pipe, int], Location] = {}

    def grow(self, size: int) -> None:
        missing = -(-size // _BLOCK) - self._writes.shape[1]
        if missing > 0:
            more = np.zeros((len(Pipe), missing + 1024), np.int32)
            self._writes = np.concatenate([self._writes, more], axis=1)
            self._reads = np.concatenate([self._reads, more], axis=1)

    def touch(
        self,
        order: Order,
        pipe: Pipe,
        step: int,
        first: int,
        end: int,
        writes: bool,
        instruction: Instruction,
    ) -> tuple[Pipe, str, Location] | None:
        """Notes an access; (pipe, what it did, its line) of an earlier one that is not ordered."""
        span = slice(first // _BLOCK, -(-end // _BLOCK))
        number = _PIPES[pipe]
        known = order.known[number]
        found = self._unordered(self._writes[:, span], known, "writes")
        if found is None and writes:
            found = self._unordered(self._reads[:, span], known, "reads")
        (self._writes if writes else self._reads)[number, span] = step
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

    def is_written(self, first: int, end: int) -> bool:
        """Whether every block of a span was written before."""
        span = slice(first // _BLOCK, -(-end // _BLOCK))
        return bool(self._writes[:, span].max(axis=0).all())
