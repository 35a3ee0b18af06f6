"""Rules of the ops that make tiles and change their shape."""

from __future__ import annotations

import numpy as np

from canopy.ir.interpreter.machine import Machine, rule
from canopy.ir.interpreter.numeric import Array, dtype_of
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


@rule(Range)
def _range(machine: Machine, op: Range) -> Array:
    return np.arange(op.start, op.end).astype(dtype_of(op.type))


@rule(Splat, Broadcast)
def _broadcast(machine: Machine, op: Splat | Broadcast) -> Array:
    return np.broadcast_to(machine[op.source], op.shape)


@rule(Unsplat)
def _unsplat(machine: Machine, op: Unsplat) -> Array:
    return machine[op.source].reshape(())


@rule(ExpandDims)
def _expand_dims(machine: Machine, op: ExpandDims) -> Array:
    return np.expand_dims(machine[op.source], op.axis)


@rule(Flip)
def _flip(machine: Machine, op: Flip) -> Array:
    return np.flip(machine[op.source], op.axis)


@rule(Reshape)
def _reshape(machine: Machine, op: Reshape) -> Array:
    return machine[op.source].reshape(op.shape)


@rule(Transpose)
def _transpose(machine: Machine, op: Transpose) -> Array:
    return np.transpose(machine[op.source], op.order)


@rule(Concat)
def _concat(machine: Machine, op: Concat) -> Array:
    return np.concatenate([machine[op.lhs], machine[op.rhs]])


@rule(Join)
def _join(machine: Machine, op: Join) -> Array:
    return np.stack([machine[op.lhs], machine[op.rhs]], axis=-1)


@rule(Split)
def _split(machine: Machine, op: Split) -> tuple[Array, ...]:
    source = machine[op.source]
    return np.asarray(source[..., 0]), np.asarray(source[..., 1])


@rule(Gather)
def _gather(machine: Machine, op: Gather) -> Array:
    source, indices = machine[op.source], machine[op.indices]
    extent = source.shape[op.axis]
    outside = (indices < 0) | (indices >= extent)
    if outside.any():
        raise machine.error(
            op,
            f"gather reads index {indices[outside][0]} of an axis of extent {extent}",
            "every index lies in 0 .. extent - 1, masked lanes included",
        )
    return np.take_along_axis(source, indices.astype(np.int64), axis=op.axis)


@rule(Histogram)
def _histogram(machine: Machine, op: Histogram) -> Array:
    source, mask = machine[op.source], machine.optional(op.mask)
    counted = (source >= 0) & (source < op.bins)
    if mask is not None:
        counted = counted & mask
    counts = np.bincount(source[counted].astype(np.int64).ravel(), minlength=op.bins)
    return counts.astype(np.int32)
