"""Open-ended differential fuzzing of a target: ``python -m tests.fuzz.run --seconds 600``.

Every seed gives a random program, run by the interpreter and by the CPU target, with arguments
known to be disjoint and not, or by the simulator of Ascend chips (``--target ascend-sim``). Many
programs share one compilation unit. Worker processes take units of seeds; one that crashes or hangs
is replaced, and its unit is tried again program by program. A state file keeps the next seed, the
counts and the coverage, so that a later run goes on where this one ends. A failing program is made
small and printed as IR text, which ``--file`` runs.

    python -m tests.fuzz.run --seconds 3600 --workers 2     goes on from the last run
    python -m tests.fuzz.run --seed 17                      one program: its failure, made small
    python -m tests.fuzz.run --file find.ir                 a reproduction
    python -m tests.fuzz.run --coverage                     what was generated so far
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import time
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from tests.fuzz import ascend
from tests.fuzz.coverage import Coverage
from tests.fuzz.engine import failures_of, is_optimized
from tests.fuzz.repro import CHECKS, as_text, minimal, run_file

__all__ = ["State", "main"]

UNIT = 32  # programs in one compilation unit
UNIT_LIMIT_S = 120.0  # a worker that takes longer hangs


@dataclass(slots=True)
class State:
    """What a run leaves for the next one."""

    next_seed: int = 0
    passed: int = 0
    refused: int = 0  # with an UnsupportedError
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)
    coverage: Coverage = field(default_factory=Coverage)

    @classmethod
    def load(cls, path: Path) -> State:
        if not path.exists():
            return cls()
        saved = json.loads(path.read_text("utf-8"))
        return cls(**{**saved, "coverage": Coverage.of(saved["coverage"])})

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        fields = {name: getattr(self, name) for name in self.__slots__}
        fields["coverage"] = self.coverage.as_saved()
        temporary.write_text(json.dumps(fields, indent=1), "utf-8")
        temporary.replace(path)


@dataclass(frozen=True, slots=True)
class _Task:
    """Seeds to run together."""

    seeds: tuple[int, ...]
    optimized: bool
    target: str = "cpu"

    def failures(self, coverage: Coverage) -> dict[int, str]:
        if self.target == "ascend-sim":
            return ascend.failures_of(self.seeds, coverage)
        return failures_of(self.seeds, optimized=self.optimized, coverage=coverage)


def _work(connection: Connection) -> None:
    """A worker: takes tasks, gives (failures, coverage) of each."""
    warnings.simplefilter("ignore", RuntimeWarning)  # NumPy's, of overflow and NaN
    while (task := connection.recv()) is not None:
        coverage = Coverage()
        failures = task.failures(coverage)
        connection.send((failures, coverage))


class _Worker:
    """A process that runs tasks, and the one it runs now."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.task: _Task | None = None
        self.since = 0.0

    def give(self, task: _Task) -> None:
        self.task, self.since = task, time.monotonic()
        self.connection.send(task)

    def has_hung(self) -> bool:
        return self.task is not None and time.monotonic() - self.since > UNIT_LIMIT_S

    def stop(self) -> str:
        """Ends the process; how it ended."""
        if self.process.is_alive() and self.has_hung():
            self.process.kill()
            self.process.join()
            return f"hangs for {UNIT_LIMIT_S:.0f} s"
        if self.process.is_alive() and self.task is None:
            self.connection.send(None)
        self.process.join(5)
        self.process.kill()
        return f"the process ends with status {self.process.exitcode}"


