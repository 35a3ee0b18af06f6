"""Loops that update tiles in registers: every lane sums in the order of the program."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
triton = pytest.importorskip("triton")
import triton.language as tl  # noqa: E402

NAN = float("nan")


@triton.jit
def sums_and_peaks(
    weight, x, sums, peaks, n, k, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Row sums of weight * x, and the largest of each column of blocks along K."""
    lines = tl.arange(0, BLOCK_N)
    rows = tl.program_id(0) * BLOCK_N + lines
    columns = tl.arange(0, BLOCK_K)
    total = tl.zeros((BLOCK_N, BLOCK_K), dtype=tl.float32)
    peak = tl.full((BLOCK_N, BLOCK_K), -1.0, dtype=tl.float32)
    places = weight + rows[:, None] * k + columns[None, :]
    for start in range(0, k, BLOCK_K):
        inside = (rows[:, None] < n) & (start + columns[None, :] < k)
        values = tl.load(places, mask=inside, other=0.0).to(tl.float32)
        scales = tl.load(x + start + columns, mask=start + columns < k, other=0.0)
        total += values * scales.to(tl.float32)[None, :]
        peak = tl.maximum(peak, values - start)
        places += BLOCK_K
    tl.store(sums + rows, tl.sum(total, axis=1), mask=rows < n)
    tl.store(peaks + rows[:, None] * BLOCK_K + columns[None, :], peak, mask=rows[:, None] < n)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
@pytest.mark.parametrize("blocks", [(16, 128), (4, 512), (2, 32), (1, 64)], ids=str)
def test_products_with_a_vector(dtype: torch.dtype, blocks: tuple[int, int]) -> None:
    block_n, block_k = blocks
    for n, k in ((5, 7), (16, 128), (33, 1300), (3, 0), (4, 2048)):
        weight = torch.randint(-8, 9, (n, k)).to(dtype)
        x = torch.randint(-8, 9, (k,)).to(dtype)
        sums, peaks = torch.full((n,), NAN), torch.full((n, block_k), NAN)
        grid = (triton.cdiv(n, block_n),)
        sums_and_peaks[grid](weight, x, sums, peaks, n, k, BLOCK_N=block_n, BLOCK_K=block_k)
        torch.testing.assert_close(sums, weight.float() @ x.float(), rtol=0, atol=0)
        trips = triton.cdiv(k, block_k)
        padded = torch.zeros(n, trips * block_k)
        padded[:, :k] = weight.float()
        starts = torch.arange(trips).mul(block_k).float()[None, :, None]
        blocks_of = padded.view(n, trips, block_k) - starts
        lowest = torch.full((n, 1, block_k), -1.0)
        expected = torch.cat([lowest, blocks_of], dim=1).amax(dim=1)
        torch.testing.assert_close(peaks, expected, rtol=0, atol=0)


@triton.jit
def column_sums(x, out, rows, n, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    columns = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, rows, BLOCK_M):
        lines = start + tl.arange(0, BLOCK_M)
        inside = (lines[:, None] < rows) & (columns[None, :] < n)
        total += tl.load(x + lines[:, None] * n + columns[None, :], mask=inside, other=0.0)
    tl.store(out + columns, tl.sum(total, axis=0), mask=columns < n)


@pytest.mark.parametrize(("rows", "n"), [(1, 1), (7, 130), (100, 64), (0, 5)])
def test_sums_down_the_columns(rows: int, n: int) -> None:
    x, out = torch.randint(-99, 99, (rows, n)).float(), torch.full((n,), NAN)
    column_sums[(triton.cdiv(n, 64),)](x, out, rows, n, BLOCK_M=8, BLOCK_N=64)
    torch.testing.assert_close(out, x.sum(dim=0), rtol=0, atol=0)


@triton.jit
def gradient(part, x, locks, n, BLOCK: tl.constexpr):
    """Programs add to one row under a lock; the launch writes more than the caches hold."""
    columns = tl.arange(0, BLOCK)
    values = tl.load(x + tl.program_id(0) * n + columns, mask=columns < n, other=0.0)
    while tl.atomic_cas(locks, 0, 1) == 1:
        pass
    values += tl.load(part + columns, mask=columns < n)
    tl.store(part + columns, values, mask=columns < n)
    tl.debug_barrier()
    tl.atomic_xchg(locks, 0)


def test_what_is_read_again_is_written_to_the_caches() -> None:
    n, rows = 4096, 1100
    x, part = torch.randint(-9, 9, (rows, n)).float(), torch.zeros(n)
    compiled = gradient[(rows,)](part, x, torch.zeros(1, dtype=torch.int32), n, BLOCK=4096)
    torch.testing.assert_close(part, x.sum(dim=0), rtol=0, atol=0)
    assert "nontemporal" not in compiled.asm["llir"]
