"""The page of the documentation with the results by program."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

__all__ = ["PAGE", "PROGRAMS", "RECORDED", "ROOT", "name_of", "page", "record"]

ROOT = Path(__file__).resolve().parents[4]
FOLDER = ROOT / "tests" / "frontends" / "cuda" / "programs"
PROGRAMS = sorted(FOLDER.rglob("*.cu"))
RECORDED = Path(__file__).with_name("results.json")
PAGE = ROOT / "docs" / "reference" / "ascend-cuda.md"
OUTCOMES = ("exact", "close", "refused", "slow", "apart", "crashed")

_HEAD = """\
# CUDA C++ programs on the simulated Ascend

The programs of [the CUDA test suite](cuda-programs.md), whole, each `<<<>>>` of them on the
simulated 910B2: the first {most} launches of every kernel and block shape are compared with the
results of the processor, and where these differ with the interpreter's.

- *exact*: bit for bit. *close*: floats within the bounds of [Ascend](../ascend.md) (64 ULP of the
  array's largest number in f32, 2 in f16 and bf16; products and sums are rounded apart).
- *refused*: an error with line and hint. *slow*: a launch took longer to simulate than {seconds} s.

{counts}

Written by `python -m tests.targets.ascend.cuda_corpus --record`; `make test-ascend` runs all of it.

"""


def name_of(source: Path) -> str:
    return str(source.relative_to(FOLDER).with_suffix(""))


def page(results: Mapping[str, Mapping[str, Any]]) -> str:
    """The page as the results say."""
    outcomes = Counter(
        kernel["outcome"] for result in results.values() for kernel in result["kernels"].values()
    )
    told = ", ".join(f"{outcomes[o]} {o}" for o in OUTCOMES if outcomes[o])
    without = [name for name, result in results.items() if not result["kernels"]]
    counts = f"{len(results)} programs, {sum(outcomes.values())} kernels: {told}."
    if without:
        counts += f" {len(without)} programs have no result (see their rows)."
    return _HEAD.format(most=2, seconds=20, counts=counts) + "\n".join(_rows(results)) + "\n"


def _rows(results: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    yield "| Program | Runs | Does not | Slow lines |"
    yield "| --- | --- | --- | --- |"
    for name, result in sorted(results.items()):
        kernels = sorted(result["kernels"].items())
        good = [_told(kernel, r) for kernel, r in kernels if r["outcome"] in ("exact", "close")]
        bad = [_told(kernel, r) for kernel, r in kernels if r["outcome"] not in ("exact", "close")]
        if result.get("failed"):
            bad.append(_escaped(result["failed"]))
        slow = sum(len(r["notes"]) for _, r in kernels)
        yield f"| `{name}` | {', '.join(good)} | {'; '.join(bad)} | {slow or ''} |"


def _told(kernel: str, result: Mapping[str, Any]) -> str:
    shown = f"`{_escaped(kernel)}`"
    if result["outcome"] == "exact":
        return shown
    if result["outcome"] == "close":
        return f"{shown} ({max(1, round(result['of_the_largest']))} ULP)"
    reason = _escaped(result["reason"].rpartition("/")[2])
    return f"{shown} {result['outcome']}: {reason}"


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def record(results: Mapping[str, Mapping[str, Any]]) -> None:
    """Writes the results and the page."""
    there = {name_of(source) for source in PROGRAMS}
    kept = {name: results[name] for name in sorted(there & set(results))}
    RECORDED.write_text(json.dumps(kept, indent=1, sort_keys=True) + "\n", "utf-8")
    PAGE.write_text(page(kept), "utf-8")
