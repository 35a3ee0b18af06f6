"""Steps that move lanes."""

from __future__ import annotations

import math

from canopy import ir
from canopy.ir.types import BOOL, I8, TileType, is_integer, with_element
from tests.fuzz.programs.generator import INTEGERS, MAX_RANK, MAX_SIZE, Generator, step


@step(2)
def reshape(g: Generator) -> None:
    source = g.any_tile()
    size = math.prod(source.shape)
    shapes: list[tuple[int, ...]] = [(size,), (1, size), (size, 1)]
    shapes += [(a, size // a) for a in (2, 4, 8, 16) if size % a == 0]
    shapes += [(2, size // 4, 2), (size // 4, 2, 2)] if size % 4 == 0 else []
    shapes += [(2, 2, 2, size // 8)] if size % 8 == 0 else []
    g.keep(ir.Reshape, source=source, shape=g.rng.choice(shapes))


@step(2)
def transpose(g: Generator) -> None:
    source = g.any_tile()
    order = list(range(len(source.shape)))
    g.rng.shuffle(order)
    g.keep(ir.Transpose, source=source, order=tuple(order))


@step(2)
def broadcast(g: Generator) -> None:
    source = g.any_tile()
    if len(source.shape) >= MAX_RANK:
        return
    axis = g.rng.randrange(len(source.shape) + 1)
    room = MAX_SIZE // math.prod(source.shape)
    extents = [e for e in (1, 2, 3, 4, 8, 16) if e <= room]
    if not extents:
        return
    expanded = g.add(ir.ExpandDims, source=source, axis=axis)
    shape = list(expanded.shape)
    shape[axis] = g.rng.choice(extents)
    g.keep(ir.Broadcast, source=expanded, shape=tuple(shape))


@step(1)
def splat(g: Generator) -> None:
    scalar = g.pick(g.element())
    g.keep(ir.Splat, source=scalar, shape=g.shape() or (g.lanes,))


@step(1)
def unsplat(g: Generator) -> None:
    source = g.any_tile()
    if math.prod(source.shape) == 1:
        g.keep(ir.Unsplat, source=source)


@step(1)
def make_range(g: Generator) -> None:
    element = g.element([e for e in INTEGERS if e != I8])
    start = g.rng.choice([0, 0, 1, 5])
    g.keep(ir.Range, start=start, end=start + g.lanes, type=element)


@step(2)
def join_split(g: Generator) -> None:
    lhs = g.any_tile() if g.chance(0.9) else g.pick(g.element())
    if math.prod(lhs.shape) * 2 > MAX_SIZE or len(lhs.shape) >= MAX_RANK:
        return
    joined = g.keep(ir.Join, lhs=lhs, rhs=g.pick(lhs.type))
    if g.chance(0.5):
        g.leave(*g.effect(ir.Split, source=joined).results)


@step(1)
def split(g: Generator) -> None:
    source = g.any_tile()
    if source.shape[-1] == 2:
        g.leave(*g.effect(ir.Split, source=source).results)


@step(1)
def concat(g: Generator) -> None:
    lhs = g.any_tile()
    if math.prod(lhs.shape) * 2 <= MAX_SIZE:
        g.keep(ir.Concat, lhs=lhs, rhs=g.pick(lhs.type))


@step(2)
def gather(g: Generator) -> None:
    source = g.any_tile()
    if len(source.shape) == 1 and math.prod(source.shape) % 4 == 0 and g.chance(0.5):
        size = math.prod(source.shape)
        shapes = [(2, 2, size // 4), (4, size // 4), (2, size // 2), (size // 4, 4)]
        source = g.add(ir.Reshape, source=source, shape=g.rng.choice(shapes))
    axis = g.rng.randrange(len(source.shape))
    shape = list(source.shape)
    if g.chance(0.3):
        room = MAX_SIZE * shape[axis] // math.prod(shape)
        shape[axis] = min(g.rng.choice([1, 2, 8, 16]), room)
    element = g.element([e for e in INTEGERS if e.bits >= 16])
    indices = g.limited(g.pick(TileType(tuple(shape), element)), source.shape[axis])
    g.keep(ir.Gather, source=source, indices=indices, axis=axis)


@step(1)
def histogram(g: Generator) -> None:
    source = g.any_tile()
    if not is_integer(source.type):
        source = g.pick(with_element(source.type, g.element(INTEGERS)))
    mask = g.pick(with_element(source.type, BOOL)) if g.chance(0.5) else None
    if g.chance(0.6):
        source = g.limited(source, 16)
    g.keep(ir.Histogram, source=source, mask=mask, bins=g.rng.choice([1, 8, 16, 32]))
