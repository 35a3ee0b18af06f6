"""Memory that tensors leave behind is kept and used again.

An output above 32 MB is, with the C library's own allocator, a fresh mapping at every call: most of
the time of a memory-bound operation is then page faults. ``keep_tensor_memory()`` makes torch's CPU
tensors of 1 MiB and more come from the native allocator (``native/allocator.h``), which keeps freed
blocks up to a limit, in huge pages where the system has them.
"""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from canopy import config
from canopy.errors import MissingDependencyError

__all__ = [
    "MemoryFigures",
    "give_back",
    "keep_tensor_memory",
    "kept_limit_bytes",
    "memory_figures",
    "reset_peaks",
    "stop_keeping",
]

_TORCH_ALLOCATOR = "libc10.so"  # the library of torch that allocates and frees CPU tensors
_KEPT_SHARE = 4  # a quarter of the memory that this process may use
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


@dataclass(frozen=True, slots=True)
class MemoryFigures:
    """Blocks of 1 MiB and more since the process began; sizes as rounded up (an eighth at most)."""

    used_bytes: int
    kept_bytes: int
    peak_used_bytes: int
    peak_held_bytes: int
    reused: int
    mapped: int


@functools.lru_cache(1)
def _native() -> Any:
    """The native runtime; None where there is none for this machine: nothing is kept there."""
    try:
        from canopy.runtime.native_library import native
    except MissingDependencyError:
        return None
    return native


def _usable_bytes() -> int:
    """The machine's memory, or the control group's limit where that is less."""
    usable = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in _CGROUP_LIMITS:
        try:
            text = path.read_text(encoding="ascii").strip()
        except OSError:
            continue
        if text.isdecimal():
            usable = min(usable, int(text))
    return usable


def kept_limit_bytes() -> int:
    """How much freed memory is kept: CANOPY_KEPT_MIB, else a quarter of what there is."""
    mebibytes = config.kept_mib()
    return _usable_bytes() // _KEPT_SHARE if mebibytes is None else mebibytes << 20


def keep_tensor_memory() -> bool:
    """From now on the memory of torch's CPU tensors is kept and reused. torch must be imported.

    False where it is not: CANOPY_KEPT_MIB is 0, this torch allocates in another way (not through
    glibc), or there is no native runtime for this machine.
    """
    limit, native = kept_limit_bytes(), _native()
    if limit == 0 or native is None:
        return False
    native.alloc_limit(limit)
    return bool(native.keep_memory(_TORCH_ALLOCATOR))


def stop_keeping() -> None:
    """New tensors get memory from the C library again, and what was kept goes back."""
    if native := _native():
        native.stop_keeping_memory()
        native.alloc_trim()


def give_back() -> None:
    """Returns all kept memory to the system."""
    if native := _native():
        native.alloc_trim()


def reset_peaks() -> None:
    """Both peaks become what is held now."""
    if native := _native():
        native.alloc_reset_peak()


def memory_figures() -> MemoryFigures:
    """The figures of this moment."""
    native = _native()
    if native is None:
        return MemoryFigures(0, 0, 0, 0, 0, 0)
    stats = native.alloc_stats()
    return MemoryFigures(
        used_bytes=stats["used_bytes"],
        kept_bytes=stats["cached_bytes"],
        peak_used_bytes=stats["peak_bytes"],
        peak_held_bytes=stats["peak_held_bytes"],
        reused=stats["hits"],
        mapped=stats["misses"],
    )
