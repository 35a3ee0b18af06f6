"""Streams and events: work runs in order and at once, so a stream is a name and an event is a time.

A Triton driver whose launches run behind the caller's back registers a function with
``on_synchronize``; it is called before an event takes its time and wherever CUDA would wait.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from typing import Any

import torch

from canopy.frontends.redirect.devices import cuda_place, current_index, get_index, set_current
from canopy.runtime import trace

__all__ = [
    "DeviceContext",
    "Event",
    "ExternalStream",
    "Stream",
    "StreamContext",
    "current_stream",
    "default_stream",
    "on_synchronize",
    "set_stream",
    "stream_context",
    "synchronize",
]

_numbers = itertools.count(1)
_current = threading.local()
_waiters: list[Callable[[], None]] = []


def on_synchronize(wait: Callable[[], None]) -> None:
    """Registers what must have finished when the program synchronizes."""
    if wait not in _waiters:
        _waiters.append(wait)


def _wait() -> None:
    for wait in _waiters:
        wait()


def synchronize(device: Any = None) -> None:
    """Waits for all launches."""
    if device is not None:
        get_index(device)
    trace.count("synchronizations")
    _wait()


class Stream:
    """A queue of work that is always empty when the program looks."""

    _number = 0

    def __init__(self, device: Any = None, priority: int = 0, **kwargs: Any) -> None:
        self.device = cuda_place(get_index(device))
        self.priority = priority
        self._number = kwargs.get("stream_id") or next(_numbers)
        trace.count("streams")

    @classmethod
    def _default(cls, index: int) -> Stream:
        stream = cls.__new__(cls)
        stream.device, stream.priority, stream._number = cuda_place(index), 0, 0
        return stream

    @classmethod
    def priority_range(cls) -> tuple[int, int]:
        return (0, -5)

    @property
    def cuda_stream(self) -> int:
        return self._number

    @property
    def stream_id(self) -> int:
        return self._number

    @property
    def device_index(self) -> int:
        return int(self.device.index)

    @property
    def device_type(self) -> int:
        return 1

    @property
    def native_handle(self) -> int:
        return self._number

    @property
    def _as_parameter_(self) -> Any:
        import ctypes

        return ctypes.c_void_p(self._number)

    def __cuda_stream__(self) -> tuple[int, int]:
        return (0, self._number)

    def synchronize(self) -> None:
        synchronize()

    def query(self) -> bool:
        _wait()
        return True

    def wait_event(self, event: Any) -> None:
        _wait()

    def wait_stream(self, stream: Any) -> None:
        _wait()

    def record_event(self, event: Any = None) -> Any:
        event = event or Event()
        event.record(self)
        return event

    def is_capturing(self) -> bool:
        from canopy.frontends.redirect import graphs

        return graphs.is_capturing()

    def __enter__(self) -> Stream:
        _stack().append(_swap(self))
        return self

    def __exit__(self, *error: object) -> None:
        _swap(_stack().pop())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Stream):
            return False
        return (self._number, self.device) == (other._number, other.device)

    def __hash__(self) -> int:
        return hash((self._number, self.device))

    def __repr__(self) -> str:
        return f"<torch.cuda.Stream device={self.device} cuda_stream={self._number:#x}>"


class ExternalStream(Stream):
    """A stream that someone else made."""

    def __init__(self, stream_ptr: int, device: Any = None, **kwargs: Any) -> None:
        super().__init__(device, stream_id=stream_ptr)


def _stack() -> list[Stream]:
    if not hasattr(_current, "stack"):
        _current.stack = []
    stack: list[Stream] = _current.stack
    return stack


def _swap(stream: Stream) -> Stream:
    before = current_stream()
    _current.stream = stream
    return before


def current_stream(device: Any = None) -> Stream:
    """The calling thread's current stream."""
    stream: Stream | None = getattr(_current, "stream", None)
    return stream if stream is not None else Stream._default(get_index(device))


def default_stream(device: Any = None) -> Stream:
    """Stream 0 of the device."""
    return Stream._default(get_index(device))


def set_stream(stream: Stream | None) -> None:
    """Makes ``stream`` the calling thread's current one."""
    if stream is not None:
        _current.stream = stream


class StreamContext:
    """``with torch.cuda.stream(s):``; None changes nothing."""

    def __init__(self, stream: Stream | None) -> None:
        self.stream = stream

    def __enter__(self) -> None:
        if self.stream is not None:
            self._before = _swap(self.stream)

    def __exit__(self, *error: object) -> None:
        if self.stream is not None:
            _swap(self._before)


def stream_context(stream: Stream | None) -> StreamContext:
    """What ``torch.cuda.stream`` is."""
    return StreamContext(stream)


class Event:
    """A point in time, taken when all launches before it have finished."""

    def __init__(
        self,
        device: Any = None,
        enable_timing: bool = False,
        blocking: bool = False,
        interprocess: bool = False,
        external: bool = False,
    ) -> None:
        if isinstance(device, bool):
            device, enable_timing = None, device
        self.device = cuda_place(get_index(device)) if device is not None else cuda_place()
        self.enable_timing = enable_timing
        self._time_s: float | None = None
        trace.count("events")

    @property
    def cuda_event(self) -> int:
        return id(self)

    @property
    def event_id(self) -> int:
        return id(self)

    def record(self, stream: Any = None) -> None:
        _wait()
        self._time_s = time.perf_counter()

    def wait(self, stream: Any = None) -> None:
        _wait()

    def query(self) -> bool:
        return True

    def synchronize(self) -> None:
        _wait()

    def elapsed_time(self, end_event: Event) -> float:
        """Milliseconds between the two records."""
        if not (self.enable_timing and end_event.enable_timing):
            raise ValueError("Both events must be created with argument 'enable_timing=True'.")
        if self._time_s is None or end_event._time_s is None:
            raise ValueError("Both events must be recorded before calculating elapsed time.")
        return (end_event._time_s - self._time_s) * 1e3

    def ipc_handle(self) -> bytes:
        raise RuntimeError("CUDA error: events cannot be shared between processes here")

    def __repr__(self) -> str:
        return f"<torch.cuda.Event {'uninitialized' if self._time_s is None else 'recorded'}>"


class DeviceContext:
    """``with torch.cuda.device(i):``"""

    def __init__(self, device: Any) -> None:
        negative = isinstance(device, int) and device < 0
        self.idx = -1 if device is None or negative else get_index(device)
        self.prev_idx = -1

    def __enter__(self) -> None:
        self.prev_idx = current_index()
        if self.idx >= 0:
            set_current(self.idx)

    def __exit__(self, *error: object) -> None:
        set_current(self.prev_idx)


class DeviceOf(DeviceContext):
    """``with torch.cuda.device_of(tensor):``"""

    def __init__(self, obj: Any) -> None:
        super().__init__(obj.get_device() if obj.is_cuda else -1)


class GenericStream(Stream):
    """``torch.Stream(device="cuda")``."""

    def __init__(self, device: Any = None, *, priority: int = 0, **kwargs: Any) -> None:
        super().__init__(torch.device("cuda") if device is None else device, priority)
