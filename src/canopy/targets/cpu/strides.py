"""Whether the lanes of a tile of pointers are known to touch different bytes.

In: a pointer tile. It is followed back to ranges, constants and scalars: where the address is a
scalar plus a constant number of bytes per step along each axis, the answer is arithmetic.
"""

from __future__ import annotations

from canopy import ir

__all__ = ["has_distinct_lanes", "has_lower_bound", "is_row_major", "period_of"]

Strides = tuple[int, ...]  # what one step along each axis adds


def has_distinct_lanes(pointer: ir.Value, size: int) -> bool:
    """Whether no two lanes of ``pointer`` are less than ``size`` bytes apart."""
    strides = _Strides().of(pointer)
    if strides is None:
        return False
    reach = size - 1  # bytes behind the first that the axes so far cover
    for stride, extent in sorted(zip(map(abs, strides), pointer.shape, strict=True)):
        if extent == 1:
            continue
        if stride <= reach:
            return False
        reach += stride * (extent - 1)
    return True


def is_row_major(pointer: ir.Value, size: int) -> bool:
    """Whether the lanes of ``pointer`` are known to follow each other, ``size`` bytes apart."""
    strides = _Strides().of(pointer)
    return strides is not None and _linear_step(strides, pointer.shape) == size


def period_of(op: ir.Op | None) -> int:
    """After how many steps of its index an op by a constant starts anew; 0 if it does not."""
    if not isinstance(op, (ir.Rem, ir.Div, ir.And, ir.ShiftRight)):
        return 0
    known = op.rhs.op
    if not isinstance(known, ir.Constant) or not isinstance(known.value, int):
        return 0
    number = int(known.value)
    if isinstance(op, ir.ShiftRight):
        return 1 << number if 0 <= number < 31 else 0
    if isinstance(op, ir.And):
        return number + 1 if number > 0 and not number & (number + 1) else 0
    return max(number, 0)


def has_lower_bound(mask: ir.Value | None) -> bool:
    """Whether a mask asks for indices from some bound on."""
    op = mask.op if mask is not None else None
    if isinstance(op, ir.And):
        return has_lower_bound(op.lhs) or has_lower_bound(op.rhs)
    if not isinstance(op, ir.Compare):
        return False
    is_bound_left = isinstance(op.lhs.op, (ir.Splat, ir.Constant))
    return op.predicate in (("lt", "le") if is_bound_left else ("gt", "ge"))


class _Strides:
    """Strides of values, each found once; None where they are not constants."""

    def __init__(self) -> None:
        self._known: dict[ir.Value, Strides | None] = {}

    def of(self, value: ir.Value) -> Strides | None:
        if value not in self._known:
            self._known[value] = self._find(value)
        return self._known[value]

    def _find(self, value: ir.Value) -> Strides | None:
        match value.op:
            case _ if not value.is_tile:
                return ()
            case ir.Splat() | ir.Constant():
                return (0,) * len(value.shape)
            case ir.Range():
                return (1,)
            case ir.Offset(pointer=pointer, index=index, scale=scale):
                return _sum(self.of(pointer), self.of(index), scale)
            case ir.Add(lhs=lhs, rhs=rhs):
                return _sum(self.of(lhs), self.of(rhs), 1)
            case ir.Sub(lhs=lhs, rhs=rhs):
                return _sum(self.of(lhs), self.of(rhs), -1)
            case ir.Mul(lhs=lhs, rhs=rhs):
                return self._product(lhs, rhs)
            case ir.Cast(source=source, type=type_) if type_.bits >= 32:
                return self.of(source)
            case ir.Bitcast(source=source):
                return self.of(source)
            case ir.Broadcast() | ir.ExpandDims() | ir.Transpose() | ir.Reshape() as op:
                inner = self.of(op.source)
                return None if inner is None else _under_shape_op(op, inner)
            case _:
                return None

    def _product(self, lhs: ir.Value, rhs: ir.Value) -> Strides | None:
        left, right = self.of(lhs), self.of(rhs)
        if left is None or right is None:
            return None
        for strides, factor in ((left, _constant(rhs)), (right, _constant(lhs))):
            if factor is not None:
                return tuple(stride * factor for stride in strides)
        return left if not any(left) and not any(right) else None


def _under_shape_op(
    op: ir.Broadcast | ir.ExpandDims | ir.Transpose | ir.Reshape, inner: Strides
) -> Strides | None:
    match op:
        case ir.Broadcast():
            pairs = zip(inner, op.source.shape, op.shape, strict=True)
            return tuple(stride if old == new else 0 for stride, old, new in pairs)
        case ir.ExpandDims():
            return (*inner[: op.axis], 0, *inner[op.axis :])
        case ir.Transpose():
            return tuple(inner[axis] for axis in op.order)
        case ir.Reshape():
            step = _linear_step(inner, op.source.shape)
            return None if step is None else _row_major(step, op.shape)


def _sum(left: Strides | None, right: Strides | None, factor: int) -> Strides | None:
    if left is None or right is None:
        return None
    return tuple(a + factor * b for a, b in zip(left, right, strict=True))


def _constant(value: ir.Value) -> int | None:
    op = value.op
    while isinstance(op, (ir.Splat, ir.Broadcast, ir.Cast)):
        op = op.source.op
    return op.value if isinstance(op, ir.Constant) and isinstance(op.value, int) else None


def _linear_step(strides: Strides, shape: tuple[int, ...]) -> int | None:
    """What one step in row-major order adds, if it is the same everywhere."""
    step: int | None = None
    size = 1
    for stride, extent in zip(reversed(strides), reversed(shape), strict=True):
        if extent == 1:
            continue
        if step is None:
            step = stride
        if stride != step * size:
            return None
        size *= extent
    return step or 0


def _row_major(step: int, shape: tuple[int, ...]) -> Strides:
    strides = []
    for extent in reversed(shape):
        strides.append(step)
        step *= extent
    return tuple(reversed(strides))
