"""What the report shows of a file's text: its lines, or those near its findings, and the rewrite.

A hunk is ``[line, count, new]``: ``count`` lines from ``line`` on become the lines ``new``.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any

from canopy.migrate.apply import apply_edits
from canopy.migrate.findings import Edit, FileReport

__all__ = ["hunks_of", "lines_of", "segments_of"]

MOST_COLUMNS = 1000  # a longer line is data; its rest is cut off
_NEAR = 12  # lines shown around a finding of a file that is not shown whole


def lines_of(data: bytes) -> list[str]:
    """The lines, as findings count them."""
    return [_shortened(line) for line in data.decode("utf-8", "replace").split("\n")]


def _shortened(line: str) -> str:
    line = line.removesuffix("\r")
    return line if len(line) <= MOST_COLUMNS else line[:MOST_COLUMNS] + " …"


def segments_of(lines: Sequence[str], report: FileReport, *, whole: bool) -> list[list[Any]]:
    """``[first line, text]`` for each part that is shown."""
    if whole:
        return [[1, "\n".join(lines)]]
    segments: list[list[int]] = []
    for line in sorted({finding.line for finding in report.findings}):
        first, last = max(line - _NEAR, 1), min(line + _NEAR, len(lines))
        if segments and first <= segments[-1][1] + 1:
            segments[-1][1] = last
        elif first <= last:
            segments.append([first, last])
    return [[first, "\n".join(lines[first - 1 : last])] for first, last in segments]


def hunks_of(data: bytes, edits: Sequence[Edit]) -> list[list[Any]]:
    """The lines that the edits replace, and what with; from the edits, not from a comparison."""
    starts = [0, *accumulate(len(line) + 1 for line in data.split(b"\n"))]
    hunks: list[list[Any]] = []
    for group in _groups(starts, edits):
        first = bisect_right(starts, group[0].start) - 1
        last = bisect_right(starts, group[-1].end) - 1
        begin, end = starts[first], starts[last + 1] - 1
        inside = [Edit(edit.start - begin, edit.end - begin, edit.text) for edit in group]
        before = data[begin:end]
        hunk = _trimmed(first + 1, lines_of(before), lines_of(apply_edits(before, inside)))
        if hunk[1] or hunk[2]:
            hunks.append(hunk)
    return hunks


def _groups(starts: Sequence[int], edits: Sequence[Edit]) -> list[list[Edit]]:
    """Edits that share a line, together."""
    groups: list[list[Edit]] = []
    for edit in edits:
        line = bisect_right(starts, edit.start)
        if groups and line <= bisect_right(starts, groups[-1][-1].end):
            groups[-1].append(edit)
        else:
            groups.append([edit])
    return groups


def _trimmed(line: int, old: list[str], new: list[str]) -> list[Any]:
    """Without the lines at both ends that stay as they are."""
    while old and new and old[0] == new[0]:
        old, new, line = old[1:], new[1:], line + 1
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    return [line, len(old), new]
