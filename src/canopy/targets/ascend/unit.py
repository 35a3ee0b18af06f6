"""Calls of the vector unit for strided views: which form, how many repeats, which strides.

    Sub t[64x128], x[64x128], m[64x(128)]      m has one lane per row
    ->  Brcb  spread <- m       mask 8 x 8     a block of 32 bytes per row
        Sub   t <- x, spread/0,1  mask 64 x 64 columns 0..64 of all rows: block stride 0
        Sub   t <- x, spread/0,1  mask 64 x 64 columns 64..128

Axes that lie side by side in all operands are one. Then either all is one run (count form), or the
repeats go down the rows, or a loop does. `AwkwardError`: operands that no call can name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from canopy.errors import Location
from canopy.ir.types import I64, U8, ElementType
from canopy.targets.ascend.calls import CALLS
from canopy.targets.ascend.npu import Buffer, Local, Loop, Space, VectorCall, View
from canopy.targets.ascend.scalars import Poly, Scalar, constant, poly_of

if TYPE_CHECKING:
    from canopy.targets.ascend.lower import Emitter

__all__ = ["AwkwardError", "Unit", "is_dense", "retyped"]

_BLOCK = 32
_MOST_STRIDE = 255  # of a repeat, in blocks
_MOST_REPEATS = 255
_ONE_BY_ONE = 4  # rows up to which calls stand one after another instead of in a loop


class AwkwardError(Exception):
    """The vector unit has no call for these operands: the scalar unit takes them lane by lane."""


@dataclass(frozen=True, slots=True)
class _Dim:
    """One axis that all operands walk; ``strides`` in elements, the target's first."""

    extent: int
    strides: tuple[int, ...]


@dataclass(slots=True)
class _Operand:
    """A view on the way into a call. ``is_spread``: strides count blocks of equal lanes."""

    view: View
    is_spread: bool = False

    def local(self, place: Poly, repeat_stride: int, location: Location) -> Local:
        """From element (block) ``place`` behind the view's start."""
        view = self.view
        if self.is_spread:
            offset = view.offset.scaled(view.type.bytes) + place.scaled(_BLOCK)
            return Local(view.buffer, view.type, offset, 0, repeat_stride)
        offset = (view.offset + place).scaled(view.type.bytes)
        return Local(view.buffer, view.type, offset, 1, repeat_stride)

    def blocks(self, stride: int) -> int | None:
        """A stride in blocks; None if it is not whole blocks."""
        if self.is_spread:
            return stride
        bytes_ = stride * self.view.type.bytes
        return None if bytes_ % _BLOCK else bytes_ // _BLOCK


