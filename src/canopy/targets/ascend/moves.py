"""Moves and fills as calls of the vector unit.

move t <- 1.5                 Duplicate
move t <- range 3             CreateVecIndex
move t <- x, rows or blocks   Copy
move t <- x, one lane a row   Brcb, Copy
move t <- x, transposed ..    Gather, its offsets made from CreateVecIndex by shifts and masks
fill t unless 1*i0 - n < 0    Duplicate with a mask of lanes, and behind it with whole ones
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from canopy import ir
from canopy.ir.types import (
    BOOL,
    F16,
    I8,
    I16,
    I32,
    I64,
    U8,
    U32,
    PointerType,
    ScalarType,
)
from canopy.targets.ascend.lanewise import Operand, cast, halves, scalar_cast
from canopy.targets.ascend.npu import Assign, Branch, Fill, Limit, Local, Loop, VectorCall, View
from canopy.targets.ascend.scalars import Number, Poly, Register, Scalar, constant, poly_of
from canopy.targets.ascend.unit import AwkwardError, Unit, is_dense, retyped

__all__ = ["fill", "gathered", "move", "range_into"]

_BLOCK = 32
_BYTES = (BOOL, I8, U8)


def move(u: Unit, target: View, source: Operand) -> None:
    """target = source; views have one shape and one width of lanes."""
    if target.type.bytes == 8:
        raise AwkwardError
    if not isinstance(source, View):
        _duplicate(u, target, source)
        return
    if target.type in _BYTES:
        _move_bytes(u, target, source)
        return
    kind = I32 if target.type.bytes == 4 else I16
    target, source = retyped(target, kind), retyped(source, kind)
    if _is_walkable(source) and _is_walkable(target):
        _copy(u, target, source)
    else:
        gathered(u, target, source)


def _copy(u: Unit, target: View, source: View) -> None:
    try:
        u.call("Copy", target, [source])
    except AwkwardError:
        gathered(u, target, source)


def _is_walkable(view: View) -> bool:
    """Whether lanes along the last axis stand side by side, or all are one."""
    real = [s for e, s in zip(view.shape, view.strides, strict=True) if e != 1]
    return not real or real[-1] in (0, 1)


def _duplicate(u: Unit, target: View, source: Scalar) -> None:
    if target.type in _BYTES:
        narrow = U8 if target.type == BOOL else target.type
        assert isinstance(narrow, ScalarType)
        wide = u.temporary(target.shape, F16)
        u.run("Duplicate", wide, scalars=[scalar_cast(u, source, F16)])
        u.call("Cast", retyped(target, narrow), [wide], mode="CAST_RINT")
        return
    if isinstance(target.type, PointerType):
        raise AwkwardError
    u.call("Duplicate", target, scalars=[source])


def _move_bytes(u: Unit, target: View, source: View) -> None:
    """Bytes have no calls that move them: dense ones go as pairs, the others as f16."""
    if is_dense(target) and is_dense(source) and math.prod(target.shape) % 2 == 0:
        to, from_ = halves(target), halves(source)
        if u.e.is_aligned(to) and u.e.is_aligned(from_):
            u.call("Copy", to, [from_])
            return
    narrow = I8 if target.type == I8 else U8
    packed = _packed(source)
    wide = u.temporary(packed.shape, F16)
    u.call("Cast", wide, [retyped(packed, narrow)], mode="CAST_NONE")
    short = u.temporary(target.shape, F16)
    move(u, short, View(wide.buffer, source.shape, source.strides))
    u.call("Cast", retyped(target, narrow), [short], mode="CAST_RINT")


def _packed(view: View) -> View:
    """The lanes that a view shows, each once, where they are one run from its start."""
    axes = sorted(
        (axis for axis, stride in enumerate(view.strides) if stride and view.shape[axis] != 1),
        key=lambda axis: -view.strides[axis],
    )
    packed = View(
        view.buffer,
        tuple(view.shape[axis] for axis in axes) or (1,),
        tuple(view.strides[axis] for axis in axes) or (1,),
        view.offset,
    )
    if not is_dense(packed):
        raise AwkwardError
    return packed


# ---- gathering


def gathered(u: Unit, target: View, source: View) -> None:
    """Any view of a buffer into a dense one: Gather by byte offsets that are computed."""
    width = source.type.bytes
    extents = [(e, s) for e, s in zip(source.shape, source.strides, strict=True)]
    if width not in (2, 4) or not is_dense(target):
        raise AwkwardError
    if not all(e & (e - 1) == 0 for e, _ in extents) or not u.e.is_aligned(target):
        raise AwkwardError
    lanes = math.prod(target.shape)
    offsets = u.temporary((lanes,), I32)
    _offsets(u, offsets, extents, width)
    start = source.offset.scaled(width)
    if start.terms:
        u.run("Adds", offsets, [offsets], [start])
    table = Local(source.buffer, source.type)
    first = target.offset.scaled(width)
    u.e.append(
        VectorCall(
            name="Gather",
            target=Local(target.buffer, target.type, first),
            sources=(table, Local(offsets.buffer, U32)),
            lanes=constant(lanes),
            location=u.location,
        )
    )


def _offsets(u: Unit, target: View, extents: Sequence[tuple[int, int]], width: int) -> None:
    """Sum over the axes of ((lane >> shift) & (extent - 1)) * stride * width."""
    lanes = math.prod(target.shape)
    index = u.temporary((lanes,), I32)
    u.run("CreateVecIndex", index, scalars=[Number(0, I32)])
    part = u.temporary((lanes,), I32)
    shift = 0
    is_first = True
    for extent, stride in reversed(extents):
        bits = extent.bit_length() - 1
        if extent > 1 and stride:
            _digit(u, part, index, shift, bits, lanes)
            u.run("Muls", part, [part], [Number(stride * width, I32)])
            if is_first:
                u.run("Adds", target, [part], [Number(0, I32)])
            else:
                u.run("Add", target, [target, part])
            is_first = False
        shift += bits
    if is_first:
        u.run("Duplicate", target, scalars=[Number(0, I32)])


def _digit(u: Unit, target: View, index: View, shift: int, bits: int, lanes: int) -> None:
    """(index >> shift) & (2^bits - 1), by shifting up and down where bits above are in the way."""
    kind = U32
    above = lanes.bit_length() - 1 - shift - bits
    to, from_ = retyped(target, kind), retyped(index, kind)
    if above > 0:
        up = 32 - shift - bits
        u.run("ShiftLeft", to, [from_], [Number(up, kind)])
        u.run("ShiftRight", to, [to], [Number(up + shift, kind)])
    elif shift:
        u.run("ShiftRight", to, [from_], [Number(shift, kind)])
    else:
        u.run("Adds", target, [index], [Number(0, I32)])


# ---- ranges


def range_into(u: Unit, target: View, first: Poly) -> None:
    """first, first + 1, .."""
    kind = target.type
    assert isinstance(kind, ScalarType)
    if kind in (I32, U32):
        u.run("CreateVecIndex", retyped(target, I32), scalars=[first])
        return
    index = u.temporary(target.shape, I32)
    u.run("CreateVecIndex", index, scalars=[first])
    found = cast(u, index, kind)
    assert isinstance(found, View)
    if kind == I64:
        u.call("Cast", target, [index], mode="CAST_NONE")
    else:
        move(u, target, found)


# ---- fills


def fill(u: Unit, what: Fill) -> None:
    """Content into the lanes outside the limits."""
    target, content = what.target, what.content
    if target.type.bytes == 8:
        raise AwkwardError
    if target.type.bytes == 1:
        _fill_bytes(u, what)
        return
    kind = I32 if target.type.bytes == 4 else I16
    if isinstance(content, View):
        content = retyped(u.dense(content), kind)
        if not is_dense(target):
            raise AwkwardError
        target = retyped(target, kind)
    bounds = _bounds(u, target.shape, what.limits, what.conditions)
    for axis in reversed(range(len(target.shape))):
        if axis in bounds:
            _fill_axis(u, target, content, axis, *bounds[axis])


def _fill_bytes(u: Unit, what: Fill) -> None:
    narrow = I8 if what.target.type == I8 else U8
    wide = u.temporary(what.target.shape, F16)
    u.call("Cast", wide, [retyped(what.target, narrow)], mode="CAST_NONE")
    content = what.content
    if isinstance(content, View):
        source = retyped(content, narrow)
        short = u.temporary(content.shape, F16)
        u.call("Cast", short, [source], mode="CAST_NONE")
        content = short
    else:
        content = scalar_cast(u, content, F16)
    fill(u, replace(what, target=wide, content=content))
    u.call("Cast", retyped(what.target, narrow), [wide], mode="CAST_RINT")


def _bounds(
    u: Unit, shape: tuple[int, ...], limits: tuple[Limit, ...], conditions: tuple[Scalar, ...]
) -> dict[int, tuple[Poly, Poly]]:
    """Per axis the first lane that counts and the one behind the last; 0, 0 if none does."""
    bounds: dict[int, tuple[Poly, Poly]] = {}
    for limit in limits:
        axis = limit.axis
        if axis is None or not limit.factor:
            continue
        low, high = bounds.get(axis, (Poly(), constant(shape[axis])))
        if limit.factor > 0:  # i < ceil(-base / factor)
            high = _clamped(u, ir.Min, _ceiling(u, limit.base.scaled(-1), limit.factor), high)
            high = _clamped(u, ir.Max, high, Poly())
        else:  # i > base / -factor
            low = _clamped(u, ir.Max, _floor(u, limit.base, -limit.factor) + constant(1), low)
            low = _clamped(u, ir.Min, low, constant(shape[axis]))
        bounds[axis] = (low, high)
    whole = [limit for limit in limits if limit.axis is None or not limit.factor]
    if whole or conditions:
        axis = next(iter(bounds), 0)
        low, high = bounds.get(axis, (Poly(), constant(shape[axis] if shape else 1)))
        bounds[axis] = (low, _zero_unless(u, high, whole, conditions))
    return bounds


def _clamped(u: Unit, kind: type[ir.Min | ir.Max], value: Poly, limit: Poly) -> Poly:
    if value.number is not None and limit.number is not None:
        function = min if kind is ir.Min else max
        return constant(function(value.number, limit.number))
    return _computed(u, kind(lhs=ir.Value(I64), rhs=ir.Value(I64)), value, limit)


def _ceiling(u: Unit, value: Poly, divisor: int) -> Poly:
    return value if divisor == 1 else _floor(u, value + constant(divisor - 1), divisor)


def _floor(u: Unit, value: Poly, divisor: int) -> Poly:
    """value / divisor rounded down: the remainder that C gives, made positive, taken off first."""
    if divisor == 1:
        return value
    number = constant(divisor)
    rest = _computed(u, ir.Rem(lhs=ir.Value(I64), rhs=ir.Value(I64)), value, number)
    rest = _computed(u, ir.Rem(lhs=ir.Value(I64), rhs=ir.Value(I64)), rest + number, number)
    return _computed(u, ir.Div(lhs=ir.Value(I64), rhs=ir.Value(I64)), value - rest, number)


def _computed(u: Unit, op: ir.Op, *sources: Poly) -> Poly:
    register = u.e.register(I64, "n")
    u.e.append(Assign(target=register, op=op, sources=sources, location=u.location))
    return poly_of(register)


def _zero_unless(
    u: Unit, value: Poly, limits: Sequence[Limit], conditions: Sequence[Scalar]
) -> Poly:
    """``value`` where all limits and conditions hold, else a number below all lanes."""
    register = u.e.register(I64, "n")
    copy = Assign(target=register, op=None, sources=(value,), location=u.location)
    zero = Assign(target=register, op=None, sources=(constant(0),), location=u.location)
    u.e.append(copy)
    tests: list[Scalar | tuple[Limit, ...]] = [*conditions]
    if limits:
        tests.append(tuple(replace(limit, axis=None, factor=0) for limit in limits))
    for test in tests:
        u.e.append(Branch(condition=test, then_body=[], else_body=[zero], location=u.location))
    return poly_of(register)


def _fill_axis(u: Unit, target: View, content: Operand, axis: int, low: Poly, high: Poly) -> None:
    """Lanes before ``low`` and from ``high`` on along one axis, in all of the others."""
    extent = target.shape[axis]
    inner = math.prod(target.shape[axis + 1 :])
    has_rows = inner > 1 or target.strides[axis] != 1
    if has_rows:
        for first, end in _outside(low, high, extent):
            _fill_rows(u, target, content, axis, first, end)
        return
    if high.number != extent:
        _fill_tail(u, target, content, axis, high)
    if low.terms:
        _fill_head(u, target, content, axis, low)


def _outside(low: Poly, high: Poly, extent: int) -> list[tuple[Poly, Poly]]:
    found = []
    if low.terms:
        found.append((Poly(), low))
    if high.number != extent:
        found.append((high, constant(extent)))
    return found


def _fill_rows(u: Unit, target: View, content: Operand, axis: int, first: Poly, end: Poly) -> None:
    """Row by row, from ``first`` to ``end`` along an axis that is not the last."""
    register = u.e.register(I64, "row")
    row = _row(target, axis, poly_of(register))
    with u.e.collecting() as body:
        if isinstance(content, View):
            move(u, row, _row(content, axis, poly_of(register)))
        else:
            u.call("Duplicate", row, scalars=[content])
    u.e.append(
        Loop(
            index=register, lower=first, upper=end, step=constant(1), body=body, location=u.location
        )
    )


def _row(view: View, axis: int, index: Poly) -> View:
    return View(
        view.buffer,
        (*view.shape[:axis], 1, *view.shape[axis + 1 :]),
        (*view.strides[:axis], 0, *view.strides[axis + 1 :]),
        view.offset + index.scaled(view.strides[axis]),
    )


def _fill_tail(u: Unit, target: View, content: Operand, axis: int, high: Poly) -> None:
    """From lane ``high`` on: a repeat in part, by its mask, and the whole ones behind it."""
    per_repeat = u.e.chip.repeat_bytes // target.type.bytes
    extent = target.shape[axis]
    if extent <= per_repeat:
        _masked(u, target, content, axis, Poly(), high, constant(extent))
        return
    lanes = constant(per_repeat)
    inside = _computed(u, ir.Rem(lhs=ir.Value(I64), rhs=ir.Value(I64)), high, lanes)
    start = _register(u, high - inside)
    u.e.multiples[start] = per_repeat
    has_part = (Limit(None, 0, poly_of(start) - constant(extent)),)
    with u.e.collecting() as part:
        _masked(u, target, content, axis, poly_of(start), inside, lanes)
        _fill_behind(u, target, content, axis, poly_of(start) + lanes)
    u.e.append(Branch(condition=has_part, then_body=part, else_body=[], location=u.location))


def _fill_behind(u: Unit, target: View, content: Operand, axis: int, start: Poly) -> None:
    """Whole repeats from lane ``start`` on: one call where there is one row, else a loop."""
    per_repeat = u.e.chip.repeat_bytes // target.type.bytes
    extent = target.shape[axis]
    if math.prod(target.shape) == extent and not isinstance(content, View):
        left = _computed(
            u, ir.Max(lhs=ir.Value(I64), rhs=ir.Value(I64)), constant(extent) - start, Poly()
        )
        place = (target.offset + start).scaled(target.type.bytes)
        u.e.append(
            VectorCall(
                name="Duplicate",
                target=Local(target.buffer, target.type, place),
                scalars=(content,),
                lanes=left,
                location=u.location,
            )
        )
        return
    index = u.e.register(I64, "tail")
    u.e.multiples[index] = per_repeat
    with u.e.collecting() as body:
        _masked(u, target, content, axis, poly_of(index), Poly(), constant(per_repeat))
    u.e.append(
        Loop(
            index=index,
            lower=start,
            upper=constant(extent),
            step=constant(per_repeat),
            body=body,
            location=u.location,
        )
    )


def _fill_head(u: Unit, target: View, content: Operand, axis: int, low: Poly) -> None:
    """Up to lane ``low``: repeats, the last one in part."""
    per_repeat = u.e.chip.repeat_bytes // target.type.bytes
    extent = target.shape[axis]
    if extent <= per_repeat:
        _masked(u, target, content, axis, Poly(), Poly(), low)
        return
    index = u.e.register(I64, "head")
    u.e.multiples[index] = per_repeat
    with u.e.collecting() as body:
        end = _clamped(u, ir.Min, low - poly_of(index), constant(per_repeat))
        _masked(u, target, content, axis, poly_of(index), Poly(), end)
    u.e.append(
        Loop(
            index=index,
            lower=Poly(),
            upper=low,
            step=constant(per_repeat),
            body=body,
            location=u.location,
        )
    )


def _register(u: Unit, value: Poly) -> Register:
    register = u.e.register(I64, "n")
    u.e.append(Assign(target=register, op=None, sources=(value,), location=u.location))
    return register


def _masked(
    u: Unit, target: View, content: Operand, axis: int, place: Poly, first: Poly, end: Poly
) -> None:
    """Lanes first .. end of the repeat at ``place`` along the last axis, in all rows."""
    names = {True: "Copy", False: "Duplicate"}
    moved = replace(target, offset=target.offset + place)
    is_view = isinstance(content, View)
    source = replace(content, offset=content.offset + place) if isinstance(content, View) else None
    if not u.e.is_aligned(moved):
        raise AwkwardError
    rows = [
        (extent, stride)
        for number, (extent, stride) in enumerate(zip(target.shape, target.strides, strict=True))
        if number != axis and extent != 1
    ]
    _masked_rows(u, names[is_view], moved, source, content, rows, first, end)


def _masked_rows(
    u: Unit,
    name: str,
    target: View,
    source: View | None,
    content: Operand,
    rows: list[tuple[int, int]],
    first: Poly,
    end: Poly,
) -> None:
    width = target.type.bytes
    extent, stride = rows[-1] if rows else (1, 0)
    blocks = stride * width // _BLOCK
    if stride * width % _BLOCK or blocks > 255 or any(s * width % _BLOCK for _, s in rows):
        raise AwkwardError
    if len(rows) > 2:
        raise AwkwardError
    if len(rows) == 2:
        register = u.e.register(I64, "row")
        step = poly_of(register).scaled(rows[0][1])
        with u.e.collecting() as body:
            inner = replace(target, offset=target.offset + step)
            from_ = None if source is None else replace(source, offset=source.offset + step)
            _masked_rows(u, name, inner, from_, content, rows[1:], first, end)
        u.e.append(
            Loop(
                index=register,
                lower=Poly(),
                upper=constant(rows[0][0]),
                step=constant(1),
                body=body,
                location=u.location,
            )
        )
        return
    for row in range(0, extent, 255):
        moved = constant(row * stride)
        to = Local(target.buffer, target.type, (target.offset + moved).scaled(width), 1, blocks)
        sources: tuple[Local, ...] = ()
        if source is not None:
            from_place = (source.offset + moved).scaled(width)
            sources = (Local(source.buffer, source.type, from_place, 1, blocks),)
        u.e.append(
            VectorCall(
                name=name,
                target=to,
                sources=sources,
                scalars=() if isinstance(content, View) else (content,),
                first=first,
                lanes=end,
                repeats=constant(min(255, extent - row)),
                location=u.location,
            )
        )
