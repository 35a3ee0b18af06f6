"""Timeline and roofline of a report as SVG text."""

from __future__ import annotations

import math
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from canopy.targets.ascend.npu import Pipe
from canopy.targets.ascend.replay import MOST_SPANS, Span

if TYPE_CHECKING:
    from canopy.targets.ascend.report import Report

__all__ = ["roofline", "time_text", "timeline"]

_COLOURS = {
    Pipe.S: "#8a949a",
    Pipe.MTE2: "#2f7ed8",
    Pipe.V: "#e58a1f",
    Pipe.MTE3: "#3a9d5d",
    Pipe.C_MTE2: "#1fa3a3",
    Pipe.MTE1: "#8a63d2",
    Pipe.M: "#d1495b",
    Pipe.FIX: "#9c6b3f",
}
_ROLES = {
    Pipe.S: "scalar",
    Pipe.MTE2: "memory to UB",
    Pipe.V: "vector",
    Pipe.MTE3: "UB to memory",
    Pipe.C_MTE2: "memory to L1",
    Pipe.MTE1: "L1 to L0",
    Pipe.M: "cube",
    Pipe.FIX: "L0C to memory",
}
_WIDTH, _LEFT, _RIGHT, _ROW = 1020, 150, 60, 24
_FIRST_SPANS = 160


def timeline(report: Report, whole: bool) -> str:
    """A row per pipe of the first core; ``whole``, in which repeated trips are drawn as one pale
    bar, or the first instructions only."""
    spans = report.outcome.spans[0] if report.outcome.spans else []
    if not spans:
        return "<p>nothing ran</p>"
    end = max(report.outcome.ends[0], 1.0) if whole else _first_end(spans)
    rows = [(n, p) for n, p in enumerate(Pipe) if any(s.pipe == n for s in spans)]
    height = _ROW * len(rows) + 28
    scale = (_WIDTH - _LEFT - _RIGHT) / end
    parts = [_open(height)]
    for row, (number, pipe) in enumerate(rows):
        parts += _row(report, spans, number, pipe, row * _ROW, scale, end)
    parts += _time_axis(end / report.chip.clock_hz, _ROW * len(rows))
    told = f"<p>Only the first {MOST_SPANS:,} instructions are drawn.</p>"
    cut = told if whole and len(spans) >= MOST_SPANS else ""
    return "".join([*parts, "</svg>", cut])


def _first_end(spans: list[Span]) -> float:
    """Until when instructions are told one by one."""
    spans = [span for span in spans if span.pipe]  # the scalar unit is far ahead of the others
    first = [span.end for span in spans[:_FIRST_SPANS] if span.step >= 0]
    until = min((span.start for span in spans if span.step < 0), default=float("inf"))
    return max((end for end in first if end <= until), default=1.0)


def _row(
    report: Report, spans: list[Span], number: int, pipe: Pipe, y: int, scale: float, end: float
) -> Iterator[str]:
    width = _WIDTH - _LEFT - _RIGHT
    yield f'<text x="0" y="{y + 16}">{pipe.value}</text>'
    yield f'<text class="dim" x="56" y="{y + 16}">{_ROLES.get(pipe, "")}</text>'
    yield f'<rect class="lane" x="{_LEFT}" y="{y + 2}" width="{width}" height="{_ROW - 4}"/>'
    busy = report.pipes.get(pipe.value, 0.0)
    yield f'<text x="{_LEFT + width + 8}" y="{y + 16}">{busy:.0%}</text>'
    for span, start, stop in _merged(spans, number, end, 0.5 / scale):
        x, w = _LEFT + start * scale, max((stop - start) * scale, 0.4)
        yield (
            f'<rect x="{x:.2f}" y="{y + 3}" width="{w:.2f}" height="{_ROW - 6}" '
            f'fill="{_COLOURS.get(pipe, "#888")}" opacity="{_opacity(span):.2f}">'
            f"<title>{escape(_told(report, span))}</title></rect>"
        )


