"""Moving lanes: concatenation, join and split, transposition, reshapes, broadcasts, indexing."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from tests.triton.language import support
from tests.triton.language.support import NUMBERS, assert_lanes

torch, triton = support.torch, support.triton
import triton.language as tl  # noqa: E402
from triton.tools.tensor_descriptor import TensorDescriptor  # noqa: E402


@triton.jit
def _pairs(X, Y, CAT, JOIN, A, B, MIXED, N: tl.constexpr):
    lanes, both = tl.arange(0, N), tl.arange(0, 2 * N)
    x, y = tl.load(X + lanes), tl.load(Y + lanes)
    tl.store(CAT + both, tl.cat(x, y))
    joined = tl.join(x, y)
    tl.store(JOIN + lanes[:, None] * 2 + tl.arange(0, 2)[None, :], joined)
    a, b = tl.split(tl.where(joined == joined, joined, joined))
    tl.store(A + lanes, a)
    tl.store(B + lanes, b)
    tl.store(MIXED + both, tl.interleave(x, y))


@pytest.mark.parametrize("dtype", NUMBERS)
def test_two_tiles_into_one_and_back(dtype: str):
    n = support.LANES
    x, y = support.random(dtype, seed=1), support.random(dtype, seed=2)
    sizes = [2 * n, 2 * n, n, n, 2 * n]
    outputs = [support.poisoned(dtype, size) for size in sizes]
    _pairs[(1,)](support.tensor(x, dtype), support.tensor(y, dtype), *outputs, N=n)
    mixed = np.stack([x, y], -1).reshape(-1)
    expected = [np.concatenate([x, y]), mixed, x, y, mixed]
    for output, lanes in zip(outputs, expected, strict=True):
        assert_lanes(output, lanes, dtype)


@triton.jit
def _scalar_pairs(X, Z, a, b):
    x, y = tl.load(X), tl.load(X + 1)
    joined = tl.join(x, y)
    tl.static_assert(joined.shape == [2])
    tl.store(Z + tl.arange(0, 2), joined)
    first, second = tl.split(tl.load(X + tl.arange(0, 2)))
    tl.static_assert(first.shape == [])
    tl.store(Z + 2, first)
    tl.store(Z + 3, second)
    tl.store(Z + 4 + tl.arange(0, 2), tl.interleave(a, b))


def test_scalars_into_a_tile_and_back():
    z = torch.full((6,), 99.0)
    _scalar_pairs[(1,)](torch.tensor([42, 100], dtype=torch.int32), z, 10, 20)
    assert z.tolist() == [42, 100, 42, 100, 10, 20]


@triton.jit
def _concatenated(x_desc, y_desc, z_desc, DIM: tl.constexpr, RANK: tl.constexpr):
    zeros = [0] * RANK
    z_desc.store(zeros, tl.cat(x_desc.load(zeros), y_desc.load(zeros), dim=DIM))


@pytest.mark.parametrize("shape", [(128,), (16, 32), (8, 16, 4), (2, 4, 8, 16)], ids=str)
def test_concatenation_along_every_axis(shape: tuple[int, ...]):
    x, y = torch.rand(shape), torch.rand(shape)
    for dim in range(len(shape)):
        expected = torch.cat([x, y], dim=dim)
        z = torch.full_like(expected, 99)
        tiles = [TensorDescriptor.from_tensor(t, block_shape=list(t.shape)) for t in (x, y, z)]
        _concatenated[(1,)](*tiles, DIM=dim, RANK=len(shape))
        assert torch.equal(z, expected), dim


@triton.jit
def _permuted(X, Z, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr, ORDER: tl.constexpr):
    x = tl.load(X + tl.arange(0, A * B * C)).reshape(A, B, C)
    tl.store(Z + tl.arange(0, A * B * C), tl.permute(x, ORDER).reshape(A * B * C))


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))), ids=str)
def test_permutations(order: tuple[int, ...]):
    x = torch.randint(-100, 100, (4, 8, 16), dtype=torch.int16)
    z = torch.full((512,), 999, dtype=torch.int16)
    _permuted[(1,)](x, z, 4, 8, 16, order)
    assert torch.equal(z, x.permute(order).reshape(-1))


@triton.jit
def _transposed(X, Y, TURNED, WIDE, M: tl.constexpr, N: tl.constexpr):
    rows, columns = tl.arange(0, M), tl.arange(0, N)
    places = rows[:, None] * N + columns[None, :]
    x = tl.load(X + places)
    tl.store(TURNED + columns[:, None] * M + rows[None, :], x.T)
    _, wide = tl.broadcast(x, tl.load(Y + columns))
    tl.store(WIDE + places, wide)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_transposes_and_broadcasts(dtype: str):
    x, y = support.random(dtype, (16, 32), seed=3), support.random(dtype, 32, seed=4)
    turned, wide = support.poisoned(dtype, (32, 16)), support.poisoned(dtype, (16, 32))
    _transposed[(1,)](support.tensor(x, dtype), support.tensor(y, dtype), turned, wide, M=16, N=32)
    assert_lanes(turned, x.T, dtype)
    assert_lanes(wide, np.broadcast_to(y, (16, 32)), dtype)


RESHAPES = [((64,), (8, 8)), ((2, 32), (16, 4)), ((512,), (2,) * 9), ((64, 32), (16, 8, 16))]


@triton.jit
def _reshaped(X, Z, BEFORE: tl.constexpr, AFTER: tl.constexpr, SIZE: tl.constexpr):
    x = tl.load(X + tl.arange(0, SIZE)).reshape(BEFORE)
    places = tl.reshape(tl.arange(0, SIZE), AFTER)
    tl.store(Z + places, tl.reshape(x, AFTER))


@pytest.mark.parametrize(("before", "after"), RESHAPES, ids=str)
def test_reshapes(before: tuple[int, ...], after: tuple[int, ...]):
    x = torch.randn(before)
    z = torch.full_like(x, 99)
    _reshaped[(1,)](x, z, before, after, SIZE=x.numel())
    assert torch.equal(z, x)


@triton.jit
def _static_shapes(N: tl.constexpr):
    x = tl.arange(0, N)
    tl.static_assert(x[None, :].shape == [1, N])
    tl.static_assert(x[None, :, None].shape == [1, N, 1])
    tl.static_assert(x[None, ::None, None].shape == [1, N, 1])
    tl.static_assert(tl.expand_dims(x, (0, -1)).shape == [1, N, 1])
    tl.static_assert(tl.expand_dims(x, (-4, 2, -1)).shape == [1, N, 1, 1])
    tl.static_assert(tl.expand_dims(tl.sum(x), -1).shape == [1])
    tl.static_assert(tl.expand_dims(N, -1).shape == [1])
    tl.static_assert(tl.full([], 1, tl.int32)[None, None].shape == [1, 1])
    tl.static_assert(tl.unsqueeze(x, -1).shape == [N, 1])
    tl.static_assert(tl.squeeze(x[:, None], -1).shape == [N])
    tl.static_assert(x.expand_dims(-1).broadcast_to(N, N).shape == [N, N])
    tl.static_assert(x.reshape(4, N // 4).permute(1, 0).shape == [N // 4, 4])
    tl.static_assert(x.reshape(2, 2, N // 4).trans((2, 1, 0)).shape == [N // 4, 2, 2])


def test_shapes_known_while_compiling():
    _static_shapes[(1,)](N=32)
