"""Ops of programs that wait for each other, or that run one block together.

A block may be run by several programs, its members: each runs some of its threads, all see the
block's memory and meet at its barriers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from canopy.ir.core import Op, Value
from canopy.ir.memory import Ordering
from canopy.ir.types import I32, SHARED_PTR, Type

__all__ = ["Arrive", "BlockMemory", "Fence", "GridBarrier", "Meet", "MemberId", "Pause"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Fence(Ordering):
    """Other programs see the memory effects before it before those after it."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pause(Ordering):
    """Lets other programs run: for loops that wait for what they write."""


@dataclass(frozen=True, eq=False, kw_only=True)
class GridBarrier(Ordering):
    """Waits until all programs of the grid are here."""


@dataclass(frozen=True, eq=False, kw_only=True)
class MemberId(Op):
    """Which member of its block this program is; each runs ``lanes`` threads of it."""

    lanes: int

    def result_types(self) -> tuple[Type, ...]:
        return (I32,)


@dataclass(frozen=True, eq=False, kw_only=True)
class BlockMemory(Op):
    """A pointer to ``bytes`` of memory, the block's number ``index``, that its members share."""

    index: int
    bytes: int

    def result_types(self) -> tuple[Type, ...]:
        return (SHARED_PTR,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Meet(Ordering):
    """Waits at a barrier of the block, 0 to 15, for members with ``threads`` threads (0: for all
    that have not ended); gives the sum, the minimum or the maximum of their values."""

    barrier: Value
    threads: Value
    value: Value
    combine: Literal["add", "min", "max"] = "add"

    def result_types(self) -> tuple[Type, ...]:
        return (I32,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Arrive(Ordering):
    """Counts as a member that has come to a barrier, as in `Meet`, and does not wait."""

    barrier: Value
    threads: Value
