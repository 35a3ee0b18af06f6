"""`canopy migrate --prove`: runs a program before and after the rewrite, and compares.

Both run under `canopy run`, in a copy of the project that stands at the same place each time, so
that paths are no difference. The user's own files are only read. What differs makes the old program
run once more: lines and files that it does not even repeat by itself (times, unseeded numbers) tell
nothing and are counted apart.

The result is `Project.proof`, a field of the JSON report (``proof``: `Proof.to_data`), for whoever
draws it; kernels that ran are no longer undecided.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from canopy.errors import CanopyError
from canopy.migrate.apply import apply_edits, edits_of
from canopy.migrate.comparison import Comparison, compare_files, compare_text
from canopy.migrate.findings import Effort, Status
from canopy.migrate.project import Project
from canopy.migrate.proof import Proof, Run
from canopy.migrate.walker import is_environment, read_bytes

__all__ = ["command_under_canopy", "prove"]

MOST_BYTES = 4 << 30  # of a project that is copied
_NOT_COPIED = (".git", ".hg", ".svn", "__pycache__", ".mypy_cache", ".tox", ".nox", "node_modules")
_MOST_OF_A_FILE = 256 << 20
Progress = Callable[[str], None]


def prove(project: Project, command: str, progress: Progress | None = None) -> Proof:
    """Runs ``command`` with the project as it is, and rewritten; stores and returns what came of
    it. CanopyError for a command that cannot be run."""
    tell = progress or (lambda words: None)
    words = command_under_canopy(command)
    with tempfile.TemporaryDirectory(prefix="canopy-prove-") as name:
        place = _Place(project, Path(name).resolve())
        tell("running the program as it is")
        before, old = place.run(words, rewritten=False)
        tell("running the rewritten program")
        after, new = place.run(words, rewritten=True)
        output, files = _compare(before, old, after, new, None)
        if (output.differences or files.differences) and before.exit_code == after.exit_code:
            tell("running the program once more: which differences are its own?")
            output, files = _compare(before, old, after, new, place.run(words, rewritten=False))
    proof = Proof(command, before.known(), after.known(), output, files, place.changed)
    project.proof = proof
    _decide(project, after.report or {})
    return proof


def command_under_canopy(command: str) -> list[str]:
    """The words that run ``command`` under `canopy run`; ``{report}`` stands for a file's name."""
    try:
        words = shlex.split(command)
    except ValueError as error:
        raise CanopyError(f"--prove {command!r}: {error}", hint="quote it for a shell") from error
    settings = []
    while words and "=" in words[0].partition("/")[0] and words[0].partition("=")[0].isidentifier():
        settings.append(words.pop(0))
    if not words:
        raise CanopyError("--prove names no command", hint='--prove "python train.py --steps 5"')
    run = [sys.executable, "-m", "canopy", "run"]
    if os.path.basename(words[0]).startswith(("python", "pypy")):
        rest = words[1:]
        while rest and rest[0].startswith("-") and rest[0] not in ("-m", "-c"):
            rest = rest[2:] if rest[0] in ("-W", "-X") else rest[1:]
        if rest[:1] == ["-c"] or not rest:
            raise CanopyError(
                f"--prove {command!r}: a script or a module is needed", hint="python train.py"
            )
        program = ["--quiet", "--report", "{report}", *rest]
    elif words[0] == "torchrun":
        program = ["--quiet", "--report", "{report}", "-m", "torch.distributed.run", *words[1:]]
    else:
        program = ["--", *words]
    return ["env", *settings, *run, *program] if settings else [*run, *program]


class _Place:
    """The folder in which the copies of a project run, one after the other."""

    def __init__(self, project: Project, folder: Path) -> None:
        self.project = project
        self.folder = folder
        self.copy = folder / "project"
        self.changed = 0
        _check_size(project.root)

    def run(self, words: Sequence[str], rewritten: bool) -> tuple[_Outcome, dict[str, bytes]]:
        """Runs in a fresh copy; the outcome, and the files that were written there."""
        if self.copy.exists():
            shutil.rmtree(self.copy)
        _copy(self.project.root, self.copy)
        if rewritten:
            self.changed = self._rewrite()
        known = _digests(self.copy)
        report = self.folder / "report.json"
        report.unlink(missing_ok=True)
        command = [word.replace("{report}", str(report)) for word in words]
        outcome = _run(command, self._working_folder(), report)
        return outcome, _written(self.copy, known)

    def _working_folder(self) -> Path:
        """Where in the copy the command runs: as far below the project as the user stands."""
        root = self.project.root.resolve()
        here = Path.cwd().resolve()
        if root.is_dir() and root in here.parents:
            return self.copy / here.relative_to(root)
        return self.copy

    def _rewrite(self) -> int:
        changed = 0
        for report in self.project.files:
            if edits := edits_of(report):
                file = self.copy / report.path
                data = read_bytes(file)
                if data != read_bytes(self.project.path_of(report)):
                    raise CanopyError(f"{report.path}: changed while the program ran")
                file.write_bytes(apply_edits(data, edits))
                changed += 1
        return changed


