"""tl.associative_scan, cumsum and cumprod: every type, any axis, both directions."""

from __future__ import annotations

import numpy as np
import pytest

from tests.triton.language.numbers import FLOATS, NUMBERS, array, random, torch

triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
import triton.language as tl  # noqa: E402


@triton.jit
def _first(a, b):
    return a


@triton.jit
def _recurrence(a1, b1, a2, b2):
    return a1 * a2, b1 * a2 + b2


@triton.jit
def _larger(value1, index1, value2, index2):
    is_left = value1 > value2
    return tl.where(is_left, value1, value2), tl.where(is_left, index1, index2)


@triton.jit
def _roll(count1, last1, current1, count2, last2, current2):
    return count1 + count2, tl.where(count2 == 1, current1, 0) + last2, current2


@triton.jit
def _scans(X, Y, SUM, PRODUCT, FIRST, LINEAR, PLACE, ROLLED, M: tl.constexpr, N: tl.constexpr,
           AXIS: tl.constexpr, REVERSE: tl.constexpr):  # fmt: skip
    m, n = tl.arange(0, M)[:, None], tl.arange(0, N)[None, :]
    lanes = m * N + n
    x, y = tl.load(X + lanes), tl.load(Y + lanes)
    index = tl.broadcast_to((m if AXIS == 0 else n).to(tl.int64), [M, N])
    tl.store(SUM + lanes, tl.cumsum(x, AXIS, reverse=REVERSE))
    tl.store(PRODUCT + lanes, tl.cumprod(y, AXIS, reverse=REVERSE))
    tl.store(FIRST + lanes, tl.associative_scan(x, AXIS, _first, reverse=REVERSE))
    _, linear = tl.associative_scan((y, x), AXIS, _recurrence, reverse=REVERSE)
    tl.store(LINEAR + lanes, linear)
    _, place = tl.associative_scan((x, index), AXIS, _larger, reverse=REVERSE)
    tl.store(PLACE + lanes, place)
    _, rolled, _ = tl.associative_scan((x * 0 + 1, x * 0, x), AXIS, _roll, reverse=REVERSE)
    tl.store(ROLLED + lanes, rolled)


def _places(lanes: np.ndarray) -> np.ndarray:
    """Along axis 0, where the largest number so far stands; of equal ones, the last."""
    found = np.zeros(lanes.shape, np.int64)
    for i in range(1, len(lanes)):
        best = np.take_along_axis(lanes, found[i - 1][None], 0)[0]
        found[i] = np.where(best > lanes[i], found[i - 1], i)
    return found


@pytest.mark.parametrize(
    ("shape", "axis", "reverse"),
    [((4, 32), 1, False), ((8, 4), 0, True), ((1, 64), -1, True), ((8, 2), 0, False)],
)
@pytest.mark.parametrize("name", NUMBERS)
def test_scans(name, shape, axis, reverse):
    if name in FLOATS:  # sums and products of these are exact in every type
        generator = np.random.default_rng(1)
        x = torch.from_numpy(generator.integers(-2, 3, shape)).to(FLOATS[name])
        y = torch.from_numpy(generator.choice([-1, 1], shape)).to(FLOATS[name])
    else:
        x, y = random(name, shape, 1), random(name, shape, 2)
    outputs = [torch.zeros_like(x) for _ in range(6)]
    outputs[4] = torch.zeros(shape, dtype=torch.int64)
    _scans[(1,)](x, y, *outputs, *shape, axis, reverse)
    a, b = (np.moveaxis(array(t), axis, 0)[:: -1 if reverse else 1] for t in (x, y))
    recurrence = [a[0]]
    for step in range(1, len(a)):
        recurrence.append(recurrence[-1] * b[step] + a[step])
    place = _places(a)
    expected = [
        a.cumsum(0, dtype=a.dtype),
        b.cumprod(0, dtype=b.dtype),
        np.broadcast_to(a[:1], a.shape),
        np.stack(recurrence),
        len(a) - 1 - place if reverse else place,
        np.concatenate([np.zeros_like(a[:1]), a[:-1]]),
    ]
    for which, (output, wanted) in enumerate(zip(outputs, expected, strict=True)):
        back = np.moveaxis(wanted[:: -1 if reverse else 1], 0, axis)
        np.testing.assert_array_equal(array(output), back, err_msg=f"output {which}")


@triton.jit
def _spread(OUT, X, M: tl.constexpr, N: tl.constexpr):
    total = tl.cumsum(tl.load(X + tl.arange(0, M))).reshape([1, M]).broadcast_to([N, M])
    tl.store(OUT + tl.arange(0, M * N), total.reshape([M * N]))


@pytest.mark.parametrize(("m", "n"), [(1, 64), (4, 16), (64, 1)])
def test_scan_of_one_axis(m, n, way):
    x, out = torch.randint(-100, 100, (m,)), torch.zeros(n, m, dtype=torch.int64)
    _spread[(1,)](out, x, m, n)
    assert torch.equal(out, x.cumsum(0).expand(n, m))
