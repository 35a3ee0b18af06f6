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

__all__ = ["DifferenceError", "check_array", "compare", "guarded", "pack", "run_on_cpu"]

GUARD = 64  # bytes before and behind every argument that must stay as they are


class DifferenceError(AssertionError):
    """The two results differ; the message says where."""


def run_on_cpu(
    kernel: Kernel, args: Sequence[Any], grid: Sequence[int] = (1,), *, may_alias: bool = True
) -> None:
    """Compiles and launches ``kernel``: arrays are pointers, ints and floats are scalars."""
    executable = compile_kernel(kernel)
    slots = pack(kernel, args, may_alias=may_alias)
    launch(executable.load(), grid, slots, executable.scratch_bytes)


def pack(kernel: Kernel, args: Sequence[Any], *, may_alias: bool) -> bytes:
    """The arguments as the entry's slots."""
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
    expected = guarded(args)
    Interpreter(kernel, expected, grid).run()
    executable = compile_kernel(kernel)
    for flag in may_alias:
        found = guarded(args)
        slots = pack(kernel, found, may_alias=flag)
        launch(executable.load(), grid, slots, executable.scratch_bytes)
        for position, (want, got) in enumerate(zip(expected, found, strict=True)):
            if isinstance(want, np.ndarray):
                scale = _largest(want) if tolerance else 0.0
                check_array(
                    f"argument {position}, may_alias={flag}", want, got, tolerance * scale, 0.0
                )


def _largest(array: np.ndarray) -> float:
    wide = np.abs(array.astype(np.float64))
    finite = wide[np.isfinite(wide)]
    return max(float(finite.max()), 1e-30) if finite.size else 1e-30


def guarded(args: Sequence[Any]) -> list[Any]:
    """Copies of the arrays, each in the middle of a larger allocation; views of one array that
    overlap do so again."""
    copies: dict[int, tuple[np.ndarray, np.ndarray]] = {}
    made = []
    for argument in args:
        if not isinstance(argument, np.ndarray):
            made.append(argument)
            continue
        root = argument
        while isinstance(root.base, np.ndarray):
            root = root.base
        if id(root) not in copies:
            copies[id(root)] = (root, _in_the_middle(root))
        offset = argument.ctypes.data - root.ctypes.data
        raw = copies[id(root)][1][offset : offset + argument.nbytes]
        made.append(raw.view(argument.dtype).reshape(argument.shape))
    return made


def _in_the_middle(array: np.ndarray) -> np.ndarray:
    """The array's bytes behind and before others that nobody may write."""
    whole = np.full(array.nbytes + 2 * GUARD, 0xA5, np.uint8)
    whole[GUARD : GUARD + array.nbytes] = np.ascontiguousarray(array).view(np.uint8).ravel()
    return whole[GUARD : GUARD + array.nbytes]


def check_array(
    where: str,
    want: np.ndarray,
    got: np.ndarray,
    absolute: float = 0.0,
    relative: float | None = None,
) -> None:
    """Raises DifferenceError unless ``got`` (made by `guarded`) is ``want``, bit by bit, or within
    ``absolute`` + ``relative`` * |want| (``relative``: as ``absolute`` if not given)."""
    whole = got
    while isinstance(whole.base, np.ndarray):
        whole = whole.base
    raw = whole.view(np.uint8).ravel()
    if not ((raw[:GUARD] == 0xA5).all() and (raw[-GUARD:] == 0xA5).all()):
        raise DifferenceError(f"{where}: memory outside the array was written")
    bad = _differing(want, got, absolute, absolute if relative is None else relative)
    if bad.any():
        first = tuple(map(int, np.argwhere(bad)[0]))
        raise DifferenceError(
            f"{where}: {int(bad.sum())} of {bad.size} differ, first at {first}: "
            f"{got[first]} instead of {want[first]}"
        )


def _differing(want: np.ndarray, got: np.ndarray, absolute: float, relative: float) -> np.ndarray:
    bits = f"u{want.dtype.itemsize}"
    bad = np.asarray(want.view(bits) != got.view(bits))
    if want.dtype.kind in "iub" or not bad.any():
        return bad
    wide, narrow = want.astype(np.float64), got.astype(np.float64)
    bad &= ~(np.isnan(wide) & np.isnan(narrow))
    if absolute or relative:
        with np.errstate(invalid="ignore"):
            bad &= ~(np.abs(wide - narrow) <= absolute + relative * np.abs(wide))
    return bad
