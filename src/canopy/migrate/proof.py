"""What `--prove` found: two runs of a program, and whether they came to the same."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from canopy.migrate.comparison import Comparison

__all__ = ["PROOF_SCHEMA", "Proof", "Run"]


@dataclass(frozen=True)
class Run:
    """One run. ``redirected``, ``kernels`` and ``fallbacks`` are those of the report that
    `canopy run` writes: what of CUDA was used and where it ran; ``has_report`` is False for
    commands that are no Python programs. ``error`` is the last line on stderr of a failed run."""

    exit_code: int
    wall_s: float
    redirected: dict[str, int]
    kernels: list[dict[str, Any]]
    fallbacks: list[dict[str, Any]]
    has_report: bool
    error: str = ""


@dataclass(frozen=True)
class Proof:
    """A program before and after the rewrite of ``files_changed`` files."""

    command: str
    before: Run
    after: Run
    output: Comparison
    files: Comparison
    files_changed: int

    @property
    def is_equal(self) -> bool:
        """Whether both ended alike and nothing that the program repeats differs."""
        is_alike = self.before.exit_code == self.after.exit_code
        return is_alike and not (self.output.differences or self.files.differences)

    @property
    def holds(self) -> bool:
        """Whether the program runs on this machine, and its rewrite does the same."""
        return self.is_equal and self.before.exit_code == 0

    def to_data(self) -> dict[str, Any]:
        """The ``proof`` of the JSON report: the fields above, and what they come to."""
        return {**asdict(self), "is_equal": self.is_equal, "holds": self.holds}

    def lines(self) -> list[str]:
        """The proof for a terminal."""
        words = "the same" if self.is_equal else "NOT the same"
        lines, files = _told(self.output, "line", "printed"), _told(self.files, "file", "written")
        found = [
            f"proof: {self.command}",
            f"  as it is:  exit code {self.before.exit_code} in {self.before.wall_s:.1f} s"
            + (f" ({self.before.error})" if self.before.error else ""),
            f"  rewritten: exit code {self.after.exit_code} in {self.after.wall_s:.1f} s, "
            f"{self.files_changed} files changed"
            + (f" ({self.after.error})" if self.after.error else ""),
            f"  both did {words}: {lines}, {files}",
        ]
        found += [f"  differs:   {text}" for text in self.output.differences]
        found += [f"  differs:   {text}" for text in self.files.differences]
        return found + _coverage(self.after)


def _told(found: Comparison, noun: str, verb: str) -> str:
    plural = "" if found.compared == 1 else "s"
    text = f"{found.compared} {noun}{plural} {verb} were compared"
    return text + (f", {found.unstable} it does not repeat itself" if found.unstable else "")


def _coverage(run: Run) -> list[str]:
    if not run.has_report:
        return ["  covered:   unknown, the command is no Python program"]
    counts = [f"{count:,} {what}" for what, count in sorted(run.redirected.items()) if count]
    kernels = [f"{one['name']} ({one['launches']:,} launches)" for one in run.kernels]
    lines = [f"  covered:   {', '.join([*counts, *kernels]) or 'nothing used CUDA'}"]
    for one in run.fallbacks:
        hint = f" ({one['hint']})" if one.get("hint") else ""
        lines.append(f"  fallback:  {one['location']}: {one['fact']}{hint}")
    return lines


_COMPARISON = {
    "type": "object",
    "required": ["compared", "unstable", "differences"],
    "properties": {
        "compared": {"type": "integer", "minimum": 0},
        "unstable": {"type": "integer", "minimum": 0},
        "differences": {"type": "array", "items": {"type": "string"}},
    },
}
_RUN = {
    "type": "object",
    "required": ["exit_code", "wall_s", "redirected", "kernels", "fallbacks", "has_report"],
    "properties": {
        "exit_code": {"type": "integer"},
        "wall_s": {"type": "number", "minimum": 0},
        "redirected": {"type": "object"},
        "kernels": {"type": "array", "items": {"type": "object"}},
        "fallbacks": {"type": "array", "items": {"type": "object"}},
        "has_report": {"type": "boolean"},
        "error": {"type": "string"},
    },
}
PROOF_SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["command", "before", "after", "output", "files", "is_equal", "holds"],
    "properties": {
        "command": {"type": "string"},
        "before": _RUN,
        "after": _RUN,
        "output": _COMPARISON,
        "files": _COMPARISON,
        "files_changed": {"type": "integer", "minimum": 0},
        "is_equal": {"type": "boolean"},
        "holds": {"type": "boolean"},
    },
}
