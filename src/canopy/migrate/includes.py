"""Which files of a project a CUDA C++ source includes, and from which folders.

Build files are not run. A folder is one of ``-I`` if an include of the source leads to a file of
the project from there; of several the one nearest to the including file.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

from canopy.migrate.statuses import has_own_header
from canopy.migrate.walker import read_bytes

__all__ = ["Closure", "Sources"]

_INCLUDE = re.compile(rb'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"\n]+)[>"]', re.M)
_TORCH = ("torch/", "ATen/", "c10/", "pybind11/", "THC/", "Python.h")
_MOST_FILES = 600


@dataclass(frozen=True)
class Closure:
    """What a source reads of its project: the files (relative), the folders to give as ``-I``, and
    whether torch's headers are among what it asks for."""

    files: tuple[str, ...]
    folders: tuple[str, ...]
    wants_torch: bool


class Sources:
    """The C++ files of a project, by name."""

    def __init__(self, root: Path, paths: Iterable[str]) -> None:
        self._root = root
        self._paths = list(paths)
        self._includes: dict[str, list[str]] = {}

    @cached_property
    def _by_name(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for path in self._paths:
            found[path.rpartition("/")[2]].append(path)
        return found

    def closure(self, path: str) -> Closure:
        """All that `path` includes, directly or not, as far as the project has it."""
        files, folders, wants_torch = {path: None}, dict[str, None](), False
        waiting = [path]
        while waiting and len(files) < _MOST_FILES:
            including = waiting.pop(0)
            for name in self._included_by(including):
                found = self._resolved(name, including)
                if found is None:
                    wants_torch |= name.startswith(_TORCH)
                    continue
                if found.endswith(f"/{name}") or found == name:
                    folders[found[: len(found) - len(name)].rstrip("/")] = None
                if found not in files:
                    files[found] = None
                    waiting.append(found)
        return Closure(tuple(files), tuple(folders), wants_torch)

    def _included_by(self, path: str) -> list[str]:
        if path not in self._includes:
            try:
                data = read_bytes(self._root / path)
            except OSError:
                data = b""
            names = (name.decode("utf-8", "replace") for name in _INCLUDE.findall(data))
            self._includes[path] = list(names)
        return self._includes[path]

    def _resolved(self, name: str, including: str) -> str | None:
        """The file of the project that an include means."""
        parts = [part for part in PurePosixPath(name).parts if part != "."]
        folder = list(PurePosixPath(including).parent.parts)
        while parts[:1] == [".."]:
            parts, folder = parts[1:], folder[:-1]
        beside = "/".join([*folder, *parts])
        candidates = self._by_name.get(parts[-1] if parts else "", [])
        if beside in candidates:
            return beside
        if ".." in name or has_own_header(name):
            return None
        tail = "/".join(parts)
        fitting = [path for path in candidates if path == tail or path.endswith(f"/{tail}")]
        return max(fitting, key=lambda path: (_common(path, including), -len(path)), default=None)


def _common(one: str, other: str) -> int:
    """How many folders two paths share."""
    count = 0
    for a, b in zip(one.split("/")[:-1], other.split("/")[:-1], strict=False):
        if a != b:
            break
        count += 1
    return count
