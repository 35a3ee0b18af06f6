"""Loads and stores: masks, other values, hints, scalars, addresses of every form."""

from __future__ import annotations

import numpy as np
import pytest

from tests.triton.language import support
from tests.triton.language.support import NUMBERS, assert_lanes

torch, triton = support.torch, support.triton
import triton.language as tl  # noqa: E402


@triton.jit
def _masked(X, GIVEN, CONSTANT, TRUE, FALSE, UNIFORM, n, other, N: tl.constexpr):
    lanes = tl.arange(0, N)
    kind: tl.constexpr = X.dtype.element_ty
    tl.store(GIVEN + lanes, tl.load(X + lanes, mask=lanes < n, other=other))
    tl.store(CONSTANT + lanes, tl.load(X + lanes, mask=lanes < n, other=3))
    tl.store(TRUE + lanes, tl.load(X + lanes, mask=True, other=3))
    tl.store(FALSE + lanes, tl.load(X + lanes, mask=False, other=3))
    nowhere = X + lanes * 0
    tl.store(UNIFORM + lanes, tl.load(nowhere, mask=n > 100, other=lanes.to(kind)))
    tl.store(UNIFORM + lanes, 7, mask=False)


@pytest.mark.parametrize("dtype", NUMBERS)
def test_masks_and_other_values(dtype: str):
    x, lanes = support.random(dtype, seed=1), np.arange(support.LANES)
    outputs = [support.poisoned(dtype) for _ in range(5)]
    _masked[(1,)](support.tensor(x, dtype), *outputs, 20, 5, N=support.LANES)
    threes = np.full(support.LANES, 3)
    expected = [np.where(lanes < 20, x, 5), np.where(lanes < 20, x, 3), x, threes, lanes]
    for output, answer in zip(outputs, expected, strict=True):
        assert_lanes(output, answer.astype(x.dtype), dtype)


@triton.jit
def _scalars(X, Z, n, OTHER: tl.constexpr):
    i = tl.program_id(0)
    x = tl.load(X + i, mask=i < n, other=7) if OTHER else tl.load(X + i, mask=i < n)
    tl.store(Z + i, x, mask=i < n)
    tl.store(Z + i + 8, tl.load(X + i, volatile=True))


@pytest.mark.parametrize("with_other", [False, True])
@pytest.mark.parametrize("dtype", [*NUMBERS, "bool"])
def test_scalars_under_a_mask(dtype: str, with_other: bool):
    x = support.random(dtype, 8, seed=2)
    z = support.poisoned(dtype, 16)
    poison = support.array(z).copy()
    _scalars[(8,)](support.tensor(x, dtype), z, 5, OTHER=with_other)
    assert_lanes(z, np.concatenate([x[:5], poison[5:8], x]))


@triton.jit
def _addresses(X, Z, INDEX, N: tl.constexpr):
    lanes = tl.arange(0, N)
    index = tl.load(INDEX + lanes)
    tl.store(Z + lanes, tl.load(lanes + X))
    tl.store(Z + N + lanes, tl.load(X + lanes * 2))
    tl.store(Z + 2 * N + lanes * 2, tl.load(X + lanes))
    tl.store(Z + 4 * N + lanes, tl.load(X + index))
    tl.store(Z + 5 * N + index, tl.load(X + lanes))
    tl.store(Z + 6 * N + lanes[::], tl.load(X + (N - 1 - lanes)))


@pytest.mark.parametrize("dtype", NUMBERS)
def test_addresses(dtype: str):
    n = support.LANES
    x = support.random(dtype, 2 * n, seed=3)
    index = np.random.default_rng(4).permutation(n)
    z = support.poisoned(dtype, 7 * n)
    expected = support.array(z).copy()
    _addresses[(1,)](support.tensor(x, dtype), z, torch.from_numpy(index), N=n)
    expected[:n], expected[n : 2 * n] = x[:n], x[::2]
    expected[2 * n : 4 * n : 2] = x[:n]
    expected[4 * n : 5 * n] = x[index]
    expected[5 * n + index] = x[:n]
    expected[6 * n :] = x[:n][::-1]
    assert_lanes(z, expected, dtype)


