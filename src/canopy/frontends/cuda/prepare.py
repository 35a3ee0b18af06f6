"""`canopy setup cuda`: builds once what the first link would otherwise wait for.

The C++ library is compiled by zig into its own cache (a minute or two); the runtime archive and the
toolkit folder take seconds. `is_prepared` answers without building anything.
"""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from canopy.errors import CompileError
from canopy.frontends.cuda.linking import host_compiler_command
from canopy.frontends.cuda.toolchain import find_zig, zig_cache, zig_environment
from canopy.frontends.cuda.toolkit import toolkit_folder
from canopy.runtime.build import ARCHIVE_NAME, NATIVE_FOLDER, runtime_archive

__all__ = ["is_prepared", "mark_prepared", "prepare", "prepare_command"]

_PROGRAM = "#include <iostream>\n#include <vector>\nint main() { std::cout << 1; }\n"
Progress = Callable[[int, int, str], None]


def prepare_command() -> int:
    """Prepares with a progress bar."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    with Progress(*columns) as bar:
        task = bar.add_task("CUDA C++", total=None)
        prepare(lambda done, of, what: bar.update(task, completed=done, total=of, description=what))
    print("CUDA C++ is ready: canopy run app.cu, canopy nvcc, canopy shell")
    return 0


def prepare(progress: Progress = lambda _done, _of, _what: None) -> None:
    """Builds what is missing. Raises CompileError where a step fails."""
    steps: list[tuple[str, Callable[[], object]]] = [
        ("the runtime", runtime_archive),
        ("the C++ library, shared programs", lambda: _link_once("-shared", "-fPIC")),
        ("the C++ library (a minute, once)", lambda: _link_once()),
        ("the toolkit folder", toolkit_folder),
    ]
    for number, (what, build) in enumerate(steps):
        progress(number, len(steps), what)
        build()
    progress(len(steps), len(steps), "ready")
    mark_prepared()


def is_prepared() -> bool:
    """Whether nothing is left to build, as far as files tell."""
    return (NATIVE_FOLDER / ARCHIVE_NAME).exists() and _mark().exists()


def mark_prepared() -> None:
    _mark().touch()


def _mark() -> Path:
    """A file in zig's own cache: whoever empties that removes it too."""
    root = zig_cache()
    root.mkdir(parents=True, exist_ok=True)
    return root / f"canopy-ready-{find_zig().stat().st_mtime_ns}"


def _link_once(*flags: str) -> None:
    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        source = Path(folder) / "empty.cpp"
        source.write_text(_PROGRAM, encoding="utf-8")
        command = [*host_compiler_command(), *flags, str(source), "-o", str(Path(folder) / "out")]
        environment = zig_environment()
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"the C++ library cannot be built:\n{done.stderr.strip()}")


if __name__ == "__main__":
    raise SystemExit(prepare_command())
