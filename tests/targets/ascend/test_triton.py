"""Triton kernels as people write them on the simulator: results, and no hazard."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

import canopy  # noqa: E402
from canopy.errors import UnsupportedError  # noqa: E402
from tests.triton import kernels  # noqa: E402


def run(kernel: Any, grid: tuple[int, ...], *args: Any, **constants: Any) -> Any:
    report = canopy.simulate(kernel, grid, args, constants, chip="910b2")
    assert report.hazards == (), str(report)
    assert report.time_s > 0
    return report


def near(actual: torch.Tensor, expected: torch.Tensor, tolerance: float) -> None:
    torch.testing.assert_close(actual.double(), expected, atol=tolerance, rtol=tolerance)


def poisoned(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return torch.full(shape, float("nan"), dtype=dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16, torch.int32])
def test_vector_add_on_more_programs_than_cores(dtype: torch.dtype) -> None:
    x, y = (torch.randn(2, 10_003) * 10).to(dtype)
    out = torch.zeros(10_004, dtype=dtype)
    report = run(kernels.vector_add, (79,), x, y, out, 10_003, BLOCK=128)
    assert torch.equal(out[:-1], x + y)
    assert out[-1] == 0
    assert (report.programs, report.cores) == (79, 48)


def test_random_numbers() -> None:
    out, again = poisoned(300), poisoned(300)
    run(kernels.random_numbers, (3,), out, 300, 42, BLOCK=128)
    kernels.random_numbers[(3,)](again, 300, 42, BLOCK=128)
    assert torch.equal(out, again)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_softmax_in_both_forms(dtype: torch.dtype) -> None:
    x = torch.randn(9, 781).to(dtype)
    expected = torch.softmax(x.double(), -1)
    tolerance = 1e-6 if dtype == torch.float32 else 1e-3
    out = poisoned(9, 781, dtype=dtype)
    run(kernels.softmax_persistent, (4,), out, x, 781, 781, 9, 781, BLOCK=1024, STAGES=2)
    near(out, expected, tolerance)
    out = poisoned(9, 781, dtype=dtype)
    run(kernels.softmax_online, (4,), out, x, 9, 781, BLOCK=256)
    near(out, expected, tolerance)


def test_layer_norm_forward_and_backward() -> None:
    rows, columns = 9, 133
    x, dout = torch.randn(2, rows, columns) * 2
    weight, bias = torch.rand(2, columns)
    out, dx = poisoned(rows, columns), poisoned(rows, columns)
    means, rstds = poisoned(rows), poisoned(rows)
    run(
        kernels.layer_norm_forward, (rows,),
        x, out, weight, bias, means, rstds, columns, 1e-5, BLOCK=64,
    )  # fmt: skip
    parts = poisoned(2, 4, columns)
    locks = torch.zeros(8, dtype=torch.int32)
    run(
        kernels.layer_norm_backward_x, (rows,),
        dx, dout, parts[0], parts[1], x, weight, means, rstds, locks, columns, GROUPS=4, BLOCK=256,
    )  # fmt: skip
    leaves = [t.double().requires_grad_() for t in (x, weight, bias)]
    expected = torch.nn.functional.layer_norm(leaves[0], (columns,), leaves[1], leaves[2], 1e-5)
    gradients = torch.autograd.grad(expected, leaves, dout.double())
    near(out, expected.detach(), 1e-5)
    near(dx, gradients[0], 1e-5)
    near(parts[0].sum(0), gradients[1], 1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("m", "n", "k"), [(33, 47, 65), (3, 256, 17)])
def test_matmul_whose_blocks_wrap(m: int, n: int, k: int, dtype: torch.dtype) -> None:
    """`% M` in the pointers: whole blocks are copied, the one that wraps goes lane by lane."""
    a, b = (torch.randn(m, k) / math.sqrt(k)).to(dtype), torch.randn(k, n).to(dtype)
    c = poisoned(m, n, dtype=dtype)
    grid = (triton.cdiv(m, 32) * triton.cdiv(n, 64),)
    run(
        kernels.matmul, grid, a, b, c, m, n, k, *a.stride(), *b.stride(), *c.stride(),
        BLOCK_M=32, BLOCK_N=64, BLOCK_K=32, GROUP=2, ACTIVATION="leaky_relu",
    )  # fmt: skip
    expected = torch.nn.functional.leaky_relu(a.double() @ b.double(), 0.01)
    near(c, expected, 2e-5 if dtype == torch.float32 else 3e-2)


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal: bool) -> None:
    q, k, v = torch.randn(3, 2, 100, 32)
    out, sums = poisoned(2, 100, 32), poisoned(2, 100)
    run(
        kernels.attention_forward, (2, 2), q, k, v, out, sums, 100, 100, 0.5,
        CAUSAL=causal, DIM=32, BLOCK_M=64, BLOCK_N=32,
    )  # fmt: skip
    expected = torch.nn.functional.scaled_dot_product_attention(
        q.double(), k.double(), v.double(), is_causal=causal, scale=0.5
    )
    near(out, expected, 2e-5)


def test_blocks_of_a_gpu_that_overflow_elsewhere() -> None:
    """A row of 128 KiB, with a block to match: cut into strips, nothing for the user to do."""
    x = torch.randn(2, 40_001)
    out = poisoned(2, 40_001)
    run(kernels.softmax_persistent, (2,), out, x, 40_001, 40_001, 2, 40_001, BLOCK=65_536, STAGES=1)
    near(out, torch.softmax(x.double(), -1), 1e-6)


def test_float64_data_is_refused() -> None:
    x = torch.ones(10, dtype=torch.float64)
    with pytest.raises(UnsupportedError, match=r"kernels\.py:\d+: 910B2 has no float64"):
        run(kernels.vector_add, (1,), x, x, x, 10, BLOCK=16)
    with pytest.raises(UnsupportedError, match="known chips"):
        canopy.simulate(kernels.vector_add, (1,), (x, x, x, 10), {"BLOCK": 16}, chip="910z")
