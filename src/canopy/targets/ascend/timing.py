"""Timing mode: how long a launch takes, without computing its results.

Scalars are followed (places in the grid, addresses, bounds of loops); tiles are not. Programs whose
beginning looks alike share one representative, whose loops are walked at their first trips, at
their last one, and wherever trips change between. A scalar that comes from data is looked up in the
arguments where the kernel does not write them; if that is not enough, a few programs are run with
their data, in order, on memory that is put back afterwards, and the report says so.
"""

from __future__ import annotations

import ctypes
import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NoReturn

import numpy as np

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.ir.interpreter.numeric import dtype_of
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.costs import measure
from canopy.targets.ascend.happens import Order
from canopy.targets.ascend.npu import (
    Assign,
    Instruction,
    LaneMemory,
    Loop,
    Program,
    ReadLane,
    View,
    walk,
)
from canopy.targets.ascend.recorder import CoreTrace, Item, Recorder, moves_user_memory
from canopy.targets.ascend.report import Report
from canopy.targets.ascend.scalars import Poly, Register
from canopy.targets.ascend.simulator import _CONTROL, _RUN, Core, Simulator

__all__ = ["TimingSimulator"]

_SKIMMED_STEPS = 60_000  # spent on looking at the beginnings of programs
_MOST_SKIMMED = 1024
_REPLAYED_STEPS = 250_000  # of all cores that differ
_FEW_TRIPS = 8
_PROGRAMS_WITH_DATA = 6
_SNAPSHOT_BYTES = 1 << 33


class _NeedsDataError(Exception):
    """A bound, an address or a condition depends on what the kernel computes."""


class _Unknown:
    """A scalar that only a run with data could give."""

    def _refuse(self, *_: Any) -> NoReturn:
        raise _NeedsDataError

    __int__ = __index__ = __bool__ = __float__ = __array__ = _refuse


_UNKNOWN = _Unknown()


@dataclass(frozen=True, slots=True)
class _Segment:
    """Programs ``start`` to ``end`` of the grid take the block of program ``like``."""

    start: int
    end: int
    like: int


