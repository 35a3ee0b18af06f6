"""One kernel as an LLVM function that runs one program of the grid.

Ops are visited in program order. Scalar ops are emitted where they stand; tile ops become roots
that are collected into groups of one iteration space, and each group becomes one loop nest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import (
    ElementType,
    ScalarType,
    TileType,
    element_type,
)
from canopy.passes.memory import WRITES
from canopy.targets.cpu import control, conversions, diagnostics, memory
from canopy.targets.cpu.arithmetic import constant_of, emit_elementwise
from canopy.targets.cpu.atomics import AtomicRoot, emit_scalar_atomic
from canopy.targets.cpu.buffers import Buffer
from canopy.targets.cpu.clock import emit_clock
from canopy.targets.cpu.combine import is_lane_by_lane
from canopy.targets.cpu.features import Machine
from canopy.targets.cpu.histogram import emit_histogram
from canopy.targets.cpu.llvm import (
    I1,
    I8,
    I32,
    I64,
    LLValue,
    as_pointer,
    constant,
    in_entry_block,
)
from canopy.targets.cpu.native_calls import emit_native_call
from canopy.targets.cpu.nest import Nest, Root
from canopy.targets.cpu.packing import LeftOperand, RightOperand
from canopy.targets.cpu.patterns import SLACK_BYTES
from canopy.targets.cpu.plan import KernelPlan, is_inline, loads_reached
from canopy.targets.cpu.prefetch import PrefetchPlan, streams_of
from canopy.targets.cpu.private_sums import SumRoot, place_of, size_of
from canopy.targets.cpu.products import emit_dot
from canopy.targets.cpu.roots import (
    AnyLaneRoot,
    KeepRoot,
    ReduceRoot,
    ScanRoot,
    StoreRoot,
    reduce_root,
)
from canopy.targets.cpu.runs import Run, split_into_runs
from canopy.targets.cpu.strides import has_lower_bound, is_row_major
from canopy.targets.cpu.strips import emit_run
from canopy.targets.cpu.table_rows import table_rows
from canopy.targets.cpu.waiting import WAITING, emit_waiting

__all__ = ["Program"]

ALIGNMENT = 64
# A strip is this many vector registers wide: independent chains hide the latency of arithmetic.
VECTORS_PER_STRIP = 4
MAX_SCAN_LANES = 16
MOST_VECTORS = 24  # of the roots of one nest
# A last axis that is shorter fills no vector.
SHORT_AXIS = 8
_KEPT_OPERAND = (ir.For, ir.While, ir.If)
_LANE_TO_LANE = (
    *(ir.Binary, ir.Compare, ir.Select, ir.MathCall, ir.Fma, ir.Clamp),
    *(ir.Cast, ir.Bitcast, ir.Offset, ir.Load),
)


class Program:
    """Emits the body of (args, grid, pid x, y, z, scratch, streaming) -> i32 error code."""

    def __init__(
        self, kernel: ir.Kernel, plan: KernelPlan, function: Any, machine: Machine
    ) -> None:
        self.kernel = kernel
        self.plan = plan
        self.prefetches = PrefetchPlan.of(kernel, plan)
        self.function = function
        self.machine = machine
        self.vector_bytes = machine.vector_bytes
        self.module = function.module
        self.builder = ll.IRBuilder(function.append_basic_block("entry"))
        self.args, self.grid, *self.ids, self.scratch, self.streaming = function.args
        self.scratch_bytes = 0
        self._scratch_top = 0
        # Memory that keeps its contents from program to program, behind the scratch memory: its
        # begin is known when the program is emitted.
        self.kept_tables: list[tuple[int, int]] = []  # offset and bytes to clear
        self._kept_begin = ll.Constant(I64, 0)
        self._kept_bytes = 0
        self.scalars: dict[ir.Value, LLValue] = {}
        self.buffers: dict[ir.Value, Buffer] = {}
        self.targets: dict[ir.Value, Buffer] = {}
        self.sums: dict[ir.Op, int] = {}  # private sums, and where in scratch memory they lie
        # Operands of dots that a loop around them has packed.
        self.packed: dict[ir.Dot, tuple[LeftOperand | None, RightOperand | None]] = {}
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
        self.scratch_bytes += SLACK_BYTES if self.scratch_bytes else 0
        self._kept_begin.constant = self.scratch_bytes
        self.scratch_bytes += self._kept_bytes

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

    @contextmanager
    def scratch_scope(self) -> Iterator[None]:
        """Scratch memory taken inside serves others behind it: for regions, whose values end there.

        What siblings share stays in the cache.
        """
        top = self._scratch_top
        yield
        self._scratch_top = top

    def reserve_bytes(self, size: int) -> int:
        """The offset of ``size`` bytes that are taken of the scratch memory."""
        start = self._scratch_top
        self._scratch_top += (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        self.scratch_bytes = max(self.scratch_bytes, self._scratch_top)
        return start

    def allocate_bytes(self, size: int) -> LLValue:
        """The address of ``size`` bytes of scratch memory, in the entry block."""
        start = self.reserve_bytes(size)
        with in_entry_block(self.builder):
            return self.builder.gep(self.scratch, [constant(I64, start)], source_etype=I8)

    def keep_bytes(self, size: int) -> int:
        """The offset of ``size`` bytes that are taken of the memory kept between programs."""
        start = self._kept_bytes
        self._kept_bytes += (size + ALIGNMENT - 1) // ALIGNMENT * ALIGNMENT
        return start

    @property
    def kept_offset(self) -> int:
        """Where kept memory begins in the scratch memory of an emitted program."""
        return int(self._kept_begin.constant)

    def kept_address(self, offset: int) -> LLValue:
        """The address of kept memory, in the entry block."""
        with in_entry_block(self.builder):
            begin = self.builder.gep(self.scratch, [self._kept_begin], source_etype=I8)
            return self.builder.gep(begin, [constant(I64, offset)], source_etype=I8)

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

    def store_strip(self, op: ir.Store, pointer: LLValue, address: LLValue, value: LLValue) -> None:
        """A whole strip; past the caches if the launch writes more than they hold.

        What the kernel reads as well (a gradient that many programs add to) stays in the caches,
        and so do rows without their borders: lines stored past the caches next to others that are
        not take twice as long.
        """
        b = self.builder
        element = element_type(op.value.type)
        size = value.type.count * element.bytes
        is_read = self.plan.bases.of(op.pointer) in self.plan.bases.loaded
        if is_read or size % ALIGNMENT or element.bytes == 1 or has_lower_bound(op.mask):
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

    @contextmanager
    def streams_if(self, condition: LLValue | None) -> Iterator[None]:
        """Inside, stores go past the caches where the condition holds, too."""
        outside = self.streaming
        if condition is not None:
            self.streaming = self.builder.or_(outside, condition)
        yield
        self.streaming = outside

    # ---- blocks ----------------------------------------------------------------------------

    def block(self, ops: list[ir.Op]) -> None:
        """Emits ops in order, but for a terminator, which the caller handles."""
        for part in split_into_runs(self, ops):
            if isinstance(part, Run):
                emit_run(self, part)
            elif part.is_terminator:
                return
            else:
                self._op(part)

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
            case ir.AtomicRmw() if op in self.sums:
                self._sum(op)
            case ir.Dot():
                self.flush()
                emit_dot(self, op)
            case ir.AtomicRmw() | ir.AtomicCas() if op.pointer.is_tile:
                self._atomic(op)
            case ir.Histogram():
                emit_histogram(self, op)
            case ir.AnyLane():
                self.scalars[op.result] = self.any_lane(op.source)
            case _:
                self._scalar_op(op)

    def _scalar_op(self, op: ir.Op) -> None:
        touches = isinstance(
            op,
            (
                ir.Load,
                ir.Assert,
                ir.Print,
                ir.NativeCall,
                ir.Ordering,
                ir.Unsplat,
                *WRITES,
                *_KEPT_OPERAND,
            ),
        )
        if touches or any(v in self._pending_results for v in op.operands):
            self.flush()
        b = self.builder
        match op:
            case ir.For():
                control.emit_for(self, op)
            case ir.While():
                control.emit_while(self, op)
            case ir.If():
                control.emit_if(self, op)
            case ir.ProgramId():
                self.scalars[op.result] = self.ids[op.axis]
            case ir.NumPrograms():
                slot = b.gep(self.grid, [constant(I64, op.axis)], source_etype=I32)
                self.scalars[op.result] = b.load(slot, typ=I32)
            case ir.Clock():
                self.scalars[op.result] = emit_clock(b)
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
            case _ if isinstance(op, WAITING):
                emit_waiting(self, op)
            case ir.Assert():
                diagnostics.emit_assert(self, op)
            case ir.Print():
                diagnostics.emit_print(self, op)
            case ir.NativeCall():
                emit_native_call(self, op)
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
                    if self._conflicts(store, load, same):
                        return True
        if not isinstance(root, StoreRoot):
            return False
        for other in self._pending:
            if isinstance(other, StoreRoot) and self._conflicts(root.op, other.op, same=True):
                return True
            for value in other.inputs():
                for load, same in loads_reached(self.plan, value):
                    if self._conflicts(root.op, load, same):
                        return True
        return False

    def _conflicts(self, store: ir.Store, other: ir.Load | ir.Store, same: bool) -> bool:
        """Whether a store and another access in one nest may meet out of order; ``same``: the
        access is on the store's own lane."""
        lanes_are_threads = self.kernel.block is not None
        if same and lanes_are_threads and not (store.volatile or other.volatile):
            return False  # a thread's accesses stay in order; between barriers others' have none
        if not self.plan.may_alias(other.pointer, store.pointer):
            return False
        return not (same and other.pointer is store.pointer and self.plan.is_distinct(store))

    def flush(self) -> None:
        """Emits the pending group as one loop nest."""
        roots, self._pending = self._pending, []
        if not roots:
            return
        shape = self._pending_shape
        reduce_axis = next((r.reduce_axis for r in roots if r.reduce_axis is not None), None)
        merged = self._merged_axes(shape, reduce_axis, roots)
        if merged:
            lane_axis = len(shape) - merged
            lanes = self._lanes(math.prod(shape[lane_axis:]), roots)
        else:
            lane_axis = self._lane_axis(shape, roots)
            lanes = self._lanes(shape[lane_axis], roots)
        nest = Nest(self, shape, lane_axis, lanes, reduce_axis, merged)
        ops = [root.op for root in roots if root.op is not None]
        inputs = [value for root in roots for value in root.inputs()]
        nest.streams = [*streams_of(self, ops, shape), *table_rows(self.plan, nest, inputs)]
        nest.run(roots)
        for root in roots:
            if isinstance(root, ReduceRoot) and root.buffers is None:
                self.scalars.update(zip(root.op.results, root.scalars, strict=True))
        self.buffers.update(self._pending_buffers)
        self._pending_buffers.clear()
        self._pending_results.clear()

    def _merged_axes(
        self, shape: tuple[int, ...], reduce_axis: int | None, roots: list[Root]
    ) -> int:
        """How many of the last axes are walked as one, since each is shorter than a vector."""
        if shape[-1] >= SHORT_AXIS:
            return 0
        if max(shape) >= SHORT_AXIS and not all(self._is_row_major(root) for root in roots):
            return 0
        count, size = 0, 1
        enough = self.vector_bytes // 4 * VECTORS_PER_STRIP
        for axis in range(len(shape) - 1, -1, -1):
            if axis == reduce_axis or shape[axis] & (shape[axis] - 1) or size >= enough:
                break
            count, size = count + 1, size * shape[axis]
        return count if count > 1 and size > max(shape) else 0

    def _is_row_major(self, root: Root) -> bool:
        """Whether the root writes its lanes side by side in row-major order."""
        if isinstance(root, StoreRoot):
            return is_row_major(root.op.pointer, element_type(root.op.value.type).bytes)
        return isinstance(root, (KeepRoot, AnyLaneRoot, SumRoot))

    def _lane_axis(self, shape: tuple[int, ...], roots: list[Root]) -> int:
        last = len(shape) - 1
        if shape[last] >= SHORT_AXIS or any(self._needs_lane_order(root) for root in roots):
            return last
        return max(range(len(shape)), key=lambda axis: (shape[axis], axis))

    def _lanes(self, extent: int, roots: list[Root]) -> int:
        combining = [r.op.combine for r in roots if isinstance(r, (ReduceRoot, ScanRoot))]
        if not all(is_lane_by_lane(region) for region in combining):
            return 1
        row = max((self.plan.exchanged_row(v) for root in roots for v in root.inputs()), default=0)
        if row and extent % row == 0:
            return row
        widest = max((_widest(root) for root in roots), default=4)
        limit = min(self.vector_bytes // 4 * VECTORS_PER_STRIP, self.vector_bytes * 8 // widest)
        if any(isinstance(root, ScanRoot) for root in roots):
            limit = min(limit, MAX_SCAN_LANES)
        limit = self._within_registers(self._within_periods(limit, roots), len(roots))
        lanes = 1
        while lanes * 2 <= limit and extent % (lanes * 2) == 0:
            lanes *= 2
        return lanes

    def _within_periods(self, limit: int, roots: list[Root]) -> int:
        """As many lanes as fit the periods of the indices: a warp, where lanes are numbered by
        `threadIdx.x % 32`. Shorter than a vector is not worth it."""
        shortest = self.vector_bytes // 4
        periods = [self.plan.shortest_period(v) for root in roots for v in root.inputs()]
        fitting = [p & -p for p in periods if p & -p >= shortest]
        return min([limit, *fitting])

    def _within_registers(self, limit: int, roots: int) -> int:
        """Many roots have one vector each at a time, that sums stay in registers."""
        shortest = self.vector_bytes // 4
        while limit > shortest and roots * limit // shortest > MOST_VECTORS:
            limit //= 2
        return limit

    # ---- roots -----------------------------------------------------------------------------

    def _reduce(self, op: ir.Reduce) -> None:
        shape = op.sources[0].shape
        buffers = None
        if op.result_types() and isinstance(op.results[0].type, TileType):
            buffers = [self.result_buffer(result) for result in op.results]
        self._add_root(reduce_root(op, buffers), shape)
        self._pending_results.update(op.results)
        if buffers is not None:
            self._pending_buffers.extend(zip(op.results, buffers, strict=True))

    def _scan(self, op: ir.Scan) -> None:
        buffers = [self.result_buffer(result) for result in op.results]
        self._add_root(ScanRoot(op, buffers, reduce_axis=op.axis), op.sources[0].shape)
        self._pending_results.update(op.results)
        self._pending_buffers.extend(zip(op.results, buffers, strict=True))
        self.flush()

    def reserve_sum(self, op: ir.AtomicRmw) -> None:
        """Has an atomic addition made to scratch memory instead; the entry does the rest."""
        self.sums[op] = self.reserve_bytes(size_of(op))

    def _sum(self, op: ir.AtomicRmw) -> None:
        with in_entry_block(self.builder):
            buffer = place_of(self.builder, self.scratch, self.sums[op], op)
        if op.value.is_tile:
            self._add_root(SumRoot(op, buffer), op.value.shape)
            return
        if any(value in self._pending_results for value in op.operands):
            self.flush()
        b, fresh = self.builder, self.scalar(op.value)
        held = memory.load_scalar(b, buffer.address, buffer.element)
        total = emit_elementwise(b, ir.Add(lhs=op.value, rhs=op.value), [held, fresh])
        if op.mask is not None:
            total = b.select(self.scalar(op.mask), total, held)
        b.store(total, buffer.address)

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

    def copy_to(self, value: ir.Value, buffer: Buffer) -> None:
        """Has a tile written to a buffer; the caller flushes."""
        self._add_root(KeepRoot(value, buffer), value.shape)


def _widest(root: Root) -> int:
    """Bytes of the widest data element that a root computes (addresses are scalars mostly)."""
    widths = [element_type(v.type).bytes for v in root.inputs() if not _is_address(v)]
    return max(widths, default=4)


def _is_address(value: ir.Value) -> bool:
    return not isinstance(element_type(value.type), ScalarType)
