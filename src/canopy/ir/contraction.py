"""Ops that combine lanes: dot, reduce, scan."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from canopy.ir.core import Op, Region, Value
from canopy.ir.types import BOOL, TileType, Type, element_type

__all__ = ["AnyLane", "Dot", "Reduce", "Scan"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Dot(Op):
    """lhs @ rhs + acc for tiles [M, K] @ [K, N] (or batched [B, M, K] @ [B, K, N]); products are
    exact and accumulated in the element type of acc."""

    lhs: Value
    rhs: Value
    acc: Value
    precision: Literal["ieee", "tf32", "tf32x3", "bf16x3", "bf16x6"] = "ieee"

    def result_types(self) -> tuple[Type, ...]:
        return (self.acc.type,)


@dataclass(frozen=True, eq=False, kw_only=True)
class Reduce(Op):
    """Combines the lanes along ``axis``, in any order, with the region (a0.., b0..) -> yields; one
    result per source, without the axis (a scalar for a source of one dimension)."""

    sources: tuple[Value, ...]
    axis: int
    combine: Region

    def result_types(self) -> tuple[Type, ...]:
        return tuple(self._reduced(source) for source in self.sources)

    def _reduced(self, source: Value) -> Type:
        shape = source.shape[: self.axis] + source.shape[self.axis + 1 :]
        element = element_type(source.type)
        return TileType(shape, element) if shape else element


@dataclass(frozen=True, eq=False, kw_only=True)
class Scan(Op):
    """Inclusive scan along ``axis`` with an associative region (a0.., b0..) -> yields, where a is
    the earlier part; from the end if ``reverse``."""

    sources: tuple[Value, ...]
    axis: int
    reverse: bool
    combine: Region

    def result_types(self) -> tuple[Type, ...]:
        return tuple(source.type for source in self.sources)


@dataclass(frozen=True, eq=False, kw_only=True)
class AnyLane(Op):
    """True if any lane of a bool tile is true."""

    source: Value

    def result_types(self) -> tuple[Type, ...]:
        return (BOOL,)
