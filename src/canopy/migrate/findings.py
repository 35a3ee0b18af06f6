"""What a reader finds in one file, and how much work each finding is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import Any

__all__ = ["TARGETS", "Edit", "Effort", "FileReport", "Finding", "Status"]

TARGETS = ("cpu", "ascend", "nvidia")


class Effort(str, Enum):
    """What it takes to leave CUDA at this place, from nothing to a redesign."""

    NONE = "none"  # stays as it is
    AUTOMATIC = "automatic"  # `--apply` rewrites it
    LOW = "low"  # minutes: one line, and it is clear which
    MEDIUM = "medium"  # hours: a call has another shape elsewhere
    HIGH = "high"  # days: there is no counterpart

    @property
    def rank(self) -> int:
        return list(Effort).index(self)


class Status(str, Enum):
    """What becomes of the untouched line on a target."""

    RUNS = "runs"
    CAVEAT = "caveat"  # runs, and differs in a way that the finding tells
    UNSUPPORTED = "unsupported"
    UNDECIDED = "undecided"  # reading cannot tell: `--prove` can


@dataclass(frozen=True)
class Edit:
    """Bytes ``start`` to ``end`` of the file become ``text``; edits of one file do not overlap."""

    start: int
    end: int
    text: str


@dataclass(frozen=True)
class Finding:
    """One use of CUDA. Lines and columns count from 1; columns count characters."""

    rule: str
    line: int
    column: int
    what: str
    effort: Effort
    status: Mapping[str, Status]
    why: str = ""
    advice: str = ""
    suggestion: str = ""
    edits: tuple[Edit, ...] = ()


@dataclass
class FileReport:
    """All that is known of one file. ``path`` is relative, with slashes; ``note`` says in one line
    why a file was not read whole."""

    path: str
    kind: str
    lines: int = 0
    findings: list[Finding] = field(default_factory=list)
    note: str = ""
    exports: dict[str, str] = field(default_factory=dict)  # name -> what of CUDA it stands for
    header: Edit | None = None  # what the edits of the file need to stand above them

    def count(self, effort: Effort) -> int:
        return sum(finding.effort is effort for finding in self.findings)

    @property
    def worst(self) -> Effort:
        return max((f.effort for f in self.findings), key=lambda e: e.rank, default=Effort.NONE)

    @property
    def runs_now(self) -> float:
        """The share of uses that run untouched on the cpu target; 1.0 without any use."""
        good = sum(f.status["cpu"] in (Status.RUNS, Status.CAVEAT) for f in self.findings)
        return good / len(self.findings) if self.findings else 1.0

    @property
    def ready(self) -> float:
        """The share of uses that need nobody: they stay, or are rewritten by machine."""
        good = self.count(Effort.NONE) + self.count(Effort.AUTOMATIC)
        return good / len(self.findings) if self.findings else 1.0

    def to_data(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_data(data: Mapping[str, Any]) -> FileReport:
        values = dict(data)
        values["findings"] = [_finding(entry) for entry in data["findings"]]
        values["header"] = Edit(**data["header"]) if data["header"] else None
        return FileReport(**values)


def _finding(data: Mapping[str, Any]) -> Finding:
    values = dict(data)
    values["effort"] = Effort(data["effort"])
    values["status"] = {target: Status(word) for target, word in data["status"].items()}
    values["edits"] = tuple(Edit(**edit) for edit in data["edits"])
    return Finding(**values)
