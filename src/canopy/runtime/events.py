"""Events on the synchronous stream: a launch has finished when it returns."""

from __future__ import annotations

from canopy.errors import LaunchError
from canopy.runtime.native_library import native

__all__ = ["Event"]


class Event:
    """A point in time, as CUDA events mark it."""

    def __init__(self) -> None:
        self._time_ns = 0

    def record(self) -> None:
        """Marks now; recording again moves the mark."""
        self._time_ns = native.event_record()

    def query(self) -> bool:
        """Whether all work before the mark is done: always, since launches are synchronous."""
        return True

    def synchronize(self) -> None:
        """Waits for the work before the mark."""

    def elapsed_ms(self, end: Event) -> float:
        """Milliseconds from this event to ``end``; LaunchError where one was not recorded."""
        if not self._time_ns or not end._time_ns:
            raise LaunchError("an event was not recorded", hint="call record() on both first")
        return native.event_elapsed(self._time_ns, end._time_ns)
