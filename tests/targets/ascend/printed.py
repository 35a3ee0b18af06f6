"""Runs the printed Ascend C of every simulated launch beside the simulator, on copies of memory.

As a plug-in of pytest, for suites that run on the simulator:

    CANOPY_TARGET=ascend-sim pytest -p tests.targets.ascend.printed tests/triton/test_tutorials.py

A text that cannot be printed, that does something wrong, or whose results are not the simulator's
fails its test; CANOPY_TEXT_MAY_REFUSE=1 lets the first pass. `counts` says how many launches had
which end ("printed and right", "refused: ..."), and pytest's summary prints it. Inside a test,
`texts_run_beside()` does the same for the launches in its block.

Kernels that follow addresses which stand in memory cannot run on copies: their text runs alone, on
the user's arrays, and the test itself checks what it gives.
"""

from __future__ import annotations

import ctypes
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from canopy.ascend import RawKernel
from canopy.errors import UnsupportedError
from canopy.frontends.triton import simulated
from canopy.ir.interpreter.memory import Allocation, allocation_of
from canopy.ir.types import is_pointer
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import Program
from canopy.targets.ascend.text import Printed, print_program
from canopy.targets.ascend.timing import TimingSimulator

Array = np.ndarray[Any, Any]
CORES = 3
counts: Counter[str] = Counter()


@dataclass
class Copy:
    """The memory of one allocation before the launch, and a copy for the text to run on."""

    allocation: Allocation
    bytes: Array

    @classmethod
    def of(cls, allocation: Allocation) -> Copy:
        return cls(allocation, _memory(allocation).copy())


def _memory(allocation: Allocation) -> Array:
    nbytes = allocation.nbytes or 0
    if not nbytes:
        return np.empty(0, np.uint8)
    raw = (ctypes.c_uint8 * nbytes).from_address(allocation.base)
    return np.frombuffer(raw, np.uint8)


@lru_cache(512)
def _printed(program: int, chip: str) -> tuple[Printed, RawKernel]:
    made = print_program(_programs[program], _chips[chip])
    kernel = RawKernel(
        made.source,
        made.name,
        ("-O1",),
        chip=chip,
        anywhere=made.anywhere,
        filename=f"{made.name}.cpp",
    )
    return made, kernel


_programs: dict[int, Program] = {}
_chips: dict[str, Chip] = {}


def run_beside(
    program: Program, args: Sequence[Any], grid: Sequence[int], chip: Chip, *more: Any
) -> Any:
    """What `simulate` does; then the text, whose results must be the simulator's."""
    _programs[id(program)] = program
    _chips[chip.name.lower()] = chip
    try:
        printed, kernel = _printed(id(program), chip.name.lower())
    except UnsupportedError as refused:
        counts[f"refused: {refused.fact[:70]}"] += 1
        if not os.environ.get("CANOPY_TEXT_MAY_REFUSE"):
            raise
        return _simulate(program, args, grid, chip, *more)
    copies = [
        Copy.of(allocation_of(p.name, a)) if is_pointer(p.value.type) else None
        for p, a in zip(program.kernel.parameters, args, strict=True)
    ]
    if printed.anywhere:
        for copy in copies:
            if copy is not None:
                copy.bytes = _memory(copy.allocation)
        _launch(printed, kernel, _arguments(program, args, copies), grid)
        counts["printed and run alone"] += 1
        return TimingSimulator(program, args, grid, chip, *more).run()
    report = _simulate(program, args, grid, chip, *more)
    _launch(printed, kernel, _arguments(program, args, copies), grid)
    _compare(program, args, copies)
    counts["printed and right"] += 1
    return report


def _launch(printed: Printed, kernel: RawKernel, given: list[Any], grid: Sequence[int]) -> None:
    if printed.workspace_bytes:
        given.append(np.full(printed.workspace_bytes * CORES, 0xCB, np.uint8))
    extents = (*grid, 1, 1)[:3]
    blocks = max(1, min(CORES, int(np.prod(extents))))
    if np.prod(extents):
        kernel(blocks, [*given, *extents])
    assert kernel.notes == (), kernel.notes


_simulate = simulated.simulate


def _arguments(program: Program, args: Sequence[Any], copies: Sequence[Copy | None]) -> list[Any]:
    """The copies in place of the arrays; overlapping arguments share one copy."""
    given: list[Any] = []
    for argument, copy in zip(args, copies, strict=True):
        if copy is None:
            given.append(argument)
            continue
        for earlier in copies:
            if earlier is None or not (copy.allocation.nbytes or 0):
                continue
            a = earlier.allocation
            if a.base <= copy.allocation.base < a.base + (a.nbytes or 0):
                copy.bytes = earlier.bytes
                copy.allocation = Allocation(a.name, a.base, a.nbytes, copy.allocation.origin)
                break
        offset = copy.allocation.origin - copy.allocation.base
        given.append(copy.bytes[offset:] if argument is not None else None)
    return given


TOLERANCES = {"float32": 2e-5, "float16": 4e-3, "bfloat16": 2e-2}


def _tolerance(program: Program, args: Sequence[Any], dtype: str) -> float:
    """Of a result: its type's, or where the cube takes operands that were computed and rounded to
    less, that of the least exact argument."""
    found = [TOLERANCES[dtype]]
    if program.uses_cube:
        found += [TOLERANCES.get(_dtype(argument), 0.0) for argument in args]
    return max(found)


def _dtype(argument: Any) -> str:
    return str(getattr(argument, "dtype", "uint8")).rpartition(".")[2]


def _compare(program: Program, args: Sequence[Any], copies: Sequence[Copy | None]) -> None:
    for parameter, argument, copy in zip(program.kernel.parameters, args, copies, strict=True):
        if copy is None or not (copy.allocation.nbytes or 0):
            continue
        dtype = _dtype(argument)
        expected, actual = _memory(copy.allocation), copy.bytes
        if dtype in TOLERANCES:
            import ml_dtypes

            kind = ml_dtypes.bfloat16 if dtype == "bfloat16" else np.dtype(dtype)
            whole = len(expected) // np.dtype(kind).itemsize * np.dtype(kind).itemsize
            tolerance = _tolerance(program, args, dtype)
            np.testing.assert_allclose(
                actual[:whole].view(kind).astype(np.float64),
                expected[:whole].view(kind).astype(np.float64),
                rtol=tolerance,
                atol=tolerance,
                err_msg=parameter.name,
            )
        else:
            np.testing.assert_array_equal(actual, expected, err_msg=parameter.name)


@contextmanager
def texts_run_beside() -> Iterator[None]:
    simulated.simulate = run_beside
    try:
        yield
    finally:
        simulated.simulate = _simulate


def pytest_configure() -> None:
    simulated.simulate = run_beside


def pytest_terminal_summary(terminalreporter: Any) -> None:
    for what, number in counts.most_common():
        terminalreporter.write_line(f"printed Ascend C: {number} x {what}")
