"""Compiles the native runtime: ``native/*.c`` to ``native/_native.abi3.so``, with ``zig cc``.

``python -m canopy.runtime.build`` builds in place. setup.py loads this file by its path before the
package is installed, so it imports nothing but the standard library.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

__all__ = ["LIBRARY_NAME", "NATIVE_FOLDER", "build", "zig_target"]

NATIVE_FOLDER = Path(__file__).resolve().parent / "native"
LIBRARY_NAME = "_native.abi3.so"

ARCHIVE_NAME = "libcanopy_rt.a"
# What kernels call; the rest of cuda/ is for executables alone.
DEVICE_SOURCES = (
    "cuda/printf.c",
    "cuda/device_calls.c",
    "cuda/check.c",
    "cuda/check_memory.c",
    "cuda/check_races.c",
    "cuda/check_report.c",
)
ARCHIVE_SOURCES = (
    "pool.c",
    "apart.c",
    "switch.c",
    "output.c",
    "scratch.c",
    "report.c",
    "cpu_count.c",
    "allocator.c",
    "half.c",
)

GLIBC_VERSION = "2.17"  # that of manylinux2014: the oldest one pip still serves
FLAGS = (
    "-O3",
    "-shared",
    "-s",
    "-fPIC",
    "-std=c11",
    "-D_GNU_SOURCE",
    "-fvisibility=hidden",
    "-Wall",
    "-Wextra",
)
LIBRARIES = ("-lpthread", "-ldl", "-lm")


def zig_target() -> str:
    """The target of this machine: its architecture's baseline, on an old glibc.

    Raises RuntimeError where the native runtime does not support the machine.
    """
    machine = {
        "x86_64": "x86_64",
        "AMD64": "x86_64",
        "aarch64": "aarch64",
        "arm64": "aarch64",
    }
    if sys.platform != "linux" or platform.machine() not in machine:
        raise RuntimeError(
            f"the native runtime supports Linux on x86-64 and aarch64, "
            f"this is {sys.platform} on {platform.machine()}"
        )
    return f"{machine[platform.machine()]}-linux-gnu.{GLIBC_VERSION}"


def build(output: Path = NATIVE_FOLDER / LIBRARY_NAME) -> Path:
    """Compiles all of ``native/*.c`` into one shared library and returns its path.

    The library replaces an older one in one step: processes that loaded that one keep it.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    sources = [str(path) for path in sorted(NATIVE_FOLDER.glob("*.c"))]
    sources += [str(NATIVE_FOLDER / name) for name in DEVICE_SOURCES]
    fresh = output.with_name(output.name + ".new")
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", zig_target()]
    command = [*compiler, *FLAGS, *sources, *LIBRARIES, "-o", str(fresh)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"zig cc could not build the native runtime:\n{result.stderr}")
    sys.stderr.write(result.stderr)
    fresh.replace(output)
    return output


def runtime_archive() -> Path:
    """The static library of executables: pool, memory, and CUDA's runtime; built when missing, and
    in a checkout when its sources changed: programs would not link with what the compiler emits."""
    archive = NATIVE_FOLDER / ARCHIVE_NAME
    if not archive.exists() or (_is_checkout() and _is_stale(archive)):
        build_archive(archive)
    return archive


def _is_checkout() -> bool:
    return (NATIVE_FOLDER.parents[3] / "pyproject.toml").exists()


def _is_stale(archive: Path) -> bool:
    made = archive.stat().st_mtime
    sources = [*NATIVE_FOLDER.rglob("*.[ch]"), NATIVE_FOLDER / "cuda", Path(__file__)]
    return any(source.stat().st_mtime > made for source in sources)  # a folder: one was removed


def build_archive(output: Path = NATIVE_FOLDER / ARCHIVE_NAME) -> Path:
    """Compiles the part of ``native/`` that needs no Python into a static library."""
    sources = [NATIVE_FOLDER / name for name in ARCHIVE_SOURCES]
    sources += sorted((NATIVE_FOLDER / "cuda").glob("*.c"))
    zig = [sys.executable, "-m", "ziglang"]
    with tempfile.TemporaryDirectory(prefix="canopy-") as folder:
        objects = [
            str(Path(folder) / f"{source.parent.name}-{source.stem}.o") for source in sources
        ]
        flags = [flag for flag in FLAGS if flag not in ("-shared", "-s")]
        for source, made in zip(sources, objects, strict=True):
            command = [*zig, "cc", "-target", zig_target(), *flags, "-c", str(source), "-o", made]
            _checked(command)
        fresh = output.with_name(f"{output.name}.{os.getpid()}")
        _checked([*zig, "ar", "rcs", str(fresh), *objects])
    fresh.replace(output)
    return output


def _checked(command: list[str]) -> None:
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"zig could not build the native runtime:\n{result.stderr}")
    sys.stderr.write(result.stderr)


if __name__ == "__main__":
    print(build())
