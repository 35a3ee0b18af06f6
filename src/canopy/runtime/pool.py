"""The thread pool that runs the programs of a grid.

Its size comes from ``CANOPY_NUM_THREADS``; else it is the number of CPUs that this process may use
(scheduling affinity, bounded by the cgroup's quota).
"""

from __future__ import annotations

from canopy.errors import LaunchError
from canopy.runtime.native_library import native

__all__ = ["get_num_threads", "set_num_threads", "share_openmp_threads"]


def get_num_threads() -> int:
    """The number of threads that a launch uses, the calling one included."""
    return native.get_num_threads()


def set_num_threads(count: int) -> None:
    """Changes the number of threads from the next launch on; LaunchError outside 1..1024."""
    try:
        native.set_num_threads(count)
    except ValueError as error:
        raise LaunchError(str(error), hint="1 runs every launch on the calling thread") from None


def share_openmp_threads(wanted: bool) -> bool:
    """Lets torch's OpenMP threads run launches instead of workers of our own; returns whether so.

    Faster for small launches between torch operations on a machine that is otherwise idle, and
    slower by far on a loaded one: an OpenMP team waits for each of its members. Off by default.
    """
    return native.share_openmp(wanted)
