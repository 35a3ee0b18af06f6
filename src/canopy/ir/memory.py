"""Ops that compute addresses, and that read and write memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

from canopy.ir.core import Op, Value
from canopy.ir.types import SHARED_PTR, ElementType, Type, with_element

__all__ = [
    "AtomicCas",
    "AtomicRmw",
    "Barrier",
    "Load",
    "Offset",
    "Ordering",
    "Scratch",
    "Store",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Offset(Op):
    """pointer + index * scale bytes; the index is sign-extended to 64 bits first (zero-extended if
    its type is unsigned)."""

    pointer: Value
    index: Value
    scale: int

    def result_types(self) -> tuple[Type, ...]:
        return (self.pointer.type,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Load(Op):
    """Reads an element of type ``type`` per lane where mask holds (all lanes if None), else
    ``other`` (an undefined value if None)."""

    has_side_effects: ClassVar[bool] = False  # but it is ordered with writes; see passes

    pointer: Value
    mask: Value | None = None
    other: Value | None = None
    type: ElementType
    volatile: bool = False

    def result_types(self) -> tuple[Type, ...]:
        return (with_element(self.pointer.type, self.type),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Store(Op):
    """Writes value to memory, lane by lane, where mask holds; of several lanes that write one
    address the highest wins."""

    has_side_effects: ClassVar[bool] = True

    pointer: Value
    value: Value
    mask: Value | None = None
    volatile: bool = False


@dataclass(frozen=True, eq=False, kw_only=True)
class AtomicRmw(Op):
    """Atomically sets memory to ``kind``(memory, value) where mask holds; gives the old value."""

    has_side_effects: ClassVar[bool] = True

    kind: Literal["add", "sub", "and", "or", "xor", "min", "max", "exchange", "inc", "dec"]
    pointer: Value
    value: Value
    mask: Value | None = None
    order: Literal["relaxed", "acquire", "release", "acq_rel"] = "acq_rel"

    def result_types(self) -> tuple[Type, ...]:
        return (self.value.type,)


@dataclass(frozen=True, eq=False, kw_only=True)
class AtomicCas(Op):
    """Atomically writes value where memory equals compare, bit by bit, and gives the old value."""

    has_side_effects: ClassVar[bool] = True

    pointer: Value
    compare: Value
    value: Value
    mask: Value | None = None
    order: Literal["relaxed", "acquire", "release", "acq_rel"] = "acq_rel"

    def result_types(self) -> tuple[Type, ...]:
        return (self.value.type,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scratch(Op):
    """A pointer to ``bytes`` of memory that are this program's alone (CUDA's shared memory)."""

    bytes: int
    alignment: int = 16

    def result_types(self) -> tuple[Type, ...]:
        return (SHARED_PTR,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Ordering(Op):
    """Base of ops that no memory operation moves across."""

    has_side_effects: ClassVar[bool] = True


@dataclass(frozen=True, eq=False, kw_only=True)
class Barrier(Ordering):
    """All lanes' memory effects before it happen before those after it."""
