"""A loop nest over an iteration space, and the computing of values at the point where it stands.

A nest walks the axes of its shape; one axis is walked in strips of lanes. Roots (stores,
reductions, kept values) ask for operands with `pull(value, point)`, which computes a value at a
point: shape ops change the point, elementwise ops ask for their operands, loads and kept values
read memory. What does not depend on an inner loop is emitted outside it and remembered per level.

Where masks are prefixes and remainders stay below their modulus, the strip is emitted twice: a fast
version that assumes so, and a general one; scalar guards choose for each strip.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import (
    U64,
    ElementType,
    PointerType,
    ScalarType,
    element_type,
    is_bool,
    is_signed,
)
from canopy.targets.cpu import conversions, memory
from canopy.targets.cpu.arithmetic import constant_of, emit_elementwise, widen_index
from canopy.targets.cpu.forms import (
    Affine,
    Form,
    Index,
    Lanes,
    Prefix,
    Uniform,
    all_true,
    prefix_mask,
    progression,
)
from canopy.targets.cpu.llvm import (
    I64,
    LLValue,
    as_pointer,
    call_intrinsic,
    constant,
    counted_loop,
    iota,
    splat,
)

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Buffer, Program

__all__ = ["Nest", "Root"]

Point = tuple[Index, ...]
# Bytes or elements that the lanes of one strip may span for its index to be taken not to wrap.
LONGEST_STRIP = 1 << 24


class Root(Protocol):
    """What a nest does at its points."""

    reduce_axis: int | None

    def inputs(self) -> tuple[ir.Value, ...]:
        """The values it pulls at the point itself."""

    def begin(self, nest: Nest) -> None:
        """Before the loop over the reduced axis."""

    def lanes(self, nest: Nest) -> None:
        """At each strip."""

    def end(self, nest: Nest) -> None:
        """After the loop over the reduced axis."""


class Nest:
    """One loop nest of a program under construction."""

    def __init__(
        self,
        program: Program,
        shape: tuple[int, ...],
        lane_axis: int,
        lanes: int,
        reduce_axis: int | None,
    ) -> None:
        self.program = program
        self.builder = program.builder
        self.shape = shape
        self.lane_axis = lane_axis
        self.lanes = lanes
        self.reduce_axis = reduce_axis
        self.fast = False
        self.guards: list[LLValue] | None = None  # a list while they are collected
        self._assumed: dict[int, LLValue] = {}  # counts of prefixes that this strip's guards check
        self.point: list[Index] = [self._fixed(0) for _ in shape]
        self._levels: list[Any] = []  # the block of each level that is not the innermost
        self._standing = len(shape)  # the level where the builder stands, if not the innermost
        self._caches: list[dict[tuple[ir.Value, Point], Form]] = [{}]
        outer = [a for a in range(len(shape)) if a not in (lane_axis, reduce_axis)]
        tail = [lane_axis] if reduce_axis in (None, lane_axis) else [lane_axis, reduce_axis]
        self._order = outer + tail

    # ---- loops -----------------------------------------------------------------------------

    def run(self, roots: list[Root]) -> None:
        """Emits the loops with the roots inside; the builder then stands behind them."""
        self._walk(0, roots)

    def _fixed(self, value: int) -> Index:
        return Index(Uniform(constant(I64, value)), 0)

    def step_of(self, axis: int) -> int:
        return self.lanes if axis == self.lane_axis else 1

    def trips(self, axis: int) -> int:
        return self.shape[axis] // self.step_of(axis)

    def _walk(self, depth: int, roots: list[Root]) -> None:
        if depth == len(self._order):
            self._strip(roots)
            return
        axis = self._order[depth]
        reducing = axis == self.reduce_axis
        if reducing:
            for root in roots:
                root.begin(self)
        if self.trips(axis) == 1:
            self._enter(axis, constant(I64, 0), len(self._levels))
            self._walk(depth + 1, roots)
        else:
            outside = self.builder.block
            self._levels.append(outside)
            self._caches.append({})
            extent = constant(I64, self.shape[axis])
            with counted_loop(self.builder, extent, f"axis{axis}", self.step_of(axis)) as position:
                self._enter(axis, position, len(self._levels))
                self._walk(depth + 1, roots)
            self._levels.pop()
            self._caches.pop()
        if reducing:
            for root in roots:
                root.end(self)

    def _enter(self, axis: int, position: LLValue, level: int) -> None:
        fixed = isinstance(position, ll.Constant)
        if axis == self.lane_axis and self.lanes > 1:
            self.point[axis] = Index(Affine(position, 1), 0 if fixed else level)
        else:
            self.point[axis] = Index(Uniform(position), 0 if fixed else level)

    def _strip(self, roots: list[Root]) -> None:
        guards = self._collect_guards(roots)
        if not guards:
            self.fast = False
            for root in roots:
                root.lanes(self)
            return
        condition = guards[0]
        for guard in guards[1:]:
            condition = self.builder.and_(condition, guard)
        with self.builder.if_else(condition, likely=True) as (then, otherwise):
            with then:
                self.fast = True
                for root in roots:
                    root.lanes(self)
                self.fast = False
            with otherwise:
                self._caches[-1] = {}
                for root in roots:
                    root.lanes(self)
        self._caches[-1] = {}

    def _collect_guards(self, roots: list[Root]) -> list[LLValue]:
        """Pulls addresses and masks ahead, as in the fast case, and gives the conditions for it."""
        if self.lanes == 1:
            return []
        self.fast, self.guards, self._assumed = True, [], {}
        seen: set[tuple[ir.Value, Point]] = set()
        for root in roots:
            for value in root.inputs():
                self._collect(value, tuple(self.point), seen)
        guards, self.guards = self.guards, None
        self.fast = False
        if not guards:
            self._caches[-1] = {}
        return guards

    def _collect(self, value: ir.Value, point: Point, seen: set[tuple[ir.Value, Point]]) -> None:
        if (value, point) in seen or not value.is_tile:
            return
        seen.add((value, point))
        plan = self.program.plan
        if plan.is_structural(value):
            if is_bool(value.type) or isinstance(element_type(value.type), PointerType):
                form = self.pull(value, point)
                if isinstance(form, Prefix):
                    self.assume_all(form)
            return
        if self.program.buffer_of(value) is not None or value.op is None:
            return
        for operand, at in self.operand_points(value, point):
            self._collect(operand, at, seen)

    # ---- values ----------------------------------------------------------------------------

    def pull(self, value: ir.Value, point: Point) -> Form:
        """The value at ``point``, which has one index per axis of the value."""
        if not value.is_tile:
            return Uniform(self.program.scalar(value))
        level = max((index.level for index in point), default=0)
        cache = self._caches[min(level, len(self._caches) - 1)]
        key = (value, point)
        known = cache.get(key)
        if known is not None:
            return known
        with self._at(level):
            form = self._compute(value, point)
        cache[key] = form
        return form

    def remember(self, value: ir.Value, point: Point, form: Form) -> None:
        """Makes later pulls of a value at a point use what was just computed there."""
        self._caches[-1][(value, point)] = form

    @contextmanager
    def _at(self, level: int) -> Iterator[None]:
        """Inside, the builder stands at the end of the given loop level, behind what is there.

        The block ends in a branch into the next loop. What is emitted may add blocks; the branch
        then moves to the last of them.
        """
        if level >= min(self._standing, len(self._levels)):
            yield
            return
        standing, self._standing = self._standing, level
        builder, fast, guards = self.builder, self.fast, self.guards
        here, anchor = builder._block, builder._anchor
        at_end = anchor >= len(here.instructions)
        block = self._levels[level]
        branch = block.instructions.pop()
        block.terminator = None
        builder.position_at_end(block)
        self.fast, self.guards = False, None
        yield
        self.fast, self.guards, self._standing = fast, guards, standing
        last = builder.block
        last.instructions.append(branch)
        last.terminator = branch
        if last is not block:
            self._levels[level] = last
            _enter_from(branch.operands[0], block, last)
        builder._block = here
        builder._anchor = len(here.instructions) if at_end else anchor

    def lane_vector(self, value: ir.Value, point: Point) -> LLValue:
        """The value at a point as a vector of the nest's lanes."""
        return self.vector(self.pull(value, point))

    def vector(self, form: Form) -> LLValue:
        """Any form as a vector."""
        match form:
            case Lanes(value=value):
                return value
            case Uniform(value=value):
                return splat(self.builder, value, self.lanes)
            case Affine(base=base, step=step):
                return progression(self.builder, base, step, self.lanes)
            case Prefix(count=count):
                if self.assume_all(form):
                    return all_true(self.lanes)
                return prefix_mask(self.builder, count, self.lanes)

    def assume_all(self, mask: Prefix) -> bool:
        """Whether this version of the strip may take every lane of the mask to be true.

        It may where a guard checks so: one is asked for here while guards are collected. Forms come
        from outer loop levels too, so that only the strip itself can tell.
        """
        if self.guards is not None and id(mask.count) not in self._assumed:
            self.guards.append(
                self.builder.icmp_signed(">=", mask.count, constant(I64, self.lanes))
            )
            self._assumed[id(mask.count)] = mask.count
        return self.fast and id(mask.count) in self._assumed

    def _compute(self, value: ir.Value, point: Point) -> Form:
        buffer = self.program.buffer_of(value)
        if buffer is not None and not (value in self.program.plan.dual and _has_lanes(point)):
            return self.read(buffer, point)
        op = value.op
        assert op is not None, f"no definition for {value}"
        match op:
            case ir.Constant():
                return Uniform(constant_of(element_type(op.type), op.value))
            case ir.Range():
                return self._range(op, point[0])
            case ir.Splat():
                return Uniform(self.program.scalar(op.source))
            case ir.Broadcast() | ir.ExpandDims() | ir.Transpose() | ir.Reshape() | ir.Split():
                ((source, at),) = self.operand_points(value, point)
                return self.pull(source, at)
            case ir.Join():
                return self._join(op, point)
            case ir.Gather():
                return self._gather(op, point)
            case ir.Concat():
                return self._concat(op, point)
            case ir.Load():
                return self._load(op, point)
            case _:
                return self._elementwise(op, [self.pull(v, point) for v in op.operands])

    def operand_points(self, value: ir.Value, point: Point) -> list[tuple[ir.Value, Point]]:
        """The operands that computing ``value`` at ``point`` needs, each with its own point."""
        op = value.op
        zero = self._fixed(0)
        match op:
            case ir.Broadcast():
                pairs = zip(op.source.shape, op.shape, point, strict=True)
                return [(op.source, tuple(i if s == t else zero for s, t, i in pairs))]
            case ir.ExpandDims():
                return [(op.source, point[: op.axis] + point[op.axis + 1 :])]
            case ir.Transpose():
                source: list[Index] = [zero] * len(point)
                for result_axis, source_axis in enumerate(op.order):
                    source[source_axis] = point[result_axis]
                return [(op.source, tuple(source))]
            case ir.Reshape():
                return [(op.source, self._reshape_point(op.source.shape, op.shape, point))]
            case ir.Join():
                return [(op.lhs, point[:-1]), (op.rhs, point[:-1])]
            case ir.Split():
                half = self._fixed(op.results.index(value))
                return [(op.source, (*point, half))]
            case ir.Gather():
                return [(op.indices, point)]
            case ir.Concat() | ir.Splat() | None:
                return []
            case _:
                return [(operand, point) for operand in op.operands]

    # ---- shape -----------------------------------------------------------------------------

    def _range(self, op: ir.Range, index: Index) -> Form:
        type_ = conversions.llvm_type(op.type)
        start = constant(type_, op.start)

        def narrow(value: LLValue) -> LLValue:
            cut = value if type_ == I64 else self.builder.trunc(value, type_)
            return self.builder.add(cut, start) if op.start else cut

        match index.form:
            case Uniform(value=value):
                return Uniform(narrow(value))
            case Affine(base=base, step=step):
                return Affine(narrow(base), step)
            case other:
                return self._elementwise(
                    ir.Add(lhs=op.result, rhs=op.result),
                    [self._narrow_lanes(other, type_), Uniform(start)],
                )

    def _narrow_lanes(self, form: Form, type_: Any) -> Form:
        value = self.vector(form)
        return Lanes(
            value if type_ == I64 else self.builder.trunc(value, ll.VectorType(type_, self.lanes))
        )

    def _reshape_point(
        self, source: tuple[int, ...], target: tuple[int, ...], point: Point
    ) -> Point:
        """The index under another shape, axis groups of equal size being mapped one by one."""
        result: list[Index] = []
        s = t = 0
        while s < len(source) or t < len(target):
            s_end, t_end = _matching_group(source, target, s, t)
            group_source, group_target = source[s:s_end], target[t:t_end]
            result.extend(self._regroup(group_source, group_target, point[t:t_end]))
            s, t = s_end, t_end
        return tuple(result)

    def _regroup(
        self, source: tuple[int, ...], target: tuple[int, ...], point: Point
    ) -> list[Index]:
        if len(source) == 1 and len(target) == 1:
            return list(point)
        real = [i for i, extent in enumerate(source) if extent != 1]
        real_target = [i for i, extent in enumerate(target) if extent != 1]
        if len(real) <= 1 and len(real_target) <= 1:
            indices = [self._fixed(0) for _ in source]
            if real:
                indices[real[0]] = point[real_target[0]]
            return indices
        level = max(index.level for index in point)
        cache = self._caches[min(level, len(self._caches) - 1)]
        key: Any = ("regroup", source, point)
        known: Any = cache.get(key)
        if known is None:
            with self._at(level):
                linear = self._linear(target, point)
                known = [Index(form, level) for form in self._delinear(source, linear)]
            cache[key] = known
        return list(known)

    def _linear(self, shape: tuple[int, ...], point: Point) -> Form:
        stride, total = 1, None
        for extent, index in zip(reversed(shape), reversed(point), strict=True):
            term = self.scale(index.form, stride)
            total = term if total is None else self.sum(total, term)
            stride *= extent
        assert total is not None
        return total

    def scale(self, form: Form, factor: int) -> Form:
        """An i64 form times a constant."""
        if factor == 1:
            return form
        match form:
            case Uniform(value=value):
                if isinstance(value, ll.Constant) and isinstance(value.constant, int):
                    return Uniform(constant(I64, value.constant * factor))
                return Uniform(self.builder.mul(value, constant(I64, factor)))
            case Affine(base=base, step=step):
                return Affine(self.builder.mul(base, constant(I64, factor)), step * factor)
            case other:
                value = self.vector(other)
                return Lanes(self.builder.mul(value, constant(value.type, factor)))

    def sum(self, left: Form, right: Form) -> Form:
        """The sum of two i64 forms."""
        match left, right:
            case Uniform(value=a), Uniform(value=b):
                return Uniform(self.builder.add(a, b))
            case Affine(base=a, step=s), Uniform(value=b):
                return Affine(self.builder.add(a, b), s)
            case Uniform(value=a), Affine(base=b, step=s):
                return Affine(self.builder.add(a, b), s)
            case Affine(base=a, step=s), Affine(base=b, step=t) if s + t:
                return Affine(self.builder.add(a, b), s + t)
            case _:
                return Lanes(self.builder.add(self.vector(left), self.vector(right)))

    def _delinear(self, shape: tuple[int, ...], linear: Form) -> list[Form]:
        """Row-major indices of a linear index; a strip that cannot cross an axis stays affine."""
        forms: list[Form] = []
        rest = linear
        for extent in reversed(shape[1:]):
            if extent == 1:
                forms.append(Uniform(constant(I64, 0)))
                continue
            quotient, remainder = self._divide(rest, extent)
            forms.append(remainder)
            rest = quotient
        forms.append(rest if shape[0] != 1 else Uniform(constant(I64, 0)))
        return forms[::-1]

    def _divide(self, form: Form, extent: int) -> tuple[Form, Form]:
        b = self.builder
        divisor = constant(I64, extent)
        match form:
            case Uniform(value=value):
                return Uniform(b.udiv(value, divisor)), Uniform(b.urem(value, divisor))
            case Affine(base=base, step=1) if extent % self.lanes == 0:
                # a strip starts at a multiple of its lanes, so it lies inside one row of the axis
                return Uniform(b.udiv(base, divisor)), Affine(b.urem(base, divisor), 1)
            case Affine(base=base, step=1) if self.lanes % extent == 0:
                lanes = iota(I64, self.lanes)
                rows = ll.Constant(
                    lanes.type, [ll.Constant(I64, i // extent) for i in range(self.lanes)]
                )
                columns = ll.Constant(
                    lanes.type, [ll.Constant(I64, i % extent) for i in range(self.lanes)]
                )
                first = splat(b, b.udiv(base, divisor), self.lanes)
                return Lanes(b.add(first, rows)), Lanes(columns)
            case Affine(base=base, step=step) if step % extent == 0:
                quotient = Affine(b.udiv(base, divisor), step // extent)
                return quotient, Uniform(b.urem(base, divisor))
            case other:
                value = self.vector(other)
                wide = constant(value.type, extent)
                return Lanes(b.udiv(value, wide)), Lanes(b.urem(value, wide))

    def _join(self, op: ir.Join, point: Point) -> Form:
        left = self.pull(op.lhs, point[:-1])
        right = self.pull(op.rhs, point[:-1])
        which = point[-1].form
        b = self.builder
        if isinstance(which, Uniform):
            first = b.icmp_unsigned("==", which.value, constant(I64, 0))
            if isinstance(left, Uniform) and isinstance(right, Uniform):
                return Uniform(b.select(first, left.value, right.value))
            return Lanes(b.select(first, self.vector(left), self.vector(right)))
        lanes = self.vector(which)
        first = b.icmp_unsigned("==", lanes, constant(lanes.type, 0))
        return Lanes(b.select(first, self.vector(left), self.vector(right)))

    def _concat(self, op: ir.Concat, point: Point) -> Form:
        """Reads both kept sources at indices made safe, and selects."""
        b = self.builder
        extent = op.lhs.shape[0]
        index = point[0]
        level = max(i.level for i in point)  # where the clamped index is computed
        at_left = self._clamped(index, level, 0, extent)
        at_right = self._clamped(index, level, extent, op.rhs.shape[0])
        left = self.pull(op.lhs, (at_left, *point[1:]))
        right = self.pull(op.rhs, (at_right, *point[1:]))
        match index.form:
            case Uniform(value=value):
                first = b.icmp_unsigned("<", value, constant(I64, extent))
                if isinstance(left, Uniform) and isinstance(right, Uniform):
                    return Uniform(b.select(first, left.value, right.value))
            case form:
                lanes = self.vector(form)
                first = b.icmp_unsigned("<", lanes, constant(lanes.type, extent))
        return Lanes(b.select(first, self.vector(left), self.vector(right)))

    def _clamped(self, index: Index, level: int, start: int, extent: int) -> Index:
        b = self.builder

        def limit(value: LLValue) -> LLValue:
            type_ = value.type
            moved = b.sub(value, constant(type_, start))
            above = call_intrinsic(b, "llvm.smax", type_, [moved, constant(type_, 0)], [type_])
            return call_intrinsic(
                b, "llvm.smin", type_, [above, constant(type_, extent - 1)], [type_]
            )

        if isinstance(index.form, Uniform):
            return Index(Uniform(limit(index.form.value)), level)
        return Index(Lanes(limit(self.vector(index.form))), level)

    def _gather(self, op: ir.Gather, point: Point) -> Form:
        form = self.pull(op.indices, point)
        level = max(index.level for index in point)
        if isinstance(form, Uniform):
            at: Form = Uniform(widen_index(self.builder, form.value, op.indices))
        else:
            at = Lanes(widen_index(self.builder, self.vector(form), op.indices))
        source_point = (*point[: op.axis], Index(at, level), *point[op.axis + 1 :])
        return self.pull(op.source, source_point)

    # ---- memory ----------------------------------------------------------------------------

    def read(self, buffer: Buffer, point: Point) -> Form:
        """A kept tile at a point."""
        element = buffer.element
        offset = self._linear(buffer.shape, point) if buffer.shape else Uniform(constant(I64, 0))
        b = self.builder
        type_ = conversions.memory_type(element)
        match offset:
            case Uniform(value=value):
                pointer = b.gep(buffer.address, [value], source_etype=type_)
                return Uniform(memory.load_scalar(b, pointer, element))
            case Affine(base=base, step=1):
                pointer = b.gep(buffer.address, [base], source_etype=type_)
                return Lanes(memory.load_contiguous(b, pointer, element, self.lanes))
            case other:
                lanes = self.vector(other)
                start = splat(b, b.ptrtoint(buffer.address, I64), self.lanes)
                addresses = b.add(start, b.mul(lanes, constant(lanes.type, element.bytes)))
                return Lanes(memory.load_gather(b, addresses, element, all_true(self.lanes), None))

    def write(self, buffer: Buffer, point: Point, form: Form) -> None:
        """Writes a kept tile at a point that the nest's own lanes walk."""
        element = buffer.element
        b = self.builder
        type_ = conversions.memory_type(element)
        offset = self._linear(buffer.shape, point) if buffer.shape else Uniform(constant(I64, 0))
        match offset:
            case Uniform(value=value):
                pointer = b.gep(buffer.address, [value], source_etype=type_)
                assert isinstance(form, Uniform)
                b.store(memory.to_memory(b, form.value, element), pointer, align=element.bytes)
            case Affine(base=base, step=1):
                pointer = b.gep(buffer.address, [base], source_etype=type_)
                memory.store_contiguous(b, pointer, self.vector(form), element)
            case other:
                lanes = self.vector(other)
                start = splat(b, b.ptrtoint(buffer.address, I64), self.lanes)
                addresses = b.add(start, b.mul(lanes, constant(lanes.type, element.bytes)))
                memory.store_scatter(b, addresses, self.vector(form), element, all_true(self.lanes))

    def mask_form(self, mask: ir.Value | None, point: Point) -> Form | None:
        """The mask at a point; None where every lane is active."""
        if mask is None:
            return None
        form = self.pull(mask, point)
        if isinstance(form, Prefix) and self.assume_all(form):
            return None
        if (
            isinstance(form, Uniform)
            and isinstance(form.value, ll.Constant)
            and form.value.constant == 1
        ):
            return None
        return form

    def _load(self, op: ir.Load, point: Point) -> Form:
        b = self.builder
        pointer = self.pull(op.pointer, point)
        mask = self.mask_form(op.mask, point)
        other = self.pull(op.other, point) if op.other is not None and mask is not None else None
        element = op.type
        if (
            isinstance(pointer, Uniform)
            and (mask is None or isinstance(mask, Uniform))
            and (other is None or isinstance(other, Uniform))
        ):
            return Uniform(self._load_uniform(pointer.value, element, mask, other))
        passthrough = self.vector(other) if other is not None else None
        active = self.vector(mask) if mask is not None else None
        if isinstance(pointer, Affine) and pointer.step == element.bytes:
            address = as_pointer(b, pointer.base)
            return Lanes(
                memory.load_contiguous(b, address, element, self.lanes, active, passthrough)
            )
        active = all_true(self.lanes) if active is None else active
        return Lanes(memory.load_gather(b, self.vector(pointer), element, active, passthrough))

    def _load_uniform(
        self, address: LLValue, element: ElementType, mask: Uniform | None, other: Uniform | None
    ) -> LLValue:
        if mask is None:
            return memory.load_scalar(self.builder, as_pointer(self.builder, address), element)
        return self.program.load_masked_scalar(
            address, element, mask.value, other.value if other else None
        )

    # ---- arithmetic ------------------------------------------------------------------------

    def _elementwise(self, op: ir.Op, forms: list[Form]) -> Form:
        special = self._affine_rule(op, forms)
        if special is not None:
            return special
        if all(isinstance(form, Uniform) for form in forms):
            return Uniform(emit_elementwise(self.builder, op, [f.value for f in forms]))  # type: ignore[union-attr]
        if isinstance(op, ir.Select) and isinstance(forms[0], Uniform):
            condition = forms[0].value
            values = [self.vector(f) for f in forms[1:]]
            return Lanes(self.builder.select(condition, *values))
        return Lanes(emit_elementwise(self.builder, op, [self.vector(f) for f in forms]))

    def _affine_rule(self, op: ir.Op, forms: list[Form]) -> Form | None:
        match op, forms:
            case ir.Add(), [Affine(), Uniform()] | [Uniform(), Affine()] | [Affine(), Affine()]:
                return self._affine_sum(op, forms, 1)
            case ir.Sub(), [Affine(), Uniform()] | [Affine(), Affine()] | [Uniform(), Affine()]:
                return self._affine_sum(op, forms, -1)
            case ir.Mul(), [Affine() as a, Uniform() as u] | [Uniform() as u, Affine() as a]:
                return self._affine_product(a, u)
            case ir.Offset(), [pointer, index] if isinstance(pointer, (Uniform, Affine)):
                return self._offset(op, pointer, index)
            case ir.Cast(), [Affine(base=base, step=step) as a] if self._keeps_progression(op, a):
                return Affine(emit_elementwise(self.builder, op, [base]), step)
            case ir.Bitcast(), [Affine(base=base, step=step)]:
                return Affine(emit_elementwise(self.builder, op, [base]), step)
            case ir.Compare(), [Affine(), Uniform()] | [Uniform(), Affine()]:
                return self._bound(op, forms)
            case ir.And(), [Prefix(count=a), Prefix(count=b)]:
                return Prefix(call_intrinsic(self.builder, "llvm.smin", I64, [a, b], [I64]))
            case ir.And(), [Prefix(count=a), Uniform(value=u)] | [
                Uniform(value=u),
                Prefix(count=a),
            ]:
                return Prefix(self.builder.select(u, a, constant(I64, 0)))
            case ir.And(), [Prefix() as p, other] | [other, Prefix() as p] if self.assume_all(p):
                return other
            case ir.Rem() | ir.Div(), [Affine(step=1) as a, Uniform() as u] if (
                self.guards is not None
            ):
                return self._guarded_modulo(op, a, u)
            case ir.Select(), [Prefix() as p, chosen, _] if self.assume_all(p):
                return chosen
            case _:
                return None

    def _affine_sum(self, op: ir.Op, forms: list[Form], sign: int) -> Form | None:
        bases = [f.base if isinstance(f, Affine) else f.value for f in forms]  # type: ignore[union-attr]
        steps = [f.step if isinstance(f, Affine) else 0 for f in forms]
        base = emit_elementwise(self.builder, op, bases)
        step = steps[0] + sign * steps[1]
        return Affine(base, step) if step else Uniform(base)

    def _keeps_progression(self, op: ir.Cast, progress: Affine) -> bool:
        """Whether the cast of a progression is one, with the same step."""
        source = element_type(op.source.type)
        integers = ("int", "uint")
        if (
            isinstance(source, PointerType)
            or source.kind not in integers
            or op.type.kind not in integers
        ):
            return False
        return op.type.bits <= source.bits or self._widens(source, progress)

    def _widens(self, source: ScalarType, progress: Affine) -> bool:
        """Whether a progression may be extended to more bits by its base.

        Signed indices of 32 bits are taken not to wrap inside a strip (see `forms`), small steps
        provided; a guard checks unsigned ones; narrower ones are data.
        """
        reach = progress.step * (self.lanes - 1)
        if source.bits >= 64:
            return True
        if source.bits < 32 or abs(reach) >= LONGEST_STRIP:
            return False
        if source.kind == "int":
            return True
        if self.guards is None:
            return False
        b = self.builder
        last = b.add(b.zext(progress.base, I64), constant(I64, reach))
        self.guards.append(b.icmp_unsigned("<", last, constant(I64, 1 << source.bits)))
        return True

    def _affine_product(self, progress: Affine, factor: Uniform) -> Form | None:
        value = factor.value
        if not (isinstance(value, ll.Constant) and isinstance(value.constant, int)):
            return None
        if value.constant == 0:
            return Uniform(value)
        return Affine(self.builder.mul(progress.base, value), progress.step * value.constant)

    def _offset(self, op: ir.Offset, pointer: Uniform | Affine, index: Form) -> Form | None:
        b = self.builder
        start = pointer.value if isinstance(pointer, Uniform) else pointer.base
        step = 0 if isinstance(pointer, Uniform) else pointer.step
        match index:
            case Affine(base=value) as progress if not self._widens(_integer(op.index), progress):
                return None
            case Uniform(value=value) | Affine(base=value):
                wide = widen_index(b, value, op.index)
                base = b.add(start, b.mul(wide, constant(I64, op.scale)))
                step += index.step * op.scale if isinstance(index, Affine) else 0
                return Affine(base, step) if step else Uniform(base)
            case _:
                return None

    def _bound(self, op: ir.Compare, forms: list[Form]) -> Form | None:
        """index < bound and its like as a prefix mask."""
        b = self.builder
        left, right = forms
        if isinstance(left, Affine):
            progress, limit, predicate = left, right, str(op.predicate)
        else:
            assert isinstance(right, Affine)
            mirrored = {"lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
            progress, limit, predicate = right, left, mirrored.get(op.predicate, op.predicate)
        if (
            progress.step != 1
            or predicate not in ("lt", "le")
            or isinstance(element_type(op.lhs.type), PointerType)
        ):
            return None
        assert isinstance(limit, Uniform)
        if not self._widens(_integer(op.lhs), progress):
            return None
        bounds = [widen_index(b, v, op.lhs) for v in (limit.value, progress.base)]
        if _integer(op.lhs) == U64:
            if self.guards is None:
                return None
            self.guards.append(b.icmp_signed(">=", b.or_(*bounds), constant(I64, 0)))
        count = call_intrinsic(b, "llvm.ssub.sat", I64, bounds, [I64])
        if predicate == "le":
            count = call_intrinsic(b, "llvm.sadd.sat", I64, [count, constant(I64, 1)], [I64])
        return Prefix(count)

    def _guarded_modulo(self, op: ir.Rem | ir.Div, progress: Affine, modulus: Uniform) -> Form:
        """index % n and index / n of a strip that stays inside one period, which a guard checks."""
        b = self.builder
        type_ = progress.base.type
        remainder = emit_elementwise(
            b, ir.Rem(lhs=op.lhs, rhs=op.rhs), [progress.base, modulus.value]
        )
        assert self.guards is not None
        last = b.add(widen_index(b, remainder, op.lhs), constant(I64, self.lanes - 1))
        inside = b.icmp_signed("<", last, widen_index(b, modulus.value, op.lhs))
        if is_signed(element_type(op.lhs.type)):
            inside = b.and_(inside, b.icmp_signed(">=", progress.base, constant(type_, 0)))
        self.guards.append(inside)
        if isinstance(op, ir.Rem):
            return Affine(remainder, 1)
        return Uniform(emit_elementwise(b, op, [progress.base, modulus.value]))


def _enter_from(loop: Any, old: Any, new: Any) -> None:
    """Tells a loop's first block that it is entered from another block than before."""
    for phi in loop.instructions:
        if isinstance(phi, ll.PhiInstr):
            phi.incomings = [(value, new if at is old else at) for value, at in phi.incomings]


def _integer(value: ir.Value) -> ScalarType:
    element = element_type(value.type)
    assert isinstance(element, ScalarType)
    return element


def _has_lanes(point: Point) -> bool:
    return any(not isinstance(index.form, Uniform) for index in point)


def _matching_group(
    source: tuple[int, ...], target: tuple[int, ...], s: int, t: int
) -> tuple[int, int]:
    """The ends of the next runs of axes of equal size on both sides."""
    left = right = 1
    s_end, t_end = s, t
    while True:
        if left == right and (s_end > s or t_end > t):
            return s_end, t_end
        if (
            left <= right
            and s_end < len(source)
            and (left < right or t_end >= len(target) or s_end == s)
        ):
            left *= source[s_end]
            s_end += 1
        elif t_end < len(target):
            right *= target[t_end]
            t_end += 1
        else:
            left *= source[s_end]
            s_end += 1
