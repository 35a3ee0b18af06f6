"""Runs of ops, strip by strip: loops and branches stand inside the nest, values in registers.

A strip computes each op once, in order, and remembers its form: what is uniform or a progression
stays one. Indices, masks and addresses that do not change while the strip runs are found first,
with the conditions for their simple forms, and the run is emitted for these, and in general.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import PointerType, TileType, element_type, is_bool, is_signed
from canopy.targets.cpu import conversions
from canopy.targets.cpu.alignment import Alignments
from canopy.targets.cpu.atomics import AtomicRoot
from canopy.targets.cpu.forms import Affine, Form, Lanes, Prefix, Uniform
from canopy.targets.cpu.grid_strides import writes_more_than
from canopy.targets.cpu.indices import reshape_point
from canopy.targets.cpu.llvm import I1, I32, I64, Builder, LLValue, constant, vector
from canopy.targets.cpu.memory import STREAMING_BYTES
from canopy.targets.cpu.nest import Nest, Point, Root
from canopy.targets.cpu.roots import StoreRoot, across_lanes
from canopy.targets.cpu.runs import Run, leaves
from canopy.targets.cpu.strides import period_of

if TYPE_CHECKING:
    from canopy.targets.cpu.buffers import Buffer
    from canopy.targets.cpu.program import Program

__all__ = ["emit_run"]

ALL_LEVELS = 1 << 20
_TRUE, _FALSE = constant(I1, 1), constant(I1, 0)
_ATOMICS = (ir.AtomicRmw, ir.AtomicCas)


def emit_run(program: Program, run: Run) -> None:
    """The run as one nest; what others read of it goes to buffers."""
    program.block(run.before)
    program.flush()
    outputs = [(value, program.result_buffer(value)) for value in run.outputs]
    with program.streams_if(writes_more_than(program, run.ops, STREAMING_BYTES)):
        _StripNest(program, run, outputs).run([])
    program.buffers.update(outputs)


class _StripNest(Nest):
    """A nest over the threads of a block that does a run at each strip."""

    def __init__(
        self, program: Program, run: Run, outputs: Sequence[tuple[ir.Value, Buffer]]
    ) -> None:
        super().__init__(program, run.shape, len(run.shape) - 1, run.lanes, None)
        self._standing = ALL_LEVELS  # each loop and branch is a level of its own
        self.todo = run
        self.outputs = outputs
        self.alignments = Alignments(run.ops, run.shape, run.lanes)
        self.known: dict[ir.Value, Form] = {}  # what the strip has computed
        self.depths: dict[ir.Value, int] = {}  # the levels at which values of the run are made
        self.places: dict[tuple[int, ...], Point] = {}  # the strip under other shapes
        self.shapes = dict.fromkeys(v.shape for v in _tiles(run.ops))

    # ---- one strip

    def _strip(self, roots: list[Root]) -> None:
        self.places = {}
        for shape in self.shapes:  # here, where they stand before all that uses them
            self._place(shape)
        guards = self._collect_fixed()
        self._in_versions(guards, self._version)
        self.fast = False
        self._caches[-1] = {}
        self._fast_caches[-1] = {}

    def _in_versions(self, guards: list[LLValue], emit: Callable[[], None]) -> None:
        """Emits under the assumption that the guards hold, and again for where they do not."""
        self.fast = True
        if not guards:
            emit()
            return
        known = [dict(cache[-1]) for cache in (self._caches, self._fast_caches)]
        with self.builder.if_else(_all(self.builder, guards), likely=True) as (then, otherwise):
            with then:
                emit()
                self._caches[-1], self._fast_caches[-1] = known  # not what one branch computed
            with otherwise:
                self.fast = False
                emit()
                self.fast = True

    def _version(self) -> None:
        self.known, self.depths = {}, {}
        self._ops(self.todo.ops)
        for value, buffer in self.outputs:
            self.write(buffer, self._place(value.shape), self._form(value))

    def _collect_fixed(self) -> list[LLValue]:
        """Pulls what does not change while the strip runs; gives the conditions for the forms."""
        self.fast, self.guards, self._assumed = True, [], {}
        self.known = {}
        for value in _in_order(self.todo):
            form = self._form(value)
            if is_bool(value.type) and _is_bound(value):
                self._expect(value, form)
        guards, self.guards = self.guards, None
        self.fast = False
        if not guards:
            for general, fast in zip(self._caches, self._fast_caches, strict=True):
                general.update(fast)
        return guards

    def _expect(self, value: ir.Value, form: Form) -> None:
        """Takes an index to be inside a bound in all lanes, or in none beyond it."""
        assert self.guards is not None
        key = (value, self._place(value.shape))
        cache = self.cache_of(self.level_of(*key))
        match form:
            case Prefix():
                self.assume_all(form)
                cache[key] = Uniform(_TRUE)
            case Uniform(value=holds) if not isinstance(holds, ll.Constant):
                inside = _is_inside(value)
                self.guards.append(holds if inside else self.builder.not_(holds))
                cache[key] = Uniform(_TRUE if inside else _FALSE)

    # ---- values

    def stays_in_period(self, op: ir.Op) -> bool:
        index, period = op.operands[0], period_of(op)
        if period % self.lanes or not period or index.shape != self.shape:
            return False
        if isinstance(op, (ir.Rem, ir.Div)) and is_signed(element_type(index.type)):
            return False  # below zero remainders count backwards
        return self.alignments.of(index) % self.lanes == 0

    def pull(self, value: ir.Value, point: Point) -> Form:
        known = self.known.get(value)
        return super().pull(value, point) if known is None else known

    def level_of(self, value: ir.Value, point: Point) -> int:
        depth = self.depths.get(value)
        return super().level_of(value, point) if depth is None else depth

    def _form(self, value: ir.Value) -> Form:
        return self.pull(value, self._place(value.shape) if value.is_tile else ())

    def _place(self, shape: tuple[int, ...]) -> Point:
        """The strip as a point of a tile; of one that has fewer lanes, anywhere."""
        if shape == self.shape:
            return tuple(self.point)
        if shape not in self.places:
            if _size(shape) == _size(self.shape):
                self.places[shape] = reshape_point(self, shape, self.shape, tuple(self.point))
            else:
                self.places[shape] = tuple(self.fixed(0) for _ in shape)
        return self.places[shape]

    # ---- ops

    def _ops(self, ops: list[ir.Op]) -> None:
        for op in ops:
            if not op.is_terminator:
                self._op(op)

    def _op(self, op: ir.Op) -> None:
        match op:
            case ir.If():
                self._if(op)
            case ir.While():
                self._while(op)
            case ir.For():
                self._for(op)
            case ir.Store():
                StoreRoot(op).lanes(self)
            case ir.AnyLane():
                self.program.scalars[op.result] = self._any(op.source)
            case ir.AtomicRmw() | ir.AtomicCas():
                old = AtomicRoot(op, None).old_values(self)
                if old is not None:
                    self._set(op.result, old)
            case ir.Reduce():
                self._reduce(op)
            case _ if not op.result.is_tile:
                self._scalar(op)
            case _:
                self._tile(op, op.result)

    def _set(self, value: ir.Value, form: Form) -> None:
        self.known[value] = form

    def _scalar(self, op: ir.Op) -> None:
        operands = [self.program.scalars.get(v) for v in op.operands]
        known = _folded(op, operands)
        if known is not None:
            self.program.scalars[op.results[0]] = known
        else:
            self.program.block([op])

    def _tile(self, op: ir.Op, value: ir.Value) -> None:
        if value in self.todo.fixed:
            return
        if self._is_lazy(value):
            self.depths[value] = len(self._levels)
            return
        match op:
            case ir.Reshape() | ir.Broadcast() | ir.ExpandDims():
                self._set(value, self._form(op.source))
            case ir.Gather():
                self._set(value, self._exchanged(op))
            case _:
                self.depths[value] = len(self._levels)
                self._set(value, self._compute(value, self._place(value.shape)))

    def _exchanged(self, op: ir.Gather) -> Form:
        form = self._form(op.source)
        if isinstance(form, Uniform):
            return form
        lanes, order = self.vector(form), self.program.plan.exchanges[op]
        indices = ll.Constant(vector(I32, self.lanes), list(order))
        return Lanes(self.builder.shuffle_vector(lanes, lanes, indices))

    def _reduce(self, op: ir.Reduce) -> None:
        """Along a warp, which the strip is."""
        vectors = [self.vector(self._form(source)) for source in op.sources]
        totals = across_lanes(self.program, op.combine, vectors, self.lanes)
        for result, total in zip(op.results, totals, strict=True):
            self._set(result, Uniform(total))

    def _any(self, mask: ir.Value) -> LLValue:
        """Whether a lane of the strip is true."""
        b = self.builder
        beyond = self._any_beyond(mask)
        if beyond is not None:
            return beyond
        match form := self._form(mask):
            case Uniform(value=value):
                return value
            case Prefix(count=count):
                return b.icmp_signed(">", count, constant(I64, 0))
        bits = b.bitcast(self.vector(form), ll.IntType(self.lanes))
        return b.icmp_unsigned("!=", bits, constant(bits.type, 0))

    def _any_beyond(self, mask: ir.Value) -> LLValue | None:
        """Whether an index of the strip, a progression, is not below its bound: the last one says
        so, or wraps around, which only happens behind the largest number there is."""
        op = mask.op
        if not isinstance(op, ir.Compare) or op.predicate != "ge" or mask in self.todo.fixed:
            return None
        index, bound = self._form(op.lhs), self._form(op.rhs)
        element = element_type(op.lhs.type)
        if not isinstance(index, Affine) or index.step != 1 or not isinstance(bound, Uniform):
            return None
        if isinstance(element, PointerType) or element.bits < 32:
            return None
        b = self.builder
        compare = b.icmp_signed if is_signed(element) else b.icmp_unsigned
        last = b.add(index.base, constant(index.base.type, self.lanes - 1))
        return b.or_(compare(">=", last, bound.value), compare("<", last, index.base))

    # ---- control flow

    @contextmanager
    def _inside(self, before: Any) -> Iterator[None]:
        """Inside, the builder emits a loop or a branch that is entered from ``before``."""
        here = self.builder.block
        self.builder.position_at_end(before)
        with self.deeper():
            self.builder.position_at_end(here)
            yield

    def _block(self, name: str) -> Any:
        return self.builder.function.append_basic_block(name)

    def _if(self, op: ir.If) -> None:
        b = self.builder
        condition = self.program.scalar(op.condition)
        if isinstance(condition, ll.Constant):
            self._only(op, op.then_region if condition.constant else op.else_region)
            return
        before = b.block
        gate, then, otherwise, after = map(self._block, ("if.gate", "if.then", "if.else", "if.end"))
        b.branch(gate)  # what an inner value needs out here goes before it
        b.position_at_end(gate)
        b.cbranch(condition, then, otherwise)
        sides = []
        for block, region in ((then, op.then_region), (otherwise, op.else_region)):
            b.position_at_end(block)
            with self._inside(before):
                self._ops(region.ops)
                sides.append((self._yielded(region), b.block))
            before = self._entered_from(gate)
        for result, *values in zip(op.results, *(values for values, _ in sides), strict=True):
            self._merge(result, values, [block for _, block in sides], after)
        for _, block in sides:
            b.position_at_end(block)
            b.branch(after)
        b.position_at_end(after)

    def _entered_from(self, gate: Any) -> Any:
        """The block that branches to the gate: it moves when values are computed before it."""
        return next(
            block
            for block in self.builder.function.blocks
            if block.terminator is not None and gate in block.terminator.operands[:1]
        )

    def _only(self, op: ir.If, region: ir.Region) -> None:
        self._ops(region.ops)
        for result, value in zip(op.results, self._yielded(region), strict=True):
            if result.is_tile:
                self._set(result, value)
            else:
                self.program.scalars[result] = value

    def _yielded(self, region: ir.Region) -> list[Any]:
        """What a region hands on: forms of tiles, values of scalars."""
        if not region.ops or not isinstance(region.terminator, ir.Yield):
            return []
        return [self._content(v) for v in region.terminator.values]

    def _content(self, value: ir.Value) -> Any:
        return self._form(value) if value.is_tile else self.program.scalar(value)

    def _merge(self, result: ir.Value, values: list[Any], ends: list[Any], after: Any) -> None:
        """A value of two branches, at the begin of ``after``."""
        b = self.builder
        is_uniform = all(isinstance(value, Uniform) for value in values)
        raw = []
        for value, end in zip(values, ends, strict=True):
            b.position_at_end(end)
            if not result.is_tile:
                raw.append(value)
            else:
                raw.append(value.value if is_uniform else self.vector(value))
        b.position_at_end(after)
        joined = b.phi(raw[0].type)
        for value, end in zip(raw, ends, strict=True):
            joined.add_incoming(value, end)
        if not result.is_tile:
            self.program.scalars[result] = joined
        else:
            self._set(result, Uniform(joined) if is_uniform else Lanes(joined))

    def _while(self, op: ir.While) -> None:
        b = self.builder
        slots = self._slots(op.initial)
        before = b.block
        head, body, after = map(self._block, ("loop.head", "loop.body", "loop.end"))
        b.branch(head)
        b.position_at_end(head)
        condition = op.before.terminator
        assert isinstance(condition, ir.Condition)
        with self._inside(before):
            self._take(op.before.args, slots)
            self._ops(op.before.ops)
            passed = [self._content(value) for value in condition.values]
            b.cbranch(self.program.scalar(condition.condition), body, after)
            b.position_at_end(body)
            self._bind(op.body.args, passed)
            self._trip(op.body, slots)
            b.branch(head)
        b.position_at_end(after)
        self._bind(op.results, passed)

    def _for(self, op: ir.For) -> None:
        b = self.builder
        slots = self._slots((op.lower, *op.initial))
        before = b.block
        head, body, after = map(self._block, ("for.head", "for.body", "for.end"))
        b.branch(head)
        b.position_at_end(head)
        with self._inside(before):
            held = self._take(op.body.args, slots)
            compare = b.icmp_signed if is_signed(op.lower.type) else b.icmp_unsigned
            b.cbranch(compare("<", held[0], self.program.scalar(op.upper)), body, after)
            b.position_at_end(body)
            self._trip(op.body, slots[1:])
            b.store(b.add(held[0], self.program.scalar(op.step)), slots[0])
            b.branch(head)
        b.position_at_end(after)
        self._bind(op.results, held[1:])

    def _slots(self, initial: Sequence[ir.Value]) -> list[LLValue]:
        """Places for what a loop carries, which LLVM makes registers."""
        slots = []
        for value in initial:
            type_ = conversions.llvm_type(element_type(value.type))
            tile = isinstance(value.type, TileType)
            slot = self.program.alloca(vector(type_, self.lanes) if tile else type_)
            self.builder.store(self._raw(value), slot)
            slots.append(slot)
        return slots

    def _raw(self, value: ir.Value) -> LLValue:
        return self.vector(self._form(value)) if value.is_tile else self.program.scalar(value)

    def _take(self, args: Sequence[ir.Value], slots: list[LLValue]) -> list[Any]:
        """Binds the arguments of a region to what the slots hold."""
        held = []
        for argument, slot in zip(args, slots, strict=True):
            loaded = self.builder.load(slot, typ=slot.allocated_type)
            held.append(Lanes(loaded) if argument.is_tile else loaded)
        self._bind(args, held)
        return held

    def _bind(self, values: Sequence[ir.Value], contents: Sequence[Any]) -> None:
        for value, content in zip(values, contents, strict=True):
            if value.is_tile:
                self._set(value, content)
            else:
                self.program.scalars[value] = content

    def _trip(self, body: ir.Region, slots: list[LLValue]) -> None:
        """The body of a loop; in two versions if its addresses and masks have simple forms under
        conditions."""

        def emit() -> None:
            self._ops(body.ops)
            self._advance(slots, body)

        if self.fast and not any(op.regions for op in body.ops):
            self._in_versions(self._collect_varying(body), emit)
        else:
            emit()

    def _collect_varying(self, body: ir.Region) -> list[LLValue]:
        """Pulls the addresses and masks of a body that are known at its begin."""
        self.guards = []
        later = {v for op in body.ops for v in op.results if not v.is_tile}
        for op in body.ops:
            for value in op.results:
                if value.is_tile and self._is_lazy(value):
                    self.depths[value] = len(self._levels)
        for op in body.ops:
            if not isinstance(op, (ir.Load, ir.Store)) or not op.pointer.is_tile:
                continue
            for value in (op.pointer, *((op.mask,) if op.mask is not None else ())):
                if self._is_known_now(value, later):
                    self._collect(value, self._place(value.shape), set())
        guards, self.guards = self.guards, None
        return guards

    def _is_lazy(self, value: ir.Value) -> bool:
        """Whether a value of the run is computed where it is needed, not where it stands."""
        return value not in self.todo.fixed and self.program.plan.is_structural(value)

    def _is_known_now(self, value: ir.Value, later: set[ir.Value]) -> bool:
        return self.program.plan.is_structural(value) and not any(v in later for v in leaves(value))

    def _advance(self, slots: list[LLValue], body: ir.Region) -> None:
        terminator = body.terminator
        assert isinstance(terminator, ir.Yield)
        following = [self._raw(value) for value in terminator.values]
        for slot, value in zip(slots, following, strict=True):
            self.builder.store(value, slot)


def _all(builder: Builder, conditions: list[LLValue]) -> LLValue:
    return functools.reduce(builder.and_, conditions)


def _tiles(ops: list[ir.Op]) -> Iterator[ir.Value]:
    for op in ir.walk(ops):
        yield from (value for value in (*op.operands, *op.results) if value.is_tile)


def _in_order(run: Run) -> list[ir.Value]:
    """The fixed values that the run's other ops read, in its order."""
    found: dict[ir.Value, None] = {}
    for op in ir.walk(run.ops):
        if not op.results or any(result not in run.fixed for result in op.results):
            found.update((v, None) for v in op.operands if v in run.fixed)
    return [value for value in found if _has_simple_forms(value)]


