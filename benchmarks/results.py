"""The figures of a run as JSON, and how they compare with an earlier run's."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import subprocess
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from benchmarks.harness import Measurement

__all__ = [
    "LATEST",
    "ROOT",
    "Change",
    "Results",
    "changes",
    "commit",
    "here",
    "last_committed",
    "load",
    "machine",
    "save",
    "versions",
]

ROOT = Path(__file__).resolve().parents[1]
LATEST = "benchmarks/results/latest.json"
PACKAGES = ("canopy-nn", "torch", "triton", "llvmlite", "numpy", "numba")
NOTABLE_CHANGE = 0.1

Key = tuple[str, str, str, int]  # case, contestant, outputs, threads


@dataclass
class Results:
    """Figures, and the reasons for what is missing: peers, skipped cases, failed cases.

    ``compiling`` has, per kernel, what `compile_time` measured (seconds, megabytes).
    """

    measurements: list[Measurement] = field(default_factory=list)
    compiling: dict[str, dict[str, float]] = field(default_factory=dict)
    missing: dict[str, dict[str, str]] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    machine: dict[str, Any] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=dict)
    date: str = ""
    commit: str = ""
    note: str = ""  # what a reader of the figures should know: for example, a loaded machine

    def find(
        self, case: str, contestant: str, outputs: str = "reused", threads: int = 2
    ) -> Measurement | None:
        """A figure; contestants are named by how they begin, so that ``limit`` finds the limit."""
        for row in self.measurements:
            if (row.case, row.outputs, row.threads) != (case, outputs, threads):
                continue
            if row.contestant == contestant or (
                contestant == "limit" and row.contestant.startswith("limit:")
            ):
                return row
        return None

    def limit_of(self, case: str, threads: int = 2) -> Measurement | None:
        return self.find(case, "limit", "none", threads)

    def add(self, record: dict[str, Any]) -> None:
        """Takes in what a worker wrote about one case."""
        case = record["case"]
        threads = record["threads"]
        self.measurements += [Measurement(**row) for row in record.get("measurements", ())]
        self.compiling.update(record.get("compiling", {}))
        if record.get("missing"):
            self.missing[case] = record["missing"]
        if "skipped" in record:
            self.skipped[case] = record["skipped"]
        if "failed" in record:
            self.failed[f"{case}, {threads} threads"] = record["failed"]

    def update(self, newer: Results) -> None:
        """Replaces what ``newer`` measured again, keeps the rest."""
        again = {(row.case, row.threads) for row in newer.measurements}
        kept = [row for row in self.measurements if (row.case, row.threads) not in again]
        self.measurements = kept + newer.measurements
        cases = {case for case, _ in again}
        failed = {k: v for k, v in self.failed.items() if k.rpartition(", ")[0] not in cases}
        self.failed = {**failed, **newer.failed}
        self.compiling = {**self.compiling, **newer.compiling}
        self.missing = {**self.missing, **newer.missing}
        self.skipped = {**self.skipped, **newer.skipped}
        self.machine, self.versions = newer.machine, newer.versions
        self.date, self.commit = newer.date, newer.commit
        self.note = newer.note or self.note

    def sort(self, order: Sequence[str]) -> None:
        """Cases in the given order, threads ascending."""
        place = {name: index for index, name in enumerate(order)}
        self.measurements.sort(key=lambda row: (place.get(row.case, len(place)), row.threads))


# -- Comparing ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Change:
    """A figure relative to its yardstick, now and before; above 1: faster than the yardstick."""

    key: Key
    yardstick: str
    before: float
    now: float
    noise: float

    @property
    def is_slower(self) -> bool:
        return self.now < self.before * (1 - max(self.noise, NOTABLE_CHANGE))

    @property
    def is_faster(self) -> bool:
        return self.now * (1 - max(self.noise, NOTABLE_CHANGE)) > self.before


def changes(before: Results | None, now: Results) -> list[Change]:
    """Our figures of both runs, on the same kind of CPU, each relative to a yardstick of its own
    run: the machine's limit, else torch under equal conditions. Ratios travel better than times."""
    if before is None or before.machine.get("cpu") != now.machine.get("cpu"):
        return []
    found = []
    for row in now.measurements:
        if not row.contestant.startswith("canopy"):
            continue
        earlier = before.find(row.case, row.contestant, row.outputs, row.threads)
        pairs = zip(_yardsticks(before, row), _yardsticks(now, row), strict=True)
        pair = next(((a, b) for a, b in pairs if a and b), None)
        if earlier is None or pair is None:
            continue
        then, today = pair
        found.append(
            Change(
                (row.case, row.contestant, row.outputs, row.threads),
                today.contestant,
                then.median_s / earlier.median_s,
                today.median_s / row.median_s,
                # Half of each spread: what the medians may be off by, generously.
                sum(r.spread for r in (row, earlier, then, today)) / 2,
            )
        )
    return found


def _yardsticks(results: Results, row: Measurement) -> Iterable[Measurement | None]:
    yield results.limit_of(row.case, row.threads)
    yield results.find(row.case, "torch", row.outputs, row.threads)


# -- Keeping --------------------------------------------------------------------------------------


def save(path: Path, results: Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".new")
    text = json.dumps(dataclasses.asdict(results), indent=1, sort_keys=False)
    temporary.write_text(text + "\n", encoding="utf-8")
    temporary.replace(path)


def load(text: str) -> Results:
    """The results in a JSON text; fields that this version does not know are left out."""
    data = json.loads(text)
    known = {f.name for f in dataclasses.fields(Results)}
    columns = {f.name for f in dataclasses.fields(Measurement)}
    results = Results(**{name: value for name, value in data.items() if name in known})
    results.measurements = [
        Measurement(**{name: value for name, value in row.items() if name in columns})
        for row in data["measurements"]
    ]
    return results


def last_committed() -> Results | None:
    """The figures in the last commit, or None where there are none or there is no git."""
    try:
        return load(_git("show", f"HEAD:{LATEST}"))
    except (OSError, subprocess.CalledProcessError, ValueError):
        return None


def commit() -> str:
    """The commit that is checked out, short; empty where there is no git."""
    try:
        return _git("rev-parse", "--short", "HEAD").strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout


def here() -> Results:
    """Empty results of this machine and these versions, dated now."""
    date = time.strftime("%Y-%m-%d", time.gmtime())
    return Results(machine=machine(), versions=versions(), date=date, commit=commit())


def machine() -> dict[str, Any]:
    name = platform.processor() or platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    except OSError:
        pass
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {"cpu": name, "core": _core(), "usable_cpus": usable or 0, "system": platform.system()}


def _core() -> str:
    """The processor as LLVM names it: znver5 says more than a virtual machine's model name."""
    from llvmlite import binding

    return str(binding.get_host_cpu_name())


def versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found
