"""Launching a kernel entry whose arguments are already packed.

The Triton front-end calls a native ``Launcher`` (``make_launcher``), which packs Python objects;
everything else packs its own slots and comes through ``launch``. The entry's contract is in
``native/entry.h``.
"""

from __future__ import annotations

import ctypes
import operator
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from canopy.errors import CanopyError, KernelError, LaunchError
from canopy.runtime.native_library import native

__all__ = [
    "KernelFailure",
    "Launcher",
    "explain",
    "launch",
    "launch_errors",
    "make_launcher",
    "pack_slots",
    "symbols",
]

KernelFailure = native.KernelFailure
Launcher = native.Launcher
make_launcher = native.make_launcher
symbols = native.symbols


def explain(error: Exception, kernel: str = "") -> CanopyError:
    """The LaunchError or KernelError for what a launcher raised.

    For a hot path: ``except (KernelFailure, TypeError, ValueError) as error: raise explain(error)``
    costs nothing while nothing is raised.
    """
    if isinstance(error, KernelFailure):
        return KernelError(str(error))
    return LaunchError(f"{kernel}: {error}" if kernel else str(error))


@contextmanager
def launch_errors(kernel: str = "") -> Iterator[None]:
    """Turns what the native part raises into LaunchError and KernelError, naming the kernel."""
    try:
        yield
    except (KernelFailure, TypeError, ValueError) as error:
        raise explain(error, kernel) from None


def pack_slots(*values: float, kinds: str | None = None, may_alias: bool = True) -> bytes:
    """Packs one 8-byte slot per value, then the may_alias slot, as ``native/entry.h`` wants them.

    ``kinds`` has a character per value: ``P`` for an address, ``i`` for an integer or a bool, and
    for a float of the parameter's own width ``e`` (f16), ``y`` (bf16), ``f`` (f32) or ``d`` (f64),
    whose bits lie low in the slot. Without it all values are addresses and integers.
    """
    chosen = "i" * len(values) if kinds is None else kinds
    if len(chosen) != len(values):
        raise LaunchError(f"{len(values)} values are packed as {len(chosen)} kinds, {kinds!r}")
    slots = b"".join(map(_pack_slot, values, chosen))
    return slots + struct.pack("<Q", may_alias)


def _pack_slot(value: Any, kind: str) -> bytes:
    try:
        if kind in {"P", "i"}:
            whole = operator.index(value)
            return struct.pack("<Q" if whole >= 0 else "<q", whole)
        if kind in {"e", "d", "f"}:
            return struct.pack(f"<{kind}", value).ljust(8, b"\0")
        if kind == "y":
            return struct.pack("<Q", _bfloat16_bits(value))
    except (struct.error, OverflowError, TypeError) as error:
        hint = "" if kind != "i" else "floats need their kind: e, y, f or d"
        raise LaunchError(f"{value!r} does not fit the kind {kind!r}: {error}", hint=hint) from None
    raise LaunchError(f"there is no kind {kind!r}", hint="kinds: P, i, e, y, f, d")


def _bfloat16_bits(value: float) -> int:
    """Rounded to nearest even, as the native launcher does."""
    bits = int.from_bytes(struct.pack("<f", value), "little")
    if value != value:
        return bits >> 16 | 0x40
    return (bits + 0x7FFF + (bits >> 16 & 1)) >> 16


def _three(extents: Sequence[int], what: str) -> tuple[int, int, int]:
    if not 1 <= len(extents) <= 3:
        raise LaunchError(f"a {what} has 1 to 3 axes, this one has {len(extents)}")
    x, y, z = (*extents, 1, 1)[:3]
    return x, y, z


def launch(
    entry_address: int,
    grid: Sequence[int],
    args: bytes | ctypes.Array[ctypes.c_uint64] | ctypes.Structure,
    scratch_bytes: int = 0,
    *,
    block: Sequence[int] = (1, 1, 1),
    max_chunk: int = 0,
) -> None:
    """Runs every program of the grid, on the pool, and returns when all are done.

    ``args`` holds the 8-byte slots; what they point to must stay alive. ``scratch_bytes`` is per
    worker. ``max_chunk`` bounds how many programs a worker takes at once (0: the pool chooses; 1
    suits programs that wait for their predecessors). Raises LaunchError for a bad grid, KernelError
    when the kernel fails.
    """
    packed = args if isinstance(args, bytes) else ctypes.addressof(args)
    with launch_errors():
        native.launch(
            entry_address,
            _three(grid, "grid"),
            _three(block, "block"),
            packed,
            scratch_bytes,
            max_chunk,
        )
