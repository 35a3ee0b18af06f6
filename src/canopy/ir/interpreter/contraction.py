"""Rules of the ops that combine lanes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from canopy.ir.contraction import AnyLane, Dot, Reduce, Scan
from canopy.ir.control import Yield
from canopy.ir.core import Region
from canopy.ir.elementwise import (
    Binary,
    Bitcast,
    Cast,
    Clamp,
    Compare,
    Constant,
    Fma,
    MathCall,
    Select,
)
from canopy.ir.interpreter.machine import Machine, rule
from canopy.ir.interpreter.numeric import Array, round_float
from canopy.ir.types import element_type, is_float

Lanes = tuple[Array, ...]


@rule(Dot)
def _dot(machine: Machine, op: Dot) -> Array:
    """Floats accumulate in float64 and are rounded once to the type of acc, whatever ``precision``
    permits; integers are exact and wrap around."""
    lhs, rhs, acc = machine.all_of((op.lhs, op.rhs, op.acc))
    if is_float(op.acc.type):
        total = acc.astype(np.float64) + lhs.astype(np.float64) @ rhs.astype(np.float64)
        return round_float(total, element_type(op.acc.type))
    wide = acc.astype(np.int64) + lhs.astype(np.int64) @ rhs.astype(np.int64)
    return wide.astype(acc.dtype)


@rule(AnyLane)
def _any_lane(machine: Machine, op: AnyLane) -> Array:
    return np.asarray(machine[op.source].any())


@rule(Reduce)
def _reduce(machine: Machine, op: Reduce) -> Lanes:
    """Pairwise: neighbours first, so that the order of lanes is kept and errors stay small."""
    lanes = _axis_first(machine, op)
    combine = _combiner(machine, op.combine)
    while (count := lanes[0].shape[0]) > 1:
        even = count // 2 * 2
        paired = combine(tuple(x[0:even:2] for x in lanes), tuple(x[1:even:2] for x in lanes))
        if even < count:
            paired = tuple(np.concatenate([p, x[-1:]]) for p, x in zip(paired, lanes, strict=True))
        lanes = paired
    return tuple(np.asarray(x[0]) for x in lanes)


@rule(Scan)
def _scan(machine: Machine, op: Scan) -> Lanes:
    """Step by doubling distances (Hillis and Steele): log2(n) evaluations of the region."""
    lanes = _axis_first(machine, op)
    if op.reverse:
        lanes = tuple(x[::-1] for x in lanes)
    combine = _combiner(machine, op.combine)
    distance = 1
    while distance < lanes[0].shape[0]:
        joined = combine(tuple(x[:-distance] for x in lanes), tuple(x[distance:] for x in lanes))
        lanes = tuple(np.concatenate([x[:distance], j]) for x, j in zip(lanes, joined, strict=True))
        distance *= 2
    if op.reverse:
        lanes = tuple(x[::-1] for x in lanes)
    return tuple(np.moveaxis(x, 0, op.axis) for x in lanes)


def _axis_first(machine: Machine, op: Reduce | Scan) -> Lanes:
    return tuple(np.moveaxis(x, op.axis, 0) for x in machine.all_of(op.sources))


_LANE_BY_LANE = (*(Binary, Bitcast, Cast, Clamp, Compare, Constant, Fma, MathCall, Select, Yield),)


def _combiner(machine: Machine, region: Region) -> Callable[[Lanes, Lanes], Lanes]:
    """The region as a function of arrays of lanes: all at once where its ops are elementwise."""
    if all(isinstance(op, _LANE_BY_LANE) for op in region.ops):
        return lambda a, b: _broadcast_like(machine.run_region(region, (*a, *b)), a)
    return lambda a, b: _one_by_one(machine, region, a, b)


def _broadcast_like(yielded: Lanes, like: Lanes) -> Lanes:
    """A region may yield a constant, which has no lanes of its own."""
    return tuple(np.broadcast_to(y, x.shape) for y, x in zip(yielded, like, strict=True))


def _one_by_one(machine: Machine, region: Region, a: Lanes, b: Lanes) -> Lanes:
    outputs = tuple(np.empty_like(x) for x in a)
    for lane in np.ndindex(a[0].shape):
        arguments = tuple(np.asarray(x[lane]) for x in (*a, *b))
        for output, value in zip(outputs, machine.run_region(region, arguments), strict=True):
            output[lane] = value
    return outputs
