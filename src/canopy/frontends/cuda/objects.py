"""Objects by content: a source that was compiled before costs a few hashes.

A source's entry lists, for each time it was compiled, the files that it included with their hashes,
and the key of the object. Headers of the toolchain are not hashed: its version stands for them.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import canopy
from canopy import config
from canopy.frontends.cuda.options import Options
from canopy.frontends.cuda.toolchain import HEADERS, RUNTIME_HEADERS, find_zig
from canopy.runtime.cache import DiskCache

__all__ = ["CachedObject", "compiler_stamp", "hash_of", "is_ours", "machine_stamp", "object_of"]

KEPT_VARIANTS = 8  # of one source, with different headers


@dataclass(frozen=True)
class CachedObject:
    """An object file's bytes, and what clang warned of when it was made."""

    code: bytes
    warnings: str


def object_of(source: Path, options: Options, processes: int = 1) -> CachedObject:
    """The object of a source, compiled if it has changed, by so many processes. Raises ClangError
    in clang's words."""
    cache = DiskCache()
    key = _source_key(source, options)
    variants = _variants(cache, key)
    for variant in variants:
        if all(hash_of(Path(path)) == digest for path, digest in variant["included"]):
            code = cache.get(variant["object"])
            if code is not None:
                return CachedObject(code, variant["warnings"])
    from canopy.frontends.cuda.build import compile_object

    made = compile_object(source, options, processes)
    included = [(str(path), hash_of(path)) for path in made.included if not is_ours(path)]
    name = f"cuda-object {key} {hashlib.sha256(repr(included).encode()).hexdigest()}"
    fresh = {"included": included, "object": name, "warnings": made.warnings}
    cache.put(name, made.code)
    cache.put(key, json.dumps([fresh, *variants][:KEPT_VARIANTS]).encode())
    return CachedObject(made.code, made.warnings)


def _variants(cache: DiskCache, key: str) -> list[dict[str, Any]]:
    data = cache.get(key)
    found: list[dict[str, Any]] = json.loads(data) if data else []
    return found


def _source_key(source: Path, options: Options) -> str:
    parts = (os.path.abspath(source), str(source), hash_of(source), options)
    return f"cuda-source {compiler_stamp()} {machine_stamp()} {config.cpu()} {parts!r}"


def hash_of(path: Path) -> str:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def is_ours(path: Path) -> bool:
    return any(folder in path.parents for folder in (HEADERS, RUNTIME_HEADERS, find_zig().parent))


@functools.lru_cache(maxsize=1)
def compiler_stamp() -> str:
    """Changes with Canopy's compiler, its headers and clang."""
    root = Path(canopy.__file__).parent
    stamps = [canopy.__version__, str(find_zig()), str(find_zig().stat().st_mtime_ns)]
    folders = [root / name for name in ("ir", "passes", "targets", "frontends/cuda")]
    for folder in (*folders, RUNTIME_HEADERS):
        for parent, _, names in os.walk(folder):
            for name in names:
                if name.endswith((".py", ".h")):
                    status = os.stat(os.path.join(parent, name))
                    stamps.append(f"{parent}/{name}:{status.st_size}:{status.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(stamps)).encode()).hexdigest()


@functools.lru_cache(maxsize=1)
def machine_stamp() -> str:
    """The processor: device code is compiled for the one at hand."""
    text = platform.machine()
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if not line.strip():
                break  # one processor is enough
            if line.startswith(("model name", "flags", "Features", "CPU part")):
                text += line
    except OSError:
        pass
    return hashlib.sha256(text.encode()).hexdigest()[:16]
