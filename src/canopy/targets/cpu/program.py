"""One kernel as an LLVM function that runs one program of the grid.

Ops are visited in program order. Scalar ops are emitted where they stand; tile ops become roots
that are collected into groups of one iteration space, and each group becomes one loop nest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ll

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.ir import types
from canopy.ir.types import (
    F32,
    ElementType,
    ScalarType,
    TileType,
    element_type,
    is_float,
    is_signed,
)
from canopy.passes.memory import WRITES
from canopy.targets.cpu import conversions, diagnostics, memory
from canopy.targets.cpu.arithmetic import constant_of, emit_elementwise, widen_index
from canopy.targets.cpu.atomics import AtomicRoot, emit_scalar_atomic
from canopy.targets.cpu.dot import dot_function
from canopy.targets.cpu.llvm import (
    I1,
    I8,
    I32,
    I64,
    POINTER,
    LLValue,
    as_pointer,
    constant,
    counted_loop,
    in_entry_block,
)
from canopy.targets.cpu.nest import Nest, Root
from canopy.targets.cpu.plan import KernelPlan, is_inline, loads_reached
from canopy.targets.cpu.roots import (
    AnyLaneRoot,
    KeepRoot,
    ReduceRoot,
    ScanRoot,
    StoreRoot,
    is_lane_by_lane,
)

__all__ = ["Buffer", "Program"]

ALIGNMENT = 64
# A strip is this many vector registers wide: independent chains hide the latency of arithmetic.
VECTORS_PER_STRIP = 4
MAX_SCAN_LANES = 16
_KEPT_OPERAND = (ir.For, ir.While, ir.If)
_LANE_TO_LANE = (
    *(ir.Binary, ir.Compare, ir.Select, ir.MathCall, ir.Fma, ir.Clamp),
    *(ir.Cast, ir.Bitcast, ir.Offset, ir.Load),
)


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """A tile in the program's scratch memory, row-major."""

    address: LLValue
    shape: tuple[int, ...]
    element: ElementType

    @property
    def bytes(self) -> int:
        size = self.element.bytes
        for extent in self.shape:
            size *= extent
        return size


