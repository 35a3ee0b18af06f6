"""What `make bench` prints: every figure, the bars, and what changed."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from benchmarks.bars import BARS
from benchmarks.harness import Measurement
from benchmarks.results import Change, Results, ratio_to

__all__ = ["format_time", "show", "verdict"]


def show(console: Console, results: Results, changes: Sequence[Change]) -> None:
    """Prints everything there is to say about a run."""
    console.print(figures(results, changes))
    measured = {row.case for row in results.measurements}
    bars = bar_table(results, measured)
    if bars.row_count:
        console.print(bars)
    for case, reasons in results.missing.items():
        for peer, reason in reasons.items():
            console.print(f"no {peer}: {case}: {reason}", style="yellow", markup=False)
    for case, reason in results.skipped.items():
        console.print(f"skipped: {case}: {reason}", style="yellow", markup=False)
    for change in changes:
        if change.is_slower:
            console.print(slower(change), style="red", markup=False)
    for case, reason in results.failed.items():
        console.print(f"failed: {case}: {reason}", style="red", markup=False)


def figures(results: Results, changes: Sequence[Change]) -> Table:
    title = "median of the rounds; spread is 10th to 90th percentile; ratios: Canopy's speed"
    table = Table(title=title, title_justify="left")
    for column in ("case", "threads", "outputs", "who"):
        table.add_column(column)
    for column in ("time", "spread", "rate", "canopy is", "last committed"):
        table.add_column(column, justify="right")
    change_of = {change.key: change for change in changes}
    last = ("", 0)
    for row in results.measurements:
        if last != (row.case, row.threads):
            table.add_section()
            last = (row.case, row.threads)
        change = change_of.get((row.case, row.contestant, row.outputs, row.threads))
        table.add_row(
            row.case,
            str(row.threads),
            row.outputs,
            row.contestant,
            format_time(row.median_s),
            f"{row.spread:.0%}",
            row.rate,
            ours_relative_to(results, row),
            format_change(change) if change else "",
        )
    return table


def ours_relative_to(results: Results, row: Measurement) -> str:
    """How many times faster Canopy is under the same conditions; a limit is held against reused
    outputs."""
    if row.contestant.startswith("canopy"):
        return ""
    outputs = "reused" if row.outputs == "none" else row.outputs
    ours = results.find(row.case, "canopy", outputs, row.threads)
    ratio = ratio_to(row, ours)
    return f"{ratio:.2f} x" if ratio else ""


def format_time(seconds: float) -> str:
    if seconds < 1e-3:
        return f"{seconds * 1e6:.2f} us"
    return f"{seconds * 1e3:.2f} ms" if seconds < 1 else f"{seconds:.2f} s"


def format_change(change: Change) -> str:
    """The earlier ratio, marked where this one differs by more than both runs' spread."""
    mark = f" ({change.now / change.before - 1:+.0%})"
    return f"{change.before:.2f} x" + (mark if change.is_slower or change.is_faster else "")


def slower(change: Change) -> str:
    case, contestant, outputs, threads = change.key
    return (
        f"slower: {case}, {contestant}, {outputs} outputs, {threads} threads: {change.now:.2f} x "
        f"{change.yardstick}, last committed {change.before:.2f} x"
    )


def bar_table(results: Results, cases: set[str]) -> Table:
    """The bars of the cases that were measured."""
    table = Table(title="bars, 2 threads", title_justify="left")
    for column in ("case", "bar"):
        table.add_column(column)
    table.add_column("figure", justify="right")
    table.add_column("")
    for bar in BARS:
        value = bar.value(results)
        if bar.case not in cases or value is None:
            continue
        table.add_row(bar.case, bar.claim, f"{value:.2f}", verdict(bar.is_met(results)))
    return table


def verdict(met: bool | None) -> str:
    return {True: "met", False: "missed", None: "not measured"}[met]
