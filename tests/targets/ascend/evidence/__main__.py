"""Runs the suites chip by chip, as far as they have no result yet, and says what came out.

An interrupted run loses the test at hand. Results stand for the code they were made with; with
``--any-code``, for any.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from tests.targets.ascend.evidence import page
from tests.targets.ascend.evidence.results import (
    ROOT,
    Result,
    code,
    collected,
    commit,
    read,
    state_of,
)
from tests.targets.ascend.evidence.suites import CHIPS, SUITES, Suite


@dataclass(frozen=True, eq=False)
class Piece:
    """One suite on one chip: one process of pytest."""

    suite: Suite
    chip: str
    state: Path

    @property
    def title(self) -> str:
        return f"{self.suite.title} {self.chip}".strip()

    def results(self) -> list[Result]:
        """Of tests that are still there."""
        there = set(collected(self.state))
        return [result for result in read(self.state) if result.test in there]

    def run(self, options: argparse.Namespace, until: float) -> int:
        """pytest's exit status; what it says goes to a file beside the results."""
        environment = {
            **os.environ,
            **self.suite.environment,
            "CANOPY_TEST_ASCEND": "1",
            "CANOPY_EVIDENCE_STATE": str(self.state),
            "CANOPY_EVIDENCE_CODE": "" if options.any_code else code(),
            "CANOPY_EVIDENCE_COMMIT": commit(),
            "CANOPY_EVIDENCE_UNTIL": str(until),
        }
        if self.chip:
            environment |= {"CANOPY_TARGET": "ascend-sim", "CANOPY_CHIP": self.chip}
        if self.suite.measured:
            environment["CANOPY_EVIDENCE_MEASURED"] = "1"
        plugins = [f"-p{name}" for name in (*self.suite.plugins, RECORDING)]
        command = [sys.executable, "-m", "pytest", "-q", *plugins, *self.suite.paths]
        with self.state.with_suffix(".log").open("w") as log:
            return subprocess.run(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, check=False
            ).returncode


RECORDING = "tests.targets.ascend.evidence.recording"


def _pieces(options: argparse.Namespace) -> list[Piece]:
    return [
        Piece(suite, chip, state_of(options.state, suite.name, chip))
        for suite in SUITES
        if not options.suite or suite.name in options.suite
        for chip in suite.chips
        if not options.chip or not chip or chip in options.chip
    ]


def _run(pieces: list[Piece], options: argparse.Namespace) -> dict[Piece, int]:
    until = time.time() + 60 * options.minutes
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with (
        Progress(*columns, TimeElapsedColumn(), console=Console(stderr=True)) as progress,
        ThreadPoolExecutor(options.processes) as pool,
    ):
        futures = {piece: pool.submit(piece.run, options, until) for piece in pieces}
        bars = {piece: progress.add_task(piece.title, total=None) for piece in pieces}
        while True:
            finished = all(future.done() for future in futures.values())
            for piece, bar in bars.items():
                total = len(collected(piece.state)) or None
                progress.update(bar, completed=len(piece.results()), total=total)
            if finished:
                break
            time.sleep(1)
        return {piece: future.result() for piece, future in futures.items()}


def _summary(pieces: list[Piece]) -> bool:
    """Prints a line per piece and each failure; whether all ran and none failed."""
    good = True
    for piece in pieces:
        results = piece.results()
        outcomes = Counter(result.outcome for result in results)
        missing = len(collected(piece.state)) - len(results)
        told = [f"{number} {what}" for what, number in sorted(outcomes.items())]
        print(f"{piece.title}: {', '.join(told)}" + (f", {missing} not run" if missing else ""))
        for result in results:
            if result.outcome == "failed":
                print(f"  FAILED {result.test}: {result.reason}")
        good &= bool(results) and not missing and not outcomes["failed"]
    return good


def main(arguments: list[str] | None = None) -> int:
    """The exit status is 1 if a test failed or has not run."""
    parser = argparse.ArgumentParser(prog="python -m tests.targets.ascend.evidence")
    parser.add_argument("--suite", action="append", choices=[suite.name for suite in SUITES])
    parser.add_argument("--chip", action="append", choices=CHIPS)
    parser.add_argument("--minutes", type=float, default=24 * 60, help="end after the test at hand")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--any-code", action="store_true", help="results of older code stand, too")
    parser.add_argument("--record", action="store_true", help="write results.json and the page")
    parser.add_argument("--state", type=Path, default=ROOT / ".ascend-evidence")
    options = parser.parse_args(arguments)
    options.state.mkdir(parents=True, exist_ok=True)
    pieces = _pieces(options)
    if options.record:
        page.record({(p.suite.name, p.chip): p.results() for p in pieces})
        return 0
    statuses = _run(pieces, options)
    for piece, status in statuses.items():
        if status not in (0, 1, 5):  # 5: every test has its result
            print(f"{piece.title}: pytest ended with {status}: {piece.state.with_suffix('.log')}")
    return int(not _summary(pieces) or any(s not in (0, 1, 5) for s in statuses.values()))


if __name__ == "__main__":
    raise SystemExit(main())
