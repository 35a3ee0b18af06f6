"""`canopy run app.cu -- arguments`: compiles a program, once, and becomes it."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

from canopy import config
from canopy.errors import CanopyError
from canopy.frontends.cuda import nvcc
from canopy.frontends.cuda.clang import ClangError
from canopy.frontends.cuda.command_line import read_command_line
from canopy.frontends.cuda.toolkit import environment
from canopy.runtime.build import runtime_archive

__all__ = [
    "compiled_program",
    "is_cuda_program",
    "run_command",
    "run_program",
    "shell",
    "show_clang_error",
    "split_words",
]

_SOURCES = nvcc.CUDA_SUFFIXES | nvcc.HOST_SUFFIXES | nvcc.LINKED_SUFFIXES


def is_cuda_program(words: Sequence[str]) -> bool:
    return bool(words) and Path(words[0]).suffix in nvcc.CUDA_SUFFIXES


def run_program(words: Sequence[str], checked: bool = False) -> int:
    """``a.cu b.cu [nvcc's options] -- arguments``, or ``a.cu arguments``; returns on errors."""
    build, arguments = split_words(words)
    build += ["--check"] if checked else []
    try:
        program = compiled_program(build)
    except ClangError as error:
        return show_clang_error(error)
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(program, [str(program), *arguments])
    raise AssertionError("execv returns only by raising")


def show_clang_error(error: ClangError) -> int:
    """Prints what clang said; the exit status."""
    sys.stderr.write(error.output)
    if error.hint and "clang reports" not in error.hint:
        print(f"canopy: hint: {error.hint}", file=sys.stderr)
    return 2


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is compiled, and what the program gets."""
    if "--" in words:
        at = words.index("--")
        return list(words[:at]), list(words[at + 1 :])
    at = 0
    while at < len(words) and Path(words[at]).suffix in _SOURCES and Path(words[at]).exists():
        at += 1
    at = max(at, 1)
    return list(words[:at]), list(words[at:])


def compiled_program(words: Sequence[str], as_library: bool = False) -> Path:
    """The executable in the cache, linked when one of its objects is new; ``as_library``: a shared
    library that keeps to its own symbols, whose ``main`` can be called."""
    line = read_command_line(words)
    nvcc.check(line)
    programs = config.cache_dir() / "programs"
    programs.mkdir(mode=0o700, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=programs) as folder:
        objects = nvcc.compile_inputs(line, Path(folder))
        if as_library:
            line.shared = True
            line.linker_flags += ["-Wl,-Bsymbolic"]
        program = programs / _key([*words, str(as_library)], objects) / Path(words[0]).stem
        if not program.is_file():
            line.output = Path(folder) / program.name
            nvcc.link_objects(line, objects)
            program.parent.mkdir(exist_ok=True)
            line.output.replace(program)
    return program


def _key(words: Sequence[str], objects: Sequence[Path | str]) -> str:
    whole = hashlib.sha256(repr([*words, runtime_archive().stat().st_mtime_ns]).encode())
    for item in objects:
        whole.update(item.read_bytes() if isinstance(item, Path) else _content(item))
    return whole.hexdigest()[:32]


def _content(name: str) -> bytes:
    return name.encode() if name.startswith("-l") else Path(name).read_bytes()


def run_command(words: Sequence[str], variables: Mapping[str, str] | None = None) -> int:
    """Becomes a command that finds nvcc, nvidia-smi and CUDA_HOME. Returns only on errors."""
    found = {**environment(), **(variables or {})}
    sys.stdout.flush()
    try:
        os.execvpe(words[0], list(words), found)
    except FileNotFoundError:
        raise CanopyError(f"{words[0]}: there is no such command") from None
    except OSError as error:
        raise CanopyError(f"{words[0]}: cannot be run ({error.strerror})") from None


def shell() -> int:
    """Becomes the user's shell with the toolkit on its path."""
    program = os.environ.get("SHELL") or "/bin/sh"
    print("canopy: nvcc, nvidia-smi and CUDA_HOME are set in this shell; leave it with exit")
    return run_command([program])
