"""Runs many random programs at once: one compilation unit, each compared with the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from canopy.errors import CanopyError
from canopy.ir import Kernel
from canopy.ir.interpreter import Interpreter
from canopy.passes import pipeline
from canopy.runtime.launch import launch
from canopy.targets.cpu import compile_unit, load_unit
from tests.fuzz.coverage import Coverage
from tests.fuzz.differential import DifferenceError, check_array, guarded, pack
from tests.fuzz.programs import random_kernel
from tests.fuzz.programs.arguments import overlaps

__all__ = ["SIZES", "Case", "case_of_seed", "failures_of", "is_optimized", "run_cases"]

SIZES = (2, 3, 4, 5, 6, 8, 12, 30)
NEAR = {"f16": 0.1, "f32": 5e-3, "f64": 1e-8}  # what a chain of approximate steps may differ by
OPTIMIZED_UNITS = 4  # one unit in four goes through LLVM's optimiser, as users' kernels do


@dataclass(slots=True)
class Case:
    """A program and the arguments to run it on."""

    kernel: Kernel
    args: list[Any]
    grid: tuple[int, int, int]
    aliasing: tuple[bool, ...]  # the versions to run: operands disjoint, and perhaps not
    expected: list[Any] = field(default_factory=list)
    prepared: Kernel | None = None

    def interpret(self) -> None:
        """What the arguments end as, by the definition."""
        self.expected = guarded(self.args)
        Interpreter(self.kernel, self.expected, self.grid).run()


def case_of_seed(seed: int) -> Case:
    """The program of a seed on the arguments of that seed."""
    kernel, make_arguments = random_kernel(seed, SIZES[seed % len(SIZES)])
    args, grid = make_arguments(seed)
    return Case(kernel, args, grid, aliasing_of(seed))


def aliasing_of(seed: int) -> tuple[bool, ...]:
    return (True,) if overlaps(seed) else (False, True)


def is_optimized(first_seed: int, unit: int) -> bool:
    """Whether LLVM optimises the unit that starts with this seed."""
    return first_seed // unit % OPTIMIZED_UNITS == 0


def failures_of(
    seeds: Sequence[int], *, optimized: bool, coverage: Coverage | None = None
) -> dict[int, str]:
    """What went wrong, in one line for each seed that failed."""
    cases, failures = {}, {}
    for seed in seeds:
        try:
            case = cases[seed] = case_of_seed(seed)
            case.interpret()
            if coverage is not None:
                coverage.count(case.kernel)
            observe = coverage.observer(case.kernel) if coverage is not None else None
            case.prepared = pipeline.run(case.kernel, observe=observe, check=seed % 4 == 0)
        except Exception as error:  # any failure is a finding
            failures[seed] = _line(error)
            cases.pop(seed, None)
    failures.update(run_cases(cases, optimized=optimized))
    return failures


def run_cases(cases: dict[int, Case], *, optimized: bool) -> dict[int, str]:
    """Compiles the prepared cases together and runs each; the failures, by key."""
    if not cases:
        return {}
    try:
        unit = compile_unit([_prepared(case) for case in cases.values()], optimized=optimized)
    except Exception as error:
        if len(cases) == 1:
            return {next(iter(cases)): _line(error)}
        alone = [run_cases({key: case}, optimized=optimized) for key, case in cases.items()]
        return {key: text for found in alone for key, text in found.items()}
    loaded = load_unit(unit.object_code, unit.entries)
    failures = {}
    runs = zip(cases.items(), loaded.addresses, unit.scratch_bytes, strict=True)
    for (key, case), address, scratch_bytes in runs:
        try:
            _run(case, address, scratch_bytes)
        except (DifferenceError, CanopyError) as error:
            failures[key] = _line(error)
    return failures


def _prepared(case: Case) -> Kernel:
    if case.prepared is None:
        case.prepared = pipeline.run(case.kernel)
    return case.prepared


def _run(case: Case, address: int, scratch_bytes: int) -> None:
    parameters = case.kernel.parameters
    for flag in case.aliasing:
        found = guarded(case.args)
        launch(address, case.grid, pack(case.kernel, found, may_alias=flag), scratch_bytes)
        for parameter, want, got in zip(parameters, case.expected, found, strict=True):
            if isinstance(want, np.ndarray):
                near = NEAR[parameter.pointee] if parameter.name.startswith("near") else 0.0
                check_array(f"{parameter.name}, may_alias={flag}", want, got, near)


def _line(error: Exception) -> str:
    lines = str(error).splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else ''}"[:300]
