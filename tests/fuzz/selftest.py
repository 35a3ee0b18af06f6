"""Does the fuzzer find what it should? ``python -m tests.fuzz.selftest`` plants each seeded bug.

A bug counts as found when a program that passes without it fails with it. Each runs in a process
of its own, for at most ten minutes. A state file keeps what was found: a run that is ended goes on
from there, and ``--again`` starts anew.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
import warnings
from dataclasses import asdict, dataclass
from pathlib import Path

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


def _hunt(bug: str, limit_s: float) -> dict[str, object] | None:
    """What `find` gives, from a process of its own; a process that dies has found the bug."""
    begin = time.monotonic()
    command = [sys.executable, "-m", "tests.fuzz.selftest", "--here", bug, "--limit", str(limit_s)]
    ended = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
    if ended.returncode == 0:
        made: dict[str, object] | None = json.loads(ended.stdout.splitlines()[-1])
        return made
    failure = f"the process ends with status {ended.returncode}"
    return asdict(Finding(-1, failure, 0, time.monotonic() - begin))


def _line(bug: str, found: dict[str, object] | None, limit_s: float) -> str:
    if found is None:
        return f"{bug:45} NOT FOUND in {limit_s:.0f} s"
    shown = f"{bug:45} {found['seconds']:6.1f} s {found['programs']:6} programs; seed "
    return f"{shown}{found['seed']}: {found['failure']}"[:180]


def _here(bug: str, limit_s: float) -> int:
    warnings.simplefilter("ignore", RuntimeWarning)
    found = find(bug, limit_s)
    print(json.dumps(None if found is None else asdict(found)), flush=True)
    return 0


def main(arguments: list[str] | None = None) -> int:
    """Plants every bug (or those named) that is not found yet; 1 if one remains so."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.fuzz.selftest")
    parser.add_argument("bugs", nargs="*", help="names; all where none is given")
    parser.add_argument("--limit", type=float, default=LIMIT_S, help="seconds for each")
    parser.add_argument("--here", action="store_true", help="one bug, in this process; for itself")
    parser.add_argument("--again", action="store_true", help="also those found by an earlier run")
    folder = Path(os.environ.get("CANOPY_FUZZ_STATE", ".fuzz/cpu.json")).parent
    parser.add_argument("--state", type=Path, default=folder / "selftest.json")
    options = parser.parse_args(arguments)
    names = options.bugs or list(BUGS)
    if options.here:
        return _here(names[0], options.limit)
    found = _load(options.state)
    for name in names:
        if options.again or found.get(name) is None:
            found[name] = _hunt(name, options.limit)
            options.state.parent.mkdir(parents=True, exist_ok=True)
            options.state.write_text(json.dumps(found, indent=1), "utf-8")
        print(_line(name, found[name], options.limit), flush=True)
    missed = sum(found[name] is None for name in names)
    print(f"{len(names) - missed} of {len(names)} seeded bugs found")
    return int(missed > 0)


def _load(path: Path) -> dict[str, dict[str, object] | None]:
    if not path.exists():
        return {}
    loaded: dict[str, dict[str, object] | None] = json.loads(path.read_text("utf-8"))
    return loaded


if __name__ == "__main__":
    raise SystemExit(main())
