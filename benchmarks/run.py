"""Measures Canopy's kernels beside their peers: `make bench`.

    python benchmarks/run.py                            everything, 1 and 2 threads
    python benchmarks/run.py --only softmax --threads 2 --budget 3

Each number of threads gets a process of its own. The figures go to benchmarks/results/latest.json
and are compared with the last committed ones. A run that was killed goes on where it stopped.
Nothing is asserted but the results' correctness: a slow machine is not a failure.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from benchmarks import compile_time, tables
from benchmarks.harness import CASES, MAX_ROUNDS, MIN_ROUNDS
from benchmarks.registry import load_cases
from benchmarks.results import (
    LATEST,
    ROOT,
    Results,
    changes,
    here,
    last_committed,
    load,
    save,
)

PATIENCE_S = 240  # for one case, compiling the peers included; then its process is ended


def main() -> int:
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that the worker is ended as well
    console = Console(width=None if sys.stdout.isatty() else 190)
    unavailable = load_cases()
    chosen = [subject.name for subject in CASES if is_chosen(subject.name, options.only)]
    if options.list:
        print("\n".join(chosen))
        print("\n".join(f"compile time: {name}" for name in ("import", *compile_time.KERNELS)))
        return 0
    results = here()
    results.note = options.note
    results.skipped.update(unavailable)
    records = Records(partial_path(options), fingerprint(results, options))
    with progress_bar(console) as progress:
        task = progress.add_task("", total=len(chosen) * len(options.threads))
        for threads in options.threads:
            measure_all(chosen, threads, options, records, lambda **k: progress.update(task, **k))
    measure_compiling(options, records)
    for record in records.finished():
        results.add(record)
    results.sort(chosen)
    tables.show(console, results, changes(last_committed(), results))
    if options.save:
        keep(options, results)
        console.print(f"written: {options.output}", markup=False)
    records.path.unlink(missing_ok=True)
    return 1 if results.failed else run_redirect_overhead(options)


def progress_bar(console: Console) -> Progress:
    columns = (TextColumn("{task.completed}/{task.total}"), TimeElapsedColumn())
    described = TextColumn("{task.description}")
    return Progress(described, BarColumn(), *columns, console=console, transient=True)


def keep(options: argparse.Namespace, results: Results) -> None:
    """Writes the results; where only some cases were measured, into what the file has already."""
    path = Path(options.output)
    if options.only and path.exists():
        complete = load(path.read_text(encoding="utf-8"))
        complete.update(results)
        complete.sort([subject.name for subject in CASES])
        results = complete
    save(path, results)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=None, help="default: 1 and 2, as CPUs allow"
    )
    parser.add_argument(
        "--only", nargs="+", default=[], help="cases whose name contains one of these"
    )
    parser.add_argument(
        "--budget", type=float, default=2.0, help="seconds per case, peers included"
    )
    parser.add_argument("--quick", action="store_true", help=f"{MIN_ROUNDS} rounds per case")
    parser.add_argument("--output", type=Path, default=ROOT / LATEST)
    parser.add_argument(
        "--save", action="store_true", help="with --only: replace these cases in the output"
    )
    parser.add_argument("--note", default="", help="a sentence kept with the figures")
    parser.add_argument("--restart", action="store_true", help="do not go on with a killed run")
    parser.add_argument("--list", action="store_true", help="print the cases' names")
    options = parser.parse_args()
    options.save = options.save or not options.only
    if options.threads is None:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        options.threads = [1, 2] if usable > 1 else [1]
    if min(options.threads) < 1:
        parser.error("--threads must be at least 1")
    return options


def is_chosen(name: str, only: list[str]) -> bool:
    return not only or any(part in name for part in only)


# -- Records: what is measured already, also by a run that was killed --------------------------


def partial_path(options: argparse.Namespace) -> Path:
    return Path(options.output).with_suffix(".partial.jsonl")


def fingerprint(results: Results, options: argparse.Namespace) -> dict[str, Any]:
    """What must be equal for an earlier run's figures to belong to this one."""
    return {
        "commit": results.commit,
        "machine": results.machine,
        "versions": results.versions,
        "budget": options.budget,
        "quick": options.quick,
        "only": options.only,
        "restarted": time.time() if options.restart else 0,
    }


