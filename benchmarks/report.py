"""Writes the figures of the last run into the documentation: tables and the chart.

    python benchmarks/report.py             rewrites what stands between the markers
    python benchmarks/report.py --check     says whether that would change anything

What stands in the documentation comes from benchmarks/results/latest.json and from nowhere else.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bars import BARS
from benchmarks.results import LATEST, ROOT, Results, load
from benchmarks.tables import COLUMNS, Line, format_time, lines_of, verdict

__all__ = ["chart", "documents", "page", "summary"]

START, END = "<!-- bench -->", "<!-- /bench -->"
CHART = "docs/images/benchmarks.svg"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--check", action="store_true", help="change nothing, 1 if out of date")
    check = parser.parse_args().check
    stale = []
    for name, text in documents(load((ROOT / LATEST).read_text(encoding="utf-8"))).items():
        path = ROOT / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(name)
            if not check:
                path.write_text(text, encoding="utf-8")
    print("out of date:" if check else "written:", ", ".join(stale) or "nothing")
    return 1 if check and stale else 0


def documents(results: Results) -> dict[str, str]:
    """The files that show figures, as they should be."""
    sections = {"docs/benchmarks.md": page(results), "README.md": summary(results)}
    found = {name: with_section(name, section) for name, section in sections.items()}
    return {**found, CHART: chart(results)}


def with_section(name: str, section: str) -> str:
    text = (ROOT / name).read_text(encoding="utf-8")
    before, _, rest = text.partition(START)
    _, _, after = rest.partition(END)
    return f"{before}{START}\n{section}\n{END}{after}"


# -- Text -----------------------------------------------------------------------------------------


def page(results: Results) -> str:
    """All there is: the bars, every line at 2 threads and at 1, compile times, what is missing."""
    parts = [
        provenance(results),
        "![Canopy's speed as a multiple of torch eager's](images/benchmarks.svg)",
        f"### Bars\n\n{bars_met(results)}\n\n{bar_table(results)}",
    ]
    for threads in (2, 1):
        lines = [line for line in lines_of(results) if line.threads == threads]
        if lines:
            parts.append(f"### {threads} thread{'s' * (threads > 1)}\n\n{line_table(lines)}")
    if results.compiling:
        parts.append(f"### Before the first result\n\n{compile_table(results)}")
    parts += [notes for notes in (missing(results),) if notes]
    return "\n\n".join(parts)


def summary(results: Results) -> str:
    """For the README."""
    return (
        "![Canopy's speed as a multiple of torch eager's](docs/images/benchmarks.svg)\n\n"
        f"{provenance(results)} {bars_met(results)} All figures, also beside torch.compile, "
        "numba, oneDNN and the machine's limits: [benchmarks](docs/benchmarks.md)."
    )


def provenance(results: Results) -> str:
    versions = ", ".join(f"{name} {version}" for name, version in results.versions.items())
    where = results.machine
    core = f" ({where['core']})" if where.get("core") else ""
    return (
        f"Measured on {results.date} on {where.get('usable_cpus', '?')} cores of an "
        f"{where.get('cpu', '?')}{core}; {versions}."
        + (f" **{results.note}**" if results.note else "")
    )


def bars_met(results: Results) -> str:
    met = [bar.is_met(results) for bar in BARS]
    count = f"{met.count(True)} of {len(met)} bars are met"
    unknown = met.count(None)
    return count + (f", {unknown} were not measured." if unknown else ".")


def bar_table(results: Results) -> str:
    rows = []
    for bar in BARS:
        value, met = bar.value(results), bar.is_met(results)
        shown = "" if value is None else f"{value:.2f}"
        word = verdict(met)
        rows.append((bar.case, bar.claim, shown, f"**{word}**" if met is False else word))
    return table(("case", "bar", "figure", ""), rows, right=1)


def line_table(lines: Sequence[Line]) -> str:
    rows = [
        (
            line.case,
            line.outputs,
            format_time(line.ours.median_s),
            f"{line.ours.spread / 2:.0%}",
            line.ours.rate,
            *(cell(line, name) for name in COLUMNS),
        )
        for line in lines
    ]
    return table(("case", "outputs", "Canopy", "+-", "rate", *COLUMNS), rows, right=7)


def cell(line: Line, name: str) -> str:
    """A peer's time, and behind it how many times faster Canopy is."""
    peer = line.peers.get(name)
    if peer is None:
        return ""
    return f"{format_time(peer.median_s)} ({peer.median_s / line.ours.median_s:.2f} x)"


def compile_table(results: Results) -> str:
    columns = {
        "triton_s": ("Triton's part", "{:.0f} ms", 1e3),
        "canopy_s": ("Canopy's part", "{:.0f} ms", 1e3),
        "grown_mb": ("memory", "{:.0f} MB", 1),
        "load_s": ("from the disk cache", "{:.1f} ms", 1e3),
    }
    rows = [
        (
            kernel,
            *(form.format(found[name] * factor) for name, (_, form, factor) in columns.items()),
        )
        for kernel, found in results.compiling.items()
        if columns.keys() <= found.keys()
    ]
    text = table(("kernel", *(title for title, _, _ in columns.values())), rows, right=4)
    import_s = results.compiling.get("import", {}).get("import_s")
    return text + (f"\n\n`import canopy`: {import_s * 1e3:.0f} ms." if import_s else "")


