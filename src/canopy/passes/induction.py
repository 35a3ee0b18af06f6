"""Tiles that a loop moves by a uniform step are carried as a scalar instead.

    %r = for .., [%p0] .. body(%i, %p: tile<64xptr>) {
      %v = load %p ..
      %c = splat %step, shape=(64) : tile<64xi32>
      %q = offset %p, %c, scale=4 : tile<64xptr>
      yield [%q]
    }
becomes
    %s1 = for .., [%zero] .. body(%i, %s: i64) {
      %p = offset %p0, splat(%s), scale=4 : tile<64xptr>
      %v = load %p ..
      %t = add %s, cast(%step) : i64
      yield [%t]
    }
    %r = offset %p0, splat(%s1), scale=4 : tile<64xptr>

and alike in a while whose condition hands the tile on as it is, so that addresses stay affine:
base + uniform part + lane part. The scalar counts in units of the
offset's scale (i64) for pointers, and in the element type for integers, which wrap around alike.
A value that the loop carries unchanged is the initial one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from canopy.ir.control import Condition, For, While, Yield
from canopy.ir.core import Kernel, Op, Region, Value
from canopy.ir.elementwise import Add, Binary, Bitcast, Cast, Constant, Sub
from canopy.ir.memory import Offset
from canopy.ir.shape import Broadcast, ExpandDims, Reshape, Splat, Transpose
from canopy.ir.types import I64, ScalarType, element_type, is_integer, is_pointer
from canopy.passes.rewriter import Rewriter

__all__ = ["carry_scalars"]


def carry_scalars(kernel: Kernel) -> Kernel:
    """``kernel`` with loops that carry scalars where tiles moved uniformly."""
    return _Carrier().kernel(kernel)


@dataclass(frozen=True, slots=True)
class _Step:
    """One move of a carried tile: by a uniform tile, forward or (integers only) backward."""

    tile: Value
    is_forward: bool = True


@dataclass(frozen=True, slots=True)
class _Motion:
    """How a loop moves a carried value in an iteration; no steps: not at all."""

    steps: tuple[_Step, ...]
    scale: int  # bytes per unit for pointers, 0 for integers

    def counter_type(self, moved: Value) -> ScalarType:
        element = element_type(moved.type)
        return element if isinstance(element, ScalarType) else I64


def _motion(args: Sequence[Value], yielded: Value) -> _Motion | None:
    """The moves from one of ``args``, which are equal, to ``yielded``, if they are all uniform and
    of one scale."""
    steps: list[_Step] = []
    scale = 0
    value = yielded
    while value not in args:
        found = _last_step(value)
        if found is None:
            return None
        value, step, step_scale = found
        if steps and step_scale != scale:
            return None
        scale = step_scale
        steps.append(step)
    if steps and not yielded.is_tile:
        return None
    return _Motion(tuple(reversed(steps)), scale)


def _last_step(value: Value) -> tuple[Value, _Step, int] | None:
    match value.op:
        case Offset(pointer=before, index=index, scale=scale) if _is_uniform(index):
            return before, _Step(index), scale
        case Add(lhs=before, rhs=step) if is_integer(value.type) and _is_uniform(step):
            return before, _Step(step), 0
        case Add(lhs=step, rhs=before) if is_integer(value.type) and _is_uniform(step):
            return before, _Step(step), 0
        case Sub(lhs=before, rhs=step) if is_integer(value.type) and _is_uniform(step):
            return before, _Step(step, is_forward=False), 0
    return None


def _is_uniform(tile: Value, known: dict[Value, bool] | None = None) -> bool:
    """Is it known that all lanes are equal?"""
    known = {} if known is None else known
    if tile not in known:
        match tile.op:
            case Splat() | Constant():
                known[tile] = True
            case Broadcast() | ExpandDims() | Reshape() | Transpose() | Cast() | Bitcast():
                known[tile] = _is_uniform(tile.op.source, known)
            case Binary():
                sides = (tile.op.lhs, tile.op.rhs)
                known[tile] = all(_is_uniform(side, known) for side in sides)
            case _:
                known[tile] = False
    return known[tile]


def _handed_on(op: While) -> dict[Value, list[Value]]:
    """For what a while carries, the arguments of its body that are the same."""
    condition = op.before.terminator
    assert isinstance(condition, Condition)
    handed: dict[Value, list[Value]] = {arg: [] for arg in op.before.args}
    for value, arg in zip(condition.values, op.body.args, strict=True):
        if value in handed:
            handed[value].append(arg)
    return handed


class _Carrier(Rewriter):
    def op(self, op: Op) -> Sequence[Value]:
        if isinstance(op, While):
            return self._while(op)
        if not isinstance(op, For):
            return super().op(op)
        yielded = op.body.terminator.operands
        motions = [
            _motion((arg,), value) for arg, value in zip(op.body.args[1:], yielded, strict=True)
        ]
        return self._loop(op, motions) if any(motions) else super().op(op)

    def _loop(self, op: For, motions: list[_Motion | None]) -> Sequence[Value]:
        starts = [self.values[value] for value in op.initial]
        initial: list[Value] = []
        args = [Value(op.lower.type, op.body.args[0].name)]
        results: list[Value] = []
        carried = zip(starts, op.body.args[1:], op.results, motions, strict=True)
        for start, arg, result, motion in carried:
            if motion is None:
                initial.append(start)
                args.append(Value(arg.type, arg.name))
                results.append(Value(arg.type, result.name))
            elif motion.steps:
                counter = motion.counter_type(arg)
                initial.append(self.make(Constant, value=0, type=counter, location=op.location))
                args.append(Value(counter))
                results.append(Value(counter))
        body = self.build(tuple(args), lambda: self._body(op, motions, starts, args))
        made = For(
            lower=self.values[op.lower],
            upper=self.values[op.upper],
            step=self.values[op.step],
            initial=tuple(initial),
            body=body,
            location=op.location,
            results=tuple(results),
        )
        return self._unpacked(op, motions, starts, self.emit(made).results)

    def _body(
        self, op: For, motions: list[_Motion | None], starts: list[Value], args: list[Value]
    ) -> None:
        self.values[op.body.args[0]] = args[0]
        current = self._unpacked(op, motions, starts, args[1:])
        self.values.update(zip(op.body.args[1:], current, strict=True))
        for inner in op.body.ops[:-1]:
            self.values.update(zip(inner.results, self.op(inner), strict=True))
        end = op.body.terminator
        counters = iter(args[1:])
        handed: list[Value] = []
        for motion, value in zip(motions, end.operands, strict=True):
            if motion is None:
                next(counters)
                handed.append(self.values[value])
            elif motion.steps:
                handed.append(self._advanced(next(counters), motion, end))
        self.emit(Yield(values=tuple(handed), location=end.location))

    # ---- while

    def _while(self, op: While) -> Sequence[Value]:
        """Tiles that move become counters, also where the condition hands them on."""
        handed = _handed_on(op)
        motions: dict[Value, _Motion] = {}
        for arg, value in zip(op.before.args, op.body.terminator.operands, strict=True):
            found = _motion(handed[arg], value) if handed[arg] and arg.is_tile else None
            if found and found.steps:
                motions[arg] = found
        if not motions:
            return super().op(op)
        return self._while_counting(op, motions)

    def _while_counting(self, op: While, motions: dict[Value, _Motion]) -> Sequence[Value]:
        starts = {
            arg: self.values[value] for arg, value in zip(op.before.args, op.initial, strict=True)
        }

        def counter_or(arg: Value, value: Value) -> Value:
            moves = motions.get(arg)
            return (
                Value(value.type, value.name) if moves is None else Value(moves.counter_type(arg))
            )

        initial = []
        for arg in op.before.args:
            start = starts[arg]
            if arg in motions:
                type_ = motions[arg].counter_type(arg)
                start = self.make(Constant, value=0, type=type_, location=op.location)
            initial.append(start)
        condition = op.before.terminator
        assert isinstance(condition, Condition)
        before_args = tuple(counter_or(arg, arg) for arg in op.before.args)
        body_args = tuple(
            counter_or(value, arg)
            for value, arg in zip(condition.values, op.body.args, strict=True)
        )
        results = tuple(
            counter_or(value, result)
            for value, result in zip(condition.values, op.results, strict=True)
        )

        def enter(args: Sequence[Value], new: Sequence[Value], origins: Sequence[Value]) -> None:
            for arg, fresh, origin in zip(args, new, origins, strict=True):
                moves = motions.get(origin)
                self.values[arg] = (
                    fresh if moves is None else self._moved(op, starts[origin], fresh, moves)
                )

        def before() -> None:
            enter(op.before.args, before_args, op.before.args)
            self._all_but_last(op.before)
            counters = dict(zip(op.before.args, before_args, strict=True))
            values = tuple(
                counters[v] if v in motions else self.values[v] for v in condition.values
            )
            holds = self.values[condition.condition]
            self.emit(Condition(condition=holds, values=values, location=condition.location))

        def body() -> None:
            enter(op.body.args, body_args, condition.values)
            self._all_but_last(op.body)
            end = op.body.terminator
            counters = dict(zip(condition.values, body_args, strict=True))
            values = tuple(
                self._advanced(counters[arg], motions[arg], end)
                if arg in motions
                else self.values[value]
                for arg, value in zip(op.before.args, end.operands, strict=True)
            )
            self.emit(Yield(values=values, location=end.location))

        made = While(
            initial=tuple(initial),
            before=self.build(before_args, before),
            body=self.build(body_args, body),
            location=op.location,
            results=results,
        )
        self.emit(made)
        enter(op.results, results, condition.values)
        return [self.values[result] for result in op.results]

    def _all_but_last(self, region: Region) -> None:
        for inner in region.ops[:-1]:
            self.values.update(zip(inner.results, self.op(inner), strict=True))

    # ---- both

    def _unpacked(
        self,
        op: For,
        motions: list[_Motion | None],
        starts: list[Value],
        carried: Sequence[Value],
    ) -> tuple[Value, ...]:
        """The values that the old loop carried, from those that the new one carries."""
        remaining = iter(carried)
        found: list[Value] = []
        for motion, start in zip(motions, starts, strict=True):
            if motion is None:
                found.append(next(remaining))
            elif not motion.steps:
                found.append(start)
            else:
                found.append(self._moved(op, start, next(remaining), motion))
        return tuple(found)

    def _moved(self, op: Op, start: Value, counter: Value, motion: _Motion) -> Value:
        place = op.location
        distance = self.make(Splat, source=counter, shape=start.shape, location=place)
        if is_pointer(start.type):
            return self.make(
                Offset, pointer=start, index=distance, scale=motion.scale, location=place
            )
        return self.make(Add, lhs=start, rhs=distance, location=place)

    def _advanced(self, counter: Value, motion: _Motion, end: Op) -> Value:
        for step in motion.steps:
            amount = self._scalar(self.values[step.tile])
            place = step.tile.op.location if step.tile.op else end.location
            if amount.type != counter.type:
                amount = self.make(Cast, source=amount, type=counter.type, location=place)
            kind = Add if step.is_forward else Sub
            counter = self.make(kind, lhs=counter, rhs=amount, location=place)
        return counter

    def _scalar(self, tile: Value) -> Value:
        """The one value in all lanes of a uniform tile."""
        op = tile.op
        assert op is not None
        element = element_type(tile.type)
        match op:
            case Splat():
                return op.source
            case Constant():
                return self.make(Constant, value=op.value, type=element, location=op.location)
            case Cast():
                source = self._scalar(op.source)
                return self.make(
                    Cast, source=source, type=op.type, rounding=op.rounding, location=op.location
                )
            case Bitcast():
                source = self._scalar(op.source)
                return self.make(Bitcast, source=source, type=op.type, location=op.location)
            case Broadcast() | ExpandDims() | Reshape() | Transpose():
                return self._scalar(op.source)
            case Binary():
                fields = dict(op.payload())
                fields["lhs"], fields["rhs"] = self._scalar(op.lhs), self._scalar(op.rhs)
                return self.make(type(op), location=op.location, **fields)
        raise AssertionError(f"{op.mnemonic()} is not uniform")
