"""Arithmetic that keeps a strip scalar: progressions of indices and addresses, and prefix masks.

A rule may add a guard, a scalar condition under which the strip's fast version is right.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import U64, PointerType, ScalarType, element_type, is_float, is_signed
from canopy.targets.cpu.arithmetic import emit_elementwise, widen_index
from canopy.targets.cpu.forms import Affine, Form, Prefix, Uniform
from canopy.targets.cpu.llvm import I64, call_intrinsic, constant
from canopy.targets.cpu.strides import period_of

if TYPE_CHECKING:
    from canopy.targets.cpu.nest import Nest

__all__ = ["affine_rule"]

# Bytes or elements that the lanes of one strip may span for its index to be taken not to wrap.
LONGEST_STRIP = 1 << 24


def affine_rule(nest: Nest, op: ir.Op, forms: list[Form]) -> Form | None:
    match op, forms:
        case ir.Add(), [Affine(), Uniform()] | [Uniform(), Affine()] | [Affine(), Affine()]:
            return _affine_sum(nest, op, forms, 1)
        case ir.Sub(), [Affine(), Uniform()] | [Affine(), Affine()] | [Uniform(), Affine()]:
            return _affine_sum(nest, op, forms, -1)
        case ir.Mul(), [Affine() as a, Uniform() as u] | [Uniform() as u, Affine() as a]:
            return _affine_product(nest, a, u)
        case ir.Offset(), [pointer, index] if isinstance(pointer, (Uniform, Affine)):
            return _offset(nest, op, pointer, index)
        case ir.Cast(), [Affine(base=base, step=step) as a] if _keeps_progression(nest, op, a):
            return Affine(emit_elementwise(nest.builder, op, [base]), step)
        case ir.Bitcast(), [Affine(base=base, step=step)] if not is_float(op.type):
            return Affine(emit_elementwise(nest.builder, op, [base]), step)
        case ir.Compare(), [Affine(), Uniform()] | [Uniform(), Affine()]:
            return _bound(nest, op, forms)
        case ir.And(), [Uniform(value=u), other] | [other, Uniform(value=u)] if _is_true(u):
            return other
        case ir.And(), [Prefix(count=a), Prefix(count=b)]:
            return Prefix(call_intrinsic(nest.builder, "llvm.smin", I64, [a, b], [I64]))
        case ir.And(), [Prefix(count=a), Uniform(value=u)] | [
            Uniform(value=u),
            Prefix(count=a),
        ]:
            return Prefix(nest.builder.select(u, a, constant(I64, 0)))
        case ir.And(), [Prefix() as p, other] | [other, Prefix() as p] if nest.assume_all(p):
            return other
        case ir.Rem() | ir.Div() | ir.And() | ir.ShiftRight(), [
            Affine(step=1) as a,
            Uniform() as u,
        ] if nest.stays_in_period(op):
            made = emit_elementwise(nest.builder, op, [a.base, u.value])
            return Affine(made, 1) if isinstance(op, (ir.Rem, ir.And)) else Uniform(made)
        case ir.Rem() | ir.Div(), [Affine(step=1) as a, Uniform() as u] if nest.guards is not None:
            return _guarded_modulo(nest, op, a, u)
        case ir.And() | ir.ShiftRight(), [Affine(step=1) as a, Uniform() as u] if (
            nest.guards is not None and (period := period_of(op)) >= nest.lanes
        ):
            return _guarded_bits(nest, op, a, u, period)
        case ir.Select(), [Prefix() as p, chosen, _] if nest.assume_all(p):
            return chosen
        case ir.Select(), [Uniform(value=u), chosen, other] if _is_known(u):
            return chosen if _is_true(u) else other
        case ir.Or(), [Uniform(value=u), other] | [other, Uniform(value=u)] if _is_false(u):
            return other
        case _:
            return None


def _affine_sum(nest: Nest, op: ir.Op, forms: list[Form], sign: int) -> Form | None:
    bases = [f.base if isinstance(f, Affine) else f.value for f in forms]  # type: ignore[union-attr]
    steps = [f.step if isinstance(f, Affine) else 0 for f in forms]
    base = emit_elementwise(nest.builder, op, bases)
    step = steps[0] + sign * steps[1]
    return Affine(base, step) if step else Uniform(base)


def _keeps_progression(nest: Nest, op: ir.Cast, progress: Affine) -> bool:
    """Whether the cast of a progression is one, with the same step."""
    source = element_type(op.source.type)
    integers = ("int", "uint")
    if (
        isinstance(source, PointerType)
        or source.kind not in integers
        or op.type.kind not in integers
    ):
        return False
    return op.type.bits <= source.bits or _widens(nest, op.source, progress)


def _widens(nest: Nest, value: ir.Value, progress: Affine, *, is_address: bool = False) -> bool:
    """Whether ``value``, a progression of integers, may be extended to 64 bits by its base.

    It may where it does not wrap between two lanes of the strip: a tile's own range never does, for
    other indices a guard checks it. Signed indices of 32 bits in addresses are taken not to wrap
    (see `forms`), for small steps; integers that are narrower are data.
    """
    source = _integer(value)
    reach = progress.step * (nest.lanes - 1)
    if source.bits >= 64:
        return True
    if source.bits < 32 or abs(reach) >= LONGEST_STRIP:
        return False
    if (is_address and source.kind == "int") or _is_range(value):
        return True
    if nest.guards is None:
        return False
    b = nest.builder
    last = b.add(widen_index(b, progress.base, value), constant(I64, reach))
    if source.kind == "int":
        narrow = b.sext(b.trunc(last, progress.base.type), I64)
        nest.guards.append(b.icmp_signed("==", last, narrow))
    else:
        nest.guards.append(b.icmp_unsigned("<", last, constant(I64, 1 << source.bits)))
    return True


def _is_range(value: ir.Value) -> bool:
    """Whether the lanes count from one constant to another."""
    op = value.op
    while isinstance(op, ir.ExpandDims | ir.Broadcast | ir.Reshape | ir.Transpose):
        op = op.source.op
    return isinstance(op, ir.Range)


def _affine_product(nest: Nest, progress: Affine, factor: Uniform) -> Form | None:
    value = factor.value
    if not (isinstance(value, ll.Constant) and isinstance(value.constant, int)):
        return None
    if value.constant == 0:
        return Uniform(value)
    return Affine(nest.builder.mul(progress.base, value), progress.step * value.constant)


def _offset(nest: Nest, op: ir.Offset, pointer: Uniform | Affine, index: Form) -> Form | None:
    b = nest.builder
    start = pointer.value if isinstance(pointer, Uniform) else pointer.base
    step = 0 if isinstance(pointer, Uniform) else pointer.step
    match index:
        case Affine(base=value) as progress if not _widens(
            nest, op.index, progress, is_address=True
        ):
            return None
        case Uniform(value=value) | Affine(base=value):
            wide = widen_index(b, value, op.index)
            base = b.add(start, b.mul(wide, constant(I64, op.scale)))
            step += index.step * op.scale if isinstance(index, Affine) else 0
            return Affine(base, step) if step else Uniform(base)
        case _:
            return None


def _bound(nest: Nest, op: ir.Compare, forms: list[Form]) -> Form | None:
    """index < bound and its like as a prefix mask."""
    b = nest.builder
    left, right = forms
    if isinstance(left, Affine):
        progress, limit, predicate = left, right, str(op.predicate)
    else:
        assert isinstance(right, Affine)
        mirrored = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
        progress, limit, predicate = right, left, mirrored.get(op.predicate, op.predicate)
    if progress.step != 1 or isinstance(element_type(op.lhs.type), PointerType):
        return None
    assert isinstance(limit, Uniform)
    index = op.lhs if progress is left else op.rhs
    if predicate in ("gt", "ge") and nest.guards is not None:
        if nest.program.plan.has_complement(op):
            return _beyond_no_bound(nest, index, progress, limit, predicate)
        return _lower_bound(nest, index, progress, limit, predicate)
    if predicate not in ("lt", "le") or not _widens(nest, index, progress):
        return None
    bounds = [widen_index(b, v, op.lhs) for v in (limit.value, progress.base)]
    if _integer(op.lhs) == U64:
        if nest.guards is None:
            return None
        nest.guards.append(b.icmp_signed(">=", b.or_(*bounds), constant(I64, 0)))
    count = call_intrinsic(b, "llvm.ssub.sat", I64, bounds, [I64])
    if predicate == "le":
        count = call_intrinsic(b, "llvm.sadd.sat", I64, [count, constant(I64, 1)], [I64])
    return Prefix(count)


def _lower_bound(
    nest: Nest, index: ir.Value, progress: Affine, limit: Uniform, predicate: str
) -> Form | None:
    """index >= bound, where the strip does not wrap: the first lane speaks for all."""
    if not _widens(nest, index, progress):
        return None
    b = nest.builder
    assert nest.guards is not None
    compare = b.icmp_signed if is_signed(element_type(index.type)) else b.icmp_unsigned
    sign = ">" if predicate == "gt" else ">="
    nest.guards.append(compare(sign, progress.base, limit.value))
    return Uniform(constant(ll.IntType(1), 1))


def _beyond_no_bound(
    nest: Nest, index: ir.Value, progress: Affine, limit: Uniform, predicate: str
) -> Form | None:
    """index >= bound where the kernel also asks index < bound: that one is expected to hold."""
    if not _widens(nest, index, progress):
        return None
    b = nest.builder
    assert nest.guards is not None
    compare = b.icmp_signed if is_signed(element_type(index.type)) else b.icmp_unsigned
    last = b.add(progress.base, constant(progress.base.type, nest.lanes - 1))
    nest.guards.append(compare("<=" if predicate == "gt" else "<", last, limit.value))
    return Uniform(constant(ll.IntType(1), 0))


def _is_true(value: object) -> bool:
    return _is_known(value) and bool(value.constant)  # type: ignore[attr-defined]


def _is_false(value: object) -> bool:
    return _is_known(value) and not value.constant  # type: ignore[attr-defined]


def _is_known(value: object) -> bool:
    """Whether a condition was decided by a guard."""
    return isinstance(value, ll.Constant) and value.type == ll.IntType(1)


def _guarded_modulo(nest: Nest, op: ir.Rem | ir.Div, progress: Affine, modulus: Uniform) -> Form:
    """index % n and index / n of a strip that stays inside one period, which a guard checks."""
    b = nest.builder
    type_ = progress.base.type
    remainder = emit_elementwise(b, ir.Rem(lhs=op.lhs, rhs=op.rhs), [progress.base, modulus.value])
    assert nest.guards is not None
    last = b.add(widen_index(b, remainder, op.lhs), constant(I64, nest.lanes - 1))
    inside = b.icmp_signed("<", last, widen_index(b, modulus.value, op.lhs))
    if is_signed(element_type(op.lhs.type)):
        inside = b.and_(inside, b.icmp_signed(">=", progress.base, constant(type_, 0)))
    nest.guards.append(inside)
    if isinstance(op, ir.Rem):
        return Affine(remainder, 1)
    return Uniform(emit_elementwise(b, op, [progress.base, modulus.value]))


def _guarded_bits(
    nest: Nest, op: ir.And | ir.ShiftRight, progress: Affine, other: Uniform, period: int
) -> Form:
    """index & (2^k - 1) and index >> k of a strip that stays inside one period."""
    b = nest.builder
    assert nest.guards is not None
    type_ = progress.base.type
    low = b.and_(progress.base, constant(type_, period - 1))
    nest.guards.append(b.icmp_unsigned("<=", low, constant(type_, period - nest.lanes)))
    made = emit_elementwise(b, op, [progress.base, other.value])
    return Affine(made, 1) if isinstance(op, ir.And) else Uniform(made)


def _integer(value: ir.Value) -> ScalarType:
    element = element_type(value.type)
    assert isinstance(element, ScalarType)
    return element
