"""Verifier rules of the ops in `canopy.ir.shape`."""

from __future__ import annotations

from canopy.ir.shape import (
    Broadcast,
    Concat,
    ExpandDims,
    Flip,
    Gather,
    Histogram,
    Join,
    Range,
    Reshape,
    Splat,
    Split,
    Transpose,
    Unsplat,
)
from canopy.ir.types import BOOL, TileType, is_integer
from canopy.ir.verifier.table import (
    a_tile,
    an_axis,
    fitting_mask,
    of_kind,
    one_element,
    one_type,
    require,
    rule,
)


@rule(Range)
def _range(op: Range) -> None:
    require(op, op.start < op.end, f"{op.start}..{op.end} is empty")
    require(op, is_integer(op.type), f"gives integers, not {op.type}")
    signed = 1 if op.type.kind == "int" else 0
    top = 1 << (op.type.bits - signed)
    require(
        op, -top * signed <= op.start and op.end <= top, f"{op.start}..{op.end} leaves {op.type}"
    )


@rule(Splat)
def _splat(op: Splat) -> None:
    require(op, not op.source.is_tile, f"needs a scalar, got {op.source.type}")


@rule(Unsplat)
def _unsplat(op: Unsplat) -> None:
    a_tile(op, op.source)
    one = isinstance(op.source.type, TileType) and op.source.type.size == 1
    require(op, one, f"needs a tile of one lane, got {op.source.type}")


@rule(Broadcast)
def _broadcast(op: Broadcast) -> None:
    a_tile(op, op.source)
    source = op.source.shape
    fits = len(source) == len(op.shape) and all(
        have in (1, want) for have, want in zip(source, op.shape, strict=True)
    )
    require(
        op,
        fits,
        f"cannot take {op.source.type} to the shape {op.shape}",
        "axes of extent 1 are repeated, all others stay; add axes with expand_dims",
    )


@rule(ExpandDims)
def _expand_dims(op: ExpandDims) -> None:
    a_tile(op, op.source)
    an_axis(op, op.axis, len(op.source.shape) + 1)


@rule(Flip)
def _flip(op: Flip) -> None:
    a_tile(op, op.source)
    an_axis(op, op.axis, len(op.source.shape))


@rule(Reshape)
def _reshape(op: Reshape) -> None:
    a_tile(op, op.source)
    size = TileType(op.shape, BOOL).size
    same = isinstance(op.source.type, TileType) and op.source.type.size == size
    require(op, same, f"cannot take {op.source.type} to the shape {op.shape}: sizes differ")


@rule(Transpose)
def _transpose(op: Transpose) -> None:
    a_tile(op, op.source)
    axes = list(range(len(op.source.shape)))
    require(op, sorted(op.order) == axes, f"has the order {op.order} for {op.source.type}")


@rule(Concat)
def _concat(op: Concat) -> None:
    a_tile(op, op.lhs)
    a_tile(op, op.rhs)
    one_element(op, op.lhs, op.rhs)
    rank = len(op.lhs.shape) == len(op.rhs.shape)
    fits = rank and op.lhs.shape[1:] == op.rhs.shape[1:]
    require(op, fits, f"needs equal axes but for the first, got {op.lhs.type} and {op.rhs.type}")


@rule(Join)
def _join(op: Join) -> None:
    one_type(op, op.lhs, op.rhs)


@rule(Split)
def _split(op: Split) -> None:
    a_tile(op, op.source)
    require(op, op.source.shape[-1] == 2, f"needs a last axis of extent 2, got {op.source.type}")


@rule(Gather)
def _gather(op: Gather) -> None:
    a_tile(op, op.source)
    a_tile(op, op.indices)
    of_kind(op, op.indices, is_integer, "integer indices")
    source, indices = op.source.shape, op.indices.shape
    an_axis(op, op.axis, len(source))
    fits = len(source) == len(indices) and all(
        axis == op.axis or have == want
        for axis, (have, want) in enumerate(zip(source, indices, strict=True))
    )
    require(op, fits, f"needs equal axes but for {op.axis}, got {source} and {indices}")


@rule(Histogram)
def _histogram(op: Histogram) -> None:
    a_tile(op, op.source)
    of_kind(op, op.source, is_integer, "integers")
    fitting_mask(op, op.mask, op.source)
    require(op, op.bins >= 1, f"has {op.bins} bins")