class Program:
    """Emits the body of (args, grid, pid x, y, z, scratch, streaming) -> i32 error code."""

    def __init__(
        self, kernel: ir.Kernel, plan: KernelPlan, function: Any, vector_bytes: int
    ) -> None:
        self.kernel = kernel
        self.plan = plan
        self.function = function
        self.vector_bytes = vector_bytes
        self.module = function.module
        self.builder = ll.IRBuilder(function.append_basic_block("entry"))
        self.args, self.grid, *self.ids, self.scratch, self.streaming = function.args
        self.scratch_bytes = 0
        self.scalars: dict[ir.Value, LLValue] = {}
        self.buffers: dict[ir.Value, Buffer] = {}
        self.targets: dict[ir.Value, Buffer] = {}
        self._pending: list[Root] = []
        self._pending_shape: tuple[int, ...] = ()
        self._pending_results: set[ir.Value] = set()
        self._pending_buffers: list[tuple[ir.Value, Buffer]] = []

    def emit(self) -> None:
        """Emits the whole program."""
        for position, parameter in enumerate(self.kernel.parameters):
            self.scalars[parameter.value] = self._argument(
                position, element_type(parameter.value.type)
            )
        body = self.function.append_basic_block("body")
        self.builder.branch(body)
        self.builder.position_at_end(body)
        self.block(self.kernel.body.ops)
        self.flush()
        self.builder.ret(constant(I32, 0))

    def _argument(self, position: int, element: ElementType) -> LLValue:
        slot = self.builder.gep(self.args, [constant(I64, position * 8)], source_etype=I8)
        return memory.load_scalar(self.builder, slot, element)

    # ---- values ----------------------------------------------------------------------------

    def scalar(self, value: ir.Value) -> LLValue:
        """The LLVM value of a scalar."""
        return self.scalars[value]

    def buffer_of(self, value: ir.Value) -> Buffer | None:
        """Where a tile is kept, if it is."""
        return self.buffers.get(value)

    def allocate(self, type_: TileType, element: ElementType | None = None) -> Buffer:
        """A new buffer in scratch memory."""
        element = element or type_.element
        address = self.allocate_bytes(type_.size * element.bytes)
        return Buffer(address, type_.shape, element)

    def allocate_bytes(self, size: int) -> LLValue:
        """The address of ``size`` bytes of scratch memory, in the entry block."""
        start = self.scratch_bytes
        self.scratch_bytes += (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        with in_entry_block(self.builder):
            return self.builder.gep(self.scratch, [constant(I64, start)], source_etype=I8)

    def result_buffer(self, value: ir.Value) -> Buffer:
        """Where a kept value goes: the place that a loop chose for it, or a new buffer."""
        buffer = self.targets.get(value)
        if buffer is None:
            assert isinstance(value.type, TileType)
            buffer = self.allocate(value.type)
        return buffer

    def alloca(self, type_: Any) -> LLValue:
        return memory.stack_slot(self.builder, type_)

    def load_masked_scalar(
        self, address: LLValue, element: ElementType, mask: LLValue, other: LLValue | None
    ) -> LLValue:
        """One element where mask holds; reads a safe place otherwise, to need no branch."""
        b = self.builder
        dummy = self.alloca(I64)
        safe = b.select(mask, as_pointer(b, address), dummy)
        raw = b.load(safe, typ=conversions.memory_type(element), align=element.bytes)
        value = memory.from_memory(b, raw, element)
        if other is None:
            return value
        return b.select(mask, value, other)

    def store_scalar(
        self, address: LLValue, value: LLValue, element: ElementType, mask: LLValue | None
    ) -> None:
        b = self.builder

        def store() -> None:
            b.store(
                memory.to_memory(b, value, element), as_pointer(b, address), align=element.bytes
            )

        if mask is None:
            store()
            return
        with b.if_then(mask):
            store()

    def store_strip(
        self, pointer: LLValue, address: LLValue, value: LLValue, element: ElementType
    ) -> None:
        """A whole strip; past the caches if the launch writes more than they hold."""
        b = self.builder
        size = value.type.count * element.bytes
        if size % ALIGNMENT or element.bytes == 1:
            memory.store_contiguous(b, pointer, value, element)
            return
        aligned = b.icmp_unsigned(
            "==", b.and_(address, constant(I64, ALIGNMENT - 1)), constant(I64, 0)
        )
        with b.if_else(b.and_(aligned, self.streaming)) as (then, otherwise):
            with then:
                store = b.store(value, pointer, align=ALIGNMENT)
                store.set_metadata("nontemporal", self.module.add_metadata([constant(I32, 1)]))
            with otherwise:
                memory.store_contiguous(b, pointer, value, element)

    # ---- blocks ----------------------------------------------------------------------------

    def block(self, ops: list[ir.Op]) -> None:
        """Emits ops in order, but for a terminator, which the caller handles."""
        for op in ops:
            if op.is_terminator:
                return
            self._op(op)

    def _op(self, op: ir.Op) -> None:
        if is_inline(op):
            for result in op.results:
                if self.plan.is_kept(result) or result in self.plan.dual:
                    self._keep(result)
            return
        match op:
            case ir.Reduce():
                self._reduce(op)
            case ir.Scan():
                self._scan(op)
            case ir.Store() if op.pointer.is_tile:
                self._add_root(StoreRoot(op), op.pointer.shape)
            case ir.Dot():
                self.flush()
                self._dot(op)
            case ir.AtomicRmw() | ir.AtomicCas() if op.pointer.is_tile:
                self._atomic(op)
            case ir.Histogram():
                self._histogram(op)
            case ir.AnyLane():
                self.scalars[op.result] = self.any_lane(op.source)
            case _:
                self._scalar_op(op)

    def _scalar_op(self, op: ir.Op) -> None:
        touches = isinstance(
            op, (ir.Load, ir.Assert, ir.Print, ir.Barrier, ir.Unsplat, *WRITES, *_KEPT_OPERAND)
        )
        if touches or any(v in self._pending_results for v in op.operands):
            self.flush()
        b = self.builder
        match op:
            case ir.For():
                self._for(op)
            case ir.While():
                self._while(op)
            case ir.If():
                self._if(op)
            case ir.ProgramId():
                self.scalars[op.result] = self.ids[op.axis]
            case ir.NumPrograms():
                slot = b.gep(self.grid, [constant(I64, op.axis)], source_etype=I32)
                self.scalars[op.result] = b.load(slot, typ=I32)
            case ir.Constant():
                self.scalars[op.result] = constant_of(element_type(op.type), op.value)
            case ir.Load():
                self._scalar_load(op)
            case ir.Store():
                mask = self.scalar(op.mask) if op.mask else None
                element = element_type(op.value.type)
                self.store_scalar(self.scalar(op.pointer), self.scalar(op.value), element, mask)
            case ir.AtomicRmw() | ir.AtomicCas():
                self.scalars[op.result] = emit_scalar_atomic(self, op)
            case ir.Unsplat():
                self._unsplat(op)
            case ir.Split():
                self._split_to_scalars(op)
            case ir.Scratch():
                self.scalars[op.result] = b.ptrtoint(self.allocate_bytes(op.bytes), I64)
            case ir.Barrier():
                pass  # one thread walks all lanes; the flush above ordered them
            case ir.Assert():
                diagnostics.emit_assert(self, op)
            case ir.Print():
                diagnostics.emit_print(self, op)
            case _:
                self.scalars[op.result] = emit_elementwise(
                    b, op, [self.scalar(v) for v in op.operands]
                )

    def _scalar_load(self, op: ir.Load) -> None:
        address = self.scalar(op.pointer)
        if op.mask is None:
            loaded = memory.load_scalar(self.builder, as_pointer(self.builder, address), op.type)
        else:
            other = self.scalar(op.other) if op.other else None
            loaded = self.load_masked_scalar(address, op.type, self.scalar(op.mask), other)
        self.scalars[op.result] = loaded

    def _unsplat(self, op: ir.Unsplat) -> None:
        buffer = self.kept_buffer(op.source)
        self.scalars[op.result] = memory.load_scalar(self.builder, buffer.address, buffer.element)

    def _split_to_scalars(self, op: ir.Split) -> None:
        buffer = self.kept_buffer(op.source)
        type_ = conversions.memory_type(buffer.element)
        for i, result in enumerate(op.results):
            pointer = self.builder.gep(buffer.address, [constant(I64, i)], source_etype=type_)
            self.scalars[result] = memory.load_scalar(self.builder, pointer, buffer.element)

    def kept_buffer(self, value: ir.Value, element: ElementType | None = None) -> Buffer:
        """A buffer that holds the value now (in ``element`` if given), made if it is not kept."""
        known = self.buffers.get(value)
        wanted = element or element_type(value.type)
        if known is not None and known.element == wanted:
            self.flush()
            return known
        assert isinstance(value.type, TileType)
        buffer = self.allocate(value.type, wanted)
        self._add_root(KeepRoot(value, buffer), value.shape)
        self.flush()
        return buffer

    # ---- groups ----------------------------------------------------------------------------

    def _keep(self, value: ir.Value) -> None:
        buffer = self.result_buffer(value)
        self._add_root(KeepRoot(value, buffer), value.shape)
        self._pending_results.add(value)
        self._pending_buffers.append((value, buffer))

    def _add_root(self, root: Root, shape: tuple[int, ...]) -> None:
        if self._pending and not self._joins(root, shape):
            self.flush()
        self._pending.append(root)
        self._pending_shape = shape

    def _joins(self, root: Root, shape: tuple[int, ...]) -> bool:
        if shape != self._pending_shape or isinstance(root, (ScanRoot, AtomicRoot)):
            return False
        axes = {r.reduce_axis for r in [*self._pending, root]} - {None}
        if len(axes) > 1 or any(isinstance(r, (ScanRoot, AtomicRoot)) for r in self._pending):
            return False
        if any(self._reads_pending(value) for value in root.inputs()):
            return False
        if axes - {len(shape) - 1} and any(
            self._needs_lane_order(r) for r in [*self._pending, root]
        ):
            return False
        return not self._memory_conflict(root)

    def _needs_lane_order(self, root: Root) -> bool:
        """Whether the root must run in row-major order: its lanes may touch the same memory."""
        if isinstance(root, StoreRoot):
            return not self.plan.is_distinct(root.op)
        return isinstance(root, AtomicRoot)

    def _reads_pending(self, value: ir.Value) -> bool:
        """Whether the value reads a result of the pending group other than lane to lane."""
        kept = {r.value for r in self._pending if isinstance(r, KeepRoot)}
        seen: set[tuple[ir.Value, bool]] = set()

        def visit(current: ir.Value, same: bool) -> bool:
            if (current, same) in seen:
                return False
            seen.add((current, same))
            if current in self._pending_results:
                return not (same and current in kept)
            op = current.op
            if not current.is_tile or not is_inline(op) or current in self.buffers:
                return False
            assert op is not None
            lane_to_lane = isinstance(op, _LANE_TO_LANE)
            return any(visit(v, same and lane_to_lane) for v in op.operands)

        return visit(value, True)

    def _memory_conflict(self, root: Root) -> bool:
        stores = [r.op for r in self._pending if isinstance(r, StoreRoot)]
        for store in stores:
            for value in root.inputs():
                for load, same in loads_reached(self.plan, value):
                    if self._conflicts(store, load.pointer, same):
                        return True
        if not isinstance(root, StoreRoot):
            return False
        for other in self._pending:
            if isinstance(other, StoreRoot):
                if self._conflicts(root.op, other.op.pointer, same=True):
                    return True
                continue
            for value in other.inputs():
                for load, same in loads_reached(self.plan, value):
                    if self._conflicts(root.op, load.pointer, same):
                        return True
        return False

    def _conflicts(self, store: ir.Store, pointer: ir.Value, same: bool) -> bool:
        """Whether a store and another access in one nest may meet out of order; ``same``: the
        access is on the store's own lane."""
        if not self.plan.may_alias(pointer, store.pointer):
            return False
        return not (same and pointer is store.pointer and self.plan.is_distinct(store))

    def flush(self) -> None:
        """Emits the pending group as one loop nest."""
        roots, self._pending = self._pending, []
        if not roots:
            return
        shape = self._pending_shape
        reduce_axis = next((r.reduce_axis for r in roots if r.reduce_axis is not None), None)
        lane_axis = self._lane_axis(shape, roots)
        lanes = self._lanes(shape[lane_axis], roots)
        nest = Nest(self, shape, lane_axis, lanes, reduce_axis)
        nest.run(roots)
        for root in roots:
            if isinstance(root, ReduceRoot) and root.buffers is None:
                self.scalars.update(zip(root.op.results, root.scalars, strict=True))
        self.buffers.update(self._pending_buffers)
        self._pending_buffers.clear()
        self._pending_results.clear()

    def _lane_axis(self, shape: tuple[int, ...], roots: list[Root]) -> int:
        last = len(shape) - 1
        if shape[last] >= 8 or any(self._needs_lane_order(root) for root in roots):
            return last
        return max(range(len(shape)), key=lambda axis: (shape[axis], axis))

    def _lanes(self, extent: int, roots: list[Root]) -> int:
        combining = [r.op.combine for r in roots if isinstance(r, (ReduceRoot, ScanRoot))]
        if not all(is_lane_by_lane(region) for region in combining):
            return 1
        widest = max((_widest(root) for root in roots), default=4)
        limit = min(self.vector_bytes // 4 * VECTORS_PER_STRIP, self.vector_bytes * 8 // widest)
        if any(isinstance(root, ScanRoot) for root in roots):
            limit = min(limit, MAX_SCAN_LANES)
        lanes = 1
        while lanes * 2 <= limit and extent % (lanes * 2) == 0:
            lanes *= 2
        return lanes

    # ---- roots -----------------------------------------------------------------------------

    def _reduce(self, op: ir.Reduce) -> None:
        shape = op.sources[0].shape
        buffers = None
        if op.result_types() and isinstance(op.results[0].type, TileType):
            buffers = [self.result_buffer(result) for result in op.results]
        self._add_root(ReduceRoot(op, buffers, reduce_axis=op.axis), shape)
        self._pending_results.update(op.results)
        if buffers is not None:
            self._pending_buffers.extend(zip(op.results, buffers, strict=True))

    def _scan(self, op: ir.Scan) -> None:
        buffers = [self.result_buffer(result) for result in op.results]
        self._add_root(ScanRoot(op, buffers, reduce_axis=op.axis), op.sources[0].shape)
        self._pending_results.update(op.results)
        self._pending_buffers.extend(zip(op.results, buffers, strict=True))
        self.flush()

    def _atomic(self, op: ir.AtomicRmw | ir.AtomicCas) -> None:
        buffer = self.result_buffer(op.result)
        self._add_root(AtomicRoot(op, buffer), op.pointer.shape)
        self._pending_results.add(op.result)
        self._pending_buffers.append((op.result, buffer))
        self.flush()

    def any_lane(
        self, value: ir.Value, mask: ir.Value | None = None, *, negate: bool = False
    ) -> LLValue:
        """Whether some (active) lane is true, or false with ``negate``."""
        self.flush()
        slot = self.alloca(I1)
        self.builder.store(constant(I1, 0), slot)
        self._add_root(AnyLaneRoot(value, slot, mask, negate), value.shape)
        self.flush()
        return self.builder.load(slot, typ=I1)

    def _histogram(self, op: ir.Histogram) -> None:
        b = self.builder
        source = self.kept_buffer(op.source)
        mask = self.kept_buffer(op.mask) if op.mask is not None else None
        result = self.result_buffer(op.result)
        type_ = conversions.memory_type(source.element)
        with counted_loop(b, constant(I64, op.bins), "bins") as i:
            b.store(constant(I32, 0), b.gep(result.address, [i], source_etype=I32))
        with counted_loop(b, constant(I64, op.source.shape[0]), "count") as i:
            raw = b.load(b.gep(source.address, [i], source_etype=type_), typ=type_)
            index = widen_index(b, raw, op.source)
            counted = b.icmp_unsigned("<", index, constant(I64, op.bins))
            if mask is not None:
                on = memory.load_scalar(b, b.gep(mask.address, [i], source_etype=I8), mask.element)
                counted = b.and_(counted, on)
            with b.if_then(counted):
                slot = b.gep(result.address, [index], source_etype=I32)
                b.store(b.add(b.load(slot, typ=I32), constant(I32, 1)), slot)
        self.buffers[op.result] = result

    def _dot(self, op: ir.Dot) -> None:
        element = element_type(op.acc.type)
        assert isinstance(element, ScalarType)
        inner = F32 if is_float(element) and element.bits < 32 else element
        if inner.kind == "int" and inner != types.I32:
            raise UnsupportedError(f"tl.dot cannot accumulate in {inner}", location=op.location)
        lhs, rhs = self.kept_buffer(op.lhs, inner), self.kept_buffer(op.rhs, inner)
        acc = self.kept_buffer(op.acc, inner)
        result = self.result_buffer(op.result)
        assert isinstance(op.acc.type, TileType)
        total = result if inner == element else self.allocate(op.acc.type, inner)
        *batch, m, n = op.acc.shape
        k = op.lhs.shape[-1]
        function = dot_function(self.module, inner, (m, n, k), self.vector_bytes)
        self._call_dot(function, [lhs, rhs, acc, total], batch[0] if batch else 1, inner)
        self.buffers[op.result] = result
        if inner != element:
            self._round_buffer(total, result)

    def _call_dot(
        self, function: Any, tiles: list[Buffer], batches: int, element: ScalarType
    ) -> None:
        b = self.builder
        if batches == 1:
            b.call(function, [tile.address for tile in tiles])
            return
        with counted_loop(b, constant(I64, batches), "batch") as i:
            places = []
            for tile in tiles:
                size = tile.shape[-1] * tile.shape[-2] * element.bytes
                places.append(b.gep(tile.address, [b.mul(i, constant(I64, size))], source_etype=I8))
            b.call(function, places)

    def _round_buffer(self, source: Buffer, target: Buffer) -> None:
        b = self.builder
        size = 1
        for extent in source.shape:
            size *= extent
        with counted_loop(b, constant(I64, size), "round") as i:
            wide = b.load(
                b.gep(source.address, [i], source_etype=ll.FloatType()), typ=ll.FloatType()
            )
            assert isinstance(target.element, ScalarType)
            narrow = conversions.from_float(b, wide, target.element, "rtne")
            b.store(
                narrow,
                b.gep(target.address, [i], source_etype=conversions.memory_type(target.element)),
            )

    # ---- control flow ----------------------------------------------------------------------

    def copy_to(self, value: ir.Value, buffer: Buffer) -> None:
        """Has a tile written to a buffer; the caller flushes."""
        self._add_root(KeepRoot(value, buffer), value.shape)

    def _for(self, op: ir.For) -> None:
        carried = _Carried(self, op.initial, op.body.args[1:])
        b = self.builder
        counter = self.alloca(self.scalar(op.lower).type)
        b.store(self.scalar(op.lower), counter)
        head, body, after = (
            b.function.append_basic_block(f"for.{part}") for part in ("head", "body", "end")
        )
        b.branch(head)
        b.position_at_end(head)
        current = b.load(counter, typ=counter.allocated_type)
        compare = b.icmp_signed if is_signed(op.lower.type) else b.icmp_unsigned
        b.cbranch(compare("<", current, self.scalar(op.upper)), body, after)
        b.position_at_end(body)
        self.scalars[op.body.args[0]] = current
        carried.enter(op.body)
        self.block(op.body.ops)
        terminator = op.body.terminator
        assert isinstance(terminator, ir.Yield)
        carried.advance(terminator.values)
        b.store(b.add(current, self.scalar(op.step)), counter)
        b.branch(head)
        b.position_at_end(after)
        carried.finish(op.results)

    def _while(self, op: ir.While) -> None:
        carried = _Carried(self, op.initial, op.before.args)
        b = self.builder
        head, body, after = (
            b.function.append_basic_block(f"while.{part}") for part in ("head", "body", "end")
        )
        b.branch(head)
        b.position_at_end(head)
        carried.enter(op.body)
        self.block(op.before.ops)
        condition = op.before.terminator
        assert isinstance(condition, ir.Condition)
        self.flush()
        passed = [self._pass_on(value) for value in condition.values]
        b.cbranch(self.scalar(condition.condition), body, after)
        b.position_at_end(body)
        for argument, content in zip(op.body.args, passed, strict=True):
            self._bind(argument, content)
        self.block(op.body.ops)
        terminator = op.body.terminator
        assert isinstance(terminator, ir.Yield)
        carried.advance(terminator.values)
        b.branch(head)
        b.position_at_end(after)
        for result, content in zip(op.results, passed, strict=True):
            self._bind(result, content)

    def _pass_on(self, value: ir.Value) -> LLValue | Buffer:
        return self.kept_buffer(value) if value.is_tile else self.scalar(value)

    def _bind(self, value: ir.Value, content: LLValue | Buffer) -> None:
        if isinstance(content, Buffer):
            self.buffers[value] = content
        else:
            self.scalars[value] = content

    def _if(self, op: ir.If) -> None:
        b = self.builder
        places: list[Any] = []
        for result in op.results:
            if isinstance(result.type, TileType):
                places.append(self.allocate(result.type))
            else:
                places.append(self.alloca(conversions.llvm_type(result.type)))
        then, otherwise, after = (
            b.function.append_basic_block(f"if.{part}") for part in ("then", "else", "end")
        )
        b.cbranch(self.scalar(op.condition), then, otherwise)
        for block, region in ((then, op.then_region), (otherwise, op.else_region)):
            b.position_at_end(block)
            self.block(region.ops)
            if region.ops and isinstance(region.terminator, ir.Yield):
                for value, place in zip(region.terminator.values, places, strict=True):
                    if isinstance(place, Buffer):
                        self.copy_to(value, place)
                self.flush()
                for value, place in zip(region.terminator.values, places, strict=True):
                    if not isinstance(place, Buffer):
                        b.store(self.scalar(value), place)
            self.flush()
            b.branch(after)
        b.position_at_end(after)
        for result, place in zip(op.results, places, strict=True):
            if isinstance(place, Buffer):
                self.buffers[result] = place
            else:
                self.scalars[result] = b.load(place, typ=place.allocated_type)


class _Carried:
    """What a loop carries: scalars in stack slots, tiles in two buffers that swap roles."""

    def __init__(
        self, program: Program, initial: tuple[ir.Value, ...], args: tuple[ir.Value, ...]
    ) -> None:
        self.program = program
        self.args = args
        self.slots: list[LLValue] = []
        self.buffers: list[tuple[Buffer, LLValue, LLValue] | None] = []
        b = program.builder
        pairs: list[Buffer | None] = []
        for value in initial:
            if isinstance(value.type, TileType):
                made = program.allocate(value.type)
                program.copy_to(value, made)
                pairs.append(made)
            else:
                pairs.append(None)
        program.flush()
        for value, first in zip(initial, pairs, strict=True):
            if first is None:
                slot = program.alloca(conversions.llvm_type(element_type(value.type)))
                b.store(program.scalar(value), slot)
                self.slots.append(slot)
                self.buffers.append(None)
                continue
            assert isinstance(value.type, TileType)
            second = program.allocate(value.type)
            now, following = program.alloca(POINTER), program.alloca(POINTER)
            b.store(first.address, now)
            b.store(second.address, following)
            self.slots.append(now)
            self.buffers.append((first, now, following))
        self._next: list[Buffer | None] = []

    def enter(self, body: ir.Region) -> None:
        """At the loop's head: binds the arguments, and has yielded values made in place."""
        b = self.program.builder
        self._next = []
        yielded = body.terminator.operands if body.ops else ()
        for i, (argument, slot, pair) in enumerate(
            zip(self.args, self.slots, self.buffers, strict=True)
        ):
            if pair is None:
                self.program.scalars[argument] = b.load(slot, typ=slot.allocated_type)
                self._next.append(None)
                continue
            first, now, following = pair
            self.program.buffers[argument] = Buffer(
                b.load(now, typ=POINTER), first.shape, first.element
            )
            target = Buffer(b.load(following, typ=POINTER), first.shape, first.element)
            self._next.append(target)
            value = yielded[i] if i < len(yielded) else None
            if value is not None and value.op in body.ops and value not in self.program.targets:
                if is_inline(value.op) and not self.program.plan.is_kept(value):
                    continue
                if isinstance(value.op, (ir.For, ir.While, ir.If)) or yielded.count(value) > 1:
                    continue
                self.program.targets[value] = target

    def advance(self, values: tuple[ir.Value, ...]) -> None:
        """At the loop's end: the yielded values become the carried ones."""
        program = self.program
        for value, argument, target in zip(values, self.args, self._next, strict=True):
            if (
                target is not None
                and value is not argument
                and program.targets.get(value) is not target
            ):
                program.copy_to(value, target)
        program.flush()
        b = program.builder
        scalars = [None if v.is_tile else program.scalar(v) for v in values]
        for value, argument, slot, pair, target, scalar in zip(
            values, self.args, self.slots, self.buffers, self._next, scalars, strict=True
        ):
            if pair is None:
                b.store(scalar, slot)
            elif value is not argument:
                assert target is not None
                _, now, following = pair
                b.store(program.buffers[argument].address, following)
                b.store(target.address, now)

    def finish(self, results: tuple[ir.Value, ...]) -> None:
        """Behind the loop: binds its results."""
        b = self.program.builder
        for result, slot, pair in zip(results, self.slots, self.buffers, strict=True):
            if pair is None:
                self.program.scalars[result] = b.load(slot, typ=slot.allocated_type)
            else:
                self.program.buffers[result] = Buffer(
                    b.load(slot, typ=POINTER), pair[0].shape, pair[0].element
                )


def _widest(root: Root) -> int:
    """Bytes of the widest data element that a root computes (addresses are scalars mostly)."""
    widths = [element_type(v.type).bytes for v in root.inputs() if not _is_address(v)]
    return max(widths, default=4)


def _is_address(value: ir.Value) -> bool:
    return not isinstance(element_type(value.type), ScalarType)
