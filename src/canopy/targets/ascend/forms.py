"""What is known of index tiles and masks without computing them.

r * stride + range 0..N        Affine(base=r*stride, steps=(1,))
range 0..N < n                 Mask(limits: 1*i0 - n < 0)

An index is taken not to wrap around inside a tile.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from canopy import ir
from canopy.ir.types import ScalarType, is_bool, is_integer, is_pointer
from canopy.targets.ascend.npu import Limit
from canopy.targets.ascend.scalars import Number, Poly, Scalar, constant, poly_of

__all__ = ["Affine", "Forms", "Mask"]


@dataclass(frozen=True, slots=True)
class Affine:
    """base + the sum of steps[a] * (index along axis a); bytes for pointers."""

    base: Poly
    steps: tuple[Poly, ...]


@dataclass(frozen=True, slots=True)
class Mask:
    """Lanes for which all limits hold, where all conditions (scalar bools) do."""

    limits: tuple[Limit, ...] = ()
    conditions: tuple[Scalar, ...] = ()


class Forms:
    """Forms of the values of one kernel; ``scalar`` gives the register of a scalar value.

    ``wrapped``: remainders that are taken to be plain (their base reduced), under a guard that the
    caller emits.
    """

    def __init__(self, scalar: Callable[[ir.Value], Scalar | None]) -> None:
        self._scalar = scalar
        self._affine: dict[ir.Value, Affine | None] = {}
        self._mask: dict[ir.Value, Mask | None] = {}
        self.wrapped: dict[ir.Value, Affine] = {}

    def uniform(self, value: ir.Value) -> Scalar | None:
        """The scalar that all lanes hold, if that is known."""
        if not value.is_tile:
            return self._scalar(value)
        op = value.op
        match op:
            case ir.Constant():
                element = value.type.element  # type: ignore[union-attr]
                return Number(op.value, element)
            case ir.Splat():
                return self._scalar(op.source)
            case ir.Broadcast() | ir.ExpandDims() | ir.Reshape() | ir.Transpose() | ir.Flip():
                return self.uniform(op.source)
        return None

    def affine(self, value: ir.Value) -> Affine | None:
        if value in self.wrapped:
            return self.wrapped[value]
        if value not in self._affine or self.wrapped:
            found = self._affine_of(value)
            if self.wrapped:
                return found
            self._affine[value] = found
        return self._affine[value]

    def _affine_of(self, value: ir.Value) -> Affine | None:
        if not (is_integer(value.type) or is_pointer(value.type)):
            return None
        uniform = self.uniform(value)
        if uniform is not None:
            return Affine(poly_of(uniform), (Poly(),) * len(value.shape))
        op = value.op
        match op:
            case ir.Range():
                return Affine(constant(op.start), (constant(1),))
            case ir.Add() | ir.Sub():
                return self._sum(op.lhs, op.rhs, 1 if isinstance(op, ir.Add) else -1)
            case ir.Mul():
                return self._product(op.lhs, op.rhs)
            case ir.ShiftLeft():
                by = self.uniform(op.rhs)
                if isinstance(by, Number) and 0 <= by.value < 31:
                    return _scaled(self.affine(op.lhs), constant(1 << int(by.value)))
            case ir.Offset():
                pointer, index = self.affine(op.pointer), self.affine(op.index)
                return _added(pointer, _scaled(index, constant(op.scale)))
            case ir.Cast() if _widens(op):
                return self.affine(op.source)
            case ir.Reshape() | ir.ExpandDims() | ir.Broadcast() | ir.Transpose():
                source = self.affine(op.source)
                return None if source is None else self._reshaped(op, source)
        return None

    def _sum(self, lhs: ir.Value, rhs: ir.Value, sign: int) -> Affine | None:
        return _added(self.affine(lhs), _scaled(self.affine(rhs), constant(sign)))

    def _product(self, lhs: ir.Value, rhs: ir.Value) -> Affine | None:
        for tile, factor in ((lhs, rhs), (rhs, lhs)):
            uniform = self.uniform(factor)
            if uniform is not None:
                return _scaled(self.affine(tile), poly_of(uniform))
        return None

    def _reshaped(self, op: ir.Op, source: Affine) -> Affine | None:
        steps = source.steps
        match op:
            case ir.ExpandDims():
                return replace(source, steps=(*steps[: op.axis], Poly(), *steps[op.axis :]))
            case ir.Transpose():
                return replace(source, steps=tuple(steps[axis] for axis in op.order))
            case ir.Broadcast():
                kept = zip(steps, op.source.shape, op.shape, strict=True)
                return replace(
                    source, steps=tuple(Poly() if a == 1 and b != 1 else s for s, a, b in kept)
                )
            case ir.Reshape():
                found = _regrouped(steps, op.source.shape, op.shape)
                return None if found is None else replace(source, steps=found)
        return None

    # ---- masks

    def mask(self, value: ir.Value) -> Mask | None:
        if value not in self._mask:
            self._mask[value] = self._mask_of(value)
        return self._mask[value]

    def _mask_of(self, value: ir.Value) -> Mask | None:
        uniform = self.uniform(value)
        if uniform is not None:
            is_true = isinstance(uniform, Number) and bool(uniform.value)
            return Mask() if is_true else Mask(conditions=(uniform,))
        op = value.op
        match op:
            case ir.And() if is_bool(value.type):
                left, right = self.mask(op.lhs), self.mask(op.rhs)
                if left is None or right is None:
                    return None
                return Mask(left.limits + right.limits, left.conditions + right.conditions)
            case ir.Compare():
                return self._comparison(op)
            case ir.ExpandDims() | ir.Broadcast() | ir.Transpose():
                source = self.mask(op.source)
                return None if source is None else _moved(op, source)
            case ir.Reshape() if _only_unit_axes(op.source.shape, op.shape):
                source = self.mask(op.source)
                if source is None:
                    return None
                places = [a for a, extent in enumerate(op.shape) if extent != 1]
                olds = [a for a, extent in enumerate(op.source.shape) if extent != 1]
                return _renamed(source, dict(zip(olds, places, strict=True)))
        return None

    def _comparison(self, op: ir.Compare) -> Mask | None:
        left, right = self.affine(op.lhs), self.affine(op.rhs)
        if left is None or right is None or is_pointer(op.lhs.type):
            return None
        difference = _added(left, _scaled(right, constant(-1)))
        assert difference is not None
        sign = 1 if op.predicate in ("lt", "le") else -1
        if op.predicate not in ("lt", "le", "gt", "ge"):
            return None
        slack = constant(-1) if op.predicate in ("le", "ge") else Poly()
        moving = [axis for axis, step in enumerate(difference.steps) if step.terms]
        base = difference.base.scaled(sign) + slack
        if not moving:
            return Mask((Limit(None, 0, base),))
        factor = difference.steps[moving[0]].number
        if len(moving) > 1 or factor is None:
            return None
        return Mask((Limit(moving[0], sign * factor, base),))


def _added(left: Affine | None, right: Affine | None) -> Affine | None:
    if left is None or right is None:
        return None
    steps = tuple(a + b for a, b in zip(left.steps, right.steps, strict=True))
    return Affine(left.base + right.base, steps)


def _scaled(form: Affine | None, factor: Poly) -> Affine | None:
    if form is None:
        return None
    return Affine(form.base * factor, tuple(step * factor for step in form.steps))


def _widens(op: ir.Cast) -> bool:
    source = op.source.type.element if op.source.is_tile else op.source.type  # type: ignore[union-attr]
    if not isinstance(source, ScalarType) or source.kind not in ("int", "uint"):
        return False
    return op.type.kind in ("int", "uint") and op.type.bits >= source.bits and source.bits >= 32


def _only_unit_axes(before: tuple[int, ...], after: tuple[int, ...]) -> bool:
    return [e for e in before if e != 1] == [e for e in after if e != 1]


def _regrouped(
    steps: tuple[Poly, ...], before: tuple[int, ...], after: tuple[int, ...]
) -> tuple[Poly, ...] | None:
    """Steps after a reshape: through the finest common split of the axes, from the last one."""
    atoms: list[tuple[int, Poly]] = []  # of the old axes, last first
    old = [(extent, step) for extent, step in zip(before, steps, strict=True) if extent != 1][::-1]
    result: list[Poly] = []
    for extent in reversed(after):
        if extent == 1:
            result.append(Poly())
            continue
        need, first, expected = extent, None, Poly()
        while need > 1:
            if not atoms:
                if not old:
                    return None
                atoms.append(old.pop(0))
            size, step = atoms.pop()
            if first is not None and step != expected:
                return None
            first = step if first is None else first
            taken = min(size, need)
            if need % taken or size % taken:
                return None
            if size > taken:
                atoms.append((size // taken, step.scaled(taken)))
            expected = step.scaled(taken)
            need //= taken
        result.append(first or Poly())
    return tuple(result[::-1])


def _moved(op: ir.Op, mask: Mask) -> Mask:
    match op:
        case ir.ExpandDims():
            rank = len(op.source.shape)
            return _renamed(mask, {a: a + (a >= op.axis) for a in range(rank)})
        case ir.Transpose():
            return _renamed(mask, {old: new for new, old in enumerate(op.order)})
        case ir.Broadcast():
            grown = {a for a, e in enumerate(op.source.shape) if e == 1 and op.shape[a] != 1}
            limits = tuple(
                Limit(None, 0, limit.base) if limit.axis in grown else limit
                for limit in mask.limits
            )
            return replace(mask, limits=limits)
    raise AssertionError(op)


def _renamed(mask: Mask, axes: dict[int, int]) -> Mask:
    limits = tuple(
        limit
        if limit.axis is None
        else Limit(axes[limit.axis], limit.factor, limit.base)
        if limit.axis in axes
        else Limit(None, 0, limit.base)
        for limit in mask.limits
    )
    return replace(mask, limits=limits)