class _Outcome:
    """How a run ended, what it printed, and the report that Canopy wrote."""

    def __init__(self, code: int, wall_s: float, text: str, errors: str, report: Any) -> None:
        self.exit_code = code
        self.wall_s = wall_s
        self.text = text
        self.errors = errors
        self.report: dict[str, Any] | None = report

    def known(self) -> Run:
        facts = self.report or {}
        last = self.errors.strip().splitlines()[-1:] if self.exit_code else []
        return Run(
            self.exit_code,
            round(self.wall_s, 3),
            facts.get("counts", {}),
            facts.get("kernels", []),
            facts.get("fallbacks", []),
            self.report is not None,
            last[0][:300] if last else "",
        )


def _run(command: Sequence[str], folder: Path, report: Path) -> _Outcome:
    environment = {**os.environ, "PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(_absolute(os.environ.get("PYTHONPATH", "")))
    start_s = time.monotonic()
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
    except OSError as error:
        raise CanopyError(f"{command[0]}: cannot be run: {error.strerror}") from error
    wall_s = time.monotonic() - start_s
    text, errors = (part.decode("utf-8", "replace") for part in (done.stdout, done.stderr))
    try:
        facts = json.loads(report.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        facts = None
    return _Outcome(done.returncode, wall_s, text, errors, facts)


def _absolute(path: str) -> list[str]:
    """The parts of a search path, which the program finds from another folder too."""
    return [os.path.abspath(part) for part in path.split(os.pathsep) if part]


def _compare(
    before: _Outcome,
    old: Mapping[str, bytes],
    after: _Outcome,
    new: Mapping[str, bytes],
    again: tuple[_Outcome, Mapping[str, bytes]] | None,
) -> tuple[Comparison, Comparison]:
    text, files = (again[0].text, again[1]) if again is not None else (None, None)
    return compare_text(before.text, after.text, text), compare_files(old, new, files)


# ---- copies of the project ---------------------------------------------------------------------


def _left_out(folder: str, names: list[str]) -> set[str]:
    return {
        name for name in names if name in _NOT_COPIED or is_environment(os.path.join(folder, name))
    }


def _check_size(root: Path) -> None:
    total = 0
    for folder, names, files in os.walk(root):
        names[:] = [name for name in names if name not in _left_out(folder, names)]
        for file in files:
            total += os.lstat(os.path.join(folder, file)).st_size
    if total > MOST_BYTES:
        raise CanopyError(
            f"{root}: {total >> 20} MiB are too much to be copied for --prove",
            hint="name the folder of the program alone",
        )


def _copy(root: Path, target: Path) -> None:
    try:
        if root.is_file():
            target.mkdir()
            shutil.copy2(root, target / root.name)
        else:
            shutil.copytree(root, target, symlinks=True, ignore=_left_out)
    except (OSError, shutil.Error) as error:
        raise CanopyError(f"{root}: cannot be copied: {error}") from error


def _files_in(folder: Path) -> list[Path]:
    found = []
    for parent, names, files in os.walk(folder):
        names[:] = [name for name in names if name not in _NOT_COPIED]
        paths = (Path(parent) / name for name in files)
        found += [path for path in paths if path.is_file() and not path.is_symlink()]
    return found


def _digests(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): _digest(path) for path in _files_in(folder)}


def _digest(path: Path) -> bytes:
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.digest()


def _written(folder: Path, known: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files that are new or changed; of very large ones their digests."""
    found = {}
    for path in _files_in(folder):
        name, digest = str(path.relative_to(folder)), _digest(path)
        if known.get(name) != digest:
            is_large = path.stat().st_size > _MOST_OF_A_FILE
            found[name] = digest if is_large else path.read_bytes()
    return found


# ---- what the runs decide ----------------------------------------------------------------------


def _decide(project: Project, report: Mapping[str, Any]) -> None:
    """Kernels that were undecided and ran are decided: they run."""
    if report.get("exit_code") != 0:
        return
    ran = {_bare(kernel["name"]) for kernel in report.get("kernels", ()) if kernel["launches"]}
    for file in project.files:
        for at, finding in enumerate(file.findings):
            words = finding.what.split()
            is_kernel = len(words) == 2 and words[0] in ("triton", "__global__")
            if is_kernel and words[1] in ran and finding.status["cpu"] is Status.UNDECIDED:
                status = {**finding.status, "cpu": Status.RUNS}
                why = "cpu: it ran in the proof"
                file.findings[at] = replace(finding, status=status, why=why, effort=Effort.NONE)


def _bare(name: str) -> str:
    return name.partition("<")[0].rpartition("::")[2]
