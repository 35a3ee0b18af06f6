"""What loop nests do at their points: keep values, store, reduce, scan, act lane by lane."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import F32, F64, ElementType, ScalarType, element_type
from canopy.targets.cpu import conversions, memory
from canopy.targets.cpu.combine import combine, combine_unless
from canopy.targets.cpu.forms import Affine, Form, Index, Lanes, Prefix, Uniform, all_true
from canopy.targets.cpu.llvm import I1, I32, I64, LLValue, as_pointer, constant, lanes_of, splat
from canopy.targets.cpu.strides import has_lower_bound

if TYPE_CHECKING:
    from canopy.targets.cpu.buffers import Buffer
    from canopy.targets.cpu.nest import Nest
    from canopy.targets.cpu.program import Program

__all__ = [
    "AnyLaneRoot",
    "KeepRoot",
    "ReduceRoot",
    "ScanRoot",
    "StoreRoot",
    "across_lanes",
    "reduce_root",
]


@dataclass(eq=False)
class KeepRoot:
    """Writes a value to a buffer, converted to the buffer's element type."""

    value: ir.Value
    buffer: Buffer
    reduce_axis: int | None = None

    @property
    def op(self) -> ir.Op | None:
        return self.value.op

    def inputs(self) -> tuple[ir.Value, ...]:
        return (self.value,)

    def begin(self, nest: Nest) -> None:
        pass

    def end(self, nest: Nest) -> None:
        pass

    def lanes(self, nest: Nest) -> None:
        point = tuple(nest.point)
        form = nest.pull(self.value, point)
        element = element_type(self.value.type)
        if element != self.buffer.element:
            form = self._converted(nest, form, element)
        nest.write(self.buffer, point, form)
        if element == self.buffer.element:
            nest.remember(self.value, point, form)

    def _converted(self, nest: Nest, form: Form, element: ElementType) -> Form:
        target = self.buffer.element
        assert isinstance(element, ScalarType)
        assert isinstance(target, ScalarType)
        if isinstance(form, Uniform):
            return Uniform(conversions.cast(nest.builder, form.value, element, target, "rtne"))
        return Lanes(conversions.cast(nest.builder, nest.vector(form), element, target, "rtne"))


@dataclass(eq=False)
class StoreRoot:
    """Stores a tile through a tile of pointers."""

    op: ir.Store
    reduce_axis: int | None = None

    def inputs(self) -> tuple[ir.Value, ...]:
        return self.op.operands

    def begin(self, nest: Nest) -> None:
        pass

    def end(self, nest: Nest) -> None:
        pass

    def lanes(self, nest: Nest) -> None:
        op, point, b = self.op, tuple(nest.point), nest.builder
        element = element_type(op.value.type)
        pointer = nest.pull(op.pointer, point)
        value = nest.pull(op.value, point)
        mask = nest.mask_form(op.mask, point)
        if nest.lanes == 1:
            self._store_one(nest, pointer, value, mask, element)
            return
        active = nest.vector(mask) if mask is not None else None
        data = nest.vector(value)
        if isinstance(pointer, Affine) and pointer.step == element.bytes:
            address = as_pointer(b, pointer.base)
            if active is None:
                nest.program.store_strip(op, address, pointer.base, data)
            elif has_lower_bound(op.mask):
                width = nest.program.vector_bytes // element.bytes
                memory.store_inside_bounds(b, address, data, element, active, width)
            else:
                memory.store_contiguous(b, address, data, element, active)
            return
        active = all_true(nest.lanes) if active is None else active
        memory.store_scatter(b, nest.vector(pointer), data, element, active)

    def _store_one(
        self, nest: Nest, pointer: Form, value: Form, mask: Form | None, element: ElementType
    ) -> None:
        assert isinstance(pointer, Uniform)
        assert isinstance(value, Uniform)
        if mask is not None:
            assert isinstance(mask, (Uniform, Prefix))
            condition = (
                mask.value
                if isinstance(mask, Uniform)
                else nest.builder.icmp_signed(">", mask.count, constant(I64, 0))
            )
        else:
            condition = None
        nest.program.store_scalar(pointer.value, value.value, element, condition)


