"""tl.reduce and what is made of it: every type, any axis, any combine function."""

from __future__ import annotations

import numpy as np
import pytest

from tests.triton.language.numbers import FLOATS, NUMBERS, array, assert_near, random, torch

triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
import triton.language as tl  # noqa: E402

A, B, C = 2, 8, 32


@triton.jit
def _load(X, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr):
    a, b, c = tl.arange(0, A), tl.arange(0, B), tl.arange(0, C)
    return tl.load(X + a[:, None, None] * B * C + b[None, :, None] * C + c[None, None, :])


@triton.jit
def _ordered(X, HIGH, LOW, AT_HIGH, AT_LOW, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr,
             AXIS: tl.constexpr, REST: tl.constexpr):  # fmt: skip
    x = _load(X, A, B, C)
    lanes = tl.arange(0, REST)
    tl.store(HIGH + lanes, tl.max(x, AXIS).reshape([REST]))
    tl.store(LOW + lanes, tl.min(x, AXIS, keep_dims=True).reshape([REST]))
    tl.store(AT_HIGH + lanes, tl.argmax(x, AXIS).reshape([REST]))
    tl.store(AT_LOW + lanes, tl.argmin(x, AXIS).reshape([REST]))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", NUMBERS)
def test_extrema_and_their_places(name, axis):
    x = random(name, (A, B, C))
    x[0, 3, 5] = x[1, 3, 5]  # a tie along the first axis
    rest = A * B * C // x.shape[axis]
    high, low = (torch.zeros(rest, dtype=x.dtype) for _ in range(2))
    at_high, at_low = (torch.zeros(rest, dtype=torch.int32) for _ in range(2))
    _ordered[(1,)](x, high, low, at_high, at_low, A, B, C, axis, rest)
    lanes = array(x)
    np.testing.assert_array_equal(array(high), lanes.max(axis).ravel())
    np.testing.assert_array_equal(array(low), lanes.min(axis).ravel())
    np.testing.assert_array_equal(at_high, lanes.argmax(axis).ravel())
    np.testing.assert_array_equal(at_low, lanes.argmin(axis).ravel())


@triton.jit
def _sums(X, SUM, XOR, OR, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr, AXIS: tl.constexpr,
          REST: tl.constexpr):  # fmt: skip
    x = _load(X, A, B, C)
    lanes = tl.arange(0, REST)
    tl.store(SUM + lanes, tl.sum(x, AXIS).reshape([REST]))
    if XOR is not None:
        tl.store(XOR + lanes, tl.xor_sum(x, AXIS).reshape([REST]))
        tl.store(OR + lanes, tl.reduce_or(x, AXIS).reshape([REST]))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("name", NUMBERS)
def test_sums(name, axis):
    x = random(name, (A, B, C))
    rest = A * B * C // x.shape[axis]
    lanes = array(x)
    if name in FLOATS:
        total = torch.zeros(rest, dtype=x.dtype)
        _sums[(1,)](x, total, None, None, A, B, C, axis, rest)
        bound = 20 * torch.finfo(x.dtype).eps * np.abs(lanes).sum(axis).max()
        np.testing.assert_allclose(array(total), lanes.sum(axis).ravel(), rtol=0, atol=bound)
        return
    wide = name if x.dtype.itemsize >= 4 else name.rstrip("0123456789") + "32"
    total = torch.zeros(rest, dtype=NUMBERS[wide])
    xor, either = torch.zeros(rest, dtype=x.dtype), torch.zeros(rest, dtype=x.dtype)
    _sums[(1,)](x, total, xor, either, A, B, C, axis, rest)
    np.testing.assert_array_equal(total, lanes.sum(axis, dtype=wide).ravel())
    np.testing.assert_array_equal(xor, np.bitwise_xor.reduce(lanes, axis).ravel())
    np.testing.assert_array_equal(either, np.bitwise_or.reduce(lanes, axis).ravel())


@triton.jit
def _sum_of(OUT, init, GIVEN: tl.constexpr, WANTED: tl.constexpr):
    tl.store(OUT, tl.sum(tl.full((32, 32), init, GIVEN), dtype=WANTED).to(tl.int32))


