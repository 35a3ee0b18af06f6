"""A CUDA toolkit as build systems look for it: a folder with bin, include and lib64.

    <cache>/toolkit-<stamp>/
        bin/nvcc nvidia-smi g++ gcc c++ cc    call Canopy
        include/                               Canopy's CUDA headers
        lib64/libcudart_static.a libcudart.so  the runtime archive

The folder is put together on demand; `environment` names it to programs as CUDA_HOME and puts its
bin first on the path. Host compilers are there too: all objects of a program must use one C++
library, and a machine may have no other compiler.
"""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import sys
import tempfile
from pathlib import Path

import canopy
from canopy import config
from canopy.errors import CanopyError
from canopy.frontends.cuda.options import CUDA_VERSION
from canopy.frontends.cuda.toolchain import HEADERS, HELPER_HEADERS, RUNTIME_HEADERS, find_zig
from canopy.runtime.build import runtime_archive

__all__ = ["environment", "toolkit_folder"]

_PROGRAMS = {
    "nvcc": "canopy.frontends.cuda.nvcc",
    "nvidia-smi": "canopy.frontends.cuda.smi",
    "g++": "canopy.frontends.cuda.host_compiler c++",
    "c++": "canopy.frontends.cuda.host_compiler c++",
    "clang++": "canopy.frontends.cuda.host_compiler c++",
    "gcc": "canopy.frontends.cuda.host_compiler cc",
    "cc": "canopy.frontends.cuda.host_compiler cc",
    "clang": "canopy.frontends.cuda.host_compiler cc",
}
# Where a linker looks for a shared library, this text sends it to the archive.
_SHARED_RUNTIME = "INPUT(libcudart_static.a -lpthread -ldl -lm)\n"
_EMPTY_ARCHIVE = b"!<arch>\n"


def environment() -> dict[str, str]:
    """The variables of a process that is to find the toolkit."""
    top = str(toolkit_folder())
    path = f"{top}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}"
    names = ("CUDA_HOME", "CUDA_PATH", "CUDA_ROOT", "CUDA_DIR", "CUDAToolkit_ROOT")
    found = {"PATH": path, "CUDACXX": f"{top}/bin/nvcc", **dict.fromkeys(names, top)}
    return {**os.environ, **found, "MAKEFLAGS": _make_flags(dict.fromkeys(names, top))}


def _make_flags(variables: dict[str, str]) -> str:
    """GNU make's own variable: a Makefile that sets CUDA_HOME = /usr/local/cuda is overruled."""
    flags = os.environ.get("MAKEFLAGS", "")
    words = [flags if " -- " in flags else f"{flags} --"]
    for name, value in variables.items():
        escaped = value.replace("\\", "\\\\").replace(" ", "\\ ")
        words.append(f"{name}={escaped}")
    return " ".join(words)


def toolkit_folder() -> Path:
    """The folder, made if it is not there yet; many processes may ask at once."""
    find_zig()
    folder = config.cache_dir() / f"toolkit-{_stamp()}"
    if (folder / "complete").exists():
        return folder
    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = Path(tempfile.mkdtemp(prefix=".toolkit-", dir=folder.parent))
    try:
        _write_programs(fresh / "bin")
        _write_headers(fresh / "include")
        _write_libraries(fresh / "lib64")
        _write_rest(fresh)
        _move(fresh, folder)
    except OSError as error:
        raise CanopyError(
            f"{folder}: the toolkit folder cannot be written ({error.strerror})",
            hint="set CANOPY_CACHE_DIR to a folder that you can write to",
        ) from None
    finally:
        shutil.rmtree(fresh, ignore_errors=True)
    return folder


def _move(fresh: Path, folder: Path) -> None:
    if folder.exists() and not (folder / "complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
    try:
        fresh.rename(folder)
    except OSError:
        if not (folder / "complete").exists():  # another process was faster, or a real failure
            raise


def _headers() -> dict[str, Path]:
    found: dict[str, Path] = {}
    for root in (HEADERS, RUNTIME_HEADERS):
        for path in root.rglob("*"):
            if HELPER_HEADERS in path.parents:  # no part of a toolkit
                continue
            if path.is_file() and path.suffix in {".h", ".hpp", ".cuh", ""}:
                found[str(path.relative_to(root))] = path
    return found


def _stamp() -> str:
    """Changes with what the folder points at."""
    parts = (sys.executable, canopy.__file__, canopy.__version__, sorted(_headers()))
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:12]


def _write_programs(folder: Path) -> None:
    folder.mkdir(parents=True)
    package_root = str(Path(canopy.__file__).resolve().parents[1])
    for name, module in _PROGRAMS.items():
        script = folder / name
        script.write_text(
            "#!/bin/sh\n"
            f"PYTHONPATH={shlex.quote(package_root)}${{PYTHONPATH:+:$PYTHONPATH}} "
            f'exec {shlex.quote(sys.executable)} -m {module} "$@"\n',
            encoding="utf-8",
        )
        script.chmod(0o755)


def _write_headers(folder: Path) -> None:
    for name, path in _headers().items():
        link = folder / name
        link.parent.mkdir(parents=True, exist_ok=True)
        link.symlink_to(path)


def _write_libraries(folder: Path) -> None:
    (folder / "stubs").mkdir(parents=True)
    (folder / "libcudart_static.a").symlink_to(runtime_archive())
    for name in ("libcudart.so", "libcuda.so", "libnvToolsExt.so"):
        (folder / name).write_text(_SHARED_RUNTIME, encoding="utf-8")
    for name in ("libcudadevrt.a", "libculibos.a"):
        (folder / name).write_bytes(_EMPTY_ARCHIVE)
    (folder / "stubs" / "libcuda.so").write_text(_SHARED_RUNTIME, encoding="utf-8")


def _write_rest(folder: Path) -> None:
    (folder / "nvvm" / "libdevice").mkdir(parents=True)
    (folder / "lib").symlink_to("lib64")
    version = ".".join(map(str, CUDA_VERSION))
    about = {"cuda": {"name": "CUDA SDK", "version": version}}
    (folder / "version.json").write_text(json.dumps(about), encoding="utf-8")
    (folder / "complete").write_text("", encoding="utf-8")
