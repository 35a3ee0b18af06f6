"""Every reader rule, by running what it reads, against NumPy and torch on odd sizes."""

from __future__ import annotations

import pytest
import torch

from tests.frontends.triton import rule_kernels as kernels

N, BLOCK = 37, 64


def _integers(dtype: torch.dtype) -> torch.Tensor:
    info = torch.iinfo(dtype)
    low = max(info.min, -1000) if info.min else 0
    return torch.randint(low, min(info.max, 1000), (N,), dtype=dtype)


def _same(actual: torch.Tensor, expected: torch.Tensor, tolerance: float = 2e-6) -> None:
    torch.testing.assert_close(
        actual.double(), expected.double(), rtol=tolerance, atol=tolerance, equal_nan=True
    )


INTEGERS = [torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8]


@pytest.mark.parametrize("dtype", INTEGERS, ids=str)
def test_integers(dtype):
    x, y = _integers(dtype), _integers(dtype)
    y[y == 0] = 3
    y[:3] = x[:3] = 5
    out = torch.zeros(15 * N, dtype=dtype)
    kernels.integers[(1,)](x, y, out, N, BLOCK=BLOCK)
    rest = torch.fmod(x, y)
    shift = y & 3
    expected = [x + y, x - y, x * y, (x - rest) // y, rest, x & y, x | y, x ^ y]
    expected += [x << shift, x >> shift, torch.maximum(x, y), torch.minimum(x, y)]
    expected += [(x < y).to(dtype), (x >= y).to(dtype), torch.where(x == y, x, y + 1)]
    for row, (actual, wanted) in enumerate(zip(out.view(15, N), expected, strict=True)):
        assert torch.equal(actual, wanted), f"row {row}"


def test_unsigned_high_product():
    x = torch.tensor([0xFFFFFFFF, 0x80000000, 3, 0x12345678], dtype=torch.uint32)
    out = torch.zeros(4, dtype=torch.uint32)
    kernels.high_products[(1,)](x, x, out, 4, BLOCK=4)
    assert out.tolist() == [value * value >> 32 for value in x.tolist()]


def test_floats():
    x, y = torch.randn(N), torch.randn(N)
    out = torch.zeros(16 * N)
    kernels.floats[(1,)](x, y, out, N, BLOCK=BLOCK)
    a, b = x.double(), y.double()
    expected = [a + b, -a * b, a / b, a * b + a, torch.maximum(a, b), a.clamp(-0.5, 0.5), a.abs()]
    expected += [a.abs().sqrt(), a.exp() + b.exp2(), a.abs().log() + b.abs().log2()]
    expected += [a.sin() + b.cos(), a.floor() + b.ceil(), a.erf() + b.abs().rsqrt()]
    expected += [a / b + a.abs().sqrt(), a.sigmoid(), torch.where(a < b, a, b)]
    for actual, wanted in zip(out.view(16, N), expected, strict=True):
        _same(actual, wanted)


def test_maximum_and_nan():
    x = torch.tensor([1.0, float("nan"), float("nan")])
    y = torch.tensor([float("nan"), 2.0, float("nan")])
    out = torch.zeros(48)
    kernels.floats[(1,)](x, y, out, 3, BLOCK=4)
    _same(out[12:15], torch.tensor([1.0, 2.0, float("nan")]))


def test_libdevice():
    x, y = torch.randn(N), torch.randn(N)
    out = torch.zeros(13 * N)
    kernels.devices[(1,)](x, y, out, N, BLOCK=BLOCK)
    a, b, i = x.double(), y.double(), torch.arange(N)
    expected = [a.tanh(), a.abs() ** b, torch.atan2(a, b), a.abs().log1p(), (a * 3).round()]
    expected += [a * b + b, a.clamp(0, 1), a.exp(), torch.zeros(N), (a * 5).trunc()]
    expected += [torch.hypot(a, b)]
    expected += [torch.tensor([(v & -v).bit_length() for v in (i + 8).tolist()])]
    expected += [torch.tensor([v.bit_count() for v in i.tolist()])]
    for actual, wanted in zip(out.view(13, N), expected, strict=True):
        _same(actual, wanted)


CASTS = [
    (torch.float32, torch.int32),
    (torch.float32, torch.uint8),
    (torch.float32, torch.bfloat16),
    (torch.float32, torch.float16),
    (torch.float16, torch.float64),
    (torch.int8, torch.int64),
    (torch.uint8, torch.int32),
    (torch.uint8, torch.float32),
    (torch.int64, torch.int16),
    (torch.int32, torch.bool),
    (torch.bool, torch.int32),
    (torch.bool, torch.float32),
    (torch.float32, torch.float8_e4m3fn),
    (torch.float8_e5m2, torch.float32),
]


@pytest.mark.parametrize(("source", "target"), CASTS, ids=str)
def test_casts(source, target):
    import triton.language as tl

    names = {torch.bool: "int1", torch.float8_e4m3fn: "float8e4nv", torch.float8_e5m2: "float8e5"}
    name = names.get(target, str(target).removeprefix("torch."))
    x = (torch.rand(N) * 100).to(source)
    out = torch.zeros(N, dtype=target)
    kernels.casts[(1,)](x, out, N, BLOCK=BLOCK, TO=getattr(tl, name))
    assert torch.equal(out.float(), x.to(target).float())


def test_rounding_toward_zero_and_bits():
    x = torch.randn(N)
    out = torch.zeros(N, dtype=torch.bfloat16)
    kernels.rounds_to_zero[(1,)](x, out, N, BLOCK=BLOCK)
    cut = (x.view(torch.int32) & -65536).view(torch.float32)
    assert torch.equal(out.float(), cut)
    raw = torch.zeros(N, dtype=torch.int32)
    kernels.bits[(1,)](x, raw, N, BLOCK=BLOCK)
    assert torch.equal(raw, x.view(torch.int32))


def test_shapes():
    height, width = 4, 8
    size = height * width
    x = torch.randn(size)
    out = torch.zeros(7 * size)
    kernels.shapes[(1,)](x, out, H=height, W=width)
    tile = x.view(height, width)
    pairs = x.view(-1, 2)
    expected = [tile.T.flatten(), pairs.flip(1).flatten(), x, x + 1]
    expected += [tile.flip(1).flatten(), x.flip(0), x.sort().values]
    assert torch.equal(out, torch.cat(expected))


def test_reductions_and_scans():
    height, width = 8, 16
    x = torch.randn(height * width)
    out = torch.zeros(width + 4 * height + 3 * height * width + 2)
    kernels.combines[(1,)](x, out, H=height, W=width)
    tile = x.view(height, width)
    lowest = tile.min(1)
    kept = tile.clone()
    for column in range(1, width):
        positive = tile[:, column] > 0
        kept[:, column] = torch.where(positive, tile[:, column], kept[:, column - 1])
    total = 0
    for value in (x * 8).int().tolist():
        total ^= value
    expected = [tile.sum(0), tile.max(1).values, lowest.values, lowest.indices.float()]
    expected += [tile.argmax(1).float(), tile.cumsum(1), tile.flip(0).cumsum(0).flip(0), kept]
    expected += [x.sum()[None], torch.tensor([float(total)])]
    _same(out, torch.cat([part.flatten() for part in expected]), 1e-5)


def test_histogram():
    x = torch.randint(0, 8, (N,), dtype=torch.int32)
    out = torch.zeros(8, dtype=torch.int32)
    kernels.histograms[(1,)](x, out, N, BLOCK=BLOCK, BINS=8)
    assert torch.equal(out, torch.bincount(x, minlength=8).int())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int8], ids=str)
