"""Ascend C source to a library of the host: clang against our header, through the disk cache."""

from __future__ import annotations

import ctypes
import hashlib
import os
import subprocess
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import canopy
from canopy.errors import CompileError, Location
from canopy.frontends.ascendc.diagnostics import clang_error
from canopy.frontends.cuda.toolchain import cpp_flags, find_zig, host_cpu, host_triple
from canopy.runtime.cache import DiskCache

__all__ = ["HEADERS", "build_library", "load_library"]

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
        *("-fvisibility=hidden", "-fno-threadsafe-statics", "-ffp-contract=off", "-O2"),
        *("-fgnuc-version=4.2.1", "-emit-obj", "-isystem", str(HEADERS)),
        *(f"-D{macro}" for macro in _MACROS),
        *cpp_flags(),
    ]


def build_library(source: str, kernel: str, filename: str, options: Sequence[str] = ()) -> bytes:
    """A shared library with the entry of one kernel; CompileError in clang's words.

    ``options``: macros and include folders for clang (-D, -I).
    """
    flags = [*_flags(), *options]
    key = "\0".join(
        ["ascendc", canopy.__version__, _header_digest(), *flags, filename, kernel, source]
    )
    store = DiskCache()
    data = store.get(key)
    if data is None:
        data = _compile(source, kernel, filename, flags)
        store.put(key, data)
    return data


def _compile(source: str, kernel: str, filename: str, flags: list[str]) -> bytes:
    name = filename.replace("\\", "\\\\").replace('"', '\\"')
    text = f'#line 1 "{name}"\n{source}\n#line 1 "<entry>"\nCANOPY_ENTRY({kernel}, "{name}")\n'
    zig = str(find_zig())
    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        unit, part, library = (Path(folder) / n for n in ("unit.cpp", "unit.o", "unit.so"))
        unit.write_text(text, encoding="utf-8")
        beside = str(Path(filename).resolve().parent)
        command = [zig, "clang", "-cc1", *flags, "-iquote", beside, "-o", str(part), str(unit)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise clang_error(done.stderr, filename, source, kernel)
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


def load_library(data: bytes) -> ctypes.CDLL:
    """The library in this process. Each load is one of its own, with its own state."""
    _c_libraries()
    handle, path = tempfile.mkstemp(prefix="canopy-", suffix=".so")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        return ctypes.CDLL(path)
    finally:
        os.unlink(path)
