"""Device, launch, memory and cache. Knows no IR.

What needs the native library is loaded on first use, so that the package can be imported (and the
library built) without it. ``launch()`` itself is taken from its module, ``canopy.runtime.launch``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from canopy.runtime.cache import DiskCache
    from canopy.runtime.events import Event
    from canopy.runtime.launch import (
        Launcher,
        launch_errors,
        make_launcher,
        pack_slots,
        symbols,
    )
    from canopy.runtime.pool import get_num_threads, set_num_threads, share_openmp_threads

__all__ = [
    "DiskCache",
    "Event",
    "Launcher",
    "get_num_threads",
    "launch_errors",
    "make_launcher",
    "pack_slots",
    "set_num_threads",
    "share_openmp_threads",
    "symbols",
]

_HOMES = {
    "DiskCache": "cache",
    "Event": "events",
    "get_num_threads": "pool",
    "set_num_threads": "pool",
    "share_openmp_threads": "pool",
    "Launcher": "launch",
    "launch_errors": "launch",
    "make_launcher": "launch",
    "pack_slots": "launch",
    "symbols": "launch",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'canopy.runtime' has no attribute {name!r}")
    value = getattr(import_module(f"canopy.runtime.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