def test_products(dtype):
    a, b = ((torch.rand(*shape) * 10 - 5).to(dtype) for shape in ((16, 32), (32, 8)))
    out = torch.zeros(16, 8, dtype=torch.int32 if dtype == torch.int8 else torch.float32)
    kernels.products[(1,)](a, b, out, M=16, N=8, K=32)
    _same(out, a.double() @ b.double(), 1e-5)


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint32], ids=str)
def test_atomics(dtype):
    x = torch.randint(0, 100, (N,)).to(dtype)
    counts = torch.zeros(14, dtype=torch.int64)
    counts[6:8] = 1000
    counts[9] = 3
    counts = counts.to(dtype)
    lock = torch.zeros(1, dtype=dtype)
    kernels.atomics[(1,)](counts, lock, x, N, BLOCK=BLOCK)
    values = x.long()
    expected = [int(values[i::4].sum()) for i in range(4)]
    expected += [int(values[i::2].max()) for i in range(2)]
    expected += [int(values[i::2].min()) for i in range(2)]
    assert counts.tolist() == [*expected, 5, 2, 3, 42, 0, 0]
    assert lock.tolist() == [7]


@pytest.mark.parametrize("flag", [0, 2])
def test_control(flag):
    x = torch.tensor([3.0, -5.0, 0.25, 9.0, -0.5])
    out = torch.full((7,), 77.0)
    kernels.controls[(7,)](x, out, 5, flag, LIMIT=10)

    def expected(value: float) -> float:
        if value < 0:
            if flag > 0:
                return -1.0
            value = -value
        steps = 0
        while value > 1:
            value, steps = value / 2, steps + 1
        for step in range(0, 10, 3):
            value = value + step if step % 2 == 0 else value - 1
        value += sum(range(10, 4, -2))
        return value * 3 * 2 + steps + 2

    _same(out, torch.tensor([*map(expected, x.tolist()), 77.0, 77.0]))


def test_tuple_argument():
    x, out = torch.randn(8), torch.zeros(8)
    kernels.tuple_argument[(1,)]((x, 3), out, BLOCK=8)
    assert torch.equal(out, x * 3)
