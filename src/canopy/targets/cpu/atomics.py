"""Atomic read-modify-write and compare-and-swap, one lane after another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import element_type, is_float, is_signed
from canopy.targets.cpu import memory
from canopy.targets.cpu.arithmetic import emit_elementwise
from canopy.targets.cpu.forms import Form, Lanes, Uniform, all_true
from canopy.targets.cpu.llvm import I32, I64, Builder, LLValue, as_pointer, constant

if TYPE_CHECKING:
    from canopy.targets.cpu.buffers import Buffer
    from canopy.targets.cpu.nest import Nest
    from canopy.targets.cpu.program import Program

__all__ = ["AtomicRoot", "emit_scalar_atomic"]

_ORDER = {"relaxed": "monotonic", "acquire": "acquire", "release": "release", "acq_rel": "acq_rel"}
_BITWISE = {"and": "and_", "or": "or_", "xor": "xor"}
AtomicOp = ir.AtomicRmw | ir.AtomicCas


@dataclass(eq=False)
class AtomicRoot:
    """Runs an atomic for every active lane and keeps the old values."""

    op: AtomicOp
    buffer: Buffer | None  # None where whoever made the root takes the old values
    reduce_axis: int | None = None

    def inputs(self) -> tuple[ir.Value, ...]:
        return self.op.operands

    def begin(self, nest: Nest) -> None:
        pass

    def end(self, nest: Nest) -> None:
        pass

    def lanes(self, nest: Nest) -> None:
        old = self.old_values(nest)
        if old is not None:
            assert self.buffer is not None
            nest.write(self.buffer, tuple(nest.point), old)

    def old_values(self, nest: Nest) -> Form | None:
        """Does the updates of a strip; None where nobody reads what was there."""
        op, b, point = self.op, nest.builder, tuple(nest.point)
        element = element_type(op.value.type)
        pointer = nest.pull(op.pointer, point)
        value = nest.pull(op.value, point)
        compare = nest.pull(op.compare, point) if isinstance(op, ir.AtomicCas) else None
        mask = nest.mask_form(op.mask, point)
        if nest.lanes == 1:
            assert isinstance(pointer, Uniform)
            assert isinstance(value, Uniform)
            old = _masked(
                nest.program, op, pointer.value, value.value, _value(compare), _value(mask)
            )
            return Uniform(old)
        if self._is_private_sum(nest) and mask is None:
            self._add_lane_by_lane(nest, pointer, value)
            return None
        active = all_true(nest.lanes) if mask is None else nest.vector(mask)
        values = memory.to_memory(b, nest.vector(value), element)
        value_slot = memory.stack_slot(b, values.type)
        b.store(values, value_slot)
        compare_slot = None
        if compare is not None:
            compare_slot = memory.stack_slot(b, values.type)
            b.store(nest.vector(compare), compare_slot)
        old_slot = memory.stack_slot(b, values.type)
        b.store(memory.constant_zero(values.type), old_slot)
        lane_type = values.type.element

        def one_lane(lane: LLValue, place: LLValue) -> None:
            new = b.load(b.gep(value_slot, [lane], source_etype=lane_type), typ=lane_type)
            expected = None
            if compare_slot is not None:
                expected = b.load(
                    b.gep(compare_slot, [lane], source_etype=lane_type), typ=lane_type
                )
            old = _at_once(nest.program, op, place, new, expected)
            b.store(old, b.gep(old_slot, [lane], source_etype=lane_type))

        memory.each_active_lane(b, nest.vector(pointer), active, one_lane)
        return Lanes(b.load(old_slot, typ=values.type))

    def _is_private_sum(self, nest: Nest) -> bool:
        """Whether it updates memory of this program alone, and nobody reads the old values."""
        is_update = (
            isinstance(self.op, ir.AtomicRmw) and self.op.result not in nest.program.plan.used
        )
        return is_update and _is_private(nest.program, self.op)

    def _add_lane_by_lane(self, nest: Nest, pointer: Any, value: Any) -> None:
        """All lanes in a straight line: bins of a histogram in shared memory."""
        op, b = self.op, nest.builder
        element = element_type(op.value.type)
        addresses = nest.vector(pointer)
        address_slot = memory.stack_slot(b, addresses.type)
        b.store(addresses, address_slot)
        values = (
            None if isinstance(value, Uniform) else memory.to_memory(b, nest.vector(value), element)
        )
        same = value.value if isinstance(value, Uniform) else None
        for lane in range(nest.lanes):
            place = b.gep(address_slot, [constant(I64, lane)], source_etype=I64)
            new = same
            if values is not None:
                new = b.extract_element(values, constant(I32, lane))
            _plainly(b, op, as_pointer(b, b.load(place, typ=I64)), new, None)


def _value(form: Any) -> LLValue | None:
    return None if form is None else form.value


def emit_scalar_atomic(program: Program, op: AtomicOp) -> LLValue:
    """An atomic on one address; gives the old value, or zero where the mask is false."""
    compare = program.scalar(op.compare) if isinstance(op, ir.AtomicCas) else None
    mask = program.scalar(op.mask) if op.mask is not None else None
    return _masked(program, op, program.scalar(op.pointer), program.scalar(op.value), compare, mask)


def _masked(
    program: Program,
    op: AtomicOp,
    address: LLValue,
    value: LLValue,
    compare: LLValue | None,
    mask: LLValue | None,
) -> LLValue:
    b = program.builder
    slot = program.alloca(value.type)
    b.store(
        memory.constant_zero(value.type) if not _is_half(value) else constant(value.type, 0.0), slot
    )
    if mask is None:
        return _at_once(program, op, as_pointer(b, address), value, compare)
    with b.if_then(mask):
        b.store(_at_once(program, op, as_pointer(b, address), value, compare), slot)
    return b.load(slot, typ=value.type)


def _is_private(program: Program, op: AtomicOp) -> bool:
    """Whether the memory is the program's own: shared memory of a block, which one thread runs."""
    origin = program.plan.bases.of(op.pointer)
    return origin is not None and isinstance(origin.op, ir.Scratch)


