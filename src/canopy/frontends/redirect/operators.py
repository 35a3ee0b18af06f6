"""Operators that a program registers for CUDA with ``torch.library`` run here as well.

@torch.library.custom_op("mine::scale", mutates_args=(), device_types="cuda")
def scale(x: Tensor) -> Tensor: ...            # a tensor on "cuda" finds it

Tensors on "cuda" are host tensors, which torch sends to an operator's CPU function. One that looks
at their place stands there for both. What was registered stays until the process ends, as torch's
own registrations do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from canopy.frontends.redirect import tensor_calls
from canopy.frontends.redirect.patches import PatchSet
from canopy.frontends.redirect.tensors import CudaMode

__all__ = ["patch_library"]

_Kernel = Callable[..., Any]


def patch_library(patches: PatchSet, mode: CudaMode) -> None:
    """Makes ``torch.library`` take functions for CUDA, and for the CPU beside them."""
    library: Any = torch.library.Library
    real = library.impl

    def impl(self: Any, op_name: Any, fn: _Kernel, dispatch_key: str = "", **options: Any) -> None:
        key = dispatch_key or self.dispatch_key
        foreign = self.ns == "aten" or options or tensor_calls.is_own(self)
        if key not in ("CPU", "CUDA") or foreign:
            real(self, op_name, fn, dispatch_key, **options)
            return
        tensor_calls.implement(self.ns, _name(op_name), key, _inside(mode, fn))

    patches.set(library, "impl", impl)


def _name(operator: Any) -> str:
    if isinstance(operator, str):
        return operator
    name, overload = operator._schema.name, operator._schema.overload_name
    return f"{name}.{overload}" if overload else str(name)


def _inside(mode: CudaMode, kernel: _Kernel) -> _Kernel:
    """torch leaves the mode while an operator runs; what is written in Python needs it."""

    @functools.wraps(kernel)
    def run(*values: Any, **named: Any) -> Any:
        if mode.is_entered():
            return kernel(*values, **named)
        with mode:
            return kernel(*values, **named)

    return run
