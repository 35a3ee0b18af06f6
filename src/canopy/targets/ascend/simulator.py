"""Runs NPU programs: right results, and a verdict on every hazard.

    report = simulate(program, [x, out, 1000], grid=(512,), chip=load_chip("910b2"))

Programs of the grid are dealt out over the cores in turn: neighbours run at the same time on
different cores, and each core takes its own in ascending order. Instructions take effect in program
order, which is one of the orders that events allow; whether they allow others, in which a result
would differ, is what the hazards say (`happens`). What was done is recorded for the timing model
(`recorder`, `replay`).
"""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from canopy import ir
from canopy.errors import KernelError
from canopy.ir.interpreter import Interpreter
from canopy.ir.interpreter.memory import Allocation
from canopy.ir.interpreter.numeric import dtype_of, from_python
from canopy.ir.types import ElementType
from canopy.targets.ascend import fractals, vector_unit
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.costs import box
from canopy.targets.ascend.happens import Hazard, History, Order, Ranges
from canopy.targets.ascend.lanes import Lanes
from canopy.targets.ascend.npu import (
    ALL_GLOBAL,
    Assign,
    Barrier,
    Branch,
    Buffer,
    Combine,
    CopyIn,
    CopyMatrix,
    CopyOut,
    Fill,
    Fixpipe,
    Instruction,
    LaneFill,
    LaneLoop,
    LaneMemory,
    LaneMove,
    LoadMatrix,
    Loop,
    Matrix,
    Mmad,
    Move,
    Pipe,
    Program,
    ReadLane,
    SetEvent,
    Space,
    Vector,
    VectorCall,
    View,
    WaitEvent,
    WhileLoop,
    walk,
)
from canopy.targets.ascend.recorder import CoreTrace, Recorder
from canopy.targets.ascend.report import Report
from canopy.targets.ascend.scalars import Number, Poly, Register

__all__ = ["Simulator", "simulate"]

Array = np.ndarray[Any, Any]
_MOST_HAZARDS = 100
_BLOCK = 32
_PADDING = 256  # bytes: buffers end at whole repeats, and calls may work on what pads them
_MOST_ITEMS = 4096  # programs whose part of memory is kept for the L2


@dataclass(slots=True)
class Core:
    """The state of one core, and the blocks of what it has done."""

    registers: list[Any]
    order: Order
    memory: dict[Space, Array]
    history: dict[Space, History]
    blocks: list[int] = field(default_factory=list)
    programs: int = 0


def _taken(
    program: Program, grid: Sequence[int], cores: int
) -> tuple[Program, tuple[int, int, int], tuple[int, int, int]]:
    """What cores run, the grid, and the grid of what they are dealt."""
    x, y, z = (*map(int, grid), 1, 1, 1)[:3]  # the launch says where these are not 1 to 3
    whole = x, y, z
    merged = program.merged
    if merged is None or not merged.pays(whole, cores):
        return program, whole, whole
    return merged.program, whole, merged.unit.grid(whole)


def simulate(
    program: Program,
    args: Sequence[Any],
    grid: Sequence[int],
    chip: Chip,
    cores: int | None = None,
) -> Report:
    """Runs all programs of the grid on the arguments' own memory."""
    return Simulator(program, args, grid, chip, cores).run()


