"""What goes wrong says place, fact and hint; what is left to Triton still works."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from canopy.errors import KernelError, LaunchError, UnsupportedError
from tests.frontends.triton import rule_kernels as kernels


def _line(kernel, text: str) -> int:
    lines, first = inspect.getsourcelines(kernel.fn)
    return next(first + at for at, line in enumerate(lines) if text in line)


def test_unsupported_operation_names_the_line():
    x = torch.zeros(8, dtype=torch.int32)
    with pytest.raises(UnsupportedError) as caught:
        kernels.inline_assembly[(1,)](x, BLOCK=8)
    error = caught.value
    assert Path(error.location.file).name == "rule_kernels.py"
    assert error.location.line == _line(kernels.inline_assembly, "tl.inline_asm_elementwise")
    assert "PTX" in str(error)
    assert "hint:" in str(error)


@pytest.mark.parametrize("wrong", [[1.0, 2.0], torch.zeros(4).numpy(), {"a": 1}], ids=str)
def test_refused_argument_is_named(wrong):
    with pytest.raises(LaunchError, match="argument out: expected a tensor") as caught:
        kernels.bits[(1,)](torch.zeros(4), wrong, 4, BLOCK=4)
    assert caught.value.location.file == __file__
    assert caught.value.hint


def test_meta_tensor():
    with pytest.raises(LaunchError, match=r"argument x of bits: .*meta"):
        kernels.bits[(1,)](
            torch.zeros(4, device="meta"), torch.zeros(4, dtype=torch.int32), 4, BLOCK=4
        )


@pytest.mark.parametrize("extent", [2**31, -1, 1.5])
def test_bad_grid(extent):
    x, out = torch.zeros(4), torch.zeros(4, dtype=torch.int32)
    with pytest.raises(LaunchError, match="the grid of bits"):
        kernels.bits[(extent,)](x, out, 4, BLOCK=4)


def test_empty_grid_runs_nothing():
    x, out = torch.ones(4), torch.zeros(4, dtype=torch.int32)
    kernels.bits[(0,)](x, out, 4, BLOCK=4)
    assert not out.any()


def test_device_assert_and_print(capfd):
    x = torch.arange(5, dtype=torch.int32)
    kernels.asserts[(1,)](x, 5, BLOCK=8, debug=True)
    assert "values" in "".join(capfd.readouterr())
    x[3] = -1
    with pytest.raises(KernelError, match="a negative value") as caught:
        kernels.asserts[(1,)](x, 5, BLOCK=8, debug=True)
    assert "rule_kernels.py" in str(caught.value)


def test_out_of_bounds_names_line_and_argument():
    x, out = torch.zeros(4), torch.zeros(4, dtype=torch.int32)
    with pytest.raises(KernelError, match=r"rule_kernels\.py:.*x"):
        kernels.bits[(1,)](x, out, 8, BLOCK=8)


MALFORMED_GRIDS = {
    "empty": ((), "the grid of .* is empty"),
    "none": (None, "is None, expected a tuple"),
    "bare number": (64, "is 64, expected a tuple"),
    "set": ({1}, r"is \{1\}, expected a tuple"),
    "negative": ((-1,), "-1 along x is outside"),
    "too large": ((1, 2**31), "2147483648 along y is outside"),
    "too many": ((2**30, 2**30, 2**30), "more than"),
    "float": ((2.5,), "expected an integer along x, got 2.5\nhint: .*cdiv"),
    "text": (("4",), "expected an integer along x"),
    "function of nothing": (lambda: (1,), "cannot be called with the constants"),
    "function to none": (lambda meta: None, "is None, expected a tuple"),
    "function to a number": (lambda meta: 3, "is 3, expected a tuple"),
    "function to a fraction": (lambda meta: (1 / 2,), "expected an integer along x"),
}


@pytest.mark.parametrize(("grid", "message"), MALFORMED_GRIDS.values(), ids=MALFORMED_GRIDS)
def test_malformed_grids_are_named_with_place_and_hint(grid: object, message: str) -> None:
    x, out = torch.zeros(4), torch.zeros(4, dtype=torch.int32)
    with pytest.raises(LaunchError, match=f"(?s)test_errors.py:.*{message}") as caught:
        kernels.bits[grid](x, out, 4, BLOCK=4)
    assert "hint: " in str(caught.value)
    assert not out.any()


def test_errors_of_a_grid_function_stay_its_own() -> None:
    x, out = torch.zeros(4), torch.zeros(4, dtype=torch.int32)
    with pytest.raises(KeyError, match="ABSENT"):
        kernels.bits[lambda meta: (meta["ABSENT"],)](x, out, 4, BLOCK=4)

    def wrong_inside(meta: object) -> tuple[int]:
        return (len(3),)  # type: ignore[arg-type]

    with pytest.raises(TypeError, match="has no len"):
        kernels.bits[wrong_inside](x, out, 4, BLOCK=4)


def test_a_malformed_grid_in_the_first_launch() -> None:
    source = Path(__file__).with_name("first_launch.py")
    result = subprocess.run(
        [sys.executable, str(source)], capture_output=True, text=True, timeout=120, check=False
    )
    assert "first_launch.py:19: the grid of kernel is empty" in result.stderr