@dataclass(eq=False)
class ReduceRoot:
    """Reduces along one axis: vectors of partial results over the strips, then across the lanes."""

    op: ir.Reduce
    buffers: list[Buffer] | None  # None where the results are scalars
    reduce_axis: int | None = None
    scalars: list[LLValue] = field(default_factory=list)
    _slots: list[LLValue] = field(default_factory=list)

    def inputs(self) -> tuple[ir.Value, ...]:
        return self.op.sources

    def begin(self, nest: Nest) -> None:
        b = nest.builder
        if not self._slots:
            for source in self.op.sources:
                type_ = conversions.llvm_type(element_type(source.type))
                wide = ll.VectorType(type_, nest.lanes) if nest.lanes > 1 else type_
                self._slots.append(memory.stack_slot(b, wide))
        neutral = neutral_element(self.op)
        for slot in self._slots:
            start = memory.constant_zero(slot.allocated_type)
            b.store(start if neutral is None else constant(slot.allocated_type, neutral), slot)

    def lanes(self, nest: Nest) -> None:
        b, point = nest.builder, tuple(nest.point)
        fresh = [self._held(nest, source, point) for source in self.op.sources]
        axis = self.op.axis
        if nest.trips(axis) > 1:
            held = [b.load(slot, typ=slot.allocated_type) for slot in self._slots]
            if neutral_element(self.op) is not None:
                self._keep(nest, combine(nest.program, self.op.combine, held + fresh))
                return
            form = nest.point[axis].form
            position = form.base if isinstance(form, Affine) else form.value  # type: ignore[union-attr]
            first = b.icmp_unsigned("==", position, constant(I64, 0))
            fresh = combine_unless(nest.program, self.op.combine, first, held, fresh)
        self._keep(nest, fresh)

    def _keep(self, nest: Nest, values: list[LLValue]) -> None:
        for slot, value in zip(self._slots, values, strict=True):
            nest.builder.store(value, slot)

    def _held(self, nest: Nest, source: ir.Value, point: tuple[Index, ...]) -> LLValue:
        form = nest.pull(source, point)
        if nest.lanes > 1:
            return nest.vector(form)
        assert isinstance(form, Uniform)
        return form.value

    def end(self, nest: Nest) -> None:
        totals = self._totals(nest)
        across = self.op.axis == nest.lane_axis and nest.lanes > 1
        if across:
            totals = across_lanes(nest.program, self.op.combine, totals, nest.lanes)
        if self.buffers is None:
            self.scalars = totals
            return
        point = tuple(i for axis, i in enumerate(nest.point) if axis != self.op.axis)
        for buffer, total in zip(self.buffers, totals, strict=True):
            nest.write(buffer, point, Lanes(total) if lanes_of(total) else Uniform(total))

    def _totals(self, nest: Nest) -> list[LLValue]:
        return [nest.builder.load(slot, typ=slot.allocated_type) for slot in self._slots]


