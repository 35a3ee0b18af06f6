"""sort, topk, flip, bitonic merge, histogram, gather."""

from __future__ import annotations

import numpy as np
import pytest

from tests.triton.language.numbers import NUMBERS, array, random, torch

triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
import triton.language as tl  # noqa: E402


@triton.jit
def _order(X, UP, DOWN, TOP, FLIPPED, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    rows = tl.arange(0, M)[:, None]
    lanes = rows * N + tl.arange(0, N)[None, :]
    x = tl.load(X + lanes)
    tl.store(UP + lanes, tl.sort(x))
    tl.store(DOWN + lanes, tl.sort(x, dim=1, descending=True))
    tl.store(TOP + rows * K + tl.arange(0, K)[None, :], tl.topk(x, K))
    tl.store(FLIPPED + lanes, tl.flip(x, 0))


@pytest.mark.parametrize(("m", "n", "k"), [(2, 16, 4), (4, 2, 2)])
@pytest.mark.parametrize("name", NUMBERS)
def test_sort_topk_and_flip(name, m, n, k):
    x = random(name, (m, n))
    up, down, flipped = (torch.zeros_like(x) for _ in range(3))
    top = torch.zeros((m, k), dtype=x.dtype)
    _order[(1,)](x, up, down, top, flipped, m, n, k)
    ordered = np.sort(array(x), axis=1)
    np.testing.assert_array_equal(array(up), ordered)
    np.testing.assert_array_equal(array(down), ordered[:, ::-1])
    np.testing.assert_array_equal(array(top), ordered[:, ::-1][:, :k])
    np.testing.assert_array_equal(array(flipped), array(x)[::-1])


@pytest.mark.parametrize("name", ["int32", "float32"])
def test_sort_of_one_long_row(name):
    test_sort_topk_and_flip(name, 1, 64, 1)


@triton.jit
def _flip(X, Z, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr, DIM: tl.constexpr):
    a, b, c = tl.arange(0, A)[:, None, None], tl.arange(0, B)[None, :, None], tl.arange(0, C)
    lanes = a * B * C + b * C + c[None, None, :]
    tl.store(Z + lanes, tl.flip(tl.load(X + lanes), DIM))


@pytest.mark.parametrize("dim", [0, 1, 2, -1, -2])
def test_flip_of_three_axes(dim, way):
    x = torch.randn(2, 4, 8)
    x[0, 0, 0] = float("inf")
    z = torch.zeros_like(x)
    _flip[(1,)](x, z, 2, 4, 8, dim)
    assert torch.equal(z, x.flip(dim))


@triton.jit
def _merge(X, Z, N: tl.constexpr):
    tl.store(Z + tl.arange(0, N), tl.bitonic_merge(tl.load(X + tl.arange(0, N))))


def test_bitonic_merge(way):
    x = torch.randint(-50, 50, (32,), dtype=torch.int32)
    halves = torch.cat([x[:16].sort().values, x[16:].sort(descending=True).values])
    z = torch.zeros_like(x)
    _merge[(1,)](halves, z, 32)
    assert torch.equal(z, x.sort().values)


@triton.jit
def _histogram(X, MASK, Z, M: tl.constexpr, N: tl.constexpr):
    lanes = tl.arange(0, M)
    x = tl.load(X + lanes)
    counts = tl.histogram(x, N) if MASK is None else tl.histogram(x, N, tl.load(MASK + lanes) != 0)
    counts = (counts + tl.zeros([M, N], tl.int32)).reshape([M * N])  # takes part in broadcasting
    tl.store(Z + tl.arange(0, M * N) % N, counts)


@pytest.mark.parametrize("is_masked", [False, True])
@pytest.mark.parametrize(("m", "n"), [(1024, 2), (256, 64), (8, 128), (1, 1)])
def test_histogram(m, n, is_masked, way):
    x = torch.randint(0, n, (m,), dtype=torch.int32)
    mask = torch.randint(0, 2, (m,), dtype=torch.int32)
    z = torch.full((n,), -1, dtype=torch.int32)
    _histogram[(1,)](x, mask if is_masked else None, z, m, n)
    counted = x[mask.bool()] if is_masked else x
    assert torch.equal(z, torch.bincount(counted, minlength=n).int())


@triton.jit
def _gather(X, INDEX, Z, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr, D: tl.constexpr,
            AXIS: tl.constexpr):  # fmt: skip
    x = tl.load(X + tl.arange(0, A)[:, None] * B + tl.arange(0, B)[None, :])
    lanes = tl.arange(0, C)[:, None] * D + tl.arange(0, D)[None, :]
    tl.store(Z + lanes, tl.gather(x, tl.load(INDEX + lanes), AXIS))


@pytest.mark.parametrize("kind", [torch.int8, torch.uint8, torch.int32, torch.int64])
@pytest.mark.parametrize(
    ("source", "wanted", "axis"),
    [((4, 4), (8, 4), 0), ((4, 4), (256, 4), 0), ((64, 32), (64, 64), 1), ((8, 1), (8, 4), 1)],
)
def test_gather(source, wanted, axis, kind, way):
    x = torch.randn(source)
    index = torch.randint(0, source[axis], wanted)
    z = torch.zeros(wanted)
    _gather[(1,)](x, index.to(kind), z, *source, *wanted, axis)
    assert torch.equal(z, x.gather(axis, index))


@triton.jit
def _gather_line(X, INDEX, Z, A: tl.constexpr, B: tl.constexpr):
    index = tl.load(INDEX + tl.arange(0, B))
    tl.store(Z + tl.arange(0, B), tl.gather(tl.load(X + tl.arange(0, A)), index, 0))


@pytest.mark.parametrize("name", NUMBERS)
def test_gather_of_every_type(name):
    x, index = random(name, (32,)), torch.randint(0, 32, (64,))
    z = torch.zeros(64, dtype=x.dtype)
    _gather_line[(1,)](x, index, z, 32, 64)
    np.testing.assert_array_equal(array(z), array(x)[index.numpy()])
