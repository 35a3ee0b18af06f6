"""Row-wise kernels: extremes among NaN, tiles that loops carry, rows in place and of odd sizes."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")
triton = pytest.importorskip("triton")
import triton.language as tl  # noqa: E402

INFINITY, NAN = float("inf"), float("nan")


@triton.jit
def extremes(x, largest, smallest, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n
    high = tl.load(x + row * n + columns, mask=inside, other=-float("inf"))
    low = tl.load(x + row * n + columns, mask=inside, other=float("inf"))
    tl.store(largest + row, tl.max(high, axis=0))
    tl.store(smallest + row, tl.min(low, axis=0))


@pytest.mark.parametrize("columns", [1, 3, 64, 256, 1000])
def test_extremes_pass_over_nan(columns: int) -> None:
    x = torch.randn(7, columns)
    x[0], x[1], x[2] = NAN, -INFINITY, INFINITY
    x[3, columns // 2] = NAN
    x[4, :-1] = NAN
    x[5, ::2] = -INFINITY
    largest, smallest = torch.empty(7), torch.empty(7)
    block = triton.next_power_of_2(columns)
    extremes[(7,)](x, largest, smallest, columns, BLOCK=block)
    high, low = np.fmax.reduce(x.numpy(), axis=1), np.fmin.reduce(x.numpy(), axis=1)
    if block > columns:  # what stands for masked lanes is a value
        high[0], low[0] = -INFINITY, INFINITY
    np.testing.assert_array_equal(largest.numpy(), high)
    np.testing.assert_array_equal(smallest.numpy(), low)


@triton.jit
def column_extremes(x, out, rows: tl.constexpr, columns: tl.constexpr):
    places = tl.arange(0, rows)[:, None] * columns + tl.arange(0, columns)[None, :]
    tl.store(out + tl.arange(0, columns), tl.max(tl.load(x + places), axis=0))


def test_extremes_down_the_columns() -> None:
    x = torch.randn(16, 128)
    x[:, 5] = NAN
    x[1:, 7] = NAN
    out = torch.empty(128)
    column_extremes[(1,)](x, out, 16, 128)
    np.testing.assert_array_equal(out.numpy(), np.fmax.reduce(x.numpy(), axis=0))


@triton.jit
def carried(x, out, trips, n, BLOCK: tl.constexpr):
    """One tile updated lane by lane, two that swap, one read turned round, one read twice."""
    columns = tl.arange(0, BLOCK)
    total = tl.zeros([BLOCK], dtype=tl.float32)
    first = tl.zeros([BLOCK], dtype=tl.float32)
    second = tl.full([BLOCK], 1.0, dtype=tl.float32)
    turned = columns.to(tl.float32)
    peak = tl.full([BLOCK], -1.0, dtype=tl.float32)
    scaled = tl.zeros([BLOCK], dtype=tl.float32)
    for trip in range(trips):
        values = tl.load(x + trip * n + columns, mask=columns < n, other=0.0)
        total += values
        first, second = second, first + values
        turned = tl.flip(turned, 0) + values
        scaled = tl.where(values > peak, scaled * 0.5 + peak, scaled)
        peak = tl.maximum(peak, values)
    tl.store(out + columns, total)
    tl.store(out + BLOCK + columns, first)
    tl.store(out + 2 * BLOCK + columns, second)
    tl.store(out + 3 * BLOCK + columns, turned)
    tl.store(out + 4 * BLOCK + columns, peak)
    tl.store(out + 5 * BLOCK + columns, scaled)


@pytest.mark.parametrize("trips", [0, 1, 2, 5])
def test_tiles_that_a_loop_carries(trips: int) -> None:
    block, n = 128, 100
    x = torch.randn(max(trips, 1), n)
    out = torch.full((6, block), NAN)
    carried[(1,)](x, out, trips, n, BLOCK=block)
    total, first, second = torch.zeros(block), torch.zeros(block), torch.ones(block)
    turned, peak, scaled = (
        torch.arange(block).float(),
        torch.full((block,), -1.0),
        torch.zeros(block),
    )
    for trip in range(trips):
        values = torch.zeros(block)
        values[:n] = x[trip]
        total = total + values
        first, second = second, first + values
        turned = turned.flip(0) + values
        scaled = torch.where(values > peak, scaled * 0.5 + peak, scaled)
        peak = torch.maximum(peak, values)
    expected = torch.stack([total, first, second, turned, peak, scaled])
    torch.testing.assert_close(out, expected, rtol=0, atol=0)


@triton.jit
def softmax(x, out, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n
    values = tl.load(x + row * n + columns, mask=inside, other=-float("inf"))
    powers = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + row * n + columns, powers / tl.sum(powers, axis=0), mask=inside)


# The last two are written past the caches.
@pytest.mark.parametrize(
    ("rows", "columns"), [(3, 1), (5, 7), (9, 1000), (4300, 1000), (530, 8191)]
)
@pytest.mark.parametrize("in_place", [False, True])
def test_softmax_of_odd_rows(rows: int, columns: int, in_place: bool) -> None:
    room = torch.full((rows * columns + 64,), NAN)
    source = torch.randn(rows, columns)
    x = source.clone()
    out = x if in_place else room[3 : 3 + rows * columns].view(rows, columns)
    softmax[(rows,)](x, out, columns, BLOCK=triton.next_power_of_2(columns))
    torch.testing.assert_close(out, torch.softmax(source, -1), rtol=3e-6, atol=1e-9)
    assert room[:3].isnan().all()
    assert room[3 + rows * columns :].isnan().all()
