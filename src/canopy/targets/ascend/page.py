"""The page of a simulation: figures, timeline and roofline as HTML and SVG that load nothing."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from canopy.targets.ascend.drawing import roofline, time_text, timeline

if TYPE_CHECKING:
    from canopy.targets.ascend.report import Report

__all__ = ["fragment", "page"]

_STYLE = """
.canopy-sim { --ink: #1c2326; --dim: #667178; --line: #d9dfe2; --paper: #ffffff; --soft: #f4f6f7;
  --accent: #0b7a52; --warn: #b42318; color: var(--ink); background: var(--paper);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; max-width: 1080px;
  margin: 0 auto; padding: 24px; }
@media (prefers-color-scheme: dark) { .canopy-sim { --ink: #e7ecee; --dim: #9aa6ac; --line: #354045;
  --paper: #14191b; --soft: #1d2427; --accent: #4cc38a; --warn: #ff8a7a; } }
.canopy-sim h1 { font-size: 22px; margin: 0 0 4px; } .canopy-sim h2 { font-size: 19px; margin: 0; }
.canopy-sim h3 { font-size: 15px; margin: 22px 0 6px; }
.canopy-sim p { margin: 4px 0 10px; color: var(--dim); }
.canopy-sim section { border-top: 1px solid var(--line); padding: 22px 0 8px; }
.canopy-sim .mark { display: inline-block; padding: 0 8px; border: 1px solid var(--accent);
  border-radius: 10px; color: var(--accent); font-size: 13px; }
.canopy-sim .tiles { display: flex; flex-wrap: wrap; gap: 10px; margin: 12px 0; }
.canopy-sim .tile { background: var(--soft); border-radius: 8px; padding: 8px 14px;
  min-width: 120px; }
.canopy-sim .tile b { display: block; font-size: 19px; } .canopy-sim .tile span { color: var(--dim);
  font-size: 13px; }
.canopy-sim table { border-collapse: collapse; width: 100%; font-size: 14px; }
.canopy-sim th, .canopy-sim td { text-align: right; padding: 4px 8px;
  border-bottom: 1px solid var(--line); }
.canopy-sim th:first-child, .canopy-sim td:first-child { text-align: left; }
.canopy-sim .scroll { overflow-x: auto; } .canopy-sim svg { display: block; max-width: 100%; }
.canopy-sim svg text { fill: var(--ink); font-size: 12px; }
.canopy-sim svg .dim { fill: var(--dim); font-size: 11px; }
.canopy-sim svg .axis { stroke: var(--line); } .canopy-sim svg .lane { fill: var(--soft); }
.canopy-sim svg .roof { stroke: var(--dim); fill: none; stroke-width: 1.5; }
.canopy-sim svg .dot { fill: var(--accent); } .canopy-sim svg .band { stroke: var(--accent);
  stroke-width: 3; opacity: .5; }
.canopy-sim .bar { display: inline-block; height: 9px; border-radius: 2px; vertical-align: middle; }
.canopy-sim li { color: var(--dim); font-size: 13px; }
.canopy-sim .hazard { color: var(--warn); } .canopy-sim code { font-size: 13px; }
"""

_MEANING = (
    "Nothing here was measured on a card. Times come from a model of the chip; the band is the "
    "result with all assumed figures 30% better and 30% worse."
)


def page(reports: Sequence[Report], title: str = "", footer: Sequence[str] = ()) -> str:
    """A whole page; kernels in the order given."""
    kernels = list(dict.fromkeys(report.name for report in reports))
    names = ", ".join(kernels) if len(kernels) < 4 else f"{len(kernels)} kernels"
    title = title or f"{names}, {reports[0].label}" if reports else title
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title><style>body{{margin:0}}{_STYLE}</style></head>",
        f'<body><div class="canopy-sim"><h1>{escape(title)}</h1>',
        f"<p>{_MEANING}</p>",
        _overview(reports) if len(reports) > 1 else "",
        *(_section(report) for report in reports),
        *(f"<p>{escape(line)}</p>" for line in footer),
        "</div></body></html>",
    ]
    return "\n".join(parts)


def fragment(report: Report) -> str:
    """One report for a notebook."""
    return f'<style>{_STYLE}</style><div class="canopy-sim">{_section(report)}</div>'


def _overview(reports: Sequence[Report]) -> str:
    heads = ("kernel", "time", "band", "GB/s", "HBM", "TFLOP/s", "of peak", "bound by")
    rows = [
        (
            report.name,
            time_text(report.time_s),
            report.band,
            f"{report.gbps:,.0f}",
            f"{report.hbm_share:.0%}",
            f"{report.tflops:.2f}",
            f"{report.peak_share:.1%}",
            report.bound_by,
        )
        for report in reports
    ]
    return _table(heads, rows)


def _table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape(text)}</th>" for text in heads)
    body = "".join(
        f"<tr>{''.join(f'<td>{escape(text)}</td>' for text in row)}</tr>" for row in rows
    )
    return f'<div class="scroll"><table><tr>{head}</tr>{body}</table></div>'


def _section(report: Report) -> str:
    tiles = [
        ("time", time_text(report.time_s)),
        ("band", report.band),
        ("bound by", report.bound_by),
        ("to and from arrays", f"{report.gbps:,.0f} GB/s"),
        ("of the HBM", f"{report.hbm_share:.0%}"),
        ("answered by L2", f"{report.l2_hits:.0%}"),
        ("computed", f"{report.tflops:,.2f} TFLOP/s"),
        ("of peak", f"{report.peak_share:.1%}"),
        ("programs on cores", f"{report.programs:,} on {report.cores}"),
        ("balance of cores", f"{report.balance:.0%}"),
    ]
    shown = "".join(
        f'<div class="tile"><b>{escape(value)}</b><span>{escape(name)}</span></div>'
        for name, value in tiles
    )
    notes = "".join(f"<li>{escape(note)}</li>" for note in report.notes)
    notes = f"<h3>Notes</h3><ul>{notes}</ul>" if notes else ""
    hazards = "".join(f'<p class="hazard">hazard: {escape(str(h))}</p>' for h in report.hazards)
    return (
        f"<section><h2>{escape(report.name)}</h2>"
        f'<span class="mark">{escape(report.label)}</span>'
        f'<div class="tiles">{shown}</div>{hazards}'
        f"<h3>Pipes of one core, whole launch</h3>{timeline(report, whole=True)}"
        f"<h3>The first instructions</h3>{timeline(report, whole=False)}"
        f"<h3>Roofline</h3>{roofline(report)}{notes}</section>"
    )
