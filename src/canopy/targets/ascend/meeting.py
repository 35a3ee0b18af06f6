"""Lanes that meet: reductions, scans, gathers, and the like, as calls of the vector unit.

    reduce add x[64x1024], axis 1
    ->  Add  t <- x[:, 0:512], x[:, 512:1024]     halves, until a row is one repeat
        ..
        WholeReduceSum  r <- t, mask 64 x 64      a lane per row

Other combine regions are inlined on halves in the same way. Where half a row is no longer a whole
block of 32 bytes, rows become columns first (Gather), or the scalar unit does the rest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

from canopy import ir
from canopy.ir.types import BF16, F16, F32, I16, I32, I64, U8, U32, element_type
from canopy.targets.ascend.lanewise import Operand, cast, elementwise
from canopy.targets.ascend.npu import LaneLoop, Local, Loop, Vector, VectorCall, View
from canopy.targets.ascend.scalars import Number, Poly, constant, poly_of
from canopy.targets.ascend.unit import AwkwardError, Unit, is_dense, retyped

__all__ = ["any_lane", "combine", "gather", "reduce", "scan"]

_BLOCK = 32
_FOLDS: dict[type[ir.Op], str] = {ir.Add: "WholeReduceSum", ir.Max: "WholeReduceMax"}
_FOLDS[ir.Min] = "WholeReduceMin"


def combine(
    u: Unit,
    op: ir.Reduce | ir.Scan,
    targets: Sequence[View],
    left: Sequence[View],
    right: Sequence[View],
) -> None:
    """targets = region(left, right), lane by lane; targets may be left or right."""
    region = op.combine
    values: dict[ir.Value, Operand] = dict(zip(region.args, (*left, *right), strict=True))
    yielded = region.terminator.operands
    shape = targets[0].shape
    made: list[tuple[View, Operand]] = []
    for inner in region.ops:
        if inner.is_terminator:
            break
        (result,) = inner.results
        if isinstance(inner, ir.Constant):
            values[result] = Number(inner.value, element_type(inner.type))
            continue
        sources = [values[v] if v in values else u.e.scalar(v) for v in inner.operands]
        is_last = inner is region.ops[-2] and len(targets) == 1 and yielded[0] is result
        kind = element_type(result.type)
        into = targets[0] if is_last else u.temporary(shape, kind)
        u.e.emit(Vector(op=inner, targets=(into,), sources=tuple(sources), location=u.location))
        values[result] = into
    for target, value in zip(targets, yielded, strict=True):
        found = values[value] if value in values else u.e.scalar(value)
        if found is not target:
            made.append((target, found))
    for target, found in _safe_order(u, made):
        u.e.move(u, target, found)


def _safe_order(u: Unit, moves: list[tuple[View, Operand]]) -> list[tuple[View, Operand]]:
    """Moves whose sources no earlier one overwrites; copies where that takes a copy."""
    targets = {(t.buffer.address, str(t.offset)) for t, _ in moves}
    safe: list[tuple[View, Operand]] = []
    for target, source in moves:
        if isinstance(source, View) and len(moves) > 1:
            place = (source.buffer.address, str(source.offset))
            if place in targets:
                source = _copied(u, source)
        safe.append((target, source))
    return safe


def _copied(u: Unit, view: View) -> View:
    copy = u.temporary(view.shape, view.type)
    u.e.move(u, copy, view)
    return copy


# ---- reductions


def reduce(u: Unit, op: ir.Reduce, vector: Vector) -> None:
    sources = [view for view in vector.sources if isinstance(view, View)]
    targets = list(vector.targets)
    axis = vector.axis
    shape = sources[0].shape
    if any(s.type.bytes == 8 for s in sources):
        raise AwkwardError
    if shape[axis] == 1:
        for target, source in zip(targets, sources, strict=True):
            u.e.move(u, target, _slice(source, axis, 0, 1, drop=True))
        return
    simple = _simple(op)
    if simple is not None and len(sources) == 1 and element_type(op.sources[0].type) == BF16:
        wide = cast(u, sources[0], F32)
        assert isinstance(wide, View)
        found = u.temporary(targets[0].shape, F32)
        _halved(u, op, simple, [found], [wide], axis, are_own=True)
        elementwise(u, ir.Cast(source=ir.Value(F32), type=BF16), targets[0], [found])
        return
    _halved(u, op, simple, targets, sources, axis)


def _simple(op: ir.Reduce) -> type[ir.Op] | None:
    """The op of a region that is one op on both its arguments, where a number beats a NaN."""
    if len(op.combine.ops) != 2 or len(op.sources) != 1:
        return None
    inner = op.combine.ops[0]
    if type(inner) not in _FOLDS and not isinstance(inner, ir.Mul | ir.And | ir.Or | ir.Xor):
        return None
    if getattr(inner, "propagate_nan", False):
        return None
    return type(inner) if {*inner.operands} == {*op.combine.args} else None


def _halved(
    u: Unit,
    op: ir.Reduce,
    simple: type[ir.Op] | None,
    targets: Sequence[View],
    views: list[View],
    axis: int,
    are_own: bool = False,
) -> None:
    """Halves are combined, in place if ``are_own``, until a fold, or one lane, is left."""
    extent = views[0].shape[axis]
    is_inner = all(e == 1 for e in views[0].shape[axis + 1 :])
    while extent > 1:
        if is_inner and _fold(u, simple, targets, views, axis):
            return
        half = extent // 2
        if extent % 2:
            raise AwkwardError
        if is_inner and any(half * v.type.bytes % _BLOCK for v in views):
            _finish_inner(u, op, targets, views, axis)
            return
        left = [_slice(v, axis, 0, half) for v in views]
        right = [_slice(v, axis, half, half) for v in views]
        if half == 1 and not is_inner:
            ends = [_with_axis(t, axis) for t in targets]
            _combined(u, op, simple, ends, left, right)
            return
        into = left if are_own else [u.temporary(v.shape, v.type) for v in left]
        _combined(u, op, simple, into, left, right)
        views, extent, are_own = into, half, True
    for target, view in zip(targets, views, strict=True):
        u.e.move(u, target, _slice(view, axis, 0, 1, drop=True))


def _combined(
    u: Unit,
    op: ir.Reduce,
    simple: type[ir.Op] | None,
    into: Sequence[View],
    left: list[View],
    right: list[View],
) -> None:
    if simple is not None and left[0].type != element_type(op.sources[0].type):
        value = ir.Value(left[0].type)
        inner = simple(lhs=value, rhs=ir.Value(left[0].type))  # type: ignore[call-arg]
        elementwise(u, inner, into[0], [left[0], right[0]])
        return
    combine(u, op, into, left, right)


def _fold(
    u: Unit, simple: type[ir.Op] | None, targets: Sequence[View], views: list[View], axis: int
) -> bool:
    """A row that is at most one repeat, by WholeReduce; False where there is no such call."""
    (view, *more), (target, *_) = views, targets
    if more or simple not in _FOLDS or view.type not in (F16, F32):
        return False
    lanes = view.shape[axis]
    width = view.type.bytes
    if lanes > u.e.chip.repeat_bytes // width:
        return False
    rows = view.shape[:axis]
    count = math.prod(rows)
    stride = _row_stride(view, axis)
    if count > 1 and (stride is None or stride * width % _BLOCK or stride * width > 255 * _BLOCK):
        return False
    if not u.e.is_aligned(view) or (lanes > 1 and view.strides[axis] != 1):
        return False
    is_own = is_dense(target) and u.e.is_aligned(target)
    result = target if is_own else u.temporary(target.shape, target.type)
    blocks = 8 if count == 1 or stride is None else stride * width // _BLOCK
    for row in range(0, count, 248):
        place = (view.offset + constant(row * (stride or 0))).scaled(width)
        into = (result.offset + constant(row)).scaled(width)
        u.e.append(
            VectorCall(
                name=_FOLDS[simple],
                target=Local(result.buffer, result.type, into),
                sources=(Local(view.buffer, view.type, place, 1, blocks),),
                lanes=constant(lanes),
                repeats=constant(min(248, count - row)),
                location=u.location,
            )
        )
    if not is_own:
        u.e.move(u, target, result)
    return True


def _row_stride(view: View, axis: int) -> int | None:
    """The stride from row to row where all rows are in one progression."""
    dims = [(e, s) for e, s in zip(view.shape[:axis], view.strides[:axis], strict=True) if e != 1]
    for (_, outer), (extent, inner) in pairwise(dims):
        if outer != extent * inner:
            return None
    return dims[-1][1] if dims else 0


def _finish_inner(
    u: Unit, op: ir.Reduce, targets: Sequence[View], views: list[View], axis: int
) -> None:
    """The last lanes of each row: rows become columns if there are enough, else the scalar unit."""
    rows = math.prod(views[0].shape[:axis])
    lanes = views[0].shape[axis]
    if any(rows * v.type.bytes % _BLOCK for v in views) or any(v.type.bytes == 1 for v in views):
        rest = replace(op, sources=tuple(_value_like(view) for view in views))
        u.e.append(
            LaneLoop(
                op=rest,
                targets=tuple(targets),
                sources=tuple(views),
                axis=axis,
                location=u.location,
            )
        )
        u.e.scalar_loop(op)
        return
    turned = []
    for view in views:
        packed = u.dense(_slice(view, axis, 0, lanes))
        column = View(packed.buffer, (lanes, rows), (1, lanes), packed.offset)
        into = u.temporary((lanes, rows), view.type)
        u.e.move(u, into, column)
        turned.append(into)
    flat = [View(t.buffer, (rows,), (1,), t.offset) for t in targets]
    if not all(is_dense(target) for target in targets):
        raise AwkwardError
    _halved(u, op, _simple(op), flat, turned, 0, are_own=True)


def _value_like(view: View) -> ir.Value:
    return ir.Value(ir.types.TileType(view.shape, view.type))


def _slice(view: View, axis: int, first: int, count: int, drop: bool = False) -> View:
    shape = (*view.shape[:axis], count, *view.shape[axis + 1 :])
    strides = view.strides
    offset = view.offset + constant(first * strides[axis])
    if drop:
        shape = (*shape[:axis], *shape[axis + 1 :])
        strides = (*strides[:axis], *strides[axis + 1 :])
    return View(view.buffer, shape, strides, offset)


def _with_axis(view: View, axis: int) -> View:
    shape = (*view.shape[:axis], 1, *view.shape[axis:])
    strides = (*view.strides[:axis], 1, *view.strides[axis:])
    return View(view.buffer, shape, strides, view.offset)


# ---- scans


def scan(u: Unit, op: ir.Scan, vector: Vector) -> None:
    """Row by row, each joined to the one before; along the last axis the scalar unit scans."""
    sources = [view for view in vector.sources if isinstance(view, View)]
    axis, shape = vector.axis, sources[0].shape
    inner = math.prod(shape[axis + 1 :])
    if any(inner * v.type.bytes % _BLOCK or v.type.bytes == 8 for v in sources):
        raise AwkwardError
    extent = shape[axis]
    for target, source in zip(vector.targets, sources, strict=True):
        place = constant(extent - 1 if op.reverse else 0)
        u.e.move(u, _at(target, axis, place), _at(source, axis, place))
    index = u.e.register(I64, "row")
    here = constant(extent - 1) - poly_of(index) if op.reverse else poly_of(index)
    before = here + constant(1 if op.reverse else -1)
    inside = Unit(u.e, u.location)
    with u.e.collecting() as body:
        done = [_at(target, axis, before) for target in vector.targets]
        new = [_at(source, axis, here) for source in sources]
        combine(inside, op, [_at(target, axis, here) for target in vector.targets], done, new)
    inside.close()
    u.e.append(
        Loop(
            index=index,
            lower=constant(1),
            upper=constant(extent),
            step=constant(1),
            body=body,
            location=u.location,
        )
    )


def _at(view: View, axis: int, index: Poly) -> View:
    shape = (*view.shape[:axis], 1, *view.shape[axis + 1 :])
    return View(view.buffer, shape, view.strides, view.offset + index.scaled(view.strides[axis]))


# ---- gathers and the rest


def gather(u: Unit, op: ir.Gather, vector: Vector) -> None:
    """Along the only axis that is not 1: offsets are indices times the width of a lane."""
    source, indices = vector.sources
    (target,) = vector.targets
    assert isinstance(source, View)
    assert isinstance(indices, View)
    long = [e for n, e in enumerate(source.shape) if n != op.axis]
    if any(e != 1 for e in long) or source.type.bytes not in (2, 4):
        raise AwkwardError
    if not is_dense(source) or not is_dense(target) or not u.e.is_aligned(target):
        raise AwkwardError
    places = cast(u, u.dense(indices), I32) if indices.type != I32 else indices
    assert isinstance(places, View)
    offsets = u.temporary(places.shape, I32)
    u.call("Muls", offsets, [places], [Number(source.type.bytes, I32)])
    kind = I32 if source.type.bytes == 4 else I16
    start = source.offset.scaled(source.type.bytes)
    if start.terms:
        u.run("Adds", offsets, [offsets], [start])
    u.e.append(
        VectorCall(
            name="Gather",
            target=Local(target.buffer, kind, target.offset.scaled(target.type.bytes)),
            sources=(Local(source.buffer, kind), Local(offsets.buffer, U32)),
            lanes=constant(math.prod(target.shape)),
            location=u.location,
        )
    )


def any_lane(u: Unit, target: View, source: View) -> None:
    """Whether a byte is 1: the largest of them, as f16."""
    short = cast(u, retyped(source, U8), F16)
    assert isinstance(short, View)
    flat = View(short.buffer, (math.prod(short.shape),), (1,), short.offset)
    largest = u.temporary((), F16)
    value = ir.Value(F16), ir.Value(F16)
    region = ir.Region(value, [])
    inner = ir.Max(lhs=value[0], rhs=value[1])
    region.ops.extend([inner, ir.Yield(values=inner.results)])
    whole = ir.Reduce(
        sources=(ir.Value(ir.types.TileType(flat.shape, F16)),), axis=0, combine=region
    )
    _halved(u, whole, ir.Max, [largest], [flat], 0)
    u.run("Cast", retyped(target, U8), [largest], mode="CAST_RINT")
