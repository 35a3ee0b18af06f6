"""Every elementwise op on every type as calls of the vector unit, against the interpreter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from canopy import ir
from canopy.errors import Location
from canopy.ir.interpreter import Interpreter
from canopy.ir.interpreter.numeric import dtype_of
from canopy.ir.types import (
    BF16,
    BOOL,
    F16,
    F32,
    I8,
    I16,
    I32,
    I64,
    PTR,
    U8,
    U16,
    U32,
    ScalarType,
)
from canopy.ir.verifier import verify
from canopy.targets.ascend import load_chip, lower_kernel, simulate
from canopy.targets.ascend.npu import LaneLoop, Program, walk

CHIP = load_chip("910b2")
FLOATS = (F32, F16, BF16)
INTEGERS = (I32, U32, I16, U16, I8, U8, I64)
Make = Callable[[ir.Builder, ir.Value, ir.Value], ir.Value]


def kernel(make: Make, shape: tuple[int, ...], kind: ScalarType, swap: bool) -> ir.Kernel:
    """out = make(x, y) on tiles; ``swap``: y has one lane per row, and is broadcast."""
    parameters = [ir.Value(PTR, name) for name in "xyo"]
    body = ir.Region()
    b = ir.Builder(body, Location("lanes.py", 1))

    def places(base: ir.Value, extents: tuple[int, ...], width: int) -> ir.Value:
        count = int(np.prod(extents))
        index = b.add(ir.Range, start=0, end=count)
        if len(extents) > 1:
            index = b.add(ir.Reshape, source=index, shape=extents)
        base = b.add(ir.Splat, source=base, shape=extents)
        return b.add(ir.Offset, pointer=base, index=index, scale=width)

    x = b.add(
        ir.Load, pointer=places(parameters[0], shape, kind.bytes), mask=None, other=None, type=kind
    )
    narrow = (*shape[:-1], 1) if swap else shape
    y = b.add(
        ir.Load, pointer=places(parameters[1], narrow, kind.bytes), mask=None, other=None, type=kind
    )
    if swap:
        y = b.add(ir.Broadcast, source=y, shape=shape)
    found = make(b, x, y)
    width = dtype_of(found.type).itemsize
    b.effect(ir.Store, pointer=places(parameters[2], shape, width), value=found, mask=None)
    made = ir.Kernel(
        "k", tuple(ir.Parameter(v, v.name) for v in parameters), body, Location("lanes.py", 1)
    )
    verify(made)
    return made


def data(kind: ScalarType, count: int, rng: np.random.Generator) -> Any:
    dtype = dtype_of(kind)
    if kind.kind == "float":
        return (rng.standard_normal(count) * 4).astype(np.float32).astype(dtype)
    if kind == BOOL:
        return rng.integers(0, 2, count).astype(np.bool_)
    info = np.iinfo(dtype)
    wild = rng.integers(info.min, info.max, count, dtype=dtype, endpoint=True)
    tame = rng.integers(0, 100, count).astype(dtype)
    return np.where(rng.random(count) < 0.5, wild, tame)


def compare(
    make: Make, kind: ScalarType, shape: tuple[int, ...] = (8, 64), swap: bool = False, ulp: int = 0
) -> Program:
    rng = np.random.default_rng(len(shape) + kind.bits)
    made = kernel(make, shape, kind, swap)
    count = int(np.prod(shape))
    x, y = data(kind, count, rng), data(kind, count, rng)
    (stored,) = [op for op in made.body.ops if isinstance(op, ir.Store)]
    dtype = dtype_of(stored.value.type)
    result, expected = np.zeros(count, dtype), np.ones(count, dtype)
    program = lower_kernel(made, CHIP)
    report = simulate(program, [x, y, result], (1,), CHIP)
    with np.errstate(all="ignore"):
        Interpreter(made, [x, y, expected], (1,)).run()
    assert report.hazards == ()
    if ulp and dtype.itemsize < 8:
        wide, near = expected.astype(np.float64), result.astype(np.float64)
        eps = {4: 2.0**-23, 2: 2.0**-10}[dtype.itemsize] * (8 if dtype == dtype_of(BF16) else 1)
        np.testing.assert_allclose(near, wide, rtol=ulp * eps, atol=1e-30, equal_nan=True)
    else:
        np.testing.assert_array_equal(
            result.view(f"u{dtype.itemsize}"), expected.view(f"u{dtype.itemsize}")
        )
    return program


def binary(op: type[ir.Binary], **fields: Any) -> Make:
    return lambda b, x, y: b.add(op, lhs=x, rhs=y, **fields)


def with_number(op: type[ir.Binary], value: float, first: bool = False) -> Make:
    def make(b: ir.Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        number = b.add(ir.Constant, value=value, type=x.type)
        return b.add(op, lhs=number if first else x, rhs=x if first else number)

    return make


@pytest.mark.parametrize("kind", [*FLOATS, *INTEGERS], ids=str)
@pytest.mark.parametrize("op", [ir.Add, ir.Sub, ir.Mul, ir.Min, ir.Max], ids=lambda op: op.__name__)
def test_arithmetic(op: type[ir.Binary], kind: ScalarType) -> None:
    compare(binary(op), kind)
    compare(binary(op), kind, swap=True)
    compare(with_number(op, 3), kind)
    compare(with_number(op, 3, first=True), kind)


@pytest.mark.parametrize("kind", [*FLOATS, *INTEGERS], ids=str)
def test_division_and_remainder(kind: ScalarType) -> None:
    is_float = kind.kind == "float"
    compare(binary(ir.Div), kind)
    compare(with_number(ir.Div, 8), kind)
    compare(with_number(ir.Div, 7), kind)
    compare(with_number(ir.Rem, 8), kind, ulp=is_float)
    if not is_float:
        compare(binary(ir.Rem), kind)


@pytest.mark.parametrize("kind", [BOOL, *INTEGERS], ids=str)
@pytest.mark.parametrize("op", [ir.And, ir.Or, ir.Xor], ids=lambda op: op.__name__)
def test_bits(op: type[ir.Binary], kind: ScalarType) -> None:
    compare(binary(op), kind)
    compare(with_number(op, 1), kind)


@pytest.mark.parametrize("kind", INTEGERS, ids=str)
def test_shifts(kind: ScalarType) -> None:
    for amount in (0, 1, 7, 40):
        compare(with_number(ir.ShiftLeft, amount), kind)
        compare(with_number(ir.ShiftRight, amount), kind)
    compare(binary(ir.ShiftLeft), kind)


@pytest.mark.parametrize("kind", [*FLOATS, *INTEGERS, BOOL], ids=str)
@pytest.mark.parametrize("predicate", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_and_selections(predicate: Any, kind: ScalarType) -> None:
    def make(b: ir.Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        return b.add(ir.Compare, predicate=predicate, lhs=x, rhs=y, unordered=predicate == "ne")

    def chosen(b: ir.Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        return b.add(ir.Select, condition=make(b, x, y), if_true=x, if_false=y)

    def number(b: ir.Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        five = b.add(ir.Constant, value=1, type=x.type)
        condition = b.add(ir.Compare, predicate=predicate, lhs=five, rhs=x)
        return b.add(ir.Select, condition=condition, if_true=five, if_false=y)

    compare(make, kind)
    compare(chosen, kind, shape=(5, 16) if kind.bytes > 1 else (8, 64))
    compare(number, kind)


@pytest.mark.parametrize("source", [*FLOATS, *INTEGERS, BOOL], ids=str)
@pytest.mark.parametrize("to", [*FLOATS, *INTEGERS, BOOL], ids=str)
def test_conversions(source: ScalarType, to: ScalarType) -> None:
    if source == to:
        return
    loses = source in (I32, U32, I64, U16, I16) and to in (F16, BF16)  # through f32: rounds twice
    compare(lambda b, x, y: b.add(ir.Cast, source=x, type=to), source, ulp=2 if loses else 0)


FUNCTIONS = (
    *("abs", "neg", "floor", "ceil", "trunc", "rint", "round", "exp", "exp2", "log", "log2"),
    *("log1p", "expm1", "sqrt", "rsqrt", "sin", "cos", "tanh", "erf", "sigmoid"),
)


@pytest.mark.parametrize("kind", FLOATS, ids=str)
@pytest.mark.parametrize("function", FUNCTIONS)
def test_functions(function: str, kind: ScalarType) -> None:
    """Those that are one call are exact; composed ones within some units of the last place."""
    ulp = {"exp2": 16, "log2": 4, "log1p": 4, "expm1": 8, "sigmoid": 4}.get(function, 1)
    compare(lambda b, x, y: b.add(ir.MathCall, function=function, arguments=(x,)), kind, ulp=ulp)


@pytest.mark.parametrize("function", ["isnan", "isinf", "isfinite", "signbit"])
def test_predicates(function: str) -> None:
    def make(b: ir.Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        quotient = b.add(ir.Div, lhs=x, rhs=b.add(ir.Sub, lhs=x, rhs=x))
        return b.add(ir.MathCall, function=function, arguments=(quotient,), type=I32)

    compare(make, F32)


@pytest.mark.parametrize("kind", [F32, F16, BF16, I32, I16, I8, BOOL], ids=str)
@pytest.mark.parametrize("shape", [(1, 1), (3, 1), (1, 7), (2, 4), (16, 2), (4, 100), (2, 4, 32)])
def test_odd_shapes(shape: tuple[int, ...], kind: ScalarType) -> None:
    """Lanes that fill no repeat, or no block: still right, by the scalar unit where it must be."""
    compare(binary(ir.Xor if kind == BOOL else ir.Add), kind, shape)
    compare(binary(ir.And if kind.kind != "float" else ir.Mul), kind, shape, swap=True)

    def turned(b: ir.Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
        moved = b.add(ir.Transpose, source=x, order=order)
        return b.add(ir.Reshape, source=moved, shape=shape)

    compare(turned, kind, shape)


def test_what_the_vector_unit_has_is_not_done_by_the_scalar_unit() -> None:
    for kind in (F32, F16, BF16, I32):
        for make in (binary(ir.Add), binary(ir.Mul), with_number(ir.Max, 2)):
            program = compare(make, kind)
            assert not any(isinstance(i, LaneLoop) for i in walk(program.body))
            assert program.notes == []
    program = compare(binary(ir.Add), I64)
    assert any("lanes.py:1: add goes lane by lane" in note for note in program.notes)


REDUCTIONS = [ir.Add, ir.Max, ir.Min, ir.Mul]


@pytest.mark.parametrize("kind", [F32, F16, BF16, I32, I16, I64], ids=str)
@pytest.mark.parametrize(
    ("shape", "axis"),
    [((512,), 0), ((8, 64), 1), ((8, 64), 0), ((64, 4), 1), ((3, 8), 1), ((2, 8, 32), 1)],
)
@pytest.mark.parametrize("op", REDUCTIONS, ids=lambda op: op.__name__)
def test_reductions(
    op: type[ir.Binary], shape: tuple[int, ...], axis: int, kind: ScalarType
) -> None:
    if op is ir.Mul and kind.kind == "float":
        return

    def make(b: ir.Builder, x: ir.Value, y: ir.Value) -> ir.Value:
        if kind.kind == "float":  # whole numbers: exact in any order
            x = b.add(ir.MathCall, function="rint", arguments=(x,))
        args = (ir.Value(kind), ir.Value(kind))
        inner = op(lhs=args[0], rhs=args[1])
        region = ir.Region(args, [inner, ir.Yield(values=inner.results)])
        found = b.add(ir.Reduce, sources=(x,), axis=axis, combine=region)
        if not found.is_tile:
            return b.add(ir.Splat, source=found, shape=shape)
        return b.add(
            ir.Broadcast, source=b.add(ir.ExpandDims, source=found, axis=axis), shape=shape
        )

    compare(make, kind, shape, ulp=4 if kind.kind == "float" else 0)
