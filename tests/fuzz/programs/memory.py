"""Steps that read and write memory: masks, overlap, atomics."""

from __future__ import annotations

import math
from typing import Any

from canopy import ir
from canopy.ir import Value
from canopy.ir.types import (
    BOOL,
    I16,
    I32,
    I64,
    PTR,
    U64,
    ScalarType,
    Type,
    element_type,
    is_bool,
    is_float,
    is_integer,
    is_pointer,
    is_signed,
    shape_of,
    with_element,
)
from tests.fuzz.programs.generator import ATOMICS, GAP, INTEGERS, LOG, SLICE, Generator, step

_EXTENT = SLICE - GAP
_INDEX_TYPES = [e for e in INTEGERS if e.bits >= 16]


def _plain(g: Generator) -> list[str]:
    """The buffers that any step may read and write."""
    return [n for n in g.buffers if not n.startswith(("near", "atomic", "counters", "log"))]


def _offset(g: Generator, name: str, index: Value, shape: tuple[int, ...]) -> Value:
    """Pointers at ``index`` (below the slice's extent) of this program's slice."""
    scale = g.elements[name].bytes
    if g.chance(0.15):
        return _before(g, name, index, shape)
    if g.chance(0.3):  # ptr + base, then + index, as kernels with strides do
        start = g.add(ir.Offset, pointer=g.buffers[name], index=g.base, scale=scale)
        start = g.splat(start, shape)
    else:
        start = g.splat(g.buffers[name], shape)
        base = g.converted_exactly(g.base, element_type(index.type))  # type: ignore[arg-type]
        index = g.add(ir.Add, lhs=index, rhs=g.splat(base, shape))
    made = g.add(ir.Offset, pointer=start, index=index, scale=scale)
    if g.chance(0.05):
        number = g.add(ir.Bitcast, source=made, type=I64)
        made = g.add(ir.Bitcast, source=number, type=PTR)
    return made


def _before(g: Generator, name: str, index: Value, shape: tuple[int, ...]) -> Value:
    """The same from the slice's end, with negative indices."""
    scale = g.elements[name].bytes
    start = g.add(ir.Offset, pointer=g.buffers[name], index=g.base, scale=scale)
    end = g.add(ir.Offset, pointer=start, index=g.constant(_EXTENT, I32), scale=scale)
    index = g.converted_exactly(index, g.rng.choice([I16, I32, I64]))
    index = g.add(ir.Sub, lhs=index, rhs=g.constant(_EXTENT, index.type))
    return g.add(ir.Offset, pointer=g.splat(end, shape), index=index, scale=scale)


def addresses(g: Generator, name: str, shape: tuple[int, ...]) -> Value:
    """Pointers into the slice: contiguous, strided, in two dimensions, repeated or at random."""
    element = g.rng.choice([I32, I32, *_INDEX_TYPES])
    type_ = g.type_like(shape, element)
    kind = g.rng.random()
    if not shape or kind < 0.25:
        return _offset(g, name, g.limited(g.pick(type_), _EXTENT), shape)
    index = g.index(shape, I32)
    if kind < 0.4:
        stride = g.rng.choice([0, 2, 3, -1])
        index = g.add(ir.Mul, lhs=index, rhs=g.constant(stride, index.type))
    if kind < 0.6:
        move = g.constant(g.rng.choice([1, 5, 8]), index.type)
        index = g.add(ir.Add, lhs=index, rhs=move)
    if kind < 0.4 or math.prod(shape) + 8 > _EXTENT:
        index = g.limited(index, _EXTENT)
    return _offset(g, name, g.converted_exactly(index, element), shape)


def load_tile(g: Generator, name: str, shape: tuple[int, ...]) -> Value:
    """A load, masked or not, of an element type as the buffer has."""
    pointer = addresses(g, name, shape)
    type_ = with_element(pointer.type, g.elements[name])
    mask = other = None
    if g.chance(0.6):
        mask, other = g.pick(with_element(type_, BOOL)), g.pick(type_)
    volatile = g.chance(0.05)
    return g.keep(
        ir.Load,
        pointer=pointer,
        mask=mask,
        other=other,
        type=g.elements[name],
        volatile=volatile,
    )


