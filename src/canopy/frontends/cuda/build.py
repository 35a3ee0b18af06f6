"""CUDA C++ sources to object files.

A source becomes one relocatable object: the host half by clang, the device half by Canopy, the
table that joins them.
"""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from canopy.errors import CompileError, Location
from canopy.frontends.cuda.aot import ANY_SHAPE, Shape, device_objects
from canopy.frontends.cuda.clang import Half, device_ir, run_half
from canopy.frontends.cuda.launches import launch_shapes
from canopy.frontends.cuda.linking import link
from canopy.frontends.cuda.managed import with_device_variables
from canopy.frontends.cuda.module import module_of
from canopy.frontends.cuda.options import Options
from canopy.frontends.cuda.separate import export_variables, link_units, unit_object
from canopy.frontends.cuda.toolchain import find_zig, host_cpu, host_flags, host_triple
from canopy.frontends.cuda.units import Unit

__all__ = [
    "Compiled",
    "Options",
    "compile_object",
    "compile_source",
    "included_files",
    "link",
    "module_id_of",
    "recording",
]


@dataclass(frozen=True)
class Compiled:
    """An object, the warnings of clang, and the files that the source includes."""

    code: bytes
    warnings: str
    included: tuple[Path, ...]


def compile_source(path: Path, output: Path, options: Options) -> None:
    """One ``.cu`` file to one relocatable object. Raises ClangError in clang's words."""
    output.write_bytes(compile_object(path, options).code)


def compile_object(path: Path, options: Options, processes: int = 1) -> Compiled:
    """As `compile_source`; both halves are compiled at the same time, and kernels by so many
    ``processes``."""
    source = path.read_text(encoding="utf-8", errors="replace")
    module_id = _module_id(source, path, options)
    with tempfile.TemporaryDirectory(prefix="canopy-") as name, ThreadPoolExecutor(2) as pool:
        folder = Path(name)
        host = pool.submit(_host_ir, source, str(path), module_id, folder, options)
        device = pool.submit(_device_ir, source, str(path), folder, options)
        host_half = host.result()  # its errors come first: they are clang's own for both halves
        host_ir = with_device_variables(host_half.text, module_id)
        if options.relocatable:
            host_ir = export_variables(host_ir)
        host_object = pool.submit(_host_object, host_ir, folder, options)
        shapes = _shapes(launch_shapes(host_half.text), options.is_whole)
        if options.relocatable:
            unit = Unit(module_id, str(path), device.result(), shapes, options.checked)
            made = [unit_object(unit)]
        else:
            module = module_of(device.result(), str(path), options.checked)
            made = device_objects(module, module_id, shapes, processes=processes)
        parts = write_parts(made, folder)
        joined = folder / "joined.o"
        _join([host_object.result(), *parts], joined)
        included = included_files(folder, path)
        return Compiled(joined.read_bytes(), host_half.warnings, included)


def write_parts(objects: Sequence[bytes], folder: Path) -> list[Path]:
    """Object files of the device code, to be linked."""
    parts = [folder / f"device{number}.o" for number in range(len(objects))]
    for part, code in zip(parts, objects, strict=True):
        part.write_bytes(code)
    return parts


def link_device_code(units: Sequence[Unit], output: Path, processes: int = 1) -> None:
    """The device code of separately compiled sources as one relocatable object."""
    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        _join(write_parts(link_units(units, processes), Path(folder)), output)


def _device_ir(source: str, filename: str, folder: Path, options: Options) -> str:
    return device_ir(source, filename, [*options.flags, *recording(folder / "device.d")])


def recording(file: Path) -> list[str]:
    """cc1's flags that write down which files a source includes."""
    return ["-dependency-file", str(file), "-MT", "object", "-sys-header-deps"]


def included_files(folder: Path, source: Path) -> tuple[Path, ...]:
    """The files named in what both halves wrote down, without the source itself."""
    found: dict[Path, None] = {}
    for file in folder.glob("*.d"):
        _, _, names = file.read_text(encoding="utf-8").partition(":")
        for name in names.replace("\\\n", " ").replace("\\ ", "\0").split():
            found[Path(name.replace("\0", " "))] = None
    return tuple(path for path in found if path.name != "unit.cu" and path != source)


def module_id_of(path: Path, options: Options) -> str:
    """What the host half of a source knows its device half by."""
    return _module_id(path.read_text(encoding="utf-8", errors="replace"), path, options)


def _module_id(source: str, path: Path, options: Options) -> str:
    whole = repr((source, str(path.resolve()), options))
    return hashlib.sha256(whole.encode()).hexdigest()[:16]


def _shapes(found: dict[str, tuple[set[Shape], bool]], is_whole: bool) -> dict[str, list[Shape]]:
    """What to compile for. Kernels that nothing launches are left out of a whole program."""

    def is_open(shapes: set[Shape], may_have_others: bool) -> bool:
        return may_have_others or not (shapes or is_whole)

    return {
        name: [*sorted(shapes), *([ANY_SHAPE] if is_open(shapes, other) else [])]
        for name, (shapes, other) in found.items()
    }


def _host_ir(source: str, filename: str, module_id: str, folder: Path, options: Options) -> Half:
    binary = folder / "fat"
    binary.write_bytes(f"canopy:{module_id}".encode() + b"\0")
    flags = host_flags(host_cpu(), options.standard)
    flags += ["-fcuda-include-gpubinary", str(binary), "-emit-llvm", "-o", "-"]
    flags += recording(folder / "host.d")
    return run_half(source, filename, [*flags, *options.flags])


def _host_object(host_ir: str, folder: Path, options: Options) -> Path:
    text, made = folder / "host.ll", folder / "host.o"
    text.write_text(host_ir, encoding="utf-8")
    flags = ["-triple", host_triple(), "-target-cpu", host_cpu(), "-mrelocation-model", "pic"]
    flags += ["-pic-level", "2", options.optimization, "-x", "ir", "-emit-obj"]
    _run([find_zig(), "clang", "-cc1", *flags, "-o", made, text], "clang")
    return made


def _join(parts: Sequence[Path], output: Path) -> None:
    _run([find_zig(), "ld.lld", "-r", "-o", output, *parts], "the linker")


def _run(command: Sequence[str | Path], what: str) -> None:
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    if done.returncode:
        raise CompileError(f"{what} failed:\n{done.stderr.strip()}", location=Location(""))
