"""The CPU target against the interpreter: ops by element types, on awkward shapes.

Kernels load their inputs, compute, and store every result to a buffer of its own; both must leave
the same bytes, whether arguments are known to be disjoint or not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from canopy import ir
from canopy.errors import Location
from canopy.ir import Builder, Kernel, Parameter, Region, Value
from canopy.ir.interpreter.numeric import dtype_of
from canopy.ir.types import (
    BF16,
    BOOL,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    PTR,
    U8,
    U16,
    U32,
    U64,
    ScalarType,
    TileType,
    Type,
    element_type,
    is_bool,
    is_float,
    shape_of,
    with_element,
)
from tests.fuzz.differential import compare

SIGNED, UNSIGNED = (I8, I16, I32, I64), (U8, U16, U32, U64)
INTEGERS = (*SIGNED, *UNSIGNED)
FLOATS = (F16, BF16, F32, F64)
SHAPES: tuple[tuple[int, ...], ...] = (
    *((), (1,), (2,), (7,), (96,), (250,), (1024,)),
    *((3, 5), (16, 2), (64, 1), (1, 64), (4, 32), (2, 3, 4), (2, 16, 2), (2, 3, 2, 8)),
)
FEW_SHAPES: tuple[tuple[int, ...], ...] = ((7,), (250,), (16, 2), (2, 3, 4))
# Sums in another order, and functions that are not rounded correctly.
TOLERANCE = {F16: 4e-3, BF16: 3e-2, F32: 2e-6, F64: 1e-14}

Build = Callable[..., Any]
rng = np.random.default_rng(20)


def name_of(value: object) -> str:
    if isinstance(value, tuple):
        return "x".join(map(str, value)) or "scalar"
    return getattr(value, "__name__", str(value))


def numbers(type_: Type, low: float = -100, high: float = 100) -> np.ndarray:
    """Random lanes of a type, with some of the extremes where integers have them."""
    element, shape = element_type(type_), shape_of(type_)
    assert isinstance(element, ScalarType)
    if is_bool(element):
        return rng.integers(0, 2, shape).astype(np.bool_)
    if is_float(element):
        return np.asarray(rng.integers(low * 4, high * 4, shape) / 4).astype(dtype_of(element))
    limits = np.iinfo(dtype_of(element))
    low, high = max(int(low), limits.min), min(int(high), limits.max)
    made = np.asarray(rng.integers(low, high, shape, endpoint=True)).astype(dtype_of(element))
    if low <= -100:
        made.flat[:: max(3, made.size // 4)] = limits.max
    return made


class Emitter(Builder):
    """A builder with short forms."""

    def constant(self, number: float, type_: Type) -> Value:
        return self.add(ir.Constant, value=number, type=type_)

    def lanes(self, pointer: Value, type_: Type) -> Value:
        """Pointers to consecutive elements in row-major order."""
        if not isinstance(type_, TileType):
            return pointer
        index = self.add(ir.Range, start=0, end=type_.size)
        if len(type_.shape) != 1:
            index = self.add(ir.Reshape, source=index, shape=type_.shape)
        base = self.add(ir.Splat, source=pointer, shape=type_.shape)
        return self.add(ir.Offset, pointer=base, index=index, scale=type_.element.bytes)

    def load(self, pointer: Value, type_: Type, **fields: Any) -> Value:
        element = element_type(type_)
        return self.add(ir.Load, pointer=self.lanes(pointer, type_), type=element, **fields)

    def store(self, pointer: Value, value: Value, **fields: Any) -> None:
        self.effect(ir.Store, pointer=self.lanes(pointer, value.type), value=value, **fields)

    def function(self, types: Sequence[Type], build: Build) -> Region:
        """A region with such arguments that yields what ``build(emitter, *arguments)`` gives."""
        arguments = tuple(Value(t) for t in types)
        inner = Emitter(Region(arguments), self.location)
        made = build(inner, *arguments)
        inner.effect(ir.Yield, values=made if isinstance(made, tuple) else (made,))
        return inner.region


def kernel_of(types: Sequence[Type], build: Build) -> Kernel:
    values = [Value(t) for t in types]
    emitter = Emitter(Region(), Location("test.py", 1))
    build(emitter, *values)
    parameters = tuple(Parameter(v, f"p{i}") for i, v in enumerate(values))
    return Kernel("test", parameters, emitter.region, Location("test.py", 1))


def check(build: Build, *inputs: tuple[np.ndarray, Type], tolerance: float = 0.0) -> None:
    """Loads the inputs, stores what ``build(emitter, *values)`` gives, and compares."""
    made: list[Type] = []

    def body(b: Emitter, *pointers: Value) -> None:
        values = [b.load(p, t) for p, (_, t) in zip(pointers, inputs, strict=False)]
        results = build(b, *values)
        results = results if isinstance(results, tuple) else (results,)
        made[:] = [value.type for value in results]
        for pointer, value in zip(pointers[len(inputs) :], results, strict=False):
            b.store(pointer, value)

    kernel_of([PTR] * len(inputs), body)  # tells the types of the results
    kernel = kernel_of([PTR] * (len(inputs) + len(made)), body)
    outputs = [np.zeros(shape_of(t), dtype_of(t)) for t in made]
    arrays = [np.ascontiguousarray(a).reshape(a.shape) for a, _ in inputs]
    compare(kernel, [*arrays, *outputs], tolerance=tolerance)


def tile(shape: tuple[int, ...], element: ScalarType) -> Type:
    return TileType(shape, element) if shape else element


# Elementwise


@pytest.mark.parametrize("element", INTEGERS, ids=str)
@pytest.mark.parametrize("shape", SHAPES[::3], ids=name_of)
def test_integers(element: ScalarType, shape: tuple[int, ...]) -> None:
    type_ = tile(shape, element)

    def build(b: Emitter, x: Value, y: Value, z: Value) -> Any:
        kinds = [ir.Add, ir.Sub, ir.Mul, ir.And, ir.Or, ir.Xor, ir.Min, ir.Max, ir.MulHigh]
        found = [b.add(kind, lhs=x, rhs=y) for kind in kinds]
        found += [b.add(kind, lhs=x, rhs=z) for kind in (ir.Div, ir.Rem)]
        found += [b.add(kind, lhs=x, rhs=z) for kind in (ir.ShiftLeft, ir.ShiftRight)]
        for predicate in ("eq", "ne", "lt", "le", "gt", "ge"):
            found.append(b.add(ir.Compare, predicate=predicate, lhs=x, rhs=y))
        found.append(b.add(ir.Select, condition=found[-1], if_true=x, if_false=z))
        return tuple(found)

    below = numbers(type_, 1, 20)
    check(build, (numbers(type_), type_), (numbers(type_), type_), (below, type_))


@pytest.mark.parametrize("element", INTEGERS, ids=str)
def test_division_of_extremes(element: ScalarType) -> None:
    """Quotients at and next to integers, of the largest numbers, by 0 and by -1."""
    kind = np.dtype(f"{'u' if element.kind == 'uint' else ''}int{element.bits}")
    low, high = np.iinfo(kind).min, np.iinfo(kind).max
    edges = np.array([low, low + 1, -1 if low else 1, 0, 1, 2, 3, high // 2, high - 1, high], kind)
    dividends, divisors = (part.ravel() for part in np.meshgrid(edges, edges))
    generator = np.random.default_rng(7)
    factors = generator.integers(1, high, 412, kind, endpoint=True)
    near = (factors * (high // factors) + generator.integers(-1, 2, 412).astype(kind)).astype(kind)
    type_ = TileType((512,), element)
    left, right = np.concatenate([dividends, near]), np.concatenate([divisors, factors])

    def build(b: Emitter, x: Value, y: Value) -> Any:
        return tuple(b.add(kind, lhs=x, rhs=y) for kind in (ir.Div, ir.Rem))

    check(build, (left, type_), (right, type_))


@pytest.mark.parametrize("element", FLOATS, ids=str)
@pytest.mark.parametrize("shape", SHAPES[::3], ids=name_of)
def test_floats(element: ScalarType, shape: tuple[int, ...]) -> None:
    type_ = tile(shape, element)

    def build(b: Emitter, x: Value, y: Value) -> Any:
        kinds: list[Any] = [ir.Add, ir.Sub, ir.Mul, ir.Div, ir.Min, ir.Max]
        found = [b.add(kind, lhs=x, rhs=y) for kind in kinds]
        extremes: list[Any] = [ir.Min, ir.Max]
        found += [b.add(kind, lhs=x, rhs=y, propagate_nan=True) for kind in extremes]
        found += [
            b.add(ir.Compare, predicate=predicate, lhs=x, rhs=y, unordered=unordered)
            for predicate in ("eq", "ne", "lt", "le", "gt", "ge")
            for unordered in (False, True)
        ]
        found += [
            b.add(ir.MathCall, function=function, arguments=(x,))
            for function in ("abs", "neg", "floor", "ceil", "rint", "trunc", "sqrt")
        ]
        found.append(b.add(ir.Fma, a=x, b=y, c=x))
        low, high = b.constant(-3.5, type_), b.constant(8.0, type_)
        found += [
            b.add(ir.Clamp, source=x, low=low, high=high, propagate_nan=propagate)
            for propagate in (False, True)
        ]
        found.append(b.add(ir.Select, condition=found[8], if_true=x, if_false=y))
        return tuple(found)

    left, right = numbers(type_), numbers(type_)
    for array in (left, right):
        array.flat[:: max(2, array.size // 3)] = np.nan
    left.flat[-1:] = -0.0
    check(build, (left, type_), (right, type_))


@pytest.mark.parametrize("source", [*INTEGERS, *FLOATS, BOOL], ids=str)
@pytest.mark.parametrize("shape", [(), (7,), (96,)], ids=name_of)
def test_casts(source: ScalarType, shape: tuple[int, ...]) -> None:
    type_ = tile(shape, source)

    def build(b: Emitter, x: Value) -> Any:
        return tuple(b.add(ir.Cast, source=x, type=t) for t in (*INTEGERS, *FLOATS, BOOL))

    low = 0 if is_float(source) else -99  # negative floats have no unsigned value
    check(build, (numbers(type_, low, 100), type_))


@pytest.mark.parametrize("elements", [(I8, U8), (I16, F16, BF16), (I32, F32), (F64, U64)], ids=str)
def test_bitcasts(elements: tuple[ScalarType, ...]) -> None:
    for source in elements:
        type_ = TileType((96,), source)
        check(
            lambda b, x: tuple(b.add(ir.Bitcast, source=x, type=t) for t in elements),
            (numbers(type_), type_),
        )


@pytest.mark.parametrize("source", [I8, I16, I32, U8, U16, U32, U64], ids=str)
def test_progressions_wrap(source: ScalarType) -> None:
    """Ranges moved, scaled and extended are data as well as addresses."""

    def build(b: Emitter, x: Value) -> Any:
        lanes = b.add(ir.Range, start=0, end=96, type=source)
        start = b.add(ir.Splat, source=x, shape=(96,))
        found = []
        for factor in (1, 3, 101):
            moved = b.add(ir.Mul, lhs=lanes, rhs=b.constant(factor, lanes.type))
            less = b.add(ir.Sub, lhs=moved, rhs=start)
            back = b.add(ir.Sub, lhs=start, rhs=moved)
            signed = {8: I8, 16: I16, 32: I32, 64: I64}[source.bits]
            other = b.add(ir.Bitcast, source=less, type=signed)
            for value in (moved, less, back, other):
                found += [b.add(ir.Cast, source=value, type=t) for t in (I8, I64, U64, F64)]
                found.append(b.add(ir.Compare, predicate="lt", lhs=value, rhs=value))
            found.append(b.add(ir.Compare, predicate="lt", lhs=less, rhs=start))
            found.append(b.add(ir.Compare, predicate="le", lhs=start, rhs=back))
            found.append(b.add(ir.Rem, lhs=moved, rhs=start))
            found.append(b.add(ir.Div, lhs=less, rhs=start))
        return tuple(found)

    check(build, (np.asarray(5, dtype_of(source)), source))
    check(build, (np.asarray(90, dtype_of(source)), source))


@pytest.mark.parametrize("modulus", [1, 5, 7, 64, 100, 1000])
@pytest.mark.parametrize("count", [1, 63, 64, 100, 250, 256])
def test_guards_hold_for_what_they_check(modulus: int, count: int) -> None:
    """Remainders as data next to masks, so that a strip has a fast version."""

    def body(b: Emitter, a: Value, out: Value, n: Value, m: Value) -> None:
        lanes = b.add(ir.Range, start=0, end=256)
        limit = b.add(ir.Splat, source=n, shape=(256,))
        mask = b.add(ir.Compare, predicate="lt", lhs=lanes, rhs=limit)
        period = b.add(ir.Splat, source=m, shape=(256,))
        folded = b.add(ir.Rem, lhs=lanes, rhs=period)
        base = b.add(ir.Splat, source=a, shape=(256,))
        where = b.add(ir.Offset, pointer=base, index=folded, scale=4)
        loaded = b.add(ir.Load, pointer=where, mask=mask, other=lanes, type=I32)
        whole = b.add(ir.Div, lhs=lanes, rhs=period)
        total = b.add(ir.Add, lhs=loaded, rhs=b.add(ir.Add, lhs=folded, rhs=whole))
        b.store(out, total)
        for kind in (ir.Or, ir.Xor, ir.And):
            odd = b.add(ir.Compare, predicate="gt", lhs=folded, rhs=whole)
            flags = b.add(ir.Cast, source=b.add(kind, lhs=mask, rhs=odd), type=I32)
            b.store(out, b.add(ir.Add, lhs=total, rhs=flags), mask=flags and odd)

    kernel = kernel_of([PTR, PTR, I32, I32], body)
    compare(kernel, [np.arange(1000, dtype="i4"), np.zeros(256, "i4"), count, modulus])


# Masks and memory


@pytest.mark.parametrize("element", [I8, I16, I32, I64, F16, F32, F64, BOOL], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def test_masked_copies(element: ScalarType, shape: tuple[int, ...]) -> None:
    type_ = tile(shape, element)

    def body(b: Emitter, a: Value, flags: Value, out: Value, other: Value) -> None:
        mask = b.load(flags, with_element(type_, BOOL))
        b.store(out, b.load(a, type_, mask=mask, other=b.load(other, type_)))
        inverse = b.add(ir.Xor, lhs=mask, rhs=b.constant(True, mask.type))
        b.store(other, b.load(a, type_), mask=inverse)

    flags = numbers(with_element(type_, BOOL))
    arrays = [numbers(type_), flags, np.zeros(shape, dtype_of(element)), numbers(type_)]
    compare(kernel_of([PTR] * 4, body), arrays)


@pytest.mark.parametrize("rows", [1, 3, 4])
@pytest.mark.parametrize("columns", [1, 5, 64, 100, 128])
def test_masks_of_outer_axes(rows: int, columns: int) -> None:
    """Row and column bounds, reduced along each axis, beside a bound on the elements."""

    def body(b: Emitter, a: Value, out: Value, sums: Value, m: Value, n: Value) -> None:
        shape = (4, 128)
        row = b.add(ir.ExpandDims, source=b.add(ir.Range, start=0, end=4), axis=1)
        column = b.add(ir.ExpandDims, source=b.add(ir.Range, start=0, end=128), axis=0)
        below = []
        for index, limit in ((row, m), (column, n)):
            bound = b.add(ir.Splat, source=limit, shape=index.shape)
            narrow = b.add(ir.Compare, predicate="lt", lhs=index, rhs=bound)
            below.append(b.add(ir.Broadcast, source=narrow, shape=shape))
        mask = b.add(ir.And, lhs=below[0], rhs=below[1])
        type_ = TileType(shape, F32)
        x = b.load(a, type_, mask=mask, other=b.constant(-1.0, type_))
        b.store(out, b.add(ir.Add, lhs=x, rhs=x), mask=below[1])
        for axis in (0, 1):
            region = b.function([F32, F32], lambda c, p, q: c.add(ir.Max, lhs=p, rhs=q))
            x = b.add(ir.Select, condition=below[1], if_true=x, if_false=b.constant(7.0, type_))
            total = b.effect(ir.Reduce, sources=(x,), axis=axis, combine=region)
            b.store(sums, total.result)

    arrays = [numbers(TileType((4, 128), F32)), np.zeros((4, 128), "f4"), np.zeros(128, "f4")]
    compare(kernel_of([PTR, PTR, PTR, I32, I32], body), [*arrays, rows, columns])


@pytest.mark.parametrize("element", [U8, I16, I32, F64], ids=str)
@pytest.mark.parametrize("step", [0, 1, 2, 3, -1], ids=str)
def test_overlapping_stores(element: ScalarType, step: int) -> None:
    """In bytes: lanes may overlap, the highest wins; loads see what was there before."""
    size = 96

    def body(b: Emitter, a: Value, x: Value) -> None:
        lanes = b.add(ir.Range, start=0, end=size)
        start = b.constant(300, lanes.type)
        index = b.add(ir.Mul, lhs=lanes, rhs=b.constant(step, lanes.type))
        index = b.add(ir.Add, lhs=index, rhs=start)
        base = b.add(ir.Splat, source=a, shape=(size,))
        scale = element.bytes
        pointer = b.add(ir.Offset, pointer=base, index=index, scale=scale)
        seen = b.add(ir.Load, pointer=pointer, type=element)
        new = b.add(ir.Add, lhs=seen, rhs=b.load(x, TileType((size,), element)))
        b.effect(ir.Store, pointer=pointer, value=new)
        again = b.add(ir.Load, pointer=pointer, type=element)
        mask = b.add(ir.Compare, predicate="lt", lhs=lanes, rhs=b.constant(50, lanes.type))
        twice = b.add(ir.Add, lhs=again, rhs=again)
        b.effect(ir.Store, pointer=pointer, value=twice, mask=mask)

    kernel = kernel_of([PTR, PTR], body)
    compare(kernel, [numbers(TileType((640,), element)), numbers(TileType((size,), element), 0, 9)])


@pytest.mark.parametrize("shape", [(16, 2), (64, 4), (4, 64), (2, 3, 4), (8, 8)], ids=name_of)
@pytest.mark.parametrize("stride", [(0, 1), (1, 0), (1, 1), (0, 0), (2, 1)], ids=str)
def test_lanes_that_meet(shape: tuple[int, ...], stride: tuple[int, int]) -> None:
    """Two-dimensional pointers with run-time strides; adds, stores and atomics in lane order."""

    def body(b: Emitter, a: Value, old: Value, s: Value, t: Value) -> None:
        parts = []
        rank = len(shape)
        for axis, step in ((0, s), (rank - 1, t)):
            index = b.add(ir.Range, start=0, end=shape[axis])
            index = b.add(ir.Mul, lhs=index, rhs=b.add(ir.Splat, source=step, shape=index.shape))
            for other in range(rank):
                if other != axis:
                    index = b.add(ir.ExpandDims, source=index, axis=other)
            parts.append(b.add(ir.Broadcast, source=index, shape=shape))
        where = b.add(ir.Add, lhs=parts[0], rhs=parts[1])
        base = b.add(ir.Splat, source=a, shape=shape)
        pointer = b.add(ir.Offset, pointer=base, index=where, scale=4)
        flat = b.add(ir.Range, start=0, end=int(np.prod(shape)))
        lanes = b.add(ir.Reshape, source=flat, shape=shape)
        seen = b.add(ir.Load, pointer=pointer, type=I32)
        b.effect(ir.Store, pointer=pointer, value=b.add(ir.Add, lhs=seen, rhs=lanes))
        b.store(old, b.add(ir.AtomicRmw, kind="exchange", pointer=pointer, value=lanes))
        region = b.function([I32, I32], lambda c, p, q: c.add(ir.Add, lhs=p, rhs=q))
        again = b.add(ir.Load, pointer=pointer, type=I32)
        b.effect(ir.Store, pointer=pointer, value=b.add(ir.Mul, lhs=again, rhs=lanes))
        total = b.effect(ir.Reduce, sources=(again,), axis=0, combine=region).result
        b.store(old, total)

    kernel = kernel_of([PTR, PTR, I32, I32], body)
    compare(kernel, [numbers(TileType((256,), I32)), np.zeros(shape, "i4"), *stride])


def test_shifted_in_place() -> None:
    """a[i + 1] = a[i] for all i at once, through one pointer and through two."""

    def body(b: Emitter, a: Value, c: Value) -> None:
        type_ = TileType((250,), I32)
        x = b.load(a, type_)
        y = b.load(c, type_)
        one = b.add(ir.Offset, pointer=a, index=b.constant(1, I32), scale=4)
        b.store(one, x)
        b.store(c, b.add(ir.Add, lhs=y, rhs=x))
        b.store(a, b.add(ir.Sub, lhs=y, rhs=b.load(one, type_)))

    compare(kernel_of([PTR, PTR], body), [np.arange(251, dtype="i4"), np.arange(250, dtype="i4")])


@pytest.mark.parametrize("shift", [-8, -4, 0, 4, 12])
def test_two_arguments_on_one_array(shift: int) -> None:
    """Overlapping arguments, which only the version for them need get right."""

    def body(b: Emitter, a: Value, c: Value) -> None:
        type_ = TileType((250,), I32)
        x, y = b.load(a, type_), b.load(c, type_)
        b.store(c, b.add(ir.Add, lhs=x, rhs=y))
        b.store(a, b.add(ir.Sub, lhs=x, rhs=y))
        z = b.load(c, type_)
        b.store(c, b.add(ir.Mul, lhs=z, rhs=b.load(a, type_)))

    def shifted(b: Emitter, whole: Value) -> None:
        start = b.add(ir.Offset, pointer=whole, index=b.constant(3, I32), scale=4)
        moved = b.add(ir.Offset, pointer=start, index=b.constant(shift, I32), scale=1)
        body(b, start, moved)

    compare(kernel_of([PTR], shifted), [np.arange(260, dtype="i4")], may_alias=[False, True])


# Shape


@pytest.mark.parametrize("element", [I32, F16, BOOL], ids=str)
@pytest.mark.parametrize("shape", [s for s in SHAPES if s], ids=name_of)
def test_shapes(element: ScalarType, shape: tuple[int, ...]) -> None:
    type_, rank = TileType(shape, element), len(shape)
    size = int(np.prod(shape))

    def build(b: Emitter, x: Value, y: Value) -> Any:
        joined = b.add(ir.Join, lhs=x, rhs=y)
        found = [joined, *b.effect(ir.Split, source=joined).results]
        found.append(b.add(ir.Concat, lhs=x, rhs=y))
        found.append(b.add(ir.Concat, lhs=found[-1], rhs=x))
        found.append(b.add(ir.Transpose, source=x, order=tuple(range(rank))[::-1]))
        found.append(b.add(ir.Transpose, source=joined, order=(rank, *range(rank))))
        found.append(b.add(ir.Reshape, source=joined, shape=(2 * size,)))
        shapes = [(1, size), (size, 1), (1, size, 1), (size,)]
        shapes += [(a, size // a) for a in (2, 3, 5, 8, 16) if size % a == 0]
        shapes += [(a, 2, size // a // 2) for a in (2, 3, 4) if size % (2 * a) == 0]
        for other in shapes:
            moved = b.add(ir.Reshape, source=x, shape=other)
            found.append(moved)
            turned = b.add(ir.Transpose, source=moved, order=tuple(range(len(other)))[::-1])
            found.append(b.add(ir.Reshape, source=turned, shape=shape))
        for axis in range(rank + 1):
            wide = b.add(ir.ExpandDims, source=x, axis=axis)
            to = (*shape[:axis], 3, *shape[axis:])
            found.append(b.add(ir.Broadcast, source=wide, shape=to))
        return tuple(found)

    check(build, (numbers(type_), type_), (numbers(type_), type_))


@pytest.mark.parametrize("element", [U8, I32, I64, F32], ids=str)
@pytest.mark.parametrize("shape", [s for s in SHAPES if s], ids=name_of)
def test_gathers(element: ScalarType, shape: tuple[int, ...]) -> None:
    type_ = TileType(shape, element)

    def build(b: Emitter, x: Value, *indices: Value) -> Any:
        twice = b.add(ir.Add, lhs=x, rhs=x)
        found = []
        for axis, at in enumerate(indices):
            found.append(b.add(ir.Gather, source=x, indices=at, axis=axis))
            found.append(b.add(ir.Gather, source=twice, indices=at, axis=axis))
        lanes = b.add(ir.Range, start=0, end=shape[0])
        if len(shape) == 1:
            found.append(b.add(ir.Gather, source=lanes, indices=indices[0], axis=0))
        return tuple(found)

    inputs: list[Any] = [(numbers(type_), type_)]
    for axis, extent in enumerate(shape):
        index_type = TileType((*shape[:axis], 5, *shape[axis + 1 :]), I32)
        inputs.append((rng.integers(0, extent, index_type.shape).astype("i4"), index_type))
    check(build, *inputs)


@pytest.mark.parametrize("size", [1, 2, 7, 96, 250, 1024])
@pytest.mark.parametrize("bins", [1, 7, 64])
@pytest.mark.parametrize("element", [I32, U8, I64], ids=str)
def test_histograms(size: int, bins: int, element: ScalarType) -> None:
    type_, flags = TileType((size,), element), TileType((size,), BOOL)
    check(
        lambda b, x, mask: (
            b.add(ir.Histogram, source=x, mask=None, bins=bins),
            b.add(ir.Histogram, source=x, mask=mask, bins=bins),
        ),
        (numbers(type_, 0, bins - 1), type_),
        (numbers(flags), flags),
    )


# Reductions, scans, products


def argmax(b: Emitter, a: Value, i: Value, c: Value, j: Value) -> tuple[Value, ...]:
    """The larger value, and of equal ones that with the lower index."""
    greater = b.add(ir.Compare, predicate="gt", lhs=a, rhs=c)
    equal = b.add(ir.Compare, predicate="eq", lhs=a, rhs=c)
    earlier = b.add(ir.Compare, predicate="lt", lhs=i, rhs=j)
    wins = b.add(ir.Or, lhs=greater, rhs=b.add(ir.And, lhs=equal, rhs=earlier))
    return (
        b.add(ir.Select, condition=wins, if_true=a, if_false=c),
        b.add(ir.Select, condition=wins, if_true=i, if_false=j),
    )


@pytest.mark.parametrize("element", [I8, I32, U64, F16, F32, F64, BOOL], ids=str)
@pytest.mark.parametrize("shape", [s for s in SHAPES if s], ids=name_of)
def test_reductions(element: ScalarType, shape: tuple[int, ...]) -> None:
    type_ = TileType(shape, element)
    kinds: list[Any] = [ir.And, ir.Or, ir.Xor] if is_bool(element) else [ir.Add, ir.Min, ir.Max]

    def build(b: Emitter, x: Value) -> Any:
        found: list[Value] = []
        for axis in range(len(shape)):
            for kind in kinds:
                region = b.function([element] * 2, lambda c, p, q, k=kind: c.add(k, lhs=p, rhs=q))
                reduce = b.effect(ir.Reduce, sources=(x,), axis=axis, combine=region)
                found.append(reduce.result)
            if is_bool(element):
                continue
            lanes = b.add(ir.Range, start=0, end=shape[axis])
            for other in range(len(shape)):
                if other != axis:
                    lanes = b.add(ir.ExpandDims, source=lanes, axis=other)
            index = b.add(ir.Broadcast, source=lanes, shape=shape)
            region = b.function([element, I32] * 2, argmax)
            reduce = b.effect(ir.Reduce, sources=(x, index), axis=axis, combine=region)
            found += reduce.results
        return tuple(found)

    # Small, so that float sums are exact, and with many ties.
    check(build, (np.trunc(numbers(type_, 0, 3)).astype(dtype_of(element)), type_))


@pytest.mark.parametrize("element", FLOATS, ids=str)
def test_sums_of_floats(element: ScalarType) -> None:
    type_ = TileType((4, 250), element)

    def build(b: Emitter, x: Value) -> Any:
        region = b.function([element] * 2, lambda c, p, q: c.add(ir.Add, lhs=p, rhs=q))
        return tuple(
            b.effect(ir.Reduce, sources=(x,), axis=axis, combine=region).result for axis in (0, 1)
        )

    array = rng.normal(size=(4, 250)).astype(dtype_of(element))
    check(build, (array, type_), tolerance=8 * TOLERANCE[element])


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("element", [I8, I32, F32, F64], ids=str)
@pytest.mark.parametrize("shape", [s for s in SHAPES if s], ids=name_of)
def test_scans(element: ScalarType, shape: tuple[int, ...], reverse: bool) -> None:
    type_ = TileType(shape, element)

    def last(b: Emitter, a: Value, i: Value, c: Value, j: Value) -> tuple[Value, ...]:
        """Affine maps composed: associative, but not commutative."""
        scaled = b.add(ir.Mul, lhs=i, rhs=c)
        return b.add(ir.Mul, lhs=a, rhs=c), b.add(ir.Add, lhs=scaled, rhs=j)

    def build(b: Emitter, x: Value) -> Any:
        found: list[Value] = []
        lanes = b.add(ir.Range, start=0, end=shape[-1])
        for _ in shape[:-1]:
            lanes = b.add(ir.ExpandDims, source=lanes, axis=0)
        plain = b.add(ir.Cast, source=b.add(ir.Broadcast, source=lanes, shape=shape), type=element)
        signs = b.constant(-1, type_)
        for axis in range(len(shape)):
            region = b.function([element] * 2, lambda c, p, q: c.add(ir.Add, lhs=p, rhs=q))
            for source in (x, plain):
                scan = b.effect(
                    ir.Scan, sources=(source,), axis=axis, reverse=reverse, combine=region
                )
                found.append(scan.result)
            region = b.function([element] * 4, last)
            scan = b.effect(ir.Scan, sources=(signs, x), axis=axis, reverse=reverse, combine=region)
            found += scan.results
        return tuple(found)

    check(build, (np.trunc(numbers(type_, 0, 3)).astype(dtype_of(element)), type_))


DOTS = [(2, 3, 5), (16, 16, 16), (1, 8, 1), (7, 7, 7), (64, 32, 24), (96, 16, 2), (3, 250, 1)]


@pytest.mark.parametrize("size", DOTS, ids=name_of)
@pytest.mark.parametrize(
    ("inputs", "total"),
    [(F32, F32), (F16, F32), (BF16, F32), (F16, F16), (F64, F64), (I8, I32), (U8, I32)],
    ids=str,
)
def test_products(size: tuple[int, int, int], inputs: ScalarType, total: ScalarType) -> None:
    m, k, n = size
    types = [TileType((m, k), inputs), TileType((k, n), inputs), TileType((m, n), total)]

    def build(b: Emitter, x: Value, y: Value, z: Value) -> Any:
        product = b.add(ir.Dot, lhs=x, rhs=y, acc=z)
        turned = b.add(ir.Transpose, source=y, order=(1, 0))
        back = b.add(ir.Transpose, source=x, order=(1, 0))
        zero = b.constant(0, TileType((n, m), total))
        return (
            product,
            b.add(ir.Add, lhs=product, rhs=z),
            b.add(ir.Dot, lhs=turned, rhs=back, acc=zero),
        )

    # Integers: their sums are exact in every order, but for the sign of a sum of negative zeros.
    arrays = [np.trunc(numbers(t, -3 if t.element.kind != "uint" else 0, 3)) + 0.0 for t in types]
    check(build, *((a.astype(dtype_of(t)), t) for a, t in zip(arrays, types, strict=True)))


def test_batched_product() -> None:
    types = [TileType(s, F32) for s in ((3, 4, 8), (3, 8, 16), (3, 4, 16))]
    arrays = [np.trunc(numbers(t, -3, 3)).astype("f4") for t in types]
    check(lambda b, x, y, z: b.add(ir.Dot, lhs=x, rhs=y, acc=z), *zip(arrays, types, strict=True))


# Atomics


@pytest.mark.parametrize("element", [I32, U32, I64, U64, F16, F32, F64], ids=str)
@pytest.mark.parametrize("shape", [(), (1,), (7,), (96,), (16, 2)], ids=name_of)
def test_atomics(element: ScalarType, shape: tuple[int, ...]) -> None:
    kinds = ["add", "min", "max", "exchange"]
    if not is_float(element):
        kinds += ["sub", "and", "or", "xor"]
    if element in (U32, U64):
        kinds += ["inc", "dec"]
    type_, flags = tile(shape, element), tile(shape, BOOL)

    def body(b: Emitter, memory: Value, x: Value, m: Value, old: Value) -> None:
        values, mask = b.load(x, type_), b.load(m, flags)
        for number, kind in enumerate([*kinds, "cas"]):
            where = memory
            if shape:
                flat = b.add(ir.Range, start=0, end=int(np.prod(shape)))
                at = b.add(ir.Rem, lhs=flat, rhs=b.constant(5, flat.type))
                at = b.add(ir.Reshape, source=at, shape=shape)
                where = b.add(ir.Splat, source=memory, shape=shape)
                where = b.add(ir.Offset, pointer=where, index=at, scale=element.bytes)
            fields: dict[str, Any] = {"pointer": where, "value": values, "mask": mask}
            if kind == "cas":
                found = b.add(ir.AtomicCas, compare=b.constant(3, type_), **fields)
            else:
                found = b.add(ir.AtomicRmw, kind=kind, **fields)
            size = int(np.prod(shape)) * number
            place = b.add(ir.Offset, pointer=old, index=b.constant(size, I32), scale=element.bytes)
            b.store(place, found)

    arrays = [numbers(TileType((8,), element), 0, 9), numbers(type_, 0, 9), numbers(flags)]
    size = int(np.prod(shape)) * (len(kinds) + 1)
    arrays.append(np.zeros(size, dtype_of(element)))
    compare(kernel_of([PTR] * 4, body), arrays)


# Control


@pytest.mark.parametrize("element", [I32, F32, F16, BOOL], ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=name_of)
def test_loops_carry_tiles(element: ScalarType, shape: tuple[int, ...]) -> None:
    """Two values that swap places, one that grows, one that stays; by 0, 1 and 5 rounds."""
    type_ = tile(shape, element)
    join: Any = ir.Xor if is_bool(element) else ir.Add

    def body(b: Emitter, p: Value, q: Value, out: Value, n: Value) -> None:
        x, y = b.load(p, type_), b.load(q, type_)

        def turn(c: Emitter, i: Value, a: Value, d: Value, e: Value, f: Value) -> Any:
            c.store(out, d)
            return d, a, c.add(join, lhs=e, rhs=c.add(join, lhs=a, rhs=f)), f

        loop = b.effect(
            ir.For,
            lower=b.constant(0, I32),
            upper=n,
            step=b.constant(1, I32),
            initial=(x, y, y, x),
            body=b.function([I32, type_, type_, type_, type_], turn),
        )
        r = loop.results
        b.store(q, r[2])
        b.store(p, b.add(join, lhs=r[0], rhs=b.add(join, lhs=r[1], rhs=r[3])))

    arrays = [numbers(type_, 0, 3), numbers(type_, 0, 3), np.zeros(shape, dtype_of(element))]
    kernel = kernel_of([PTR, PTR, PTR, I32], body)
    for rounds in (0, 1, 5):
        compare(kernel, [*arrays, rounds])


@pytest.mark.parametrize("shape", SHAPES[::2], ids=name_of)
def test_while_and_if(shape: tuple[int, ...]) -> None:
    """A while whose condition swaps what it passes on, an if with tile results inside."""
    type_ = tile(shape, I32)

    def body(b: Emitter, p: Value, q: Value, n: Value) -> None:
        x, y = b.load(p, type_), b.load(q, type_)
        costly = x
        for _ in range(8):
            costly = b.add(ir.Mul, lhs=b.add(ir.Add, lhs=costly, rhs=y), rhs=x)
        before = Region((Value(I32), Value(type_), Value(type_)))
        c = Emitter(before, b.location)
        count, a, d = before.args
        more = c.add(ir.Compare, predicate="gt", lhs=count, rhs=c.constant(0, I32))
        c.effect(ir.Condition, condition=more, values=(count, d, a))

        def turn(c: Emitter, count: Value, a: Value, d: Value) -> Any:
            even = c.add(ir.And, lhs=count, rhs=c.constant(1, I32))
            zero = c.add(ir.Compare, predicate="eq", lhs=even, rhs=c.constant(0, I32))

            def then(e: Emitter) -> Any:
                e.store(p, e.add(ir.Add, lhs=a, rhs=d))
                return e.add(ir.Add, lhs=a, rhs=e.load(p, type_)), costly

            branch = c.effect(
                ir.If,
                condition=zero,
                then_region=c.function([], then),
                else_region=c.function([], lambda e: (e.add(ir.Sub, lhs=d, rhs=costly), a)),
            )
            less = c.add(ir.Sub, lhs=count, rhs=c.constant(1, I32))
            return less, branch.results[0], branch.results[1]

        loop = b.effect(
            ir.While,
            initial=(n, x, y),
            before=before,
            body=b.function([I32, type_, type_], turn),
        )
        b.store(q, b.add(ir.Sub, lhs=loop.results[1], rhs=loop.results[2]))
        b.store(p, b.add(ir.Add, lhs=costly, rhs=x))

    arrays = [numbers(type_, 0, 9), numbers(type_, 0, 9)]
    kernel = kernel_of([PTR, PTR, I32], body)
    for rounds in (0, 1, 4, 5):
        compare(kernel, [*arrays, rounds])


def test_any_lane_and_scalars_of_tiles() -> None:
    for shape in ((1,), (7,), (96,), (16, 2)):
        type_ = TileType(shape, I32)

        def build(b: Emitter, x: Value) -> Any:
            some = []
            for limit in (-200, 0, 1 << 31 - 1):
                flags = b.add(ir.Compare, predicate="lt", lhs=x, rhs=b.constant(limit, x.type))
                some.append(b.add(ir.AnyLane, source=flags))
            one = b.add(ir.Splat, source=some[0], shape=(1, 1))
            return (*some, b.add(ir.Unsplat, source=one))

        check(build, (numbers(type_), type_))


def test_split_late_after_a_store() -> None:
    """Halves of what was loaded before a store, needed after it."""

    def body(b: Emitter, a: Value, out: Value) -> None:
        x = b.load(a, TileType((64, 2), I32))
        left, right = b.effect(ir.Split, source=x).results
        costly = left
        for _ in range(9):
            costly = b.add(ir.Mul, lhs=costly, rhs=left)
        b.store(a, b.add(ir.Add, lhs=costly, rhs=left))
        b.store(out, b.add(ir.Sub, lhs=right, rhs=costly))

    arrays = [np.arange(128, dtype="i4").reshape(64, 2), np.zeros(64, "i4")]
    compare(kernel_of([PTR, PTR], body), arrays)