def load_row(g: Generator, type_: Type) -> Value | None:
    """A whole tile of that type from consecutive places; None where no buffer has such elements."""
    names = [name for name in _plain(g) if g.elements[name] == element_type(type_)]
    if not names or math.prod(shape_of(type_)) > _EXTENT:
        return None
    name, shape = g.rng.choice(names), shape_of(type_)
    index = g.index(shape, I32) if shape else g.constant(g.rng.randrange(_EXTENT), I32)
    return g.add(ir.Load, pointer=_offset(g, name, index, shape), type=g.elements[name])


@step(3)
def bounded_row(g: Generator) -> None:
    """As most kernels do: what lies below a bound is loaded, changed, and stored."""
    shape = (g.lanes,) if g.chance(0.7) else g.shape() or (1,)
    index = g.index(shape, I32)
    last = g.limited(g.pick(I32), max(shape[-1], 2))
    below = g.rng.choice(["lt", "le"])
    mask = g.add(ir.Compare, predicate=below, lhs=index, rhs=g.splat(last, shape))
    if math.prod(shape) > _EXTENT:
        return
    name, target = g.rng.choice(_plain(g)), g.rng.choice(_plain(g))
    pointer = _offset(g, name, index, shape)
    other = g.pick(with_element(index.type, g.elements[name])) if g.chance(0.5) else None
    if other is None:
        other = g.constant(0, with_element(index.type, g.elements[name]))
    loaded = g.keep(ir.Load, pointer=pointer, mask=mask, other=other, type=g.elements[name])
    g.record(loaded)
    stored = g.converted(loaded, g.elements[target])
    g.effect(ir.Store, pointer=_offset(g, target, index, shape), value=stored, mask=mask)


@step(5)
def load(g: Generator) -> None:
    load_tile(g, g.rng.choice(_plain(g)), g.shape())


@step(4)
def store_something(g: Generator) -> None:
    store(g, g.pick(g.type()))


def _twice(g: Generator) -> str:
    """A buffer, often the one that is given twice."""
    again = next(n for n in g.buffers if n.endswith("_again"))
    return g.rng.choice([again, again.removesuffix("_again"), *g.rng.sample(_plain(g), 2)])


@step(3)
def update(g: Generator) -> None:
    """Loads, computes and stores in place, the old value being used afterwards too."""
    name = _twice(g)
    element = g.elements[name]
    shape = g.shape()
    pointer = addresses(g, name, shape)
    old = g.keep(ir.Load, pointer=pointer, type=element)
    if is_bool(element):
        new = g.add(ir.Xor, lhs=old, rhs=g.pick(old.type))
    else:
        new = g.add(g.rng.choice([ir.Add, ir.Mul]), lhs=old, rhs=g.pick(old.type))
    target = pointer if g.chance(0.5) else addresses(g, _twin(g, name), shape)
    mask = g.pick(with_element(old.type, BOOL)) if g.chance(0.5) else None
    g.effect(ir.Store, pointer=target, value=new, mask=mask)
    if g.chance(0.5):
        g.keep(ir.Add if not is_bool(element) else ir.Or, lhs=old, rhs=new)
    if g.chance(0.5):
        store(g, old)
    if g.chance(0.4):
        g.record(g.keep(ir.Load, pointer=pointer, type=element))
        g.record(old)


@step(2)
def reread(g: Generator) -> None:
    """A tile loaded before a loop, and used in it while the loop overwrites its memory."""
    if g.depth > 1:
        return
    name = _twice(g)
    pointer = addresses(g, name, g.shape())
    old = g.keep(ir.Load, pointer=pointer, type=g.elements[name])
    args = (Value(I32, "i"), Value(old.type))

    def fill() -> None:
        kind: Any = ir.Xor if is_bool(old.type) else g.rng.choice([ir.Add, ir.Sub])
        new = g.add(kind, lhs=old, rhs=args[1])
        target = pointer if g.chance(0.6) else addresses(g, _twin(g, name), old.shape)
        g.effect(ir.Store, pointer=target, value=new)
        g.steps(g.rng.randrange(2))
        g.effect(ir.Yield, values=(new,))

    loop = g.effect(
        ir.For,
        lower=g.constant(0, I32),
        upper=g.constant(g.rng.randrange(1, 4), I32),
        step=g.constant(1, I32),
        initial=(g.pick(old.type),),
        body=g.region(args, fill),
    )
    g.leave(*loop.results)


