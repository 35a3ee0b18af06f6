"""Steps of elementwise ops: arithmetic, comparison, selection, conversion, mathematics."""

from __future__ import annotations

from typing import Any

from canopy import ir
from canopy.ir.types import (
    BOOL,
    F16,
    F32,
    F64,
    I32,
    element_type,
    is_float,
    is_integer,
    with_element,
)
from tests.fuzz.programs.generator import FLOATS, INTEGERS, WIDE_FLOATS, Generator, step

# f16 and bf16 sums and products are computed in f32 and rounded, as the interpreter does.
_EXACT_FUNCTIONS = ("abs", "neg", "floor", "ceil", "rint", "trunc", "round", "sqrt")
_BIT_FUNCTIONS = ("abs", "neg", "clz", "ctz", "popcount", "bit_reverse")
_PREDICATES = ("isnan", "isinf", "isfinite")
_RELATIONS = ("eq", "ne", "lt", "le", "gt", "ge")


@step(6)
def integer_op(g: Generator) -> None:
    type_ = g.type(INTEGERS)
    lhs, rhs = g.pick(type_), g.pick(type_)
    kinds: list[Any] = [ir.Add, ir.Sub, ir.Mul, ir.And, ir.Or, ir.Xor, ir.Min, ir.Max]
    kinds += [ir.Div, ir.Div, ir.Rem, ir.ShiftLeft, ir.ShiftRight, ir.MulHigh]
    kind = g.rng.choice(kinds)
    if kind in (ir.ShiftLeft, ir.ShiftRight) and g.chance(0.7):
        last = element_type(type_).bits - 1
        rhs = g.add(ir.And, lhs=rhs, rhs=g.constant(last, type_))
    if kind in (ir.Div, ir.Rem) and g.chance(0.5):
        rhs = g.constant(g.rng.choice([1, 2, 3, 7, 16]), type_)
    g.keep(kind, lhs=lhs, rhs=rhs)


_MIXED: tuple[Any, ...] = (
    *(ir.Add, ir.Sub, ir.Mul, ir.Min, ir.Max, ir.Xor),
    *(ir.Div, ir.Div, ir.Rem, ir.Rem, ir.ShiftRight, ir.ShiftRight, ir.ShiftLeft),
)


@step(4)
def integer_chain(g: Generator) -> None:
    """Several ops in a row on numbers of both signs, with constants that compilers treat apart."""
    type_ = g.type(INTEGERS)
    bits = element_type(type_).bits
    values = [g.varied(type_), g.varied(type_)]
    for _ in range(g.rng.randrange(2, 6)):
        kind = g.rng.choice(_MIXED)
        rhs = g.rng.choice(values)
        if kind in (ir.ShiftLeft, ir.ShiftRight) and g.chance(0.8):
            rhs = g.constant(g.rng.choice([1, 3, bits - 1, bits, min(bits + 8, 127)]), type_)
        elif g.chance(0.4):
            rhs = g.constant(g.rng.choice([1, 2, 3, 7, 16]), type_)
        values.append(g.add(kind, lhs=g.rng.choice(values), rhs=rhs))
        g.record(values[-1])
    g.leave(values[-1])


@step(1)
def constant(g: Generator) -> None:
    """Two constants that differ little: shared, if a pass takes them for one."""
    type_ = g.type()
    first = g.literal(element_type(type_))
    second = -first if is_float(type_) else g.literal(element_type(type_))
    for number in (first, second):
        g.record(g.leave(g.constant(number, type_)))


@step(2)
def integer_function(g: Generator) -> None:
    type_ = g.type(INTEGERS)
    if g.chance(0.3):
        g.keep(ir.Fma, a=g.pick(type_), b=g.pick(type_), c=g.pick(type_))
        return
    g.keep(ir.MathCall, function=g.rng.choice(_BIT_FUNCTIONS), arguments=(g.pick(type_),))


@step(2)
def bool_op(g: Generator) -> None:
    type_ = g.type((BOOL,))
    kind: Any = g.rng.choice([ir.And, ir.Or, ir.Xor])
    g.keep(kind, lhs=g.pick(type_), rhs=g.pick(type_))


