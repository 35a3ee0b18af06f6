"""Sweeps the f32 math functions of the CPU target over all 2**32 inputs, and writes the table.

    python -m tests.math.exhaustive --seconds 200      goes on where the last run ended
    python -m tests.math.exhaustive --report           writes docs/reference/math-accuracy.md

The reference is computed in double precision by the C library, function by function, or from it by
a formula that loses a few units of 2**-53 (see `references`). Both sides run in one compiled loop,
about 15 to 80 ns for each input; the state of every chunk is kept, so that a sweep can be stopped.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir

from canopy.targets.cpu.math_functions import emit_math
from canopy.targets.cpu.math_functions.dispatch import strategy_of
from canopy.targets.cpu.math_functions.lanes import Lanes
from tests.math.references import REFERENCES, reference_function
from tests.targets.cpu.lane_kernels import LaneKernel, compile_lanes

__all__ = ["FUNCTIONS", "error_kernel", "main", "worst_in"]

ROOT = Path(__file__).parents[2]
REPORT = ROOT / "docs/reference/math-accuracy.md"
CHUNK = 1 << 22
ALL = 1 << 32
FUNCTIONS = tuple(REFERENCES)
WRONG = 1e9  # NaN for a number or the reverse, a wrong infinity, a wrong sign of zero

F32, F64, I64 = ir.FloatType(), ir.DoubleType(), ir.IntType(64)

INTRODUCTION = """# Accuracy of the vector math functions

The CPU target computes these f32 functions in vectors, with no fast-math. The table gives the
largest error found, denormals, infinities and NaN included, in units of the last place (ulp) of
the exact result: 0.5 is correct rounding. Special values (NaN, infinities, the sign of a zero, the
result's overflow) count as wrong if they are not exact; none was. Functions "in f64" are computed
in double precision and rounded once. *inputs*: how many of the 2^32 floats were tried; "all" is
every one of them. The reference is the C library in double precision.

`python -m tests.math.exhaustive` sweeps, goes on where it was stopped, and writes this file.

| function | largest error, ulp | at | inputs | how |
|---|---|---|---|---|
"""


def error_kernel(function: str) -> LaneKernel:
    """A kernel from f32 inputs to the error of ``function`` in ulp of f32."""

    def emit(builder: Any, values: Sequence[Any]) -> Any:
        got = Lanes(builder, emit_math(builder, function, [values[0]]))
        wide = Lanes(builder, values[0]).resized("fpext", F64)
        exact = reference_function(builder, function, wide)
        return _error(builder, got, exact).resized("fptrunc", F32).value

    return compile_lanes(emit, [F32], F32, np.float32)


def _error(builder: Any, got: Lanes, exact: Lanes) -> Lanes:
    exponent = exact.abs().bits().logical_shift(52) - 1023
    exponent = (exponent < -126).where(-126, exponent)
    exponent = (exponent > 127).where(127, exponent)
    unit = ((exponent + (1023 - 23)) << 52).as_float()
    wide = got.resized("fpext", F64)
    error = (wide - exact).abs() / unit
    rounded = exact.resized("fptrunc", F32)
    error = _both(builder, got.equals(rounded), rounded.abs().equals(np.inf)).where(0.0, error)
    error = error.is_nan().where(WRONG, error)
    differs = (got.bits() ^ rounded.bits()) < 0
    error = differs.where(WRONG, error)
    is_number = builder.not_(_both(builder, got.is_nan(), exact.is_nan()).value)
    return Lanes(builder, is_number).where(error, 0.0)


def _both(builder: Any, left: Lanes, right: Lanes) -> Lanes:
    return Lanes(builder, builder.and_(left.value, right.value))


def patterns(first: int, last: int, step: int = 1) -> np.ndarray:
    """The f32 values of the bit patterns first, first + step, ... below last."""
    return np.arange(first, last, step, dtype=np.uint64).astype(np.uint32).view(np.float32)


def worst_in(kernel: Callable[..., np.ndarray], x: np.ndarray) -> tuple[float, float]:
    """The largest error over the inputs, and where."""
    error = kernel(x)
    place = int(np.argmax(error))
    return float(error[place]), float(x[place])


# ---- the sweep ---------------------------------------------------------------------------------


def sweep(function: str, state: dict[str, Any], path: Path, end: float, step: int) -> bool:
    """Goes on with one function until it is done or the time is up; whether it is done."""
    row = state.setdefault(f"{function}/{step}", {"next": 0, "error": 0.0, "at": 0.0, "tried": 0})
    if row["next"] >= ALL:
        return True
    kernel = error_kernel(function)
    while row["next"] < ALL and time.monotonic() < end:
        last = min(row["next"] + CHUNK * step, ALL)
        x = patterns(row["next"], last, step)
        error, at = worst_in(kernel, x)
        if error > row["error"]:
            row["error"], row["at"] = error, at
        row["next"], row["tried"] = last, row["tried"] + len(x)
    _save(state, path)
    return bool(row["next"] >= ALL)


def _save(state: dict[str, Any], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text(json.dumps(state, indent=1))
    temporary.replace(path)


def _how(function: str) -> str:
    strategy = strategy_of(function, 32).value
    known = {"direct": "instructions", "chunked": "in f64", "inline": "f32 polynomial"}
    if function in ("sinpi", "cospi"):
        return "f32 polynomial"
    if function == "tan":
        return "in f64; libm for \\|x\\| > 65536"
    return {**known, "libm": "libm"}.get(strategy, "f32 polynomial; libm for \\|x\\| > 65536")


def write_report(state: dict[str, Any]) -> None:
    """Of each function the finest sweep that is done."""
    finest: dict[str, tuple[int, dict[str, Any]]] = {}
    for key, row in state.items():
        function, step = key.split("/")
        if row["next"] >= ALL and int(step) <= finest.get(function, (ALL, {}))[0]:
            finest[function] = int(step), row
    lines = []
    for function in FUNCTIONS:
        if function in finest:
            step, row = finest[function]
            inputs = "all" if step == 1 else f"{row['tried']:,}"
            at = np.float32(row["at"])
            lines.append(
                f"| {function} | {row['error']:.2f} | {at!s} | {inputs} | {_how(function)} |\n"
            )
    REPORT.write_text(INTRODUCTION + "".join(lines))


def main(arguments: list[str] | None = None) -> int:
    """Sweeps; the exit status is 1 if a function is more than 2 ulp off somewhere."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tests.math.exhaustive")
    parser.add_argument("functions", nargs="*", help="names; all where none is given")
    parser.add_argument("--seconds", type=float, default=1e9, help="time to use")
    parser.add_argument("--step", type=int, default=1, help="distance of the inputs, best odd")
    parser.add_argument("--state", type=Path, default=ROOT / ".fuzz/math.json")
    parser.add_argument("--report", action="store_true", help="write the table, and sweep nothing")
    options = parser.parse_args(arguments)
    state = json.loads(options.state.read_text()) if options.state.exists() else {}
    if options.report:
        write_report(state)
        return 0
    end = time.monotonic() + options.seconds
    for function in options.functions or FUNCTIONS:
        done = sweep(function, state, options.state, end, options.step)
        row = state[f"{function}/{options.step}"]
        share = row["next"] / ALL
        print(f"{function:12} {row['error']:8.3f} ulp at {row['at']!r} ({share:.0%})", flush=True)
        if not done:
            break
    return int(any(row["error"] > 2 for row in state.values()))


if __name__ == "__main__":
    raise SystemExit(main())
