"""NPU programs of tile IR: results, strips, and what the simulator says of broken ones."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
import pytest

from canopy import ir
from canopy.errors import KernelError, UnsupportedError
from canopy.ir.interpreter import Interpreter
from canopy.ir.types import F64
from canopy.targets.ascend import load_chip, lower_kernel, simulate
from canopy.targets.ascend.npu import (
    Branch,
    Instruction,
    Loop,
    Pipe,
    Program,
    SetEvent,
    Space,
    WaitEvent,
    walk,
)
from tests.targets.ascend.kernels import LOAD_LINE, softmax

CHIP = load_chip("910b2")


@pytest.mark.parametrize(
    ("lanes", "n", "rows"),
    [(16, 1, 1), (128, 100, 5), (1024, 781, 100), (4096, 4096, 60), (65536, 65001, 2)],
)
def test_softmax_equals_the_interpreter(lanes: int, n: int, rows: int) -> None:
    """From rows that fit the unified buffer many times over to rows that never fit."""
    kernel = softmax(lanes)
    x = np.random.default_rng(n).standard_normal((rows, n)).astype(np.float32)
    result, expected = np.full_like(x, np.nan), np.full_like(x, np.nan)
    report = simulate(lower_kernel(kernel, CHIP), [x, result, n, n], (rows,), CHIP)
    Interpreter(kernel, [x, expected, n, n], (rows,)).run()
    np.testing.assert_allclose(result, expected, rtol=2e-6, atol=1e-8)
    assert report.hazards == ()
    assert report.cores == min(rows, 48)


def test_in_place_rows() -> None:
    kernel = softmax(128)
    x = np.random.default_rng(0).standard_normal((7, 100)).astype(np.float32)
    expected = np.empty_like(x)
    Interpreter(kernel, [x, expected, 100, 100], (7,)).run()
    program = lower_kernel(kernel, CHIP, {"x": "x", "o": "x"})
    assert simulate(program, [x, x, 100, 100], (7,), CHIP, cores=2).hazards == ()
    np.testing.assert_allclose(x, expected, rtol=2e-6, atol=1e-8)


def test_buffers_never_overflow() -> None:
    for lanes in (128, 8192, 65536, 1 << 20):
        used = lower_kernel(softmax(lanes), CHIP).used_bytes
        assert used[Space.UB] <= CHIP.ub_bytes


def test_the_report_is_plausible_and_says_that_it_is_simulated() -> None:
    x = np.zeros((480, 4096), np.float32)
    report = simulate(lower_kernel(softmax(4096), CHIP), [x, x.copy(), 4096, 4096], (480,), CHIP)
    assert "simulated" in str(report)
    assert report.time_s >= 2 * x.nbytes / CHIP.hbm_bytes_per_second
    assert report.gbps <= CHIP.hbm_bytes_per_second / 1e9
    assert report.bound_by in {"MTE2", "V", "MTE3", "HBM", "S"}


# ---- broken programs


def rewritten(
    body: list[Instruction], change: Callable[[Instruction], list[Instruction]]
) -> list[Instruction]:
    made: list[Instruction] = []
    for instruction in body:
        if isinstance(instruction, Loop):
            instruction = replace(instruction, body=rewritten(instruction.body, change))
        elif isinstance(instruction, Branch):
            instruction = replace(
                instruction,
                then_body=rewritten(instruction.then_body, change),
                else_body=rewritten(instruction.else_body, change),
            )
        made += change(instruction)
    return made


def edges(program: Program) -> Iterator[tuple[Pipe, Pipe, int]]:
    seen = dict.fromkeys(
        (i.source, i.target, i.event) for i in walk(program.body) if isinstance(i, WaitEvent)
    )
    yield from seen


def without(program: Program, edge: tuple[Pipe, Pipe, int]) -> Program:
    def change(instruction: Instruction) -> list[Instruction]:
        if not isinstance(instruction, SetEvent | WaitEvent):
            return [instruction]
        found = instruction.source, instruction.target, instruction.event
        return [] if found == edge else [instruction]

    return replace(
        program,
        **{
            part: rewritten(getattr(program, part), change)
            for part in ("prologue", "body", "epilogue")
        },
    )


@pytest.mark.parametrize(("lanes", "redundant"), [(128, 0.0), (4096, 0.0), (65536, 0.25)])
def test_events_taken_out_are_hazards(lanes: int, redundant: float) -> None:
    """All events are needed; where loops stand one after another some say what others imply."""
    program = lower_kernel(softmax(lanes), CHIP)
    n = lanes - 28
    x = np.zeros((4, n), np.float32)
    found = list(edges(program))
    silent = []
    for edge in found:
        report = simulate(without(program, edge), [x, x.copy(), n, n], (4,), CHIP, cores=1)
        if not report.hazards:
            silent.append(edge)
        for hazard in report.hazards:
            assert hazard.location.file == "softmax.py"
    assert len(found) >= 6
    assert len(silent) <= redundant * len(found), silent


def test_a_wait_without_its_set_is_a_deadlock() -> None:
    program = lower_kernel(softmax(128), CHIP)
    sets = [i for i in walk(program.body) if isinstance(i, SetEvent)]
    victim = next(i for i in sets if (i.source, i.target) == (Pipe.MTE2, Pipe.V))
    broken = replace(program, body=rewritten(program.body, lambda i: [] if i is victim else [i]))
    x = np.zeros((2, 100), np.float32)
    with pytest.raises(KernelError, match=r"softmax.py:\d+: deadlock"):
        simulate(broken, [x, x.copy(), 100, 100], (2,), CHIP)


def test_an_access_outside_an_argument_names_the_line() -> None:
    x = np.zeros((2, 100), np.float32)
    with pytest.raises(KernelError, match=f"softmax.py:{LOAD_LINE}: .*bytes"):
        simulate(lower_kernel(softmax(128), CHIP), [x, x.copy(), 100, 120], (2,), CHIP)


# ---- what cannot be


def test_float64_is_refused_with_its_line() -> None:
    kernel = softmax(128)
    b = ir.Builder(kernel.body, replace(kernel.location, line=13))
    b.add(ir.Constant, value=1.0, type=F64)
    with pytest.raises(UnsupportedError, match=r"softmax\.py:13: .*float64"):
        lower_kernel(kernel, CHIP, prepare=False)


def test_every_figure_of_a_chip_is_marked() -> None:
    assert "copy_latency_cycles" in CHIP.assumed
    assert "ub_bytes" not in CHIP.assumed
    with pytest.raises(UnsupportedError, match="known chips"):
        load_chip("910z")
