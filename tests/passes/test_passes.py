"""Each pass: text before and after; and the same results on random programs."""

from textwrap import dedent

import numpy as np
import pytest

from canopy.errors import VerifyError
from canopy.ir import Add, Constant, Kernel, Parameter, Region, Value
from canopy.ir.interpreter import Interpreter
from canopy.ir.parser import parse_kernel
from canopy.ir.printer import print_kernel
from canopy.ir.types import F32, I32, I64
from canopy.passes import pipeline
from canopy.passes.cse import share_common_subexpressions
from canopy.passes.dead_code import eliminate_dead_code
from canopy.passes.induction import carry_scalars
from canopy.passes.invariants import hoist_invariants
from canopy.passes.simplify import simplify
from tests.fuzz.programs import random_kernel


def check(function, before, after):
    kernel = parse_kernel(dedent(before))
    text = print_kernel(kernel)
    made = pipeline.run(kernel, [function], check=True)
    assert print_kernel(made) == dedent(after).lstrip("\n")
    assert print_kernel(kernel) == text, "the old kernel was changed"


def simplified(before, after):
    kernel = pipeline.run(parse_kernel(dedent(before)), [simplify, eliminate_dead_code], check=True)
    assert print_kernel(kernel) == dedent(after).lstrip("\n")


def test_simplify_integers_but_not_floats() -> None:
    simplified(
        """
        kernel k(%p: ptr, %x: i32, %f: f32) {
          %zero = constant value=0 : i32
          %one = constant value=1 : i32
          %a = add %x, %zero : i32
          %b = mul %one, %a : i32
          %two = add %one, %one : i32
          %c = mul %b, %two : i32
          store %p, %c
          %fzero = constant value=0.0 : f32
          %g = add %f, %fzero : f32
          store %p, %g
        }
        """,
        """
        kernel k(%p: ptr, %x: i32, %f: f32) {
          %0 = constant value=2 : i32
          %c = mul %x, %0 : i32
          store %p, %c
          %fzero = constant value=0.0 : f32
          %g = add %f, %fzero : f32
          store %p, %g
        }
        """,
    )


def test_simplify_shapes_masks_and_branches() -> None:
    simplified(
        """
        kernel k(%p: ptr, %x: i32) {
          %t = constant value=true : i1
          %a = splat %x, shape=(1, 1) : tile<1x1xi32>
          %b = broadcast %a, shape=(4, 8) : tile<4x8xi32>
          %c = transpose %b, order=(1, 0) : tile<8x4xi32>
          %d = reshape %c, shape=(32) : tile<32xi32>
          %lanes = splat %p, shape=(32) : tile<32xptr>
          %mask = splat %t, shape=(32) : tile<32xi1>
          store %lanes, %d, mask=%mask
          %u = bitcast %x : u32
          %v = bitcast %u : f32
          %w = bitcast %v : i32
          %r = if %t : i32 then_region() {
            yield [%w]
          } else_region() {
            store %p, %w
            yield [%x]
          }
          store %p, %r
        }
        """,
        """
        kernel k(%p: ptr, %x: i32) {
          %0 = splat %x, shape=(32) : tile<32xi32>
          %lanes = splat %p, shape=(32) : tile<32xptr>
          store %lanes, %0
          store %p, %x
        }
        """,
    )


def test_a_division_by_zero_is_not_folded() -> None:
    text = """
        kernel k(%p: ptr) {
          %a = constant value=7 : i32
          %b = constant value=0 : i32
          %c = div %a, %b : i32
          store %p, %c
        }
        """
    simplified(text, text)


def test_common_subexpressions() -> None:
    check(
        share_common_subexpressions,
        """
        kernel k(%p: ptr, %x: i32, %c: i1) {
          %a = add %x, %x : i32
          if %c then_region() {
            %b = add %x, %x : i32
            %d = mul %b, %x : i32
            store %p, %d
          } else_region() {
            %e = mul %a, %x : i32
            store %p, %e
          }
          %v = load %p : i32
          %w = load %p : i32
          %z = constant value=0.0 : f32
          %m = constant value=-0.0 : f32
        }
        """,
        """
        kernel k(%p: ptr, %x: i32, %c: i1) {
          %a = add %x, %x : i32
          if %c then_region() {
            %d = mul %a, %x : i32
            store %p, %d
          } else_region() {
            %e = mul %a, %x : i32
            store %p, %e
          }
          %v = load %p : i32
          %w = load %p : i32
          %z = constant value=0.0 : f32
          %m = constant value=-0.0 : f32
        }
        """,
    )


