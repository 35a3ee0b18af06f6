"""tl.rand and its like against Philox as its authors publish it, bit by bit."""

from __future__ import annotations

import numpy as np
import pytest

from tests.triton.language.numbers import torch

triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
import triton.language as tl  # noqa: E402

SEEDS = [0, 42, 0xFFFFFFFF, 0x0000000FCAFEB0BA, 2**63 + 5]
WORDS = {
    32: ((0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85)),
    64: (
        (0xD2E7470EE14C6C93, 0xCA5A826395121157),
        (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B),
    ),
}


def philox(seed: int, counter: list[int], bits: int = 32, rounds: int = 10) -> list[int]:
    """Salmon, Moraes, Dror, Shaw: Parallel random numbers, as easy as 1, 2, 3 (SC11)."""
    factors, steps = WORDS[bits]
    mask = (1 << bits) - 1
    key = [seed & mask, seed >> bits & mask]
    for _ in range(rounds):
        first, second = factors[0] * counter[0], factors[1] * counter[2]
        counter = [
            second >> bits ^ counter[1] ^ key[0],
            second & mask,
            first >> bits ^ counter[3] ^ key[1],
            first & mask,
        ]
        key = [(k + step) & mask for k, step in zip(key, steps, strict=True)]
    return counter


@triton.jit
def _four(X, seed, N: tl.constexpr, KIND: tl.constexpr):
    lanes = tl.arange(0, N)
    a, b, c, d = tl.randint4x(seed, lanes.to(KIND))
    tl.store(X + lanes, a)
    tl.store(X + N + lanes, b)
    tl.store(X + 2 * N + lanes, c)
    tl.store(X + 3 * N + lanes, d)


@pytest.mark.parametrize("kind", [tl.int32, tl.int64])
@pytest.mark.parametrize("seed", SEEDS)
def test_four_integers(seed, kind, way):
    x = torch.zeros(4, 64, dtype=torch.int64)
    _four[(1,)](x, seed, 64, kind)
    for lane in (0, 1, 37, 63):
        made = [value & 0xFFFFFFFF for value in x[:, lane].tolist()]
        assert made == philox(seed, [lane, 0, 0, 0])


@triton.jit
def _words(X, seed, ROUNDS: tl.constexpr, KIND: tl.constexpr):
    zero = tl.zeros((1,), KIND)
    a, b, c, d = tl.philox(seed, zero + 1, zero + 2, zero + 3, zero + 4, ROUNDS)
    one = tl.arange(0, 1)
    tl.store(X + one, a)
    tl.store(X + 1 + one, b)
    tl.store(X + 2 + one, c)
    tl.store(X + 3 + one, d)


@pytest.mark.parametrize("rounds", [7, 10])
@pytest.mark.parametrize("bits", [32, 64])
def test_words_and_rounds(bits, rounds, way):
    x = torch.zeros(4, dtype=torch.int64)
    _words[(1,)](x, 42, rounds, tl.int32 if bits == 32 else tl.int64)
    made = [value & (1 << bits) - 1 for value in x.tolist()]
    assert made == philox(42, [1, 2, 3, 4], bits, rounds)


@triton.jit
def _floats(X, Y, seed, N: tl.constexpr):
    lanes = tl.arange(0, N)
    tl.store(X + lanes, tl.rand(seed, lanes))
    tl.store(Y + lanes, tl.randn(seed, lanes))


@pytest.mark.parametrize("seed", SEEDS)
def test_floats(seed):
    x, y = torch.zeros(4096), torch.zeros(4096)
    _floats[(1,)](x, y, seed, 4096)
    assert x.min() >= 0
    assert x.max() < 1
    assert abs(x.mean() - 0.5) < 0.02
    assert abs(y.mean()) < 0.07
    assert abs(y.std() - 1) < 0.05
    for lane in (0, 5, 4095):
        word = np.array(philox(seed, [lane, 0, 0, 0])[0], np.uint32).view(np.int32)
        folded = np.float32(-int(word) - 1 if word < 0 else int(word))
        assert x[lane].item() == folded * np.float32(4.6566127342e-10)


@triton.jit
def _four_floats(X, seed, N: tl.constexpr):
    lanes = tl.arange(0, N)
    a, b, c, d = tl.rand4x(seed, lanes)
    e, f, g, h = tl.randn4x(seed, lanes)
    tl.store(X + lanes, a + b + c + d)
    tl.store(X + N + lanes, e + f + g + h)


def test_four_floats():
    x = torch.zeros(2, 4096)
    _four_floats[(1,)](x, 7, 4096)
    assert abs(x[0].mean() - 2) < 0.05
    assert abs(x[1].mean()) < 0.15
    assert abs(x[1].std() - 2) < 0.1


@triton.jit
def _limits(X, Z, N: tl.constexpr):
    tl.store(Z + tl.arange(0, N), tl.random.uint_to_uniform_float(tl.load(X + tl.arange(0, N))))


def test_floats_stay_below_one(way):
    x = torch.tensor([0, -(2**31), -1, 2**31 - 1], dtype=torch.int32)
    z = torch.full((4,), -1.0)
    _limits[(1,)](x, z, 4)
    assert z[0] == 0
    assert ((z >= 0) & (z < 1)).all()