def _at_once(
    program: Program, op: AtomicOp, pointer: LLValue, value: LLValue, compare: LLValue | None
) -> LLValue:
    """One update that no other thread sees half done; gives the old value."""
    b = program.builder
    if _is_private(program, op):
        return _plainly(b, op, pointer, value, compare)
    return _atomic(b, op, pointer, value, compare)


def _plainly(
    b: Builder, op: AtomicOp, pointer: LLValue, value: LLValue, compare: LLValue | None
) -> LLValue:
    """The update as a load and a store."""
    element = element_type(op.value.type)
    old = b.load(pointer, typ=value.type, align=element.bytes)
    if isinstance(op, ir.AtomicCas):
        assert compare is not None
        bits = ll.IntType(element.bits if element.bits > 1 else 8)
        equal = b.icmp_unsigned("==", _as_bits(b, old, bits), _as_bits(b, compare, bits))
        new = b.select(equal, value, old)
    elif op.kind in _BITWISE:
        new = getattr(b, _BITWISE[op.kind])(old, value)
    else:
        new = value if op.kind == "exchange" else _updated(b, op, old, value)
    b.store(new, pointer, align=element.bytes)
    return old


def _is_half(value: LLValue) -> bool:
    return isinstance(value.type, (ll.HalfType, ll.FloatType, ll.DoubleType))


def _atomic(
    b: Builder, op: AtomicOp, pointer: LLValue, value: LLValue, compare: LLValue | None
) -> LLValue:
    element = element_type(op.value.type)
    order = _ORDER[op.order]
    bits = ll.IntType(element.bits if element.bits > 1 else 8)
    if isinstance(op, ir.AtomicCas):
        expected, new = _as_bits(b, compare, bits), _as_bits(b, value, bits)
        failure = "monotonic" if order in ("monotonic", "release") else "acquire"
        pair = b.cmpxchg(pointer, expected, new, order, failure)
        return _from_bits(b, b.extract_value(pair, 0), value.type)
    direct = _direct_operation(op, element)
    if direct is not None:
        return b.atomic_rmw(direct, pointer, value, order)
    if op.kind == "exchange":
        old = b.atomic_rmw("xchg", pointer, _as_bits(b, value, bits), order)
        return _from_bits(b, old, value.type)
    return _compare_and_swap_loop(
        b, pointer, value, bits, order, lambda old: _updated(b, op, old, value)
    )


def _direct_operation(op: ir.AtomicRmw, element: Any) -> str | None:
    if is_float(element):
        return None
    if op.kind in ("min", "max"):
        return op.kind if is_signed(element) else "u" + op.kind
    if op.kind in ("add", "sub", "and", "or", "xor"):
        return op.kind
    return "xchg" if op.kind == "exchange" else None


def _updated(b: Builder, op: ir.AtomicRmw, old: LLValue, value: LLValue) -> LLValue:
    kinds: dict[str, Callable[..., ir.Op]] = {
        "add": ir.Add,
        "sub": ir.Sub,
        "min": ir.Min,
        "max": ir.Max,
    }
    if op.kind in kinds:
        return emit_elementwise(b, kinds[op.kind](lhs=op.value, rhs=op.value), [old, value])
    zero, one = constant(old.type, 0), constant(old.type, 1)
    if op.kind == "inc":  # CUDA: (old >= value) ? 0 : old + 1
        return b.select(b.icmp_unsigned(">=", old, value), zero, b.add(old, one))
    wraps = b.or_(b.icmp_unsigned("==", old, zero), b.icmp_unsigned(">", old, value))
    return b.select(wraps, value, b.sub(old, one))


def _compare_and_swap_loop(
    b: Builder,
    pointer: LLValue,
    value: LLValue,
    bits: Any,
    order: str,
    update: Callable[[LLValue], LLValue],
) -> LLValue:
    start = b.block
    first = b.load(pointer, typ=bits, align=bits.width // 8)
    loop = b.function.append_basic_block("cas.loop")
    done = b.function.append_basic_block("cas.done")
    b.branch(loop)
    b.position_at_end(loop)
    seen = b.phi(bits)
    seen.add_incoming(first, start)
    old = _from_bits(b, seen, value.type)
    new = _as_bits(b, update(old), bits)
    failure = "monotonic" if order in ("monotonic", "release") else "acquire"
    pair = b.cmpxchg(pointer, seen, new, order, failure)
    seen.add_incoming(b.extract_value(pair, 0), b.block)
    b.cbranch(b.extract_value(pair, 1), done, loop)
    b.position_at_end(done)
    return old


def _as_bits(b: Builder, value: Any, bits: Any) -> LLValue:
    if value.type == bits:
        return value
    if isinstance(value.type, ll.IntType):
        return b.zext(value, bits)
    return b.bitcast(value, bits)


def _from_bits(b: Builder, value: LLValue, type_: Any) -> LLValue:
    if value.type == type_:
        return value
    if isinstance(type_, ll.IntType):
        return b.trunc(value, type_)
    return b.bitcast(value, type_)
