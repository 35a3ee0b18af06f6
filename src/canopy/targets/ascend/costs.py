"""What instructions cost: the one table of the timing model.

An instruction is *measured* where the registers are known (`Amount`: lanes, bytes, runs of adjacent
bytes), and *costs* `Work` on a chip: cycles of its own, and bytes through the memories that all
cores share. A new class of instructions needs one entry of `_TABLE`; until it has one, its pipe
and its operands say what it costs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from canopy import ir
from canopy.targets.ascend.calls import CALLS
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import (
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
    Limit,
    LoadMatrix,
    Loop,
    Mmad,
    Move,
    Pipe,
    ReadLane,
    Vector,
    VectorCall,
    View,
)
from canopy.targets.ascend.vector_unit import Shape

__all__ = ["Amount", "Traffic", "Work", "box", "cost", "is_fixed", "measure"]

_SLOW = (ir.MathCall, ir.Div, ir.Rem)
_NO_ARITHMETIC = (ir.Cast, ir.Bitcast, ir.Select)
_REPEAT_BYTES = 256  # on every chip so far; what a repeat takes is in the chip file
_SHORTEST_RUN = 64  # bytes; what a run of adjacent bytes takes of the memory at least


class Amount(NamedTuple):
    """How much an instruction does, whatever the chip."""

    lanes: int = 0
    width: int = 4  # bytes of a lane
    bytes: int = 0  # moved to or from memory
    runs: int = 0  # of adjacent bytes, of which these are made
    m: int = 0
    k: int = 0
    n: int = 0
    repeats: int = 0  # as a vector call gives them; 0: as many as the lanes need


class Traffic:
    """Where the bytes of an instruction go."""

    NONE, READ, WRITE, EXCHANGE_IN, EXCHANGE_OUT = range(5)


class Work(NamedTuple):
    """``cycles`` of the pipe itself; ``bytes`` through the shared memories; ``flops`` done;
    ``latency``: cycles until the last byte has arrived, in which the pipe goes on."""

    cycles: float
    bytes: float = 0
    traffic: int = Traffic.NONE
    flops: int = 0
    latency: float = 0


_Measure = Callable[[Any, Sequence[Any]], Amount]
_Cost = Callable[[Any, Amount, Chip], Work]


def measure(instruction: Instruction, registers: Sequence[Any]) -> Amount:
    """What the instruction handles with these contents of the registers."""
    return _entry(type(instruction))[0](instruction, registers)


def is_fixed(kind: type[Instruction]) -> bool:
    """Whether instructions of a class handle as much every time, whatever the registers."""
    return _entry(kind)[0] in _FIXED


def cost(instruction: Instruction, amount: Amount, chip: Chip) -> Work:
    return _entry(type(instruction))[1](instruction, amount, chip)


def box(
    shape: tuple[int, ...],
    limits: tuple[Limit, ...],
    conditions: tuple[Any, ...],
    registers: Sequence[Any],
) -> tuple[slice, ...] | None:
    """The lanes inside the limits; None if there are none."""
    for condition in conditions:
        value = condition.value if hasattr(condition, "value") else registers[condition.index]
        if not value:
            return None
    first, end = [0] * len(shape), list(shape)
    for limit in limits:
        base = limit.base.value(registers)
        axis, factor = limit.axis, limit.factor
        if axis is None or factor == 0:
            if base >= 0:
                return None
        elif factor > 0:  # factor * i + base < 0
            end[axis] = min(end[axis], -(base // factor))
        else:
            first[axis] = max(first[axis], base // -factor + 1)
    if any(e <= f for f, e in zip(first, end, strict=True)):
        return None
    return tuple(map(slice, first, end))


# ---- how much


def _copy(copy: CopyIn | CopyOut, registers: Sequence[Any]) -> Amount:
    inside, outside = (
        (copy.target, copy.source) if isinstance(copy, CopyIn) else (copy.source, copy.target)
    )
    assert isinstance(inside, View)
    width = inside.type.bytes
    if isinstance(outside, View):  # the workspace
        bytes_ = math.prod(inside.shape) * width
        return Amount(bytes=bytes_, runs=_runs(outside.shape, outside.strides, 1), width=width)
    within = box(inside.shape, copy.limits, copy.conditions, registers)
    if within is None:
        return Amount(width=width)
    shape = tuple(s.stop - s.start for s in within)
    strides = tuple(stride.value(registers) for stride in copy.strides)
    runs = _runs(shape, strides, width)
    return Amount(bytes=_unrepeated(shape, strides) * width, runs=runs, width=width)


def _unrepeated(shape: Sequence[int], strides: Sequence[int]) -> int:
    return math.prod(e for e, s in zip(shape, strides, strict=True) if s)


def _runs(shape: Sequence[int], strides: Sequence[int], unit: int) -> int:
    """The number of runs of adjacent elements; ``unit`` is the stride of neighbours."""
    run, runs = unit, 1
    pairs = sorted(zip(shape, strides, strict=True), key=lambda pair: abs(pair[1]))
    for extent, stride in pairs:
        if extent == 1 or stride == 0:
            continue
        if stride == run and runs == 1:
            run *= extent
        else:
            runs *= extent
    return runs


def _lanes(instruction: Instruction, registers: Sequence[Any]) -> Amount:
    views = [v for v in (*instruction.written(), *instruction.reads()) if isinstance(v, View)]
    lanes = max((math.prod(view.shape) for view in views), default=1)
    width = max((view.type.bytes for view in views), default=4)
    return Amount(lanes=lanes, width=width, bytes=lanes * width)


def _call(call: VectorCall, registers: Sequence[Any]) -> Amount:
    shape = Shape(call, registers, _REPEAT_BYTES)
    if shape.is_empty:
        return Amount()
    width = _REPEAT_BYTES // shape.per_repeat
    return Amount(lanes=shape.total, width=width, repeats=shape.repeats or 0)


def _fill(fill: Fill, registers: Sequence[Any]) -> Amount:
    lanes = math.prod(fill.target.shape)
    within = box(fill.target.shape, fill.limits, fill.conditions, registers)
    if within is not None:
        lanes -= math.prod(s.stop - s.start for s in within)
    return Amount(lanes=lanes, width=fill.target.type.bytes)


def _matrix_copy(copy: CopyMatrix, registers: Sequence[Any]) -> Amount:
    width = copy.target.type.bytes
    shape: tuple[int, ...] = (copy.target.rows, copy.target.columns)
    if copy.source is not None:
        runs = _runs(copy.source.shape, copy.source.strides, 1)
        return Amount(bytes=math.prod(shape) * width, runs=runs, width=width)
    within = box(shape, copy.limits, copy.conditions, registers)
    if within is None:
        return Amount(width=width)
    shape = tuple(s.stop - s.start for s in within)
    strides = tuple(stride.value(registers) for stride in copy.strides)
    runs = _runs(shape, strides, width)
    return Amount(bytes=math.prod(shape) * width, runs=runs, width=width)


def _matrix_load(load: LoadMatrix, registers: Sequence[Any]) -> Amount:
    rows, columns = load.target.padded
    return Amount(bytes=rows * columns * load.target.type.bytes, runs=1)


def _drained(fix: Fixpipe, registers: Sequence[Any]) -> Amount:
    shape: tuple[int, ...] = (fix.source.rows, fix.source.columns)
    width = fix.type.bytes
    if fix.target is None:
        within = box(shape, fix.limits, fix.conditions, registers)
        shape = () if within is None else tuple(s.stop - s.start for s in within)
        if within is None:
            return Amount(width=width)
    return Amount(bytes=math.prod(shape) * width, runs=shape[0], width=width)


def _product(mmad: Mmad, registers: Sequence[Any]) -> Amount:
    lhs, rhs = mmad.lhs, mmad.rhs
    return Amount(width=lhs.type.bytes, m=lhs.rows, k=lhs.columns, n=rhs.columns)


def _lane_memory(access: LaneMemory, registers: Sequence[Any]) -> Amount:
    views = [v for v in (access.target, *access.sources) if isinstance(v, View)]
    return Amount(lanes=max((math.prod(v.shape) for v in views), default=1))


# ---- how long


def _moving(copy: CopyIn | CopyOut, amount: Amount, chip: Chip) -> Work:
    if not amount.bytes:
        return Work(1)
    cycles = chip.copy_start_cycles + (amount.runs - 1) * chip.burst_cycles
    is_read = isinstance(copy, CopyIn)
    if isinstance(copy.source if is_read else copy.target, View):
        traffic = Traffic.EXCHANGE_IN if is_read else Traffic.EXCHANGE_OUT
        return Work(cycles, amount.bytes, traffic, latency=chip.copy_latency_cycles)
    moved = max(amount.bytes, amount.runs * _SHORTEST_RUN)
    traffic = Traffic.READ if is_read else Traffic.WRITE
    return Work(cycles, moved, traffic, latency=chip.copy_latency_cycles)


def _computing(vector: Vector, amount: Amount, chip: Chip) -> Work:
    cycles = _repeats(amount, chip, isinstance(vector.op, _SLOW))
    return Work(cycles, flops=0 if isinstance(vector.op, _NO_ARITHMETIC) else amount.lanes)


def _calling(call: VectorCall, amount: Amount, chip: Chip) -> Work:
    """A call of the vector unit."""
    if not amount.lanes:
        return Work(0)
    known = CALLS[call.name]
    repeats = amount.repeats or math.ceil(amount.lanes * amount.width / chip.repeat_bytes)
    rate = chip.slow_repeat_cycles if known.cycles == "slow_repeat" else chip.repeat_cycles
    computes = known.shape in ("lanes", "fold") and call.name not in ("Cast", "Copy")
    return Work(chip.vector_start_cycles + repeats * rate, flops=amount.lanes if computes else 0)


def _looping(loop: LaneLoop, amount: Amount, chip: Chip) -> Work:
    """GetValue and SetValue of each lane of each operand."""
    operands = len(loop.sources) + len(loop.targets)
    each = operands * chip.lane_value_cycles + chip.scalar_cycles
    return Work(amount.lanes * each, flops=amount.lanes)


def _copying_lanes(move: LaneMove, amount: Amount, chip: Chip) -> Work:
    return Work(2 * amount.lanes * chip.lane_value_cycles)


def _placing(move: Move, amount: Amount, chip: Chip) -> Work:
    source = move.source
    is_slow = isinstance(source, View) and source.strides[-1:] != (1,)
    return Work(_repeats(amount, chip, is_slow))


def _setting(what: Instruction, amount: Amount, chip: Chip) -> Work:
    return Work(_repeats(amount, chip, False) if amount.lanes else 0)


def _repeats(amount: Amount, chip: Chip, is_slow: bool) -> float:
    if amount.width == 8:
        return amount.lanes * chip.scalar_cycles  # no 64-bit vector arithmetic
    repeats = math.ceil(amount.lanes * amount.width / chip.repeat_bytes)
    issues = max(math.ceil(repeats / chip.max_repeats), 1)
    rate = chip.slow_repeat_cycles if is_slow else chip.repeat_cycles
    return issues * chip.vector_start_cycles + repeats * rate


def _loading(load: LoadMatrix, amount: Amount, chip: Chip) -> Work:
    return Work(chip.cube_start_cycles + amount.bytes / chip.l1_to_l0_bytes_per_cycle)


def _multiplying(mmad: Mmad, amount: Amount, chip: Chip) -> Work:
    rate = chip.cube_macs_per_cycle_f16
    rate = rate * 2 / amount.width if amount.width < 4 else rate / 4
    depth = max(32 // amount.width, 1)
    padded = _up(amount.m, 16) * _up(amount.n, 16) * _up(amount.k, depth)
    flops = 2 * amount.m * amount.n * amount.k
    return Work(chip.cube_start_cycles + padded / rate, flops=flops)


def _draining(fix: Fixpipe, amount: Amount, chip: Chip) -> Work:
    slower = 1 / chip.fixpipe_bytes_per_cycle - 1 / chip.l2_write_bytes_per_cycle
    cycles = chip.cube_start_cycles + amount.bytes * max(slower, 0.0)  # drains as it writes
    traffic = Traffic.WRITE if fix.target is None else Traffic.EXCHANGE_OUT
    return Work(cycles, amount.bytes, traffic, latency=chip.copy_latency_cycles)


def _moving_matrix(copy: CopyMatrix, amount: Amount, chip: Chip) -> Work:
    if not amount.bytes:
        return Work(1)
    cycles = chip.copy_start_cycles + (amount.runs - 1) * chip.burst_cycles
    if copy.source is not None:
        return Work(cycles, amount.bytes, Traffic.EXCHANGE_IN, latency=chip.copy_latency_cycles)
    moved = max(amount.bytes, amount.runs * _SHORTEST_RUN)
    return Work(cycles, moved, Traffic.READ, latency=chip.copy_latency_cycles)


def _lane_by_lane(access: LaneMemory, amount: Amount, chip: Chip) -> Work:
    """A memory access per lane; its address, mask and value are read from or written to UB."""
    values = sum(isinstance(v, View) for v in (access.target, *access.sources))
    return Work(amount.lanes * (chip.lane_access_cycles + values * chip.lane_value_cycles))


def _setting_lanes(fill: Instruction, amount: Amount, chip: Chip) -> Work:
    return Work(amount.lanes * chip.lane_value_cycles)


def _trip(loop: Loop, amount: Amount, chip: Chip) -> Work:
    return Work(2 * chip.scalar_cycles)  # advances and compares


def _nothing(instruction: Instruction, registers: Sequence[Any]) -> Amount:
    return Amount(lanes=1)


def _by_pipe(instruction: Instruction, amount: Amount, chip: Chip) -> Work:
    """For classes that the table does not know."""
    match instruction.pipe:
        case Pipe.S:
            return Work(chip.scalar_cycles)
        case Pipe.V:
            return Work(_repeats(amount, chip, False))
        case Pipe.M | Pipe.MTE1:
            return Work(chip.cube_start_cycles + amount.bytes / chip.l1_to_l0_bytes_per_cycle)
        case Pipe.MTE2 | Pipe.C_MTE2:
            into, wait = Traffic.EXCHANGE_IN, chip.copy_latency_cycles
            return Work(chip.copy_start_cycles, amount.bytes, into, latency=wait)
        case _:
            out, wait = Traffic.EXCHANGE_OUT, chip.copy_latency_cycles
            return Work(chip.copy_start_cycles, amount.bytes, out, latency=wait)


_TABLE: dict[type[Instruction], tuple[_Measure, _Cost]] = {
    CopyIn: (_copy, _moving),
    CopyOut: (_copy, _moving),
    VectorCall: (_call, _calling),
    Vector: (_lanes, _computing),
    LaneLoop: (_lanes, _looping),
    LaneMove: (_lanes, _copying_lanes),
    LaneFill: (_fill, _setting_lanes),
    Move: (_lanes, _placing),
    Fill: (_fill, _setting),
    CopyMatrix: (_matrix_copy, _moving_matrix),
    LoadMatrix: (_matrix_load, _loading),
    Mmad: (_product, _multiplying),
    Fixpipe: (_drained, _draining),
    LaneMemory: (_lane_memory, _lane_by_lane),
    ReadLane: (_nothing, _setting_lanes),
    Loop: (_nothing, _trip),
}


_FIXED = (_lanes, _nothing, _matrix_load, _product, _lane_memory)
_found: dict[type[Instruction], tuple[_Measure, _Cost]] = {}


def _entry(kind: type[Instruction]) -> tuple[_Measure, _Cost]:
    if kind not in _found:
        bases = (base for base in kind.__mro__ if base in _TABLE)
        _found[kind] = _TABLE.get(next(bases, Instruction), (_lanes, _by_pipe))
    return _found[kind]


def _up(extent: int, to: int) -> int:
    return -(-extent // to) * to