class Unit:
    """Emits the calls for one instruction; its temporaries go back when it closes."""

    def __init__(self, emitter: Emitter, location: Location) -> None:
        self.e = emitter
        self.location = location
        self._buffers: list[Buffer] = []

    def close(self) -> None:
        for buffer in self._buffers:
            self.e.memory.free(buffer)
        self._buffers.clear()

    def temporary(self, shape: tuple[int, ...], type_: ElementType) -> View:
        buffer = self.e.memory.allocate(Space.UB, math.prod(shape), type_, "v")
        self._buffers.append(buffer)
        return View(buffer, shape, _dense(shape))

    def bits(self, lanes: int) -> View:
        return self.temporary((-(-lanes // 8),), U8)

    # ---- dense operands

    def dense(self, view: View) -> View:
        """The view, or a dense copy of it."""
        if is_dense(view):
            return view
        copy = self.temporary(view.shape, view.type)
        self.e.move(self, copy, view)
        return copy

    def padded(self, view: View, lanes: int) -> View:
        """Dense, and alone in its buffer up to ``lanes`` lanes."""
        view = self.dense(view)
        own = math.prod(view.shape)
        if own == lanes or (view.buffer.lanes == own and self.e.is_aligned(view)):
            return view
        copy = self.temporary(view.shape, view.type)
        self.e.move(self, copy, view)
        return copy

    def run(
        self,
        name: str,
        target: View,
        sources: Sequence[View] = (),
        scalars: Sequence[Scalar | Poly] = (),
        mode: str = "",
        lanes: int | None = None,
    ) -> None:
        """A call in count form; all operands are dense."""
        operands = [_Operand(view) for view in (target, *sources)]
        count = lanes if lanes is not None else math.prod(target.shape)
        for operand in operands:
            self._check_start(operand)
        first, *rest = (operand.local(Poly(), 8, self.location) for operand in operands)
        self._emit(name, first, rest, scalars, mode, constant(count))

    # ---- any operands

    def call(
        self,
        name: str,
        target: View,
        sources: Sequence[View] = (),
        scalars: Sequence[Scalar | Poly] = (),
        mode: str = "",
    ) -> None:
        """A call lane by lane on views of one shape."""
        views = [target, *sources]
        only_runs = CALLS[name].forms == "count"
        dims = _folded(views)
        if dims[-1].strides[0] != 1:
            raise AwkwardError
        for number, stride in enumerate(dims[-1].strides):
            narrow = views[number].type.bytes not in (2, 4)
            if stride != 1 and (stride != 0 or only_runs or narrow):
                views[number] = self.dense(views[number])
        dims = _folded(views)
        operands, dims = self._spread(views, dims)
        for operand in operands:
            self._check_start(operand)
        *outer, inner = dims
        rows = outer.pop() if outer else _Dim(1, (0,) * len(operands))
        self._check_rows(operands, [*outer, rows])

        def emit(places: list[Poly]) -> None:
            self._rows(name, operands, places, rows, inner, scalars, mode, only_runs)

        self._loops(outer, [Poly()] * len(operands), emit)

    def _check_start(self, operand: _Operand) -> None:
        if not operand.is_spread and not self.e.is_aligned(operand.view):
            raise AwkwardError

    def _check_rows(self, operands: list[_Operand], dims: list[_Dim]) -> None:
        for dim in dims:
            for operand, stride in zip(operands, dim.strides, strict=True):
                if dim.extent > 1 and operand.blocks(stride) is None:
                    raise AwkwardError

    def _loops(
        self, dims: list[_Dim], places: list[Poly], body: Callable[[list[Poly]], None]
    ) -> None:
        if not dims:
            body(places)
            return
        dim, *rest = dims
        if dim.extent <= _ONE_BY_ONE:
            for index in range(dim.extent):
                moved = [p + constant(index * s) for p, s in zip(places, dim.strides, strict=True)]
                self._loops(rest, moved, body)
            return
        register = self.e.register(I64, "r")
        index_ = poly_of(register)
        with self.e.collecting() as made:
            moved = [p + index_.scaled(s) for p, s in zip(places, dim.strides, strict=True)]
            self._loops(rest, moved, body)
        self.e.append(
            Loop(
                index=register,
                lower=constant(0),
                upper=constant(dim.extent),
                step=constant(1),
                body=made,
                location=self.location,
            )
        )

    def _rows(
        self,
        name: str,
        operands: list[_Operand],
        places: list[Poly],
        rows: _Dim,
        inner: _Dim,
        scalars: Sequence[Scalar | Poly],
        mode: str,
        only_runs: bool,
    ) -> None:
        is_plain = not any(operand.is_spread for operand in operands)
        is_plain = is_plain and CALLS[name].forms != "repeat"
        per_repeat = self.e.chip.repeat_bytes // max(o.view.type.bytes for o in operands)
        columns = -(-inner.extent // per_repeat)
        strides = [o.blocks(s) or 0 for o, s in zip(operands, rows.strides, strict=True)]
        can_repeat = not only_runs and max(strides) <= _MOST_STRIDE and min(strides) >= 0
        groups = -(-rows.extent // _MOST_REPEATS)
        if rows.extent > 1 and can_repeat and columns * groups <= rows.extent:
            for first in range(0, inner.extent, per_repeat):
                lanes = min(per_repeat, inner.extent - first)
                self._down(name, operands, places, rows, first, lanes, scalars, mode)
            return

        def along(places: list[Poly]) -> None:
            if is_plain:
                locals_ = [
                    o.local(p, 8, self.location) for o, p in zip(operands, places, strict=True)
                ]
                extent = constant(inner.extent)
                self._emit(name, locals_[0], locals_[1:], scalars, mode, extent)
            else:
                self._along(name, operands, places, inner.extent, per_repeat, scalars, mode)

        self._loops([rows], places, along)

    def _down(
        self,
        name: str,
        operands: list[_Operand],
        places: list[Poly],
        rows: _Dim,
        first: int,
        lanes: int,
        scalars: Sequence[Scalar | Poly],
        mode: str,
    ) -> None:
        """``lanes`` columns from ``first`` on, a repeat for each row."""
        for row in range(0, rows.extent, _MOST_REPEATS):
            locals_ = []
            for operand, place, stride in zip(operands, places, rows.strides, strict=True):
                moved = place + constant(row * stride + (0 if operand.is_spread else first))
                blocks = operand.blocks(stride) or 0
                locals_.append(operand.local(moved, blocks, self.location))
            repeats = constant(min(_MOST_REPEATS, rows.extent - row))
            self._emit(name, locals_[0], locals_[1:], scalars, mode, constant(lanes), repeats)

    def _along(
        self,
        name: str,
        operands: list[_Operand],
        places: list[Poly],
        extent: int,
        per_repeat: int,
        scalars: Sequence[Scalar | Poly],
        mode: str,
    ) -> None:
        """One run of lanes with operands that are one block again and again."""
        pieces = [
            (first, per_repeat, min(_MOST_REPEATS, (extent - first) // per_repeat))
            for first in range(0, extent - per_repeat + 1, per_repeat * _MOST_REPEATS)
        ]
        rest = extent % per_repeat
        if rest:
            pieces.append((extent - rest, rest, 1))
        for first, lanes, repeats in pieces:
            locals_ = []
            for operand, place in zip(operands, places, strict=True):
                if operand.is_spread:
                    locals_.append(operand.local(place, 0, self.location))
                    continue
                step = per_repeat * operand.view.type.bytes // _BLOCK
                locals_.append(operand.local(place + constant(first), step, self.location))
            self._emit(
                name, locals_[0], locals_[1:], scalars, mode, constant(lanes), constant(repeats)
            )

    def _emit(
        self,
        name: str,
        target: Local,
        sources: Sequence[Local],
        scalars: Sequence[Scalar | Poly],
        mode: str,
        lanes: Poly,
        repeats: Poly | None = None,
    ) -> None:
        self.e.append(
            VectorCall(
                name=name,
                target=target,
                sources=tuple(sources),
                scalars=tuple(scalars),
                lanes=lanes,
                repeats=repeats,
                mode=mode,
                location=self.location,
            )
        )

    # ---- lanes spread over blocks

    def _spread(self, views: list[View], dims: list[_Dim]) -> tuple[list[_Operand], list[_Dim]]:
        """Operands whose lanes all are one along the last axis get a block per lane."""
        operands = [_Operand(view) for view in views]
        strides = [list(dim.strides) for dim in dims]
        if dims[-1].extent > 1:
            for number, operand in enumerate(operands):
                if dims[-1].strides[number] == 0:
                    moving = [d for d, dim in enumerate(dims) if dim.strides[number]]
                    extents = tuple(dims[d].extent for d in moving)
                    steps = tuple(dims[d].strides[number] for d in moving)
                    operand.view = self._blocks(operand.view, extents, steps)
                    operand.is_spread = True
                    for d, stride in zip(moving, _dense(extents), strict=True):
                        strides[d][number] = stride
        changed = [replace(d, strides=tuple(s)) for d, s in zip(dims, strides, strict=True)]
        return operands, changed

    def _blocks(self, view: View, extents: tuple[int, ...], steps: tuple[int, ...]) -> View:
        source = View(view.buffer, extents, steps, view.offset)
        if not is_dense(source) or not self.e.is_aligned(source):
            copy = self.temporary(extents, view.type)
            self.e.move(self, copy, source)
            source = copy
        count = math.prod(extents)
        per_block = _BLOCK // view.type.bytes
        spread = self.temporary((-(-count // 8) * 8 * per_block,), view.type)
        repeats = -(-count // 8)
        for first in range(0, repeats, _MOST_REPEATS):
            start = source.offset + constant(first * 8)
            self._emit(
                "Brcb",
                Local(spread.buffer, view.type, constant(first * 8 * _BLOCK)),
                [Local(source.buffer, view.type, start.scaled(view.type.bytes))],
                (),
                "",
                constant(8),
                constant(min(_MOST_REPEATS, repeats - first)),
            )
        return spread


def retyped(view: View, type_: ElementType) -> View:
    """The same bytes as lanes of another type of equal width."""
    return replace(view, buffer=replace(view.buffer, type=type_))


def _dense(shape: tuple[int, ...]) -> tuple[int, ...]:
    strides = [1]
    for extent in reversed(shape[1:]):
        strides.append(strides[-1] * extent)
    return tuple(reversed(strides))[: len(shape)] if shape else ()


def is_dense(view: View) -> bool:
    return all(
        extent == 1 or stride == wanted
        for extent, stride, wanted in zip(view.shape, view.strides, _dense(view.shape), strict=True)
    )


def _folded(views: Sequence[View]) -> list[_Dim]:
    """The axes that operands of one shape walk, the target's longest stride first; at least one."""
    shape = views[0].shape
    dims = [
        _Dim(extent, tuple(view.strides[axis] for view in views))
        for axis, extent in enumerate(shape)
        if extent != 1
    ]
    dims.sort(key=lambda dim: -abs(dim.strides[0]))
    folded: list[_Dim] = []
    for dim in dims:
        last = folded[-1] if folded else None
        if last is not None and all(
            outer == inner * dim.extent
            for outer, inner in zip(last.strides, dim.strides, strict=True)
        ):
            folded[-1] = _Dim(last.extent * dim.extent, dim.strides)
        else:
            folded.append(dim)
    return folded or [_Dim(1, (1,) * len(views))]
