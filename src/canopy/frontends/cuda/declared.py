"""Every name that our CUDA headers declare: what a program may use of CUDA.

clang's preprocessor is asked, since many declarations are made by macros (``make_uint4``,
``__float2half``). Where there is no clang, the words of the headers answer.
"""

from __future__ import annotations

import re
import subprocess
import tempfile
from functools import cache
from pathlib import Path

from canopy import config
from canopy.errors import CanopyError
from canopy.frontends.cuda.objects import compiler_stamp
from canopy.frontends.cuda.toolchain import HEADERS, RUNTIME_HEADERS, device_flags, find_zig
from canopy.runtime.cache import DiskCache

__all__ = ["declared_names"]

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_NAME = re.compile(r"[A-Za-z_]\w*")
_UNAVAILABLE = "__attribute__((unavailable("
_FUNCTION = re.compile(r"([A-Za-z_]\w*)\s*\(")
_MARKER = re.compile(r'# \d+ "([^"]*)"')


@cache
def declared_names() -> frozenset[str]:
    """Functions, types, constants and macros, by name; none whose use is refused."""
    try:
        key = f"cuda-names {compiler_stamp()}"
        store = DiskCache(config.cache_dir())
        known = store.get(key)
        if known is None:
            known = "\n".join(sorted(_by_clang())).encode()
            store.put(key, known)
        return frozenset(known.decode().split("\n"))
    except (CanopyError, OSError):
        return frozenset(_by_words())


def _by_clang() -> set[str]:
    """The identifiers of what our headers come to, and the names of their macros."""
    names = sorted(path.name for path in HEADERS.glob("*.h") if path.name != "omp.h")
    text = "".join(f"#include <{name}>\n" for name in names)
    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        source = Path(folder) / "all.cu"
        source.write_text(text, encoding="utf-8")
        flags = [flag for flag in device_flags() if flag != "-emit-llvm"]
        command = [str(find_zig()), "clang", "-cc1", *flags, "-E", "-dD", str(source)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    found: set[str] = set()
    refused: set[str] = set()
    is_ours = False
    for line in done.stdout.splitlines():
        if marker := _MARKER.match(line):
            is_ours = any(str(folder) in marker[1] for folder in (HEADERS, RUNTIME_HEADERS))
        elif is_ours and line.startswith("#define "):
            found.update(_NAME.findall(line.split()[1])[:1])
        elif is_ours and not line.startswith("#"):
            found.update(_NAME.findall(line))
            if _UNAVAILABLE in line:  # it is declared so that its use is an error that says why
                refused.update(_FUNCTION.findall(line.rpartition(_UNAVAILABLE)[2]))
    return (found - refused) or _by_words()


def _by_words() -> set[str]:
    found: set[str] = set()
    for folder in (HEADERS, RUNTIME_HEADERS):
        for path in folder.rglob("*"):
            if path.is_file() and path.suffix in (".h", ".hpp", ".cuh", ""):
                text = path.read_text(encoding="utf-8", errors="replace")
                found.update(_NAME.findall(_COMMENT.sub(" ", text)))
    return found
