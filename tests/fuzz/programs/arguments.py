"""Arguments for a random kernel: data with special values, and operands that overlap or not."""

from __future__ import annotations

from typing import Any

import numpy as np

from canopy.ir import Kernel
from canopy.ir.interpreter.numeric import dtype_of
from canopy.ir.types import SCALARS, ScalarType, is_bool, is_float
from tests.fuzz.programs.generator import ATOMICS, GAP, LOG, SLICE

__all__ = ["make_arguments", "overlaps"]

GRIDS = [(1, 1, 1), (1, 1, 1), (3, 1, 1), (2, 2, 1), (1, 3, 1), (1, 2, 2), (5, 1, 1)]


def make_arguments(kernel: Kernel, seed: int) -> tuple[list[Any], tuple[int, int, int]]:
    """Fresh (args, grid); for one seed in three the operand given twice overlaps itself."""
    rng = np.random.default_rng(seed)
    grid = GRIDS[rng.integers(len(GRIDS))]
    programs = grid[0] * grid[1] * grid[2]
    args: dict[str, Any] = {}
    for parameter in kernel.parameters:
        if not parameter.pointee:
            continue
        element = SCALARS[parameter.pointee]
        name = parameter.name
        if name.startswith("counters"):
            args[name] = np.zeros(16, np.int32)
        elif name.startswith("log"):
            args[name] = np.zeros(LOG * programs, dtype_of(element))
        elif name.startswith("atomic"):
            args[name] = rng.integers(0, 100, ATOMICS * programs).astype(dtype_of(element))
        elif name.endswith("_again") and overlaps(seed):
            shift = int(rng.choice([0, 0, 1, 3, GAP - 1]))
            args[name] = args[name.removesuffix("_again")][shift:]
        else:
            args[name] = _data(rng, element, SLICE * programs + GAP)
    args["n"] = int(rng.integers(0, 200))
    args["k"] = int(rng.integers(-5, 6))
    args["f"] = float(rng.integers(-8, 9)) / 4
    return [args[parameter.name] for parameter in kernel.parameters], grid


def overlaps(seed: int) -> bool:
    """Whether the arguments of this seed overlap, so that only the careful version may run."""
    return seed % 3 == 2


def _data(rng: np.random.Generator, element: ScalarType, size: int) -> np.ndarray:
    dtype = dtype_of(element)
    if is_bool(element):
        return rng.integers(0, 2, size).astype(np.bool_)
    if is_float(element):
        data = (rng.integers(-400, 400, size) * 0.25).astype(np.float32).astype(dtype)
        odd = (rng.standard_normal(size) * 10).astype(dtype)  # sums of these are rounded
        data = np.where(rng.random(size) < rng.choice([0.0, 0.5, 1.0]), odd, data)
        wild = rng.integers(0, 256, (size, element.bytes)).astype(np.uint8).view(dtype)[:, 0]
        special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0]).astype(dtype)
        data = np.where(rng.random(size) < 0.1, wild, data)
        data = np.where(rng.random(size) < 0.05, special[rng.integers(0, 6, size)], data)
        with np.errstate(invalid="ignore"):
            data[np.isnan(data)] = special[4]  # no signalling NaN
        return data
    data = rng.integers(-100, 100, size).astype(dtype)
    wild = rng.integers(0, 256, (size, element.bytes)).astype(np.uint8).view(dtype)[:, 0]
    return np.where(rng.random(size) < 0.2, wild, data).astype(dtype)
