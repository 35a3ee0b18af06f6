"""The report for a terminal: folders and files, what they need, and what to do first."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from canopy.migrate.findings import Effort, FileReport
from canopy.migrate.project import Project

__all__ = ["WEIGHTS", "Step", "next_steps", "show_summary", "shown", "totals", "work"]

_MOST_ROWS = 24
_MOST_NOTES = 10
# What a use adds to the work ahead: to order files by, and the area they take in the treemap.
WEIGHTS: dict[Effort, float] = {
    Effort.NONE: 0.0,
    Effort.AUTOMATIC: 0.1,
    Effort.LOW: 1.0,
    Effort.MEDIUM: 5.0,
    Effort.HIGH: 20.0,
}


@dataclass(frozen=True)
class Step:
    """One thing to do: what it is, and how many uses it settles."""

    count: int
    text: str


def shown(text: str) -> str:
    """A name from outside, fit for one line: control characters are spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def next_steps(project: Project) -> list[Step]:
    """The three most valuable steps: the machine's, then the rules behind most of the work."""
    steps = []
    if automatic := project.count(Effort.AUTOMATIC):
        steps.append(Step(automatic, "canopy migrate PATH --apply rewrites them; see --diff first"))
    counts: Counter[tuple[str, str]] = Counter()
    worth: dict[tuple[str, str], float] = defaultdict(float)
    for file in project.files:
        for finding in file.findings:
            if finding.effort.rank >= Effort.LOW.rank:
                counts[finding.rule, finding.advice] += 1
                worth[finding.rule, finding.advice] += WEIGHTS[finding.effort]
    best = sorted(worth, key=lambda key: (-worth[key], key))[:3]
    steps += [Step(counts[key], f"{key[0]}: {key[1]}") for key in best]
    return steps[:3]


def show_summary(project: Project, console: Console) -> None:
    """Prints the whole report."""
    touched = project.with_findings
    console.print(
        f"[bold]{escape(shown(str(project.root)))}[/]: {len(project.files)} files, "
        f"{project.lines} lines, {project.total} uses of CUDA in {len(touched)} files"
    )
    if touched:
        console.print(_table(touched))
        console.print(totals(project))
        for number, step in enumerate(next_steps(project), 1):
            console.print(f"  {number}. {step.count} uses: {escape(step.text)}")
    else:
        console.print("Nothing here depends on CUDA.")
    for line in project.proof.lines() if project.proof is not None else ():
        console.print(escape(shown(line)))
    _show_notes([file for file in project.files if file.note], console)


def _table(files: list[FileReport]) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("file", overflow="fold", min_width=24)
    for name in ("uses", "runs now", "ready", "automatic", "low", "medium", "high"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("mostly", overflow="ellipsis", no_wrap=True, max_width=44)
    rows = _rows(files)
    for name, group in rows:
        table.add_row(*_row(name, group))
    told = sum(not name.endswith("/") for name, _ in rows)
    if told < len(files):
        table.add_row(f"... and {len(files) - told} more files", *[""] * 8)
    return table


def _rows(files: list[FileReport]) -> list[tuple[str, list[FileReport]]]:
    """Folders, the most work first, and below each those of its files with the most work."""
    folders: dict[str, list[FileReport]] = defaultdict(list)
    for file in sorted(files, key=lambda file: (-work([file]), file.path))[:_MOST_ROWS]:
        folders[_folder(file)].append(file)
    whole: dict[str, list[FileReport]] = defaultdict(list)
    for file in files:
        whole[_folder(file)].append(file)
    rows: list[tuple[str, list[FileReport]]] = []
    for name in sorted(folders, key=lambda name: (-work(whole[name]), name)):
        rows.append((name, whole[name]))
        rows += [(f"  {file.path.rpartition('/')[2]}", [file]) for file in folders[name]]
    return rows


def _folder(file: FileReport) -> str:
    return (file.path.rpartition("/")[0] or ".") + "/"


def work(files: Iterable[FileReport]) -> float:
    """A weight of what is to be done: high counts most."""
    return sum(WEIGHTS[finding.effort] for file in files for finding in file.findings)


def _row(name: str, files: list[FileReport]) -> list[str]:
    merged = FileReport(name, "", findings=[f for file in files for f in file.findings])
    rules = Counter(finding.rule for finding in merged.findings if finding.effort.rank > 1)
    return [
        escape(shown(name)),
        str(len(merged.findings)),
        f"{merged.runs_now:.0%}",
        f"{merged.ready:.0%}",
        *(
            str(merged.count(effort) or "")
            for effort in (Effort.AUTOMATIC, Effort.LOW, Effort.MEDIUM, Effort.HIGH)
        ),
        ", ".join(rule for rule, _ in rules.most_common(2)),
    ]


def totals(project: Project) -> str:
    """One sentence: which share of the uses needs what."""
    total = max(project.total, 1)
    words = {
        Effort.NONE: "stay as they are",
        Effort.AUTOMATIC: "are rewritten by machine",
        Effort.LOW: "need a minute",
        Effort.MEDIUM: "need hours",
        Effort.HIGH: "have no counterpart",
    }
    parts = [f"{project.count(e) / total:.0%} {text}" for e, text in words.items()]
    return "Of all uses " + ", ".join(parts) + "."


def _show_notes(files: list[FileReport], console: Console) -> None:
    for file in files[:_MOST_NOTES]:
        console.print(f"  {escape(shown(file.path))}: {escape(file.note)}", style="dim")
    if len(files) > _MOST_NOTES:
        console.print(f"  ... and {len(files) - _MOST_NOTES} more were not read", style="dim")
