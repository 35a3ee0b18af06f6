"""Measures the f32 math functions of the CPU target and writes docs/reference/math-accuracy.md.

    python tools/ulp_report.py                       # every 61st bit pattern of every function
    python tools/ulp_report.py --step 1 exp log      # all 2**32 patterns of two functions

Works in chunks and keeps its state in build/ulp-report.json, so that a stopped sweep resumes. A
finer sweep of a function replaces a coarser one in the table. An even step would leave low mantissa
bits at zero and flatter the result. The reference is float64: NumPy's, or
torch's for the special functions.
"""

from __future__ import annotations

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import ir

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests/targets/cpu"))

from canopy.targets.cpu.math_functions import emit_math  # noqa: E402
from canopy.targets.cpu.math_functions.dispatch import strategy_of  # noqa: E402

compile_lanes = import_module("lane_kernels").compile_lanes
references = import_module("math_references")
SPECIALS, UNARY = references.SPECIALS, references.UNARY
patterns, ulps = references.patterns, references.ulps

STATE = ROOT / "build/ulp-report.json"
REPORT = ROOT / "docs/reference/math-accuracy.md"
CHUNK_VALUES = 1 << 22
LIBM_OWN = ("lgamma", "j0", "j1", "y0", "y1")  # one call of libm a lane: its accuracy, not ours

INTRODUCTION = """# Accuracy of the vector math functions

The CPU target computes these f32 functions in vectors, with no fast-math. The table gives the
largest error found over the whole range, denormals, infinities and NaN included, in units of the
last place (ulp) of the exact result: 0.5 is correct rounding. Functions "in f64" are computed in
double precision and rounded once. `tools/ulp_report.py` wrote this file; *patterns* is how many of
the 2^32 floats were tried (evenly spaced, plus special values), against float64 references.

| function | largest error, ulp | at | patterns | how |
|---|---|---|---|---|
"""


def load_state() -> dict[str, Any]:
    return dict(json.loads(STATE.read_text())) if STATE.exists() else {}


def save_state(state: dict[str, Any]) -> None:
    STATE.parent.mkdir(exist_ok=True)
    STATE.write_text(json.dumps(state, indent=1))


def sweep(function: str, step: int, state: dict[str, Any]) -> None:
    """Brings the row of ``function`` at ``step`` to the end, from where it stopped."""
    row = state.setdefault(f"{function}/{step}", {"next": 0, "error": 0.0, "at": 0.0, "tried": 0})
    float_type = ir.FloatType()
    kernel = compile_lanes(
        lambda builder, values: emit_math(builder, function, values),
        [float_type],
        float_type,
        np.float32,
    )
    while row["next"] < 2**32:
        last = min(row["next"] + CHUNK_VALUES * step, 2**32)
        x = patterns(row["next"], last, step)
        x = np.concatenate([x, SPECIALS]) if last == 2**32 else x
        with np.errstate(all="ignore"):
            error = ulps(kernel(x), UNARY[function](x.astype(np.float64)))
        worst = int(np.argmax(error))
        if error[worst] > row["error"]:
            row["error"], row["at"] = float(error[worst]), float(x[worst])
        row["tried"] += len(x)
        row["next"] = last
        save_state(state)
    print(f"{function:12} {row['error']:8.3f} ulp at {row['at']!r}", flush=True)


def how(function: str) -> str:
    strategy = strategy_of(function, 32).value
    through_f64 = {"direct": "instructions", "chunked": "in f64", "inline": "f32 polynomial"}
    if function in ("sinpi", "cospi"):
        return "f32 polynomial"
    if function == "tan":
        return "in f64; libm for \\|x\\| > 65536"
    return through_f64.get(strategy, "f32 polynomial; libm for \\|x\\| > 65536")


def write_report(state: dict[str, Any]) -> None:
    """The finest finished sweep of each function."""
    finest: dict[str, tuple[int, Any]] = {}
    for key, row in state.items():
        function, step = key.split("/")
        if row["next"] >= 2**32 and int(step) <= finest.get(function, (2**32, None))[0]:
            finest[function] = int(step), row
    lines = [
        f"| {function} | {row['error']:.2f} | {np.float32(row['at'])!s} | {row['tried']:,} "
        f"| {how(function)} |\n"
        for function, (_, row) in finest.items()
    ]
    REPORT.parent.mkdir(parents=True, exist_ok=True)
    REPORT.write_text(INTRODUCTION + "".join(lines))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("functions", nargs="*", help="names; all where none is given")
    parser.add_argument(
        "--step", type=int, default=61, help="distance of the bit patterns, best odd"
    )
    options = parser.parse_args()
    names = options.functions or [name for name in UNARY if name not in LIBM_OWN]
    state = load_state()
    for function in names:
        sweep(function, options.step, state)
    write_report(state)


if __name__ == "__main__":
    main()
