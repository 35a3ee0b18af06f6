"""Canopy's exceptions: every error says place, fact and hint.

CanopyError
├── UnsupportedError      a feature that the chosen target or front-end cannot run
├── CompileError          a kernel that cannot be compiled although it uses supported features
│   └── VerifyError       an IR program that breaks a rule of the IR
├── LaunchError           a launch with a wrong argument, grid or device
├── KernelError           a kernel that failed as it ran (an assertion, an access out of bounds)
├── CacheError            the disk cache cannot be used as asked
└── MissingDependencyError   an optional package is needed and not installed
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "UNKNOWN_LOCATION",
    "CacheError",
    "CanopyError",
    "CompileError",
    "KernelError",
    "LaunchError",
    "Location",
    "MissingDependencyError",
    "UnsupportedError",
    "VerifyError",
]


@dataclass(frozen=True, slots=True)
class Location:
    """A place in the user's source: file, line and column, both counted from 1; 0 is unknown."""

    file: str = ""
    line: int = 0
    column: int = 0

    def __str__(self) -> str:
        if not self.file:
            return "<unknown>"
        return f"{self.file}:{self.line}" if self.line else self.file


UNKNOWN_LOCATION = Location()


class CanopyError(Exception):
    """Base of all Canopy errors. ``str(error)`` is ``place: fact`` and, below it, the hint."""

    def __init__(self, fact: str, *, location: Location = UNKNOWN_LOCATION, hint: str = "") -> None:
        self.fact = fact
        self.location = location
        self.hint = hint
        super().__init__(fact)

    def __str__(self) -> str:
        place = f"{self.location}: " if self.location.file else ""
        hint = f"\nhint: {self.hint}" if self.hint else ""
        return f"{place}{self.fact}{hint}"


class UnsupportedError(CanopyError):
    """A feature that the chosen target or front-end cannot run."""


class CompileError(CanopyError):
    """A kernel that cannot be compiled although it uses supported features."""


class VerifyError(CompileError):
    """An IR program that breaks a rule of the IR."""


class LaunchError(CanopyError):
    """A launch with a wrong argument, grid or device."""


class KernelError(CanopyError, RuntimeError):
    """A kernel that failed while it ran; a RuntimeError, as torch raises for device assertions."""


class CacheError(CanopyError):
    """The disk cache cannot be used as asked."""


class MissingDependencyError(CanopyError, ImportError):
    """An optional package is needed and not installed; the hint names the extra to install."""
