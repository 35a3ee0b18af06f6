"""Loops in which products wait for vector work: the cube and the vector cores take turns.

    for i in 0 .. n:                     for i in 0 .. min(n, 1):  w = softmax(dot(q, k[i]))
      s = dot(q, k[i])                   for i in 1 .. n:
      w = softmax(s)             ->        s = dot(q, k[i])
      p = dot(w, v[i])                     p = dot(w, v[i - 1])
      acc = acc * r + p                    w' = softmax(s)
                                           acc = acc * r + p
                                         for i in n - 1 .. n:  acc = acc * r + dot(w, v[i])

Products whose operands come from products of the same trip (*late*), and what needs them, happen a
trip later, so that each core has work while the other makes what it will need. What the late part
reads of the early one is carried; addresses and loads are computed for each part by themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from canopy import ir
from canopy.ir.types import ScalarType
from canopy.passes.rewriter import Rewriter, is_pure
from canopy.targets.ascend.npu import ALL_GLOBAL
from canopy.targets.ascend.own_ops import Unwritten

__all__ = ["take_turns"]

_SPREADING = (ir.ExpandDims, ir.Broadcast)
_MEMORY = (ir.Store, ir.AtomicRmw, ir.AtomicCas)
Group = Callable[[ir.Value], str]


def take_turns(kernel: ir.Kernel, group: Group) -> ir.Kernel:
    """``kernel`` with such loops rotated; ``group``: the user's array behind a pointer."""
    return _Turns(group).kernel(kernel)


# ---- which part of a body is late


@dataclass(slots=True)
class _Parts:
    """A loop's body in two parts. ``free``: computed from the loop's index, scalars that move by
    themselves, and what is outside, and made anew in each part."""

    loop: ir.For
    free: set[ir.Op] = field(default_factory=set)
    late: dict[ir.Op, bool] = field(default_factory=dict)
    crossing: list[ir.Value] = field(default_factory=list)  # of the early part, read by the late

    def carried(self, is_late: bool) -> list[int]:
        return [n for n in range(len(self.loop.initial)) if self.is_late(n) is is_late]

    def is_late(self, number: int) -> bool:
        """Whether the late part makes what the loop carries at ``number``."""
        made = self.loop.body.terminator.operands[number].op
        return made is not None and self.late.get(made, False)

    def ops(self, is_late: bool) -> list[ir.Op]:
        """Those of a part, products first that need nothing but what is there when it begins."""
        found = [op for op in self.loop.body.ops if self.late.get(op) is is_late]
        made: set[ir.Value] = set()
        first: list[ir.Op] = []
        rest: list[ir.Op] = []
        for op in found:
            is_first = isinstance(op, ir.Dot) and not made.intersection(op.operands)
            (first if is_first else rest).append(op)
            if not is_first:
                made.update(op.results)
        return [*first, *rest]

    def find_crossing(self) -> None:
        args = self.loop.body.args[1:]
        early = {v for op, late in self.late.items() if not late for v in op.results}
        early |= {args[n] for n in self.carried(False)}
        pending = [v for op, late in self.late.items() if late for v in _read_by(op)]
        read = set(pending)
        while pending:
            op = pending.pop().op
            fresh = set(op.operands) - read if op in self.free and op is not None else set()
            read |= fresh
            pending += fresh
        order = [*args, *(v for op in self.loop.body.ops for v in op.results)]
        self.crossing = [value for value in order if value in early and value in read]


def _read_by(op: ir.Op) -> Iterable[ir.Value]:
    for inner in ir.walk([op]):
        yield from inner.operands


def _parts(loop: ir.For, group: Group) -> _Parts | None:
    """The parts of a loop; None where nothing in it is late, or it cannot be taken apart."""
    body = loop.body.ops[:-1]
    products = [op for op in body if isinstance(op, ir.Dot)]
    index = loop.body.args[0].type
    if len(products) < 2 or not isinstance(index, ScalarType) or index.kind != "int":
        return None
    if any(op.regions and not isinstance(op, ir.Reduce | ir.Scan) for op in body):
        return None
    if set(loop.body.terminator.operands).intersection(loop.body.args):
        return None
    if not _is_apart(body, group):
        return None
    parts = _Parts(loop)
    _find_free(parts, body)
    _find_late(parts, body)
    parts.find_crossing()
    if not any(parts.late.values()) or not all(map(_can_cross, parts.crossing)):
        return None
    return parts


