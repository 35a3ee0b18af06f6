"""Libraries that CUDA programs name on the link line: part of the runtime, or not here."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

__all__ = ["Chosen", "is_runtime_library", "wanted_libraries"]

# Inside the runtime archive, or of no use to an executable for the CPU.
_INSIDE = {
    *("cudart", "cudart_static", "cudadevrt", "cuda", "culibos", "nvToolsExt", "nvtx3interop"),
    *("stdc++", "stdc++fs", "c++", "gcc", "gcc_s", "gomp", "omp", "iomp5"),
}
_RUNTIME = {"cudart", "cudart_static", "cuda"}
_ABSENT = {
    "cublas": "cuBLAS",
    "cublasLt": "cuBLAS",
    "cufft": "cuFFT",
    "cufftw": "cuFFT",
    "curand": "cuRAND",
    "cusparse": "cuSPARSE",
    "cusolver": "cuSOLVER",
    "cudnn": "cuDNN",
    "nvrtc": "NVRTC",
    "nvidia-ml": "NVML",
    "nvjpeg": "nvJPEG",
    "nccl": "NCCL",
    "cutensor": "cuTENSOR",
    "nvgraph": "nvGRAPH",
    "nvJitLink": "nvJitLink",
}


@dataclass
class Chosen:
    """What goes to the linker, and what the user is told about the rest."""

    objects: list[Path | str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def wanted_libraries(inputs: Sequence[Path | str]) -> Chosen:
    """Leaves out what the runtime holds, and libraries that Canopy lacks: a program that calls one
    of them will not link, and the linker's error says so."""
    chosen = Chosen()
    for item in inputs:
        name = _library_name(str(item))
        base = name.removesuffix("_static")
        if name in _INSIDE:
            continue
        if base in _ABSENT or base.startswith("npp"):
            library = _ABSENT.get(base, "NPP")
            chosen.notes.append(f"{item}: Canopy does not have {library}; linked without it")
            continue
        chosen.objects.append(item)
    return chosen


def is_runtime_library(item: str) -> bool:
    """Whether a word of the link line asks for the CUDA runtime."""
    return _library_name(item) in _RUNTIME


def _library_name(item: str) -> str:
    """The name of a library given by ``-l`` or by a path like ``lib64/libcudart.so``."""
    if item.startswith("-l"):
        return item[2:].removeprefix(":lib").partition(".")[0]
    name = Path(item).name
    if name.startswith("lib") and (name.endswith(".a") or ".so" in name):
        return name[3:].partition(".")[0]
    return ""
