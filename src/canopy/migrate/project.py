"""Reads a whole project: in parallel, each file once per content, names followed between files.

First every file by itself; then, where modules of the project hand on parts of CUDA under names of
their own, the files that import those names once more.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import re
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import resources
from multiprocessing import active_children, get_context
from pathlib import Path, PurePosixPath

from canopy import __version__, config
from canopy.migrate.cuda_reader import is_cuda, read_cuda
from canopy.migrate.findings import Effort, FileReport
from canopy.migrate.proof import Proof
from canopy.migrate.python_reader import is_relevant, read_python
from canopy.migrate.statuses import facts_digest
from canopy.migrate.text_reader import read_notebook, read_text
from canopy.migrate.walker import SourceFile, read_bytes, walk
from canopy.runtime.cache import DiskCache

__all__ = ["Project", "read_project"]

_METHOD = re.compile(rb"^[ \t]+(?:async[ \t]+)?def[ \t]+(cuda|npu|pin_memory|is_cuda)\b", re.M)
_CHUNK = 4  # files that a worker takes at a time
_FEW = 24  # as many files are read faster here than by starting processes
Progress = Callable[[int, int], None]


@dataclass
class Project:
    """The reports of a project's files, by path."""

    root: Path
    files: list[FileReport] = field(default_factory=list)
    proof: Proof | None = None

    @property
    def with_findings(self) -> list[FileReport]:
        return [file for file in self.files if file.findings]

    def count(self, effort: Effort) -> int:
        return sum(file.count(effort) for file in self.files)

    @property
    def total(self) -> int:
        return sum(len(file.findings) for file in self.files)

    @property
    def lines(self) -> int:
        return sum(file.lines for file in self.files)

    def path_of(self, report: FileReport) -> Path:
        return self.root if self.root.is_file() else self.root / report.path


@dataclass(frozen=True)
class _Task:
    """What a worker needs to read one file."""

    file: str
    path: str
    kind: str
    package: str
    reexports: Mapping[str, str]
    own_methods: tuple[str, ...]
    own_packages: tuple[str, ...]
    bytes: int = 0


@dataclass(frozen=True)
class _Own:
    """What the project defines itself: methods named like torch's, and top-level packages."""

    methods: tuple[str, ...]
    packages: tuple[str, ...]


def read_project(
    root: Path, *, jobs: int | None = None, progress: Progress | None = None
) -> Project:
    """Reads ``root``, a folder or a file. CanopyError where it is neither."""
    if root.is_symlink():  # the user named it; links below it are not followed
        root = Path(os.path.realpath(root))
    found = list(walk(root))
    readable = [file for file in found if not file.note]
    own = _Own(tuple(sorted(_own_methods(root, readable))), _own_packages(readable))
    tasks = [_task(root, file, {}, own) for file in readable]
    reports = dict(zip((t.path for t in tasks), _read_all(tasks, jobs, progress), strict=True))
    exports = _exports(reports.values())
    again = [
        task for task in (_task(root, file, exports, own) for file in readable) if task.reexports
    ]
    for task, report in zip(again, _read_all(again, jobs, None), strict=True):
        reports[task.path] = report
    passed_over = [FileReport(f.path, f.kind, note=f.note) for f in found if f.note]
    return Project(root, sorted([*reports.values(), *passed_over], key=lambda file: file.path))


def _own_methods(root: Path, files: Sequence[SourceFile]) -> set[str]:
    """Names of torch's methods that classes of the project define for themselves."""
    names: set[str] = set()
    for file in files:
        if file.kind == "python":
            with suppress(OSError):
                data = read_bytes(_place(root, file.path))
                names.update(name.decode() for name in _METHOD.findall(data))
    return names


def _own_packages(files: Sequence[SourceFile]) -> tuple[str, ...]:
    """Top-level packages: folders with an ``__init__.py`` whose parent has none."""
    folders = {
        PurePosixPath(f.path).parent for f in files if PurePosixPath(f.path).name == "__init__.py"
    }
    tops = {folder.name for folder in folders if folder.parent not in folders and folder.name}
    return tuple(sorted(tops - {"tests", "test", "examples", "docs", "scripts"}))


def _place(root: Path, path: str) -> Path:
    return root if root.is_file() else root / path


def _task(root: Path, file: SourceFile, exports: Mapping[str, str], own: _Own) -> _Task:
    path = _place(root, file.path)
    package = ".".join(_package_parts(file.path))
    wanted = _wanted(path, package, exports) if exports and file.kind == "python" else {}
    context = (package, wanted, own.methods, own.packages)
    return _Task(str(path), file.path, file.kind, *context, bytes=file.bytes)


def _package_parts(path: str) -> tuple[str, ...]:
    """The dotted folder of a file; a leading ``src`` is none."""
    parts = PurePosixPath(path).parent.parts
    return parts[1:] if parts[:1] in (("src",), ("lib",)) else parts


def _exports(reports: Iterable[FileReport]) -> dict[str, str]:
    """Dotted names of the project that stand for a part of CUDA."""
    found: dict[str, str] = {}
    for report in reports:
        stem = PurePosixPath(report.path).stem
        parts = [*_package_parts(report.path), *([] if stem == "__init__" else [stem])]
        for name, dotted in report.exports.items():
            found[".".join([*parts, name])] = dotted
    return found


def _wanted(path: Path, package: str, exports: Mapping[str, str]) -> dict[str, str]:
    """The re-exports whose module a file's text names: only those can matter to it."""
    try:
        data = read_bytes(path)
    except OSError:
        return {}
    if b"import" not in data:
        return {}
    wanted = {}
    for name, dotted in exports.items():
        module, _, last = name.rpartition(".")
        words = (last.encode(), module.rpartition(".")[2].encode())
        if all(word in data for word in words):
            wanted[name] = dotted
    return wanted


