"""Ops that make tiles and change their shape; they move lanes and compute nothing."""

from __future__ import annotations

from dataclasses import dataclass

from canopy.ir.core import Op, Value
from canopy.ir.types import I32, ElementType, ScalarType, TileType, Type, element_type

__all__ = [
    "Broadcast",
    "Concat",
    "ExpandDims",
    "Flip",
    "Gather",
    "Histogram",
    "Join",
    "Range",
    "Reshape",
    "Splat",
    "Split",
    "Transpose",
    "Unsplat",
]


@dataclass(frozen=True, eq=False, kw_only=True)
class Range(Op):
    """The integers start .. end-1 as a tile of one dimension."""

    start: int
    end: int
    type: ScalarType = I32

    def result_types(self) -> tuple[Type, ...]:
        return (TileType((self.end - self.start,), self.type),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Splat(Op):
    """A tile whose lanes all hold the scalar source."""

    source: Value
    shape: tuple[int, ...]

    def result_types(self) -> tuple[Type, ...]:
        return (TileType(self.shape, _element(self.source)),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Unsplat(Op):
    """The one lane of a tile of size 1, as a scalar."""

    source: Value

    def result_types(self) -> tuple[Type, ...]:
        return (_element(self.source),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Broadcast(Op):
    """source repeated along its axes of extent 1 to the given shape of the same rank."""

    source: Value
    shape: tuple[int, ...]

    def result_types(self) -> tuple[Type, ...]:
        return (TileType(self.shape, _element(self.source)),)


@dataclass(frozen=True, eq=False, kw_only=True)
class ExpandDims(Op):
    """source with a new axis of extent 1 before ``axis``."""

    source: Value
    axis: int

    def result_types(self) -> tuple[Type, ...]:
        shape = self.source.shape
        return (TileType((*shape[: self.axis], 1, *shape[self.axis :]), _element(self.source)),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Reshape(Op):
    """The lanes of source, in row-major order, under another shape of equal size."""

    source: Value
    shape: tuple[int, ...]

    def result_types(self) -> tuple[Type, ...]:
        return (TileType(self.shape, _element(self.source)),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Transpose(Op):
    """Axes permuted: axis i of the result is axis order[i] of source."""

    source: Value
    order: tuple[int, ...]

    def result_types(self) -> tuple[Type, ...]:
        shape = self.source.shape
        return (TileType(tuple(shape[axis] for axis in self.order), _element(self.source)),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Flip(Op):
    """source with the lanes along ``axis`` in reverse order."""

    source: Value
    axis: int

    def result_types(self) -> tuple[Type, ...]:
        return (self.source.type,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Concat(Op):
    """rhs after lhs along the first axis."""

    lhs: Value
    rhs: Value

    def result_types(self) -> tuple[Type, ...]:
        left, right = self.lhs.shape, self.rhs.shape
        return (TileType((left[0] + right[0], *left[1:]), _element(self.lhs)),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Join(Op):
    """lhs and rhs side by side along a new last axis of extent 2; scalars give shape (2,)."""

    lhs: Value
    rhs: Value

    def result_types(self) -> tuple[Type, ...]:
        return (TileType((*self.lhs.shape, 2), _element(self.lhs)),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Split(Op):
    """The two halves of a tile whose last axis has extent 2: [..., 0] and [..., 1]."""

    source: Value

    def result_types(self) -> tuple[Type, ...]:
        shape = self.source.shape[:-1]
        half: Type = TileType(shape, _element(self.source)) if shape else _element(self.source)
        return (half, half)


@dataclass(frozen=True, eq=False, kw_only=True)
class Gather(Op):
    """result[..., i, ...] = source[..., indices[..., i, ...], ...] along ``axis``; the other axes
    of source and indices are equal, and every index lies inside the axis."""

    source: Value
    indices: Value
    axis: int

    def result_types(self) -> tuple[Type, ...]:
        return (TileType(self.indices.shape, _element(self.source)),)


@dataclass(frozen=True, eq=False, kw_only=True)
class Histogram(Op):
    """Counts, as i32, of the integers 0 .. bins-1 in source; masked-off lanes do not count."""

    source: Value
    mask: Value | None
    bins: int

    def result_types(self) -> tuple[Type, ...]:
        return (TileType((self.bins,), I32),)


def _element(value: Value) -> ElementType:
    return element_type(value.type)
