"""One redirect from begin to end: the mode and all patches, counted for nesting.

with cuda_as("cpu"):
    x = torch.ones(3, device="cuda")     # host memory; x.is_cuda is True
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from canopy.errors import UNKNOWN_LOCATION, MissingDependencyError, UnsupportedError

__all__ = ["TARGETS", "begin", "cuda_as", "end", "is_active"]

TARGETS = ("cpu", "ascend-sim")
_lock = threading.RLock()
_depth = 0
_session: _Session | None = None


class _Session:
    """The patches of this process while at least one redirect is open."""

    def __init__(self, target: str) -> None:
        _import_torch()
        from canopy.frontends.redirect import (
            amp,
            compiling,
            cuda_module,
            distributed,
            extensions,
            operators,
            optimizers,
            processes,
            serialization,
            tensors,
        )
        from canopy.frontends.redirect.patches import PatchSet, PristineImports

        self.target = target
        self.patches = PatchSet()
        self.mode: Any = tensors.CudaMode()
        try:
            amp.products_in_float32(self.mode)
            tensors.patch_autograd(self.patches, self.mode)
            cuda_module.patch_cuda(self.patches)
            amp.patch_autocast(self.patches)
            serialization.patch_serialization(self.patches)
            distributed.patch_distributed(self.patches)
            compiling.patch_compile(self.patches)
            extensions.patch_extensions(self.patches)
            operators.patch_library(self.patches, self.mode)
            optimizers.patch_optimizers(self.patches)
            processes.patch_processes(self.patches, self.mode, target)
            _select_triton(self.patches)
            _keep_memory(self.patches)
            PristineImports(self.patches).install()
        except BaseException:
            self.patches.undo()
            raise

    def close(self) -> None:
        self.patches.undo()


def _import_torch() -> Any:
    try:
        import torch
    except ImportError as error:
        raise MissingDependencyError(
            "torch is not installed", hint="pip install canopy-nn[torch]"
        ) from error
    return torch


def _select_triton(patches: Any) -> None:
    """Makes Triton choose the cpu backend, whether or not it has been imported yet."""
    patches.set_item(os.environ, "TRITON_DEFAULT_BACKEND", "cpu")
    driver_module = sys.modules.get("triton.runtime.driver")
    if driver_module is None:
        return
    config: Any = driver_module.driver
    backend = getattr(sys.modules.get("triton.backends"), "backends", {}).get("cpu")
    before = config._active
    patches.on_undo(lambda: setattr(config, "_active", before))
    if backend is not None:
        config.set_active(backend.driver())


def _keep_memory(patches: Any) -> None:
    """Has freed tensors' memory kept until the redirect ends; reported where that cannot be."""
    from canopy import config
    from canopy.runtime import memory, trace

    if memory.keep_tensor_memory():
        patches.on_undo(memory.stop_keeping)
    elif config.kept_mib() != 0:
        trace.record_fallback(
            UNKNOWN_LOCATION,
            "memory of freed tensors is not kept: torch does not allocate through glibc here",
            "results are the same; large outputs may take longer",
        )


def is_active() -> bool:
    """Whether a redirect is open in this process."""
    return _depth > 0


def begin(target: str = "cpu") -> bool:
    """Opens the redirect in this process and thread; the answer is for the matching ``end``."""
    global _depth, _session
    if target not in TARGETS:
        raise UnsupportedError(
            f"there is no target {target!r}", hint=f"targets: {', '.join(TARGETS)}"
        )
    with _lock:
        if _session is None:
            _session = _Session(target)
        _depth += 1
        entered = not _session.mode.is_entered()
        if entered:
            _session.mode.__enter__()
        return entered


def end(entered: bool) -> None:
    """Closes what the matching ``begin`` opened; the last one undoes every patch."""
    global _depth, _session
    with _lock:
        if _session is None:
            raise RuntimeError("end() without begin()")
        if entered:
            _session.mode.__exit__(None, None, None)
        _depth -= 1
        if _depth == 0:
            session, _session = _session, None
            session.close()


@contextmanager
def cuda_as(target: str = "cpu") -> Iterator[None]:
    """Inside, what a program does with CUDA happens on ``target``. Nests; ends without a trace.

    Raises UnsupportedError for an unknown target, MissingDependencyError without torch.
    """
    entered = begin(target)
    try:
        yield
    finally:
        end(entered)
