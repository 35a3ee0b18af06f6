"""How far the results of simulated launches are from the interpreter's, kernel by kernel."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from canopy.frontends.triton import simulated
from canopy.frontends.triton.differences import difference
from canopy.frontends.triton.launch_memory import LaunchMemory
from canopy.ir.interpreter import Interpreter
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import Program

__all__ = ["BOUNDS", "Distance", "Measured", "install"]

# What is stated of results: how far from the interpreter's, in ULPs of the array's largest number.
# Integers are exact. Sums are added in another order (rows by halves, products by blocks of 16).
# What a kernel computes from 16-bit numbers is rounded to them on the way: four of their ULPs.
BOUNDS = {
    "float32": 64.0,
    "float32 beside float16": 4.0 * 2**13,
    "float32 beside bfloat16": 4.0 * 2**16,
    "float16": 4.0,
    "bfloat16": 4.0,
}

Array = np.ndarray[Any, Any]
_simulate = simulated.simulate


@dataclass
class Distance:
    """``ulps`` are of the element; ``of_the_largest`` counts in ULPs of the array's largest one,
    which is what sums of large terms that cancel can be judged by. An array that holds nothing but
    rounding (below 16 ULPs of the launch's largest input) counts in ULPs of that number."""

    launches: int = 0
    elements: int = 0
    differing: int = 0
    ulps: int = 0
    of_the_largest: float = 0.0

    def add(self, other: Distance) -> None:
        self.launches += other.launches
        self.elements += other.elements
        self.differing += other.differing
        self.ulps = max(self.ulps, other.ulps)
        self.of_the_largest = max(self.of_the_largest, other.of_the_largest)


def distance(before: Array, expected: Array, actual: Array, largest_of_launch: float) -> Distance:
    """Over the elements that either of the two has written."""
    written = (_bits(expected) != _bits(before)) | (_bits(actual) != _bits(before))
    expected, actual = expected[written], actual[written]
    found = difference(expected, actual, 1, "")
    relative = 0.0
    if found.elements and _is_float(expected):
        unit = _unit(_largest(expected), largest_of_launch, expected.dtype)
        relative = _furthest(expected, actual) / unit
    return Distance(1, len(expected), found.elements, found.ulps, relative)


def _bits(array: Array) -> Array:
    return array.view(f"uint{8 * array.dtype.itemsize}")


def _is_float(array: Array) -> bool:
    return array.dtype.kind not in "iub"


def _inputs(
    memory: LaunchMemory, before: Sequence[Array], expected: Sequence[Array]
) -> Iterator[Array]:
    """The arrays that the launch has not written; the others may have held anything."""
    for (_, array, _), old, new in zip(memory.typed(before), before, expected, strict=True):
        if np.array_equal(old, new):
            yield array


def _narrowest(dtypes: Iterable[np.dtype[Any]]) -> str:
    names = {str(dtype) for dtype in dtypes}
    return next((name for name in ("bfloat16", "float16") if name in names), "")


def _title(dtype: np.dtype[Any], narrowest: str) -> str:
    return f"{dtype} beside {narrowest}" if str(dtype) == "float32" and narrowest else str(dtype)


def _largest(array: Array) -> float:
    """The largest finite magnitude of an array of floats."""
    if not _is_float(array):
        return 0.0
    finite = np.abs(array[np.isfinite(array)].astype(np.float64))
    return float(finite.max()) if finite.size else 0.0


def _unit(largest: float, largest_of_launch: float, dtype: np.dtype[Any]) -> float:
    noise = 16 * float(np.spacing(np.asarray(largest_of_launch, dtype)))
    return float(np.spacing(np.asarray(largest if largest >= noise else largest_of_launch, dtype)))


def _furthest(expected: Array, actual: Array) -> float:
    """The largest absolute difference; infinite where one is a NaN and the other is not."""
    if (np.isnan(expected) != np.isnan(actual)).any():
        return float("inf")
    with np.errstate(all="ignore"):
        apart = np.abs(expected.astype(np.float64) - actual.astype(np.float64))
    apart[(expected == actual) | np.isnan(expected)] = 0.0
    return float(apart.max())


class Measured:
    """What the launches of the test at hand gave: distances, and hazards."""

    def __init__(self) -> None:
        self.kernels: dict[tuple[str, str], Distance] = {}
        self.hazards: list[str] = []

    def take(self) -> tuple[dict[str, dict[str, dict[str, Any]]], list[str]]:
        """By kernel and type of the array, and what is wrong; forgets it for the next test."""
        kernels: dict[str, dict[str, dict[str, Any]]] = {}
        for (kernel, dtype), found in sorted(self.kernels.items()):
            kernels.setdefault(kernel, {})[dtype] = asdict(found)
        wrong = [f"hazard: {hazard}" for hazard in self.hazards] + self._too_far()
        self.kernels, self.hazards = {}, []
        return kernels, wrong

    def _too_far(self) -> list[str]:
        return [
            f"{kernel}: {dtype} differs by {found.of_the_largest:.3g} ULP of the largest number"
            for (kernel, dtype), found in self.kernels.items()
            if found.of_the_largest > BOUNDS.get(dtype, 0)
            or (found.differing and dtype not in BOUNDS)
        ]

    def simulate(
        self, program: Program, args: Sequence[Any], grid: Sequence[int], chip: Chip, *more: Any
    ) -> Any:
        """The interpreter first: what a launch reaches through addresses in memory is then the
        simulator's, and judged by the test."""
        memory = LaunchMemory(program.kernel, args)
        before = memory.contents()
        Interpreter(program.kernel, args, tuple(grid), check=False).run()
        expected = memory.contents()
        memory.restore(before)
        report = _simulate(program, args, grid, chip, *more)
        self.hazards += [f"{program.kernel.name}: {hazard}" for hazard in report.hazards]
        narrowest = _narrowest(array.dtype for _, array, _ in memory.typed(before))
        largest = max(map(_largest, _inputs(memory, before, expected)), default=0.0)
        for (_, wanted, found), old in zip(memory.typed(expected), before, strict=True):
            made = distance(old[: wanted.nbytes].view(wanted.dtype), wanted, found, largest)
            if made.elements:
                key = program.kernel.name, _title(wanted.dtype, narrowest)
                self.kernels.setdefault(key, Distance()).add(made)
        return report


def install() -> Measured:
    """Every simulated launch of this process is measured from here on."""
    measured = Measured()
    simulated.simulate = measured.simulate
    return measured
