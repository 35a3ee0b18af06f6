"""Measures Canopy's kernels beside their peers: `make bench`.

    python benchmarks/run.py                            everything, 1 and 2 threads
    python benchmarks/run.py --only softmax --threads 2 --budget 3

Each number of threads gets a process of its own, since thread pools are sized when they start. The
figures go to benchmarks/results/latest.json and are compared with the last committed ones. Nothing
is asserted but the results' correctness: a slow machine is not a failure.
"""

from __future__ import annotations

import argparse
import dataclasses
import importlib
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from rich.console import Console  # noqa: E402
from rich.table import Table  # noqa: E402

from benchmarks.harness import (  # noqa: E402
    CASES,
    Measurement,
    Outcome,
    SkippedError,
    WrongResultError,
    measure,
)

LATEST = "benchmarks/results/latest.json"
CASE_MODULES = ("cases_limits", "cases_elementwise", "cases_rows", "cases_contractions")
PACKAGES = ("canopy-nn", "torch", "triton", "llvmlite", "numpy")
NOTABLE_CHANGE = 0.1


def main() -> int:
    options = parse_options()
    if options.worker:
        return work(options)
    console = Console(width=None if sys.stdout.isatty() else 140)
    outcomes = [run_worker(threads, options) for threads in options.threads]
    measurements = [found for outcome in outcomes for found in outcome.measurements]
    previous = last_committed()
    console.print(table_of(measurements, previous))
    for reason in dict.fromkeys(
        f"skipped: {name}: {why}" for outcome in outcomes for name, why in outcome.skipped.items()
    ):
        console.print(reason, style="yellow", markup=False)
    failures = [
        f"failed: {name}: {why}" for outcome in outcomes for name, why in outcome.failed.items()
    ]
    for failure in failures:
        console.print(failure, style="red", markup=False)
    if measurements and not options.only:
        save(options.output, measurements)
        console.print(f"written: {options.output}", markup=False)
    return 1 if failures or run_redirect_overhead(options, console) else 0


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--threads", type=int, nargs="+", default=None, help="default: 1 and 2, as CPUs allow"
    )
    parser.add_argument("--only", default="", help="cases whose name contains this; nothing saved")
    parser.add_argument("--budget", type=float, default=5.0, help="seconds per case")
    parser.add_argument("--output", type=Path, default=ROOT / LATEST)
    parser.add_argument("--list", action="store_true", help="print the cases' names")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list:
        load_cases()
        print("\n".join(subject.name for subject in CASES))
        sys.exit(0)
    if options.threads is None:
        usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2
        options.threads = [1, 2] if usable > 1 else [1]
    if min(options.threads) < 1:
        parser.error("--threads must be at least 1")
    return options


# -- The worker: one process per number of threads -----------------------------------------------


def run_worker(threads: int, options: argparse.Namespace) -> Outcome:
    environment = {
        **os.environ,
        "TRITON_DEFAULT_BACKEND": "cpu",
        "CANOPY_NUM_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
    }
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "outcome.json"
        command = [
            sys.executable, str(Path(__file__).resolve()), "--worker", str(result),
            "--threads", str(threads), "--only", options.only, "--budget", str(options.budget),
        ]  # fmt: skip
        status = subprocess.call(command, env=environment, cwd=ROOT)
        if status or not result.exists():
            return Outcome(failed={f"{threads} threads": f"the worker ended with status {status}"})
        data = json.loads(result.read_text(encoding="utf-8"))
    return Outcome(
        [Measurement(**row) for row in data["measurements"]], data["skipped"], data["failed"]
    )


def load_cases() -> dict[str, str]:
    """Imports the case modules; returns why some could not be."""
    reasons = {}
    for name in CASE_MODULES:
        try:
            importlib.import_module(f"benchmarks.{name}")
        except ModuleNotFoundError as error:
            reasons[name] = f"{error.name} is not installed"
    return reasons


