"""CUDA C++ kernels to tile IR: clang gives LLVM IR, one thread block becomes one tile program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canopy.frontends.cuda.module import CudaModule, compile_cuda

__all__ = ["CudaModule", "compile_cuda"]


def __getattr__(name: str) -> Any:
    """Loads the compiler when it is asked for: `canopy nvcc` answers from its cache without it."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from canopy.frontends.cuda import module

    return getattr(module, name)
