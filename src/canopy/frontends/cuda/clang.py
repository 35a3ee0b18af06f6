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
from canopy.frontends.cuda.toolchain import HEADERS, device_flags, find_zig

__all__ = ["ClangError", "Half", "clang_error", "compile_half", "device_ir", "run_half"]

_DIAGNOSTIC = re.compile(
    r"^(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): (?:fatal )?error: (?P<fact>.*)$"
)
_INSTANTIATED = re.compile(
    r"^(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): note: in instantiation of .* requested here"
)

# Headers of libraries that Canopy does not have, by the beginning of their names.
_LIBRARIES = {
    "cublas": "cuBLAS",
    "cufft": "cuFFT",
    "curand": "cuRAND",
    "cusparse": "cuSPARSE",
    "cusolver": "cuSOLVER",
    "cudnn": "cuDNN",
    "cutensor": "cuTENSOR",
    "cutlass": "CUTLASS",
    "cute/": "CUTLASS",
    "nvjpeg": "nvJPEG",
    "optix": "OptiX",
    "cub/": "CUB",
    "thrust/": "Thrust",
    "nccl": "NCCL",
    "nvrtc": "NVRTC",
    "nvml": "NVML",
    "npp": "NPP",
    "mma.h": "the wmma interface",
    "mpi.h": "MPI",
    "GL/": "OpenGL",
}
_NOT_HERE = "which is not part of this version of Canopy"
# What clang says about features of CUDA that Canopy does not have, and what to know then.
_FEATURES = {
    "kernel launch from __device__": "kernels that launch kernels (dynamic parallelism) are not "
    "supported: launch from the host, or call a __device__ function",
    "cluster_group": "clusters of thread blocks are not supported: use a block, or the grid",
    "this_cluster": "clusters of thread blocks are not supported: use a block, or the grid",
    "barrier_arrive_tx": "barriers that count bytes are not supported: use arrive()",
    "'wmma'": "tensor core operations are not supported: write the product as loops",
    "'nvcuda'": "tensor core operations are not supported: write the product as loops",
}
_UNKNOWN_NAME = re.compile(r"(?:undeclared identifier|unknown type name) '(cu[A-Zdbr]\w*|__\w+)'")
_MISSING_HEADER = re.compile(r"'([^']+)' file not found")


class ClangError(CompileError):
    """Errors in the user's source; ``output`` is all that clang printed about them."""

    def __init__(self, fact: str, *, location: Location, hint: str, output: str) -> None:
        super().__init__(fact, location=location, hint=hint)
        self.output = output


@dataclass(frozen=True)
class Half:
    """What clang made of one half of a source, and the warnings it printed."""

    text: str
    warnings: str


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
    """Runs cc1 on ``source`` and returns its standard output; ClangError in clang's words."""
    return run_half(source, filename, flags).text


def run_half(source: str, filename: str, flags: Sequence[str]) -> Half:
    """As `compile_half`, with what clang warns of."""
    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        unit = Path(folder) / "unit.cu"
        unit.write_text(f'#line 1 "{_escaped(filename)}"\n{source}', encoding="utf-8")
        beside = Path(filename).resolve().parent
        command = [str(find_zig()), "clang", "-cc1", *flags, "-iquote", str(beside), str(unit)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise clang_error(done.stderr, filename)
    return Half(done.stdout, done.stderr)


def _escaped(filename: str) -> str:
    return filename.replace("\\", "\\\\").replace('"', '\\"')


def clang_error(stderr: str, filename: str) -> ClangError:
    """What clang printed about ``filename``, as an error."""
    found = [d for d in map(_diagnostic, stderr.splitlines()) if d]
    if not found:
        lines = stderr.strip().splitlines() or ["clang stopped without a message"]
        return ClangError(lines[-1], location=Location(filename), hint="", output=stderr)
    first = found[0]
    hint = _hint(first.fact)
    if not hint and len(found) > 1:
        hint = f"clang reports {len(found)} errors in all"
    place = _asked_from(first.location, stderr)
    return ClangError(first.fact, location=place, hint=hint, output=stderr)


def _asked_from(place: Location, stderr: str) -> Location:
    """Where the user's source asked for what is wrong at ``place``, if that is in our headers."""
    if HEADERS not in Path(place.file).parents:
        return place
    notes = (_INSTANTIATED.match(line) for line in stderr.splitlines())
    asked = [Location(n["file"], int(n["line"]), int(n["column"])) for n in notes if n]
    outside = (note for note in asked if HEADERS not in Path(note.file).parents)
    return next(outside, place)


def _hint(fact: str) -> str:
    for words, hint in _FEATURES.items():
        if words in fact:
            return hint
    unknown = _UNKNOWN_NAME.search(fact)
    if unknown:
        library = _library_of(unknown[1])
        if library:
            return f"{unknown[1]} belongs to {library}, {_NOT_HERE}"
        return f"if {unknown[1]} is CUDA's, Canopy lacks it: docs/compatibility.md lists what is"
    return _missing_header_hint(fact)


def _missing_header_hint(fact: str) -> str:
    match = _MISSING_HEADER.search(fact)
    if not match:
        return ""
    library = _library_of(match[1])
    if library:
        return f"{match[1]} belongs to {library}, {_NOT_HERE}"
    return "name its folder with -I"


def _library_of(name: str) -> str:
    """The library that a header or a function of such a name belongs to; empty: none we know."""
    return next((library for prefix, library in _LIBRARIES.items() if name.startswith(prefix)), "")


def _diagnostic(line: str) -> _Diagnostic | None:
    match = _DIAGNOSTIC.match(line)
    if not match:
        return None
    place = Location(match["file"], int(match["line"]), int(match["column"]))
    return _Diagnostic(place, match["fact"])
