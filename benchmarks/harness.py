"""Measures contestants side by side: what a case is, and how it is timed.

    @case("softmax 4096x4096 f32", tiny={"rows": 3, "columns": 100}, rows=4096, columns=4096)
    def softmax(rows: int, columns: int) -> Contest: ...    # builds inputs, names the contestants

All contestants of a case run in turns within one process, the order rotating from round to round,
so that a noisy neighbour or a falling clock hits all of them. A figure is the median over the
rounds, its spread the distance from the 10th to the 90th percentile. Before anything is timed each
contestant's result is compared with the expected one: a fast wrong answer is an error.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

__all__ = [
    "CASES",
    "Case",
    "Contest",
    "Contestant",
    "Measurement",
    "SkippedError",
    "WrongResultError",
    "case",
    "check_results",
    "compare",
    "measure",
    "require_backend",
]

MIN_SAMPLE_S = 2e-3
# The threads of the contestant before still spin for some milliseconds (libgomp's do, about 5) and
# would take a core from the next one: each waits this long, then a short call runs untimed.
SETTLING_S = 8e-3
SHORT_S = 20e-3
SLOW_S = 0.5
MIN_ROUNDS = 5
MAX_ROUNDS = 60
PATIENCE = 4  # a case so slow that MIN_ROUNDS take this many budgets more gets FEWEST_ROUNDS
FEWEST_ROUNDS = 3


class SkippedError(Exception):
    """A case or a peer that cannot run here; the message says why."""


class WrongResultError(Exception):
    """A contestant whose result differs from the expected one."""


@dataclass(frozen=True)
class Contestant:
    """One way to do the work. ``run`` returns its results where ``outputs`` is ``fresh``; where it
    is ``reused`` it writes the contest's outputs; a limit of the machine has ``none``."""

    name: str
    run: Callable[[], Any]
    outputs: str


@dataclass
class Contest:
    """The contestants of one case.

    ``outputs`` are the tensors that reused outputs are written to. ``expected`` gives what must
    stand in them, with a relative error of at most ``tolerance`` of the largest value; ``check``
    replaces the comparison where the result is random. ``bytes_moved`` and ``operations`` (per
    call) turn times into rates.
    """

    outputs: Sequence[torch.Tensor]
    expected: Callable[[], Sequence[torch.Tensor]] | None = None
    tolerance: float = 1e-4
    check: Callable[[Sequence[torch.Tensor]], None] | None = None
    bytes_moved: int = 0
    operations: int = 0
    contestants: list[Contestant] = field(default_factory=list)
    missing: dict[str, str] = field(default_factory=dict)

    def add(
        self,
        name: str,
        into: Callable[..., Any] | None = None,
        fresh: Callable[[], Any] | None = None,
    ) -> None:
        """Adds a contestant that works both ways. ``into(*outputs)`` writes given outputs;
        ``fresh()`` returns new ones, and is `into` with newly allocated tensors if left out."""
        if into is not None:
            self.contestants.append(Contestant(name, lambda: into(*self.outputs), "reused"))
            fresh = fresh or (lambda: _into_new(into, self.outputs))
        if fresh is not None:
            self.contestants.append(Contestant(name, fresh, "fresh"))

    def add_peer(self, name: str, make: Callable[[], Callable[..., Any]]) -> None:
        """Adds what ``make`` returns, an ``into``; notes why where it raises `SkippedError`."""
        try:
            self.add(name, make())
        except SkippedError as reason:
            self.missing[name] = str(reason)

    def add_fresh_peer(self, name: str, make: Callable[[], Callable[[], Any]]) -> None:
        """The same for a peer that always returns new outputs."""
        try:
            self.add(name, fresh=make())
        except SkippedError as reason:
            self.missing[name] = str(reason)

    def add_limit(self, name: str, run: Callable[[], None]) -> None:
        """Adds what the machine can do at best with the same bytes or operations."""
        self.contestants.append(Contestant(f"limit: {name}", run, "none"))


def _into_new(
    into: Callable[..., Any], outputs: Sequence[torch.Tensor]
) -> tuple[torch.Tensor, ...]:
    fresh = tuple(torch.empty_like(output) for output in outputs)
    into(*fresh)
    return fresh


@dataclass(frozen=True)
class Case:
    """A benchmark at the size it is measured at, and at a tiny one for the tests."""

    name: str
    build: Callable[..., Contest]
    size: Mapping[str, Any]
    tiny: Mapping[str, Any]

    def contest(self, *, tiny: bool = False) -> Contest:
        """Builds inputs and contestants, from the same random numbers each time."""
        torch.manual_seed(0)
        return self.build(**{**self.size, **(self.tiny if tiny else {})})


@dataclass(frozen=True)
class Measurement:
    """The time of one contestant; ``low_s`` and ``high_s`` are the 10th and 90th percentile."""

    case: str
    contestant: str
    outputs: str
    threads: int
    median_s: float
    low_s: float
    high_s: float
    rounds: int
    calls_per_round: int
    bytes_moved: int = 0
    operations: int = 0

    @property
    def spread(self) -> float:
        return (self.high_s - self.low_s) / self.median_s

    @property
    def rate(self) -> str:
        """GB/s or GFLOP/s, whichever the case is about."""
        if self.operations:
            return f"{self.operations / self.median_s / 1e9:.1f} GFLOP/s"
        if self.bytes_moved:
            return f"{self.bytes_moved / self.median_s / 1e9:.1f} GB/s"
        return ""