class TimingSimulator(Simulator):
    """Records what cores would do; `run` gives a report without hazards. Interrupted by Ctrl-C it
    prints what it has."""

    mode = "timing"

    def __init__(
        self,
        program: Program,
        args: Sequence[Any],
        grid: Sequence[int],
        chip: Chip,
        cores: int | None = None,
    ) -> None:
        super().__init__(program, args, grid, chip, cores)
        touched = [pair for i in walk(program.body) for pair in i.groups()]
        self._written = {group for group, writes in touched if writes}
        self._with_data = False
        self._carried: dict[int, tuple[Register, ...]] = {}
        self._notes = ["timing mode: nothing was computed, and hazards were not looked for"]
        self._segments_known: list[_Segment] = []
        self._blocks_known: dict[int, int] = {}
        self._skim: _Skim | None = None

    def run(self) -> Report:
        try:
            with np.errstate(all="ignore"):
                self._walk()
        except KeyboardInterrupt:
            print(self._interrupted(), file=sys.stderr, flush=True)
            raise
        self._deal(self._segments_known, self._blocks_known)
        return self._report_of([], self._notes)

    def _walk(self) -> None:
        try:
            self._walk_all()
        except _NeedsDataError:
            self._start_again()
            with self._memory_kept():
                self._walk_with_data()

    def _interrupted(self) -> str:
        """The report of the programs that were walked."""
        known = [s for s in self._segments_known if s.like in self._blocks_known]
        if not known:
            return f"{self._program.name}: interrupted before the first program was timed"
        done = sum(segment.end - segment.start for segment in known)
        note = f"interrupted: figures are of {done:,} of {self.programs:,} programs"
        self._recorder.abandon()
        self._deal(known, self._blocks_known)
        return str(self._report_of([], [note]))

    # ---- the grid

    def _walk_all(self) -> None:
        self._enter(self._new_core())
        self._run_quietly(self._program.prologue)
        self._segments_known = self._segments()
        alike: dict[int, int] = {}
        for segment in self._segments_known:
            signature = self._signatures[segment.like]
            if signature not in alike:
                alike[signature] = self._program_block(segment.like)
            self._blocks_known[segment.like] = alike[signature]

    def _walk_with_data(self) -> None:
        """A few programs, run as they are."""
        self._with_data = True
        self._enter(super()._new_core())
        self._block(self._program.prologue)
        step = max(self.programs // _PROGRAMS_WITH_DATA, 1)
        chosen = sorted(set(range(0, self.programs, step)))
        ends = [*chosen[1:], self.programs]
        self._segments_known = [
            _Segment(start, end, start) for start, end in zip(chosen, ends, strict=True)
        ]
        for number in chosen:
            self._run_program(number)
            self._blocks_known[number] = self._core.blocks[-1]
        self._notes.append(
            f"bounds or addresses depend on data: {len(chosen)} of {self.programs:,} programs were "
            "run with their data, the others are taken to be like their neighbours"
        )

    def _start_again(self) -> None:
        self._recorder = Recorder()
        self._skim = None
        self._blocks_known.clear()

    def _run_program(self, number: int) -> None:
        if not self._with_data:
            self._place(number)
            self._run(self._program.body)
            return
        super()._run_program(number)

    def _program_block(self, number: int) -> int:
        self._recorder.begin()
        self._run_program(number)
        self._recorder.items()
        return self._recorder.end()

    def _deal(self, segments: list[_Segment], blocks: dict[int, int]) -> None:
        """Which core does which blocks, as `Simulator` deals programs out."""
        runs: list[list[tuple[int, int]]] = [[] for _ in range(self.cores)]
        for segment in segments:
            block = blocks[segment.like]
            for core, count in self._shares(segment):
                if runs[core] and runs[core][-1][0] == block:
                    count += runs[core].pop()[1]
                runs[core].append((block, count))
        alike: dict[tuple[tuple[int, int], ...], int] = {}
        for run in runs:
            alike[tuple(run)] = alike.get(tuple(run), 0) + 1
        before = self._control_block(self._program.prologue)
        after = self._control_block(self._program.epilogue)
        for done, count in self._few(alike):
            self._recorder.begin()
            self._recorder.repeat(before)
            self._sequence(done)
            self._recorder.repeat(after)
            programs = sum(times for _, times in done)
            block = self._recorder.end()
            self._recorder.trace.cores.append(CoreTrace(block, count, programs))

    def _sequence(self, run: Sequence[tuple[int, int]]) -> None:
        if all(count == 1 for _, count in run):
            self._recorder.sequence([block for block, _ in run])
            return
        for block, count in run:
            self._recorder.repeat(block, count)

    def _shares(self, segment: _Segment) -> Iterator[tuple[int, int]]:
        length = segment.end - segment.start
        for place in range(min(length, self.cores)):
            core = (segment.start + place) % self.cores
            yield core, -(-(length - place) // self.cores)

    def _control_block(self, body: list[Instruction]) -> int:
        self._recorder.begin()
        if not self._with_data:
            self._run(body)
        return self._recorder.end()

    def _few(
        self, alike: dict[tuple[tuple[int, int], ...], int]
    ) -> list[tuple[tuple[tuple[int, int], ...], int]]:
        """The cores that differ; where replaying all of them would take long, some stand for
        others that have about as much to do."""
        sizes: dict[int, int] = {}
        weights = {
            run: sum(self._size(block, sizes) * min(count, 6) for block, count in run)
            for run in alike
        }
        if sum(weights.values()) <= _REPLAYED_STEPS or len(alike) <= 3:
            return list(alike.items())
        ordered = sorted(alike, key=lambda run: sum(self._work(b) * n for b, n in run))
        keep = max(3, len(ordered) * _REPLAYED_STEPS // sum(weights.values()))
        chosen = [ordered[round(i * (len(ordered) - 1) / (keep - 1))] for i in range(keep)]
        counts = dict.fromkeys(chosen, 0)
        for place, run in enumerate(ordered):
            nearest = chosen[round(place * (keep - 1) / (len(ordered) - 1))]
            counts[nearest] += alike[run]
        self._notes.append(f"{len(counts)} of {len(alike)} cores that differ stand for all")
        return [(run, count) for run, count in counts.items() if count]

    def _size(self, block: int, sizes: dict[int, int]) -> int:
        """Steps that a replay of the block takes."""
        if block not in sizes:
            trace = self._recorder.trace
            sizes[block] = sum(
                1
                if n >= 0
                else self._size(trace.repeats[~n][0], sizes) * min(trace.repeats[~n][1], 6)
                for n in trace.blocks[block]
            )
        return sizes[block]

    def _work(self, block: int) -> int:
        """All steps of the block, to compare cores by."""
        trace = self._recorder.trace
        return sum(
            1 if n >= 0 else self._work(trace.repeats[~n][0]) * trace.repeats[~n][1]
            for n in trace.blocks[block]
        )

    # ---- which programs are alike

    def _segments(self) -> list[_Segment]:
        """Looks at the beginnings of programs, of all or of a part of the grid."""
        self._signatures: dict[int, int] = {}
        skim = self._skim = _Skim()
        self._look_at(0)
        most = min(max(_SKIMMED_STEPS // max(skim.steps, 1), 2 * self.cores), _MOST_SKIMMED)
        if self.programs <= most:
            chosen = range(self.programs)
        else:
            first = range(max(most // 2, self.cores))  # neighbours, which say what the L2 holds
            others = random.Random(0).sample(range(self.programs), most // 2)
            chosen = sorted({*first, *others, self.programs - 1})  # type: ignore[assignment]
            self._notes.append(f"{len(chosen):,} of {self.programs:,} programs were looked at")
            self._neighbours = len(first)
        items = [self._look_at(number) for number in chosen]
        self._skim = None
        neighbours = items if self.programs <= most else items[: self._neighbours]
        self._recorder.trace.items.extend(neighbours)
        ends = [*list(chosen)[1:], self.programs]
        return [_Segment(start, end, start) for start, end in zip(chosen, ends, strict=True)]

    def _look_at(self, number: int) -> dict[int, Item]:
        skim = self._skim
        assert skim is not None
        skim.begin()
        self._run_quietly(self._program.body, number)
        self._signatures[number] = skim.end()
        return skim.items()

    # ---- instructions

    def _new_core(self) -> Core:
        core = Core([0] * self._program.registers, Order(), {}, {})
        self._bind(core)
        return core

    def _run_quietly(self, body: list[Instruction], number: int = 0) -> None:
        self._recorder.begin()
        self._place(number)
        self._run(body)
        self._recorder.end()

    def _run(self, body: list[Instruction]) -> None:
        if self._with_data:
            super()._run(body)
            return
        for instruction in body:
            kind = type(instruction)
            if kind in _CONTROL:
                _RUN[kind](self, instruction)
                continue
            self._record(instruction)
            scalar = _SCALARS.get(kind)
            if scalar is not None:
                scalar(self, instruction)

    def _record(self, instruction: Instruction) -> None:
        if self._skim is None:
            self._recorder.step(instruction, self._registers)
        else:
            self._skim.step(instruction, self._registers)

    def _assign_known(self, assign: Assign) -> None:
        if any(self._is_unknown(source) for source in assign.sources):
            self._registers[assign.target.index] = _UNKNOWN
        else:
            self._assign(assign)

    def _is_unknown(self, source: Any) -> bool:
        if isinstance(source, Register):
            return self._registers[source.index] is _UNKNOWN
        if isinstance(source, Poly):
            return any(
                self._registers[r.index] is _UNKNOWN for term, _ in source.terms for r in term
            )
        return isinstance(source, View)

    def _read_unknown(self, read: ReadLane) -> None:
        self._registers[read.target.index] = _UNKNOWN

    def _load_known(self, access: LaneMemory) -> None:
        """A scalar that is loaded from what the kernel does not write is what stands there."""
        if not isinstance(access.target, Register):
            return
        is_plain = isinstance(access.op, ir.Load) and not (self._written & {access.group, "*"})
        if is_plain and not any(self._is_unknown(source) for source in access.sources):
            self._lane_memory(access)
        else:
            self._registers[access.target.index] = _UNKNOWN

    # ---- loops

    def _trips(self, loop: Loop, values: range) -> None:
        if self._with_data:
            super()._trips(loop, values)
        elif self._skim is not None:
            self._skim_trips(self._skim, loop, values)
        elif len(values) <= _FEW_TRIPS:
            self._recorder.sequence([self._trip(loop, value) for value in values])
        else:
            self._sparse_trips(loop, values)

    def _skim_trips(self, skim: _Skim, loop: Loop, values: range) -> None:
        """The first trip, the second (to see what moves), and the state behind the last."""
        skim.mark(loop, len(values))
        stepper = _Stepper(self, loop, values)
        for trip in range(min(len(values), 2 if skim.is_first else 1)):
            with skim.trip(trip, len(values)):
                stepper.trip(trip)
        if len(values) > 1:
            with skim.silence():
                stepper.move_to(len(values) - 1)
                stepper.body()

    def _sparse_trips(self, loop: Loop, values: range) -> None:
        stepper = _Stepper(self, loop, values)
        blocks = [self._step_block(stepper, trip) for trip in range(5)]
        period = next(
            (p for p in (1, 2) if blocks[2] == blocks[2 + p] and blocks[4 - p] == blocks[4]), 0
        )
        if not period or not stepper.is_even():
            rest = [self._step_block(stepper, trip) for trip in range(5, len(values))]
            self._recorder.sequence([*blocks, *rest])
            return
        self._recorder.sequence(blocks)
        if period == 1:
            found = _changes(lambda trip: self._step_block(stepper, trip), 5, len(values))
            for block, count in found:
                self._recorder.repeat(block, count)
        else:
            self._in_pairs(stepper, blocks[3:5], len(values))
        if stepper.at != len(values) - 1:
            self._recorder.begin()
            stepper.move_to(len(values) - 1)
            stepper.trip(len(values) - 1)
            self._recorder.end()

    def _in_pairs(self, stepper: _Stepper, pair: list[int], trips: int) -> None:
        """Trips that alternate, from the sixth on."""
        pairs = (trips - 5) // 2
        both = self._recorder.pair(pair)
        self._recorder.repeat(both, max(pairs - 1, 0))
        for trip in range(5 + 2 * max(pairs - 1, 0), trips):
            self._recorder.repeat(self._step_block(stepper, trip))

    def _step_block(self, stepper: _Stepper, trip: int) -> int:
        self._recorder.begin()
        stepper.move_to(trip)
        stepper.trip(trip)
        return self._recorder.end()

    def _carried_by(self, loop: Loop) -> tuple[Register, ...]:
        """The registers that a trip reads before it assigns them."""
        key = id(loop)
        if key not in self._carried:
            assigned: set[int] = set()
            read: set[int] = set()
            targets = []
            for instruction in walk(loop.body):
                if isinstance(instruction, Assign):
                    read |= {r.index for r in _registers_of(instruction.sources)} - assigned
                    assigned.add(instruction.target.index)
                    targets.append(instruction.target)
            self._carried[key] = tuple({r for r in targets if r.index in read})
        return self._carried[key]

    # ---- with data

    @contextmanager
    def _memory_kept(self) -> Iterator[None]:
        """Inside, the arguments may be written; afterwards they hold what they held before."""
        saved = []
        total = 0
        for allocation in self._launch._memory.allocations:
            if allocation.nbytes is None:
                raise UnsupportedError(
                    f"timing depends on data, and the extent of {allocation.name} is unknown",
                    location=self._program.kernel.location,
                    hint='mode="functional", which computes everything',
                )
            total += allocation.nbytes
            if total > _SNAPSHOT_BYTES:
                raise UnsupportedError(
                    f"timing depends on data, and the arguments have more than {total:,} bytes",
                    location=self._program.kernel.location,
                    hint='mode="functional", which computes everything',
                )
            if allocation.writable and allocation.nbytes:
                content = ctypes.string_at(allocation.base, allocation.nbytes)
                saved.append((allocation.base, content))
        try:
            yield
        finally:
            for base, content in saved:
                ctypes.memmove(base, content, len(content))


class _Stepper:
    """Runs trips of a loop out of order: registers that a loop carries advance evenly."""

    def __init__(self, simulator: TimingSimulator, loop: Loop, values: range) -> None:
        self._simulator = simulator
        self._loop = loop
        self._values = values
        self._registers = simulator._registers
        self._carried = simulator._carried_by(loop)
        self._seen: list[list[Any]] = [self._state()]
        self.at = -1

    def _state(self) -> list[Any]:
        return [self._registers[r.index] for r in self._carried]

    def trip(self, trip: int) -> None:
        """Runs one trip where the registers are set for it."""
        loop = self._loop
        value = self._values[trip]
        self._registers[loop.index.index] = np.asarray(value, dtype_of(loop.index.type))
        self._simulator._record(loop)
        self._simulator._run(loop.body)
        self.at = trip
        if trip == len(self._seen) - 1 and trip < 3:
            self._seen.append(self._state())

    def body(self) -> None:
        """The last trip, where registers were moved to it."""
        self.trip(len(self._values) - 1)

    def is_even(self) -> bool:
        """Whether all carried registers advanced by the same steps so far."""
        if len(self._seen) < 3:
            return False
        for states in zip(*self._seen, strict=True):
            if any(not _is_integer(state) for state in states):
                if any(state is not states[0] for state in states):
                    return False
                continue
            steps = {int(b) - int(a) for a, b in pairwise(states)}
            if len(steps) > 1:
                return False
        return True

    def move_to(self, trip: int) -> None:
        """Sets the carried registers as they are before a trip."""
        if trip == self.at + 1 or len(self._seen) < 2:
            return
        for register, before, after in zip(
            self._carried, self._seen[0], self._seen[1], strict=True
        ):
            if not (_is_integer(before) and _is_integer(after)):
                continue
            dtype = np.asarray(after).dtype
            value = int(before) + trip * (int(after) - int(before))
            self._registers[register.index] = np.asarray(value).astype(dtype)


class _Skim:
    """What the beginning of a program looks like: its signature, and the memory it touches."""

    def __init__(self) -> None:
        self._recorder = Recorder()
        self._path: list[tuple[int, int]] = []
        self._seen: dict[int, dict[tuple[int, ...], tuple[int, int, tuple[int, ...]]]] = {}
        self._copies: dict[int, Instruction] = {}
        self._is_silent = False
        self.steps = 0

    def begin(self) -> None:
        self._recorder.begin()
        self._seen.clear()

    def end(self) -> int:
        return self._recorder.end()

    def step(self, instruction: Instruction, registers: Sequence[Any]) -> None:
        self.steps += 1
        if self._is_silent:
            return
        if self.is_first:
            self._recorder.step(instruction, registers)
        if moves_user_memory(instruction):
            address = instruction.address.value(registers)  # type: ignore[attr-defined]
            size = measure(instruction, registers).bytes
            path = tuple(trip for trip, _ in self._path)
            counts = tuple(count for _, count in self._path)
            self._copies[id(instruction)] = instruction
            seen = self._seen.setdefault(id(instruction), {})
            seen.setdefault(path, (address, size, counts))

    @property
    def is_first(self) -> bool:
        """Whether no loop around is beyond its first trip."""
        return not any(trip for trip, _ in self._path)

    def mark(self, loop: Loop, trips: int) -> None:
        """The number of trips is a part of the signature."""
        if self.is_first and not self._is_silent:
            self._recorder.repeat(self._recorder.block(()), trips)

    @contextmanager
    def trip(self, trip: int, trips: int) -> Iterator[None]:
        self._path.append((trip, trips))
        try:
            yield
        finally:
            self._path.pop()

    @contextmanager
    def silence(self) -> Iterator[None]:
        before, self._is_silent = self._is_silent, True
        try:
            yield
        finally:
            self._is_silent = before

    def items(self) -> dict[int, Item]:
        """Per copy the part of memory it goes through in the whole program: a loop whose second
        trip has another address multiplies the part, others only what is moved."""
        found = {}
        for key, seen in self._seen.items():
            first = next(iter(seen))
            address, size, counts = seen[first]
            part = moved = size
            for level, count in enumerate(counts):
                moved *= count
                second = (*first[:level], 1, *first[level + 1 :])
                if second in seen and seen[second][0] != address:
                    part *= count
            is_written = any(writes for _, writes in self._copies[key].groups())
            found[key] = Item(address, part, moved, is_written)
        return found


def _changes(block_at: Callable[[int], int], first: int, end: int) -> list[tuple[int, int]]:
    """(block, count) of the trips ``first`` .. ``end``: where both ends and the middle of a stretch
    are alike, all of it is taken to be."""
    known = {trip: block_at(trip) for trip in (first, end - 1)}

    def look(low: int, high: int, is_checked: bool) -> None:
        if high - low < 2 or (is_checked and known[low] == known[high]):
            return
        middle = (low + high) // 2
        known[middle] = block_at(middle)
        look(low, middle, known[low] == known[middle] == known[high])
        look(middle, high, known[low] == known[middle] == known[high])

    look(first, end - 1, False)
    runs: list[tuple[int, int]] = []
    places = sorted(known)
    for place, following in zip(places, [*places[1:], end], strict=True):
        runs.append((known[place], following - place))
    return runs


def _registers_of(sources: Sequence[Any]) -> Iterator[Register]:
    for source in sources:
        if isinstance(source, Register):
            yield source
        elif isinstance(source, Poly):
            for term, _ in source.terms:
                yield from term


def _is_integer(value: Any) -> bool:
    if isinstance(value, np.ndarray):
        return value.dtype.kind in "iu"
    return isinstance(value, int)


_SCALARS: dict[type[Instruction], Any] = {
    Assign: TimingSimulator._assign_known,
    LaneMemory: TimingSimulator._load_known,
    ReadLane: TimingSimulator._read_unknown,
}