def test_invariants_leave_loops_unless_they_could_trap() -> None:
    check(
        hoist_invariants,
        """
        kernel k(%p: ptr, %x: i32, %y: i32) {
          for %x, %y, %x, [] body(%i: i32) {
            for %x, %y, %x, [] body(%j: i32) {
              %a = add %x, %y : i32
              %b = mul %a, %i : i32
              %c = add %b, %j : i32
              %d = div %x, %y : i32
              store %p, %c
              store %p, %d
              yield []
            }
            yield []
          }
        }
        """,
        """
        kernel k(%p: ptr, %x: i32, %y: i32) {
          %a = add %x, %y : i32
          for %x, %y, %x, [] body(%i: i32) {
            %b = mul %a, %i : i32
            for %x, %y, %x, [] body(%j: i32) {
              %c = add %b, %j : i32
              %d = div %x, %y : i32
              store %p, %c
              store %p, %d
              yield []
            }
            yield []
          }
        }
        """,
    )


def test_dead_code_and_dead_carried_values() -> None:
    check(
        eliminate_dead_code,
        """
        kernel k(%p: ptr, %x: i32) {
          %dead = add %x, %x : i32
          %unread = load %p : i32
          %r, %s = for %x, %x, %x, [%x, %x] : i32, i32 body(%i: i32, %a: i32, %b: i32) {
            %c = add %a, %i : i32
            %d = add %b, %a : i32
            yield [%c, %d]
          }
          %t = while [%x] : i32 before(%e: i32) {
            %more = compare %e, %x, predicate=lt : i1
            condition %more, [%e]
          } body(%f: i32) {
            yield [%f]
          }
          store %p, %r
        }
        """,
        """
        kernel k(%p: ptr, %x: i32) {
          %r = for %x, %x, %x, [%x] : i32 body(%i: i32, %a: i32) {
            %c = add %a, %i : i32
            yield [%c]
          }
          store %p, %r
        }
        """,
    )


MOVING_POINTER = """
kernel k(%p: ptr, %n: i32, %step: i32) {
  %zero = constant value=0 : i32
  %one = constant value=1 : i32
  %lanes = range start=0, end=4 : tile<4xi32>
  %base = splat %p, shape=(4) : tile<4xptr>
  %start = offset %base, %lanes, scale=4 : tile<4xptr>
  %s = splat %step, shape=(4) : tile<4xi32>
  %end, %same = for %zero, %n, %one, [%start, %n] : tile<4xptr>, i32 \
body(%i: i32, %q: tile<4xptr>, %m: i32) {
    %v = load %q : tile<4xf32>
    store %q, %v
    %next = offset %q, %s, scale=4 : tile<4xptr>
    yield [%next, %m]
  }
  %w = load %end : tile<4xf32>
  store %start, %w
}
"""


def test_a_moving_pointer_tile_becomes_a_scalar() -> None:
    kernel = pipeline.run(
        parse_kernel(MOVING_POINTER), [carry_scalars, eliminate_dead_code], check=True
    )
    assert print_kernel(kernel) == dedent(
        """\
        kernel k(%p: ptr, %n: i32, %step: i32) {
          %zero = constant value=0 : i32
          %one = constant value=1 : i32
          %lanes = range start=0, end=4 : tile<4xi32>
          %base = splat %p, shape=(4) : tile<4xptr>
          %start = offset %base, %lanes, scale=4 : tile<4xptr>
          %0 = constant value=0 : i64
          %1 = for %zero, %n, %one, [%0] : i64 body(%i: i32, %2: i64) {
            %3 = splat %2, shape=(4) : tile<4xi64>
            %4 = offset %start, %3, scale=4 : tile<4xptr>
            %v = load %4 : tile<4xf32>
            store %4, %v
            %5 = cast %step : i64
            %6 = add %2, %5 : i64
            yield [%6]
          }
          %7 = splat %1, shape=(4) : tile<4xi64>
          %8 = offset %start, %7, scale=4 : tile<4xptr>
          %w = load %8 : tile<4xf32>
          store %start, %w
        }
        """
    )


