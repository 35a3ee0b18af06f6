"""Random programs on the simulated Ascend chips: results are the interpreter's, and no hazard.

Each seed runs on two chips, the one of 3510 and one of those of 2201. Programs are made without
what the target refuses (float64, 8-bit floats) and what it rounds twice (fma of f32).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from canopy import ir
from canopy.errors import CanopyError, UnsupportedError
from canopy.ir import Kernel
from canopy.ir.interpreter import Interpreter
from canopy.ir.types import F64
from canopy.passes import pipeline
from canopy.targets.ascend import load_chip, lower_kernel, simulate
from tests.fuzz.coverage import Coverage
from tests.fuzz.differential import DifferenceError, check_array, guarded
from tests.fuzz.engine import NEAR, SIZES
from tests.fuzz.programs import random_kernel
from tests.fuzz.programs.arguments import make_arguments, overlaps
from tests.fuzz.programs.generator import FLOATS8

__all__ = ["chips_of", "failure_of", "failures_of", "kernel_of_seed"]

_OLDER = ("910b2", "910b4", "910c")
_WITHOUT = frozenset({F64, *FLOATS8, ir.Fma})


def chips_of(seed: int) -> tuple[str, ...]:
    return _OLDER[seed % len(_OLDER)], "950pr"


def kernel_of_seed(seed: int) -> Kernel:
    return random_kernel(seed, SIZES[seed % len(SIZES)], _WITHOUT)[0]


def failures_of(seeds: Sequence[int], coverage: Coverage | None = None) -> dict[int, str]:
    """What went wrong, in one line for each seed that failed. What the target refuses with an
    UnsupportedError is ``refused``, and a hazard ``flagged``."""
    failures = {}
    for seed in seeds:
        kernel = kernel_of_seed(seed)
        if coverage is not None:
            coverage.count(kernel)
        if failure := failure_of(kernel, seed):
            failures[seed] = failure
    return failures


def failure_of(kernel: Kernel, data_seed: int) -> str:
    """Empty where all chips and the interpreter agree."""
    args, grid = make_arguments(kernel, data_seed)
    expected = guarded(args)
    try:
        with np.errstate(all="ignore"):
            Interpreter(kernel, expected, grid).run()
            prepared = pipeline.run(kernel)
            for chip in chips_of(data_seed):
                _run(prepared, args, expected, grid, data_seed, chip)
    except UnsupportedError as error:
        return _line("refused", error)
    except _FlaggedError as error:
        return _line("flagged", error)
    except (DifferenceError, CanopyError) as error:
        return _line(type(error).__name__, error)
    except Exception as error:  # any failure is a finding
        return _line(f"crash: {type(error).__name__}", error)
    return ""


class _FlaggedError(Exception):
    """A hazard in a program that nobody broke."""


def _run(
    kernel: Kernel, args: list[Any], expected: list[Any], grid: Any, seed: int, name: str
) -> None:
    chip = load_chip(name)
    found = guarded(args)
    groups = {p.name: p.name for p in kernel.parameters if p.pointee}
    if overlaps(seed):
        groups.update({n: n.removesuffix("_again") for n in groups if n.endswith("_again")})
    report = simulate(lower_kernel(kernel, chip, groups, prepare=False), found, grid, chip)
    for parameter, want, got in zip(kernel.parameters, expected, found, strict=True):
        if isinstance(want, np.ndarray):
            near = NEAR[parameter.pointee] if parameter.name.startswith("near") else 0.0
            check_array(f"{name}: {parameter.name}", want, got, near)
    if report.hazards:
        raise _FlaggedError(f"{name}: {report.hazards[0]}")


def _line(kind: str, error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{kind}: {lines[0] if lines else ''}"[:300]