class _Fuzzer:
    """Hands out seeds until the time or the count is used up, and collects what comes back."""

    def __init__(
        self, state: State, first: int, count: int | None, seconds: float, target: str
    ) -> None:
        self.state = state
        self._target = target
        self.failures: dict[int, str] = {}
        self.programs = 0
        self._end = time.monotonic() + seconds if count is None else None
        self._last = None if count is None else first + count
        self._tasks = self._units(first)
        self._again: list[_Task] = []

    def _units(self, first: int) -> Iterator[_Task]:
        while self._last is None or first < self._last:
            if self._end is not None and time.monotonic() >= self._end:
                return
            last = first + UNIT if self._last is None else min(first + UNIT, self._last)
            yield _Task(tuple(range(first, last)), is_optimized(first, UNIT), self._target)
            first = last

    def run(self, workers: int, path: Path) -> None:
        started, before = time.monotonic(), self.state.seconds
        active = [_Worker() for _ in range(workers)]
        while True:
            for worker in active:
                if worker.task is None and (task := self._next_task()) is not None:
                    worker.give(task)
            busy = [worker for worker in active if worker.task is not None]
            if not busy:
                break
            ready: list[Any] = wait([worker.connection for worker in busy], timeout=5)
            for worker in busy:
                if worker.connection in ready or worker.has_hung():
                    active = self._collect(worker, active)
            self.state.seconds = before + time.monotonic() - started
            self.state.save(path)
        for worker in active:
            worker.stop()

    def _next_task(self) -> _Task | None:
        return self._again.pop() if self._again else next(self._tasks, None)

    def _collect(self, worker: _Worker, active: list[_Worker]) -> list[_Worker]:
        """Takes a worker's result; one that is gone is replaced."""
        task = worker.task
        assert task is not None
        try:
            if worker.has_hung():
                raise EOFError
            failures, coverage = worker.connection.recv()
        except (EOFError, OSError):
            ending = worker.stop()
            if len(task.seeds) > 1:
                self._again += [replace(task, seeds=(seed,)) for seed in task.seeds]
            else:
                self._note(task, {task.seeds[0]: ending}, Coverage())
            return [w for w in active if w is not worker] + [_Worker()]
        worker.task = None
        self._note(task, failures, coverage)
        return active

    def _note(self, task: _Task, failures: dict[int, str], coverage: Coverage) -> None:
        state = self.state
        refused = {seed for seed, text in failures.items() if text.startswith("refused")}
        failures = {seed: text for seed, text in failures.items() if seed not in refused}
        self.programs += len(task.seeds)
        self.failures.update(failures)
        state.coverage.add(coverage)
        state.next_seed = max(state.next_seed, task.seeds[-1] + 1)
        state.passed += len(task.seeds) - len(failures) - len(refused)
        state.refused += len(refused)
        for seed in task.seeds:
            state.failures.pop(str(seed), None)
        for seed, text in failures.items():
            state.failures[str(seed)] = text
            print(f"seed {seed}: {text}", flush=True)


def _show(seed: int, target: str, attempts: int) -> bool:
    """Prints the program of a seed, made small, if it fails."""
    for check in CHECKS[target]:
        kernel, failure = minimal(seed, target, check, attempts)
        if failure:
            print(as_text(kernel, seed, failure), flush=True)
            return True
    print(f"seed {seed}: {target} and interpreter agree")
    return False


def main(arguments: list[str] | None = None) -> int:
    """Fuzzes; the exit status is 1 if a program of this run failed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz.run")
    parser.add_argument("--target", choices=list(CHECKS), default="cpu")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--count", type=int, help="programs to run, instead of for a time")
    parser.add_argument("--start", type=int, help="first seed (default: where the last run ended)")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--seed", type=int, help="run this seed alone, and make it small")
    parser.add_argument("--file", type=Path, help="run a reproduction")
    parser.add_argument("--coverage", action="store_true", help="show what was generated so far")
    parser.add_argument("--shrink", type=int, default=3, help="how many failures to make small")
    parser.add_argument("--state", type=Path, help="default: .fuzz/TARGET.json")
    options = parser.parse_args(arguments)
    if options.state is None:
        default = f".fuzz/{options.target}.json"
        options.state = Path(os.environ.get("CANOPY_FUZZ_STATE", default))
    warnings.simplefilter("ignore", RuntimeWarning)
    if options.seed is not None:
        return int(_show(options.seed, options.target, attempts=5000))
    if options.file is not None:
        failure = run_file(options.file, options.target)
        print(failure or f"{options.target} and interpreter agree")
        return int(bool(failure))
    state = State.load(options.state)
    if options.coverage:
        print(state.coverage.table())
        return 0
    return _fuzz(state, options)


def _fuzz(state: State, options: argparse.Namespace) -> int:
    first = state.next_seed if options.start is None else options.start
    fuzzer = _Fuzzer(state, first, options.count, options.seconds, options.target)
    started = time.monotonic()
    fuzzer.run(options.workers, options.state)
    elapsed = time.monotonic() - started
    differing = [s for s, text in fuzzer.failures.items() if not text.startswith(("the", "hangs"))]
    for seed in differing[: options.shrink]:
        _show(seed, options.target, attempts=1500)
    print(
        f"{fuzzer.programs} programs in {elapsed:.0f} s ({fuzzer.programs / elapsed:.1f}/s), "
        f"{len(fuzzer.failures)} failed; in all {state.passed} passed, {state.refused} refused, "
        f"{len(state.failures)} failing, {state.seconds:.0f} s"
    )
    return int(bool(fuzzer.failures))


if __name__ == "__main__":
    raise SystemExit(main())