def _twin(g: Generator, name: str) -> str:
    """The other name of the buffer that may be given twice."""
    other = name.removesuffix("_again") if name.endswith("_again") else f"{name}_again"
    return other if other in g.buffers else name


def store(g: Generator, value: Value) -> None:
    """Stores a value, converted to an element type that has a buffer."""
    if is_pointer(value.type) or math.prod(value.shape) > 512:
        return
    names = [n for n in _plain(g) if g.elements[n] == element_type(value.type)]
    name = g.rng.choice(names or _plain(g))
    value = g.converted(value, g.elements[name])
    pointer = addresses(g, name, value.shape)
    mask = g.pick(with_element(value.type, BOOL)) if g.chance(0.4) else None
    g.effect(ir.Store, pointer=pointer, value=value, mask=mask, volatile=g.chance(0.03))


def store_near(g: Generator, value: Value) -> None:
    """Stores what need not be exact; at a place of its own, so that no store hides another."""
    name = next(n for n in g.buffers if n.startswith("near"))
    if math.prod(value.shape) > _EXTENT:
        value = _cut(g, value)
    index = g.index(value.shape, I32) if value.shape else g.constant(0, I32)
    g.effect(ir.Store, pointer=_offset(g, name, index, value.shape), value=value)


def log(g: Generator, value: Value) -> None:
    """Stores a value as i64 or the widest float, which hold every other type, at a place of its
    own."""
    if is_pointer(value.type):
        return
    name = f"log_{g.widest if is_float(value.type) else I64}"
    width = g.elements[name].bytes
    size, place = math.prod(value.shape), g.logged[name]
    if place + size > LOG:
        return
    g.logged[name] += size
    index = g.index(value.shape, I32) if value.shape else g.constant(0, I32)
    start = g.add(ir.Add, lhs=g.log_base, rhs=g.constant(place, I32))
    pointer = g.add(ir.Offset, pointer=g.buffers[name], index=start, scale=width)
    pointer = g.splat(pointer, value.shape)
    pointer = g.add(ir.Offset, pointer=pointer, index=index, scale=width)
    if element_type(value.type) == U64:
        value = g.add(ir.Bitcast, source=value, type=I64)
    value = g.converted_exactly(value, g.elements[name])
    g.effect(ir.Store, pointer=pointer, value=value)


def _cut(g: Generator, value: Value) -> Value:
    flat = g.add(ir.Reshape, source=value, shape=(math.prod(value.shape),))
    return g.add(ir.Gather, source=flat, indices=g.index((64,), I32), axis=0)


@step(1)
def walk_pointer(g: Generator) -> None:
    """A loop that carries a pointer tile and an integer tile, each moved by a uniform step."""
    if g.depth > 1:
        return
    shape = g.shape() or (g.lanes,)
    name = g.rng.choice(_plain(g))
    lanes = g.limited(g.index(shape, I32), _EXTENT - 64)
    pointer = _offset(g, name, lanes, shape)
    args = (Value(I32, "i"), Value(pointer.type), Value(lanes.type))
    scalar = g.limited(g.pick(I32), 16)

    def move() -> Value:
        if g.chance(0.5):
            return g.constant(g.rng.randrange(16), lanes.type)
        return g.splat(scalar, shape)

    def fill() -> None:
        loaded = g.keep(ir.Load, pointer=args[1], type=g.elements[name])
        store(g, loaded)
        g.steps(1)
        if g.chance(0.3):
            g.effect(ir.Store, pointer=args[1], value=g.pick(loaded.type))
        moved = g.add(ir.Offset, pointer=args[1], index=move(), scale=g.elements[name].bytes)
        counted = g.add(g.rng.choice([ir.Add, ir.Add, ir.Sub]), lhs=args[2], rhs=move())
        g.effect(ir.Yield, values=(moved, counted))

    loop = g.effect(
        ir.For,
        lower=g.constant(0, I32),
        upper=g.constant(g.rng.randrange(5), I32),
        step=g.constant(1, I32),
        initial=(pointer, lanes),
        body=g.region(args, fill),
    )
    g.leave(loop.results[1])
    g.keep(ir.Load, pointer=loop.results[0], type=g.elements[name])