class Simulator:
    """One launch; programs run in the order of the grid, each core with buffers of its own."""

    mode = "functional"

    def __init__(
        self,
        program: Program,
        args: Sequence[Any],
        grid: Sequence[int],
        chip: Chip,
        cores: int | None = None,
    ) -> None:
        most = chip.cube_cores if program.uses_cube else chip.vector_cores
        self._program, self._grid, self._units = _taken(program, grid, cores or most)
        program = self._program
        self._chip = chip
        opaque = any(
            isinstance(op, ir.Bitcast | ir.Load) and ir.types.is_pointer(op.result.type)
            for op in ir.walk(program.kernel.body.ops)
        )
        launch = Interpreter(program.kernel, args, grid, check=not opaque)  # binds the arguments
        self._launch = launch
        self._lanes = Lanes(
            launch._memory, launch.grid, dict(launch._values), launch._origins, launch._sources
        )
        self.cores = min(cores or most, self.programs) or 1
        self._registers: list[Any] = [0] * program.registers
        self._arguments = [
            launch._values[parameter.value] for parameter in program.kernel.parameters
        ]
        self._shared = _read_and_written(program)
        parts = [*program.prologue, *program.body, *program.epilogue]
        self._pipes_of_memory = frozenset(i.pipe for i in walk(parts) if any(i.groups()))
        self._captured: dict[ir.Op, list[tuple[ir.Value, Number | Register]]] = {}
        self.hazards: dict[Hazard, None] = {}
        self._cores: list[Core] = []
        self._recorder = Recorder()
        self._sizes = {
            Space.UB: chip.ub_bytes,
            Space.L1: chip.l1_bytes,
            Space.L0A: chip.l0a_bytes,
            Space.L0B: chip.l0b_bytes,
            Space.L0C: chip.l0c_bytes,
            Space.WORKSPACE: program.used_bytes.get(Space.WORKSPACE, 0) + 1024,
        }
        for space in (Space.L1, Space.L0A, Space.L0B, Space.L0C):
            if not program.used_bytes.get(space):
                self._sizes[space] = 0

    @property
    def programs(self) -> int:
        """What is dealt out over the cores: programs of the grid, or units of them."""
        return math.prod(self._units)

    def run(self) -> Report:
        """Simulates the launch. Interrupted by Ctrl-C it prints what it has."""
        try:
            with np.errstate(all="ignore"):
                self._run_all()
        except KeyboardInterrupt:
            print(self._interrupted(), file=sys.stderr, flush=True)
            raise
        return self._report_of(self._cores, [])

    def _run_all(self) -> None:
        for _ in range(self.cores):
            self._enter(self._new_core())
            self._cores.append(self._core)
            self._block(self._program.prologue)
        for number in range(self.programs):
            self._enter(self._cores[number % self.cores])
            self._run_program(number)
        for core in self._cores:
            self._enter(core)
            self._block(self._program.epilogue)
            self._check_signals()

    def _report_of(self, cores: Sequence[Core], notes: Sequence[str]) -> Report:
        trace = self._recorder.trace
        alike: dict[tuple[int, ...], list[Core]] = {}
        for core in cores:
            alike.setdefault(tuple(core.blocks), []).append(core)
        for blocks, group in alike.items():
            self._recorder.begin()
            self._recorder.sequence(blocks)
            block = self._recorder.end()
            trace.cores.append(CoreTrace(block, len(group), group[0].programs))
        trace.wave = self.cores
        return Report(
            self._program,
            self._chip,
            math.prod(self._grid),
            self.cores,
            tuple(self.hazards),
            trace,
            notes,
            self.mode,
        )

    def _interrupted(self) -> str:
        self._recorder.abandon()
        done = sum(core.programs for core in self._cores)
        note = f"interrupted after {done:,} of {self.programs:,} programs; figures are of these"
        return str(self._report_of(self._cores, [note]))

    def _new_core(self) -> Core:
        core = Core(
            [0] * self._program.registers,
            Order(),
            {space: np.full(n, 0xFF, np.uint8) for space, n in self._sizes.items()},
            {space: History(n) for space, n in self._sizes.items()},
        )
        self._bind(core)
        return core

    def _bind(self, core: Core) -> None:
        for register, value in zip(self._program.parameters, self._arguments, strict=True):
            core.registers[register.index] = value
        for register, extent in zip(self._program.grid, self._grid, strict=True):
            core.registers[register.index] = np.asarray(extent, np.int32)

    def _enter(self, core: Core) -> None:
        """What follows happens on this core."""
        self._core = core
        self._registers = core.registers
        self._order, self._memory, self._history = core.order, core.memory, core.history
        self._global = Ranges(self._pipes_of_memory)
        if self._program.scratch:
            self._place_scratch()

    def _place_scratch(self) -> None:
        base = self._memory[Space.WORKSPACE].__array_interface__["data"][0]
        for op, buffer in self._program.scratch.items():
            address = base + buffer.address
            found = Allocation("scratch", address, buffer.bytes * 4, address)
            self._lanes.scratch[op] = found

    def _run_program(self, number: int) -> None:
        self._place(number)
        self._block(self._program.body)
        items = self._recorder.items()
        if len(self._recorder.trace.items) < _MOST_ITEMS:
            self._recorder.trace.items.append(items)
        self._core.programs += 1

    def _place(self, number: int) -> None:
        """The registers of the place in the grid."""
        x, y, _ = self._units
        place = (number % x, number // x % y, number // (x * y))
        self._lanes.program = place
        for register, index in zip(self._program.program, place, strict=True):
            self._registers[register.index] = np.asarray(index, np.int32)

    def _block(self, body: list[Instruction]) -> None:
        if body:
            self._recorder.begin()
            self._run(body)
            self._core.blocks.append(self._recorder.end())

    def _check_signals(self) -> None:
        for source, target, event in self._order.signals:
            self._report(
                Barrier(location=self._order.set_at[source, target, event]),
                f"event {event} of {source.value} is set and {target.value} never waits for it",
            )

    # ---- control

    def _run(self, body: list[Instruction]) -> None:
        try:
            for instruction in body:
                kind = type(instruction)
                if kind not in _CONTROL:
                    self._record(instruction)
                _RUN[kind](self, instruction)
        except KernelError as error:
            if not error.location.file:
                error.location = instruction.location
            raise

    def _record(self, instruction: Instruction) -> None:
        self._recorder.step(instruction, self._registers)

    def _loop(self, loop: Loop) -> None:
        lower, upper, step = (self._integer(v) for v in (loop.lower, loop.upper, loop.step))
        if step <= 0:
            raise KernelError(f"the loop has step {step}", location=loop.location)
        self._trips(loop, range(lower, upper, step))

    def _trips(self, loop: Loop, values: range) -> None:
        self._recorder.sequence([self._trip(loop, value) for value in values])

    def _trip(self, loop: Loop, value: int) -> int:
        self._registers[loop.index.index] = np.asarray(value, dtype_of(loop.index.type))
        self._recorder.begin()
        self._record(loop)
        self._run(loop.body)
        return self._recorder.end()

    def _while(self, loop: WhileLoop) -> None:
        trips = []
        while True:
            self._recorder.begin()
            self._record(loop)
            self._run(loop.before)
            holds = bool(self._scalar(loop.condition))
            if holds:
                self._run(loop.body)
            trips.append(self._recorder.end())
            if not holds:
                break
        self._recorder.sequence(trips)

    def _branch(self, branch: Branch) -> None:
        condition = branch.condition
        if isinstance(condition, tuple):
            holds = all(limit.base.value(self._registers) < 0 for limit in condition)
        else:
            holds = bool(self._scalar(condition))
        self._record(branch)
        self._run(branch.then_body if holds else branch.else_body)

    def _integer(self, value: Any) -> int:
        if isinstance(value, Poly):
            return value.value(self._registers)
        return int(self._scalar(value))

    def _scalar(self, value: Number | Register) -> Any:
        if isinstance(value, Number):
            return from_python(value.value, value.type)
        return self._registers[value.index]

    # ---- operands

    def _view(self, view: View) -> Array:
        """The lanes of a view, in place."""
        buffer = view.buffer
        dtype = dtype_of(buffer.type)
        start = buffer.address + view.offset.value(self._registers) * dtype.itemsize
        strides = tuple(stride * dtype.itemsize for stride in view.strides)
        first, end = _reach(start, view.shape, strides, dtype.itemsize)
        memory = self._memory[buffer.space]
        if first < buffer.address or end > max(buffer.end, buffer.address + 32):
            raise KernelError(
                f"bytes {first - buffer.address} to {end - buffer.address} of {buffer} are "
                f"touched, which has {buffer.bytes}"
            )
        if buffer.space is Space.WORKSPACE and end > len(memory):
            raise KernelError(f"bytes {first} to {end} of the workspace are touched")
        found: Array = np.ndarray(view.shape, dtype, memory.data, start, strides)
        return found

    def _operand(self, operand: View | Number | Register | Poly, type_: ElementType) -> Array:
        if isinstance(operand, View):
            return self._view(operand)
        if isinstance(operand, Poly):
            return self._lanes.as_type(operand.value(self._registers), type_)
        return self._lanes.as_type(self._scalar(operand), type_)

    def _operands(self, op: ir.Op, sources: Sequence[Any]) -> list[Array]:
        return [
            self._operand(source, ir.types.element_type(value.type))
            for value, source in zip(op.operands, sources, strict=True)
        ]

    # ---- order

    def _touch(self, instruction: Instruction) -> None:
        """Notes what an instruction reads and writes, and reports what no event orders."""
        pipe = instruction.pipe
        step = self._order.step(pipe)
        for views, writes in ((instruction.reads(), False), (instruction.written(), True)):
            for view in views:
                if isinstance(view, View):
                    self._touch_view(instruction, pipe, step, view, writes)
                elif isinstance(view, Matrix):
                    buffer = view.buffer
                    rows, columns = view.padded
                    end = buffer.address + rows * columns * view.type.bytes
                    first = buffer.address
                    self._touch_bytes(instruction, pipe, step, buffer, first, end, writes)

    def _touch_view(
        self, instruction: Instruction, pipe: Pipe, step: int, view: View, writes: bool
    ) -> None:
        size = view.type.bytes
        buffer = view.buffer
        start = buffer.address + view.offset.value(self._registers) * size
        first, end = _reach(start, view.shape, tuple(s * size for s in view.strides), size)
        self._touch_bytes(instruction, pipe, step, view.buffer, first, end, writes)

    def _touch_bytes(
        self,
        instruction: Instruction,
        pipe: Pipe,
        step: int,
        buffer: Buffer,
        first: int,
        end: int,
        writes: bool,
    ) -> None:
        history = self._history[buffer.space]
        last = -(-buffer.end // _PADDING) * _PADDING
        if first < buffer.address or end > last:
            self._report(
                instruction,
                f"{pipe.value} {'writes' if writes else 'reads'} bytes {first - buffer.address} to "
                f"{end - buffer.address} of {buffer}, which has {buffer.bytes}",
            )
        if not writes and (why := history.unread(first, end, buffer.serial)):
            self._report(instruction, f"{pipe.value} reads {buffer} {why}")
        owner = buffer.serial if writes else None
        found = history.touch(self._order, pipe, step, first, end, owner, instruction)
        if found is not None:
            other, verb, line = found
            self._report(
                instruction,
                f"{pipe.value} {'writes' if writes else 'reads'} {buffer} without waiting for "
                f"{other.value}, which {verb} it at {line}",
            )

    def _touch_global(
        self, instruction: Instruction, group: str, first: int, end: int, writes: bool
    ) -> None:
        """Within one program, accesses to the user's arrays happen in its order."""
        if not (group in self._shared or ALL_GLOBAL in self._shared or group == ALL_GLOBAL):
            return
        pipe = instruction.pipe
        found = self._global.touch(self._order, pipe, first, end, writes, instruction.location)
        if found is not None:
            other, verb, line = found
            self._report(
                instruction,
                f"{pipe.value} {'writes' if writes else 'reads'} an array without waiting "
                f"for {other.value}, which {verb} it at {line}",
            )

    def _report(self, instruction: Instruction, fact: str) -> None:
        if len(self.hazards) < _MOST_HAZARDS:
            self.hazards[Hazard(instruction.location, fact)] = None

    def _set(self, event: SetEvent) -> None:
        self._check_event(event)
        if not self._order.set(event.source, event.target, event.event, event.location):
            self._report(
                event,
                f"{event.source.value} may set event {event.event} again before "
                f"{event.target.value} has waited for it",
            )

    def _check_event(self, event: SetEvent | WaitEvent) -> None:
        count = self._chip.events_per_pipe_pair
        if not 0 <= event.event < count or event.source is event.target:
            self._report(
                event,
                f"there is no event {event.event} from {event.source.value} to "
                f"{event.target.value}: they are 0 to {count - 1}, between two pipes",
            )

    def _wait(self, event: WaitEvent) -> None:
        self._check_event(event)
        if not self._order.wait(event.source, event.target, event.event):
            raise KernelError(
                f"deadlock: {event.target.value} waits for event {event.event}, "
                f"which {event.source.value} does not set",
                location=event.location,
            )

    def _barrier(self, barrier: Barrier) -> None:
        self._order.meet()

    # ---- scalar instructions

    def _assign(self, assign: Assign) -> None:
        target = assign.target
        if assign.op is None:
            (source,) = assign.sources
            found = self._operand(source, target.type)
            self._registers[target.index] = np.array(found)
            return
        op = assign.op
        operands = [
            self._operand(s, ir.types.element_type(v.type))
            for v, s in zip(op.operands, assign.sources, strict=True)
        ]
        shapeless = [np.asarray(o) for o in operands]
        (found,) = self._lanes.compute(op, shapeless)
        self._registers[target.index] = np.asarray(found)

    def _read_lane(self, read: ReadLane) -> None:
        self._touch(read)
        self._registers[read.target.index] = np.array(self._view(read.source))

    def _lane_memory(self, access: LaneMemory) -> None:
        self._touch(access)
        op = access.op
        operands = self._operands(op, access.sources)
        pointers = operands[op.operands.index(op.pointer)]  # type: ignore[attr-defined]
        first, end = int(pointers.min()), int(pointers.max()) + 8
        self._touch_global(access, access.group, first, end, not isinstance(op, ir.Load))
        shape = access.target.shape if isinstance(access.target, View) else None
        if shape is None:
            shape = max((o.shape for o in operands), key=len)
        operands = [np.broadcast_to(o, shape) for o in operands]
        results = self._lanes.compute(op, operands)
        if isinstance(access.target, View):
            self._view(access.target)[...] = results[0]
        elif access.target is not None:
            self._registers[access.target.index] = np.array(results[0])

    # ---- copies

    def _check_rows(self, copy: CopyIn | CopyOut, view: View) -> None:
        """Rows of a copy begin at whole blocks of the unified buffer."""
        size = view.type.bytes
        moving = [s * size for e, s in zip(view.shape, view.strides, strict=True) if e > 1]
        if any(stride % _BLOCK for stride in moving if stride != size):
            return  # element by element
        start = view.buffer.address + view.offset.value(self._registers) * size
        if start % _BLOCK:
            self._report(
                copy,
                f"the copy begins at byte {start} of the unified buffer, which is not a multiple "
                f"of {_BLOCK}",
            )

    def _copy_in(self, copy: CopyIn) -> None:
        self._touch(copy)
        self._check_rows(copy, copy.target)
        target = self._view(copy.target)
        if copy.source is not None:
            target[...] = self._view(copy.source).reshape(target.shape)
            return
        within = box(target.shape, copy.limits, copy.conditions, self._registers)
        if within is None:
            return
        part = target[within]
        memory = self._global_view(copy, part.shape, within, part.dtype)
        if part.dtype == np.bool_:
            part[...] = memory != 0
        else:
            part[...] = memory

    def _copy_out(self, copy: CopyOut) -> None:
        self._touch(copy)
        self._check_rows(copy, copy.source)
        source = self._view(copy.source)
        if copy.target is not None:
            target = self._view(copy.target)
            target[...] = source.reshape(target.shape)
            return
        within = box(source.shape, copy.limits, copy.conditions, self._registers)
        if within is None:
            return
        part = source[within]
        memory = self._global_view(copy, part.shape, within, part.dtype)
        memory[...] = part

    def _global_view(
        self,
        copy: CopyIn | CopyOut | CopyMatrix | Fixpipe,
        shape: tuple[int, ...],
        box: tuple[slice, ...],
        dtype: np.dtype[Any],
    ) -> Array:
        """A block of the user's memory, in place; KernelError if it lies outside its array."""
        strides = tuple(step.value(self._registers) for step in copy.strides)
        address = copy.address.value(self._registers)
        address += sum(s.start * stride for s, stride in zip(box, strides, strict=True))
        itemsize = dtype.itemsize
        first, end = _reach(address, shape, strides, itemsize)
        writes = isinstance(copy, CopyOut | Fixpipe)
        self._check(copy, copy.pointer, first, end, itemsize, writes)
        self._touch_global(copy, copy.group, first, end, writes)
        raw = np.dtype(np.uint8) if dtype == np.bool_ else dtype
        return _window(address, shape, strides, raw)

    def _check(
        self,
        copy: Instruction,
        pointer: ir.Value | None,
        first: int,
        end: int,
        itemsize: int,
        writes: bool,
    ) -> None:
        memory = self._lanes.memory
        if not memory.check:
            return
        assert pointer is not None
        source = self._lanes.allocation_behind(pointer)
        ends = np.asarray([first, end - itemsize], np.int64).astype(np.uint64)
        bad = memory.violation(ends, itemsize, source, writes)
        if bad is None:
            return
        verb = "writes" if writes else "reads"
        name, start, nbytes = "", 0, 0
        if source is not None:
            name, start, nbytes = source.name, source.origin, source.nbytes or 0
        raise KernelError(
            f"program {self._lanes.program}: the copy {verb} bytes {first - start} to "
            f"{end - start} of {name or 'memory'}, which has {nbytes}",
            location=copy.location,
            hint="give it a mask that is false outside, such as offsets < n",
        )

    # ---- vector instructions

    def _vector_call(self, call: VectorCall) -> None:
        shape = vector_unit.Shape(call, self._registers, self._chip.repeat_bytes)
        if shape.is_empty:
            return
        sources, target = vector_unit.spans(call, shape, self._registers)
        step = self._order.step(Pipe.V)
        pads = target[2] > target[0].buffer.end  # lanes behind the last one meet such lanes
        for local, first, end in sources:
            last = min(end, local.buffer.end) if pads else end
            self._touch_bytes(call, Pipe.V, step, local.buffer, first, last, False)
        local, first, end = target
        self._touch_bytes(call, Pipe.V, step, local.buffer, first, end, True)
        kind = (call.sources[-1] if call.sources else call.target).type
        scalars = [self._operand(scalar, kind) for scalar in call.scalars]
        vector_unit.execute(call, shape, self._memory[Space.UB], self._registers, scalars)

    def _vector(self, vector: Vector) -> None:
        self._touch(vector)
        op = vector.op
        self._capture(op)
        if isinstance(op, ir.Histogram):
            self._histogram(vector, op)
            return
        operands = self._operands(op, vector.sources)
        results = self._lanes.compute(op, operands)
        for target, result in zip(vector.targets, results, strict=True):
            self._view(target)[...] = result

    def _capture(self, op: ir.Op) -> None:
        """The scalars from outside that a combine region uses."""
        if not op.regions:
            return
        if op not in self._captured:
            inner = list(ir.walk([op]))
            used = {value for i in inner[1:] for value in i.operands}
            scalars = self._program.scalars
            self._captured[op] = [(v, scalars[v]) for v in used if v in scalars]
        for value, scalar in self._captured[op]:
            self._lanes.bind(value, self._operand(scalar, ir.types.element_type(value.type)))

    def _histogram(self, vector: Vector, op: ir.Histogram) -> None:
        operands = self._operands(op, vector.sources)
        (counts,) = self._lanes.compute(op, operands)
        self._view(vector.targets[0])[...] = counts

    def _combine(self, combine: Combine) -> None:
        self._touch(combine)
        left = [self._view(view) for view in combine.targets]
        right = [self._view(view) for view in combine.sources if isinstance(view, View)]
        assert isinstance(combine.op, ir.Reduce)
        self._capture(combine.op)
        results = self._lanes.combine(combine.op, [x.copy() for x in left], right)
        for target, result in zip(left, results, strict=True):
            target[...] = result

    def _move(self, move: Move) -> None:
        self._touch(move)
        target = self._view(move.target)
        if move.range_start is not None:
            start = move.range_start.value(self._registers)
            target[...] = np.arange(start, start + target.shape[0]).astype(target.dtype)
        elif isinstance(move.source, View):
            target[...] = self._view(move.source).copy()
        else:
            assert move.source is not None
            target[...] = self._operand(move.source, move.target.type)

    def _fill(self, fill: Fill) -> None:
        self._touch(fill)
        target = self._view(fill.target)
        content = np.broadcast_to(self._operand(fill.content, fill.target.type), target.shape)
        within = box(target.shape, fill.limits, fill.conditions, self._registers)
        if within is None:
            target[...] = content
            return
        if target[within].size == target.size:
            return
        kept = target[within].copy()
        target[...] = content
        target[within] = kept

    # ---- the cube

    def _copy_matrix(self, copy: CopyMatrix) -> None:
        self._touch(copy)
        target = copy.target
        rows = np.zeros((target.rows, target.columns), dtype_of(target.type))
        if copy.source is not None:
            rows[...] = self._view(copy.source).reshape(rows.shape)
        else:
            within = box(rows.shape, copy.limits, copy.conditions, self._registers)
            if within is not None:
                part = rows[within]
                part[...] = self._global_view(copy, part.shape, within, part.dtype)
        fractals.store(self._memory[Space.L1], target, rows)

    def _load_matrix(self, load: LoadMatrix) -> None:
        self._touch(load)
        rows = fractals.load(self._memory[Space.L1], load.source)
        space = load.target.buffer.space
        fractals.store(self._memory[space], load.target, rows.T if load.transpose else rows)

    def _mmad(self, mmad: Mmad) -> None:
        self._touch(mmad)
        lhs = fractals.load(self._memory[Space.L0A], mmad.lhs)
        rhs = fractals.load(self._memory[Space.L0B], mmad.rhs)
        wide = np.int32 if dtype_of(mmad.target.type) == np.int32 else np.float32
        product = lhs.astype(wide) @ rhs.astype(wide)
        memory = self._memory[Space.L0C]
        if mmad.first.value(self._registers):
            product = fractals.load(memory, mmad.target) + product
        fractals.store(memory, mmad.target, product)

    def _fixpipe(self, fix: Fixpipe) -> None:
        self._touch(fix)
        rows = fractals.load(self._memory[Space.L0C], fix.source).astype(dtype_of(fix.type))
        if fix.target is not None:
            target = self._view(fix.target)
            target[...] = rows.reshape(target.shape)
            return
        within = box(rows.shape, fix.limits, fix.conditions, self._registers)
        if within is not None:
            part = rows[within]
            self._global_view(fix, part.shape, within, part.dtype)[...] = part


class _Window:
    """Lets NumPy see strided memory at an address."""

    def __init__(
        self, address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]
    ) -> None:
        self.__array_interface__ = {
            "data": (address, False),
            "shape": shape,
            "strides": strides,
            "typestr": dtype.str,
            "version": 3,
        }


def _window(
    address: int, shape: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype[Any]
) -> Array:
    """Memory in place, seen by its bits first: NumPy knows bfloat16 by extension only."""
    bits = np.dtype(f"uint{8 * dtype.itemsize}")
    return np.asarray(_Window(address, shape, strides, bits)).view(dtype)


def _reach(
    start: int, shape: tuple[int, ...], strides: tuple[int, ...], itemsize: int
) -> tuple[int, int]:
    """The first byte that a strided block touches, and the one behind the last."""
    first = last = start
    for extent, stride in zip(shape, strides, strict=True):
        reach = (extent - 1) * stride
        first, last = first + min(reach, 0), last + max(reach, 0)
    return first, last + itemsize


def _read_and_written(program: Program) -> set[str]:
    """The groups of arrays that the program both reads and writes."""
    touched = [pair for i in walk(program.body) for pair in i.groups()]
    written = {group for group, writes in touched if writes}
    read = {group for group, writes in touched if not writes}
    if ALL_GLOBAL in written and read:
        return {ALL_GLOBAL}
    return {ALL_GLOBAL} if ALL_GLOBAL in read and written else written & read


_CONTROL = (Loop, WhileLoop, Branch)
_RUN: dict[type[Instruction], Any] = {
    Assign: Simulator._assign,
    Barrier: Simulator._barrier,
    Branch: Simulator._branch,
    Combine: Simulator._combine,
    CopyIn: Simulator._copy_in,
    CopyMatrix: Simulator._copy_matrix,
    CopyOut: Simulator._copy_out,
    Fill: Simulator._fill,
    Fixpipe: Simulator._fixpipe,
    LaneFill: Simulator._fill,
    LaneLoop: Simulator._vector,
    LaneMove: Simulator._move,
    LaneMemory: Simulator._lane_memory,
    LoadMatrix: Simulator._load_matrix,
    Loop: Simulator._loop,
    Mmad: Simulator._mmad,
    Move: Simulator._move,
    ReadLane: Simulator._read_lane,
    SetEvent: Simulator._set,
    Vector: Simulator._vector,
    VectorCall: Simulator._vector_call,
    WaitEvent: Simulator._wait,
    WhileLoop: Simulator._while,
}
