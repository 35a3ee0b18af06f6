"""CUDA C++ from Python: kernels given by their source, launched on arrays in host memory.

    from canopy.cuda import RawKernel

    k = RawKernel(source, "saxpy")
    k((grid,), (256,), (n, 2.0, x, y))      # NumPy arrays, torch CPU tensors, DLPack, buffers

The interface is that of CuPy's `RawKernel` and `RawModule`.
"""

from __future__ import annotations

from canopy.frontends.cuda.raw import RawKernel, RawModule

__all__ = ["RawKernel", "RawModule"]
