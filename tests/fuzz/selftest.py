"""Does the fuzzer find what it should? ``python -m tests.fuzz.selftest`` plants each seeded bug.

A bug counts as found when a program that passes without it fails with it. Each runs in a process
of its own, for at most ten minutes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import warnings
from dataclasses import dataclass

from tests.fuzz.engine import failures_of
from tests.fuzz.seeded_bugs import BUGS, seeded

__all__ = ["Finding", "find", "main"]

LIMIT_S = 600.0
UNIT = 16


@dataclass(frozen=True, slots=True)
class Finding:
    """The first program that shows a bug."""

    seed: int
    failure: str
    programs: int
    seconds: float


def find(bug: str, limit_s: float = LIMIT_S, unit: int = UNIT) -> Finding | None:
    """Fuzzes a compiler with the bug until a program fails that is right without it."""
    begin, first = time.monotonic(), 0
    while time.monotonic() - begin < limit_s:
        seeds = range(first, first + unit)
        with seeded(bug):
            failures = failures_of(seeds, optimized=False)
        for seed, failure in failures.items():
            if not failures_of([seed], optimized=False):
                return Finding(seed, failure, first + unit, time.monotonic() - begin)
        first += unit
    return None


def _report(bug: str, limit_s: float) -> int:
    warnings.simplefilter("ignore", RuntimeWarning)
    found = find(bug, limit_s)
    if found is None:
        print(f"{bug:45} NOT FOUND in {limit_s:.0f} s", flush=True)
        return 1
    print(
        f"{bug:45} {found.seconds:6.1f} s {found.programs:6} programs; "
        f"seed {found.seed}: {found.failure}"[:180],
        flush=True,
    )
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Plants every bug (or those named); the exit status is 1 if one was not found."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz.selftest")
    parser.add_argument("bugs", nargs="*", help="names; all where none is given")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for each")
    parser.add_argument("--here", action="store_true", help="in this process")
    options = parser.parse_args(arguments)
    names = options.bugs or list(BUGS)
    if options.here:
        return max(_report(name, options.limit) for name in names)
    missed = 0
    for name in names:
        command = [sys.executable, "-m", "tests.fuzz.selftest", "--here", name]
        status = subprocess.run([*command, "--limit", str(options.limit)], check=False).returncode
        missed += status == 1
        if status not in (0, 1):
            print(f"{name:45} found: the process ends with status {status}", flush=True)
    print(f"{len(names) - missed} of {len(names)} seeded bugs found")
    return int(missed > 0)


if __name__ == "__main__":
    raise SystemExit(main())
