"""Objects, archives and libraries to executables and shared libraries that carry the runtime."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from canopy.errors import CompileError, Location
from canopy.frontends.cuda.toolchain import LINK_TARGET, find_zig, zig_environment
from canopy.runtime.build import runtime_archive

__all__ = ["host_compiler_command", "link", "link_command"]

_UNDEFINED = re.compile(r"undefined symbol: ([\w:]+)")
_LIBRARY_OF_SYMBOL = {
    "cublas": "cuBLAS",
    "cufft": "cuFFT",
    "curand": "cuRAND",
    "cusparse": "cuSPARSE",
    "cusolver": "cuSOLVER",
    "cudnn": "cuDNN",
    "nvrtc": "NVRTC",
    "nvml": "NVML",
    "nppi": "NPP",
    "nccl": "NCCL",
}


def host_compiler_command() -> list[str]:
    """clang's driver with the C++ library of the toolchain, as ``g++`` would be called."""
    # Without -O the driver would put traps for undefined behaviour into the code.
    return [str(find_zig()), "c++", "-target", LINK_TARGET, "-fno-sanitize=undefined"]


def link_command(objects: Sequence[Path | str], output: Path, flags: Sequence[str]) -> list[str]:
    """The command that `link` runs. ``objects`` may hold ``-l`` and ``-L``, in their order."""
    return [
        *host_compiler_command(),
        *map(str, objects),
        *flags,
        str(runtime_archive()),
        *("-lpthread", "-ldl", "-lm", "-o", str(output)),
    ]


def link(objects: Sequence[Path | str], output: Path, flags: Sequence[str] = ("-s",)) -> None:
    """Links with the runtime inside; CompileError in the linker's words."""
    # The linker writes into the file it finds: a program that runs keeps the old one.
    output.unlink(missing_ok=True)
    command = link_command(objects, output, flags)
    environment = zig_environment()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        text = done.stderr.strip() or done.stdout.strip()
        raise CompileError(f"the linker failed:\n{text}", location=Location(""), hint=_hint(text))


def _hint(text: str) -> str:
    for symbol in _UNDEFINED.findall(text):
        for prefix, library in _LIBRARY_OF_SYMBOL.items():
            if symbol.startswith(prefix):
                return f"{symbol} belongs to {library}, which is not part of this version of Canopy"
        if re.match(r"cuda[A-Z]|cu[A-Z]", symbol):
            return f"{symbol} is not in Canopy's CUDA runtime: docs/compatibility.md lists what is"
        if "std::__cxx11" in text or symbol.startswith("std::"):
            return "an object was compiled with another C++ library: build all files here"
    return ""
