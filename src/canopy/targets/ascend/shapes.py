"""What a value of the tile IR is to an NPU: a scalar, a place in memory, a range, a bound, data.

r*stride + range 0..N          Affine(base=r*stride)
x + (r*stride + range) * 4     Address(argument of x, offset_bytes=r*stride*4, step_bytes=4)
range 0..N < n                 Bound(lanes=n)
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from canopy.targets.ascend.npu import Buffer, Combined, Number, Scalar

__all__ = ["Address", "Affine", "Bound", "Data", "Form", "combine"]


@dataclass(frozen=True, slots=True)
class Affine:
    """The integers base, base + 1, ... over the lanes."""

    base: Scalar


@dataclass(frozen=True, slots=True)
class Address:
    """An argument's address moved by ``offset_bytes``, and ``step_bytes`` per lane (0: scalar)."""

    argument: int
    offset_bytes: Scalar
    step_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Bound:
    """A mask: true in the first ``lanes`` lanes."""

    lanes: Scalar


@dataclass(frozen=True, slots=True)
class Data:
    """Numbers in the unified buffer; of the two copies, if any, the trip takes its own."""

    copies: tuple[Buffer, ...]

    def of(self, trip: int) -> Buffer:
        return self.copies[trip % len(self.copies)]


Form = Scalar | Affine | Address | Bound | Data

_FOLDED: dict[str, Callable[[Any, Any], Any]] = {
    "add": lambda a, b: a + b,
    "sub": lambda a, b: a - b,
    "mul": lambda a, b: a * b,
    "min": min,
    "max": max,
}


def combine(function: str, lhs: Scalar, rhs: Scalar) -> Scalar:
    """``function`` of two scalars, folded where both are known or one changes nothing."""
    if isinstance(lhs, Number) and isinstance(rhs, Number) and function in _FOLDED:
        return Number(_FOLDED[function](lhs.value, rhs.value))
    if function in ("add", "sub") and rhs == Number(0):
        return lhs
    if function == "add" and lhs == Number(0):
        return rhs
    if function == "mul" and rhs == Number(1):
        return lhs
    return Combined(function, lhs, rhs)
