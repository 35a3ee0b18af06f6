"""What goes wrong says place, fact and hint; what is left to Triton still works."""

from __future__ import annotations

import inspect
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
