"""Keeps what an internal failure needs to be reproduced, for `canopy report` to print.

A compiler failure that is not the user's fault is written as one Markdown file: versions, the
failing stage, the kernel's source, its IR, the traceback. Home folder, user and host name are taken
out before anything reaches the disk, so that the file can be pasted into a public issue as it is.
"""

from __future__ import annotations

import contextlib
import getpass
import importlib.metadata
import os
import platform
import re
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator
from pathlib import Path

from canopy import __version__, config
from canopy.errors import CanopyError

__all__ = ["failure_dir", "latest_failure", "record_failure", "redact"]

KEPT_REPORTS = 20
MAX_SECTION_CHARACTERS = 200_000
REPORTED_PACKAGES = ("triton", "torch", "llvmlite", "numpy", "ziglang", "liger-kernel")
# Account names that tell nothing about anyone; replacing them would only garble the text.
IMPERSONAL_NAMES = frozenset({"root", "user", "admin", "nobody", "runner", "ubuntu", "localhost"})


def failure_dir() -> Path:
    """The folder that holds the reports."""
    return config.cache_dir() / "failures"


def record_failure(
    stage: str, kernel_name: str, source: str, ir_text: str, exception: BaseException
) -> Path:
    """Writes a redacted report and returns its path.

    It never raises for a disk that is full or read-only: the report then goes to the temporary
    folder, or nowhere, since the failure itself is what the user has to see.
    """
    text = redact(_report_text(stage, kernel_name, source, ir_text, exception))
    name = f"{time.strftime('%Y%m%d-%H%M%S')}-{time.time_ns() % 10**9:09d}-{os.getpid()}.md"
    for folder in _candidate_folders():
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            path = _write_atomically(folder, name, text)
            _forget_oldest(folder)
            return path
    return Path(os.devnull)


def latest_failure() -> Path | None:
    """The newest report, or None when nothing has failed."""
    reports = _reports(failure_dir())
    return reports[-1] if reports else None


def redact(text: str) -> str:
    """``text`` without the home folder, the user's name and the host's name."""
    for found, replacement in _private_words():
        text = re.sub(rf"(?<![\w-]){re.escape(found)}(?![\w-])", replacement, text)
    return re.sub(r"(?<![\w-])/(home|Users)/[^/\s\"']+", "~", text)


def _candidate_folders() -> Iterator[Path]:
    with contextlib.suppress(CanopyError):
        yield failure_dir()
    with contextlib.suppress(OSError):
        yield Path(tempfile.mkdtemp(prefix="canopy-failure-"))


def _private_words() -> list[tuple[str, str]]:
    words: list[tuple[str, str]] = []
    with contextlib.suppress(RuntimeError):
        home = str(Path.home())
        if len(home) > 1:
            words.append((home, "~"))
    # getpass raises KeyError (ImportError, OSError from 3.13) for a uid without an account.
    with contextlib.suppress(KeyError, ImportError, OSError):
        words.append((getpass.getuser(), "<user>"))
    words.append((platform.node(), "<host>"))
    return [
        (word, replacement)
        for word, replacement in words
        if len(word) > 2 and word.lower() not in IMPERSONAL_NAMES
    ]


def _report_text(
    stage: str, kernel_name: str, source: str, ir_text: str, exception: BaseException
) -> str:
    trace = "".join(traceback.format_exception(exception))
    first_line = (str(exception).strip() or "no message").splitlines()[0]
    sections = [
        f"# Canopy internal failure in `{stage}`, kernel `{kernel_name}`",
        f"`{type(exception).__name__}: {first_line}`",
        "## Versions\n\n" + "\n".join(f"- {line}" for line in _versions()),
        "## Kernel source\n\n" + _fenced(source, "python"),
        f"## IR before `{stage}`\n\n" + _fenced(ir_text, "text"),
        "## Traceback\n\n" + _fenced(trace, "text"),
    ]
    return "\n\n".join(sections) + "\n"


def _fenced(text: str, language: str) -> str:
    body = text.strip("\n") or "(none)"
    if len(body) > MAX_SECTION_CHARACTERS:
        body = body[:MAX_SECTION_CHARACTERS] + "\n... cut here"
    longest = max((len(run) for run in re.findall(r"`+", body)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{body}\n{fence}"


def _versions() -> Iterator[str]:
    yield f"canopy {__version__}"
    yield f"python {platform.python_version()} on {sys.platform} {platform.machine()}"
    for package in REPORTED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            yield f"{package} {importlib.metadata.version(package)}"


def _write_atomically(folder: Path, name: str, text: str) -> Path:
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", errors="replace") as file:
            file.write(text)
        target = folder / name
        Path(temporary).replace(target)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return target


def _reports(folder: Path) -> list[Path]:
    """Oldest first: the names begin with the time."""
    try:
        return sorted(path for path in folder.glob("*.md") if path.is_file())
    except OSError:
        return []


def _forget_oldest(folder: Path) -> None:
    for path in _reports(folder)[:-KEPT_REPORTS]:
        path.unlink(missing_ok=True)
