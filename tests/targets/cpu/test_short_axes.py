"""Short axes, which one strip walks together: flips, pairs, halves, beside the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from canopy import ir
from canopy.ir import Value
from canopy.ir.types import BOOL, F16, F32, F64, I8, I16, I32, I64, PTR, ScalarType, TileType
from canopy.passes.simplify import simplify
from tests.fuzz.differential import compare
from tests.targets.cpu.test_against_interpreter import Emitter, check, kernel_of, name_of, numbers

ELEMENTS = (BOOL, I8, I16, I32, I64, F16, F32, F64)
SHAPES: tuple[tuple[int, ...], ...] = (
    *((2,), (8,), (2, 2), (4, 2), (2, 2, 2, 2), (2,) * 8, (2,) * 10, (16, 2), (128, 2)),
    *((3, 2), (5, 2, 2), (2, 4, 2, 4), (4, 64), (2, 128, 2), (1, 2, 1, 2, 64), (64, 4), (7, 4)),
)


@pytest.mark.parametrize("element", ELEMENTS, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def test_flips(element: ScalarType, shape: tuple[int, ...]) -> None:
    type_ = TileType(shape, element)

    def build(b: Emitter, x: Value) -> Any:
        found = [b.add(ir.Flip, source=x, axis=axis) for axis in range(len(shape))]
        turned = x
        for axis in range(len(shape)):
            turned = b.add(ir.Flip, source=turned, axis=axis)
        flat = b.add(ir.Reshape, source=turned, shape=(type_.size,))
        return (*found, turned, flat)

    check(build, (numbers(type_), type_))


@pytest.mark.parametrize("element", [I16, I32, F32, F64], ids=str)
@pytest.mark.parametrize("shape", [s for s in SHAPES if 2 in s], ids=name_of)
def test_exchanges(element: ScalarType, shape: tuple[int, ...]) -> None:
    """The larger of each pair to one side, axis after axis, as a sorting network does."""
    type_ = TileType(shape, element)

    def build(b: Emitter, x: Value) -> Any:
        for axis in [axis for axis, extent in enumerate(shape) if extent == 2]:
            lanes = b.add(ir.Range, start=0, end=2)
            for other in range(len(shape)):
                if other != axis:
                    lanes = b.add(ir.ExpandDims, source=lanes, axis=other)
            side = b.add(ir.Broadcast, source=lanes, shape=shape)
            zero = b.constant(0, side.type)
            upper = b.add(ir.Compare, predicate="ne", lhs=side, rhs=zero)
            partner = b.add(ir.Flip, source=x, axis=axis)
            above = b.add(ir.Compare, predicate="gt", lhs=x, rhs=partner)
            moves = b.add(ir.Compare, predicate="ne", lhs=above, rhs=upper)
            x = b.add(ir.Select, condition=moves, if_true=partner, if_false=x)
        return x

    check(build, (numbers(type_), type_))


@pytest.mark.parametrize("shape", [s for s in SHAPES if 2 in s and len(s) > 1], ids=name_of)
def test_reductions_of_two_lanes(shape: tuple[int, ...]) -> None:
    type_ = TileType(shape, I32)
    axes = [axis for axis, extent in enumerate(shape) if extent == 2]

    def larger(b: Emitter, a: Value, i: Value, c: Value, j: Value) -> Any:
        wins = b.add(ir.Compare, predicate="ge", lhs=a, rhs=c)
        return (
            b.add(ir.Select, condition=wins, if_true=a, if_false=c),
            b.add(ir.Select, condition=wins, if_true=i, if_false=j),
        )

    def build(b: Emitter, x: Value, y: Value) -> Any:
        found: list[Value] = []
        for axis in axes:
            combine = b.function((I32, I32), lambda b, a, c: b.add(ir.Sub, lhs=a, rhs=c))
            found += b.effect(ir.Reduce, sources=(x,), axis=axis, combine=combine).results
            pairs = b.function((I32, I32, I32, I32), larger)
            found += b.effect(ir.Reduce, sources=(x, y), axis=axis, combine=pairs).results
        total = x
        for axis in reversed(axes[1:]):
            combine = b.function((I32, I32), lambda b, a, c: b.add(ir.Xor, lhs=a, rhs=c))
            total = b.add(ir.Reduce, sources=(total,), axis=axis, combine=combine)
        return (*found, total)

    check(build, (numbers(type_), type_), (numbers(type_), type_))


@pytest.mark.parametrize("element", [I8, I32, F64], ids=str)
@pytest.mark.parametrize("rows", [2, 8, 37, 128])
@pytest.mark.parametrize("columns", [2, 4])
def test_narrow_tiles_in_memory(element: ScalarType, rows: int, columns: int) -> None:
    """Row-major, transposed and flipped accesses to a tile with a short last axis, masked too."""
    shape = (rows, columns)

    def build(b: Emitter, source: Value, target: Value) -> None:
        row = b.add(ir.ExpandDims, source=b.add(ir.Range, start=0, end=rows), axis=1)
        row = b.add(ir.Broadcast, source=row, shape=shape)
        column = b.add(ir.ExpandDims, source=b.add(ir.Range, start=0, end=columns), axis=0)
        column = b.add(ir.Broadcast, source=column, shape=shape)

        def at(pointer: Value, first: Value, extent: int, second: Value) -> Value:
            wide = b.constant(extent, row.type)
            index = b.add(ir.Add, lhs=b.add(ir.Mul, lhs=first, rhs=wide), rhs=second)
            base = b.add(ir.Splat, source=pointer, shape=shape)
            return b.add(ir.Offset, pointer=base, index=index, scale=element.bytes)

        limit = b.constant(rows - 1, row.type)
        mask = b.add(ir.Compare, predicate="lt", lhs=row, rhs=limit)
        straight = b.add(ir.Load, pointer=at(source, row, columns, column), type=element)
        turned = b.add(ir.Load, pointer=at(source, column, rows, row), type=element)
        last = b.constant(columns - 1, row.type)
        backwards = b.add(ir.Sub, lhs=last, rhs=column)
        total = b.add(ir.Add, lhs=straight, rhs=b.add(ir.Flip, source=turned, axis=1))
        b.effect(ir.Store, pointer=at(target, row, columns, column), value=total, mask=mask)
        one = b.constant(1, I32)
        behind = b.add(ir.Offset, pointer=target, index=one, scale=type_.size * element.bytes)
        b.effect(ir.Store, pointer=at(behind, row, columns, backwards), value=total)

    type_ = TileType(shape, element)
    kernel = kernel_of([PTR, PTR], build)
    source = numbers(type_)
    compare(kernel, [source, np.zeros(2 * type_.size, source.dtype)])


def test_an_exchange_by_xor_is_a_flip() -> None:
    def build(b: Emitter, pointer: Value) -> Any:
        x = b.add(ir.Bitcast, source=b.load(pointer, TileType((2, 2, 4), F32)), type=I32)
        for axis in (0, 2):
            combine = b.function((I32, I32), lambda b, a, c: b.add(ir.Xor, lhs=a, rhs=c))
            folded = b.add(ir.Reduce, sources=(x,), axis=axis, combine=combine)
            folded = b.add(ir.ExpandDims, source=folded, axis=axis)
            spread = b.add(ir.Broadcast, source=folded, shape=(2, 2, 4))
            b.store(pointer, b.add(ir.Xor, lhs=x, rhs=spread))

    flips = [
        op for op in ir.walk(simplify(kernel_of([PTR], build)).body.ops) if type(op) is ir.Flip
    ]
    assert [flip.axis for flip in flips] == [0]  # the other axis has an extent of 4
