"""Indices that wrap around with ``% n``, where no lane that wraps is ever stored.

    rows = (start + range 0..128) % M          ->   rows = start + range 0..128
    a = load x + rows * stride                 ->   a = load x + rows * stride, mask rows < M
    store c, dot(a, b), mask start + range 0..128 < M

GPU kernels wrap to keep addresses inside the array. A copy of a block wants plain indices: lanes
that every store drops are masked off instead. A lane is followed through ops that keep lanes
apart: elementwise ones, shapes, loads, the free axes of products, loops. Indices below zero, of
which the mask drops none, are taken not to be: a store there would be outside its array, too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from canopy import ir
from canopy.ir.types import element_type, is_integer
from canopy.passes.cse import share_common_subexpressions
from canopy.passes.dead_code import eliminate_dead_code
from canopy.passes.rewriter import Rewriter
from canopy.targets.ascend.forms import Affine, Forms
from canopy.targets.ascend.npu import Limit
from canopy.targets.ascend.scalars import Number, Poly, Register, Scalar, poly_of

__all__ = ["unwrap"]

_LANEWISE = (
    *(ir.Binary, ir.Compare, ir.Select, ir.MathCall, ir.Fma, ir.Clamp, ir.Cast, ir.Bitcast),
    ir.Offset,
)


def unwrap(kernel: ir.Kernel) -> ir.Kernel:
    """``kernel`` with plain indices where the lanes that wrap are dropped."""
    users = _Users(kernel)
    found: dict[ir.Rem, dict[ir.Load, int]] = {}
    for op in ir.walk(kernel.body.ops):
        if isinstance(op, ir.Rem) and op.result.is_tile and is_integer(op.result.type):
            loads = _Lanes(users, op).loads()
            if loads is not None:
                found[op] = loads
    if not found:
        return kernel
    return eliminate_dead_code(share_common_subexpressions(_Plain(found).kernel(kernel)))


class _Users:
    """Who uses a value, and forms of all values."""

    def __init__(self, kernel: ir.Kernel) -> None:
        self.of: dict[ir.Value, list[ir.Op]] = {}
        self.owner: dict[ir.Op, ir.Op] = {}  # of the terminator of a region
        self._scalars: dict[ir.Value, Scalar] = {}
        self.forms = Forms(self._scalar)
        for op in ir.walk(kernel.body.ops):
            for value in op.operands:
                self.of.setdefault(value, []).append(op)
            for region in op.regions:
                if region.ops:
                    self.owner[region.terminator] = op

    def _scalar(self, value: ir.Value) -> Scalar | None:
        if value.is_tile:
            return None
        if value not in self._scalars:
            element = element_type(value.type)
            is_constant = isinstance(value.op, ir.Constant)
            self._scalars[value] = (
                Number(value.op.value, element)  # type: ignore[union-attr]
                if is_constant
                else Register(len(self._scalars), element)
            )
        return self._scalars[value]


class _Lanes:
    """Follows the lanes of one remainder; ``_axis`` says along which axis of a value they lie."""

    def __init__(self, users: _Users, rem: ir.Rem) -> None:
        self._users = users
        self._rem = rem
        self._axis: dict[ir.Value, int] = {}
        self._loads: dict[ir.Load, int] = {}
        self._pending: list[ir.Value] = []

    def loads(self) -> dict[ir.Load, int] | None:
        """The loads whose addresses wrap, with the axis; None if a lane that wraps is kept."""
        form = self._users.forms.affine(self._rem.lhs)
        divisor = self._users.forms.uniform(self._rem.rhs)
        if form is None or divisor is None:
            return None
        moving = [axis for axis, step in enumerate(form.steps) if step.terms]
        if len(moving) != 1 or form.steps[moving[0]].number != 1:
            return None
        if any(extent != 1 for axis, extent in enumerate(self._rem.lhs.shape) if axis != moving[0]):
            return None
        self._beyond = self._limit(form, divisor)
        self._mark(self._rem.result, moving[0])
        while self._pending:
            value = self._pending.pop()
            for user in self._users.of.get(value, ()):
                if not self._follow(value, self._axis[value], user):
                    return None
        return self._loads

    def _limit(self, form: Affine, divisor: Scalar) -> Poly:
        return form.base - poly_of(divisor)

    def _mark(self, value: ir.Value, axis: int) -> bool:
        if value in self._axis:
            return self._axis[value] == axis
        self._axis[value] = axis
        self._pending.append(value)
        return True

    def _follow(self, value: ir.Value, axis: int, user: ir.Op) -> bool:
        match user:
            case ir.Load():
                if value is user.pointer:
                    self._loads[user] = axis
                return self._mark(user.result, axis)
            case ir.Store():
                return self._is_dropped(user, axis)
            case ir.ExpandDims():
                return self._mark(user.result, axis + (axis >= user.axis))
            case ir.Broadcast():
                return self._mark(user.result, axis)
            case ir.Transpose():
                return self._mark(user.result, user.order.index(axis))
            case ir.Dot():
                return self._through_product(value, axis, user)
            case ir.For():
                return self._into_loop(value, axis, user)
            case ir.Yield():
                return self._out_of_loop(value, axis, user)
            case ir.Reduce() if user.axis != axis:
                kept = axis - (axis > user.axis)
                return all(self._mark(result, kept) for result in user.results)
        if isinstance(user, _LANEWISE):
            return self._mark(user.result, axis)
        return False

    def _is_dropped(self, store: ir.Store, axis: int) -> bool:
        """Whether the mask drops the lanes that wrap."""
        mask = None if store.mask is None else self._users.forms.mask(store.mask)
        return mask is not None and Limit(axis, 1, self._beyond) in mask.limits

    def _through_product(self, value: ir.Value, axis: int, op: ir.Dot) -> bool:
        rank = len(op.result.shape)
        for operand, free in ((op.lhs, rank - 2), (op.rhs, rank - 1)):
            if value is operand and axis != free:
                return False
        return self._mark(op.result, axis)

    def _into_loop(self, value: ir.Value, axis: int, op: ir.For) -> bool:
        places = [n for n, initial in enumerate(op.initial) if initial is value]
        return all(self._carry(op, place, axis) for place in places)

    def _out_of_loop(self, value: ir.Value, axis: int, op: ir.Yield) -> bool:
        loop = self._users.owner.get(op)
        if not isinstance(loop, ir.For):
            return False
        places = [n for n, operand in enumerate(op.operands) if operand is value]
        return all(self._carry(loop, place, axis) for place in places)

    def _carry(self, op: ir.For, place: int, axis: int) -> bool:
        return self._mark(op.body.args[1 + place], axis) and self._mark(op.results[place], axis)


class _Plain(Rewriter):
    """Leaves out the remainders, and masks the loads."""

    def __init__(self, found: dict[ir.Rem, dict[ir.Load, int]]) -> None:
        super().__init__()
        self._found = found
        self._masks: dict[ir.Load, list[tuple[ir.Rem, int]]] = {}
        for rem, loads in found.items():
            for load, axis in loads.items():
                self._masks.setdefault(load, []).append((rem, axis))

    def op(self, op: ir.Op) -> Sequence[ir.Value]:
        if isinstance(op, ir.Rem) and op in self._found:
            return (self.values[op.lhs],)
        if isinstance(op, ir.Load) and op in self._masks:
            return self._masked(op)
        return super().op(op)

    def _masked(self, op: ir.Load) -> Sequence[ir.Value]:
        new = self.translated(op)
        mask = new.mask
        for rem, axis in self._masks[op]:
            inside = self._inside(rem, axis, op)
            mask = (
                inside
                if mask is None
                else self.make(ir.And, lhs=mask, rhs=inside, location=op.location)
            )
        return self.emit(replace(new, mask=mask)).results

    def _inside(self, rem: ir.Rem, axis: int, op: ir.Load) -> ir.Value:
        place = op.location
        index, divisor = self.values[rem.lhs], self.values[rem.rhs]
        inside = self.make(ir.Compare, predicate="lt", lhs=index, rhs=divisor, location=place)
        shape = op.pointer.shape
        aligned = tuple(extent if a == axis else 1 for a, extent in enumerate(shape))
        if inside.shape != aligned:
            inside = self.make(ir.Reshape, source=inside, shape=aligned, location=place)
        if aligned != shape:
            inside = self.make(ir.Broadcast, source=inside, shape=shape, location=place)
        return inside