@step(5)
def float_op(g: Generator) -> None:
    type_ = g.type(FLOATS)
    kind: Any = g.rng.choice([ir.Add, ir.Sub, ir.Mul, ir.Div, ir.Rem, ir.Min, ir.Max])
    lhs, rhs = g.pick(type_), g.pick(type_)
    if kind in (ir.Min, ir.Max):
        found = g.add(kind, lhs=lhs, rhs=rhs, propagate_nan=g.chance(0.5))
        g.leave(g.with_one_zero(found))
        return
    g.keep(kind, lhs=lhs, rhs=rhs)


@step(2)
def float_chain(g: Generator) -> None:
    """Two ops that must round twice, in this order."""
    type_ = g.type(WIDE_FLOATS)
    first: Any = g.rng.choice([ir.Add, ir.Mul])
    second: Any = g.rng.choice([ir.Add, ir.Sub])
    inner = g.add(first, lhs=g.varied(type_), rhs=g.varied(type_))
    g.record(g.keep(second, lhs=inner, rhs=g.varied(type_)))


@step(1)
def twins(g: Generator) -> None:
    """Two ops on the same operands that differ in a flag alone."""
    type_ = g.type(WIDE_FLOATS)
    lhs, rhs = g.varied(type_), g.varied(type_)
    relation, extreme = g.rng.choice(_RELATIONS), g.rng.choice([ir.Min, ir.Max])
    ordered = g.chance(0.5)
    for flag in (False, True):
        if ordered:
            made = g.add(ir.Compare, predicate=relation, lhs=lhs, rhs=rhs, unordered=flag)
        else:
            made = g.with_one_zero(g.add(extreme, lhs=lhs, rhs=rhs, propagate_nan=flag))
        g.record(g.leave(made))


@step(3)
def float_function(g: Generator) -> None:
    """Functions whose result is one rounding of the exact one."""
    type_ = g.type(WIDE_FLOATS)
    choice = g.rng.randrange(10)
    if choice == 0 and g.may_use(ir.Fma):
        g.keep(ir.Fma, a=g.pick(type_), b=g.pick(type_), c=g.pick(type_))
    elif choice <= 1:
        _clamp(g)
    elif choice == 2:
        function = g.rng.choice(_PREDICATES)
        g.keep(ir.MathCall, function=function, arguments=(g.pick(type_),), type=I32)
    elif choice == 3:
        sign = g.without_nan(g.pick(type_))
        g.keep(ir.MathCall, function="copysign", arguments=(g.pick(type_), sign))
    elif choice == 4:
        function = g.rng.choice(["fmod", "fdim"])
        g.keep(ir.MathCall, function=function, arguments=(g.pick(type_), g.pick(type_)))
    else:
        function = g.rng.choice(_EXACT_FUNCTIONS)
        g.keep(ir.MathCall, function=function, arguments=(g.pick(type_),))


def _clamp(g: Generator) -> None:
    type_ = g.type(WIDE_FLOATS)
    low, high = g.rng.choice([(-2.0, 3.0), (1.0, 1.5), (-100.0, -1.0), (0.5, float("inf"))])
    low_tile, high_tile = g.constant(low, type_), g.constant(high, type_)
    source, propagate = g.pick(type_), g.chance(0.5)
    g.keep(ir.Clamp, source=source, low=low_tile, high=high_tile, propagate_nan=propagate)


@step(4)
def cast(g: Generator) -> None:
    g.leave(g.converted(g.pick(g.type()), g.element()))


@step(2)
def bitcast(g: Generator) -> None:
    source = g.pick(g.type((*INTEGERS, *FLOATS)))
    bits = element_type(source.type).bits
    alike = [t for t in g.known((*INTEGERS, *FLOATS)) if t.bits == bits]
    target = g.element(alike)
    if is_float(source.type):
        source = g.without_nan(source)
    made = g.add(ir.Bitcast, source=source, type=target)
    if is_float(target) and is_integer(source.type):  # a signalling NaN shows in its bits alone
        made = g.without_nan(made)
    g.leave(made)


