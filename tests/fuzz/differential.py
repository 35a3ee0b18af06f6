"""Runs a kernel on the CPU target and in the interpreter, and compares what both leave behind."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from canopy.compiler import compile_kernel
from canopy.ir import Kernel
from canopy.ir.interpreter import Interpreter
from canopy.ir.interpreter.numeric import dtype_of
from canopy.ir.types import Type, is_float
from canopy.runtime.launch import launch, pack_slots

__all__ = ["DifferenceError", "compare", "run_on_cpu"]

GUARD = 64  # bytes before and behind every argument that must stay as they are


class DifferenceError(AssertionError):
    """The two results differ; the message says where."""


def run_on_cpu(
    kernel: Kernel, args: Sequence[Any], grid: Sequence[int] = (1,), *, may_alias: bool = True
) -> None:
    """Compiles and launches ``kernel``: arrays are pointers, ints and floats are scalars."""
    executable = compile_kernel(kernel)
    slots = _pack(kernel, args, may_alias=may_alias)
    launch(executable.load(), grid, slots, executable.scratch_bytes)


def _pack(kernel: Kernel, args: Sequence[Any], *, may_alias: bool) -> bytes:
    types = [parameter.value.type for parameter in kernel.parameters]
    return pack_slots(*map(_slot, args, types), may_alias=may_alias)


def _slot(argument: Any, type_: Type) -> int | float:
    """The argument as its slot's 64 bits: a narrow float lies in the low bytes."""
    if isinstance(argument, np.ndarray):
        return argument.ctypes.data
    if is_float(type_):
        raw = np.asarray(argument, dtype_of(type_)).tobytes()
        return int.from_bytes(raw, "little")
    return int(argument)


def compare(
    kernel: Kernel,
    args: Sequence[Any],
    grid: Sequence[int] = (1,),
    *,
    may_alias: Sequence[bool] = (False, True),
    tolerance: float = 0.0,
) -> None:
    """Raises DifferenceError unless every array ends the same: bit for bit (any NaN for a NaN), or
    within ``tolerance``, relative to the largest magnitude of the array."""
    expected = [_guarded(a) if isinstance(a, np.ndarray) else a for a in args]
    Interpreter(kernel, expected, grid).run()
    executable = compile_kernel(kernel)
    for flag in may_alias:
        found = [_guarded(a) if isinstance(a, np.ndarray) else a for a in args]
        slots = _pack(kernel, found, may_alias=flag)
        launch(executable.load(), grid, slots, executable.scratch_bytes)
        for position, (want, got) in enumerate(zip(expected, found, strict=True)):
            if isinstance(want, np.ndarray):
                _check(f"argument {position}, may_alias={flag}", want, got, tolerance)


def _guarded(array: np.ndarray) -> np.ndarray:
    """A copy in the middle of a larger allocation."""
    size = array.nbytes
    whole = np.full(size + 2 * GUARD, 0xA5, np.uint8)
    copy = whole[GUARD : GUARD + size].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def _check(where: str, want: np.ndarray, got: np.ndarray, tolerance: float) -> None:
    whole = got
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    raw = whole.view(np.uint8).ravel()
    if not ((raw[:GUARD] == 0xA5).all() and (raw[-GUARD:] == 0xA5).all()):
        raise DifferenceError(f"{where}: memory outside the array was written")
    bad = _differing(want, got, tolerance)
    if bad.any():
        first = tuple(map(int, np.argwhere(bad)[0]))
        raise DifferenceError(
            f"{where}: {int(bad.sum())} of {bad.size} differ, first at {first}: "
            f"{got[first]} instead of {want[first]}"
        )


def _differing(want: np.ndarray, got: np.ndarray, tolerance: float) -> np.ndarray:
    bits = f"u{want.dtype.itemsize}"
    bad = np.asarray(want.view(bits) != got.view(bits))
    if want.dtype.kind in "iub":
        return bad
    wide, narrow = want.astype(np.float64), got.astype(np.float64)
    bad &= ~(np.isnan(wide) & np.isnan(narrow))
    if tolerance and bad.any():
        finite = np.abs(wide[np.isfinite(wide)])
        scale = float(finite.max()) if finite.size else 0.0
        with np.errstate(invalid="ignore"):
            bad &= ~(np.abs(wide - narrow) <= tolerance * max(scale, 1e-30))
    return bad
