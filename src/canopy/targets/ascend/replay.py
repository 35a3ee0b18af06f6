"""The timing model: when the pipes of all cores do what was recorded.

Within a core this is a discrete-event simulation: the scalar unit issues one instruction a cycle,
each pipe takes its own in order, a wait holds it until the event is set. All cores share HBM and
L2: copies of different cores are taken to be spread evenly in time, so each runs at the rate at
which what all cores ask for together is what the memory gives (`_Sharing`). A block that repeats is
followed until every pipe advances by the same time from trip to trip; the rest is reckoned.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.costs import Traffic, Work, cost
from canopy.targets.ascend.npu import Barrier, Pipe, SetEvent, WaitEvent
from canopy.targets.ascend.recorder import CoreTrace, Trace

__all__ = ["MOST_SPANS", "Outcome", "Span", "replay"]

_PIPES = {pipe: number for number, pipe in enumerate(Pipe)}
_SCALAR = _PIPES[Pipe.S]
_WORK, _SET, _WAIT, _BARRIER = range(4)
MOST_SPANS = 20_000  # of a core, that a timeline shows
_MOST_ROUNDS = 12  # of the search for rates
_CLOSE = 0.005
_SETTLED_TRIPS = 3


class Span(NamedTuple):
    """A pipe is busy with a step; number -1 stands for ``trips`` trips that were reckoned, in which
    it is busy for ``share`` of the time."""

    pipe: int
    start: float
    end: float
    step: int
    trips: int = 0
    share: float = 1.0


@dataclass(slots=True)
class Outcome:
    """Times in cycles. Per entry of the trace's ``cores``: when it is done, and the busy cycles of
    each pipe; bytes and operations of the whole launch."""

    cycles: float = 0.0
    ends: list[float] = field(default_factory=list)
    busy: list[list[float]] = field(default_factory=list)
    spans: list[list[Span]] = field(default_factory=list)
    hbm_bytes: float = 0.0
    l2_bytes: float = 0.0
    moved_bytes: float = 0.0
    flops: int = 0


def replay(
    trace: Trace, chip: Chip, misses: Mapping[int, float], with_spans: bool = False
) -> Outcome:
    """The times of a launch on a chip; ``misses`` is the share of a copy's bytes that HBM moves."""
    sharing = _Sharing(trace, chip, misses)
    outcome = Outcome()
    rates = sharing.settle()
    durations = sharing.durations(rates)
    for core in trace.cores:
        run = _Core(trace, durations, sharing.latencies, chip, with_spans)
        outcome.ends.append(run.run(core))
        outcome.spans.append(run.spans)
    counts = sharing.counts
    for core, count in zip(trace.cores, counts, strict=True):
        outcome.busy.append(sharing.busy(count, durations))
        hbm, l2 = sharing.demand(count)
        outcome.hbm_bytes += hbm * core.count
        outcome.l2_bytes += l2 * core.count
        outcome.moved_bytes += core.count * sum(
            n * a for n, a in zip(count, sharing.user_bytes, strict=True) if n
        )
        outcome.flops += core.count * sum(
            n * w.flops for n, w in zip(count, sharing.work, strict=True) if n
        )
    hbm_cycles = outcome.hbm_bytes / sharing.hbm
    outcome.cycles = max([*outcome.ends, hbm_cycles, outcome.l2_bytes / sharing.l2], default=0.0)
    outcome.cycles += chip.launch_cycles
    return outcome


class _Rates(NamedTuple):
    """Bytes per cycle that one copy gets."""

    hbm: float
    l2: float


