"""Cooperative launches: all programs of the grid run at once, each on a thread of its own.

``kernel[grid](.., launch_cooperative_grid=True)`` promises that programs may wait for each other,
in both directions. The pool runs programs in ascending order on a few threads, where a program that
waits for a later one would wait for ever.

The arguments are packed by the native launcher, whose entry is here a function that has the native
runtime start the threads.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from canopy.errors import LaunchError

if TYPE_CHECKING:
    from canopy.frontends.triton.launcher import LoadedKernel

__all__ = ["make_cooperative"]

_MOST_PROGRAMS = 1024  # threads; a GPU's limit for such a grid is of the same order
_ENTRY = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    *(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p),
)

_TOGETHER = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    ctypes.c_uint64,
)


def make_cooperative(function: LoadedKernel, kinds: bytes) -> tuple[Any, Callable[..., None]]:
    """The native launcher that counts, and the function to launch ``function`` with."""
    from canopy.runtime.launch import make_launcher

    programs = _Programs(function)
    entry = _ENTRY(programs.run)
    address = ctypes.cast(entry, ctypes.c_void_p).value
    assert address is not None
    name = function.binary.name
    native = make_launcher(address, 0, kinds, name=name, keep=(function.keep, entry))

    def launch(grid_x: int, grid_y: int, grid_z: int, *values: Any) -> None:
        count = grid_x * grid_y * grid_z
        if count > _MOST_PROGRAMS:
            raise LaunchError(
                f"a cooperative launch of {name} with {count} programs",
                hint=f"at most {_MOST_PROGRAMS} programs run at once",
            )
        with programs.lock:
            programs.grid = (grid_x, grid_y, grid_z)
            native(1, 1, 1, *values)

    return native, launch


class _Programs:
    """The programs of one launch. ``lock`` is held from the choice of the grid to its end."""

    def __init__(self, function: LoadedKernel) -> None:
        from canopy.runtime.launch import symbols

        self.lock = threading.Lock()
        self.grid = (1, 1, 1)
        self._address = function.address
        self._scratch_bytes = function.binary.scratch_bytes
        self._run_together = _TOGETHER(symbols()["canopy_run_together"])

    def run(self, args: int, grid: int, block: int, first: int, last: int, scratch: int) -> int:
        """The entry that the native launcher calls once, with packed arguments."""
        extents = (ctypes.c_uint32 * 3)(*self.grid)
        return int(
            self._run_together(
                self._address, args, ctypes.addressof(extents), block, self._scratch_bytes
            )
        )
