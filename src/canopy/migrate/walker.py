"""Finds the files of a project worth reading, without ever leaving the project.

Links are not followed (they lead out, or in circles, or to what is read anyway), special files
are not opened, and every file that is passed over is told with its reason.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from canopy.errors import CanopyError

__all__ = ["MOST_BYTES", "SourceFile", "is_environment", "kind_of", "read_bytes", "walk"]

MOST_BYTES = 4 << 20  # a larger source is generated, or data
_DEEPEST = 64
_FOLDERS_NOT_READ = frozenset(
    {".git", ".hg", ".svn", "__pycache__", "node_modules", ".tox", ".nox", ".mypy_cache"}
)
_KIND_OF_SUFFIX = {
    ".py": "python", ".pyw": "python", ".pyi": "python", ".ipynb": "notebook",
    ".cu": "cuda", ".cuh": "cuda",
    ".c": "cpp", ".cc": "cpp", ".cpp": "cpp", ".cxx": "cpp",
    ".h": "cpp", ".hh": "cpp", ".hpp": "cpp", ".hxx": "cpp", ".inl": "cpp", ".ipp": "cpp",
    ".cmake": "build", ".mk": "build", ".mak": "build",
    ".sh": "shell", ".bash": "shell", ".sbatch": "shell", ".slurm": "shell",
    ".dockerfile": "docker", ".yml": "config", ".yaml": "config",
}  # fmt: skip
_KIND_OF_NAME = (
    (re.compile(r"(GNU)?[Mm]akefile(\..+)?|CMakeLists\.txt"), "build"),
    (re.compile(r"(Docker|Container)file(\..+)?"), "docker"),
    (re.compile(r"(.*[-_])?(requirements?|constraints)([-_.].*)?\.(txt|in)"), "requirements"),
    (re.compile(r"pyproject\.toml|setup\.cfg|Pipfile|poetry\.lock|uv\.lock"), "requirements"),
)


@dataclass(frozen=True)
class SourceFile:
    """A file to read, or with ``note`` one that is passed over. ``path`` is relative to the root
    and has slashes."""

    path: str
    kind: str
    note: str = ""
    bytes: int = 0


def kind_of(name: str) -> str:
    """Which reader a file name asks for; empty for files that nothing here reads."""
    for pattern, kind in _KIND_OF_NAME:
        if pattern.fullmatch(name):
            return kind
    return _KIND_OF_SUFFIX.get(os.path.splitext(name)[1].lower(), "")


def walk(root: Path) -> Iterator[SourceFile]:
    """The files below ``root`` (or ``root`` itself, if it is a file), sorted by folder and name."""
    try:
        status = root.stat()
    except OSError as error:
        raise CanopyError(f"{root}: {error.strerror}", hint="give a file or a folder") from error
    if stat.S_ISREG(status.st_mode):
        yield _checked(root, root.name, kind_of(root.name) or "python")
    elif stat.S_ISDIR(status.st_mode):
        yield from _walk_folder(root, "", 0)
    else:
        raise CanopyError(f"{root}: neither a file nor a folder", hint="give a file or a folder")


def _walk_folder(folder: Path, prefix: str, depth: int) -> Iterator[SourceFile]:
    try:
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except OSError as error:
        yield SourceFile(prefix.rstrip("/"), "folder", f"not read: {error.strerror}")
        return
    for entry in entries:
        path = prefix + entry.name
        if entry.is_symlink():
            if kind_of(entry.name) or os.path.isdir(entry.path):
                yield SourceFile(path, "link", "not read: a link")
        elif entry.is_dir(follow_symlinks=False):
            if entry.name in _FOLDERS_NOT_READ or is_environment(entry.path):
                continue
            if depth == _DEEPEST:
                yield SourceFile(path, "folder", f"not read: {_DEEPEST} folders deep")
                continue
            yield from _walk_folder(folder / entry.name, path + "/", depth + 1)
        elif kind := kind_of(entry.name):
            yield _checked(Path(entry.path), path, kind)


def is_environment(folder: str) -> bool:
    """Whether this is a virtual environment: other people's code."""
    return os.path.exists(os.path.join(folder, "pyvenv.cfg"))


def _checked(file: Path, path: str, kind: str) -> SourceFile:
    try:
        status = file.stat()
    except OSError as error:
        return SourceFile(path, kind, f"not read: {error.strerror}")
    if not stat.S_ISREG(status.st_mode):
        return SourceFile(path, kind, "not read: not a regular file")
    if status.st_size > MOST_BYTES:
        return SourceFile(path, kind, f"not read: {status.st_size >> 20} MiB is too large")
    return SourceFile(path, kind, bytes=status.st_size)


def read_bytes(file: Path) -> bytes:
    """The content; OSError for what is no regular file of a sane size by now."""
    descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as stream:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(0, "not a regular file")
        data = stream.read(MOST_BYTES + 1)
    if len(data) > MOST_BYTES:
        raise OSError(0, "it grew too large")
    return data