@step(1)
def choose_pointer(g: Generator) -> None:
    """A pointer that comes from one of two buffers."""
    shape = g.shape()
    name = g.rng.choice(_plain(g))
    pointers = [addresses(g, n, shape) for n in (name, _twin(g, name))]
    condition = g.pick(with_element(pointers[0].type, BOOL) if g.chance(0.5) else BOOL)
    chosen = g.add(ir.Select, condition=condition, if_true=pointers[0], if_false=pointers[1])
    loaded = g.keep(ir.Load, pointer=chosen, type=g.elements[name])
    if g.chance(0.5):
        g.effect(ir.Store, pointer=chosen, value=g.pick(loaded.type))


# ---- atomics ---------------------------------------------------------------------------------


@step(1)
def count(g: Generator) -> None:
    """Into counters that all programs share, without use of the old value: the order of programs
    does not show. Each counter has one kind of update."""
    kinds = ["add", "and", "or", "xor", "min", "max"]
    kind = g.rng.randrange(len(kinds))
    value = g.pick(g.type_like(g.shape(), I32))
    index = g.constant(kind, value.type)
    pointer = g.splat(g.buffers["counters_i32"], value.shape)
    pointer = g.add(ir.Offset, pointer=pointer, index=index, scale=4)
    mask = g.pick(with_element(value.type, BOOL)) if g.chance(0.5) else None
    g.effect(ir.AtomicRmw, kind=kinds[kind], pointer=pointer, value=value, mask=mask)


@step(2)
def atomic(g: Generator) -> None:
    """On places of this program's own, no two lanes on one, so that the old value is defined."""
    name = next(n for n in g.buffers if n.startswith("atomic"))
    element = g.elements[name]
    shape = g.rng.choice([(), (min(g.lanes, ATOMICS),), (2, 8), (4, 4)])
    places = g.index(shape, I32) if shape else g.limited(g.pick(I32), ATOMICS)
    if shape and g.chance(0.3):
        last = g.constant(ATOMICS - 1, places.type)
        places = g.add(ir.Sub, lhs=last, rhs=places)
    base = g.splat(g.atomic_base, shape)
    index = g.add(ir.Add, lhs=places, rhs=base)
    pointer = g.add(
        ir.Offset, pointer=g.splat(g.buffers[name], shape), index=index, scale=element.bytes
    )
    type_ = with_element(pointer.type, element)
    mask = g.pick(with_element(type_, BOOL)) if g.chance(0.4) else None
    order = g.rng.choice(["relaxed", "acquire", "release", "acq_rel"])
    fields: dict[str, Any] = {"pointer": pointer, "mask": mask, "order": order}
    fields["value"] = _atomic_operand(g, element, type_)
    if g.chance(0.25):
        compare = _atomic_operand(g, element, type_)
        g.keep(ir.AtomicCas, compare=compare, **fields)
        return
    kinds = ["add", "sub", "exchange", "min", "max"]
    kinds += ["and", "or", "xor", "inc", "dec"] if is_integer(element) else []
    if is_integer(element) and is_signed(element):
        kinds = [k for k in kinds if k not in ("inc", "dec")]
    g.keep(ir.AtomicRmw, kind=g.rng.choice(kinds), **fields)


def _atomic_operand(g: Generator, element: ScalarType, type_: Any) -> Value:
    """Floats without NaN and with one zero: bits are compared, and min may give either zero."""
    value = g.pick(type_)
    if not is_float(element):
        return value if g.chance(0.5) else g.small(value, element, 0, 5)
    return g.with_one_zero(g.small(value, element, 0, 5))
