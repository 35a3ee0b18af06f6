"""A scalar function over the lanes of tiles -> operations on whole tiles.

In:   a region on scalars, with branches and loops of its own, and a tile per argument
Out:  the same computation on tiles: both sides of a branch, of which each lane takes its own; a
      loop that runs while any lane is in it; memory touched only for the lanes that are there
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from canopy.errors import UnsupportedError
from canopy.ir import (
    Add,
    And,
    AnyLane,
    Assert,
    AtomicCas,
    AtomicRmw,
    Binary,
    Bitcast,
    Builder,
    Cast,
    Clamp,
    Compare,
    Condition,
    Constant,
    Fma,
    For,
    If,
    Load,
    MathCall,
    NumPrograms,
    Offset,
    Op,
    ProgramId,
    Region,
    Select,
    Splat,
    Store,
    Value,
    While,
    Xor,
    Yield,
)
from canopy.ir.types import (
    BOOL,
    I64,
    PTR,
    TileType,
    Type,
    element_type,
    is_bool,
    is_float,
    is_pointer,
    with_element,
)

__all__ = ["over_lanes", "zero"]

_ELEMENTWISE = (
    *(Binary, Compare, Select, MathCall, Fma, Clamp),
    *(Cast, Bitcast, Offset),
)
_MASKED = (Load, Store, AtomicRmw, AtomicCas, Assert)


def over_lanes(
    build: Builder, region: Region, arguments: Sequence[Value], shape: tuple[int, ...]
) -> tuple[Value, ...]:
    """Adds the operations of ``region`` for every lane of tiles of ``shape``; gives its results."""
    walk = _Walk(build, shape, dict(zip(region.args, arguments, strict=True)))
    return walk.region(region, None)


def zero(build: Builder, type_: Type) -> Value:
    """A zero (a null pointer) of any type."""
    if is_pointer(type_):
        number = build.add(Constant, value=0, type=with_element(type_, I64))
        return build.add(Bitcast, source=number, type=PTR)
    value = False if is_bool(type_) else 0.0 if is_float(type_) else 0
    return build.add(Constant, value=value, type=type_)


class _Walk:
    """``known``: the tile of each scalar of the region; ``active``: the lanes that are here."""

    def __init__(self, build: Builder, shape: tuple[int, ...], known: dict[Value, Value]) -> None:
        self.build = build
        self.shape = shape
        self.known = known

    def region(self, region: Region, active: Value | None) -> tuple[Value, ...]:
        """Adds the operations; gives the tiles that the terminator hands over."""
        for op in region.ops:
            self.build.location = op.location
            if op.is_terminator:
                return self.tiles(op.operands)
            self.run(op, active)
        return ()

    def tiles(self, values: Sequence[Value]) -> tuple[Value, ...]:
        return tuple(self.tile(value) for value in values)

    def tile(self, value: Value) -> Value:
        """The tile of a scalar; what was made outside is the same in every lane."""
        if value in self.known:
            return self.known[value]
        if value.is_tile:
            raise UnsupportedError(
                "a function mapped over lanes uses a tile",
                hint="it sees one lane: give it the lanes of that tile as an argument",
            )
        return self.build.add(Splat, source=value, shape=self.shape)

    def wide(self, type_: Type) -> TileType:
        return TileType(self.shape, element_type(type_))

    def run(self, op: Op, active: Value | None) -> None:
        made: tuple[Value, ...]
        match op:
            case Constant():
                made = (self.build.add(Constant, value=op.value, type=self.wide(op.type)),)
            case ProgramId() | NumPrograms():
                made = (self.tile(self.build.add(type(op), axis=op.axis)),)
            case If():
                made = self.branch(op, active)
            case While():
                made = self.loop(op, active)
            case For():
                made = self.counted_loop(op, active)
            case _ if isinstance(op, _ELEMENTWISE):
                made = self.build.insert(self.widened(op)).results
            case _ if isinstance(op, _MASKED):
                made = self.build.insert(self.masked(op, active)).results
            case _:
                raise UnsupportedError(
                    f"{op.mnemonic()} stands in a function that is mapped over lanes",
                    location=op.location,
                    hint="it may hold arithmetic, branches, loops, loads, stores and atomics",
                )
        self.known.update(zip(op.results, made, strict=True))

    def widened(self, op: Op) -> Op:
        fields: dict[str, Any] = {}
        for name, content in op.payload():
            if isinstance(content, Value):
                fields[name] = self.tile(content)
            elif isinstance(content, tuple) and any(isinstance(c, Value) for c in content):
                fields[name] = self.tiles(content)
        return dataclasses.replace(op, **fields, results=())

    def masked(self, op: Any, active: Value | None) -> Op:
        if active is None:
            return self.widened(op)
        mask = active if op.mask is None else self.both(active, self.tile(op.mask))
        return dataclasses.replace(self.widened(op), mask=mask, results=())  # type: ignore[call-arg]

    def both(self, first: Value | None, second: Value) -> Value:
        return second if first is None else self.build.add(And, lhs=first, rhs=second)

    def choose(
        self, condition: Value, if_true: Sequence[Value], if_false: Sequence[Value]
    ) -> tuple[Value, ...]:
        return tuple(
            self.build.add(Select, condition=condition, if_true=a, if_false=b)
            for a, b in zip(if_true, if_false, strict=True)
        )

    def branch(self, op: If, active: Value | None) -> tuple[Value, ...]:
        condition = self.tile(op.condition)
        then = self.region(op.then_region, self.both(active, condition))
        true = self.build.add(Constant, value=True, type=condition.type)
        opposite = self.build.add(Xor, lhs=condition, rhs=true)
        otherwise = self.region(op.else_region, self.both(active, opposite))
        return self.choose(condition, then, otherwise)

    # ---- loops: carried are the lanes inside, the loop's own values, and the results so far ------

    def loop(self, op: While, active: Value | None) -> tuple[Value, ...]:
        condition = op.before.terminator
        assert isinstance(condition, Condition)

        def test(values: Sequence[Value], inside: Value) -> tuple[Value, ...]:
            self.known.update(zip(op.before.args, values, strict=True))
            return self.region(op.before, inside)

        def advance(values: Sequence[Value], inside: Value) -> tuple[Value, ...]:
            self.known.update(zip(op.body.args, values, strict=True))
            return self.region(op.body, inside)

        types = [self.wide(value.type) for value in condition.values]
        return self.while_any(self.tiles(op.initial), types, test, advance, active)

    def counted_loop(self, op: For, active: Value | None) -> tuple[Value, ...]:
        upper, step = self.tile(op.upper), self.tile(op.step)

        def test(values: Sequence[Value], inside: Value) -> tuple[Value, ...]:
            goes_on = self.build.add(Compare, predicate="lt", lhs=values[0], rhs=upper)
            return (goes_on, *values)

        def advance(values: Sequence[Value], inside: Value) -> tuple[Value, ...]:
            self.known.update(zip(op.body.args, values, strict=True))
            yielded = self.region(op.body, inside)
            return (self.build.add(Add, lhs=values[0], rhs=step), *yielded)

        initial = self.tiles((op.lower, *op.initial))
        types = [self.wide(value.type) for value in initial]
        return self.while_any(initial, types, test, advance, active)[1:]

    def while_any(
        self,
        initial: Sequence[Value],
        types: Sequence[Type],
        test: Any,
        advance: Any,
        active: Value | None,
    ) -> tuple[Value, ...]:
        """``test`` gives the condition and the values passed on, ``advance`` the next ones."""
        everyone = active or self.build.add(Constant, value=True, type=TileType(self.shape, BOOL))
        results = [zero(self.build, type_) for type_ in types]
        carried = (everyone, *initial, *results)
        before, body = _region_of(carried), _region_of((everyone, *results))
        outer = self.build
        self.build = Builder(before, outer.location)
        inside, *rest = before.args
        values, so_far = rest[: len(initial)], rest[len(initial) :]
        goes_on, *passed = test(values, inside)
        still = self.both(inside, goes_on)
        reached = self.choose(inside, passed, so_far)
        some = self.build.add(AnyLane, source=still)
        self.build.effect(Condition, condition=some, values=(still, *reached))
        self.build = Builder(body, outer.location)
        inside, *passed = body.args
        following = advance(passed, inside)
        self.build.effect(Yield, values=(inside, *following, *passed))
        self.build = outer
        made = outer.effect(While, initial=carried, before=before, body=body)
        return made.results[1:]


def _region_of(values: Sequence[Value]) -> Region:
    return Region(tuple(Value(value.type, value.name) for value in values))
