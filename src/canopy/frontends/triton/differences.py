"""How two results of a launch differ: absolute, relative, in units in the last place, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

__all__ = ["Difference", "Where", "difference", "dtype_named"]

Array = np.ndarray[Any, Any]


@dataclass(frozen=True, slots=True)
class Where:
    """The first element that differs: of which argument, at which flat index, in which launch."""

    launch: int
    argument: str
    index: int
    expected: Any
    actual: Any

    def __str__(self) -> str:
        return (
            f"{self.argument}[{self.index}] of launch {self.launch}: "
            f"{self.expected!s} and {self.actual!s}"
        )


@dataclass(frozen=True, slots=True)
class Difference:
    """The largest ones; ``ulps`` of floats alone. NaN against a number counts as infinite."""

    absolute: float = 0.0
    relative: float = 0.0
    ulps: int = 0
    elements: int = 0
    where: Where | None = None

    def joined(self, other: Difference) -> Difference:
        return Difference(
            max(self.absolute, other.absolute),
            max(self.relative, other.relative),
            max(self.ulps, other.ulps),
            self.elements + other.elements,
            self.where or other.where,
        )


def dtype_named(name: str) -> np.dtype[Any] | None:
    """NumPy's dtype for torch's name of one; None for what NumPy has not."""
    known = {"bfloat16": ml_dtypes.bfloat16, "bool": np.uint8}
    try:
        found: np.dtype[Any] = np.dtype(known.get(name, name))
    except TypeError:
        return None
    return found


def difference(expected: Array, actual: Array, launch: int, argument: str) -> Difference:
    """Of two arrays of one dtype and length; equal bits and two NaNs are no difference."""
    differs = _bits(expected) != _bits(actual)
    is_float = expected.dtype.kind not in "iu"
    if is_float:
        differs &= ~(np.isnan(expected) & np.isnan(actual))
        differs &= expected != actual  # zeros of both signs
    if not differs.any():
        return Difference()
    first = int(differs.argmax())
    left, right = expected[differs], actual[differs]
    where = Where(launch, argument, first, expected[first], actual[first])
    wide = np.float64 if is_float else np.int64
    with np.errstate(all="ignore"):
        apart = np.abs(left.astype(wide).astype(np.float64) - right.astype(wide))
        size = np.abs(left.astype(np.float64))
        relative = np.where(size > 0, apart / size, np.inf)
    apart, relative = (np.nan_to_num(x, nan=np.inf, posinf=np.inf) for x in (apart, relative))
    ulps = int(np.abs(_ordered(left) - _ordered(right)).max()) if is_float else 0
    return Difference(float(apart.max()), float(relative.max()), ulps, int(differs.sum()), where)


def _bits(array: Array) -> Array:
    return array.view(f"uint{8 * array.dtype.itemsize}")


def _ordered(array: Array) -> Array:
    """Integers in the order of the floats, neighbours one apart; of float64 halves of that."""
    width = 8 * array.dtype.itemsize
    signed = array.view(f"int{width}").astype(np.int64)
    least = -(1 << (width - 1))
    ordered = np.where(signed < 0, least - signed, signed)
    return np.asarray(ordered >> 1 if width == 64 else ordered)
