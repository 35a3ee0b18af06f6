"""Measures contestants side by side: what a case is, and how it is timed.

    @case("add 64M f32", bytes_moved=3 * 4 * N)
    def add() -> Contest: ...           # builds the inputs, returns the contestants

All contestants of a case run in turns within one process, the order rotating from round to round,
so that a noisy neighbour or a falling clock hits all of them. A figure is the median over the
rounds, its spread the distance from the 10th to the 90th percentile. Before anything is timed each
contestant's result is compared with the first peer's: a fast wrong answer is an error.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = [
    "CASES",
    "Case",
    "Contest",
    "Contestant",
    "Measurement",
    "SkippedError",
    "case",
    "measure",
    "require_backend",
]

MIN_SAMPLE_S = 2e-3
MIN_ROUNDS = 7
MAX_ROUNDS = 60


class SkippedError(Exception):
    """A case that cannot run here; the message says why."""


class WrongResultError(Exception):
    """A contestant whose result differs from its peer's."""


@dataclass(frozen=True)
class Contestant:
    """One way to do the work. ``outputs`` is ``reused``, ``fresh`` or ``none``."""

    name: str
    run: Callable[[], Any]
    outputs: str = "reused"


@dataclass(frozen=True)
class Contest:
    """The contestants of one case. ``tolerance`` bounds the relative error between results."""

    contestants: Sequence[Contestant]
    tolerance: float | None = 1e-4


@dataclass(frozen=True)
class Case:
    """A benchmark: ``bytes_moved`` and ``operations`` (per call) turn times into rates."""

    name: str
    build: Callable[[], Contest]
    bytes_moved: int = 0
    operations: int = 0


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
    name: str, *, bytes_moved: int = 0, operations: int = 0
) -> Callable[[Callable[[], Contest]], Callable[[], Contest]]:
    """Registers a function that builds a contest."""

    def register(build: Callable[[], Contest]) -> Callable[[], Contest]:
        if any(known.name == name for known in CASES):
            raise ValueError(f"two benchmarks are called {name!r}")
        CASES.append(Case(name, build, bytes_moved, operations))
        return build

    return register


def require_backend() -> None:
    """Raises `SkippedError` unless Triton kernels can run on CPU tensors here."""
    try:
        import torch  # noqa: F401
        from triton.backends import backends
    except ImportError as error:
        raise SkippedError(f"{error.name} is not installed") from None
    if "cpu" not in backends:
        raise SkippedError("triton has no cpu backend here (pip install -e .)")


def measure(subject: Case, threads: int, budget_s: float) -> list[Measurement]:
    """Times every contestant of a case. Raises `SkippedError` or `WrongResultError`."""
    contest = subject.build()
    contestants = contest.contestants
    _check_results(contest)
    calls = [_calls_per_round(contestant) for contestant in contestants]
    samples: list[list[float]] = [[] for _ in contestants]
    deadline = time.perf_counter() + budget_s
    gc.collect()
    gc.disable()
    try:
        for round_number in range(MAX_ROUNDS):
            if round_number >= MIN_ROUNDS and time.perf_counter() > deadline:
                break
            for position in range(len(contestants)):
                index = (position + round_number) % len(contestants)
                samples[index].append(_time_s(contestants[index].run, calls[index]))
    finally:
        gc.enable()
    return [
        _summary(subject, contestant, threads, times, count)
        for contestant, times, count in zip(contestants, samples, calls, strict=True)
    ]


def _summary(
    subject: Case, contestant: Contestant, threads: int, times: list[float], calls: int
) -> Measurement:
    ordered = sorted(times)
    return Measurement(
        case=subject.name,
        contestant=contestant.name,
        outputs=contestant.outputs,
        threads=threads,
        median_s=statistics.median(ordered),
        low_s=ordered[len(ordered) // 10],
        high_s=ordered[-1 - len(ordered) // 10],
        rounds=len(ordered),
        calls_per_round=calls,
        bytes_moved=subject.bytes_moved,
        operations=subject.operations,
    )


def _time_s(run: Callable[[], Any], calls: int) -> float:
    begin = time.perf_counter()
    for _ in range(calls):
        run()
    return (time.perf_counter() - begin) / calls


def _calls_per_round(contestant: Contestant) -> int:
    """Enough calls that one sample lasts longer than the clock is coarse."""
    contestant.run()
    once_s = min(_time_s(contestant.run, 1) for _ in range(3))
    return max(1, min(2000, round(MIN_SAMPLE_S / max(once_s, 1e-7))))


def _check_results(contest: Contest) -> None:
    if contest.tolerance is None:
        return
    import torch

    results = [(contestant, contestant.run()) for contestant in contest.contestants]
    peer, expected = results[-1]
    if not isinstance(expected, torch.Tensor):
        raise WrongResultError(f"{peer.name}: returns no tensor to compare with")
    scale = expected.abs().max().item() or 1.0
    for contestant, actual in results:
        error = (actual.float() - expected.float()).abs().max().item() / scale
        # Written so that a NaN is an error as well.
        if not error <= contest.tolerance:
            raise WrongResultError(
                f"{contestant.name} ({contestant.outputs} outputs) differs from {peer.name} by "
                f"{error:.2g} of the largest value, {contest.tolerance:.2g} is allowed"
            )


@dataclass
class Outcome:
    """What one worker found: figures, and the reasons for what is missing."""

    measurements: list[Measurement] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
