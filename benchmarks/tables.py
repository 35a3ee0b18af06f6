"""What `make bench` prints: every figure, the bars, and what changed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from benchmarks.bars import BARS
from benchmarks.harness import Measurement
from benchmarks.results import Change, Results

__all__ = ["COLUMNS", "Line", "format_time", "lines_of", "show", "verdict"]


def show(console: Console, results: Results, changes: Sequence[Change]) -> None:
    """Prints everything there is to say about a run."""
    console.print(figures(results, changes))
    bars = bar_table(results)
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


@dataclass(frozen=True)
class Line:
    """What one line of the tables says: all contestants of a case under one condition."""

    case: str
    threads: int
    outputs: str
    ours: Measurement
    peers: dict[str, Measurement]  # by the names in PEERS; the limit stands beside reused outputs


def lines_of(results: Results) -> list[Line]:
    """A line per case, number of threads, kind of outputs, and contestant of ours."""
    lines = []
    for ours in results.measurements:
        if not ours.contestant.startswith(("canopy", "limit")):
            continue
        if ours.contestant.startswith("limit") and not ours.case.startswith("limit"):
            continue
        where = (ours.case, ours.threads)
        peers = {
            name: found
            for name in PEERS
            if (found := results.find(ours.case, name, ours.outputs, ours.threads))
        }
        limit = results.limit_of(*where)
        if limit and limit is not ours and ours.outputs == "reused":
            peers["limit"] = limit
        variant = ours.contestant.removeprefix("canopy").strip()
        named = f"{ours.case}, {variant}" if variant and limit is not ours else ours.case
        lines.append(Line(named, ours.threads, ours.outputs, ours, peers))
    return lines


PEERS = ("torch", "torch linear", "inductor", "numba", "g++", "oneDNN packed")
COLUMNS = (*PEERS, "limit")


def figures(results: Results, changes: Sequence[Change]) -> Table:
    title = (
        "median of the rounds, +- half the distance from the 10th to the 90th percentile; "
        "(x): how many times faster Canopy is"
    )
    table = Table(title=title, title_justify="left")
    for column in ("case", "thr", "outputs"):
        table.add_column(column)
    for column in ("canopy", "rate", *COLUMNS, "last committed"):
        table.add_column(column, justify="right")
    change_of = {change.key: change for change in changes}
    for line in lines_of(results):
        ours = line.ours
        change = change_of.get((ours.case, ours.contestant, ours.outputs, ours.threads))
        table.add_row(
            line.case,
            str(line.threads),
            line.outputs,
            f"{format_time(ours.median_s)} +-{ours.spread / 2:.0%}",
            ours.rate,
            *(beside(line.peers.get(name), ours) for name in COLUMNS),
            format_change(change) if change else "",
        )
    return table


def beside(peer: Measurement | None, ours: Measurement) -> str:
    """A peer's time, and how many times faster we are."""
    if peer is None:
        return ""
    return f"{format_time(peer.median_s)} ({peer.median_s / ours.median_s:.2f})"


def format_time(seconds: float) -> str:
    """Three digits, in the unit that suits."""
    factor, unit = (1e6, "us") if seconds < 1e-3 else (1e3, "ms") if seconds < 1 else (1, "s")
    value = seconds * factor
    decimals = max(0, 2 - math.floor(math.log10(value)))
    return f"{value:.{decimals}f} {unit}"


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


def bar_table(results: Results) -> Table:
    """The bars of what was measured."""
    table = Table(title="bars, 2 threads", title_justify="left")
    for column in ("case", "bar"):
        table.add_column(column)
    table.add_column("figure", justify="right")
    table.add_column("")
    for bar in BARS:
        value = bar.value(results)
        if value is None:
            continue
        table.add_row(bar.case, bar.claim, f"{value:.2f}", verdict(bar.is_met(results)))
    return table


def verdict(met: bool | None) -> str:
    return {True: "met", False: "missed", None: "not measured"}[met]