class ExtremumRoot(ReduceRoot):
    """The largest or smallest of floats, where a NaN is no value: two operations per vector.

    Both extremes are kept, each by an ordered compare that passes over NaN; where neither has left
    its infinity, there was nothing but NaN.
    """

    def begin(self, nest: Nest) -> None:
        if not self._slots:
            type_ = conversions.llvm_type(element_type(self.op.sources[0].type))
            wide = ll.VectorType(type_, nest.lanes) if nest.lanes > 1 else type_
            self._slots = [memory.stack_slot(nest.builder, wide) for _ in range(2)]
        for slot, start in zip(self._slots, self._starts(), strict=True):
            nest.builder.store(constant(slot.allocated_type, start), slot)

    def lanes(self, nest: Nest) -> None:
        b = nest.builder
        fresh = self._held(nest, self.op.sources[0], tuple(nest.point))
        for slot, start in zip(self._slots, self._starts(), strict=True):
            held = b.load(slot, typ=slot.allocated_type)
            better = b.fcmp_ordered(">" if start < 0 else "<", fresh, held)
            b.store(b.select(better, fresh, held), slot)

    def _totals(self, nest: Nest) -> list[LLValue]:
        b = nest.builder
        total, opposite = super()._totals(nest)
        unmoved = [
            b.fcmp_ordered("==", value, constant(value.type, start))
            for value, start in zip((total, opposite), self._starts(), strict=True)
        ]
        return [b.select(b.and_(*unmoved), constant(total.type, math.nan), total)]

    def _starts(self) -> tuple[float, float]:
        largest = isinstance(self.op.combine.ops[0], ir.Max)
        return (-math.inf, math.inf) if largest else (math.inf, -math.inf)


def reduce_root(op: ir.Reduce, buffers: list[Buffer] | None) -> ReduceRoot:
    """The root that reduces as ``op`` says."""
    neutral = neutral_element(op)
    kind = ExtremumRoot if neutral is not None and math.isnan(neutral) else ReduceRoot
    return kind(op, buffers, reduce_axis=op.axis)


def neutral_element(op: ir.Reduce) -> float | int | None:
    """What a reduction may start from without changing its result; None where it is not known.

    -0.0 for sums, since 0.0 + -0.0 is 0.0; NaN where the other operand wins over it.
    """
    if len(op.sources) != 1 or len(op.combine.ops) != 2:
        return None
    step, element = op.combine.ops[0], element_type(op.sources[0].type)
    if set(step.operands) != set(op.combine.args) or element not in (F32, F64):
        return None
    match step:
        case ir.Add():
            return -0.0
        case ir.Max(propagate_nan=propagate):
            return -math.inf if propagate else math.nan
        case ir.Min(propagate_nan=propagate):
            return math.inf if propagate else math.nan
        case _:
            return None


def across_lanes(
    program: Program, region: ir.Region, vectors: list[LLValue], lanes: int
) -> list[LLValue]:
    """Folds vectors in halves down to scalars."""
    builder = program.builder
    while lanes > 1:
        half = lanes // 2
        low = ll.Constant(ll.VectorType(I32, half), [ll.Constant(I32, i) for i in range(half)])
        high = ll.Constant(
            ll.VectorType(I32, half), [ll.Constant(I32, i + half) for i in range(half)]
        )
        undefined = [ll.Constant(v.type, ll.Undefined) for v in vectors]
        lows = [builder.shuffle_vector(v, u, low) for v, u in zip(vectors, undefined, strict=True)]
        highs = [
            builder.shuffle_vector(v, u, high) for v, u in zip(vectors, undefined, strict=True)
        ]
        vectors = combine(program, region, lows + highs)
        lanes = half
    return [builder.extract_element(v, ll.Constant(I32, 0)) for v in vectors]


