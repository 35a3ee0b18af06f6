"""The plug-in driver through which Triton launches kernels on the CPU.

Triton looks for exactly one concrete driver class in this module.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

from triton.backends.compiler import GPUTarget
from triton.backends.driver import DriverBase

from canopy import config
from canopy.frontends.triton.devices import CpuInterface, CpuUtils
from canopy.frontends.triton.launcher import make_launcher

__all__ = ["CpuDriver"]

_CPP_TYPES = {
    "i1": "bool",
    "u1": "bool",
    **{f"i{bits}": f"int{bits}_t" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}_t" for bits in (8, 16, 32, 64)},
    "fp16": "_Float16",
    "bf16": "__bf16",
    "fp32": "float",
    "f32": "float",
    "fp64": "double",
    "f64": "double",
}
_CLEARED_BYTES = 8 * 1024 * 1024  # more than the level-2 caches of the cores that run a kernel

_asking = False


class CpuDriver(DriverBase):  # type: ignore[misc, unused-ignore]
    """One device: the CPU that this process runs on."""

    def __init__(self) -> None:
        from canopy.frontends.triton import assembly, cache, explain, grids, tuning

        super().__init__()
        assembly.install()
        cache.install()
        explain.install()
        tuning.install()
        grids.install()
        self.utils = CpuUtils()
        self.launcher_cls = make_launcher

    @classmethod
    def is_active(cls) -> bool:
        """Whether Triton should use the CPU: it was asked for, or there is nothing else."""
        selected = os.environ.get("TRITON_DEFAULT_BACKEND")
        if selected:
            return selected == "cpu"
        return (
            os.environ.get("CANOPY_TARGET") in {"cpu", "ascend-sim"} or not cls._another_is_active()
        )

    @classmethod
    def _another_is_active(cls) -> bool:
        global _asking
        if _asking:  # another driver asks back: it goes first
            return True
        from triton.backends import backends

        _asking = True
        try:
            drivers = [backend.driver for backend in backends.values()]
            return any(d.is_active() for d in drivers if not issubclass(d, cls))
        finally:
            _asking = False

    def get_current_target(self) -> GPUTarget:
        return GPUTarget("cpu", _cpu_name(), 1)

    def get_current_device(self) -> int:
        return 0

    def set_current_device(self, device: Any) -> None:
        """There is one device."""

    def get_current_stream(self, device: Any = 0) -> int:
        return 0

    def get_device_capability(self, device: Any = 0) -> tuple[int, int]:
        return (0, 0)

    def get_active_torch_device(self) -> Any:
        import torch

        return torch.device("cpu")

    def get_device_interface(self) -> type[CpuInterface]:
        return CpuInterface

    def get_benchmarker(self) -> Callable[..., Any]:
        from triton.testing import do_bench

        if config.interpret() or config.simulates():
            return _first_is_best
        return do_bench  # type: ignore[no-any-return]

    def get_empty_cache_for_benchmark(self) -> Any:
        import torch

        return torch.empty(_CLEARED_BYTES // 4, dtype=torch.int32)

    def clear_cache(self, cache: Any) -> None:
        """Writes over a buffer, so that the inputs are no longer in the near caches."""
        cache.zero_()

    def map_python_to_cpp_type(self, ty: str) -> str:
        return "void*" if ty.startswith("*") else _CPP_TYPES[ty]

    def assemble_tensormap_to_arg(self, tensormaps_info: Any, args: Any) -> Any:
        return args


def _first_is_best(
    kernel_call: Callable[[], None], *, quantiles: list[float] | None = None, **_: Any
) -> Any:
    """Autotuning in the interpreter: its times mean nothing, so the first configuration wins."""
    return [0.0] * len(quantiles) if quantiles else 0.0


@functools.lru_cache(maxsize=1)
def _cpu_name() -> str:
    from llvmlite import binding

    return str(binding.get_host_cpu_name())