@pytest.mark.parametrize("eviction", ["", "evict_first", "evict_last"])
@pytest.mark.parametrize(
    ("read", "write"), [("", ""), (".ca", ".wb"), (".cg", ".cs"), (".cv", ".wt")]
)
def test_cache_hints_change_nothing(read: str, write: str, eviction: str, tmp_path):
    kernel = support.kernel_of(
        f"""
@triton.jit
def kernel(X, Z, N: tl.constexpr):
    lanes = tl.arange(0, N)
    x = tl.load(X + lanes, cache_modifier={read!r}, eviction_policy={eviction!r})
    tl.store(Z + lanes, x, cache_modifier={write!r}, eviction_policy={eviction!r})
    tl.store(Z + N, tl.load(X, volatile=True, cache_modifier={read!r}))
""",
        tmp_path,
    )
    x, z = torch.randn(128), torch.full((129,), 99.0)
    kernel[(1,)](x, z, N=128)
    assert torch.equal(z, torch.cat([x, x[:1]]))


@triton.jit
def _constants(Z, n, N: tl.constexpr, WHAT: tl.constexpr):
    lanes = tl.arange(0, N)
    if WHAT == "value":
        tl.store(Z + lanes, 1, mask=lanes < n)
    elif WHAT == "comparison":
        tl.store(Z + lanes, lanes < n)
    else:
        tl.store(Z + lanes, lanes < n, mask=False)


@pytest.mark.parametrize("dtype", [*NUMBERS, "bool"])
def test_storing_constants_and_comparisons(dtype: str):
    for what, lanes in {"value": [1] * 9, "comparison": [1] * 9 + [0] * 7, "none": []}.items():
        z = support.poisoned(dtype, 16)
        expected = z.clone()
        expected[: len(lanes)] = torch.tensor(lanes, dtype=z.dtype)
        _constants[(1,)](z, 9, N=16, WHAT=what)
        assert torch.equal(z, expected), what


@triton.jit
def _chosen(CONDITION, A, B, Z, n, N: tl.constexpr, HOW: tl.constexpr):
    lanes = tl.arange(0, N)
    mask = lanes < n
    condition = tl.load(CONDITION + lanes, mask=mask)
    if HOW == "scalar pointers":
        z = tl.load(tl.where(tl.load(CONDITION), A, B) + lanes, mask=mask)
    elif HOW == "pointers":
        z = tl.load(tl.where(condition, A + lanes, B + lanes), mask=mask)
    else:
        z = tl.where(condition, tl.load(A + lanes, mask=mask), tl.load(B + lanes, mask=mask))
    tl.store(Z + lanes, z, mask=mask)


@pytest.mark.parametrize("how", ["values", "pointers", "scalar pointers"])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_choosing(dtype: str, how: str):
    n = 1000
    condition = support.random("bool", n, seed=5)
    a, b = support.random(dtype, n, seed=6), support.random(dtype, n, seed=7)
    z = support.poisoned(dtype, n)
    inputs = [support.tensor(x, d) for x, d in ((condition, "bool"), (a, dtype), (b, dtype))]
    _chosen[(1,)](*inputs, z, n, N=1024, HOW=how)
    assert_lanes(z, np.where(condition[0] if how == "scalar pointers" else condition, a, b))


@triton.jit
def _in_place(X):
    i = tl.program_id(0)
    tl.store(X + i, tl.load(X + i) * 2)


def test_many_scalar_programs_in_place():
    x = torch.arange(65536, dtype=torch.float32)
    _in_place[(65536,)](x)
    assert torch.equal(x, 2 * torch.arange(65536, dtype=torch.float32))
