"""What `canopy run --target ascend-sim` says at its end: a table per kernel, and an HTML page.

simulated:  on 910B2 (chip file of 2026-11-24); a model's times, none was measured
            kernel   launches     time             band   GB/s  TFLOP/s  of peak  bound by
            add             1  11.4 us  10.1 us to 16 us   1048     0.09     1.6%  HBM
page:       timelines and rooflines: /home/me/.cache/canopy/simulated/train-910B2.html
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from canopy import config
from canopy.errors import CanopyError
from canopy.targets.ascend import Report
from canopy.targets.ascend.drawing import time_text
from canopy.targets.ascend.page import page

__all__ = ["Totals", "count", "summary_lines"]

_HEADS = (
    *("kernel", "launches", "all", "longest", "band"),
    *("GB/s", "TFLOP/s", "of peak", "busy", "bound by"),
)
_LEFT = (0, 8, 9)  # columns of text
_INDENT = " " * 14


@dataclass(slots=True)
class Totals:
    """All launches of one kernel on one chip; ``longest`` is the one that is shown."""

    longest: Report
    launches: int = 0
    time_s: float = 0.0
    hazards: int = 0
    hazard: str = ""


_totals: dict[tuple[str, str], Totals] = {}


def count(report: Report) -> None:
    """Adds a launch."""
    totals = _totals.setdefault((report.chip.name, report.name), Totals(report))
    totals.launches += 1
    totals.time_s += report.time_s
    totals.hazards += len(report.hazards)
    if report.hazards and not totals.hazard:
        totals.hazard = str(report.hazards[0])
    if report.time_s > totals.longest.time_s:
        totals.longest = report


def summary_lines() -> list[str]:
    """The table, hazards, and where the page is; nothing if nothing was simulated."""
    lines = []
    for chip in dict.fromkeys(chip for chip, _ in _totals):
        found = {name: totals for (on, name), totals in _totals.items() if on == chip}
        label = next(iter(found.values())).longest.label.removeprefix("simulated ")
        lines.append(f"  simulated:  {label}; a model's times, none was measured")
        lines += _table([_HEADS, *(_row(name, totals) for name, totals in found.items())])
        for name, totals in found.items():
            if totals.hazards:
                lines.append(f"  hazard:     {name}: {totals.hazards:,}, first {totals.hazard}")
    if _totals:
        lines.append(_write_page([totals.longest for totals in _totals.values()]))
    return lines


def _row(name: str, totals: Totals) -> tuple[str, ...]:
    report = totals.longest
    busiest = sorted(report.pipes.items(), key=lambda pipe: -pipe[1])[:3]
    return (
        name,
        f"{totals.launches:,}",
        time_text(totals.time_s),
        time_text(report.time_s),
        report.band,
        f"{report.gbps:,.0f}",
        f"{report.tflops:.2f}",
        f"{report.peak_share:.1%}",
        " ".join(f"{pipe} {share:.0%}" for pipe, share in busiest),
        report.bound_by,
    )


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = []
    for row in rows:
        cells = [
            text.ljust(width) if column in _LEFT else text.rjust(width)
            for column, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append(f"{_INDENT}{'  '.join(cells)}".rstrip())
    return lines


def _write_page(reports: Sequence[Report]) -> str:
    """The last line: where the page is, or why there is none."""
    stem = re.sub(r"[^\w.-]", "_", Path(sys.argv[0] or "python").stem)
    chips = "-".join(dict.fromkeys(report.chip.name for report in reports))
    try:
        folder = config.cache_dir() / "simulated"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{stem}-{chips}.html"
        temporary = path.with_suffix(f".{os.getpid()}.tmp")
        temporary.write_text(page(reports, f"{stem}, simulated on {chips}"), encoding="utf-8")
        os.replace(temporary, path)
    except (OSError, CanopyError) as error:
        return f"  page:       none was written: {error}"
    return f"  page:       timelines and rooflines: {path}"
