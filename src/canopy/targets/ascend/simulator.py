"""Runs an NPU program on a model of the chip: results, cycles per pipe, missing synchronisation.

Every instruction takes effect at once, in program order, on a model of the unified buffer; time and
order between pipes are kept beside that. Two accesses to one buffer from different pipes, one of
them a write, must be ordered by events; where they are not, a card may give any result, and a
`Hazard` names the user's line. Instructions of one pipe are taken to run one after another.

A core's copies run at the rate of its port; a core cannot end before its share of the memory's
bandwidth, divided evenly among the active cores, has carried all its bytes (L2 is not modelled).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from canopy.errors import KernelError, LaunchError, Location
from canopy.ir.types import F16, ScalarType
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import (
    Argument,
    Buffer,
    Combined,
    CopyIn,
    CopyOut,
    GridExtent,
    Instruction,
    Number,
    Pipe,
    Program,
    ProgramIndex,
    Scalar,
    SetEvent,
    Vector,
    WaitEvent,
)
from canopy.targets.ascend.vector_unit import compute, cycles_of

__all__ = ["Hazard", "Report", "simulate"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Hazard:
    """Two accesses to one buffer that no event orders."""

    location: Location
    fact: str

    def __str__(self) -> str:
        return f"{self.location}: {self.fact}"


@dataclass(frozen=True)
class Report:
    """What a run would take on the chip, by its slowest core.

    ``busy_cycles`` are those of each pipe, and of "HBM": the core's share of the memory.
    """

    name: str
    chip: Chip
    cores: int
    cycles: float
    busy_cycles: dict[str, float]
    hazards: tuple[Hazard, ...]
    label: str = "simulated"

    @property
    def time_us(self) -> float:
        return self.cycles / self.chip.clock_mhz

    @property
    def bound_by(self) -> str:
        return max(self.busy_cycles, key=lambda part: self.busy_cycles[part])

    @property
    def utilisation(self) -> float:
        """The share of the time in which what bounds the run was busy."""
        return self.busy_cycles[self.bound_by] / self.cycles if self.cycles else 0.0

    def __str__(self) -> str:
        head = f"{self.name} on {self.chip.name}, {self.cores} cores: {self.time_us:.1f} us"
        head += f", bound by {self.bound_by} ({self.utilisation:.0%} busy), {self.label}"
        return "\n".join([head, *(f"hazard: {hazard}" for hazard in self.hazards)])


def simulate(
    program: Program,
    args: Sequence[Any],
    grid: Sequence[int],
    chip: Chip,
    cores: int | None = None,
) -> Report:
    """Runs ``program`` for every tile program of ``grid``, folded onto ``cores`` (default: all).

    ``args``: NumPy arrays, changed in place, and numbers. Raises LaunchError for a grid that is not
    1 to 3 positive extents, KernelError for an access outside an argument or a wait without end.
    """
    extents = (*map(int, grid), 1, 1)[:3]
    if not 1 <= len(grid) <= 3 or min(extents) < 1:
        raise LaunchError(f"a grid has 1 to 3 positive extents, this one is {tuple(grid)}")
    total = math.prod(extents)
    share = math.ceil(total / min(cores or chip.vector_cores, total))
    used = math.ceil(total / share)
    hazards: dict[Hazard, None] = {}
    slowest: _Core | None = None
    for first in range(0, total, share):
        core = _Core(program, args, extents, chip, used)
        core.run(range(first, min(first + share, total)))
        hazards.update(core.hazards)
        if slowest is None or core.cycles > slowest.cycles:
            slowest = core
    assert slowest is not None
    return Report(program.name, chip, used, slowest.cycles, slowest.busy, tuple(hazards))


@dataclass(slots=True)
class _Access:
    pipe: Pipe
    step: int
    location: Location


@dataclass(slots=True)
class _History:
    """The last write to a buffer, and the reads since."""

    write: _Access | None = None
    reads: dict[Pipe, _Access] = field(default_factory=dict)


@dataclass(slots=True)
class _Signal:
    """A set event: when it was set, and how far each pipe had come to the setter's knowledge."""

    time: float
    known: dict[Pipe, int]


