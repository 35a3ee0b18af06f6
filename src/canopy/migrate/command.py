"""`canopy migrate` as a plain function; the command line wires it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from canopy.errors import CanopyError
from canopy.migrate.apply import apply_edits, check_is_clean, diff_of, edits_of, write_in_place
from canopy.migrate.findings import FileReport
from canopy.migrate.formats import to_json, to_sarif
from canopy.migrate.html import to_html
from canopy.migrate.kernels import KERNEL_SECONDS, judge_kernels
from canopy.migrate.project import Project, read_project
from canopy.migrate.prove import prove
from canopy.migrate.python_reader import read_python
from canopy.migrate.summary import show_summary, shown
from canopy.migrate.walker import read_bytes

__all__ = ["Options", "Rewrite", "migrate", "rewrites_of"]

EXIT_INTERRUPTED = 130
_WIDTH_IN_FILES = 140


@dataclass(frozen=True)
class Options:
    """What the command line asks for."""

    html_path: Path | None = None
    json_path: Path | None = None
    sarif_path: Path | None = None
    diff: bool = False
    apply: bool = False
    force: bool = False
    jobs: int | None = None
    kernel_seconds: float = KERNEL_SECONDS
    prove: str = ""


@dataclass(frozen=True)
class Rewrite:
    """A file before and after its edits."""

    report: FileReport
    path: Path
    before: bytes
    after: bytes


def migrate(root: Path, options: Options) -> int:
    """Reads the project, writes the reports asked for, and rewrites if told to; the exit status."""
    width = None if sys.stdout.isatty() else _WIDTH_IN_FILES
    console = Console(stderr=options.diff, highlight=False, width=width)
    try:
        with _progress() as tell:
            project = read_project(root, jobs=options.jobs, progress=tell)
        if not (options.diff or options.apply):
            with _progress("compiling kernels") as tell:
                judge_kernels(
                    project, seconds=options.kernel_seconds, jobs=options.jobs, progress=tell
                )
            if options.prove:
                prove(project, options.prove, lambda doing: console.print(f"{doing} ..."))
        _write_reports(project, options)
        if options.diff or options.apply:
            return _rewrite(project, options, console)
        show_summary(project, console)
        return 0 if project.proof is None or project.proof.holds else 1
    except KeyboardInterrupt:
        print("canopy: interrupted; nothing was rewritten", file=sys.stderr)
        return EXIT_INTERRUPTED


@contextmanager
def _progress(doing: str = "reading") -> Iterator[Callable[[int, int], None] | None]:
    """A bar on a terminal, nothing elsewhere."""
    if not sys.stderr.isatty():
        yield None
        return
    columns = (TextColumn(doing), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("", total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _write_reports(project: Project, options: Options) -> None:
    for path, make in ((options.json_path, to_json), (options.sarif_path, to_sarif)):
        if path is not None:
            write_report(path, json.dumps(make(project), indent=1) + "\n")
    if options.html_path is not None:
        write_report(options.html_path, to_html(project))


def write_report(path: Path, text: str) -> None:
    """Writes a file that the user named; CanopyError where that cannot be."""
    try:
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
    except OSError as error:
        raise CanopyError(
            f"{path}: cannot be written: {error.strerror}", hint="name a place you may write to"
        ) from error


def rewrites_of(project: Project) -> Iterator[Rewrite]:
    """Each file that changes, checked: the new text parses, and asks for no further edit."""
    for report in project.files:
        if not (edits := edits_of(report)):
            continue
        path = project.path_of(report)
        before = read_bytes(path)
        after = apply_edits(before, edits)
        again = read_python(after, report.path)
        if again.note:
            raise CanopyError(
                f"{path}: the rewrite would not parse ({again.note}); nothing was changed",
                hint="please report this file",
            )
        yield Rewrite(report, path, before, after)


def _rewrite(project: Project, options: Options, console: Console) -> int:
    if options.apply and not options.force:
        check_is_clean(project.root)
    rewrites = list(rewrites_of(project))
    if options.diff:
        for one in rewrites:
            sys.stdout.write(diff_of(one.report.path, one.before, one.after))
    if options.apply and not _write_all(rewrites, console):
        return EXIT_INTERRUPTED
    if not rewrites:
        console.print("there is nothing to rewrite by machine")
    return 0


def _write_all(rewrites: Sequence[Rewrite], console: Console) -> bool:
    """Puts the new texts in place; False where Ctrl-C ends it between two files."""
    done = 0
    try:
        for one in rewrites:
            write_in_place(one.path, one.before, one.after)
            done += 1
            console.print(f"rewritten: {shown(one.report.path)}", markup=False)
    except KeyboardInterrupt:
        fact = f"interrupted; {done} of {len(rewrites)} files were rewritten"
        print(f"canopy: {fact}", file=sys.stderr)
        return False
    return True
