"""Mixed precision: autocast for "cuda" switches the host's autocast, and float16 products stay
fast.

On a host without float16 arithmetic a float16 matrix product takes hundreds of times longer than a
float32 one. There, products of float16 operands are computed in float32 and rounded to float16
once: what tensor cores do.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch.utils._pytree import tree_leaves

from canopy.frontends.redirect.patches import PatchSet
from canopy.runtime import trace

if TYPE_CHECKING:
    from canopy.frontends.redirect.tensors import CudaMode

__all__ = ["patch_autocast", "products_in_float32"]


def patch_autocast(patches: PatchSet) -> None:
    """Whatever is set or asked for "cuda" is also set for the host's autocast."""
    real_set_enabled, real_set_dtype = torch.set_autocast_enabled, torch.set_autocast_dtype
    real_available: Callable[[str], bool] = torch.amp.is_autocast_available

    def set_enabled(*args: Any) -> None:
        device, enabled = args if len(args) == 2 else ("cuda", args[0])
        real_set_enabled(device, enabled)
        if device == "cuda":
            real_set_enabled("cpu", enabled)
            trace.count("autocast regions", int(enabled))

    def set_dtype(device: str, dtype: torch.dtype) -> None:
        real_set_dtype(device, dtype)
        if device == "cuda" and dtype in (torch.float16, torch.bfloat16):
            real_set_dtype("cpu", dtype)

    def is_available(device_type: str) -> bool:
        return device_type == "cuda" or real_available(device_type)

    before = {
        device: (torch.is_autocast_enabled(device), torch.get_autocast_dtype(device))
        for device in ("cuda", "cpu")
    }

    def restore() -> None:
        for device, (enabled, dtype) in before.items():
            real_set_enabled(device, enabled)
            real_set_dtype(device, dtype)

    patches.on_undo(restore)
    patches.set(torch, "set_autocast_enabled", set_enabled)
    patches.set(torch, "set_autocast_dtype", set_dtype)
    patches.set(torch, "set_autocast_gpu_dtype", lambda dtype: set_dtype("cuda", dtype))
    patches.set(torch.amp, "is_autocast_available", is_available)
    patches.set(torch.amp.autocast_mode, "is_autocast_available", is_available)


def _has_fast_float16() -> bool:
    try:
        return bool(torch.ops.mkldnn._is_mkldnn_fp16_supported())
    except (AttributeError, RuntimeError):
        return False


def products_in_float32(mode: CudaMode) -> None:
    """Adds handlers for matrix products and convolutions of float16 operands."""
    if _has_fast_float16():
        return
    functions: list[Any] = [
        F.linear, F.bilinear, F.conv1d, F.conv2d, F.conv3d, F.conv_transpose1d,
        F.conv_transpose2d, F.conv_transpose3d, F.scaled_dot_product_attention,
        torch.einsum, torch.chain_matmul,
    ]  # fmt: skip
    for name in ("matmul", "mm", "bmm", "mv", "addmm", "baddbmm", "addmv", "addbmm", "__matmul__"):
        functions += [
            getattr(owner, name) for owner in (torch, torch.Tensor) if hasattr(owner, name)
        ]

    def handle(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if not _computes_in_float16(args):
            return mode.propagate(func, args, kwargs)
        trace.record_fallback(
            trace.caller_location(),
            "float16 products are computed in float32 and rounded to float16 once: this CPU has no "
            "float16 arithmetic",
            "torch.bfloat16 is faster here",
        )
        with torch.autocast("cpu", enabled=False):
            out = kwargs.pop("out", None)
            result = func(*_widen(args), **_widen(kwargs)).to(torch.float16)
        if out is not None:
            return out.copy_(result)
        return mode.propagate(lambda *a, **k: result, args, kwargs)

    for function in functions:
        mode.handlers[function] = handle


def _computes_in_float16(args: tuple[Any, ...]) -> bool:
    """Whether the product would be one of float16 operands; torch judges mixed dtypes itself."""
    # autocast would round float32 operands to float16
    autocast = torch.is_autocast_enabled("cpu") and torch.get_autocast_dtype("cpu") is torch.float16
    first = args[0] if args else None
    if not autocast and isinstance(first, torch.Tensor) and first.dtype is not torch.float16:
        return False
    dtypes = {leaf.dtype for leaf in tree_leaves(args) if isinstance(leaf, torch.Tensor)}
    dtypes = {dtype for dtype in dtypes if dtype.is_floating_point}
    if autocast:
        return bool(dtypes) and dtypes <= {torch.float16, torch.bfloat16, torch.float32}
    return dtypes == {torch.float16}


def _widen(value: Any) -> Any:
    """float16-rounded values in float32, as autocast and the product would see them."""
    if isinstance(value, torch.Tensor):
        if value.dtype is torch.float16:
            return value.float()
        return value.half().float() if value.dtype in (torch.float32, torch.bfloat16) else value
    if isinstance(value, list | tuple):
        return type(value)(_widen(part) for part in value)
    if isinstance(value, dict):
        return {key: _widen(part) for key, part in value.items()}
    return value
