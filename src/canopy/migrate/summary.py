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

_MOST_ROWS = 30
_MOST_NOTES = 10
# What a use adds to the work ahead: to order files by, and the area they take in the treemap.
WEIGHTS = {
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
    """The three most valuable steps: the machine's, then the rules that block most uses."""
    steps = []
    if automatic := project.count(Effort.AUTOMATIC):
        steps.append(Step(automatic, "canopy migrate PATH --apply rewrites them; see --diff first"))
    by_rule: Counter[tuple[str, str]] = Counter()
    for file in project.files:
        for finding in file.findings:
            if finding.effort.rank >= Effort.LOW.rank:
                by_rule[finding.rule, finding.advice] += 1
    steps += [Step(n, f"{rule}: {advice}") for (rule, advice), n in by_rule.most_common(3)]
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
    for name, group in rows[:_MOST_ROWS]:
        table.add_row(*_row(name, group))
    if len(rows) > _MOST_ROWS:
        table.add_row(f"... and {len(rows) - _MOST_ROWS} more", *[""] * 8)
    return table


def _rows(files: list[FileReport]) -> list[tuple[str, list[FileReport]]]:
    """Files where they are few, else folders; the most work first."""
    groups: dict[str, list[FileReport]] = defaultdict(list)
    by_folder = len(files) > _MOST_ROWS
    for file in files:
        folder = file.path.rpartition("/")[0] or "."
        groups[f"{folder}/" if by_folder else file.path].append(file)
    return sorted(groups.items(), key=lambda item: (-work(item[1]), item[0]))


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
