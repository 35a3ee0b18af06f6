"""Compiles sources of strangers: clang sees our toolchain and the files named, nothing else.

A source from outside could otherwise include any file of the machine, and its text would stand in
messages. What it includes and nobody has, and functions of the host that do not compile, are left
out one by one, so that its kernels can still be looked at; each is told as an `Obstacle`.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from canopy.frontends.cuda.clang import ClangError, device_ir
from canopy.frontends.cuda.host_functions import blanked
from canopy.frontends.cuda.toolchain import HEADERS, RUNTIME_HEADERS, find_zig

__all__ = ["Confined", "Obstacle"]

_MOST_ROUNDS = 14
_IN_PARTS = 8  # rounds that leave out statements; functions after them
_MOST_TOLD = 8  # lines of one function
_NOT_FOUND = re.compile(r"'([^']+)' file not found")
_ERROR = re.compile(r"^(.*?):(\d+):(\d+): (?:fatal )?error: (.*)$", re.M)


@dataclass(frozen=True)
class Obstacle:
    """What was left out: its place, clang's words, and what to know then. ``header`` is the name
    of a header that is not there."""

    file: str
    line: int
    fact: str
    hint: str
    header: str = ""


@dataclass
class Confined:
    """One source, its text, the files that it may see, and options for cc1.

    ``folder`` is empty, and holds this process's temporary files from now on.
    """

    file: Path
    text: str
    files: Sequence[Path]
    options: Sequence[str]
    folder: Path
    more: Sequence[Path] = ()  # whole folders that it may see: our headers for torch
    obstacles: list[Obstacle] = field(default_factory=list)
    functions: set[int] = field(default_factory=set)  # where those begin that have gaps
    rounds: int = 0

    def device_ir(self, most_s: float) -> str:
        """The device half as LLVM IR; ClangError where it cannot be made to compile."""
        end_s = time.monotonic() + most_s
        tempfile.tempdir = str(self.folder)
        absent = self.folder / "absent"
        absent.mkdir()
        flags = [*self.options, *self._overlay(), "-idirafter", str(absent), "-ferror-limit", "0"]
        for self.rounds in range(_MOST_ROUNDS):
            try:
                return device_ir(self.text, str(self.file), flags)
            except ClangError as error:
                if time.monotonic() > end_s or not self._pass_by(error, absent):
                    raise
        return device_ir(self.text, str(self.file), flags)

    def _overlay(self) -> list[str]:
        ours = (HEADERS, RUNTIME_HEADERS, find_zig().parent, self.folder, *self.more)
        roots = [_entry("directory-remap", place) for place in ours]
        roots += [_entry("file", place) for place in self.files]
        overlay = self.folder / "files.yaml"
        content = {"version": 0, "redirecting-with": "redirect-only", "roots": roots}
        overlay.write_text(json.dumps(content), encoding="utf-8")
        return ["-ivfsoverlay", str(overlay)]

    def _pass_by(self, error: ClangError, absent: Path) -> bool:
        """Leaves out what the error is about; False where that cannot be."""
        place = error.location
        missing = _NOT_FOUND.search(error.fact)
        if missing:
            obstacle = Obstacle(place.file, place.line, error.fact, error.hint, missing[1])
            if obstacle.header in {o.header for o in self.obstacles}:
                return False
            self.obstacles.append(obstacle)
            return _make_empty(absent, missing[1])
        errors = [
            (int(line), int(column), fact)
            for file, line, column, fact in _ERROR.findall(error.output)
            if file == str(self.file)
        ]
        left = blanked(self.text, [place[:2] for place in errors], whole=self.rounds > _IN_PARTS)
        self.text = left.text
        for start, lines in left.lines.items():
            if start not in self.functions:  # what follows from a gap is no obstacle of its own
                self.functions.add(start)
                self._note(lines, errors)
        return bool(left.lines)

    def _note(self, lines: Sequence[int], errors: Sequence[tuple[int, int, str]]) -> None:
        facts = {line: fact for line, _, fact in reversed(errors)}
        for line in list(dict.fromkeys(lines))[:_MOST_TOLD]:
            self.obstacles.append(Obstacle(str(self.file), line, facts[line], ""))


def _entry(kind: str, place: Path) -> Mapping[str, Any]:
    return {"type": kind, "name": str(place), "external-contents": str(place)}


def _make_empty(folder: Path, name: str) -> bool:
    """An empty header of that name below ``folder``, which the source will find last."""
    parts = PurePosixPath(name)
    if parts.is_absolute() or ".." in parts.parts:
        return False
    place = folder / parts
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("")
    except OSError:
        return False
    return True
