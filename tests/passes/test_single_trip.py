"""Loops that gather tiles to be reduced: a straight version for one trip, with the same results."""

from textwrap import dedent

import numpy as np
import pytest

from canopy.ir.interpreter import Interpreter
from canopy.ir.parser import parse_kernel
from canopy.ir.printer import print_kernel
from canopy.passes import pipeline
from canopy.passes.single_trip import split_off_single_trips

GATHER = """
kernel k(%x: ptr, %out: ptr, %n: i32) {
  %zero = constant value=0 : i32
  %block = constant value=8 : i32
  %nothing = constant value=0 : tile<8xi32>
  %lanes = range start=0, end=8 : tile<8xi32>
  %base = splat %x, shape=(8) : tile<8xptr>
  %sums = for %zero, %n, %block, [%nothing] : tile<8xi32> body(%i: i32, %s: tile<8xi32>) {
    %start = splat %i, shape=(8) : tile<8xi32>
    %places = add %start, %lanes : tile<8xi32>
    %p = offset %base, %places, scale=4 : tile<8xptr>
    %v = load %p : tile<8xi32>
    %t = add %s, %v : tile<8xi32>
    yield [%t]
  }
  %r = reduce [%sums], axis=0 : i32 combine(%a: i32, %b: i32) {
    %c = add %a, %b : i32
    yield [%c]
  }
  store %out, %r
}
"""


def test_the_reduction_moves_into_both_branches() -> None:
    kernel = parse_kernel(dedent(GATHER))
    made = pipeline.run(kernel, [split_off_single_trips], check=True)
    (branch,) = [op for op in made.body.ops if op.mnemonic() == "if"]
    names = [[op.mnemonic() for op in region.ops] for region in branch.regions]
    assert names == [
        ["splat", "add", "offset", "load", "add", "reduce", "yield"],
        ["for", "reduce", "yield"],
    ]


@pytest.mark.parametrize("n", [-3, 0, 1, 8, 9, 24])
def test_any_number_of_trips(n: int) -> None:
    kernel = parse_kernel(dedent(GATHER))
    made = pipeline.run(kernel, [split_off_single_trips], check=True)
    x = np.arange(1, 33, dtype=np.int32)
    results = []
    for each in (kernel, made):
        out = np.zeros(1, np.int32)
        Interpreter(each, [x, out, np.int32(n)], (1, 1, 1)).run()
        results.append(int(out[0]))
    assert results[0] == results[1] == int(x[: max(0, -(-n // 8) * 8)].sum())


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("store %out, %r", "store %out, %r\n  store %base, %sums"),  # read elsewhere, too
        ("%zero = constant value=0", "%zero = constant value=-8"),  # n - lower may wrap
        ("add %a, %b : i32", "add %a, %n : i32"),  # takes a value from outside
    ],
)
def test_other_loops_stay(old: str, new: str) -> None:
    kernel = parse_kernel(dedent(GATHER.replace(old, new)))
    made = pipeline.run(kernel, [split_off_single_trips], check=True)
    assert print_kernel(made) == print_kernel(kernel)
