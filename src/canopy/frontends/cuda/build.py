"""CUDA C++ sources to object files and executables: both halves, and the link.

A source becomes one relocatable object: the host half by clang, the device half by Canopy, the
table that joins them. Executables carry the runtime and need nothing of Canopy.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from canopy.errors import CompileError, Location
from canopy.frontends.cuda.aot import ANY_SHAPE, Shape, device_objects
from canopy.frontends.cuda.clang import compile_half
from canopy.frontends.cuda.launches import launch_shapes
from canopy.frontends.cuda.module import compile_cuda
from canopy.frontends.cuda.toolchain import LINK_TARGET, find_zig, host_cpu, host_flags, host_triple

__all__ = ["Options", "compile_source", "link"]


@dataclass(frozen=True)
class Options:
    """What the command line says about both halves; ``preprocessor`` as clang takes it."""

    preprocessor: tuple[str, ...] = ()
    standard: str = "c++17"
    optimization: str = "-O2"
    libraries: tuple[str, ...] = field(default=())


def compile_source(path: Path, output: Path, options: Options) -> None:
    """One ``.cu`` file to one relocatable object. Raises CompileError in clang's words."""
    source = path.read_text(encoding="utf-8", errors="replace")
    module_id = _module_id(source, path, options)
    with tempfile.TemporaryDirectory(prefix="canopy-") as name:
        folder = Path(name)
        host_ir = _host_ir(source, str(path), module_id, folder, options)
        module = compile_cuda(source, str(path), options.preprocessor)
        shapes = _shapes(launch_shapes(host_ir))
        parts = [_host_object(host_ir, folder, options)]
        for number, code in enumerate(device_objects(module, module_id, shapes)):
            parts.append(folder / f"device{number}.o")
            parts[-1].write_bytes(code)
        _join(parts, output)


def _module_id(source: str, path: Path, options: Options) -> str:
    whole = repr((source, str(path.resolve()), options))
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _shapes(found: dict[str, tuple[set[Shape], bool]]) -> dict[str, list[Shape]]:
    return {
        name: [*sorted(shapes), *(ANY_SHAPE if other or not shapes else ())]
        for name, (shapes, other) in found.items()
    }


def _host_ir(source: str, filename: str, module_id: str, folder: Path, options: Options) -> str:
    binary = folder / "fat"
    binary.write_bytes(f"canopy:{module_id}".encode() + b"\0")
    flags = host_flags(host_cpu(), options.standard)
    flags += ["-fcuda-include-gpubinary", str(binary), "-emit-llvm", "-o", "-"]
    return compile_half(source, filename, [*flags, *options.preprocessor])


def _host_object(host_ir: str, folder: Path, options: Options) -> Path:
    text, made = folder / "host.ll", folder / "host.o"
    text.write_text(host_ir, encoding="utf-8")
    flags = ["-triple", host_triple(), "-target-cpu", host_cpu(), "-mrelocation-model", "pic"]
    flags += ["-pic-level", "2", options.optimization, "-x", "ir", "-emit-obj"]
    _run([find_zig(), "clang", "-cc1", *flags, "-o", made, text], "clang")
    return made


def _join(parts: Sequence[Path], output: Path) -> None:
    _run([find_zig(), "ld.lld", "-r", "-o", output, *parts], "the linker")


def link(objects: Sequence[Path], output: Path, flags: Sequence[str] = ()) -> None:
    """Objects, archives and libraries to an executable with the runtime inside."""
    from canopy.runtime.build import runtime_archive

    command: list[str | Path] = [
        find_zig(),
        "c++",
        "-target",
        LINK_TARGET,
        "-s",
        *objects,
        runtime_archive(),
    ]
    _run([*command, *flags, "-lpthread", "-ldl", "-lm", "-o", output], "the linker")


def _run(command: Sequence[str | Path], what: str) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"{what} failed:\n{done.stderr.strip()}", location=Location(""))
    sys.stderr.write(done.stderr)