def _opacity(span: Span) -> float:
    """Of trips that were reckoned: the paler, the less they keep the pipe busy."""
    return 0.95 if span.step >= 0 else 0.08 + 0.62 * span.share


def _merged(
    spans: list[Span], number: int, end: float, gap: float
) -> Iterator[tuple[Span, float, float]]:
    """The spans of one pipe; what is too narrow to see joins its neighbour."""
    held: tuple[Span, float, float] | None = None
    for span in spans:
        if span.pipe != number or span.start >= end:
            continue
        stop = min(span.end, end)
        is_small = stop - span.start < gap
        if held and is_small and span.start - held[2] < gap and held[2] - held[1] < 8 * gap:
            held = (held[0], held[1], stop)
            continue
        if held:
            yield held
        held = (span, span.start, stop)
    if held:
        yield held


def _told(report: Report, span: Span) -> str:
    cycles = span.end - span.start
    if span.step < 0:
        trips = f"{span.trips:,} more trips like the last one: {cycles:,.0f} cycles"
        return f"{trips}, busy for {span.share:.0%}"
    instruction, _ = report.recorded.steps[span.step]
    return f"{instruction}\n{instruction.location}\n{cycles:,.0f} cycles from {span.start:,.0f}"


def _time_axis(seconds: float, y: int) -> Iterator[str]:
    width = _WIDTH - _LEFT - _RIGHT
    unit, scale = next(
        ((u, s) for u, s in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)) if seconds >= 2 * s),
        ("ns", 1e-9),
    )
    step = _round_step(seconds / scale / 6)
    for tick in range(int(seconds / scale / step) + 1):
        x = _LEFT + width * tick * step * scale / seconds
        yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{y + 4}"/>'
        yield f'<text class="dim" x="{x:.1f}" y="{y + 18}">{tick * step:g} {unit}</text>'


def _round_step(step: float) -> float:
    power = 10.0 ** math.floor(math.log10(step))
    return next(power * part for part in (1, 2, 5, 10) if power * part >= step)


# ---- the roofline

_HEIGHT = 330
_PLOT = (70, 14, 640, 270)  # left, top, width, height


def roofline(report: Report) -> str:
    """Operations per second over operations per byte of HBM, both logarithmic."""
    chip, outcome = report.chip, report.outcome
    hbm = chip.hbm_bytes_per_second
    roofs = [
        ("cube f16", chip.peak_f16_flops),
        ("vector f32", chip.peak_vector_f32_flops),
    ]
    intensity = outcome.flops / outcome.hbm_bytes if outcome.hbm_bytes else 0.0
    reached = report.tflops * 1e12
    x_range = _decades([intensity, roofs[0][1] / hbm, 0.1])
    y_range = _decades([reached, roofs[0][1], hbm * 10 ** x_range[0]])
    plot = _Plot(x_range, y_range)
    parts = [_open(_HEIGHT), *plot.axes()]
    for name, peak in roofs:
        parts.append(plot.roof(hbm, peak))
        parts.append(plot.label(peak, f"{name}: {peak / 1e12:,.1f} TFLOP/s"))
    parts.append(plot.slope_label(hbm, f"HBM {hbm / 1e12:.2g} TB/s"))
    if reached and intensity:
        low, high = (outcome.flops / seconds for seconds in reversed(report.band_s))
        parts += plot.point(intensity, reached, low, high, report.name)
        share = reached / min(roofs[0][1], roofs[1][1] if not _multiplies(report) else math.inf)
        roof = min(hbm * intensity, report.peak_tflops * 1e12)
        parts += plot.note(
            [
                report.name,
                f"{report.tflops:,.2f} TFLOP/s",
                f"{intensity:,.2f} operations per byte of HBM",
                f"{reached / roof:.0%} of the roof above it",
                f"{share:.1%} of the peak of its unit",
                "simulated",
            ]
        )
    return "".join([*parts, "</svg>"])


def _multiplies(report: Report) -> bool:
    return bool(report.pipes.get(Pipe.M.value))


