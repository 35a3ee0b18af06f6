"""``nvidia-smi`` of the toolkit folder: says what stands in for the GPU."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Sequence
from pathlib import Path

from canopy import __version__, config
from canopy.frontends.cuda.options import CUDA_VERSION

__all__ = ["main"]

_HELP = "nvidia-smi: Canopy's stand-in. -L lists the device, --query-gpu=... answers common fields."


def main(words: Sequence[str]) -> int:
    """Prints a small table, or the fields that scripts ask for."""
    query = next((word for word in words if word.startswith("--query-gpu=")), "")
    if "-L" in words or "--list-gpus" in words:
        print(f"GPU 0: {_name()} (UUID: CPU-0)")
    elif "-h" in words or "--help" in words:
        print(_HELP)
    elif query:
        return _answer(query.partition("=")[2].split(","), words)
    else:
        _print_table()
    return 0


def _name() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return f"Canopy CPU ({line.partition(':')[2].strip()})"
    return f"Canopy CPU ({platform.machine()})"


def _memory_mib() -> tuple[int, int]:
    """Total and free."""
    page = os.sysconf("SC_PAGESIZE")
    return tuple(os.sysconf(f"SC_{name}") * page >> 20 for name in ("PHYS_PAGES", "AVPHYS_PAGES"))  # type: ignore[return-value]


def _answer(fields: Sequence[str], words: Sequence[str]) -> int:
    total, free = _memory_mib()
    known = {
        "name": _name(),
        "gpu_name": _name(),
        "index": "0",
        "count": "1",
        "uuid": "CPU-0",
        "gpu_uuid": "CPU-0",
        "compute_cap": "8.0",
        "driver_version": f"canopy-{__version__}",
        "memory.total": f"{total} MiB",
        "memory.free": f"{free} MiB",
        "memory.used": f"{total - free} MiB",
    }
    formats = ",".join(word for word in words if word.startswith("--format="))
    if "noheader" not in formats:
        print(", ".join(fields))
    values = [known.get(field.strip(), "[N/A]") for field in fields]
    if "nounits" in formats:
        values = [value.removesuffix(" MiB") for value in values]
    print(", ".join(values))
    return 0


def _print_table() -> None:
    total, free = _memory_mib()
    release = f"{CUDA_VERSION[0]}.{CUDA_VERSION[1]}"
    rows = [
        f"NVIDIA-SMI stand-in of Canopy {__version__}   CUDA Version: {release}",
        "There is no GPU: CUDA programs run on the CPU.",
        f"GPU 0: {_name()}",
        f"Memory: {total - free} MiB / {total} MiB   Threads: {config.num_threads()}",
    ]
    width = max(map(len, rows))
    print("+" + "-" * (width + 2) + "+")
    for row in rows:
        print(f"| {row:<{width}} |")
    print("+" + "-" * (width + 2) + "+")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
