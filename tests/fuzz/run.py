"""Open-ended differential fuzzing of the CPU target: ``python -m tests.fuzz.run --seconds 600``.

Every seed gives a random program, run by the interpreter and by the CPU target, once with
arguments known to be disjoint and once not. A state file keeps the next seed and the counts, so
that a later run goes on where this one ends.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from tests.fuzz.differential import compare
from tests.ir.random_programs import random_kernel

__all__ = ["State", "main", "run_seed"]

SIZES = (5, 12, 25, 40)


@dataclass(slots=True)
class State:
    """What a run leaves for the next one."""

    next_seed: int = 0
    passed: int = 0
    seconds: float = 0.0
    failures: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path) -> State:
        return cls(**json.loads(path.read_text("utf-8"))) if path.exists() else cls()

    def save(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(asdict(self), indent=1), "utf-8")
        temporary.replace(path)


def run_seed(seed: int) -> None:
    """One program on one set of arguments; raises what went wrong."""
    kernel, make_args = random_kernel(seed, SIZES[seed % len(SIZES)])
    args, grid = make_args(seed)
    compare(kernel, args, grid)


def _attempt(seed: int) -> str:
    """Empty, or the failure in one line."""
    try:
        run_seed(seed)
    except Exception as error:  # any failure is a finding
        lines = str(error).splitlines()
        return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
    return ""


def main(arguments: list[str] | None = None) -> int:
    """Fuzzes; the exit status is 1 if a seed of this run failed."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz.run")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--count", type=int, help="programs to run, instead of for a time")
    parser.add_argument("--start", type=int, help="first seed (default: where the last run ended)")
    parser.add_argument("--seed", type=int, help="run this seed alone and let its error through")
    parser.add_argument(
        "--state", type=Path, default=Path(os.environ.get("CANOPY_FUZZ_STATE", ".fuzz/cpu.json"))
    )
    options = parser.parse_args(arguments)
    if options.seed is not None:
        run_seed(options.seed)
        return 0
    state = State.load(options.state)
    first = state.next_seed if options.start is None else options.start
    begin, before, failed = time.monotonic(), state.seconds, 0
    for seed in itertools.count(first):
        elapsed = time.monotonic() - begin
        done = seed - first
        if done >= options.count if options.count else elapsed >= options.seconds:
            break
        failure = _attempt(seed)
        if failure:
            failed += 1
            state.failures[str(seed)] = failure
            print(f"seed {seed}: {failure}", flush=True)
        else:
            state.passed += 1
            state.failures.pop(str(seed), None)
        state.next_seed = max(state.next_seed, seed + 1)
        state.seconds = before + time.monotonic() - begin
        state.save(options.state)
    print(
        f"{seed - first} programs, {failed} failed; in all {state.passed} passed, "
        f"{len(state.failures)} failing, {state.seconds:.0f} s"
    )
    return int(failed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