class Records:
    """A file with a line per case: `{"started": ...}` before it and its figures after it."""

    def __init__(self, path: Path, fingerprint: dict[str, Any]) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        if not self._continues(fingerprint):
            path.write_text(json.dumps({"fingerprint": fingerprint}) + "\n", encoding="utf-8")

    def _continues(self, fingerprint: dict[str, Any]) -> bool:
        lines = self._lines() if self.path.exists() else []
        return bool(lines) and lines[0].get("fingerprint") == fingerprint

    def _lines(self) -> list[dict[str, Any]]:
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(line))
            except ValueError:  # cut off when the run was killed
                continue
        return lines

    def finished(self) -> list[dict[str, Any]]:
        return [line for line in self._lines() if "case" in line]

    def finished_names(self, threads: int) -> set[str]:
        return {line["case"] for line in self.finished() if line["threads"] == threads}

    def started(self, threads: int) -> str:
        """The case that is under way, or was when its process ended."""
        names = [
            line["started"]
            for line in self._lines()
            if "started" in line and line["threads"] == threads
        ]
        return names[-1] if names else ""

    def add(self, record: dict[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" + json.dumps(record) + "\n")


# -- Workers --------------------------------------------------------------------------------------


def measure_all(
    chosen: list[str], threads: int, options: argparse.Namespace, records: Records, update: Any
) -> None:
    """Measures what is not measured yet; a process that dies costs its case, not the others."""
    while remaining := [n for n in chosen if n not in records.finished_names(threads)]:
        worker = start_worker(remaining, threads, options, records.path)
        try:
            reason = watch(worker, threads, records, update)
        finally:
            worker.kill()
            worker.wait()
        if reason is None:
            return
        case = records.started(threads)
        if case not in remaining or case in records.finished_names(threads):
            case = remaining[0]  # it died before it began
        records.add({"case": case, "threads": threads, "failed": reason})


def start_worker(
    names: list[str], threads: int, options: argparse.Namespace, records: Path
) -> subprocess.Popen[bytes]:
    environment = {
        **os.environ,
        "TRITON_DEFAULT_BACKEND": "cpu",
        **dict.fromkeys(
            ("CANOPY_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"),
            str(threads),
        ),
    }
    rounds = MIN_ROUNDS if options.quick else MAX_ROUNDS
    script = Path(__file__).resolve().with_name("worker.py")
    command = [sys.executable, script, records, threads, options.budget, rounds, *names]
    return subprocess.Popen([*map(str, command)], env=environment, cwd=ROOT)


def watch(
    worker: subprocess.Popen[bytes], threads: int, records: Records, update: Any
) -> str | None:
    """Waits for the worker's end. Returns why it did not finish, or None."""
    current, since = "", time.monotonic()
    while worker.poll() is None:
        time.sleep(0.2)
        case = records.started(threads)
        if case != current:
            current, since = case, time.monotonic()
        done = len(records.finished())
        update(completed=done, description=f"{threads} threads: {current}")
        if time.monotonic() - since > PATIENCE_S:
            return f"not finished after {PATIENCE_S} s"
    return f"the process ended with status {worker.returncode}" if worker.returncode else None


def measure_compiling(options: argparse.Namespace, records: Records) -> None:
    """Compile times, each in processes of its own."""
    for name in ("import", *compile_time.KERNELS):
        case = f"compile time: {name}"
        if not is_chosen(case, options.only) or case in records.finished_names(0):
            continue
        record: dict[str, Any] = {"case": case, "threads": 0}
        try:
            if name == "import":
                figures = {"import_s": compile_time.measure_import()}
            else:
                figures = dataclasses.asdict(compile_time.measure(name))
                del figures["kernel"]
            record["compiling"] = {name: figures}
        except (subprocess.CalledProcessError, ValueError) as error:
            record["failed"] = str(error)
        records.add(record)


def run_redirect_overhead(options: argparse.Namespace) -> int:
    """A training loop under `canopy run` beside the same loop edited by hand to say "cpu"."""
    if options.quick or not is_chosen("redirect overhead", options.only):
        return 0
    script = ROOT / "benchmarks" / "redirect_overhead.py"
    return subprocess.call([sys.executable, str(script)], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
