"""Ascend C source to a library of the host: clang against our header, through the disk cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import canopy
from canopy.errors import CompileError, Location
from canopy.frontends.ascendc.diagnostics import clang_error, kernels_of
from canopy.frontends.cuda.toolchain import cpp_flags, find_zig, host_cpu, host_triple
from canopy.runtime.cache import DiskCache

__all__ = ["HEADERS", "Library", "build_library", "load_library"]

HEADERS = Path(__file__).parent / "headers"

# CPU debugging is what the documentation calls a kernel that is compiled for the host: the parts of
# a source that launch it on a card are left out.
_MACROS = ("ASCENDC_CPU_DEBUG=1", "__CCE_KT_TEST__=1")


@cache
def _header_digest() -> str:
    digest = hashlib.sha256()
    for path in sorted(HEADERS.rglob("*.h")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def _flags() -> list[str]:
    return [
        *("-triple", host_triple(), "-target-cpu", host_cpu(), "-x", "c++", "-std=c++17"),
        *("-mrelocation-model", "pic", "-pic-level", "2", "-mframe-pointer=none"),
        *("-fvisibility=hidden", "-fno-threadsafe-statics", "-ffp-contract=off", "-fwrapv", "-O2"),
        *("-fgnuc-version=4.2.1", "-emit-obj", "-isystem", str(HEADERS)),
        *(f"-D{macro}" for macro in _MACROS),
        *cpp_flags(),
    ]


def _kernels(source: str, kernel: str) -> list[str]:
    """All kernels of a source that need no arguments of templates, and the one that is asked for:
    a source is compiled once for all of them."""
    found = kernels_of(source, templates=False)
    return found if kernel in found else [*found, kernel]


def _text(source: str, kernels: Sequence[str], filename: str) -> str:
    name = filename.replace("\\", "\\\\").replace('"', '\\"')
    entries = [f'CANOPY_ENTRY({i}, "{name}", {kernel})' for i, kernel in enumerate(kernels)]
    ends = "\n".join(f'#line 1 "<entry>"\n{entry}' for entry in [*entries, "CANOPY_END"])
    return f'#line 1 "{name}"\n{source}\n{ends}\n'


def build_library(
    source: str, kernel: str, filename: str, options: Sequence[str] = ()
) -> tuple[bytes, int]:
    """A shared library with the entries of a source's kernels, and the number of ``kernel``'s.

    ``options``: macros and include folders for clang (-D, -I). CompileError in clang's words.
    """
    flags = [*_flags(), *options]
    kernels = _kernels(source, kernel)
    key = "\0".join(
        ["ascendc", canopy.__version__, _header_digest(), *flags, filename, *kernels, source]
    )
    store = DiskCache()
    data = store.get(key)
    if data is None:
        try:
            data = _compile(_text(source, kernels, filename), filename, flags)
        except _ClangFailedError as failure:
            raise clang_error(str(failure), filename, source, kernel) from None
        store.put(key, data)
    return data, kernels.index(kernel)


class _ClangFailedError(Exception):
    """What clang printed."""


def _compile(text: str, filename: str, flags: list[str]) -> bytes:
    zig = str(find_zig())
    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        unit, part, library = (Path(folder) / n for n in ("unit.cpp", "unit.o", "unit.so"))
        unit.write_text(text, encoding="utf-8")
        beside = str(Path(filename).resolve().parent)
        command = [zig, "clang", "-cc1", *flags, "-iquote", beside, "-o", str(part), str(unit)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise _ClangFailedError(done.stderr)
        command = [zig, "ld.lld", "-shared", "-o", str(library), str(part)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            fact = done.stderr.strip() or "the linker failed"
            raise CompileError(fact, location=Location(filename))
        return library.read_bytes()


@cache
def _c_libraries() -> None:
    """A library that the linker made names no others: the C library's parts are there before."""
    for name in ("libm.so.6", "libpthread.so.0"):
        ctypes.CDLL(name, mode=ctypes.RTLD_GLOBAL)


@dataclass(frozen=True)
class Library:
    """A loaded library; it runs one launch at a time."""

    code: ctypes.CDLL
    lock: threading.Lock


@lru_cache(256)
def load_library(data: bytes) -> Library:
    """The library in this process."""
    _c_libraries()
    handle, path = tempfile.mkstemp(prefix="canopy-", suffix=".so")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return Library(ctypes.CDLL(path), threading.Lock())
    finally:
        os.unlink(path)
