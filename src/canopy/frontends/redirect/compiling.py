"""``torch.compile``: runs the function or module eagerly, and says so once per place."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

from canopy.frontends.redirect.patches import PatchSet
from canopy.runtime import trace

__all__ = ["OptimizedModule", "patch_compile"]

_GPU_BACKENDS = (None, "inductor", "cudagraphs", "tensorrt", "torch_tensorrt")


class OptimizedModule(torch.nn.Module):
    """What ``torch.compile(module)`` returns: the module under ``_orig_mod``, run eagerly."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self._orig_mod = module
        self.training = module.training

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self._orig_mod(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        if name == "_orig_mod":
            return self._modules["_orig_mod"]
        return getattr(self._orig_mod, name)


def _say() -> None:
    trace.count("torch.compile calls")
    trace.record_fallback(
        trace.caller_location(),
        "torch.compile runs eagerly on this target",
        "nothing to change; results are the same",
    )


def patch_compile(patches: PatchSet) -> None:
    """Replaces ``torch.compile`` and ``nn.Module.compile`` for GPU backends."""
    real: Callable[..., Any] = torch.compile

    def compile(model: Any = None, **options: Any) -> Any:
        if options.get("backend") not in _GPU_BACKENDS or options.get("disable"):
            return real(model, **options)
        if model is None:
            return functools.partial(compile, **options)
        _say()
        return OptimizedModule(model) if isinstance(model, torch.nn.Module) else model

    def compile_module(self: torch.nn.Module, *args: Any, **options: Any) -> None:
        _say()

    patches.set(torch, "compile", compile)
    patches.set(torch.nn.Module, "compile", compile_module)