@dataclass(eq=False)
class ScanRoot:
    """Scans along one axis, in order; carries the running result from strip to strip."""

    op: ir.Scan
    buffers: list[Buffer]
    reduce_axis: int | None = None
    _slots: list[LLValue] = field(default_factory=list)

    def inputs(self) -> tuple[ir.Value, ...]:
        return self.op.sources

    def begin(self, nest: Nest) -> None:
        b = nest.builder
        along = self.op.axis == nest.lane_axis
        if not self._slots:
            for source in self.op.sources:
                type_ = conversions.llvm_type(element_type(source.type))
                wide = type_ if along or nest.lanes == 1 else ll.VectorType(type_, nest.lanes)
                self._slots.append(memory.stack_slot(b, wide))
        for slot in self._slots:
            b.store(memory.constant_zero(slot.allocated_type), slot)

    def end(self, nest: Nest) -> None:
        pass

    def lanes(self, nest: Nest) -> None:
        b, axis = nest.builder, self.op.axis
        along = axis == nest.lane_axis
        first, point = self._turned(nest, along)
        values = []
        for source in self.op.sources:
            form = nest.pull(source, point)
            values.append(form.value if nest.lanes == 1 else nest.vector(form))  # type: ignore[union-attr]
        if along and nest.lanes > 1:
            values = self._inside(nest, values, nest.lanes)
        carried = [b.load(slot, typ=slot.allocated_type) for slot in self._slots]
        if along and nest.lanes > 1:
            carried = [splat(b, c, nest.lanes) for c in carried]
        values = combine_unless(nest.program, self.op.combine, first, carried, values)
        for buffer, value in zip(self.buffers, values, strict=True):
            nest.write(buffer, point, Lanes(value) if lanes_of(value) else Uniform(value))
        for slot, value in zip(self._slots, values, strict=True):
            if along and nest.lanes > 1:
                last = 0 if self.op.reverse else nest.lanes - 1
                value = b.extract_element(value, ll.Constant(I32, last))
            b.store(value, slot)

    def _turned(self, nest: Nest, along: bool) -> tuple[LLValue, tuple[Index, ...]]:
        """Whether this is the first step, and the point, from the end if reversed."""
        b, axis = nest.builder, self.op.axis
        index = nest.point[axis]
        position = index.form.base if isinstance(index.form, Affine) else index.form.value  # type: ignore[union-attr]
        first = b.icmp_unsigned("==", position, constant(I64, 0))
        point = list(nest.point)
        if self.op.reverse:
            step = nest.lanes if along else 1
            start = constant(I64, nest.shape[axis] - step)
            turned = start if isinstance(position, ll.Constant) else b.sub(start, position)
            form: Form = Affine(turned, 1) if isinstance(index.form, Affine) else Uniform(turned)
            point[axis] = Index(form, index.level)
        return first, tuple(point)

    def _inside(self, nest: Nest, values: list[LLValue], lanes: int) -> list[LLValue]:
        """The scan inside a vector, in log2(lanes) steps."""
        b, distance = nest.builder, 1
        reverse = self.op.reverse
        while distance < lanes:
            source = [(i + distance if reverse else i - distance) for i in range(lanes)]
            inside = [0 <= i < lanes for i in source]
            mask = ll.Constant(ll.VectorType(I1, lanes), [ll.Constant(I1, int(k)) for k in inside])
            order = ll.Constant(
                ll.VectorType(I32, lanes),
                [ll.Constant(I32, i if k else 0) for i, k in zip(source, inside, strict=True)],
            )
            moved = [b.shuffle_vector(v, ll.Constant(v.type, ll.Undefined), order) for v in values]
            merged = combine(nest.program, self.op.combine, moved + values)
            values = [b.select(mask, new, old) for new, old in zip(merged, values, strict=True)]
            distance *= 2
        return values


@dataclass(eq=False)
class AnyLaneRoot:
    """Whether any lane of a bool tile is (un)true; ``slot`` is an i1 in memory, cleared before."""

    value: ir.Value
    slot: LLValue
    mask: ir.Value | None = None
    negate: bool = False
    reduce_axis: int | None = None

    @property
    def op(self) -> ir.Op | None:
        return self.value.op

    def inputs(self) -> tuple[ir.Value, ...]:
        return (self.value,) if self.mask is None else (self.value, self.mask)

    def begin(self, nest: Nest) -> None:
        pass

    def end(self, nest: Nest) -> None:
        pass

    def lanes(self, nest: Nest) -> None:
        b, point = nest.builder, tuple(nest.point)
        active = nest.vector(nest.pull(self.value, point))
        if self.negate:
            active = b.not_(active)
        if self.mask is not None:
            active = b.and_(active, nest.vector(nest.pull(self.mask, point)))
        bits = b.bitcast(active, ll.IntType(nest.lanes))
        some = b.icmp_unsigned("!=", bits, ll.Constant(bits.type, 0))
        b.store(b.or_(b.load(self.slot, typ=I1), some), self.slot)