@pytest.mark.parametrize(
    ("init", "given", "wanted", "expected"),
    [(1, tl.int1, None, 1024), (1, tl.int1, tl.int1, 0), (7, tl.int8, tl.int8, 0)],
)
def test_type_of_a_sum(init, given, wanted, expected, way):
    out = torch.full((1,), -1, dtype=torch.int32)
    _sum_of[(1,)](out, init, given, wanted)
    assert out.item() == expected


@triton.jit
def _with_indices(X, V, AT, M: tl.constexpr, N: tl.constexpr, LARGEST: tl.constexpr,
                  LEFT: tl.constexpr):  # fmt: skip
    x = tl.load(X + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    if LARGEST:
        v, i = tl.max(x, 1, return_indices=True, return_indices_tie_break_left=LEFT)
    else:
        v, i = tl.min(x, 1, return_indices=True, return_indices_tie_break_left=LEFT)
    tl.store(V + tl.arange(0, M), v)
    tl.store(AT + tl.arange(0, M), i)


@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("largest", [True, False])
def test_indices_of_ties(largest, left, way):
    x = torch.randint(0, 4, (8, 64)).float()
    value, index = torch.zeros(8), torch.zeros(8, dtype=torch.int32)
    _with_indices[(1,)](x, value, index, 8, 64, largest, left)
    assert torch.equal(value, (x.amax(1) if largest else x.amin(1)))
    assert torch.equal(x.gather(1, index.long()[:, None])[:, 0], value)
    if left:
        place = np.argmax if largest else np.argmin
        np.testing.assert_array_equal(index, place(x.numpy(), axis=1))


@triton.jit
def _nan_kept(a, b):
    return tl.maximum(a, b, propagate_nan=tl.PropagateNan.ALL)


@triton.jit
def _maxima(X, Z, M: tl.constexpr, N: tl.constexpr):
    x = tl.load(X + tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :])
    tl.store(Z + tl.arange(0, M), tl.max(x, 1))
    tl.store(Z + M + tl.arange(0, M), tl.reduce(x, 1, _nan_kept))


@pytest.mark.parametrize("name", FLOATS)
def test_nan(name, way):
    x = random(name, (4, 128))
    x[1, 77] = x[2, 0] = float("nan")
    z = torch.zeros(8, dtype=x.dtype)
    _maxima[(1,)](x, z, 4, 128)
    assert torch.equal(z[:4], torch.nan_to_num(x, nan=-9.0).amax(1))
    assert torch.equal(z[4:].isnan(), torch.tensor([False, True, True, False]))


@triton.jit
def _add(a, b):
    return a + b


@triton.jit
def _welford(mean1, square1, weight1, mean2, square2, weight2):
    delta = mean2 - mean1
    weight = weight1 + weight2
    part = weight2 / weight
    return (mean1 + delta * part, square1 + square2 + delta * delta * weight1 * part, weight)


@triton.jit
def _moments(X, OUT, N: tl.constexpr):
    x = tl.load(X + tl.arange(0, N))
    (first,) = tl.reduce((x,), 0, _add)
    mean, square, weight = tl.reduce(
        (x, tl.zeros_like(x), tl.full(x.shape, 1.0, x.dtype)), 0, _welford
    )
    tl.store(OUT, mean)
    tl.store(OUT + 1, square / weight)
    tl.store(OUT + 2, first)
    tl.store(OUT + 3, tl.reduce(x, 0, _add))


def test_several_operands(way):
    x, out = torch.rand(512), torch.zeros(4)
    _moments[(1,)](x, out, 512)
    expected = torch.stack([x.mean(), x.var(correction=0), x.sum(), x.sum()])
    torch.testing.assert_close(out, expected)


@triton.jit
def _larger_by_branch(a, b):
    larger = b
    if a > b:
        larger = a
    return larger


@triton.jit
def _larger_by_loop(a, b):
    larger = a
    for _ in range(3):
        larger += b - b
    while larger < b:
        larger += b - larger
    return larger


@triton.jit
def _checked_add(a, b):
    wide = a.to(tl.int64) + b.to(tl.int64)
    tl.device_assert((wide >= -(2**31)) & (wide <= 2**31 - 1), "the sum is too large")
    return a + b


