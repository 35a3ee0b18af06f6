"""Computing a strip of a tile: operands are pulled, shape ops become views, loads become copies.

A key names what is wanted: a value and the box of its lanes. All uses of a key inside one strip
share one buffer, which goes back when the last of them has read it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from canopy import ir
from canopy.ir.types import ElementType, element_type
from canopy.targets.ascend.forms import Affine, Mask
from canopy.targets.ascend.npu import (
    Branch,
    Buffer,
    CopyIn,
    CopyOut,
    Fill,
    Instruction,
    LaneMemory,
    Limit,
    Move,
    Space,
    Vector,
    View,
)
from canopy.targets.ascend.scalars import Number, Poly, Scalar, constant

if TYPE_CHECKING:
    from canopy.targets.ascend.lower import Emitter

__all__ = ["ELEMENTWISE", "Box", "Pull", "box_of", "dense_strides", "shifted", "shifted_limits"]

ELEMENTWISE = (
    *(ir.Binary, ir.Compare, ir.Select, ir.MathCall, ir.Fma, ir.Clamp, ir.Cast, ir.Bitcast),
    ir.Offset,
)
Starts: TypeAlias = tuple[Poly, ...]
Box: TypeAlias = tuple[Starts, tuple[int, ...]]
Key: TypeAlias = tuple[ir.Value, Starts, tuple[int, ...]]
Operand: TypeAlias = View | Scalar

_ZERO = Poly()


def box_of(shape: tuple[int, ...]) -> Box:
    return (_ZERO,) * len(shape), shape


def dense_strides(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1]
    for extent in reversed(shape[1:]):
        strides.append(strides[-1] * extent)
    return tuple(reversed(strides))[: len(shape)] if shape else ()


def shifted(form: Affine, starts: Starts) -> Poly:
    """The base of an affine form at the first lane of a box."""
    base = form.base
    for start, step in zip(starts, form.steps, strict=True):
        base = base + start * step
    return base


def shifted_limits(mask: Mask, starts: Starts) -> tuple[Limit, ...]:
    return tuple(
        limit
        if limit.axis is None
        else replace(limit, base=limit.base + starts[limit.axis].scaled(limit.factor))
        for limit in mask.limits
    )


class Pull:
    """The values of one strip."""

    def __init__(self, emitter: Emitter, op: ir.Op) -> None:
        self._emitter = emitter
        self._op = op  # the root, for messages
        self._counts: Counter[Key] = Counter()
        self._made: dict[Key, Operand] = {}
        self._holders: Counter[tuple[Space, int]] = Counter()
        self._copies: list[Buffer] = []

    # ---- counting

    def want(self, value: ir.Value, box: Box) -> None:
        """Announces one use; all uses are announced before the first is pulled."""
        key = (value, *box)
        self._counts[key] += 1
        if self._counts[key] == 1:
            for needed in self._inputs(key):
                self.want(needed[0], needed[1:])

    def _inputs(self, key: Key) -> list[Key]:
        """What computing a key pulls; nothing for leaves."""
        value, starts, extents = key
        op = value.op
        box = (starts, extents)
        if self._is_leaf(value):
            return []
        match op:
            case ir.Load():
                return [(v, *box) for v in self._load_inputs(op)]
            case ir.Broadcast():
                grown = [a == 1 and b != 1 for a, b in zip(op.source.shape, op.shape, strict=True)]
                inner = tuple(
                    (_ZERO, 1) if g else (s, e)
                    for g, s, e in zip(grown, starts, extents, strict=True)
                )
                return [_key(op.source, inner)]
            case ir.ExpandDims():
                pairs = [*zip(starts, extents, strict=True)]
                del pairs[op.axis]
                return [_key(op.source, tuple(pairs))]
            case ir.Transpose():
                pairs = [(_ZERO, 0)] * len(extents)
                for new, old in enumerate(op.order):
                    pairs[old] = (starts[new], extents[new])
                return [_key(op.source, tuple(pairs))]
            case ir.Reshape():
                return [_reshape_key(op, starts, extents)]
            case ir.Flip():
                pairs = [*zip(starts, extents, strict=True)]
                start, extent = pairs[op.axis]
                pairs[op.axis] = (constant(op.source.shape[op.axis] - extent) - start, extent)
                return [_key(op.source, tuple(pairs))]
            case ir.Join():
                return [(v, starts[:-1], extents[:-1]) for v in (op.lhs, op.rhs)]
            case ir.Split():
                part = op.results.index(value)
                return [(op.source, (*starts, constant(part)), (*extents, 1))]
            case ir.Splat():
                return []
        if isinstance(op, ELEMENTWISE):
            return [(v, *box) for v in op.operands if self._is_pulled(v)]
        assert op is not None
        raise self._emitter.unsupported(op, f"{op.mnemonic()} here")

    def _is_leaf(self, value: ir.Value) -> bool:
        e = self._emitter
        return value in e.homes or e.forms.uniform(value) is not None or _is_range(value)

    def _is_pulled(self, value: ir.Value) -> bool:
        return self._emitter.forms.uniform(value) is None

    def _load_inputs(self, op: ir.Load) -> list[ir.Value]:
        forms = self._emitter.forms
        wanted = []
        if not self._is_block(op) and not self._emitter.can_guard(op):
            wanted.append(op.pointer)
            if op.mask is not None:
                wanted.append(op.mask)
        if op.other is not None and op.mask is not None:
            wanted.append(op.other)
        return [v for v in wanted if forms.uniform(v) is None]

    def _is_block(self, op: ir.Load | ir.Store) -> bool:
        return self._block(op) is not None

    def _block(self, op: ir.Load | ir.Store) -> tuple[Affine, Mask] | None:
        """The pointer as an affine form and the mask as bounds, if both are."""
        forms = self._emitter.forms
        affine = forms.affine(op.pointer)
        mask = Mask() if op.mask is None else forms.mask(op.mask)
        return None if affine is None or mask is None else (affine, mask)

    # ---- pulling

    def pull(self, value: ir.Value, box: Box, target: View | None = None) -> Operand:
        """The lanes of ``box``; written to ``target`` if the value is computed here."""
        key = (value, *box)
        if key not in self._made:
            made = self._compute(key, target)
            self._made[key] = made
            if isinstance(made, View):
                self._holders[_place(made)] += 1
        return self._made[key]

    def done(self, value: ir.Value, box: Box) -> None:
        """One announced use is over."""
        key = (value, *box)
        self._counts[key] -= 1
        made = self._made.get(key)
        if self._counts[key] == 0 and isinstance(made, View):
            self._release(_place(made))

    def _release(self, place: tuple[Space, int]) -> None:
        self._holders[place] -= 1
        if self._holders[place] == 0 and place in self._emitter.temporaries:
            self._emitter.drop(place)

    def into(self, value: ir.Value, box: Box, target: View) -> None:
        """Computes a box of ``value`` into ``target``."""
        found = self.pull(value, box, target)
        if found != target:
            self._emit(Move(target=target, source=found, location=self._op.location))
        self.done(value, box)

    def data(self, value: ir.Value, box: Box) -> View:
        """The box in a buffer whose last axis is contiguous."""
        found = self.pull(value, box)
        if isinstance(found, View):
            return self._straight(found)
        target = self._temporary(box[1], element_type(value.type))
        self._emit(Move(target=target, source=found, location=self._op.location))
        return target

    def _emit(self, instruction: Instruction) -> None:
        self._emitter.emit(instruction)

    def _temporary(self, shape: tuple[int, ...], type_: ElementType) -> View:
        buffer = self._emitter.temporary(shape, type_)
        return View(buffer, shape, dense_strides(shape))

    def _straight(self, view: View) -> View:
        """The view itself where vector instructions can walk it, else a dense copy of it."""
        real = [(e, s) for e, s in zip(view.shape, view.strides, strict=True) if e != 1]
        if not real or real[-1][1] == 1:
            return view
        copy = self._temporary(view.shape, view.type)
        self._holders[_place(copy)] += 1
        self._copies.append(copy.buffer)
        self._emit(Move(target=copy, source=view, location=self._op.location))
        return copy

    def _compute(self, key: Key, target: View | None) -> Operand:
        value, starts, extents = key
        e = self._emitter
        if value in e.homes:
            return self._from_home(value, starts, extents, target)
        uniform = e.forms.uniform(value)
        if uniform is not None:
            return uniform
        op = value.op
        if _is_range(value):
            assert isinstance(op, ir.Range)
            view = target or self._temporary(extents, op.type)
            first = constant(op.start) + starts[0]
            self._emit(Move(target=view, range_start=first, location=op.location))
            return view
        if isinstance(op, ir.Load):
            view = target or self._temporary(extents, op.type)
            self._load(op, (starts, extents), view)
            return view
        if isinstance(op, ELEMENTWISE):
            return self._elementwise(op, key, target)
        return self._reshaped(op, key)

    def _from_home(
        self, value: ir.Value, starts: Starts, extents: tuple[int, ...], target: View | None
    ) -> Operand:
        home = self._emitter.homes[value]
        source = self._emitter.slice(value, (starts, extents))
        if home.space is Space.UB:
            return source
        view = target or self._temporary(extents, home.type)
        self._emit(
            CopyIn(
                target=view, address=Poly(), strides=(), source=source, location=self._op.location
            )
        )
        return view

    def _reshaped(self, op: ir.Op | None, key: Key) -> Operand:
        _, starts, extents = key
        assert op is not None
        if isinstance(op, ir.Join):
            return self._join(op, key)
        (needed,) = self._inputs(key)
        source = self.pull(needed[0], needed[1:])
        if isinstance(source, View):
            source = self._viewed(op, source, starts, extents)
        self._hold_then_done(source, needed)
        return source

    def _hold_then_done(self, view: Operand, needed: Key) -> None:
        """A view keeps the buffer of its source: the hold passes on before the source is done."""
        if isinstance(view, View):
            self._holders[_place(view)] += 1
        self.done(needed[0], needed[1:])
        if isinstance(view, View):
            self._holders[_place(view)] -= 1

    def _viewed(self, op: ir.Op, source: View, starts: Starts, extents: tuple[int, ...]) -> View:
        strides = source.strides
        match op:
            case ir.Broadcast():
                kept = zip(strides, source.shape, extents, strict=True)
                strides = tuple(0 if a == 1 and b != 1 else s for s, a, b in kept)
            case ir.ExpandDims():
                strides = (*strides[: op.axis], 0, *strides[op.axis :])
            case ir.Transpose():
                strides = tuple(strides[axis] for axis in op.order)
            case ir.Split():
                strides = strides[:-1]
            case ir.Flip():
                extent, stride = extents[op.axis], strides[op.axis]
                strides = (*strides[: op.axis], -stride, *strides[op.axis + 1 :])
                moved = source.offset + constant((extent - 1) * stride)
                return replace(source, strides=strides, offset=moved)
            case ir.Reshape() if extents != op.shape and not _keeps_axes(op):
                whole = self._regrouped(source, op.shape)
                return _part(whole, starts, extents)
            case ir.Reshape():
                return self._regrouped(source, extents)
        return View(source.buffer, extents, strides, source.offset)

    def _regrouped(self, source: View, extents: tuple[int, ...]) -> View:
        before = [(e, s) for e, s in zip(source.shape, source.strides, strict=True) if e != 1]
        if [e for e, _ in before] == [e for e in extents if e != 1]:
            rest = iter([s for _, s in before])
            strides = tuple(next(rest) if e != 1 else 0 for e in extents)
            return View(source.buffer, extents, strides, source.offset)
        if source.strides != dense_strides(source.shape):
            copy = self._temporary(source.shape, source.type)
            self._emit(Move(target=copy, source=source, location=self._op.location))
            source = copy
        return View(source.buffer, extents, dense_strides(extents), source.offset)

    def _join(self, op: ir.Join, key: Key) -> View:
        _, starts, extents = key
        box = (starts[:-1], extents[:-1])
        made = self._temporary((*box[1], 2), element_type(op.result.type))
        for part, operand in enumerate((op.lhs, op.rhs)):
            half = View(made.buffer, box[1], made.strides[:-1], made.offset + constant(part))
            found = self.pull(operand, box)
            self._emit(Move(target=half, source=found, location=op.location))
            self.done(operand, box)
        return View(made.buffer, extents, made.strides, starts[-1])

    def _elementwise(self, op: ir.Op, key: Key, target: View | None) -> View:
        value, starts, extents = key
        box = (starts, extents)
        sources: list[Operand] = []
        pulled: list[ir.Value] = []
        for operand in op.operands:
            uniform = self._emitter.forms.uniform(operand)
            if uniform is not None:
                sources.append(uniform)
                continue
            saved = self.pull(operand, box)
            pulled.append(operand)
            sources.append(saved)
        self._copies = []
        sources = [self._straight(s) if isinstance(s, View) else s for s in sources]
        copies = self._copies
        view = target
        type_ = element_type(value.type)
        if view is None:
            view = self._in_place(op, pulled, box, type_) or self._temporary(extents, type_)
        self._emit(Vector(op=op, targets=(view,), sources=tuple(sources), location=op.location))
        self._holders[_place(view)] += 1
        for operand in pulled:
            self.done(operand, box)
        for copy in copies:
            self._release((copy.space, copy.address))
        self._holders[_place(view)] -= 1
        return view

    def _in_place(
        self, op: ir.Op, pulled: list[ir.Value], box: Box, type_: ElementType
    ) -> View | None:
        """The buffer of an operand that is read here for the last time; not one that was copied in:
        the next copy need not wait until the result is copied out."""
        for operand in pulled:
            key = (operand, *box)
            home = self._emitter.homes.get(operand)
            if isinstance(operand.op, ir.Load) or (home and home.space is Space.WORKSPACE):
                continue
            view = self._made[key]
            if (
                isinstance(view, View)
                and self._counts[key] == pulled.count(operand)
                and self._holders[_place(view)] == 1
                and _place(view) in self._emitter.temporaries
                and view.type.bytes == type_.bytes
                and view.strides == dense_strides(box[1])
                and not view.offset.terms
            ):
                return View(replace(view.buffer, type=type_), view.shape, view.strides)
        return None

    # ---- memory

    def _load(self, op: ir.Load, box: Box, target: View) -> None:
        block = self._block(op)
        if block is not None:
            self._copy_in(op, block, box, target)
            self._done_other(op, box)
            return
        guard = self._emitter.guard(op, box)
        if guard is None:
            self._load_lanes(op, box, target)
            return
        limits, form, mask = guard
        if op.other is not None and self._is_pulled(op.other):
            self.pull(op.other, box)
        with self._emitter.collecting() as plain:
            self._copy_in(op, (form, mask), box, target)
        with self._emitter.collecting() as lanes:
            Pull(self._emitter, op).load_by_lanes(op, box, target)
        self._emit(
            Branch(
                condition=limits,
                then_body=plain,
                else_body=lanes,
                is_rare=True,
                location=op.location,
            )
        )
        self._done_other(op, box)

    def load_by_lanes(self, op: ir.Load, box: Box, target: View) -> None:
        """The general load, in a branch of its own: what it pulls is not seen outside."""
        for value in op.operands:
            if self._is_pulled(value):
                self.want(value, box)
        self._lanes(op, box, target)
        for value in op.operands:
            if self._is_pulled(value):
                self.done(value, box)

    def _copy_in(self, op: ir.Load, block: tuple[Affine, Mask], box: Box, target: View) -> None:
        form, mask = block
        limits = shifted_limits(mask, box[0])
        self._emit(
            CopyIn(
                target=target,
                address=shifted(form, box[0]),
                strides=form.steps,
                limits=limits,
                conditions=mask.conditions,
                pointer=op.pointer,
                group=self._emitter.group(op.pointer),
                location=op.location,
            )
        )
        if not limits and not mask.conditions:
            return
        self._emit(
            Fill(
                target=target,
                content=self._other(op, box),
                limits=limits,
                conditions=mask.conditions,
                location=op.location,
            )
        )

    def _other(self, op: ir.Load, box: Box) -> Operand:
        if op.other is None:
            return Number(0, op.type)
        uniform = self._emitter.forms.uniform(op.other)
        return uniform if uniform is not None else self.pull(op.other, box)

    def _done_other(self, op: ir.Load, box: Box) -> None:
        if op.other is not None and op.mask is not None and self._is_pulled(op.other):
            self.pull(op.other, box)
            self.done(op.other, box)

    def _load_lanes(self, op: ir.Load, box: Box, target: View) -> None:
        self._lanes(op, box, target)
        wanted = self._load_inputs(op)
        for value in op.operands:
            if value in wanted:
                self.done(value, box)

    def _lanes(self, op: ir.Load, box: Box, target: View) -> None:
        sources = tuple(self.operand(v, box) for v in op.operands)
        group = self._emitter.group(op.pointer)
        self._emit(
            LaneMemory(op=op, sources=sources, target=target, group=group, location=op.location)
        )

    def operand(self, value: ir.Value, box: Box) -> Operand:
        """A scalar where all lanes are one, else the lanes."""
        uniform = self._emitter.forms.uniform(value)
        return uniform if uniform is not None else self.pull(value, box)

    def store(self, op: ir.Store, box: Box) -> None:
        """Stores a box; its uses were announced by `want_store`."""
        block = self._store_block(op)
        location = op.location
        if block is None:
            sources = [self.operand(v, box) for v in op.operands]
            self._emit(
                LaneMemory(
                    op=op,
                    sources=tuple(sources),
                    target=None,
                    group=self._emitter.group(op.pointer),
                    location=location,
                )
            )
            for value in op.operands:
                if self._is_pulled(value):
                    self.done(value, box)
            return
        form, mask = block
        source = self.data(op.value, box)
        self._emit(
            CopyOut(
                source=source,
                address=shifted(form, box[0]),
                strides=form.steps,
                limits=shifted_limits(mask, box[0]),
                conditions=mask.conditions,
                pointer=op.pointer,
                group=self._emitter.group(op.pointer),
                location=location,
            )
        )
        if self._is_pulled(op.value):
            self.done(op.value, box)

    def want_store(self, op: ir.Store, box: Box) -> None:
        wanted = (op.value,) if self._store_block(op) is not None else op.operands
        for value in wanted:
            if self._is_pulled(value):
                self.want(value, box)

    def _store_block(self, op: ir.Store) -> tuple[Affine, Mask] | None:
        block = self._block(op)
        if block is None:
            return None
        shape = op.pointer.shape
        steps = zip(block[0].steps, shape, strict=True)
        return block if all(step.terms or extent == 1 for step, extent in steps) else None


def _place(view: View) -> tuple[Space, int]:
    return view.buffer.space, view.buffer.address


def _is_range(value: ir.Value) -> bool:
    return isinstance(value.op, ir.Range)


def _key(value: ir.Value, pairs: tuple[tuple[Poly, int], ...]) -> Key:
    return value, tuple(p[0] for p in pairs), tuple(p[1] for p in pairs)


def _keeps_axes(op: ir.Reshape) -> bool:
    """Whether a reshape only adds and drops axes of extent 1."""
    return [e for e in op.source.shape if e != 1] == [e for e in op.shape if e != 1]


def _part(view: View, starts: Starts, extents: tuple[int, ...]) -> View:
    offset = view.offset
    for start, stride in zip(starts, view.strides, strict=True):
        offset = offset + start.scaled(stride)
    return View(view.buffer, extents, view.strides, offset)


def _reshape_key(op: ir.Reshape, starts: Starts, extents: tuple[int, ...]) -> Key:
    """The box of the source: the same one but for axes of extent 1, or all of it."""
    if extents == op.shape or not _keeps_axes(op):
        return (op.source, *box_of(op.source.shape))
    moving = [(s, e) for s, e, full in zip(starts, extents, op.shape, strict=True) if full != 1]
    rest = iter(moving)
    pairs = tuple(next(rest) if full != 1 else (_ZERO, 1) for full in op.source.shape)
    return _key(op.source, pairs)