def _is_apart(body: Sequence[ir.Op], group: Group) -> bool:
    """Whether what the body writes is neither read nor written by anything else in it."""
    writes = [group(op.pointer) for op in body if isinstance(op, _MEMORY)]
    reads = {group(op.pointer) for op in body if isinstance(op, ir.Load)}
    known = (ir.Load, *_MEMORY)
    others = any(op.has_side_effects and not isinstance(op, known) for op in body)
    if others or len(set(writes)) < len(writes):
        return False
    return not writes or not (ALL_GLOBAL in {*writes, *reads} or reads.intersection(writes))


def _find_free(parts: _Parts, body: Sequence[ir.Op]) -> None:
    loop = parts.loop
    args, yielded = loop.body.args[1:], loop.body.terminator.operands
    counters = {n for n, arg in enumerate(args) if not arg.is_tile}
    while True:
        fixed = {v for op in body for v in op.results} | set(args)
        fixed -= {args[n] for n in counters}
        parts.free = set()
        for op in body:
            is_simple = (is_pure(op) and not op.regions) or isinstance(op, ir.Load)
            if is_simple and not isinstance(op, ir.Dot) and not fixed.intersection(op.operands):
                parts.free.add(op)
                fixed -= set(op.results)
        still = {n for n in counters if yielded[n] not in fixed}
        if still == counters:
            return
        counters = still


def _find_late(parts: _Parts, body: Sequence[ir.Op]) -> None:
    """Each op as early as what it needs allows."""
    args = parts.loop.body.args[1:]
    after_product: set[ir.Value] = set()
    rest = [op for op in body if op not in parts.free]
    for op in rest:
        if isinstance(op, ir.Dot) or after_product.intersection(_read_by(op)):
            after_product.update(op.results)
    parts.late = dict.fromkeys(rest, False)
    has_changed = True
    while has_changed:
        has_changed = False
        behind = {v for op, late in parts.late.items() if late for v in op.results}
        behind |= {args[n] for n in parts.carried(True)}
        for op in rest:
            waits = isinstance(op, ir.Dot) and after_product.intersection((op.lhs, op.rhs))
            if not parts.late[op] and (waits or behind.intersection(_read_by(op))):
                parts.late[op] = has_changed = True
                behind.update(op.results)
    _spread_late(parts, rest)


def _spread_late(parts: _Parts, rest: Sequence[ir.Op]) -> None:
    """Small tiles cross, and are spread where they are read."""
    users: dict[ir.Value, list[ir.Op]] = {}
    for op in (*rest, parts.loop.body.terminator):
        for value in _read_by(op):
            users.setdefault(value, []).append(op)
    for op in reversed(rest):
        if isinstance(op, _SPREADING) and op.result in users:
            parts.late[op] |= all(parts.late.get(user, False) for user in users[op.result])


def _can_cross(value: ir.Value) -> bool:
    """Products stay with the part that makes them: they lie in the workspace, once."""
    return not isinstance(value.op, ir.Dot)


# ---- the loops