class _Sharing:
    """What the steps take, and how the cores share the memories."""

    def __init__(self, trace: Trace, chip: Chip, misses: Mapping[int, float]) -> None:
        self._trace = trace
        self._chip = chip
        self.hbm = chip.hbm_bytes_per_second * chip.hbm_efficiency / chip.clock_hz
        self.l2 = chip.l2_bytes_per_second / chip.clock_hz
        self.work: list[Work] = [cost(i, amount, chip) for i, amount in trace.steps]
        self.latencies = [work.latency for work in self.work]
        self.user_bytes = [
            amount.bytes if work.traffic in (Traffic.READ, Traffic.WRITE) else 0
            for (_, amount), work in zip(trace.steps, self.work, strict=True)
        ]
        self._missed = [
            min(misses.get(id(i), 1.0), 1.0) if w.traffic in (Traffic.READ, Traffic.WRITE) else 0.0
            for (i, _), w in zip(trace.steps, self.work, strict=True)
        ]  # what the parts of a core hand to each other is taken to stay in the L2
        self.counts = trace.counts()

    def demand(self, counts: list[int]) -> tuple[float, float]:
        """Bytes of a core through the HBM, and through the L2."""
        hbm = l2 = 0.0
        for count, work, missed in zip(counts, self.work, self._missed, strict=True):
            if count and work.bytes:
                hbm += count * work.bytes * missed
                l2 += count * work.bytes
        return hbm, l2

    def settle(self) -> _Rates:
        """The rates at which all cores together ask for no more than there is."""
        chip, trace = self._chip, self._trace
        highest = max(chip.l2_read_bytes_per_cycle, chip.l2_write_bytes_per_cycle)
        rates = _Rates(max(chip.copy_in_bytes_per_cycle, chip.copy_out_bytes_per_cycle), highest)
        cores = sum(core.count for core in trace.cores)
        lowest = _Rates(self.hbm / max(cores, 1), self.l2 / max(cores, 1))
        demands = [self.demand(count) for count in self.counts]
        for _ in range(_MOST_ROUNDS):
            durations = self.durations(rates)
            hbm = l2 = 0.0
            for core, (of_hbm, of_l2) in zip(trace.cores, demands, strict=True):
                end = _Core(trace, durations, self.latencies, chip, False).run(core)
                hbm += core.count * of_hbm / max(end, 1.0)
                l2 += core.count * of_l2 / max(end, 1.0)
            over = max(hbm / self.hbm, l2 / self.l2)
            if over <= 1 + _CLOSE:
                return rates
            rates = _Rates(
                max(rates.hbm / max(hbm / self.hbm, 1.0), min(lowest.hbm, rates.hbm)),
                max(rates.l2 / max(l2 / self.l2, 1.0), min(lowest.l2, rates.l2)),
            )
        return rates

    def durations(self, rates: _Rates) -> list[float]:
        return [self._duration(w, m, rates) for w, m in zip(self.work, self._missed, strict=True)]

    def _duration(self, work: Work, missed: float, rates: _Rates) -> float:
        if not work.bytes:
            return work.cycles
        chip = self._chip
        reads = work.traffic in (Traffic.READ, Traffic.EXCHANGE_IN)
        hbm = chip.copy_in_bytes_per_cycle if reads else chip.copy_out_bytes_per_cycle
        l2 = chip.l2_read_bytes_per_cycle if reads else chip.l2_write_bytes_per_cycle
        from_hbm = work.bytes * missed / min(hbm, rates.hbm)
        return work.cycles + max(from_hbm, work.bytes / min(l2, rates.l2))  # side by side

    def busy(self, counts: list[int], durations: list[float]) -> list[float]:
        found = [0.0] * len(_PIPES)
        for count, (instruction, _), duration in zip(
            counts, self._trace.steps, durations, strict=True
        ):
            if count and not isinstance(instruction, SetEvent | WaitEvent | Barrier):
                found[_PIPES[instruction.pipe]] += count * duration
        return found


