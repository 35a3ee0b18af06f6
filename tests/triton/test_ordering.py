"""tl.sort, tl.topk, tl.flip, scans, arg reductions and histograms, beside torch and NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

DTYPES = (torch.float32, torch.int32, torch.int16, torch.float16, torch.int64)


def random(shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Values with repetitions."""
    return torch.randint(-100, 100, shape).to(dtype)


@triton.jit
def sort_rows(x, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr, DESCENDING: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    places = rows[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    tl.store(out + places, tl.sort(tl.load(x + places), 1, descending=DESCENDING))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rows", "columns"), [(1, 2), (1, 16), (4, 8), (3, 256), (2, 1024)])
@pytest.mark.parametrize("descending", [False, True])
def test_sort(dtype, rows, columns, descending):
    height = triton.next_power_of_2(rows)
    x = random((height * 3, columns), dtype)
    out = torch.full_like(x, 77)
    sort_rows[(3,)](x, out, height, columns, descending)
    assert torch.equal(out, x.sort(1, descending=descending).values)


@triton.jit
def top(x, out, COLUMNS: tl.constexpr, K: tl.constexpr):
    row = tl.program_id(0)
    values = tl.load(x + row * COLUMNS + tl.arange(0, COLUMNS))
    tl.store(out + row * K + tl.arange(0, K), tl.topk(values, K))


@pytest.mark.parametrize(("columns", "k"), [(8, 2), (64, 8), (256, 16), (128, 128), (512, 1)])
def test_topk(columns, k):
    x = torch.randn(5, columns)
    out = torch.empty(5, k)
    top[(5,)](x, out, columns, k)
    assert torch.equal(out, x.topk(k).values)


@triton.jit
def flip_tile(x, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr, AXIS: tl.constexpr):
    places = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    tl.store(out + places, tl.flip(tl.load(x + places), AXIS))


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(2, 2), (16, 4), (4, 128)])
def test_flip(dtype, axis, shape):
    x = random(shape, dtype)
    out = torch.empty_like(x)
    flip_tile[(1,)](x, out, *shape, axis)
    assert torch.equal(out, x.flip(axis))


@triton.jit
def interleave_halves(x, y, pairs, back, N: tl.constexpr):
    lanes = tl.arange(0, N)
    joined = tl.interleave(tl.load(x + lanes), tl.load(y + lanes))
    tl.store(pairs + tl.arange(0, 2 * N), joined)
    first, second = tl.split(tl.reshape(joined, (N, 2)))
    tl.store(back + lanes, second)
    tl.store(back + N + lanes, first)


@pytest.mark.parametrize("n", [1, 4, 64, 512])
def test_interleave_and_split(n):
    x, y = torch.randn(n), torch.randn(n)
    pairs, back = torch.empty(n, 2), torch.empty(2, n)
    interleave_halves[(1,)](x, y, pairs, back, n)
    assert torch.equal(pairs, torch.stack([x, y], 1))
    assert torch.equal(back, torch.stack([y, x]))


@triton.jit
def _affine_after(a, b, c, d):
    return a * c, b * c + d


@triton.jit
def scan_tile(
    x, y, out, sums, products,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, AXIS: tl.constexpr, REVERSE: tl.constexpr,
):  # fmt: skip
    places = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    a, b = tl.load(x + places), tl.load(y + places)
    _, recurrence = tl.associative_scan((a, b), AXIS, _affine_after, reverse=REVERSE)
    tl.store(out + places, recurrence)
    tl.store(sums + places, tl.cumsum(b, AXIS, reverse=REVERSE))
    tl.store(products + places, tl.cumprod(a, AXIS, reverse=REVERSE))


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("shape", [(1, 1), (1, 4), (2, 512), (32, 16), (128, 2)])
def test_scans(shape, axis, reverse):
    x, y = torch.rand(shape) * 0.5 + 0.5, torch.randn(shape)
    out, sums, products = (torch.empty(shape) for _ in range(3))
    scan_tile[(1,)](x, y, out, sums, products, *shape, axis, reverse)
    a, b = (t.double().numpy() for t in (x, y))
    a, b = (np.flip(t, axis) if reverse else t for t in (a, b))
    a, b = (np.moveaxis(t, axis, 0) for t in (a, b))
    want, total = np.empty_like(b), np.zeros_like(b[0])
    for i in range(len(b)):
        total = want[i] = total * a[i] + b[i]
    for got, exact in ((out, want), (sums, np.cumsum(b, 0)), (products, np.cumprod(a, 0))):
        exact = np.moveaxis(exact, 0, axis)
        exact = np.flip(exact, axis) if reverse else exact
        np.testing.assert_allclose(got.numpy(), exact, rtol=2e-5, atol=2e-5)


@triton.jit
def extremes(x, values, places, n, BLOCK: tl.constexpr, LEFT: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    row = tl.load(x + tl.program_id(0) * n + lanes, mask=lanes < n, other=float("-inf"))
    high, at = tl.max(row, 0, return_indices=True, return_indices_tie_break_left=LEFT)
    tl.store(values + tl.program_id(0), high)
    tl.store(places + tl.program_id(0), at)


@pytest.mark.parametrize("n", [1, 5, 64, 1000])
def test_argmax_with_ties(n):
    x = random((7, n), torch.float32)
    values, places = torch.empty(7), torch.empty(7, dtype=torch.int32)
    extremes[(7,)](x, values, places, n, triton.next_power_of_2(n), LEFT=True)
    assert places.tolist() == x.numpy().argmax(1).tolist()
    assert torch.equal(values, x.max(1).values)
    extremes[(7,)](x, values, places, n, triton.next_power_of_2(n), LEFT=False)
    assert torch.equal(x[torch.arange(7), places.long()], x.max(1).values)


@triton.jit
def count(x, out, n, BINS: tl.constexpr, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    counts = tl.histogram(tl.load(x + places, mask=inside, other=0), BINS, mask=inside)
    tl.atomic_add(out + tl.arange(0, BINS), counts)


@pytest.mark.parametrize("bins", [2, 32, 256, 2048])
@pytest.mark.parametrize("n", [1, 4099])
def test_histogram(bins, n):
    x = torch.randint(0, bins, (n,), dtype=torch.int32)
    x[n // 2 :] = bins - 1
    out = torch.zeros(bins, dtype=torch.int32)
    count[(triton.cdiv(n, 512),)](x, out, n, bins, 512)
    assert torch.equal(out.long(), torch.bincount(x.long(), minlength=bins))


@triton.jit
def take_rows(indices, table, out, n, WIDTH: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    inside = (rows < n)[:, None]
    at = tl.load(indices + rows, mask=rows < n, other=0)
    columns = tl.arange(0, WIDTH)[None, :]
    values = tl.load(table + at[:, None] * WIDTH + columns, mask=inside)
    tl.store(out + rows[:, None] * WIDTH + columns, values, mask=inside)


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
@pytest.mark.parametrize("width", [4, 64, 256])
def test_rows_of_a_table(dtype, width):
    n, table = 101, torch.randn(50, width)
    indices = torch.randint(0, 50, (n,), dtype=dtype)
    out = torch.empty(n, width)
    take_rows[(triton.cdiv(n, 16),)](indices, table, out, n, width, 16)
    assert torch.equal(out, table[indices.long()])