class _Turns(Rewriter):
    def __init__(self, group: Group) -> None:
        super().__init__()
        self._group = group

    def op(self, op: ir.Op) -> Sequence[ir.Value]:
        parts = _parts(op, self._group) if isinstance(op, ir.For) else None
        return super().op(op) if parts is None else self._rotated(parts)

    def _rotated(self, parts: _Parts) -> Sequence[ir.Value]:
        loop = parts.loop
        lower, upper, step = (self.values[v] for v in (loop.lower, loop.upper, loop.step))
        early, late = parts.carried(False), parts.carried(True)
        starts = [self.values[value] for value in loop.initial]
        opened = self._opening(parts, lower, upper, step, starts)
        given = [*opened[: len(early)], *(starts[n] for n in late), *opened[len(early) :]]
        second = self._made(ir.Add, loop, lhs=lower, rhs=step)
        main = self._main(parts, second, upper, step, given)
        last = self._last(loop, lower, upper, step)
        held = dict(zip(parts.crossing, main[len(early) + len(late) :], strict=True))
        closed = self._closing(parts, last, upper, step, main[len(early) :], held)
        results = {n: main[place] for place, n in enumerate(early)}
        results |= dict(zip(late, closed, strict=True))
        return [results[n] for n in range(len(starts))]

    def _opening(
        self,
        parts: _Parts,
        lower: ir.Value,
        upper: ir.Value,
        step: ir.Value,
        starts: list[ir.Value],
    ) -> list[ir.Value]:
        """The early part of the first trip, if there is one."""
        loop, early = parts.loop, parts.carried(False)
        args = loop.body.args[1:]
        one = self.make(ir.Constant, value=1, type=lower.type, location=loop.location)
        first = self._made(ir.Add, loop, lhs=lower, rhs=one)
        end = self._made(ir.Min, loop, lhs=upper, rhs=first)
        initial = [starts[n] for n in early]
        for value in parts.crossing:
            if value.is_tile:
                initial.append(self.make(Unwritten, type=value.type, location=loop.location))
            elif value in args:
                initial.append(starts[args.index(value)])
            else:
                zero = self.make(ir.Constant, value=0, type=value.type, location=loop.location)
                initial.append(zero)

        def body(index: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            here = {args[n]: value for n, value in zip(early, carried, strict=False)}
            self._enter(parts, {loop.body.args[0]: index, **here})
            for op in parts.ops(False):
                self._emit_op(parts, op)
            return self._given(parts, early)

        return self._loop(loop, lower, end, step, initial, body)

    def _main(
        self,
        parts: _Parts,
        lower: ir.Value,
        upper: ir.Value,
        step: ir.Value,
        initial: list[ir.Value],
    ) -> list[ir.Value]:
        """The early part of each trip but the first, and the late part of the one before."""
        loop = parts.loop
        early, late = parts.carried(False), parts.carried(True)
        args = loop.body.args[1:]

        def body(index: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            before = self._made(ir.Sub, loop, lhs=index, rhs=step)
            here = {args[n]: value for n, value in zip(early, carried, strict=False)}
            behind = dict(zip(parts.crossing, carried[len(early) + len(late) :], strict=True))
            behind |= {args[n]: v for n, v in zip(late, carried[len(early) :], strict=False)}
            now = _View({loop.body.args[0]: index, **here})
            then = _View({loop.body.args[0]: before, **behind})
            for view, op in _merged(parts, now, then):
                self._see(parts, view)
                self._emit_op(parts, op)
            self._see(parts, now)
            given = self._given(parts, early)
            self._see(parts, then)
            ending = [self._value(parts, loop.body.terminator.operands[n]) for n in late]
            return [*given[: len(early)], *ending, *given[len(early) :]]

        return self._loop(loop, lower, upper, step, initial, body)

    def _closing(
        self,
        parts: _Parts,
        last: ir.Value,
        upper: ir.Value,
        step: ir.Value,
        initial: list[ir.Value],
        held: dict[ir.Value, ir.Value],
    ) -> list[ir.Value]:
        """The late part of the last trip, if there is one."""
        loop, late = parts.loop, parts.carried(True)
        args = loop.body.args[1:]

        def body(index: ir.Value, carried: list[ir.Value]) -> list[ir.Value]:
            here = {args[n]: value for n, value in zip(late, carried, strict=True)}
            self._enter(parts, {loop.body.args[0]: index, **held, **here})
            for op in parts.ops(True):
                self._emit_op(parts, op)
            return [self._value(parts, loop.body.terminator.operands[n]) for n in late]

        return self._loop(loop, last, upper, step, initial[: len(late)], body)

    # ---- what they are made of

    def _made(self, kind: type[ir.Binary], loop: ir.For, **operands: ir.Value) -> ir.Value:
        return self.make(kind, location=loop.location, **operands)

    def _last(self, loop: ir.For, lower: ir.Value, upper: ir.Value, step: ir.Value) -> ir.Value:
        """Where the last trip is; not below ``upper`` where there is none."""
        one = self.make(ir.Constant, value=1, type=lower.type, location=loop.location)
        length = self._made(ir.Sub, loop, lhs=upper, rhs=lower)
        before = self._made(ir.Sub, loop, lhs=length, rhs=one)
        trips = self._made(ir.Div, loop, lhs=before, rhs=step)
        far = self._made(ir.Mul, loop, lhs=trips, rhs=step)
        place = self._made(ir.Add, loop, lhs=lower, rhs=far)
        return self._made(ir.Max, loop, lhs=place, rhs=lower)

    def _loop(
        self,
        loop: ir.For,
        lower: ir.Value,
        upper: ir.Value,
        step: ir.Value,
        initial: list[ir.Value],
        fill: Callable[[ir.Value, list[ir.Value]], list[ir.Value]],
    ) -> list[ir.Value]:
        index = ir.Value(lower.type, loop.body.args[0].name)
        args = [ir.Value(value.type, value.name) for value in initial]

        def body() -> None:
            given = fill(index, args)
            self.emit(ir.Yield(values=tuple(given), location=loop.location))

        made = ir.For(
            lower=lower,
            upper=upper,
            step=step,
            initial=tuple(initial),
            body=self.build((index, *args), body),
            location=loop.location,
            results=tuple(ir.Value(value.type, value.name) for value in initial),
        )
        return list(self.emit(made).results)

    # ---- one part of a trip

    def _enter(self, parts: _Parts, known: dict[ir.Value, ir.Value]) -> None:
        self._see(parts, _View(known))

    def _see(self, parts: _Parts, view: _View) -> None:
        """What follows reads the values of one trip."""
        for op in parts.loop.body.ops:
            for result in op.results:
                self.values.pop(result, None)
        for arg in parts.loop.body.args:
            self.values.pop(arg, None)
        self.values.update(view.values)
        self._view = view

    def _emit_op(self, parts: _Parts, op: ir.Op) -> None:
        for value in _read_by(op):
            self._value(parts, value)
        made = dict(zip(op.results, super().op(op), strict=True))
        self._view.values.update(made)
        self.values.update(made)

    def _value(self, parts: _Parts, value: ir.Value) -> ir.Value:
        """A value of this trip; a free one is computed where it is first asked for."""
        if value not in self.values and value.op is not None and value.op in parts.free:
            self._emit_op(parts, value.op)
        return self.values.get(value, value)

    def _given(self, parts: _Parts, early: list[int]) -> list[ir.Value]:
        """What the early part hands to the next trip."""
        yielded = parts.loop.body.terminator.operands
        carried = [self._value(parts, yielded[n]) for n in early]
        return [*carried, *(self._value(parts, value) for value in parts.crossing)]


@dataclass(slots=True)
class _View:
    """The new values of one trip, by the old ones."""

    values: dict[ir.Value, ir.Value]


def _merged(parts: _Parts, now: _View, then: _View) -> Iterable[tuple[_View, ir.Op]]:
    """The early part of a trip and the late one of the trip before: the products that can begin,
    then the rest."""
    early, late = parts.ops(False), parts.ops(True)
    split = [_leading_products(ops) for ops in (early, late)]
    yield from ((now, op) for op in early[: split[0]])
    yield from ((then, op) for op in late[: split[1]])
    yield from ((now, op) for op in early[split[0] :])
    yield from ((then, op) for op in late[split[1] :])


def _leading_products(ops: Sequence[ir.Op]) -> int:
    return next((n for n, op in enumerate(ops) if not isinstance(op, ir.Dot)), len(ops))
