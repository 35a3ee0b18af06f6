"""Runs clang, from the ``ziglang`` wheel, on the device half of a CUDA C++ source.

In: source text and its file name. Out: LLVM IR text in nvptx form, unoptimised, with line tables.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from canopy.errors import CompileError, Location, MissingDependencyError

__all__ = ["HEADER", "device_ir", "find_zig"]

HEADER = Path(__file__).parent / "headers" / "canopy_cuda.h"

# -O2 with -disable-llvm-passes: functions are not marked optnone, and nothing is optimised.
_FLAGS = [
    "-triple",
    "nvptx64-nvidia-cuda",
    "-aux-triple",
    "x86_64-unknown-linux-gnu",
    "-target-cpu",
    "sm_80",
    "-target-feature",
    "+ptx83",
    "-x",
    "cuda",
    "-fcuda-is-device",
    "-std=c++17",
    "-target-sdk-version=12.3",
    "-nobuiltininc",
    "-nostdsysteminc",
    "-fconvergent-functions",
    "-fdeclspec",
    "-ffp-contract=fast",
    "-O2",
    "-disable-llvm-passes",
    "-disable-lifetime-markers",
    "-debug-info-kind=line-tables-only",
    "-emit-llvm",
]

_DIAGNOSTIC = re.compile(
    r"^(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?:fatal )?error: (?P<fact>.*)$"
)


@cache
def find_zig() -> Path:
    """The ``zig`` program of the ziglang wheel; MissingDependencyError where there is none."""
    spec = importlib.util.find_spec("ziglang")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        for name in ("zig", "zig.exe"):
            program = Path(place) / name
            if program.is_file():
                return program
    raise MissingDependencyError(
        "CUDA C++ needs the ziglang package (it carries clang), which is not installed",
        hint="pip install canopy-nn[cuda]",
    )


@dataclass(frozen=True)
class _Diagnostic:
    location: Location
    fact: str


def device_ir(source: str, filename: str) -> str:
    """LLVM IR of the device half of ``source``; CompileError with clang's first error otherwise.

    ``filename`` is what messages and line tables name; it need not exist. Files that the source
    includes with quotes are looked up beside it.
    """
    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        unit = Path(folder) / "unit.cu"
        unit.write_text(f'#line 1 "{_escaped(filename)}"\n{source}', encoding="utf-8")
        beside = Path(filename).resolve().parent
        command = [str(find_zig()), "clang", "-cc1", *_FLAGS, "-iquote", str(beside)]
        command += ["-include", str(HEADER), "-o", "-", str(unit)]
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
