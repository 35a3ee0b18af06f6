"""Reader rules: ranges, and operations that move lanes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy.frontends.triton.rules import reads
from canopy.frontends.triton.types import parse_type
from canopy.ir import (
    Broadcast,
    Concat,
    ExpandDims,
    Gather,
    Histogram,
    Join,
    Range,
    Reshape,
    Splat,
    Split,
    Transpose,
    Unsplat,
    Value,
)
from canopy.ir.types import shape_of

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__: list[str] = []


def _wanted_shape(op: Operation) -> tuple[int, ...]:
    return shape_of(parse_type(op.result_type))


@reads("tt.make_range")
def _range(reader: Reader, op: Operation) -> Value:
    return reader.add(Range, start=op.integer("start"), end=op.integer("end"))


@reads("tt.splat")
def _splat(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    return reader.add(Splat, source=source, shape=_wanted_shape(op))


@reads("tt.unsplat")
def _unsplat(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    return reader.add(Unsplat, source=source)


@reads("tt.broadcast")
def _broadcast(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    return reader.add(Broadcast, source=source, shape=_wanted_shape(op))


@reads("tt.expand_dims")
def _expand_dims(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    return reader.add(ExpandDims, source=source, axis=op.integer("axis"))


@reads("tt.reshape")
def _reshape(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    return reader.add(Reshape, source=source, shape=_wanted_shape(op))


@reads("tt.trans")
def _transpose(reader: Reader, op: Operation) -> Value:
    (source,) = reader.values(op)
    return reader.add(Transpose, source=source, order=op.integers("order"))


@reads("tt.cat")
def _concat(reader: Reader, op: Operation) -> Value:
    lhs, rhs = reader.values(op)
    return reader.add(Concat, lhs=lhs, rhs=rhs)


@reads("tt.join")
def _join(reader: Reader, op: Operation) -> Value:
    lhs, rhs = reader.values(op)
    return reader.add(Join, lhs=lhs, rhs=rhs)


@reads("tt.split")
def _split(reader: Reader, op: Operation) -> tuple[Value, ...]:
    (source,) = reader.values(op)
    return reader.build.effect(Split, source=source).results


@reads("tt.gather")
def _gather(reader: Reader, op: Operation) -> Value:
    source, indices = reader.values(op)
    return reader.add(Gather, source=source, indices=indices, axis=op.integer("axis"))


@reads("tt.histogram")
def _histogram(reader: Reader, op: Operation) -> Value:
    source, *mask = reader.values(op)
    (bins,) = _wanted_shape(op)
    return reader.add(Histogram, source=source, mask=mask[0] if mask else None, bins=bins)
