"""Cooperative launches: all programs of the grid run at once, each on a thread of its own.

``kernel[grid](.., launch_cooperative_grid=True)`` promises that programs may wait for each other,
in both directions. The pool runs programs in ascending order on a few threads, where a program that
waits for a later one would wait for ever.

The arguments are packed by the native launcher, whose entry is here a function that starts the
threads.
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
_ALIGNMENT = 64
_ENTRY = ctypes.CFUNCTYPE(
    ctypes.c_int32,
    *(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
    *(ctypes.c_uint64, ctypes.c_uint64, ctypes.c_void_p),
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
        self._entry = _ENTRY(function.address)
        self._scratch_bytes = function.binary.scratch_bytes
        known = symbols()
        self._message = ctypes.CFUNCTYPE(ctypes.c_char_p)(known["canopy_message"])
        self._report = ctypes.CFUNCTYPE(None, ctypes.c_char_p)(known["canopy_report"])

    def run(self, args: int, grid: int, block: int, first: int, last: int, scratch: int) -> int:
        """The entry that the native launcher calls once, with packed arguments."""
        count = self.grid[0] * self.grid[1] * self.grid[2]
        failures: list[tuple[int, bytes]] = []
        ready = threading.Barrier(count)  # programs that wait spin, and would slow down the starts
        threads = [
            threading.Thread(target=self._program, args=(args, block, index, ready, failures))
            for index in range(count)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if not failures:
            return 0
        status, message = failures[0]
        self._report(message)
        return status

    def _program(
        self,
        args: int,
        block: int,
        index: int,
        ready: threading.Barrier,
        failures: list[tuple[int, bytes]],
    ) -> None:
        extents = (ctypes.c_uint32 * 3)(*self.grid)
        memory = ctypes.create_string_buffer(self._scratch_bytes + _ALIGNMENT)
        start = ctypes.addressof(memory)
        aligned = start + -start % _ALIGNMENT
        ready.wait()
        status = self._entry(args, ctypes.addressof(extents), block, index, index + 1, aligned)
        if status:
            failures.append((status, self._message() or b""))
