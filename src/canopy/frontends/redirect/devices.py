"""Devices: what "cuda" names here, how many there are, and what they say about themselves.

A place is a ``torch.device``: ``cpu``, or ``cuda`` with an index. The real memory is always the
host's.
"""

from __future__ import annotations

import functools
import os
import platform
import threading
from dataclasses import dataclass, field
from typing import Any

import torch

from canopy import config

__all__ = [
    "HOST",
    "DeviceFactory",
    "DeviceProperties",
    "RealDevice",
    "cuda_place",
    "current_index",
    "device_count",
    "device_name",
    "get_index",
    "properties",
    "resolve",
    "set_current",
]

RealDevice: type = torch.device
HOST = torch.device("cpu")
_PLACES = [torch.device("cuda", index) for index in range(config.MAX_DEVICES)]
_state = threading.local()


def device_count() -> int:
    """One device; under a launcher of several processes (torchrun), one for each local process."""
    return config.device_count()


def current_index() -> int:
    """The index of the calling thread's current device."""
    index: int = getattr(_state, "index", 0)
    return index


def set_current(index: int) -> None:
    """Makes ``index`` the calling thread's current device."""
    check_index(index)
    _state.index = index


def check_index(index: int) -> None:
    """Raises what CUDA raises for a device that is not there."""
    if not 0 <= index < device_count():
        raise RuntimeError(
            f"CUDA error: invalid device ordinal (device {index} was asked for, this process has "
            f"{device_count()}; CANOPY_DEVICE_COUNT sets how many)"
        )


def cuda_place(index: int | None = None) -> torch.device:
    """The place ``cuda:index``; without an index, of the current device."""
    if index is None:
        index = current_index()
    else:
        check_index(index)
    return _PLACES[index]


def resolve(device: Any) -> torch.device | None:
    """What a ``device=`` argument means as a place; None stays None."""
    if device is None:
        return None
    if isinstance(device, int):
        return cuda_place(device)
    if isinstance(device, str):
        device = RealDevice(device)
    if device.type == "cuda":
        return cuda_place(device.index)
    if device.type == "cpu":
        return HOST
    return device  # type: ignore[no-any-return]


def get_index(device: Any = None) -> int:
    """The CUDA index that ``device`` names (None, int, string or device)."""
    if device is None:
        return current_index()
    place = resolve(device)
    if place is None or place.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {device}")
    return int(place.index)


class _DeviceMeta(type):
    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        if args and type(args[0]) is int and len(args) == 1 and not kwargs:
            return RealDevice("cuda", args[0])
        return RealDevice(*args, **kwargs)

    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, RealDevice)

    def __subclasscheck__(cls, subclass: type) -> bool:
        return subclass is cls or issubclass(subclass, RealDevice)


class DeviceFactory(metaclass=_DeviceMeta):
    """Stands for ``torch.device``, whose ``torch.device(0)`` needs an accelerator in this build."""


DeviceFactory.__name__ = DeviceFactory.__qualname__ = "device"
DeviceFactory.__module__ = "torch"


@functools.lru_cache(1)
def _cpu_model() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                if line.startswith("model name"):
                    return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine() or "CPU"


def device_name() -> str:
    """The name ``torch.cuda.get_device_name`` gives; it says what really computes."""
    return f"Canopy CPU ({_cpu_model()})"


def total_memory_bytes() -> int:
    """The host's memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@dataclass(frozen=True)
class DeviceProperties:
    """The fields of CUDA's device properties that programs read. The limits are CUDA's for 8.0."""

    name: str
    major: int = 8
    minor: int = 0
    total_memory: int = 0
    multi_processor_count: int = 1
    warp_size: int = 32
    max_threads_per_block: int = 1024
    max_threads_per_multi_processor: int = 2048
    regs_per_multiprocessor: int = 65536
    shared_memory_per_block: int = 49152
    shared_memory_per_block_optin: int = 166912
    shared_memory_per_multiprocessor: int = 167936
    L2_cache_size: int = 32 << 20
    is_integrated: int = 1
    is_multi_gpu_board: int = 0
    clock_rate: int = 2_000_000
    memory_clock_rate: int = 2_000_000
    memory_bus_width: int = 128
    pci_bus_id: int = 0
    pci_device_id: int = 0
    pci_domain_id: int = 0
    gcnArchName: str = ""  # noqa: N815
    uuid: str = field(default="00000000-0000-0000-0000-000000000000")


@functools.lru_cache(1)
def properties() -> DeviceProperties:
    """The properties of every device here: the host's memory and cores under CUDA's names."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return DeviceProperties(
        name=device_name(), total_memory=total_memory_bytes(), multi_processor_count=cores or 1
    )
