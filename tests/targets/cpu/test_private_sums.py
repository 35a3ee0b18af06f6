"""Additions that every program makes to the same places, beside the interpreter."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from canopy import ir
from canopy.ir import Value
from canopy.ir.types import BOOL, F32, F64, I32, I64, PTR, U32, ScalarType, TileType
from canopy.passes import pipeline
from canopy.passes.memory import Bases
from canopy.targets.cpu.plan import KernelPlan
from canopy.targets.cpu.private_sums import find_private_sums
from tests.fuzz.differential import compare
from tests.targets.cpu.test_against_interpreter import Build, Emitter, kernel_of, name_of, numbers

PROGRAMS = 13


def program_tile(b: Emitter, pointer: Value, type_: TileType) -> Value:
    """What the program loads: its part of an array."""
    size = b.constant(type_.size, I32)
    start = b.add(ir.Mul, lhs=b.add(ir.ProgramId, axis=0), rhs=size)
    place = b.add(ir.Offset, pointer=pointer, index=start, scale=type_.element.bytes)
    return b.load(place, type_)


def add_to(b: Emitter, pointer: Value, value: Value, **fields: Any) -> Value:
    place = b.lanes(pointer, value.type)
    return b.add(ir.AtomicRmw, kind="add", pointer=place, value=value, **fields)


def private_count(build: Build, parameters: int) -> int:
    kernel = pipeline.run(kernel_of([PTR] * parameters, build))
    plan = KernelPlan.of(kernel, Bases(kernel), disjoint=True)
    return len(find_private_sums(kernel, plan))


def check(build: Build, private: int, *arrays: np.ndarray, tolerance: float = 0.0) -> None:
    assert private_count(build, len(arrays)) == private
    kernel = kernel_of([PTR] * len(arrays), build)
    compare(kernel, list(arrays), (PROGRAMS,), tolerance=tolerance)


@pytest.mark.parametrize("element", [I32, U32, I64, F32, F64], ids=str)
@pytest.mark.parametrize("shape", [(1,), (7,), (64,), (250,), (3, 5), (16, 2)], ids=name_of)
def test_tiles(element: ScalarType, shape: tuple[int, ...]) -> None:
    type_ = TileType(shape, element)

    def build(b: Emitter, source: Value, mask: Value, first: Value, second: Value) -> None:
        value = program_tile(b, source, type_)
        add_to(b, first, value)
        on = b.add(ir.Compare, predicate="gt", lhs=value, rhs=b.constant(1, value.type))
        add_to(b, second, b.add(ir.Add, lhs=value, rhs=value), mask=on)
        add_to(b, second, value)

    source = numbers(TileType((PROGRAMS, *shape), element), -8, 8)
    start = numbers(type_, -8, 8)
    # the mask of the second depends on the program's data
    check(build, 2, source, np.zeros(1, np.int8), start, start.copy())


@pytest.mark.parametrize("element", [I32, I64, F32], ids=str)
def test_scalars_and_constant_masks(element: ScalarType) -> None:
    type_ = TileType((32,), element)

    def build(b: Emitter, source: Value, total: Value, sums: Value) -> None:
        value = program_tile(b, source, type_)
        combine = b.function((element, element), lambda b, x, y: b.add(ir.Add, lhs=x, rhs=y))
        add_to(b, total, b.add(ir.Reduce, sources=(value,), axis=0, combine=combine))
        lanes = b.add(ir.Range, start=0, end=32)
        some = b.add(ir.Compare, predicate="lt", lhs=lanes, rhs=b.constant(11, lanes.type))
        add_to(b, sums, value, mask=some)

    source = numbers(TileType((PROGRAMS, 32), element), -8, 8)
    start = numbers(type_, -8, 8)
    check(build, 2, source, np.ones(1, start.dtype), start)


def test_lanes_that_meet() -> None:
    type_ = TileType((40,), I32)

    def build(b: Emitter, source: Value, totals: Value) -> None:
        value = program_tile(b, source, type_)
        lanes = b.add(ir.Range, start=0, end=40)
        index = b.add(ir.Rem, lhs=lanes, rhs=b.constant(3, lanes.type))
        base = b.add(ir.Splat, source=totals, shape=(40,))
        place = b.add(ir.Offset, pointer=base, index=index, scale=4)
        b.add(ir.AtomicRmw, kind="add", pointer=place, value=value)

    check(build, 1, numbers(TileType((PROGRAMS, 40), I32), -8, 8), np.zeros(3, np.int32))


def test_sums_that_others_may_see_are_not_private() -> None:
    type_ = TileType((16,), I32)

    def reads(b: Emitter, source: Value, totals: Value, out: Value) -> None:
        add_to(b, totals, program_tile(b, source, type_))
        b.store(out, b.load(totals, type_))

    def counts(b: Emitter, source: Value, totals: Value, out: Value) -> None:
        add_to(b, totals, program_tile(b, source, type_))
        b.store(out, add_to(b, b.add(ir.Offset, pointer=out, index=b.constant(1, I32), scale=64),
                            b.constant(1, I32)))  # fmt: skip

    def moves(b: Emitter, source: Value, totals: Value, out: Value) -> None:
        index = b.add(ir.ProgramId, axis=0)
        place = b.add(ir.Offset, pointer=totals, index=index, scale=4)
        add_to(b, place, program_tile(b, source, type_))

    def chosen(b: Emitter, source: Value, totals: Value, out: Value) -> None:
        mask = b.load(out, TileType((16,), BOOL))
        add_to(b, totals, program_tile(b, source, type_), mask=mask)

    source = numbers(TileType((PROGRAMS, 16), I32), -8, 8)
    for build in (reads, counts, moves, chosen):
        check(build, 0, source, np.zeros(16 + PROGRAMS, np.int32), np.zeros(32, np.int32))
