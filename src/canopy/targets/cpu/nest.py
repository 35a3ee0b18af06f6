"""A loop nest over an iteration space, and the computing of values at the point where it stands.

A nest walks the axes of its shape; one axis is walked in strips of lanes. Roots (stores,
reductions, kept values) ask for operands with `pull(value, point)`, which computes a value at a
point: shape ops change the point, elementwise ops ask for their operands, loads and kept values
read memory. What does not depend on an inner loop is emitted outside it and remembered per level.

Where masks are prefixes and remainders stay below their modulus, the strip is emitted twice: a fast
version that assumes so, and a general one; scalar guards choose for each strip.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import (
    ElementType,
    PointerType,
    element_type,
    is_bool,
)
from canopy.targets.cpu import conversions, memory
from canopy.targets.cpu.affine import affine_rule
from canopy.targets.cpu.arithmetic import constant_of, emit_elementwise, widen_index
from canopy.targets.cpu.combine import combine
from canopy.targets.cpu.forms import (
    Affine,
    Form,
    Index,
    Lanes,
    Pattern,
    Prefix,
    Uniform,
    all_true,
    prefix_mask,
    progression,
    spaced,
)
from canopy.targets.cpu.indices import Merged, flipped, linear_index, reshape_point
from canopy.targets.cpu.llvm import (
    I32,
    I64,
    LLValue,
    as_pointer,
    call_intrinsic,
    constant,
    counted_loop,
    splat,
)
from canopy.targets.cpu.patterns import read_window, short_axes
from canopy.targets.cpu.prefetch import Stream

if TYPE_CHECKING:
    from canopy.targets.cpu.buffers import Buffer
    from canopy.targets.cpu.program import Program
    from canopy.targets.cpu.table_rows import TableRows

__all__ = ["Nest", "Point", "Root"]

Point = tuple[Index, ...]
SHORTEST_VECTOR = 8  # lanes for which whole vectors are read and picked from


class Root(Protocol):
    """What a nest does at its points."""

    reduce_axis: int | None

    @property
    def op(self) -> ir.Op | None:
        """The op that it is there for."""

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
        merged_axes: int = 0,
    ) -> None:
        self.program = program
        self.builder = program.builder
        self.shape = shape
        self.merged: Merged | None = None  # the last ``merged_axes``, where the strip stands now
        self._merged_shape = shape[len(shape) - merged_axes :]
        self._walked = shape
        if merged_axes:
            self._walked = (*shape[:-merged_axes], math.prod(self._merged_shape))
        self.lane_axis = lane_axis
        self.lanes = lanes
        self.reduce_axis = reduce_axis
        self.streams: list[Stream | TableRows] = []
        self.fast = False
        self.guards: list[LLValue] | None = None  # a list while they are collected
        self._assumed: dict[
            int, LLValue
        ] = {}  # counts of prefixes, and masks, that this strip's guards check
        self._fixed: dict[int, Index] = {}
        self.point: list[Index] = [self.fixed(0) for _ in shape]
        self._levels: list[Any] = []  # the block of each level that is not the innermost
        self._standing = len(shape)  # the level where the builder stands, if not the innermost
        # What each level computed; the fast version, whose guards may hold for outer levels' values
        # too, has its own.
        self._caches: list[dict[tuple[ir.Value, Point], Form]] = [{}]
        self._fast_caches: list[dict[tuple[ir.Value, Point], Form]] = [{}]
        outer = [a for a in range(len(self._walked)) if a not in (lane_axis, reduce_axis)]
        tail = [lane_axis] if reduce_axis in (None, lane_axis) else [lane_axis, reduce_axis]
        self._order = outer + tail

    # ---- loops -----------------------------------------------------------------------------

    def run(self, roots: list[Root]) -> None:
        """Emits the loops with the roots inside; the builder then stands behind them."""
        for stream in self.streams:
            stream.begin(self)
        self._walk(0, roots)

    def fixed(self, value: int) -> Index:
        """The one index that stands for a known position."""
        if value not in self._fixed:
            self._fixed[value] = Index(Uniform(constant(I64, value)), 0)
        return self._fixed[value]

    def step_of(self, axis: int) -> int:
        return self.lanes if axis == self.lane_axis else 1

    def trips(self, axis: int) -> int:
        return self._walked[axis] // self.step_of(axis)

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
            extent = constant(I64, self._walked[axis])
            with (
                self.deeper(),
                counted_loop(self.builder, extent, f"axis{axis}", self.step_of(axis)) as position,
            ):
                self._enter(axis, position, len(self._levels))
                self._walk(depth + 1, roots)
        if reducing:
            for root in roots:
                root.end(self)

    @contextmanager
    def deeper(self) -> Iterator[None]:
        """Inside, the builder emits a loop that is entered from the block where it stands."""
        self._levels.append(self.builder.block)
        self._caches.append({})
        self._fast_caches.append({})
        yield
        self._levels.pop()
        self._caches.pop()
        self._fast_caches.pop()

    def _enter(self, axis: int, position: LLValue, level: int) -> None:
        fixed = isinstance(position, ll.Constant)
        if axis == self.lane_axis and self._merged_shape:
            self._enter_merged(axis, position, 0 if fixed else level)
            return
        if axis == self.lane_axis and self.lanes > 1:
            self.point[axis] = Index(Affine(position, 1), 0 if fixed else level)
        else:
            self.point[axis] = Index(Uniform(position), 0 if fixed else level)

    def _enter_merged(self, axis: int, position: LLValue, level: int) -> None:
        forms = short_axes(self, self._merged_shape, position)
        assert forms is not None, "merged axes have extents that are powers of two"
        indices = tuple(Index(form, level) for form in forms)
        self.point[axis:] = indices
        whole = Affine(position, 1) if self.lanes > 1 else Uniform(position)
        self.merged = Merged(self._merged_shape, indices, whole)

    def _strip(self, roots: list[Root]) -> None:
        guards = self._collect_guards(roots)
        if not guards:
            self.fast = False
            self._act(roots)
            return
        condition = guards[0]
        for guard in guards[1:]:
            condition = self.builder.and_(condition, guard)
        with self.builder.if_else(condition, likely=True) as (then, otherwise):
            with then:
                self.fast = True
                self._act(roots)
                self.fast = False
            with otherwise:
                self._act_in_part(roots)
        self._caches[-1] = {}
        self._fast_caches[-1] = {}

    def _act_in_part(self, roots: list[Root]) -> None:
        """What the nest does at a strip that not all lanes take part in, if any does."""
        for stream in self.streams:
            if isinstance(stream, Stream):  # others read indices, which a mask may forbid
                stream.fetch(self)
        counts = [self._active_lanes(root) for root in roots]
        known = [count for count in counts if count is not None]
        if len(known) < len(roots):
            for root in roots:
                root.lanes(self)
            return
        b = self.builder
        some = [b.icmp_signed(">", count, constant(I64, 0)) for count in known]
        with b.if_then(functools.reduce(b.or_, some)):
            for root in roots:
                root.lanes(self)

    def _active_lanes(self, root: Root) -> LLValue | None:
        """How many lanes of this strip a store takes from its first on (or less than 1); None
        where that is no prefix."""
        if not isinstance(root.op, ir.Store) or root.op.mask is None:
            return None
        if not self.program.plan.is_structural(root.op.mask):
            return None
        form = self.pull(root.op.mask, tuple(self.point))
        if isinstance(form, Uniform):
            return self.builder.zext(form.value, I64)
        return form.count if isinstance(form, Prefix) else None

    def stays_in_period(self, op: ir.Op) -> bool:
        """Whether a strip is known to lie inside one period of an index that is divided or masked
        by a constant."""
        return False

    def guarded_points(self) -> list[Point]:
        """Where the roots pull their inputs in this strip."""
        return [tuple(self.point)]

    def _act(self, roots: list[Root]) -> None:
        """What the nest does at one strip of active lanes."""
        for stream in self.streams:
            stream.fetch(self)
        for root in roots:
            root.lanes(self)

    def _collect_guards(self, roots: list[Root]) -> list[LLValue]:
        """Pulls addresses and masks ahead, as in the fast case, and gives the conditions for it."""
        if self.lanes == 1:
            return []
        self.fast, self.guards, self._assumed = True, [], {}
        seen: set[tuple[ir.Value, Point]] = set()
        points = self.guarded_points()
        for root in roots:
            for point in points:
                for value in root.inputs():
                    self._collect(value, point, seen)
                if isinstance(root.op, ir.Store):
                    self._collect_mask(root.op.mask, point)
        guards, self.guards = self.guards, None
        self.fast = False
        if not guards:  # nothing was assumed: all of it holds
            for general, fast in zip(self._caches, self._fast_caches, strict=True):
                general.update(fast)
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
        if isinstance(value.op, ir.Load):
            self._collect_mask(value.op.mask, point)

    def _collect_mask(self, mask: ir.Value | None, point: Point) -> None:
        if mask is not None and self.program.plan.is_structural(mask):
            self.mask_form(mask, point)

    # ---- values ----------------------------------------------------------------------------

    def pull(self, value: ir.Value, point: Point) -> Form:
        """The value at ``point``, which has one index per axis of the value."""
        if not value.is_tile:
            return Uniform(self.program.scalar(value))
        level = self.level_of(value, point)
        cache: dict[tuple[ir.Value, Point], Form] = self.cache_of(level)
        key = (value, point)
        known = cache.get(key)
        if known is not None:
            return known
        with self.at_level(level):
            form = self._compute(value, point)
        cache[key] = form
        return form

    def level_of(self, value: ir.Value, point: Point) -> int:
        """The outermost loop level at which the value at a point is known."""
        return max((index.level for index in point), default=0)

    def remember(self, value: ir.Value, point: Point, form: Form) -> None:
        """Makes later pulls of a value at a point use what was just computed there."""
        self.cache_of(len(self._caches))[(value, point)] = form

    def cache_of(self, level: int) -> dict[Any, Any]:
        """What was computed at a level and still holds."""
        caches = self._fast_caches if self.fast else self._caches
        return caches[min(level, len(caches) - 1)]

    @contextmanager
    def at_level(self, level: int) -> Iterator[None]:
        """Inside, the builder stands at the end of the given loop level, behind what is there.

        The block ends in a branch into the next loop. What is emitted may add blocks; the branch
        then moves to the last of them.
        """
        if level >= min(self._standing, len(self._levels)):
            yield
            return
        standing, self._standing = self._standing, level
        builder = self.builder
        here, anchor = builder._block, builder._anchor
        at_end = anchor >= len(here.instructions)
        block = self._levels[level]
        branch = block.instructions.pop()
        block.terminator = None
        builder.position_at_end(block)
        yield
        self._standing = standing
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
            case Pattern(base=base, offsets=offsets):
                return spaced(self.builder, base, offsets)
            case Affine(base=base, step=step):
                return progression(self.builder, base, step, self.lanes)
            case Prefix(count=count):
                if self.assume_all(form):
                    return all_true(self.lanes)
                return prefix_mask(self.builder, count, self.lanes)

    def assume_all(self, mask: Prefix | Uniform) -> bool:
        """Whether this version of the strip may take every lane of the mask to be true.

        It may where a guard checks so: one is asked for here while guards are collected. Forms come
        from outer loop levels too, so that only the strip itself can tell.
        """
        value = mask.count if isinstance(mask, Prefix) else mask.value
        if self.guards is not None and id(value) not in self._assumed:
            full = isinstance(mask, Prefix)
            self.guards.append(
                self.builder.icmp_signed(">=", value, constant(I64, self.lanes)) if full else value
            )
            self._assumed[id(value)] = value
        return self.fast and id(value) in self._assumed

    def _compute(self, value: ir.Value, point: Point) -> Form:
        buffer = self.program.buffer_of(value)
        recomputed = self.fast and value in self.program.plan.dual and _has_lanes(point)
        if buffer is not None and not recomputed:
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
            case (
                ir.Broadcast()
                | ir.ExpandDims()
                | ir.Transpose()
                | ir.Reshape()
                | ir.Split()
                | ir.Flip()
            ):
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
            case ir.Reduce():
                return self._fold(op, value, point)
            case _:
                return self._elementwise(op, [self.pull(v, point) for v in op.operands])

    def operand_points(self, value: ir.Value, point: Point) -> list[tuple[ir.Value, Point]]:
        """The operands that computing ``value`` at ``point`` needs, each with its own point."""
        op = value.op
        zero = self.fixed(0)
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
                return [(op.source, reshape_point(self, op.source.shape, op.shape, point))]
            case ir.Join():
                return [(op.lhs, point[:-1]), (op.rhs, point[:-1])]
            case ir.Split():
                half = self.fixed(op.results.index(value))
                return [(op.source, (*point, half))]
            case ir.Flip():
                axis = op.axis
                turned = flipped(self, point[axis], op.source.shape[axis])
                return [(op.source, (*point[:axis], turned, *point[axis + 1 :]))]
            case ir.Gather():
                return [(op.source if self._exchanges(op, point) else op.indices, point)]
            case ir.Reduce():
                return [
                    (source, (*point[: op.axis], self.fixed(i), *point[op.axis :]))
                    for i in range(op.sources[0].shape[op.axis])
                    for source in op.sources
                ]
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
            case Pattern(base=base, offsets=offsets):
                return Pattern(narrow(base), offsets)
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

    def _exchanges(self, op: ir.Gather, point: Point) -> bool:
        """Whether the strip covers the row in which the gather moves lanes, known ahead."""
        order = self.program.plan.exchanges.get(op, ())
        form = point[-1].form
        return len(order) == self.lanes and isinstance(form, Affine) and form.step == 1

    def _exchange(self, op: ir.Gather, point: Point) -> Form:
        source = self.pull(op.source, point)
        if isinstance(source, Uniform):
            return source
        lanes, order = self.vector(source), self.program.plan.exchanges[op]
        indices = ll.Constant(ll.VectorType(I32, self.lanes), list(order))
        return Lanes(self.builder.shuffle_vector(lanes, lanes, indices))

    def _gather(self, op: ir.Gather, point: Point) -> Form:
        if self._exchanges(op, point):
            return self._exchange(op, point)
        form = self.pull(op.indices, point)
        level = max(index.level for index in point)
        if isinstance(form, Uniform):
            at: Form = Uniform(widen_index(self.builder, form.value, op.indices))
        else:
            at = Lanes(widen_index(self.builder, self.vector(form), op.indices))
        source_point = (*point[: op.axis], Index(at, level), *point[op.axis + 1 :])
        return self.pull(op.source, source_point)

    def _fold(self, op: ir.Reduce, value: ir.Value, point: Point) -> Form:
        """A reduction of two lanes, lane to lane; all its results are remembered."""
        forms = [self.pull(source, at) for source, at in self.operand_points(value, point)]
        uniform = all(isinstance(form, Uniform) for form in forms)
        values = [f.value if uniform else self.vector(f) for f in forms]  # type: ignore[union-attr]
        totals = values[: len(op.sources)]
        for i in range(len(op.sources), len(values), len(op.sources)):
            totals = combine(self.program, op.combine, totals + values[i : i + len(op.sources)])
        results = [Uniform(total) if uniform else Lanes(total) for total in totals]
        cache = self.cache_of(max((index.level for index in point), default=0))
        cache.update({(r, point): form for r, form in zip(op.results, results, strict=True)})
        return results[op.results.index(value)]

    # ---- memory ----------------------------------------------------------------------------

    def _offset_in(self, buffer: Buffer, point: Point) -> Form:
        if not buffer.shape:
            return Uniform(constant(I64, 0))
        return linear_index(self, buffer.shape, point)

    def read(self, buffer: Buffer, point: Point) -> Form:
        """A kept tile at a point."""
        element = buffer.element
        offset = (
            linear_index(self, buffer.shape, point) if buffer.shape else Uniform(constant(I64, 0))
        )
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
                window = read_window(self, buffer, other)
                if window is not None:
                    return Lanes(window)
                lanes = self.vector(other)
                start = splat(b, b.ptrtoint(buffer.address, I64), self.lanes)
                addresses = b.add(start, b.mul(lanes, constant(lanes.type, element.bytes)))
                return Lanes(memory.load_gather(b, addresses, element, all_true(self.lanes), None))

    def write(self, buffer: Buffer, point: Point, form: Form) -> None:
        """Writes a kept tile at a point that the nest's own lanes walk."""
        element = buffer.element
        b = self.builder
        type_ = conversions.memory_type(element)
        offset = (
            linear_index(self, buffer.shape, point) if buffer.shape else Uniform(constant(I64, 0))
        )
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
        if isinstance(form, Uniform) and self._is_on(form):
            return None
        return form

    def _is_on(self, mask: Uniform) -> bool:
        """Whether one scalar that switches a whole strip is true, or taken to be."""
        if isinstance(mask.value, ll.Constant):
            return bool(mask.value.constant == 1)
        return self.lanes > 1 and self.assume_all(mask)

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
        if isinstance(pointer, Affine) and active is None and not op.volatile:
            found = self._load_apart(pointer, element)
            if found is not None:
                return Lanes(found)
        active = all_true(self.lanes) if active is None else active
        return Lanes(memory.load_gather(b, self.vector(pointer), element, active, passthrough))

    def _load_apart(self, pointer: Affine, element: ElementType) -> LLValue | None:
        """Lanes a few elements apart, or backwards; None where only a gather does it."""
        stride, rest = divmod(pointer.step, element.bytes)
        if rest or self.lanes < SHORTEST_VECTOR:
            return None
        if stride == -1:
            return memory.load_reversed(self.builder, pointer.base, element, self.lanes)
        if 1 < stride <= memory.MOST_STRIDE:
            return memory.load_strided(self.builder, pointer.base, element, self.lanes, stride)
        return None

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
        special = affine_rule(self, op, forms)
        if special is not None:
            return special
        if all(isinstance(form, Uniform) for form in forms):
            return Uniform(emit_elementwise(self.builder, op, [f.value for f in forms]))  # type: ignore[union-attr]
        if isinstance(op, ir.Select) and isinstance(forms[0], Uniform):
            condition = forms[0].value
            values = [self.vector(f) for f in forms[1:]]
            return Lanes(self.builder.select(condition, *values))
        return Lanes(emit_elementwise(self.builder, op, [self.vector(f) for f in forms]))


def _enter_from(loop: Any, old: Any, new: Any) -> None:
    """Tells a loop's first block that it is entered from another block than before."""
    for phi in loop.instructions:
        if isinstance(phi, ll.PhiInstr):
            phi.incomings = [(value, new if at is old else at) for value, at in phi.incomings]


def _has_lanes(point: Point) -> bool:
    return any(not isinstance(index.form, Uniform) for index in point)
