"""docs/reference/ascend-evidence.md, from results.json; and results.json from single results."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from canopy.targets.ascend.chip import load_chip
from tests.targets.ascend.evidence.measured import BOUNDS, Distance
from tests.targets.ascend.evidence.results import RECORDED, ROOT, Result
from tests.targets.ascend.evidence.suites import CHIPS, SUITES, Suite, group_of

__all__ = ["PAGE", "record", "render"]

PAGE = ROOT / "docs" / "reference" / "ascend-evidence.md"
OUTCOMES = ("passed", "refused", "failed", "skipped")
_HEAD = """# Evidence on Ascend's chips

**Everything here is simulated; nothing has run on a card.** What `make test-ascend` found, chip by
chip: Triton kernels on the functional simulator, where any hazard is a failure; the same kernels
printed as Ascend C, compiled and run on the CPU header beside the simulator; and the target's own
tests. The command goes on where it stood; `python -m tests.targets.ascend.evidence --record` writes
this page from its results.

A number is how many tests passed. *Refused* is an error with place, fact and hint before anything
ran; the reasons stand below each table.
"""
_EXACT = """## How exact

Every simulated launch runs in the interpreter of the IR as well, on the same memory, and all that
either of them writes is compared. Stated, and a failure of `make test-ascend` where it does not
hold: integers are exact; f32 differs by at most {bound:.0f} units in the last place (ULP) of the
largest number of its array, f16 and bf16 by at most {narrow:.0f}; f32 in kernels that also have
arrays of 16 bits, by {narrow:.0f} of the narrower type's. Sums are added in another order than the
interpreter's (rows by halves, products in blocks), and the next rounding to 16 bits may then fall
on the other side.

