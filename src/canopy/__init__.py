"""Canopy: a compute architecture for neural networks, in Python.

Importing this package is cheap (no torch, no triton, no llvmlite); everything heavy is loaded on
use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from canopy.frontends.redirect import cuda_as
    from canopy.frontends.triton.simulated import simulate_launch as simulate

__version__ = "0.1.0"
__all__ = ["__version__", "cuda_as", "load_ipython_extension", "simulate"]


def __getattr__(name: str) -> object:
    if name == "cuda_as":
        from canopy.frontends.redirect import cuda_as

        return cuda_as
    if name == "simulate":
        from canopy.frontends.triton.simulated import simulate_launch

        return simulate_launch
    raise AttributeError(f"module 'canopy' has no attribute {name!r}")


def load_ipython_extension(ipython: Any) -> None:
    """``%load_ext canopy``: the cell magic ``%%cuda``."""
    from canopy.frontends.cuda.magic import register

    register(ipython)