@triton.jit
def _reduce_and_scan(X, Z, S, M: tl.constexpr, N: tl.constexpr, AXIS: tl.constexpr,
                     WAY: tl.constexpr):  # fmt: skip
    lanes = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    x = tl.load(X + lanes)
    rest: tl.constexpr = N if AXIS == 0 else M
    if WAY == "branch":
        total, steps = (
            tl.reduce(x, AXIS, _larger_by_branch),
            tl.associative_scan(x, AXIS, _larger_by_branch),
        )
    elif WAY == "loop":
        total, steps = (
            tl.reduce(x, AXIS, _larger_by_loop),
            tl.associative_scan(x, AXIS, _larger_by_loop),
        )
    else:
        total, steps = tl.reduce(x, AXIS, _checked_add), tl.associative_scan(x, AXIS, _checked_add)
    tl.store(Z + tl.arange(0, rest), total)
    tl.store(S + lanes, steps)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("combine", ["branch", "loop"])
def test_control_flow_in_the_combine_function(combine, axis, way):
    x = torch.randint(-50, 50, (8, 16)).float()
    z, s = torch.zeros(16 if axis == 0 else 8), torch.zeros(8, 16)
    _reduce_and_scan[(1,)](x, z, s, 8, 16, axis, combine)
    assert torch.equal(z, x.amax(axis))
    assert torch.equal(s, x.cummax(axis).values)


@pytest.mark.parametrize("axis", [0, 1])
def test_assertion_in_the_combine_function(axis, way):
    x = torch.randint(0, 10, (8, 16), dtype=torch.int32)
    z = torch.zeros(16 if axis == 0 else 8, dtype=torch.int32)
    s = torch.zeros_like(x)
    _reduce_and_scan[(1,)](x, z, s, 8, 16, axis, "assert", debug=True)
    assert torch.equal(z, x.sum(axis).int())
    assert torch.equal(s, x.cumsum(axis).int())
    with pytest.raises(RuntimeError, match=r"device-side assert.*the sum is too large"):
        _reduce_and_scan[(1,)](x + 2**30, z, s, 8, 16, axis, "assert", debug=True)


@triton.jit
def _chain(X, OUT, SHAPE: tl.constexpr, ORDER: tl.constexpr, FIRST: tl.constexpr,
           SECOND: tl.constexpr, THIRD: tl.constexpr, SIZE: tl.constexpr):  # fmt: skip
    lanes = tl.arange(0, SIZE).reshape(SHAPE)
    x = tl.permute(tl.load(X + lanes), ORDER)
    total = tl.sum(tl.sum(tl.sum(x, FIRST), SECOND), THIRD)
    tl.store(OUT + tl.arange(0, total.numel).reshape(total.shape), total)


@pytest.mark.parametrize(
    ("shape", "order", "axes"),
    [
        ((4, 8, 16, 4, 2), (2, 1, 0, 3, 4), (3, 1, 0)),
        ((8, 2, 8, 4, 16), (4, 0, 1, 3, 2), (0, 2, 0)),
    ],
)
def test_reductions_of_reductions(shape, order, axes):
    x = torch.randint(0, 1000, shape, dtype=torch.int32)
    expected = x.permute(order)
    for axis in axes:
        expected = expected.sum(axis)
    out = torch.zeros(expected.shape, dtype=torch.int32)
    _chain[(1,)](x, out, shape, order, *axes, x.numel())
    assert torch.equal(out, expected.int())


@triton.jit
def _products(X, Y, Z, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    x = tl.load(X + m[:, None] * K + k[None, :])
    y = tl.load(Y + k[:, None] * N + n[None, :])
    tl.store(Z + m[:, None] * N + n[None, :], tl.sum(x[:, :, None] * y[None, :, :], 1))


def test_sum_of_products():
    x, y, z = torch.randn(16, 8), torch.randn(8, 32), torch.zeros(16, 32)
    _products[(1,)](x, y, z, 16, 32, 8)
    assert_near("float32", z, (x.double() @ y.double()).numpy())
