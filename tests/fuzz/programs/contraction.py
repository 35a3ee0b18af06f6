"""Steps that combine lanes: reductions, scans and products whose result no order changes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from canopy import ir
from canopy.ir import Region, Value
from canopy.ir.types import (
    BF16,
    BOOL,
    F8E4M3,
    F8E5M2,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    U8,
    U32,
    ScalarType,
    TileType,
    element_type,
    is_bool,
    is_float,
    is_integer,
    with_element,
)
from tests.fuzz.programs.generator import Generator, is_unsigned, step

Adder = Callable[..., Value]
Yields = Callable[..., Sequence[Value]]


@step(4)
def reduce(g: Generator) -> None:
    sources, region, is_extreme = _reduction(g)
    axis = g.rng.randrange(len(sources[0].shape))
    found = g.effect(ir.Reduce, sources=sources, axis=axis, combine=region)
    g.leave(*_settled(g, found.results, is_extreme))


@step(3)
def scan(g: Generator) -> None:
    chosen = _recurrence(g) if g.chance(0.3) else _reduction(g)
    sources, region, is_extreme = chosen
    axis, reverse = g.rng.randrange(len(sources[0].shape)), g.chance(0.4)
    found = g.effect(ir.Scan, sources=sources, axis=axis, reverse=reverse, combine=region)
    g.leave(*_settled(g, found.results, is_extreme))


def _settled(g: Generator, results: tuple[Value, ...], is_extreme: bool) -> list[Value]:
    floats = [is_extreme and is_float(value.type) for value in results]
    return [g.with_one_zero(v) if f else v for v, f in zip(results, floats, strict=True)]


def _reduction(g: Generator) -> tuple[tuple[Value, ...], Region, bool]:
    """Sources, a commutative and associative region, and whether it picks an extreme."""
    source = g.any_tile()
    choice = g.rng.random()
    if choice < 0.2:
        return _arg_extreme(g, source)
    first = _single(g, source)
    if choice < 0.35:
        second = _single(g, g.pick(with_element(source.type, g.element())))
        return _side_by_side(g, first, second)
    source, step_of, is_extreme = first
    region = g.combiner((element_type(source.type),), lambda add, a, b: (step_of(add, a, b),))
    return (source,), region, is_extreme


Single = tuple[Value, Callable[[Adder, Value, Value], Value], bool]


def _single(g: Generator, source: Value) -> Single:
    """One source and how two of its lanes combine."""
    if is_bool(source.type):
        return source, _binary(g.rng.choice([ir.And, ir.Or, ir.Xor])), False
    if is_integer(source.type):
        kinds = [ir.Add, ir.Add, ir.Mul, ir.And, ir.Or, ir.Xor, ir.Min, ir.Max]
        if g.chance(0.15):
            return source, _sum_and_one, False
        return source, _binary(g.rng.choice(kinds)), False
    if g.chance(0.6):
        propagate = g.chance(0.5)
        if g.chance(0.3):  # of one sign, as no neutral element should be
            source = g.add(ir.MathCall, function="abs", arguments=(source,))
            if g.chance(0.7):
                source = g.add(ir.MathCall, function="neg", arguments=(source,))
        return source, _binary(g.rng.choice([ir.Min, ir.Max]), propagate_nan=propagate), True
    whole = g.whole(source, -16.0, 100.0)
    wide = g.converted_exactly(whole, F64 if element_type(source.type) == F64 else F32)
    return wide, _binary(ir.Add), False


def _binary(kind: Any, **fields: Any) -> Callable[[Adder, Value, Value], Value]:
    return lambda add, a, b: add(kind, lhs=a, rhs=b, **fields)


def _sum_and_one(add: Adder, a: Value, b: Value) -> Value:
    """a + b + 1: associative, but zero is not its neutral element."""
    one = add(ir.Constant, value=1, type=a.type)
    return add(ir.Add, lhs=add(ir.Add, lhs=a, rhs=b), rhs=one)


def _side_by_side(
    g: Generator, first: Single, second: Single
) -> tuple[tuple[Value, ...], Region, bool]:
    """Two independent reductions in one op."""
    (left, combine_left, _), (right, combine_right, _) = first, second
    elements = (element_type(left.type), element_type(right.type))
    region = g.combiner(
        elements,
        lambda add, a, b, c, d: (combine_left(add, a, c), combine_right(add, b, d)),
    )
    return (left, right), region, first[2] or second[2]


def _arg_extreme(g: Generator, source: Value) -> tuple[tuple[Value, ...], Region, bool]:
    """The largest (or smallest) value and its lowest index, as Triton reduces a pair."""
    if is_bool(source.type):
        source = g.converted_exactly(source, I32)
    if is_float(source.type):
        source = g.with_one_zero(g.without_nan(source))
    index = g.index(source.shape, I32)
    predicate = g.rng.choice(["gt", "lt"])

    def yields(add: Adder, a: Value, i: Value, b: Value, j: Value) -> Sequence[Value]:
        better = add(ir.Compare, predicate=predicate, lhs=a, rhs=b)
        equal = add(ir.Compare, predicate="eq", lhs=a, rhs=b)
        earlier = add(ir.Compare, predicate="lt", lhs=i, rhs=j)
        wins = add(ir.Or, lhs=better, rhs=add(ir.And, lhs=equal, rhs=earlier))
        value = add(ir.Select, condition=wins, if_true=a, if_false=b)
        return value, add(ir.Select, condition=wins, if_true=i, if_false=j)

    return (source, index), g.combiner((element_type(source.type), I32), yields), False


def _recurrence(g: Generator) -> tuple[tuple[Value, ...], Region, bool]:
    """Associative regions that do not commute: a linear recurrence, or the last one flagged."""
    source = g.any_tile()
    if g.chance(0.5):
        element = g.element((I32, U32, I8, I16))
        type_ = with_element(source.type, element)

        def linear(add: Adder, a: Value, b: Value, c: Value, d: Value) -> Sequence[Value]:
            scaled = add(ir.Mul, lhs=b, rhs=c)
            return add(ir.Mul, lhs=a, rhs=c), add(ir.Add, lhs=scaled, rhs=d)

        return (g.pick(type_), g.pick(type_)), g.combiner((element, element), linear), False
    flags = g.pick(with_element(source.type, BOOL))

    def last(add: Adder, a: Value, f: Value, b: Value, h: Value) -> Sequence[Value]:
        held = add(ir.Select, condition=h, if_true=b, if_false=a)
        return held, add(ir.Or, lhs=f, rhs=h)

    return (source, flags), g.combiner((element_type(source.type), BOOL), last), False


@step(1)
def any_lane(g: Generator) -> None:
    g.keep(ir.AnyLane, source=g.pick(TileType(g.shape() or (g.lanes,), BOOL)))


_PRODUCTS: list[tuple[ScalarType, ScalarType, ScalarType]] = [
    *((F32, F32, F32), (F16, F16, F32), (BF16, BF16, F32), (F16, F16, F16), (F64, F64, F64)),
    *((F8E4M3, F8E4M3, F32), (F8E5M2, F8E5M2, F32), (F8E4M3, F8E5M2, F32)),
    *((I8, I8, I32), (U8, U8, I32), (I8, U8, I32), (I16, I16, I32)),
]


@step(2)
def dot(g: Generator) -> None:
    """Of small whole numbers, so that sums are exact in any order."""
    m, k, n = (g.rng.choice([1, 2, 3, 4, 8, 16, 16, 32]) for _ in range(3))
    while m * k > 512 or k * n > 512 or m * n > 512:
        m, k, n = max(m // 2, 1), max(k // 2, 1), max(n // 2, 1)
    batch = (2,) if g.chance(0.15) and max(m * k, k * n, m * n) <= 128 else ()
    left, right, total = g.rng.choice([p for p in _PRODUCTS if len(g.known(p)) == len(p)])
    lhs = _factor(g, (*batch, m, k), left)
    rhs = _factor(g, (*batch, k, n), right)
    if g.chance(0.3):
        acc = g.constant(g.rng.choice([0, 1]), TileType((*batch, m, n), total))
    else:
        acc = _factor(g, (*batch, m, n), total)
    made = g.keep(ir.Dot, lhs=lhs, rhs=rhs, acc=acc)
    if g.chance(0.4) and total != F16:
        again = _factor(g, (*batch, m, k), left)
        g.keep(ir.Dot, lhs=again, rhs=rhs, acc=made)


def _factor(g: Generator, shape: tuple[int, ...], element: ScalarType) -> Value:
    """A tile of whole numbers of at most 3: from memory, from the pool, or made of indices."""
    from tests.fuzz.programs.memory import load_tile

    names = [n for n, e in g.elements.items() if e in (I32, element) and n in map(str, g.palette)]
    size = math.prod(shape)
    if g.chance(0.5) and size <= 512 and not is_bool(element):
        source = load_tile(g, g.rng.choice(names), shape)
    else:
        source = g.pick(TileType(shape, I32))
    if g.chance(0.2):
        order = (*range(len(shape) - 2), len(shape) - 1, len(shape) - 2)
        flipped = tuple(shape[axis] for axis in order)
        source = g.add(ir.Reshape, source=source, shape=flipped)
        source = g.add(ir.Transpose, source=source, order=order)
    low = 0 if is_unsigned(element) else -3
    return g.small(source, element, low, 3)