def missing(results: Results) -> str:
    """Peers and cases without figures, and why."""
    reasons: dict[str, list[str]] = {}
    for case, peers in results.missing.items():
        for peer, reason in peers.items():
            reasons.setdefault(f"no {peer}: {reason}", []).append(case)
    for case, reason in (*results.skipped.items(), *results.failed.items()):
        reasons.setdefault(f"no figure: {reason}", []).append(case)
    return "\n".join(f"- {', '.join(cases)}: {reason}" for reason, cases in reasons.items())


def table(header: Sequence[str], rows: Iterable[Sequence[str]], right: int) -> str:
    """A Markdown table; the last ``right`` columns but one that has no title stand right."""
    rules = ["---"] * len(header)
    numbers = [k for k, title in enumerate(header) if title][-right:]
    for k in numbers:
        rules[k] = "---:"
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, rules, *rows))


# -- The chart ------------------------------------------------------------------------------------

ROW, LEFT, WIDTH, TOP = 30, 290, 560, 54
STYLES = {"reused": "#2f7d5b", "fresh": "#a3cfba"}


def chart(results: Results) -> str:
    """Canopy's speed as a multiple of torch eager's, equal conditions, 2 threads, as SVG."""
    ratios = speeds(results)
    if not ratios:
        return "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 1 1'></svg>\n"
    extreme = max(max(abs(math.log2(r)) for r in row.values()) for row in ratios.values())
    octaves = max(1, math.ceil(extreme))
    lowest = max(1, math.ceil(max(-math.log2(r) for row in ratios.values() for r in row.values())))
    scale = WIDTH / (octaves + lowest)
    height = TOP + ROW * len(ratios) + 20

    def x_of(ratio: float) -> float:
        return LEFT + (math.log2(ratio) + lowest) * scale

    parts = [_opening(height), *_grid(range(-lowest, octaves + 1), x_of, height)]
    for position, (case, row) in enumerate(ratios.items()):
        y = TOP + position * ROW
        parts.append(f'<text x="{LEFT - 8}" y="{y + 15}" text-anchor="end">{escape(case)}</text>')
        for k, (outputs, ratio) in enumerate(row.items()):
            parts.append(_bar(x_of(1), x_of(ratio), y + 3 + 11 * k, STYLES[outputs], ratio))
    return "\n".join([*parts, "</svg>"]) + "\n"


def speeds(results: Results) -> dict[str, dict[str, float]]:
    """Per case, for reused and fresh outputs: torch's time over ours."""
    found: dict[str, dict[str, float]] = {}
    for line in lines_of(results):
        peer = line.peers.get("torch") or line.peers.get("torch linear")
        if line.threads != 2 or peer is None or line.outputs not in STYLES:
            continue
        if not line.case.startswith(("launch", "tile sizes")):
            found.setdefault(line.case, {})[line.outputs] = peer.median_s / line.ours.median_s
    return found


def _opening(height: int) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 {height}" role="img" '
        f'aria-labelledby="t" font-family="system-ui, sans-serif" font-size="12" fill="#333">\n'
        f'<title id="t">Speed of Canopy as a multiple of torch eager</title>\n'
        f'<rect width="900" height="{height}" fill="#fff"/>\n'
        f'<text x="12" y="22" font-size="15">How many times faster than torch eager</text>\n'
        f'<rect x="{LEFT + 60}" y="12" width="12" height="10" fill="{STYLES["reused"]}"/>'
        f'<text x="{LEFT + 78}" y="21">outputs reused on both sides</text>\n'
        f'<rect x="{LEFT + 270}" y="12" width="12" height="10" fill="{STYLES["fresh"]}"/>'
        f'<text x="{LEFT + 288}" y="21">outputs fresh on both sides</text>'
    )


def _grid(octaves: Iterable[int], x_of, height: int) -> list[str]:
    lines = []
    for octave in octaves:
        x = x_of(2.0**octave)
        colour = "#333" if octave == 0 else "#ddd"
        label = f"{2**octave}" if octave >= 0 else f"1/{2**-octave}"
        lines.append(
            f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{height - 14}" '
            f'stroke="{colour}"/><text x="{x:.1f}" y="{TOP - 10}" text-anchor="middle" '
            f'font-size="11">{label} x</text>'
        )
    return lines


def _bar(one: float, end: float, y: int, colour: str, ratio: float) -> str:
    left, right = min(one, end), max(one, end)
    return (
        f'<rect x="{left:.1f}" y="{y}" width="{max(right - left, 1):.1f}" height="10" '
        f'fill="{colour}"/><text x="{right + 4:.1f}" y="{y + 9}" font-size="10">'
        f"{ratio:.2f}</text>"
    )


def escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;")


if __name__ == "__main__":
    sys.exit(main())
