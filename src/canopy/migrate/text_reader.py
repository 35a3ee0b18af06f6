"""Reads what is no program: shell scripts, Dockerfiles, requirements, build files, CI files.

Line by line, comments left out; and notebooks, whose code cells are read as one Python file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from canopy.migrate.findings import Effort, FileReport, Finding
from canopy.migrate.python_reader import read_python
from canopy.migrate.rules import rules_of
from canopy.migrate.statuses import cpu_status

__all__ = ["MOST_LINE", "notebook_code", "read_notebook", "read_text"]

MOST_LINE = 2000  # a longer line is data
_COMMENT = re.compile(r"(^|\s)#.*$")
_MAGIC = re.compile(r"^\s*[%!?]")


def read_text(data: bytes, path: str, kind: str) -> FileReport:
    """The findings of a file of lines; each rule at most once in a line."""
    report = FileReport(path, kind, lines=data.count(b"\n") + 1)
    rules = [rule for rule in rules_of("text") if kind in rule.kinds]
    for number, line in enumerate(data.decode("utf-8", "replace").split("\n"), 1):
        code = _COMMENT.sub("", line[:MOST_LINE])
        for rule in rules:
            if match := rule.pattern.search(code):
                status = {"cpu": cpu_status(rule), "ascend": rule.ascend, "nvidia": rule.nvidia}
                what = match[0].strip(" -\"'")
                finding = Finding(
                    *(rule.id, number, match.start() + 1, what, rule.effort, status),
                    why=rule.why,
                    advice=rule.advice,
                )
                report.findings.append(finding)
    return report


def read_notebook(data: bytes, path: str, **context: Any) -> FileReport:
    """The code cells of a notebook; lines count through the cells. No edits are made."""
    report = FileReport(path, "notebook")
    try:
        code = notebook_code(data)
    except ValueError:
        report.note = "not read: no notebook of Jupyter's format"
        return report
    found = read_python(code, path, **context)
    report.lines, report.note = found.lines, found.note
    report.findings = [_unedited(finding) for finding in found.findings]
    return report


def notebook_code(data: bytes) -> bytes:
    """The code cells as one Python file, whose lines findings count; ValueError where ``data`` is
    no notebook."""
    try:
        cells = json.loads(data)["cells"]
        sources = [_source(cell) for cell in cells if cell["cell_type"] == "code"]
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError("no notebook of Jupyter's format") from error
    lines = [line for source in sources for line in source.splitlines()]
    return "\n".join(map(_without_magic, lines)).encode("utf-8", "replace")


def _source(cell: Mapping[str, Any]) -> str:
    source = cell["source"]
    return source if isinstance(source, str) else "".join(source)


def _without_magic(line: str) -> str:
    """IPython's own lines become comments, at the same place."""
    return "#" + line if _MAGIC.match(line) else line


def _unedited(finding: Finding) -> Finding:
    """A notebook is not rewritten: what is automatic in a script is a line's work here."""
    effort = Effort.LOW if finding.effort is Effort.AUTOMATIC else finding.effort
    return replace(finding, effort=effort, edits=())