def _decades(values: list[float]) -> tuple[int, int]:
    logs = [math.log10(value) for value in values if value > 0]
    low = max(math.floor(min(logs) - 0.2), math.ceil(max(logs)) - 9)
    return low, math.ceil(max(logs) + 0.3)


class _Plot:
    """Logarithmic axes."""

    def __init__(self, x_range: tuple[int, int], y_range: tuple[int, int]) -> None:
        self._x_range, self._y_range = x_range, y_range

    def x(self, value: float) -> float:
        low, high = self._x_range
        return _PLOT[0] + _PLOT[2] * (math.log10(value) - low) / (high - low)

    def y(self, value: float) -> float:
        low, high = self._y_range
        return _PLOT[1] + _PLOT[3] * (1 - (math.log10(value) - low) / (high - low))

    def axes(self) -> Iterator[str]:
        left, top, width, height = _PLOT
        for power in range(self._x_range[0], self._x_range[1] + 1):
            x = self.x(10.0**power)
            yield f'<line class="axis" x1="{x:.1f}" x2="{x:.1f}" y1="{top}" y2="{top + height}"/>'
            yield f'<text class="dim" x="{x - 8:.1f}" y="{top + height + 15}">'
            yield f"{10.0**power:g}</text>"
        for power in range(self._y_range[0], self._y_range[1] + 1):
            y = self.y(10.0**power)
            yield f'<line class="axis" x1="{left}" x2="{left + width}" y1="{y:.1f}" y2="{y:.1f}"/>'
            label = f"{10.0 ** (power - 12):g}"
            place = f'x="{left - 6}" y="{y + 4:.1f}" text-anchor="end"'
            yield f'<text class="dim" {place}>{label}</text>'
        yield f'<text class="dim" x="{left + width / 2 - 70}" y="{top + height + 34}">'
        yield "operations per byte of HBM</text>"
        yield f'<text class="dim" x="0" y="{top + 12}">TFLOP/s</text>'

    def roof(self, hbm: float, peak: float) -> str:
        low, high = 10.0 ** self._x_range[0], 10.0 ** self._x_range[1]
        start = min(low * hbm, peak)
        first = max(low, 10.0 ** self._y_range[0] / hbm)
        points = [(first, max(start, first * hbm)), (peak / hbm, peak), (high, peak)]
        line = " ".join(f"{self.x(x):.1f},{self.y(y):.1f}" for x, y in points)
        return f'<polyline class="roof" points="{line}"/>'

    def label(self, peak: float, text: str) -> str:
        x = _PLOT[0] + _PLOT[2] - 8
        return f'<text x="{x}" y="{self.y(peak) - 5:.1f}" text-anchor="end">{text}</text>'

    def slope_label(self, hbm: float, text: str) -> str:
        at = 10.0 ** (self._x_range[0] + 0.6)
        y = self.y(max(at * hbm, 10.0 ** self._y_range[0]))
        return f'<text x="{self.x(at) - 40:.1f}" y="{y - 16:.1f}">{text}</text>'

    def point(self, x: float, y: float, low: float, high: float, name: str) -> Iterator[str]:
        at = self.x(x)
        yield f'<line class="band" x1="{at:.1f}" x2="{at:.1f}" y1="{self.y(low):.1f}" '
        yield f'y2="{self.y(high):.1f}"/><circle class="dot" cx="{at:.1f}" cy="{self.y(y):.1f}" '
        yield f'r="6"><title>{escape(name)}</title></circle>'

    def note(self, lines: list[str]) -> Iterator[str]:
        x = _PLOT[0] + _PLOT[2] + 30
        for number, line in enumerate(lines):
            kind = ' class="dim"' if number else ""
            yield f'<text{kind} x="{x}" y="{40 + 20 * number}">{escape(line)}</text>'


def _open(height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" '
        f'width="{_WIDTH}" height="{height}" role="img">'
    )


def time_text(seconds: float) -> str:
    for unit, scale in (("s", 1.0), ("ms", 1e-3), ("us", 1e-6)):
        if seconds >= scale:
            return f"{seconds / scale:.3g} {unit}"
    return f"{seconds * 1e9:.3g} ns"