# ---- one file ----------------------------------------------------------------------------------


def _read_one(task: _Task) -> FileReport:
    """Reads one file, through the cache; never raises."""
    try:
        data = read_bytes(Path(task.file))
    except OSError as error:
        return FileReport(task.path, task.kind, note=f"not read: {error.strerror}")
    if not _is_slow(task, data):
        return _read(task, data)
    key = _key(task, data)
    known = _cache().get(key)
    if known is not None:
        with suppress(ValueError, KeyError, TypeError):
            return FileReport.from_data(json.loads(known))
    report = _read(task, data)
    _cache().put(key, json.dumps(report.to_data()).encode())
    return report


def _is_slow(task: _Task, data: bytes) -> bool:
    """Whether reading takes longer than asking the cache."""
    if task.kind == "python":
        return bool(task.reexports) or is_relevant(data, frozenset(task.own_packages))
    return task.kind == "notebook" or (task.kind in ("cuda", "cpp") and is_cuda(data))


def _read(task: _Task, data: bytes) -> FileReport:
    if b"\0" in data:
        return FileReport(task.path, task.kind, note="not read: binary data")
    context = {
        "package": task.package,
        "reexports": task.reexports,
        "own_methods": frozenset(task.own_methods),
        "own_packages": frozenset(task.own_packages),
    }
    if task.kind == "python":
        return read_python(data, task.path, **context)  # type: ignore[arg-type]
    if task.kind == "notebook":
        return read_notebook(data, task.path, **context)
    if task.kind in ("cuda", "cpp"):
        return read_cuda(data, task.path, task.kind)
    return read_text(data, task.path, task.kind)


@functools.cache
def _cache() -> DiskCache:
    return DiskCache(config.cache_dir() / "migrate")


@functools.cache
def _rules_digest() -> str:
    """Changes whenever the rules or the readers do."""
    digest = hashlib.sha256((__version__ + facts_digest()).encode())
    for package in ("canopy.migrate", "canopy.migrate.rules"):
        for entry in sorted(resources.files(package).iterdir(), key=lambda one: one.name):
            if entry.name.endswith((".py", ".toml")):
                digest.update(entry.read_bytes())
    return digest.hexdigest()


def _key(task: _Task, data: bytes) -> str:
    known = (task.path, task.kind, task.package, dict(task.reexports))
    context = json.dumps([*known, task.own_methods, task.own_packages])
    content = hashlib.sha256(data).hexdigest()
    return f"migrate {_rules_digest()} {hashlib.sha256(context.encode()).hexdigest()} {content}"


# ---- many files --------------------------------------------------------------------------------


def _read_all(
    tasks: Sequence[_Task], jobs: int | None, progress: Progress | None
) -> list[FileReport]:
    jobs = jobs or config.num_threads()
    tell = progress or (lambda done, total: None)
    if jobs == 1 or len(tasks) <= _FEW:
        reports = []
        for number, task in enumerate(tasks, 1):
            reports.append(_read_one(task))
            tell(number, len(tasks))
        return reports
    return _read_in_processes(tasks, jobs, tell)


def _read_in_processes(tasks: Sequence[_Task], jobs: int, tell: Progress) -> list[FileReport]:
    """The reports, in the order of ``tasks``; the longest files are read first."""
    order = sorted(range(len(tasks)), key=lambda at: -tasks[at].bytes)
    reports: dict[int, FileReport] = {}
    others = set(active_children())
    with ProcessPoolExecutor(jobs, get_context("spawn"), _give_way) as pool:
        try:
            with _interrupts_held():
                chunks = [order[at : at + _CHUNK] for at in range(0, len(order), _CHUNK)]
                answers = [pool.submit(_read_some, [tasks[at] for at in some]) for some in chunks]
            for some, answer in zip(chunks, answers, strict=True):
                reports.update(zip(some, answer.result(), strict=True))
                tell(len(reports), len(tasks))
        except BrokenProcessPool:
            left = order[len(reports) :]
            suspects, rest = left[: 2 * jobs * _CHUNK], left[2 * jobs * _CHUNK :]
            alone = _read_one_by_one([tasks[at] for at in suspects])
            reports.update(zip(suspects, alone, strict=True))
            tell(len(reports), len(tasks))
            again = _read_in_processes([tasks[at] for at in rest], jobs, lambda done, total: None)
            reports.update(zip(rest, again, strict=True))
        except KeyboardInterrupt:
            for process in set(active_children()) - others:
                process.kill()
            raise
    return [reports[at] for at in range(len(tasks))]


def _read_some(tasks: Sequence[_Task]) -> list[FileReport]:
    return [_read_one(task) for task in tasks]


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Holds Ctrl-C back while workers start: it is for the parent, which ends them, and they
    inherit that they do not hear it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _give_way() -> None:
    """Lets the user's other programs go first."""
    with suppress(OSError):
        os.nice(5)


def _read_one_by_one(tasks: Sequence[_Task]) -> list[FileReport]:
    """After some file has brought a worker down: it shows which."""
    reports: list[FileReport] = []
    while len(reports) < len(tasks):
        with ProcessPoolExecutor(1, get_context("spawn"), _give_way) as pool:
            try:
                for task in tasks[len(reports) :]:
                    with _interrupts_held():
                        answer = pool.submit(_read_one, task)
                    reports.append(answer.result())
            except BrokenProcessPool:
                task = tasks[len(reports)]
                note = "not read: it brings the parser down"
                reports.append(FileReport(task.path, task.kind, note=note))
    return reports