def work(options: argparse.Namespace) -> int:
    outcome = Outcome(skipped=load_cases())
    threads = options.threads[0]
    for subject in CASES:
        if options.only and options.only not in subject.name:
            continue
        print(f"{threads} threads: {subject.name}", file=sys.stderr, flush=True)
        try:
            outcome.measurements += measure(subject, threads, options.budget)
        except SkippedError as reason:
            outcome.skipped[subject.name] = str(reason)
        except WrongResultError as reason:
            outcome.failed[subject.name] = str(reason)
        except Exception as error:
            # One broken case must not hide the others' figures; the run still ends with status 1.
            outcome.failed[subject.name] = f"{type(error).__name__}: {error}"
    options.worker.write_text(json.dumps(dataclasses.asdict(outcome)), encoding="utf-8")
    return 0


# -- The report -----------------------------------------------------------------------------------


def table_of(measurements: list[Measurement], previous: dict[str, Any] | None) -> Table:
    title = "median of the rounds; spread is 10th to 90th percentile; ratio above 1: faster"
    table = Table(title=title, title_justify="left")
    for column in ("case", "threads", "outputs", "who"):
        table.add_column(column)
    for column in ("time", "spread", "rate", "ratio to torch", "last committed"):
        table.add_column(column, justify="right")
    ratios_before = ratios_of(previous_measurements(previous))
    ratios = ratios_of(measurements)
    for row in measurements:
        ratio = ratios.get(key_of(row))
        table.add_row(
            row.case,
            str(row.threads),
            row.outputs,
            row.contestant,
            format_time(row.median_s),
            f"{row.spread:.0%}",
            row.rate,
            f"{ratio:.2f} x" if ratio else "",
            format_change(ratio, ratios_before.get(key_of(row))),
        )
    return table


def key_of(row: Measurement) -> tuple[str, int, str, str]:
    return (row.case, row.threads, row.outputs, row.contestant)


def ratios_of(measurements: list[Measurement]) -> dict[tuple[str, int, str, str], float]:
    """How many times faster than torch under the same conditions each other contestant is."""
    peers = {
        (row.case, row.threads, row.outputs): row.median_s
        for row in measurements
        if row.contestant == "torch"
    }
    return {
        key_of(row): peers[row.case, row.threads, row.outputs] / row.median_s
        for row in measurements
        if row.contestant != "torch" and (row.case, row.threads, row.outputs) in peers
    }


def format_time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.2f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def format_change(ratio: float | None, before: float | None) -> str:
    """The earlier ratio, marked when this one differs: ratios travel better than times."""
    if ratio is None or before is None:
        return ""
    change = ratio / before - 1
    mark = f" ({change:+.0%})" if abs(change) > NOTABLE_CHANGE else ""
    return f"{before:.2f} x{mark}"


def last_committed() -> dict[str, Any] | None:
    """The figures in the last commit, or None where there are none or there is no git."""
    try:
        shown = subprocess.run(
            ["git", "show", f"HEAD:{LATEST}"], cwd=ROOT, capture_output=True, text=True, check=True
        )
        data: dict[str, Any] = json.loads(shown.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None
    return data


def previous_measurements(previous: dict[str, Any] | None) -> list[Measurement]:
    if previous is None or previous.get("machine", {}).get("cpu") != machine()["cpu"]:
        return []
    known = {field.name for field in dataclasses.fields(Measurement)}
    return [
        Measurement(**{name: value for name, value in row.items() if name in known})
        for row in previous["measurements"]
    ]


def save(path: Path, measurements: list[Measurement]) -> None:
    data = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine(),
        "versions": versions(),
        "measurements": [dataclasses.asdict(row) for row in measurements],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    temporary.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
    temporary.replace(path)


def machine() -> dict[str, str | int]:
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": name, "usable_cpus": usable or 0, "system": platform.system()}


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def run_redirect_overhead(options: argparse.Namespace, console: Console) -> int:
    """A training loop under `canopy run` beside the same loop edited by hand to say "cpu"."""
    script = ROOT / "benchmarks" / "redirect_overhead.py"
    if options.only and options.only not in "redirect overhead":
        return 0
    if not script.exists():
        console.print("skipped: redirect overhead: benchmarks/redirect_overhead.py is not there")
        return 0
    return subprocess.call([sys.executable, str(script)], cwd=ROOT)


if __name__ == "__main__":
    sys.exit(main())
