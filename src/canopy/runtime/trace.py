"""What happened in this process, for the reports: kernels, fallbacks and counts of redirected
calls.

Standard library only, so that every layer may record here. All functions are safe to call from any
thread.

    record_kernel("softmax_kernel", launches=1, run_s=0.0002)
    record_fallback(caller_location(), "torch.compile runs the model eagerly", "nothing to do")
    snapshot() -> {"kernels": [...], "fallbacks": [...], "counts": {...}}

Where counting elsewhere is cheaper (in the native launcher), ``add_collector`` names a function
that brings the counts here before a snapshot.
"""

from __future__ import annotations

import os
import sys
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Any

from canopy.errors import UNKNOWN_LOCATION, Location

__all__ = [
    "FallbackRecord",
    "KernelRecord",
    "add_collector",
    "caller_location",
    "count",
    "record_fallback",
    "record_kernel",
    "reset",
    "snapshot",
]

_PACKAGE = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_LIBRARIES = tuple(f"{os.sep}site-packages{os.sep}{name}{os.sep}" for name in ("torch", "triton"))


@dataclass
class KernelRecord:
    """One kernel's totals; times in seconds."""

    name: str
    compile_s: float = 0.0
    launches: int = 0
    run_s: float = 0.0
    cache_hits: int = 0
    location: str = ""


@dataclass(frozen=True)
class FallbackRecord:
    """Something that ran in another way than the program asked for."""

    location: str
    fact: str
    hint: str


_lock = threading.Lock()
_kernels: dict[str, KernelRecord] = {}
_fallbacks: dict[tuple[str, str], FallbackRecord] = {}
_counts: Counter[str] = Counter()
_collectors: list[Callable[[], None]] = []


def record_kernel(
    name: str,
    *,
    compile_s: float = 0.0,
    launches: int = 0,
    run_s: float = 0.0,
    cache_hits: int = 0,
    location: Location = UNKNOWN_LOCATION,
) -> None:
    """Adds to the totals of the kernel ``name``."""
    with _lock:
        record = _kernels.setdefault(name, KernelRecord(name))
        record.compile_s += compile_s
        record.launches += launches
        record.run_s += run_s
        record.cache_hits += cache_hits
        if location.file:
            record.location = str(location)


def record_fallback(location: Location, fact: str, hint: str = "") -> None:
    """Records a fallback or a change of precision; the same fact at the same place counts once."""
    place = str(location)
    with _lock:
        _fallbacks.setdefault((place, fact), FallbackRecord(place, fact, hint))


def count(what: str, number: int = 1) -> None:
    """Counts redirected calls of one kind."""
    _counts[what] += number


def add_collector(collect: Callable[[], None]) -> None:
    """Has ``collect`` called before every snapshot, to record what was counted elsewhere."""
    if collect not in _collectors:
        _collectors.append(collect)


def snapshot() -> dict[str, Any]:
    """All records as plain data, ready for JSON."""
    for collect in _collectors:
        collect()
    with _lock:
        return {
            "counts": dict(_counts),
            "kernels": [asdict(record) for record in _kernels.values()],
            "fallbacks": [asdict(record) for record in _fallbacks.values()],
        }


def reset() -> None:
    """Forgets everything recorded so far."""
    for collect in _collectors:
        collect()
    with _lock:
        _kernels.clear()
        _fallbacks.clear()
        _counts.clear()


def caller_location() -> Location:
    """The innermost frame that belongs neither to Canopy nor to torch nor to triton."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None:
        if _is_users(frame.f_code.co_filename):
            return Location(frame.f_code.co_filename, frame.f_lineno)
        frame = frame.f_back
    return UNKNOWN_LOCATION


def _is_users(filename: str) -> bool:
    if filename.startswith((_PACKAGE, "<frozen")) or filename.endswith(f"{os.sep}contextlib.py"):
        return False
    return not any(library in filename for library in _LIBRARIES)
