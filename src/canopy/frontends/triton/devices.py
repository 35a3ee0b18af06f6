"""What Triton and its benchmarking ask of a device, for the CPU."""

from __future__ import annotations

import contextlib
import functools
import os
import time
from collections.abc import Iterator
from typing import Any

from canopy.frontends.triton.launcher import LoadedKernel, load_binary

__all__ = ["CpuInterface", "CpuUtils"]

_MANY = 1 << 20


class Event:
    """A point in time. Launches have finished when they return, so there is nothing to wait for."""

    def __init__(self, enable_timing: bool = False, **_: Any) -> None:
        self._time_ns = 0

    def record(self, stream: Any = None) -> None:
        self._time_ns = time.perf_counter_ns()

    def synchronize(self) -> None:
        """Everything before the mark is done."""

    def wait(self, stream: Any = None) -> None:
        """Everything before the mark is done."""

    def query(self) -> bool:
        return True

    def elapsed_time(self, end: Event) -> float:
        """Milliseconds from this event to ``end``; never quite zero."""
        return max(end._time_ns - self._time_ns, 1) / 1e6


class Stream:
    """The one stream, on which everything is done at once."""

    cuda_stream = 0

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def synchronize(self) -> None:
        """Everything is done."""

    def wait_stream(self, stream: Any) -> None:
        """Everything is done."""

    def wait_event(self, event: Event) -> None:
        """Everything is done."""

    def record_event(self, event: Event | None = None) -> Event:
        event = event or Event()
        event.record()
        return event


class CpuInterface:
    """The part of ``torch.cuda`` that `triton.testing` uses."""

    Event = Event
    Stream = Stream

    @staticmethod
    def synchronize(device: Any = None) -> None:
        """Launches have finished when they return."""

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def set_device(device: Any) -> None:
        """There is one device."""

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def current_stream(device: Any = None) -> Any:
        return Stream()

    default_stream = current_stream

    @staticmethod
    @contextlib.contextmanager
    def stream(stream: Any) -> Iterator[Any]:
        yield stream


class CpuUtils:
    """What Triton loads kernels with, and asks about the device."""

    @staticmethod
    def load_binary(
        name: str, data: bytes, shared: int, device: int
    ) -> tuple[LoadedKernel, LoadedKernel, int, int, int]:
        """(module, function, registers per thread, spills, most threads); figures are nominal."""
        loaded = load_binary(name, data)
        return loaded, loaded, 32, 0, _MANY

    @staticmethod
    def unload_module(module: LoadedKernel) -> None:
        """The code lives as long as a launcher holds it."""

    @staticmethod
    def set_printf_fifo_size(size_bytes: int) -> None:
        """Prints are written at once."""

    @staticmethod
    @functools.lru_cache(maxsize=8)
    def get_device_properties(device: Any = 0) -> dict[str, int]:
        """The cores; the rest are nominal figures that kernels size their grids by."""
        return {
            "max_shared_mem": 1 << 20,
            "max_num_regs": 65536,
            "multiprocessor_count": len(os.sched_getaffinity(0)),
            "warpSize": 1,
            "sm_clock_rate": 1_000_000,
            "mem_clock_rate": 1_000_000,
            "mem_bus_width": 128,
        }