CASES: list[Case] = []


def case(
    name: str, *, tiny: Mapping[str, Any] | None = None, **size: Any
) -> Callable[[Callable[..., Contest]], Callable[..., Contest]]:
    """Registers a function that builds a contest; ``size`` and ``tiny`` are its arguments."""

    def register(build: Callable[..., Contest]) -> Callable[..., Contest]:
        if any(known.name == name for known in CASES):
            raise ValueError(f"two benchmarks are called {name!r}")
        CASES.append(Case(name, build, size, tiny or {}))
        return build

    return register


def require_backend() -> None:
    """Raises `SkippedError` unless Triton kernels can run on CPU tensors here."""
    from triton.backends import backends

    if "cpu" not in backends:
        raise SkippedError("triton has no cpu backend here (pip install -e .)")


def measure(
    contest: Contest, name: str, threads: int, budget_s: float, max_rounds: int = MAX_ROUNDS
) -> list[Measurement]:
    """Checks and times every contestant. Raises `WrongResultError`."""
    first_s = check_results(contest)
    contestants = contest.contestants
    once_s = [_once_s(*pair) for pair in zip(contestants, first_s, strict=True)]
    calls = [max(1, min(2000, round(MIN_SAMPLE_S / once))) for once in once_s]
    samples: list[list[float]] = [[] for _ in contestants]
    deadline = time.perf_counter() + budget_s
    gc.collect()
    gc.disable()
    try:
        for round_number in range(max_rounds):
            late_s = time.perf_counter() - deadline
            if round_number >= MIN_ROUNDS and late_s > 0:
                break
            if round_number >= FEWEST_ROUNDS and late_s > PATIENCE * budget_s:
                break
            for position in range(len(contestants)):
                index = (position + round_number) % len(contestants)
                time.sleep(SETTLING_S)
                if once_s[index] < SHORT_S:
                    contestants[index].run()
                samples[index].append(_time_s(contestants[index].run, calls[index]))
    finally:
        gc.enable()
    return [
        _summary(contest, name, contestant, threads, times, count)
        for contestant, times, count in zip(contestants, samples, calls, strict=True)
    ]


def _summary(
    contest: Contest,
    name: str,
    contestant: Contestant,
    threads: int,
    times: list[float],
    calls: int,
) -> Measurement:
    ordered = sorted(times)
    return Measurement(
        case=name,
        contestant=contestant.name,
        outputs=contestant.outputs,
        threads=threads,
        median_s=statistics.median(ordered),
        low_s=ordered[len(ordered) // 10],
        high_s=ordered[-1 - len(ordered) // 10],
        rounds=len(ordered),
        calls_per_round=calls,
        bytes_moved=contest.bytes_moved,
        operations=contest.operations,
    )


def _time_s(run: Callable[[], Any], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - begin) / calls


def _once_s(contestant: Contestant, first_s: float) -> float:
    """A first idea of how long a call takes, after the one that may have compiled; what takes
    seconds even so is not asked again."""
    once_s = _time_s(contestant.run, 1) if first_s < SLOW_S else first_s
    if once_s < SHORT_S:
        once_s = min(_time_s(contestant.run, 1) for _ in range(2))
    return max(once_s, 1e-7)


# -- Results --------------------------------------------------------------------------------------


def check_results(contest: Contest) -> list[float]:
    """Runs each contestant once and gives the seconds it took, compiling included. Raises
    `WrongResultError` where one gives something else than it should."""
    expected = contest.expected() if contest.expected else ()
    seconds = []
    for contestant in contest.contestants:
        if contestant.outputs == "reused":
            for output in contest.outputs:
                output.fill_(float("nan") if output.is_floating_point() else 77)
        begin = time.perf_counter()
        returned = contestant.run()
        seconds.append(time.perf_counter() - begin)
        if contestant.outputs == "none":
            continue
        if contest.expected is None and contest.check is None:
            continue  # checked by whoever built the contest
        results = contest.outputs if contestant.outputs == "reused" else _as_tuple(returned)
        try:
            if contest.check:
                contest.check(results)
            for actual, wanted in zip(results, expected, strict=False):
                compare(actual, wanted, contest.tolerance)
        except WrongResultError as error:
            raise WrongResultError(
                f"{contestant.name} ({contestant.outputs} outputs): {error}"
            ) from None
    return seconds


def _as_tuple(returned: Any) -> Sequence[torch.Tensor]:
    return (returned,) if isinstance(returned, torch.Tensor) else tuple(returned)


def compare(actual: torch.Tensor, wanted: torch.Tensor, tolerance: float) -> None:
    """Raises `WrongResultError` where the largest error is too large, or a value is NaN. In
    pieces: some results are hundreds of megabytes large."""
    if actual.shape != wanted.shape:
        raise WrongResultError(f"shape {tuple(actual.shape)} instead of {tuple(wanted.shape)}")
    scale = wanted.abs().max().item() or 1
    piece = 1 << 22
    for first in range(0, actual.numel(), piece):
        ours, theirs = (t.reshape(-1)[first : first + piece] for t in (actual, wanted))
        error = (ours.double() - theirs.double()).abs().max().item() / scale
        # Written so that a NaN is an error as well.
        if not error <= tolerance:
            raise WrongResultError(
                f"differs by {error:.2g} of the largest value, {tolerance:.2g} is allowed"
            )