class _Core:
    def __init__(
        self,
        program: Program,
        args: Sequence[Any],
        grid: tuple[int, ...],
        chip: Chip,
        active_cores: int,
    ) -> None:
        self._program, self._args, self._grid, self._chip = program, args, grid, chip
        self._hbm_share = chip.hbm_bytes_per_second / (active_cores * chip.clock_mhz * 1e6)
        self._ub = np.full(chip.ub_bytes, 0xFF, np.uint8)  # reads as NaN until written
        self._time = dict.fromkeys(Pipe, 0.0)
        self._step = dict.fromkeys(Pipe, 0)
        self._known = {pipe: dict.fromkeys(Pipe, 0) for pipe in Pipe}
        self._signals: dict[tuple[Pipe, Pipe, int], _Signal] = {}
        self._history: dict[Buffer, _History] = {}
        self._index = (0, 0, 0)
        self.busy: dict[str, float] = {**{pipe.value: 0.0 for pipe in Pipe}, "HBM": 0.0}
        self.hazards: dict[Hazard, None] = {}

    @property
    def cycles(self) -> float:
        return max(*self._time.values(), self.busy["HBM"])

    def run(self, programs: range) -> None:
        self._run_all(self._program.prologue)
        for trip, number in enumerate(programs):
            x, y, _ = self._grid
            self._index = (number % x, number // x % y, number // (x * y))
            self._run_all(self._program.trips[trip % 2])
        self._run_all(self._program.epilogue)

    def _run_all(self, instructions: tuple[Instruction, ...]) -> None:
        for instruction in instructions:
            match instruction:
                case CopyIn():
                    self._copy_in(instruction)
                case Vector():
                    self._vector(instruction)
                case CopyOut():
                    self._copy_out(instruction)
                case SetEvent():
                    self._set(instruction)
                case WaitEvent():
                    self._wait(instruction)

    # ---- scalars

    def _value(self, scalar: Scalar) -> Any:
        match scalar:
            case Number(value):
                return value
            case Argument(index):
                return self._args[index]
            case ProgramIndex(axis):
                return self._index[axis]
            case GridExtent(axis):
                return self._grid[axis]
            case Combined(function, lhs, rhs):
                return _COMBINED[function](self._value(lhs), self._value(rhs))

    # ---- instructions

    def _copy_in(self, copy: CopyIn) -> None:
        count = int(self._value(copy.count))
        self._touch(Pipe.MTE2, copy, reads=(), writes=(copy.target,))
        content = self._global(copy, copy.source, copy.offset_bytes, count, copy.target.type)
        self._view(copy.target)[:count] = content
        size = count * copy.target.type.bytes
        self._spend(Pipe.MTE2, self._copy_cycles(size, self._chip.copy_in_bytes_per_cycle))

    def _copy_out(self, copy: CopyOut) -> None:
        count = int(self._value(copy.count))
        self._touch(Pipe.MTE3, copy, reads=(copy.source,), writes=())
        place = self._global(copy, copy.target, copy.offset_bytes, count, copy.source.type)
        place[...] = self._view(copy.source)[:count]
        size = count * copy.source.type.bytes
        self._spend(Pipe.MTE3, self._copy_cycles(size, self._chip.copy_out_bytes_per_cycle))

    def _copy_cycles(self, size: int, bytes_per_cycle: float) -> float:
        self.busy["HBM"] += size / self._hbm_share
        return self._chip.copy_latency_cycles + size / bytes_per_cycle if size else 0.0

    def _vector(self, vector: Vector) -> None:
        buffers = [source for source in vector.sources if isinstance(source, Buffer)]
        self._touch(Pipe.V, vector, reads=buffers, writes=(vector.target,))
        target = self._view(vector.target)
        if vector.function == "fill":
            (content,) = vector.sources
            assert not isinstance(content, Buffer)
            first = int(self._value(vector.first))
            target[first:] = self._value(content)
            lanes = len(target) - first
        else:
            is_reduction = vector.function.startswith("reduce_")
            sources = [self._source(s, len(target), is_reduction) for s in vector.sources]
            compute(vector.function, target, sources)
            lanes = max([len(target), *(b.lanes for b in buffers)])
        self._spend(Pipe.V, cycles_of(vector, lanes, self._chip) if lanes else 0.0)

    def _source(self, source: Buffer | Scalar, lanes: int, whole: bool) -> Any:
        if not isinstance(source, Buffer):
            return self._value(source)
        view = self._view(source)
        return view if whole or len(view) == lanes else view[0]

    def _view(self, buffer: Buffer) -> Array:
        return self._ub[buffer.address : buffer.end].view(_dtype(buffer.type))

    def _global(
        self, user: CopyIn | CopyOut, index: int, offset: Scalar, count: int, type_: ScalarType
    ) -> Array:
        """``count`` elements of an argument, in place; KernelError if they lie outside it."""
        memory = self._args[index].reshape(-1).view(np.uint8)
        start = int(self._value(offset)) if count else 0
        end = start + count * type_.bytes
        if start < 0 or end > memory.size:
            raise KernelError(
                f"bytes {start} to {end} of argument {index}, which has {memory.size}",
                location=user.location,
                hint="the mask does not hold the access inside the array",
            )
        found: Array = memory[start:end].view(_dtype(type_))
        return found

    # ---- time and order

    def _spend(self, pipe: Pipe, cycles: float) -> None:
        self._time[pipe] += cycles
        self.busy[pipe.value] += cycles

    def _set(self, event: SetEvent) -> None:
        key = (event.source, event.target, event.event)
        if key in self._signals:
            self._report(
                event, f"event {event.event} is set again before {event.target.value} waits"
            )
        known = {**self._known[event.source], event.source: self._step[event.source]}
        self._signals[key] = _Signal(self._time[event.source], known)

    def _wait(self, event: WaitEvent) -> None:
        signal = self._signals.pop((event.source, event.target, event.event), None)
        if signal is None:
            raise KernelError(
                f"{event.target.value} waits for event {event.event}, "
                f"which {event.source.value} does not set",
                location=event.location,
            )
        self._time[event.target] = max(self._time[event.target], signal.time)
        known = self._known[event.target]
        for pipe, step in signal.known.items():
            known[pipe] = max(known[pipe], step)

    def _touch(
        self, pipe: Pipe, user: Instruction, reads: Sequence[Buffer], writes: Sequence[Buffer]
    ) -> None:
        """Notes the accesses of one instruction, and reports those that no event orders."""
        self._step[pipe] += 1
        access = _Access(pipe, self._step[pipe], user.location)
        for buffer in reads:
            history = self._history.setdefault(buffer, _History())
            self._check(access, "reads", history.write, "writes", buffer)
            history.reads[pipe] = access
        for buffer in writes:
            history = self._history.setdefault(buffer, _History())
            self._check(access, "writes", history.write, "writes", buffer)
            for read in history.reads.values():
                self._check(access, "writes", read, "reads", buffer)
            self._history[buffer] = _History(write=access)

    def _check(
        self, access: _Access, verb: str, earlier: _Access | None, earlier_verb: str, buffer: Buffer
    ) -> None:
        if earlier is None or earlier.pipe is access.pipe:
            return
        if self._known[access.pipe][earlier.pipe] >= earlier.step:
            return
        fact = (
            f"{access.pipe.value} {verb} {buffer.name} without waiting for {earlier.pipe.value}, "
        )
        fact += f"which {earlier_verb} it at {earlier.location}"
        self.hazards[Hazard(access.location, fact)] = None

    def _report(self, instruction: Instruction, fact: str) -> None:
        self.hazards[Hazard(instruction.location, fact)] = None


_COMBINED: dict[str, Any] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "div": lambda a, b: int(a / b) if isinstance(a, int) else a / b,
    "rem": math.fmod,
    "min": min,
    "max": max,
}


def _dtype(type_: ScalarType) -> type[Any]:
    return np.float16 if type_ is F16 else np.float32
