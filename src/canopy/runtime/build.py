"""Compiles the native runtime: ``native/*.c`` to ``native/_native.abi3.so``, with ``zig cc``.

``python -m canopy.runtime.build`` builds in place. setup.py loads this file by its path before the
package is installed, so it imports nothing but the standard library.
"""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path

__all__ = ["LIBRARY_NAME", "NATIVE_FOLDER", "build", "zig_target"]

NATIVE_FOLDER = Path(__file__).resolve().parent / "native"
LIBRARY_NAME = "_native.abi3.so"

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
    fresh = output.with_name(output.name + ".new")
    compiler = [sys.executable, "-m", "ziglang", "cc", "-target", zig_target()]
    command = [*compiler, *FLAGS, *sources, *LIBRARIES, "-o", str(fresh)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise RuntimeError(f"zig cc could not build the native runtime:\n{result.stderr}")
    sys.stderr.write(result.stderr)
    fresh.replace(output)
    return output


if __name__ == "__main__":
    print(build())
