"""CUDA C++ kernels to tile IR: clang gives LLVM IR, one thread block becomes one tile program."""

from __future__ import annotations

from canopy.frontends.cuda.module import CudaModule, compile_cuda

__all__ = ["CudaModule", "compile_cuda"]