*exact* is equal to the bit in all launches. Else: the share of equal elements; the largest
difference in ULPs of the element (large where terms cancel); and in ULPs of the array's largest
number. An array of nothing but rounding (below 16 ULPs of the launch's largest input) is measured
by that number. Over all chips.
"""


def record(pieces: Mapping[tuple[str, str], Sequence[Result]]) -> None:
    """Takes in the pieces that have results, keeps what is recorded of the others."""
    recorded = json.loads(RECORDED.read_text("utf-8")) if RECORDED.exists() else {}
    for (suite, chip), results in pieces.items():
        if results:
            recorded.setdefault(suite, {})[chip] = _piece(suite, chip, results)
    RECORDED.write_text(json.dumps(recorded, indent=1, sort_keys=True) + "\n", "utf-8")
    PAGE.write_text(render(recorded), "utf-8")


def _piece(suite: str, chip: str, results: Sequence[Result]) -> dict[str, Any]:
    groups: dict[str, Counter[str]] = {}
    reasons: Counter[str] = Counter()
    texts: Counter[str] = Counter()
    for result in results:
        groups.setdefault(group_of(suite, result.test), Counter())[result.outcome] += 1
        texts.update(result.text)
        if result.outcome != "passed":
            reasons[f"{result.outcome}: {result.reason}"] += 1
    return {
        "dates": sorted({result.date for result in results}),
        "commits": sorted({result.commit for result in results}),
        "chip_date": load_chip(chip).date if chip else "",
        "groups": {name: dict(found) for name, found in groups.items()},
        "reasons": dict(reasons),
        "texts": dict(texts),
        "kernels": _joined(result.kernels for result in results),
    }


def _joined(all_kernels: Iterable[dict[str, Any]]) -> dict[str, Any]:
    joined: dict[str, dict[str, Distance]] = {}
    for kernels in all_kernels:
        for kernel, types in kernels.items():
            for dtype, found in types.items():
                joined.setdefault(kernel, {}).setdefault(dtype, Distance()).add(Distance(**found))
    return {
        kernel: {
            dtype: {
                "launches": d.launches,
                "elements": d.elements,
                "differing": d.differing,
                "ulps": d.ulps,
                "of_the_largest": round(d.of_the_largest, 3),
            }
            for dtype, d in types.items()
        }
        for kernel, types in joined.items()
    }


# ---- the page


def render(recorded: Mapping[str, Any]) -> str:
    """The page of what is recorded."""
    parts = [_HEAD]
    parts += [_suite(suite, recorded[suite.name]) for suite in SUITES if suite.name in recorded]
    parts.append(_EXACT.format(bound=BOUNDS["float32"], narrow=BOUNDS["float16"]))
    parts += [
        _distances(suite, recorded[suite.name])
        for suite in SUITES
        if suite.measured and suite.name in recorded
    ]
    return "\n".join(parts)


def _suite(suite: Suite, pieces: Mapping[str, Any]) -> str:
    chips = [chip for chip in ("", *CHIPS) if chip in pieces]
    lines = [f"## {suite.title}", ""]
    lines += [_when(chip, pieces[chip]) for chip in chips]
    lines.append("")
    names = sorted({name for chip in chips for name in pieces[chip]["groups"]})
    head = [chip.upper() or "passed" for chip in chips]
    lines += [f"| | {' | '.join(head)} |", "| --- |" + " --- |" * len(chips)]
    for name in names:
        cells = [_outcomes(pieces[chip]["groups"].get(name, {})) for chip in chips]
        lines.append(f"| `{name}` | {' | '.join(cells)} |")
    totals = [_outcomes(_total(pieces[chip]["groups"])) for chip in chips]
    lines += [f"| all | {' | '.join(totals)} |", ""]
    lines += _reasons(pieces, chips)
    return "\n".join(lines)


def _when(chip: str, piece: Mapping[str, Any]) -> str:
    days, commits = piece["dates"], piece["commits"]
    when = days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"
    code = f"commit{'s' if len(commits) > 1 else ''} {', '.join(commits)}"
    file = f", chip file of {piece['chip_date']}" if chip else ""
    right = piece["texts"].get("printed and right")
    text = f"; {right:,} launches printed and right" if right else ""
    return f"- {chip.upper() + ', ' if chip else ''}{when}, {code}{file}{text}"


def _total(groups: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for found in groups.values():
        total.update(found)
    return dict(total)


def _outcomes(found: Mapping[str, int]) -> str:
    told = [
        str(found[outcome]) if outcome == "passed" else f"{found[outcome]} {outcome}"
        for outcome in OUTCOMES
        if found.get(outcome)
    ]
    if found.get("failed"):
        told = [f"**{part}**" if part.endswith("failed") else part for part in told]
    return ", ".join(told) or "-"


def _reasons(pieces: Mapping[str, Any], chips: Sequence[str]) -> list[str]:
    reasons: dict[str, list[str]] = {}
    for chip in chips:
        for reason, number in sorted(pieces[chip]["reasons"].items()):
            reasons.setdefault(_plain(reason, chip), []).append(f"{chip.upper()} {number}".strip())
    if not reasons:
        return []
    lines = [f"- {reason} ({', '.join(where)})" for reason, where in sorted(reasons.items())]
    return [*lines, ""]


def _plain(reason: str, chip: str) -> str:
    """The same words for every chip, and nothing that Markdown would read."""
    if chip:
        reason = reason.replace(load_chip(chip).name, "the chip")
    return reason.replace("|", "/").replace("<", "&lt;").replace("*", "\\*").replace("_", "\\_")


def _distances(suite: Suite, pieces: Mapping[str, Any]) -> str:
    kernels = _joined(piece["kernels"] for piece in pieces.values())
    types = sorted(
        {t for found in kernels.values() for t in found},
        key=lambda t: (t not in BOUNDS, t),
    )
    lines = [
        f"### {suite.title}",
        "",
        f"| | {' | '.join(types)} |",
        "| --- |" + " --- |" * len(types),
    ]
    for kernel in sorted(kernels):
        cells = [_distance(kernels[kernel].get(dtype)) for dtype in types]
        lines.append(f"| `{kernel}` | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


def _distance(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return ""
    if not found["differing"]:
        return "exact"
    share = 100 * (1 - found["differing"] / found["elements"])
    shown = f"{share:.0f}%" if share < 99 else f"{share:.2f}%"
    return f"{shown}, {found['ulps']:,}, {found['of_the_largest']:.2g}"
