"""Runs clang, from the ``ziglang`` wheel, on one half of a CUDA C++ source.

In: source text and its file name. Out: for the device, LLVM IR in nvptx form, unoptimised, with
line tables; for the host, an object file.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from canopy.errors import CompileError, Location
from canopy.frontends.cuda.toolchain import device_flags, find_zig

__all__ = ["compile_half", "device_ir"]

_DIAGNOSTIC = re.compile(
    r"^(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?:fatal )?error: (?P<fact>.*)$"
)


@dataclass(frozen=True)
class _Diagnostic:
    location: Location
    fact: str


def device_ir(source: str, filename: str, options: Sequence[str] = ()) -> str:
    """LLVM IR of the device half of ``source``; CompileError with clang's first error otherwise.

    ``filename`` is what messages and line tables name; it need not exist. Files that the source
    includes with quotes are looked up beside it. ``options``: macros and include folders for cc1.
    """
    return compile_half(source, filename, [*device_flags(), *options, "-o", "-"])


def compile_half(source: str, filename: str, flags: Sequence[str]) -> str:
    """Runs cc1 on ``source`` and returns its standard output; CompileError in clang's words."""
    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        unit = Path(folder) / "unit.cu"
        unit.write_text(f'#line 1 "{_escaped(filename)}"\n{source}', encoding="utf-8")
        beside = Path(filename).resolve().parent
        command = [str(find_zig()), "clang", "-cc1", *flags, "-iquote", str(beside), str(unit)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise _compile_error(done.stderr, filename)
    return done.stdout


def _escaped(filename: str) -> str:
    return filename.replace("\\", "\\\\").replace('"', '\\"')


def _compile_error(stderr: str, filename: str) -> CompileError:
    found = [d for d in map(_diagnostic, stderr.splitlines()) if d]
    if not found:
        lines = stderr.strip().splitlines() or ["clang stopped without a message"]
        return CompileError(lines[-1], location=Location(filename))
    first = found[0]
    hint = f"clang reports {len(found)} errors in all" if len(found) > 1 else ""
    return CompileError(first.fact, location=first.location, hint=hint)


def _diagnostic(line: str) -> _Diagnostic | None:
    match = _DIAGNOSTIC.match(line)
    if not match:
        return None
    place = Location(match["file"], int(match["line"]), int(match["column"]))
    return _Diagnostic(place, match["fact"])