def test_chains_of_steps_and_integer_tiles() -> None:
    """Two moves an iteration, forward and back; a 2-D integer tile; a step not a splat stays."""
    text = """
        kernel k(%p: ptr, %n: i32) {
          %zero = constant value=0 : i32
          %one = constant value=1 : i32
          %lanes = range start=0, end=4 : tile<4xi32>
          %a = reshape %lanes, shape=(2, 2) : tile<2x2xi32>
          %three = constant value=3 : tile<2x2xi32>
          %r, %s = for %zero, %n, %one, [%a, %a] : tile<2x2xi32>, tile<2x2xi32> \
body(%i: i32, %x: tile<2x2xi32>, %y: tile<2x2xi32>) {
            %j = splat %i, shape=(2, 2) : tile<2x2xi32>
            %b = add %j, %x : tile<2x2xi32>
            %c = sub %b, %three : tile<2x2xi32>
            %d = add %y, %a : tile<2x2xi32>
            yield [%c, %d]
          }
          %sum = add %r, %s : tile<2x2xi32>
          %q = splat %p, shape=(2, 2) : tile<2x2xptr>
          %at = offset %q, %a, scale=4 : tile<2x2xptr>
          store %at, %sum
        }
        """
    before = parse_kernel(dedent(text))
    after = pipeline.run(before, check=True)
    (loop,) = [op for op in after.body.ops if op.mnemonic() == "for"]
    assert [str(v.type) for v in loop.results] == ["i32", "tile<2x2xi32>"]
    for n in (0, 1, 5):
        outputs = [np.zeros(4, np.int32) for _ in range(2)]
        for kernel, out in zip((before, after), outputs, strict=True):
            Interpreter(kernel, [out, n]).run()
        np.testing.assert_array_equal(*outputs)
    assert outputs[0].tolist() == [0 - 5, 1 - 5 + 6, 2 - 5 + 12, 3 - 5 + 18]


@pytest.mark.parametrize(
    "step",
    [
        "%next = offset %q, %lanes, scale=4 : tile<4xptr>",  # lanes move apart
        """%half = offset %q, %s, scale=2 : tile<4xptr>
    %next = offset %half, %s, scale=4 : tile<4xptr>""",  # two units
        "%next = offset %start, %s, scale=4 : tile<4xptr>",  # starts anew
    ],
)
def test_other_motions_stay(step: str) -> None:
    text = MOVING_POINTER.replace("%next = offset %q, %s, scale=4 : tile<4xptr>", step)
    kernel = carry_scalars(parse_kernel(text))
    (loop,) = [op for op in kernel.body.ops if op.mnemonic() == "for"]
    assert [str(v.type) for v in loop.results] == ["tile<4xptr>"]


def test_pipeline_observes_and_verifies(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []
    pipeline.run(parse_kernel(MOVING_POINTER), observe=lambda name, kernel: seen.append(name))
    assert seen == [function.__name__ for function in pipeline.COMMON]
    x, y = Value(I32), Value(I64)
    broken = Region((), [Add(lhs=x, rhs=y), Constant(value=1, type=F32)])
    kernel = Kernel("broken", (Parameter(x, "x"), Parameter(y, "y")), broken)
    pipeline.run(kernel, [])
    monkeypatch.setenv("CANOPY_DEBUG", "2")
    with pytest.raises(VerifyError):
        pipeline.run(kernel, [])


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_keep_their_meaning(seed: int) -> None:
    """After every pass of the pipeline, verified."""
    kernel, make_args = random_kernel(seed)
    stages: list[tuple[str, Kernel]] = []
    pipeline.run(kernel, observe=lambda name, made: stages.append((name, made)), check=True)
    expected, grid = make_args(seed)
    Interpreter(kernel, expected, grid).run()
    for name, made in stages:
        args, _ = make_args(seed)
        Interpreter(made, args, grid).run()
        for have, want in zip(args, expected, strict=True):
            have, want = (np.asarray(a).astype(np.float64) for a in (have, want))
            np.testing.assert_array_equal(have, want, f"seed {seed} after {name}")
