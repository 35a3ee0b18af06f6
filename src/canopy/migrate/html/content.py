"""The data behind the page: what `report.js` reads, as plain lists and objects.

Findings are lists in the order of `FIELDS`; rules, reasons and advice stand once, in tables.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from canopy import __version__
from canopy.migrate.apply import edits_of
from canopy.migrate.findings import TARGETS, Effort, FileReport, Finding, Status
from canopy.migrate.html.sources import hunks_of, lines_of, segments_of
from canopy.migrate.project import Project
from canopy.migrate.summary import WEIGHTS, next_steps, work
from canopy.migrate.text_reader import notebook_code
from canopy.migrate.walker import read_bytes

__all__ = ["FIELDS", "content_of"]

FIELDS = ("rule", "line", "column", "what", "effort", "status", "why", "advice", "suggestion")
MOST_SOURCE = 8_000_000  # characters of source shown whole; of what is beyond, lines near findings
_EFFORTS = list(Effort)
_STATUSES = list(Status)


class _Table:
    """Texts, each once; a text is told by its place."""

    def __init__(self) -> None:
        self.texts: dict[str, int] = {}

    def place(self, text: str) -> int:
        return self.texts.setdefault(text, len(self.texts))


def content_of(project: Project) -> dict[str, Any]:
    """Everything that the page shows."""
    texts = _Table()
    budget = MOST_SOURCE
    files = []
    for file in sorted(project.files, key=lambda file: (-work([file]), file.path)):
        entry = _entry(file, texts)
        if file.findings:
            size = _add_source(entry, project, file, whole=budget > 0)
            budget -= size
        files.append(entry)
    return {
        "canopy": __version__,
        "name": project.root.resolve().name or "/",
        "efforts": [effort.value for effort in _EFFORTS],
        "weights": [WEIGHTS[effort] for effort in _EFFORTS],
        "statuses": [status.value for status in _STATUSES],
        "targets": list(TARGETS),
        "fields": list(FIELDS),
        "proof": project.proof.lines() if project.proof is not None else [],
        "steps": [[step.count, step.text] for step in next_steps(project)],
        "files": files,
        "texts": list(texts.texts),
    }


def _entry(file: FileReport, texts: _Table) -> dict[str, Any]:
    findings = [_finding(finding, texts) for finding in file.findings]
    return {
        "path": file.path,
        "kind": file.kind,
        "lines": file.lines,
        "note": file.note,
        "findings": findings,
    }


def _finding(finding: Finding, texts: _Table) -> Sequence[Any]:
    return (
        texts.place(finding.rule),
        finding.line,
        finding.column,
        finding.what,
        _EFFORTS.index(finding.effort),
        [_STATUSES.index(finding.status[target]) for target in TARGETS],
        texts.place(finding.why),
        texts.place(finding.advice),
        finding.suggestion,
    )


def _add_source(entry: dict[str, Any], project: Project, file: FileReport, *, whole: bool) -> int:
    """Puts the text and the rewrite into ``entry``; the characters that they take."""
    try:
        data = read_bytes(project.path_of(file))
    except OSError:
        return 0  # gone since it was read: the findings stand without their source
    if file.kind == "notebook":
        data = notebook_code(data)
    entry["source"] = segments_of(lines_of(data), file, whole=whole)
    if edits := edits_of(file):
        entry["hunks"] = hunks_of(data, edits)
    return sum(len(text) for _, text in entry["source"])