def _has_simple_forms(value: ir.Value) -> bool:
    element = element_type(value.type)
    return isinstance(element, PointerType) or element.kind in ("int", "uint", "bool")


def _is_bound(value: ir.Value) -> bool:
    """Whether a mask says that indices are inside of, or beyond, bounds known at run time."""
    op = value.op
    if isinstance(op, (ir.And, ir.Or)):
        return _is_bound(op.lhs) and _is_bound(op.rhs)
    if not isinstance(op, ir.Compare) or op.predicate not in ("lt", "le", "gt", "ge"):
        return False
    sides = [v.op for v in (op.lhs, op.rhs) if isinstance(v.op, ir.Splat)]
    return any(not isinstance(side.source.op, ir.Constant) for side in sides)


def _is_inside(value: ir.Value) -> bool:
    """Whether a mask of bounds is expected to hold: it asks for indices below one."""
    op = value.op
    if isinstance(op, ir.And):
        return True
    if isinstance(op, ir.Or):
        return False
    assert isinstance(op, ir.Compare)
    is_bound_left = isinstance(op.lhs.op, ir.Splat)
    return op.predicate in (("gt", "ge") if is_bound_left else ("lt", "le"))


def _folded(op: ir.Op, operands: list[LLValue | None]) -> LLValue | None:
    """The result of a boolean op on what is known."""
    if not isinstance(op, (ir.Xor, ir.And, ir.Or)) or not is_bool(op.result.type):
        return None
    bits = [o.constant if isinstance(o, ll.Constant) else None for o in operands]
    left, right = bits
    if left is not None and right is not None:
        known = {ir.Xor: left != right, ir.And: left and right, ir.Or: left or right}
        return constant(I1, int(bool(known[type(op)])))
    if isinstance(op, ir.And) and 0 in bits:
        return _FALSE
    if isinstance(op, ir.Or) and 1 in bits:
        return _TRUE
    return None


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size