@step(4)
def compare(g: Generator) -> None:
    type_ = g.type((*INTEGERS, *FLOATS))
    unordered = is_float(type_) and g.chance(0.3)
    lhs, rhs = g.pick(type_), g.pick(type_)
    g.keep(ir.Compare, predicate=g.rng.choice(_RELATIONS), lhs=lhs, rhs=rhs, unordered=unordered)


@step(3)
def bound(g: Generator) -> None:
    """A mask as kernels make it: the index of each lane against a scalar."""
    shape = g.shape()
    index = g.index(shape, I32) if shape else g.program
    element = g.rng.choice([e for e in INTEGERS if e.bits >= 16])
    offset = g.converted(g.rng.choice([v for v in g.pool if v.type == I32]), I32)
    if g.chance(0.4):
        limited = g.limited(offset, 64)
        index = g.add(ir.Add, lhs=index, rhs=g.splat(limited, shape))
    index = g.converted(index, element)
    limits = [v for v in g.pool if v.type == element]
    limit = g.rng.choice(limits) if limits else g.constant(g.rng.randrange(100), element)
    operands = [index, g.splat(limit, shape)]
    if g.chance(0.3):
        operands.reverse()
    g.keep(ir.Compare, predicate=g.rng.choice(_RELATIONS), lhs=operands[0], rhs=operands[1])


@step(3)
def select(g: Generator) -> None:
    type_ = g.type()
    condition = g.pick(BOOL if g.chance(0.2) else with_element(type_, BOOL))
    g.keep(ir.Select, condition=condition, if_true=g.pick(type_), if_false=g.pick(type_))


_SMOOTH = (
    *("exp", "exp2", "expm1", "sin", "cos", "tanh", "erf", "sigmoid", "atan", "sinh", "cosh"),
    *("asinh", "erfc", "normcdf", "sinpi", "cospi", "exp10"),
)
_OF_POSITIVES = ("log", "log2", "log10", "log1p", "sqrt", "rsqrt", "cbrt", "rcbrt")


@step(2)
def approximate(g: Generator) -> None:
    """A function that targets approximate, and what follows it up to a buffer of its own."""
    from tests.fuzz.programs.memory import store_near

    shape = g.shape()
    element = g.elements[next(name for name in g.elements if name.startswith("near"))]
    computed = g.rng.choice(g.known((F32, F32, F64, F16))) if element == F16 else element
    type_ = g.type_like(shape, computed)
    near = _function(g, _between(g, g.pick(type_), -1.0, 1.0))
    for _ in range(g.rng.randrange(3)):
        other = _between(g, g.pick(type_), -2.0, 2.0)
        kind: Any = g.rng.choice([ir.Add, ir.Sub, ir.Mul])
        near = g.add(kind, lhs=near, rhs=other)
    if shape and g.chance(0.4):
        near = _summed(g, near)
    store_near(g, g.converted_exactly(near, element))


def _function(g: Generator, x: ir.Value) -> ir.Value:
    if g.chance(0.6):
        return g.add(ir.MathCall, function=g.rng.choice(_SMOOTH), arguments=(x,))
    if g.chance(0.7):
        positive = g.add(ir.Add, lhs=x, rhs=g.constant(2.0, x.type))
        return g.add(ir.MathCall, function=g.rng.choice(_OF_POSITIVES), arguments=(positive,))
    positive = g.add(ir.Add, lhs=x, rhs=g.constant(2.0, x.type))
    function = g.rng.choice(["pow", "atan2", "hypot"])
    return g.add(ir.MathCall, function=function, arguments=(positive, x))


def _between(g: Generator, x: ir.Value, low: float, high: float) -> ir.Value:
    bounds = {"low": g.constant(low, x.type), "high": g.constant(high, x.type)}
    return g.add(ir.Clamp, source=x, **bounds)


def _summed(g: Generator, near: ir.Value) -> ir.Value:
    """A float sum, whose order is the target's to choose."""
    element = element_type(near.type)
    axis = g.rng.randrange(len(near.shape))
    region = g.combiner((element,), lambda add, a, b: (add(ir.Add, lhs=a, rhs=b),))
    if g.chance(0.3):
        return g.add(ir.Scan, sources=(near,), axis=axis, reverse=g.chance(0.5), combine=region)
    return g.add(ir.Reduce, sources=(near,), axis=axis, combine=region)
