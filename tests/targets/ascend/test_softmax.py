"""A Triton-style row softmax in tile IR, through the Ascend simulator."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from canopy import ir
from canopy.errors import KernelError, Location, UnsupportedError
from canopy.ir.interpreter import Interpreter
from canopy.ir.types import F32, I32, PTR, TileType
from canopy.ir.verifier import verify
from canopy.targets.ascend import load_chip, lower_kernel, simulate
from canopy.targets.ascend.npu import Instruction, Pipe, Program, WaitEvent

CHIP = load_chip("910b2")
LOAD_LINE, STORE_LINE = 8, 12


def reduction(kind: type[ir.Binary], source: ir.Value, builder: ir.Builder) -> ir.Value:
    lhs, rhs = ir.Value(F32), ir.Value(F32)
    op = kind(lhs=lhs, rhs=rhs)
    combine = ir.Region((lhs, rhs), [op, ir.Yield(values=op.results)])
    return builder.add(ir.Reduce, sources=(source,), axis=0, combine=combine)


def softmax(lanes: int) -> ir.Kernel:
    """softmax.py:5-12 of the walkthrough: one row of n <= lanes elements per program."""
    x, o, stride, n = (ir.Value(t, s) for t, s in ((PTR, "x"), (PTR, "o"), (I32, "s"), (I32, "n")))
    body = ir.Region()
    b = ir.Builder(body)

    def line(number: int) -> None:
        b.location = Location("softmax.py", number)

    def splat(value: ir.Value) -> ir.Value:
        return b.add(ir.Splat, source=value, shape=(lanes,))

    line(6)
    row = b.add(ir.ProgramId, axis=0)
    start = splat(b.add(ir.Mul, lhs=row, rhs=stride))
    line(7)
    i = b.add(ir.Range, start=0, end=lanes)
    mask = b.add(ir.Compare, predicate="lt", lhs=i, rhs=splat(n))
    index = b.add(ir.Add, lhs=start, rhs=i)
    line(LOAD_LINE)
    other = b.add(ir.Constant, value=float("-inf"), type=TileType((lanes,), F32))
    place = b.add(ir.Offset, pointer=splat(x), index=index, scale=4)
    v = b.add(ir.Load, pointer=place, mask=mask, other=other, type=F32)
    line(9)
    shifted = b.add(ir.Sub, lhs=v, rhs=splat(reduction(ir.Max, v, b)))
    line(10)
    e = b.add(ir.MathCall, function="exp", arguments=(shifted,))
    line(11)
    y = b.add(ir.Div, lhs=e, rhs=splat(reduction(ir.Add, e, b)))
    line(STORE_LINE)
    target = b.add(ir.Offset, pointer=splat(o), index=index, scale=4)
    b.effect(ir.Store, pointer=target, value=y, mask=mask)
    parameters = tuple(ir.Parameter(value, value.name) for value in (x, o, stride, n))
    kernel = ir.Kernel("softmax", parameters, body, Location("softmax.py", 5))
    verify(kernel)
    return kernel


def without(program: Program, source: Pipe, target: Pipe) -> Program:
    """``program`` with the waits of ``target`` for ``source`` taken out."""

    def kept(instructions: tuple[Instruction, ...]) -> tuple[Instruction, ...]:
        return tuple(
            i
            for i in instructions
            if not (isinstance(i, WaitEvent) and (i.source, i.target) == (source, target))
        )

    even, odd = program.trips
    return replace(program, trips=(kept(even), kept(odd)), epilogue=())


@pytest.mark.parametrize("n", [1, 7, 100, 781, 1023, 1024])
@pytest.mark.parametrize("rows", [1, 5, 100])
def test_softmax_matches_numpy_and_the_interpreter(n: int, rows: int) -> None:
    kernel = softmax(1024)
    rng = np.random.default_rng(n * rows)
    x = rng.standard_normal((rows, n)).astype(np.float32)
    result = np.zeros((rows, n), np.float32)
    report = simulate(lower_kernel(kernel, CHIP), [x, result, n, n], (rows,), CHIP)
    e = np.exp(x - x.max(1, keepdims=True), dtype=np.float64)
    np.testing.assert_allclose(result, e / e.sum(1, keepdims=True), rtol=2e-6, atol=1e-7)
    interpreted = np.zeros_like(result)
    Interpreter(kernel, [x, interpreted, n, n], (rows,)).run()
    np.testing.assert_allclose(result, interpreted, rtol=2e-6, atol=1e-7)
    assert report.hazards == ()


def test_report_says_time_bound_and_that_it_is_simulated() -> None:
    x = np.zeros((480, 4096), np.float32)
    report = simulate(lower_kernel(softmax(4096), CHIP), [x, x.copy(), 4096, 4096], (480,), CHIP)
    assert report.bound_by in ("MTE2", "V", "MTE3", "HBM")
    assert report.cores == 48
    assert 0.5 < report.utilisation <= 1
    assert "simulated" in str(report)
    least_us = 2 * x.nbytes / CHIP.hbm_bytes_per_second * 1e6
    assert report.time_us >= least_us


def test_the_pipes_overlap() -> None:
    x = np.zeros((20, 4096), np.float32)
    program = lower_kernel(softmax(4096), CHIP)
    report = simulate(program, [x, x.copy(), 4096, 4096], (20,), CHIP, cores=1)
    pipes = sum(report.busy_cycles[pipe.value] for pipe in Pipe)
    assert report.cycles < 0.9 * pipes


@pytest.mark.parametrize(
    ("source", "target", "line", "words"),
    [
        (Pipe.MTE2, Pipe.V, LOAD_LINE, "V writes load0.0 without waiting for MTE2"),
        (Pipe.V, Pipe.MTE2, LOAD_LINE, "MTE2 writes load0.0 without waiting for V"),
        (Pipe.V, Pipe.MTE3, STORE_LINE, "without waiting for V"),
        (Pipe.MTE3, Pipe.V, 11, "without waiting for MTE3"),
    ],
)
def test_a_missing_wait_is_a_hazard_at_the_users_line(
    source: Pipe, target: Pipe, line: int, words: str
) -> None:
    x = np.zeros((6, 100), np.float32)
    broken = without(lower_kernel(softmax(128), CHIP), source, target)
    report = simulate(broken, [x, x.copy(), 100, 100], (6,), CHIP, cores=1)
    found = [h for h in report.hazards if h.location == Location("softmax.py", line)]
    assert any(words in hazard.fact for hazard in found), report


def test_a_row_too_long_names_the_line() -> None:
    with pytest.raises(UnsupportedError, match=r"softmax.py:\d+: .*unified buffer"):
        lower_kernel(softmax(65536), CHIP)


def test_what_is_not_covered_names_the_line() -> None:
    kernel = softmax(128)
    b = ir.Builder(kernel.body, Location("softmax.py", 13))
    b.effect(ir.Barrier)
    with pytest.raises(UnsupportedError, match=r"softmax\.py:13: .*barrier"):
        lower_kernel(kernel, CHIP)


def test_an_access_outside_an_argument_names_the_line() -> None:
    x = np.zeros((2, 100), np.float32)
    with pytest.raises(KernelError, match=f"softmax.py:{LOAD_LINE}: bytes"):
        simulate(lower_kernel(softmax(128), CHIP), [x, x.copy(), 100, 120], (2,), CHIP)


def test_every_figure_of_a_chip_is_marked() -> None:
    assert "copy_latency_cycles" in CHIP.assumed
    assert "ub_bytes" not in CHIP.assumed
    with pytest.raises(UnsupportedError, match="known chips"):
        load_chip("910z")
