"""Products on the cube: fractals, tiles, loops given to it whole, and stores from L0C."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

import triton.language as tl  # noqa: E402

import canopy  # noqa: E402
from canopy.ir.types import BF16, F16, F32, I8  # noqa: E402
from canopy.targets.ascend import fractals, load_chip  # noqa: E402
from canopy.targets.ascend.cube import _best_tiles  # noqa: E402
from canopy.targets.ascend.npu import (  # noqa: E402
    Branch,
    Buffer,
    CopyMatrix,
    Fixpipe,
    LaneMemory,
    Loop,
    Matrix,
    Mmad,
    Space,
    walk,
)
from tests.triton import kernels  # noqa: E402

CHIP = load_chip("910b2")


def multiply(
    m: int, n: int, k: int, blocks: tuple[int, int, int], dtype: Any, turned: str = ""
) -> Any:
    a = (torch.randn(m, k) / math.sqrt(k)).to(dtype)
    b = torch.randn(k, n).to(dtype)
    if "a" in turned:
        a = a.T.contiguous().T
    if "b" in turned:
        b = b.T.contiguous().T
    c = torch.full((m, n), float("nan"), dtype=dtype)
    grid = (triton.cdiv(m, blocks[0]) * triton.cdiv(n, blocks[1]),)
    report = canopy.simulate(
        kernels.matmul,
        grid,
        (a, b, c, m, n, k, *a.stride(), *b.stride(), *c.stride()),
        dict(zip(("BLOCK_M", "BLOCK_N", "BLOCK_K"), blocks, strict=True))
        | {"GROUP": 4, "ACTIVATION": ""},
    )
    assert report.hazards == (), str(report)
    tolerance = {torch.float32: 2e-5, torch.float16: 2e-3, torch.bfloat16: 3e-2}[dtype]
    expected = a.double() @ b.double()
    torch.testing.assert_close(c.double(), expected, atol=tolerance, rtol=tolerance)
    return report


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
@pytest.mark.parametrize("turned", ["", "a", "b", "ab"])
def test_operands_in_rows_and_in_columns(dtype: Any, turned: str) -> None:
    report = multiply(130, 70, 200, (64, 32, 32), dtype, turned)
    assert not any(isinstance(i, LaneMemory) for i in walk(report.program.body))


@pytest.mark.parametrize("k", [1, 16, 31, 512, 513, 1100])
def test_depths_that_fill_blocks_of_l1_and_that_do_not(k: int) -> None:
    """No block, one, a pair, a pair and one more: the last one is cut at K."""
    multiply(40, 64, k, (32, 64, 32), torch.float32)


def test_the_tutorial_kernel_is_one_contraction() -> None:
    report = multiply(256, 256, 1024, (128, 256, 64), torch.float16)
    body = list(walk(report.program.body))
    copies = [i for i in body if isinstance(i, CopyMatrix)]
    assert {(i.target.rows, i.target.columns) for i in copies} == {(128, 256), (256, 256)}
    assert len({i.target.buffer.address for i in copies[:4]}) == 4  # two blocks at a time
    stored = [i for i in body if isinstance(i, Fixpipe)]
    assert stored
    assert all(i.target is None and str(i.type) == "f16" for i in stored)
    assert not report.program.used_bytes[Space.WORKSPACE]
    assert not any(type(i).__name__ == "Barrier" for i in _outside_rare_arms(report.program.body))


def _outside_rare_arms(body: list[Any]) -> Any:
    for instruction in body:
        yield instruction
        if isinstance(instruction, Branch):
            yield from _outside_rare_arms(instruction.then_body)
            if not instruction.is_rare:
                yield from _outside_rare_arms(instruction.else_body)
        elif isinstance(instruction, Loop):
            yield from _outside_rare_arms(instruction.body)


def test_retiled_products_come_near_the_peak() -> None:
    a, b, c = (torch.empty(4096, 4096, dtype=torch.float16) for _ in range(3))
    report = canopy.simulate(
        kernels.matmul,
        (32 * 16,),
        (a, b, c, 4096, 4096, 4096, 4096, 1, 4096, 1, 4096, 1),
        {"BLOCK_M": 128, "BLOCK_N": 256, "BLOCK_K": 64, "GROUP": 8, "ACTIVATION": ""},
        mode="timing",
    )
    assert 0.7 * 353.9 <= report.tflops <= 0.95 * 353.9


@triton.jit
def product_of_bytes(a, b, c, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):  # type: ignore[no-untyped-def]
    rows, columns, depth = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    left = tl.load(a + rows[:, None] * K + depth[None, :])
    right = tl.load(b + depth[:, None] * N + columns[None, :])
    tl.store(c + rows[:, None] * N + columns[None, :], tl.dot(left, right))


def test_products_of_bytes_are_exact() -> None:
    a = torch.randint(-128, 128, (32, 64), dtype=torch.int8)
    b = torch.randint(-128, 128, (64, 32), dtype=torch.int8)
    c = torch.zeros(32, 32, dtype=torch.int32)
    report = canopy.simulate(product_of_bytes, (1,), (a, b, c), {"M": 32, "N": 32, "K": 64})
    assert report.hazards == ()
    assert torch.equal(c, a.int() @ b.int())


@triton.jit
def gated(x, gate, up, out, M, N, K, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """Two sums in one loop, of products with one left operand."""
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    one = tl.zeros((BLOCK, BLOCK), dtype=tl.float32)
    other = tl.zeros((BLOCK, BLOCK), dtype=tl.float32)
    for start in range(0, K, BLOCK):
        depth = start + tl.arange(0, BLOCK)
        left = tl.load(
            x + rows[:, None] * K + depth[None, :],
            mask=(rows[:, None] < M) & (depth[None, :] < K),
            other=0.0,
        )
        places = depth[:, None] * N + columns[None, :]
        held = (depth[:, None] < K) & (columns[None, :] < N)
        one = tl.dot(left, tl.load(gate + places, mask=held, other=0.0), one)
        other = tl.dot(left, tl.load(up + places, mask=held, other=0.0), other)
    tl.store(out + rows[:, None] * N + columns[None, :], one * tl.sigmoid(one) * other, mask=inside)


def test_sums_of_one_loop_share_blocks() -> None:
    m, n, k = 70, 40, 100
    x, gate, up = torch.randn(m, k), torch.randn(k, n), torch.randn(k, n)
    x /= math.sqrt(k)
    out = torch.full((m, n), float("nan"))
    report = canopy.simulate(gated, (3, 2), (x, gate, up, out, m, n, k), {"BLOCK": 32})
    assert report.hazards == ()
    expected = torch.nn.functional.silu(x.double() @ gate.double()) * (x.double() @ up.double())
    torch.testing.assert_close(out.double(), expected, atol=1e-5, rtol=1e-5)
    pairs = next(i for i in report.program.body if isinstance(i, Loop)).body
    assert sum(isinstance(i, CopyMatrix) for i in pairs) == 6  # three operands, twice


@triton.jit
def wrapped_and_kept(x, out, n, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    """The lanes that wrap are stored: the remainder must stay."""
    places = tl.arange(0, BLOCK)
    tl.store(out + places, tl.load(x + places % n))


def test_indices_that_wrap_keep_their_meaning() -> None:
    x = torch.randn(5)
    out = torch.zeros(16)
    canopy.simulate(wrapped_and_kept, (1,), (x, out, 5), {"BLOCK": 16})
    assert torch.equal(out, x[torch.arange(16) % 5])


# ---- fractals and tiles


@pytest.mark.parametrize("kind", [F16, BF16, F32, I8], ids=str)
@pytest.mark.parametrize(
    ("space", "layout"), [(Space.L1, "NZ"), (Space.L0A, "zZ"), (Space.L0B, "nZ")]
)
def test_fractals_hold_each_lane_once(kind: Any, space: Space, layout: str) -> None:
    rng = np.random.default_rng(0)
    matrix = Matrix(Buffer(space, 0, 64 * 96, kind), layout, 50, 70, 50, 70)
    rows = rng.integers(0, 100, (50, 70)).astype(fractals.dtype_of(kind))
    memory = np.full(64 * 96 * kind.bytes, 0xFF, np.uint8)
    fractals.store(memory, matrix, rows)
    assert np.array_equal(fractals.load(memory, matrix), rows)
    part = matrix.part(16, 32, 20, 30)
    assert np.array_equal(fractals.load(memory, part), rows[16:36, 32:62])


def test_nz_is_columns_of_fractals() -> None:
    matrix = Matrix(Buffer(Space.L1, 0, 32 * 32, F16), "NZ", 32, 32, 32, 32)
    memory = np.zeros(2 * 32 * 32, np.uint8)
    rows = np.arange(32 * 32, dtype=np.float16).reshape(32, 32)
    fractals.store(memory, matrix, rows)
    flat = memory.view(np.float16)
    assert flat[1] == rows[0, 1]
    assert flat[16] == rows[1, 0]
    assert flat[16 * 32] == rows[0, 16]


@pytest.mark.parametrize("width", [1, 2, 4])
@pytest.mark.parametrize(
    ("m", "n", "k"), [(128, 256, 64), (64, 64, 32), (16, 16, 16), (256, 128, 128)]
)
def test_tiles_fit_twice(m: int, n: int, k: int, width: int) -> None:
    tiles = _best_tiles(CHIP, m, n, k, width)
    assert 2 * tiles.rows * tiles.depth * width <= CHIP.l0a_bytes
    assert 2 * tiles.depth * tiles.columns * width <= CHIP.l0b_bytes
    assert tiles.rows * tiles.columns * 4 <= CHIP.l0c_bytes
    assert (m % tiles.rows, n % tiles.columns, k % tiles.depth) == (0, 0, 0)


def test_mmad_says_its_types() -> None:
    report = multiply(64, 64, 64, (64, 64, 64), torch.bfloat16)
    products = [i for i in walk(report.program.body) if isinstance(i, Mmad)]
    assert {(str(i.lhs.type), str(i.target.type)) for i in products} == {("bf16", "f32")}
