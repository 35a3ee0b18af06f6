"""Turns the edits of a report into new text, a diff, or a changed file."""

from __future__ import annotations

import difflib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from canopy.errors import CanopyError
from canopy.migrate.findings import Edit, FileReport

__all__ = ["apply_edits", "check_is_clean", "diff_of", "edits_of", "write_in_place"]


def edits_of(report: FileReport) -> list[Edit]:
    """All edits of a file, in order, without those that another one contains."""
    edits = [edit for finding in report.findings for edit in finding.edits]
    if not edits:
        return []
    if report.header is not None:
        edits.append(report.header)
    return sorted(set(edits), key=lambda edit: (edit.start, edit.end))


def apply_edits(data: bytes, edits: Sequence[Edit]) -> bytes:
    """``data`` with every edit made; ValueError where two overlap."""
    parts: list[bytes] = []
    position = 0
    for edit in edits:
        if edit.start < position:
            raise ValueError(f"two edits meet at byte {edit.start}")
        parts += [data[position : edit.start], edit.text.encode()]
        position = edit.end
    return b"".join([*parts, data[position:]])


def diff_of(path: str, before: bytes, after: bytes) -> str:
    """A unified diff, as git writes it."""
    name = path if path.isprintable() else ascii(path)[1:-1]
    old = before.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    new = after.decode("utf-8", "surrogateescape").splitlines(keepends=True)
    lines = []
    for line in difflib.unified_diff(old, new, f"a/{name}", f"b/{name}"):
        ended = line if line.endswith("\n") else line + "\n\\ No newline at end of file\n"
        lines.append(ended)
    return "".join(lines)


def check_is_clean(root: Path) -> None:
    """CanopyError where git knows of changes below ``root`` that an edit would mix with."""
    folder = root if root.is_dir() else root.parent
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0"}
    try:
        done = subprocess.run(
            [
                "git",
                "-c",
                "core.fsmonitor=false",
                "status",
                "--porcelain",
                "--",
                str(root.resolve()),
            ],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
    except (OSError, subprocess.TimeoutExpired):
        return
    if done.returncode == 0 and done.stdout.strip():
        count = len(done.stdout.splitlines())
        raise CanopyError(
            f"{root}: {count} files have changes that are not committed; nothing was rewritten",
            hint="commit or stash them, or give --force",
        )


def write_in_place(file: Path, before: bytes, after: bytes) -> None:
    """Replaces the file whole, with its mode; CanopyError where it has changed meanwhile."""
    if file.is_symlink() or file.read_bytes() != before:
        raise CanopyError(f"{file}: changed while it was read; not rewritten")
    mode = file.stat().st_mode
    try:
        descriptor, temporary = tempfile.mkstemp(prefix=".canopy-", dir=file.parent)
        try:
            with open(descriptor, "wb") as stream:
                stream.write(after)
            os.chmod(temporary, mode & 0o7777)
            os.replace(temporary, file)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise CanopyError(f"{file}: cannot be written: {error.strerror}") from error
