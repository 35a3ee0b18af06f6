"""Verifier rules of the ops in `canopy.ir.contraction`."""

from __future__ import annotations

from canopy.ir.contraction import AnyLane, Dot, Reduce, Scan
from canopy.ir.types import element_type, is_bool, is_float, is_integer
from canopy.ir.verifier.table import (
    a_tile,
    an_axis,
    of_kind,
    region_arguments,
    region_yields,
    require,
    rule,
    same_shape,
)


@rule(Dot)
def _dot(op: Dot) -> None:
    lhs, rhs, acc = op.lhs.shape, op.rhs.shape, op.acc.shape
    ranks = len(lhs) == len(rhs) == len(acc) and len(lhs) in (2, 3)
    types = f"{op.lhs.type} @ {op.rhs.type} + {op.acc.type}"
    require(op, ranks, f"needs tiles of 2 or 3 dimensions, got {types}")
    fits = lhs[-1] == rhs[-2] and acc[-2:] == (lhs[-2], rhs[-1])
    require(op, fits and lhs[:-2] == rhs[:-2] == acc[:-2], f"has shapes that do not fit: {types}")
    values = (op.lhs, op.rhs, op.acc)
    floats = all(is_float(value.type) for value in values)
    integers = all(is_integer(value.type) for value in values)
    require(op, floats or integers, f"needs floats or integers throughout, got {types}")


@rule(AnyLane)
def _any_lane(op: AnyLane) -> None:
    a_tile(op, op.source)
    of_kind(op, op.source, is_bool, "a bool tile")


@rule(Reduce, Scan)
def _combining(op: Reduce | Scan) -> None:
    require(op, bool(op.sources), "needs a source")
    for source in op.sources:
        a_tile(op, source)
    same_shape(op, *op.sources)
    an_axis(op, op.axis, len(op.sources[0].shape))
    elements = tuple(element_type(source.type) for source in op.sources)
    region_arguments(op, "combine", op.combine, elements * 2)
    region_yields(op, "combine", op.combine, elements)
