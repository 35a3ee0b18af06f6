"""What each vector instruction computes, in NumPy, and how many cycles it takes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import Buffer, Vector

__all__ = ["compute", "cycles_of"]

Array = np.ndarray[Any, Any]

_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "add": np.add,
    "sub": np.subtract,
    "mul": np.multiply,
    "div": np.divide,
    "max": np.maximum,
    "min": np.minimum,
    "exp": np.exp,
    "log": np.log,
    "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x),
    "abs": np.abs,
    "neg": np.negative,
    "cast": lambda x: x,
    "reduce_add": np.sum,
    "reduce_max": np.max,
    "reduce_min": np.min,
}
_SLOW = frozenset({"div", "exp", "log", "sqrt", "rsqrt"})


def compute(function: str, target: Array, sources: list[Any]) -> None:
    """Writes ``function`` of the sources, arrays as long as target or scalars, to ``target``."""
    with np.errstate(all="ignore"):
        target[...] = _FUNCTIONS[function](*sources)


def cycles_of(instruction: Vector, lanes: int, chip: Chip) -> float:
    """Cycles on the vector pipe; a row longer than the repeat limit takes several instructions."""
    widest = max([instruction.target.type.bytes, *_source_bytes(instruction)])
    repeats = math.ceil(lanes * widest / chip.repeat_bytes)
    issues = max(math.ceil(repeats / chip.max_repeats), 1)
    if instruction.function.startswith("reduce_"):
        issues += 1  # the partial results of all repeats are reduced by one more
    rate = chip.slow_repeat_cycles if instruction.function in _SLOW else chip.repeat_cycles
    return issues * chip.vector_start_cycles + repeats * rate


def _source_bytes(instruction: Vector) -> list[int]:
    return [source.type.bytes for source in instruction.sources if isinstance(source, Buffer)]