class _Core:
    """The clock of one core: ``time`` holds when each pipe is free, and behind that, when all that
    it was given has arrived."""

    def __init__(
        self,
        trace: Trace,
        durations: list[float],
        latencies: list[float],
        chip: Chip,
        with_spans: bool,
    ) -> None:
        self._trace = trace
        self._durations = durations
        self._latencies = latencies
        self._event_cycles = chip.event_cycles
        self.time = [0.0] * (2 * len(_PIPES))
        self.spans: list[Span] = []
        self._room = MOST_SPANS if with_spans else 0
        self._signals: dict[tuple[Pipe, Pipe, int], float] = {}
        self._steps = [_step(instruction) for instruction, _ in trace.steps]

    def run(self, core: CoreTrace) -> float:
        self._block(core.block)
        return max(self.time)

    def _block(self, number: int) -> None:
        time, steps, durations, signals = self.time, self._steps, self._durations, self._signals
        latencies, behind = self._latencies, len(_PIPES)
        for node in self._trace.blocks[number]:
            if node < 0:
                self._repeat(*self._trace.repeats[~node])
                continue
            kind, pipe, key = steps[node]
            if kind == _WORK:
                start = time[pipe]
                if time[0] > start:
                    start = time[0]
                end = start + durations[node]
                time[pipe] = end
                if end + latencies[node] > time[pipe + behind]:
                    time[pipe + behind] = end + latencies[node]
                if pipe:
                    time[0] += 1.0
                if self._room and end > start:
                    self._room -= 1
                    self.spans.append(Span(pipe, start, end, node))
            elif kind == _SET:
                signals[key] = max(time[pipe], time[pipe + behind], time[0])
            elif kind == _WAIT:
                at = signals.pop(key, 0.0) + self._event_cycles
                if at > time[pipe]:
                    time[pipe] = at
            else:
                time[:] = [max(time)] * len(time)

    def _repeat(self, block: int, count: int) -> None:
        """Trips until all pipes advance evenly; the rest at once, as far as no pipe overtakes
        another."""
        left, steps, settled = count, [0.0] * len(self.time), 0
        while left:
            before = list(self.time)
            self._block(block)
            left -= 1
            moved = [now - then for now, then in zip(self.time, before, strict=True)]
            is_same = all(_close(a, b) for a, b in zip(moved, steps, strict=True))
            settled = settled + 1 if is_same else 0
            steps = moved
            if settled >= _SETTLED_TRIPS and left > 1:
                trips = min(left, self._meeting(steps))
                if trips > 1:
                    self._jump(block, steps, trips)
                    left -= trips

    def _meeting(self, steps: list[float]) -> int:
        """Trips before a pipe that is behind catches up with another."""
        trips = float("inf")
        used = [pipe for pipe, step in enumerate(steps) if step]
        for ahead in used:
            for behind in used:
                gap = self.time[ahead] - self.time[behind]
                closing = steps[behind] - steps[ahead]
                if gap > 0 and closing > 1e-9 * steps[behind]:
                    trips = min(trips, gap / closing - 1)
        return max(int(trips), 0) if trips != float("inf") else 1 << 62

    def _jump(self, block: int, steps: list[float], trips: int) -> None:
        if self._room:
            for pipe, busy in self._busy(block).items():
                start, end = self.time[pipe], self.time[pipe] + steps[pipe] * trips
                if busy and end > start:
                    share = min(busy / steps[pipe], 1.0)
                    self.spans.append(Span(pipe, start, end, -1, trips, share))
        for pipe, step in enumerate(steps):
            self.time[pipe] += step * trips
        for key in self._signals:
            self._signals[key] += self._pace(steps, _PIPES[key[0]]) * trips

    @staticmethod
    def _pace(steps: list[float], pipe: int) -> float:
        """What an event of a pipe advances by in a trip."""
        return max(steps[pipe], steps[pipe + len(_PIPES)], steps[_SCALAR])

    def _busy(self, block: int) -> dict[int, float]:
        """Cycles of work that a block has for each pipe."""
        found: dict[int, float] = {}
        for node in self._trace.blocks[block]:
            if node < 0:
                inner, times = self._trace.repeats[~node]
                for pipe, cycles in self._busy(inner).items():
                    found[pipe] = found.get(pipe, 0.0) + cycles * times
            elif self._steps[node][0] == _WORK:
                pipe = self._steps[node][1]
                found[pipe] = found.get(pipe, 0.0) + self._durations[node]
        return found


def _close(left: float, right: float) -> bool:
    return abs(left - right) <= 1e-6 * max(abs(left), abs(right), 1.0)


def _step(instruction: object) -> tuple[int, int, tuple[Pipe, Pipe, int]]:
    nothing = (Pipe.S, Pipe.S, 0)
    if isinstance(instruction, SetEvent):
        key = (instruction.source, instruction.target, instruction.event)
        return _SET, _PIPES[instruction.source], key
    if isinstance(instruction, WaitEvent):
        key = (instruction.source, instruction.target, instruction.event)
        return _WAIT, _PIPES[instruction.target], key
    if isinstance(instruction, Barrier):
        return _BARRIER, 0, nothing
    pipe = instruction.pipe  # type: ignore[attr-defined]
    return _WORK, _PIPES[pipe], nothing
