"""NPU programs: what one vector core does for the tile programs that the folded grid gives it.

Copies, vector instructions and events on three pipes that run side by side; order between pipes
comes from events alone. The core runs ``prologue``, then ``trips[k % 2]`` for its k-th tile program
(buffers and events alternate), then ``epilogue``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from canopy.errors import UNKNOWN_LOCATION, Location
from canopy.ir.types import ScalarType

__all__ = [
    "Argument",
    "Buffer",
    "Combined",
    "CopyIn",
    "CopyOut",
    "GridExtent",
    "Instruction",
    "Number",
    "Pipe",
    "Program",
    "ProgramIndex",
    "Scalar",
    "SetEvent",
    "Vector",
    "WaitEvent",
]


class Pipe(Enum):
    """MTE2 copies in, V computes, MTE3 copies out."""

    MTE2 = "MTE2"
    V = "V"
    MTE3 = "MTE3"


# ---- scalars, computed by the scalar unit ahead of the instruction that needs them


@dataclass(frozen=True, slots=True)
class Number:
    value: int | float


@dataclass(frozen=True, slots=True)
class Argument:
    """A scalar argument of the launch, by position."""

    index: int


@dataclass(frozen=True, slots=True)
class ProgramIndex:
    axis: int


@dataclass(frozen=True, slots=True)
class GridExtent:
    axis: int


@dataclass(frozen=True, slots=True)
class Combined:
    """``function`` (add, sub, mul, div, rem, min, max) of two scalars."""

    function: str
    lhs: Scalar
    rhs: Scalar


Scalar = Number | Argument | ProgramIndex | GridExtent | Combined


# ---- instructions


@dataclass(frozen=True, slots=True)
class Buffer:
    """``lanes`` elements in the unified buffer, from byte ``address``."""

    name: str
    address: int
    lanes: int
    type: ScalarType

    @property
    def bytes(self) -> int:
        return self.lanes * self.type.bytes

    @property
    def end(self) -> int:
        return self.address + self.bytes


@dataclass(frozen=True, kw_only=True, slots=True)
class Instruction:
    """Base of all; ``location`` is the user's line it was made from."""

    location: Location = UNKNOWN_LOCATION


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyIn(Instruction):
    """Copies ``count`` elements from argument ``source`` at ``offset_bytes`` into ``target``."""

    target: Buffer
    source: int
    offset_bytes: Scalar
    count: Scalar


@dataclass(frozen=True, kw_only=True, slots=True)
class CopyOut(Instruction):
    """Copies ``count`` elements of ``source`` to argument ``target`` at ``offset_bytes``."""

    source: Buffer
    target: int
    offset_bytes: Scalar
    count: Scalar


@dataclass(frozen=True, kw_only=True, slots=True)
class Vector(Instruction):
    """``function`` over all lanes of ``target``; a source of one block is repeated over the lanes.

    ``fill`` writes a scalar to the lanes from ``first`` on; ``reduce_*`` leave their result in
    every lane of a block.
    """

    function: str
    target: Buffer
    sources: tuple[Buffer | Scalar, ...]
    first: Scalar = field(default=Number(0))


@dataclass(frozen=True, kw_only=True, slots=True)
class SetEvent(Instruction):
    """``source`` tells ``target`` that all it was given before is done."""

    source: Pipe
    target: Pipe
    event: int


@dataclass(frozen=True, kw_only=True, slots=True)
class WaitEvent(Instruction):
    """``target`` waits for the event that ``source`` sets."""

    source: Pipe
    target: Pipe
    event: int


@dataclass(frozen=True, slots=True)
class Program:
    """One core's program; ``buffers`` are all that it places in the unified buffer."""

    name: str
    prologue: tuple[Instruction, ...]
    trips: tuple[tuple[Instruction, ...], tuple[Instruction, ...]]
    epilogue: tuple[Instruction, ...]
    buffers: tuple[Buffer, ...]
    location: Location = UNKNOWN_LOCATION
