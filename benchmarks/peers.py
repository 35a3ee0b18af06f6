"""What Canopy is held against, beside torch eager: Inductor, numba, oneDNN with packed weights.

A peer that cannot run here raises `SkippedError` with the reason, which the table then shows.
"""

from __future__ import annotations

import functools
import shutil
from collections.abc import Callable
from typing import Any

import torch

from benchmarks.harness import SkippedError

__all__ = ["inductor", "numba_kernel", "packed_linear"]


def inductor(function: Callable[..., Any], *inputs: Any) -> Callable[..., None]:
    """``function(*inputs)`` compiled by torch.compile, as a function of the outputs to write.

    The result is copied into the outputs inside the compiled function; Inductor fuses that copy,
    so that the outputs are what its kernel writes.
    """
    if not _cpp_compiler():
        raise SkippedError("Inductor needs a C++ compiler and found none")

    def with_outputs(arguments: tuple[Any, ...], outputs: tuple[torch.Tensor, ...]) -> None:
        results = function(*arguments)
        results = (results,) if isinstance(results, torch.Tensor) else results
        for output, result in zip(outputs, results, strict=True):
            output.copy_(result)

    # Cases share the code of `with_outputs`; dynamo gives up on code that it compiled often.
    torch.compiler.reset()
    compiled = torch.compile(with_outputs, dynamic=False)
    return lambda *outputs: compiled(inputs, outputs)


@functools.cache
def _cpp_compiler() -> str | None:
    from torch._inductor import config

    wanted = config.cpp.cxx
    names = wanted if isinstance(wanted, list | tuple) else [wanted]
    return next((found for name in names if name and (found := shutil.which(name))), None)


def numba_kernel(name: str, *inputs: Any) -> Callable[..., None]:
    """The function of that name in `peers_numba`, applied to NumPy views of the tensors."""
    try:
        from benchmarks import peers_numba
    except ImportError as error:
        raise SkippedError(f"{error.name} is not installed") from None
    function = getattr(peers_numba, name)
    arrays = [x.numpy() if isinstance(x, torch.Tensor) else x for x in inputs]

    def run(*outputs: torch.Tensor) -> None:
        function(*arrays, *(output.numpy() for output in outputs))

    return run


def packed_linear(weight: torch.Tensor, rows: int) -> Callable[[torch.Tensor], torch.Tensor]:
    """x -> x @ weight.T by oneDNN, the weight (N x K) packed ahead for that many rows of x."""
    if not torch.backends.mkldnn.is_available():
        raise SkippedError("this torch has no oneDNN")
    try:
        packed = torch.ops.mkldnn._reorder_linear_weight(weight, rows)
    except (AttributeError, RuntimeError) as error:
        raise SkippedError(f"oneDNN cannot pack {weight.dtype}: {error}") from None
    linear = torch.ops.mkldnn._linear_pointwise
    return lambda x: linear(x, packed, None, "none", [], "")
