"""Conversions between all types: numeric, bit by bit, to the 8-bit floats, with both roundings."""

from __future__ import annotations

import numpy as np
import pytest

from tests.triton.language import support
from tests.triton.language.support import NUMBERS, assert_lanes, bits_of, is_float, rounded

torch, triton = support.torch, support.triton
import triton.language as tl  # noqa: E402

ALL = [*NUMBERS, "bool"]
F8 = {
    "float8e4nv": torch.float8_e4m3fn,
    "float8e5": torch.float8_e5m2,
    "float8e4b8": torch.float8_e4m3fnuz,
    "float8e5b16": torch.float8_e5m2fnuz,
}
WIDE = ["float16", "bfloat16", "float32", "float64"]


def values_of(a: str) -> np.ndarray:
    """Small numbers, fractions among the floats, both signs where the type has them."""
    if a == "bool" or is_float(a):
        return rounded(support.random(a, seed=1) * (1 if a == "bool" else 13), a)
    return support.random(a, seed=1, low=-100, high=100)


def converted(x: np.ndarray, b: str) -> np.ndarray:
    """As NumPy converts, but floats below zero become zero in unsigned types."""
    if b.startswith("u") and x.dtype.kind == "f":
        x = np.maximum(x, 0)
    return rounded(x, b)


@pytest.mark.parametrize("a", ALL)
def test_every_numeric_conversion(a: str, tmp_path):
    outputs = ", ".join(f"Z{i}" for i in range(len(ALL)))
    spelled = ["x.to(tl.{})", "x.cast(tl.{})", "tl.cast(x, tl.{})"]
    names = ["int1" if b == "bool" else b for b in ALL]
    body = "\n".join(
        f"    tl.store(Z{i} + lanes, {spelled[i % 3].format(name)})" for i, name in enumerate(names)
    )
    kernel = support.kernel_of(
        f"@triton.jit\ndef kernel(X, {outputs}, N: tl.constexpr):\n"
        f"    lanes = tl.arange(0, N)\n    x = tl.load(X + lanes)\n{body}\n",
        tmp_path,
    )
    x = values_of(a)
    results = [support.poisoned(b) for b in ALL]
    kernel[(1,)](support.tensor(x, a), *results, N=support.LANES)
    for b, result in zip(ALL, results, strict=True):
        assert_lanes(result, converted(x, b), f"{a} to {b}")


@triton.jit
def _cast(X, Z, N: tl.constexpr, BITS: tl.constexpr, ROUNDING: tl.constexpr):
    lanes = tl.program_id(0) * N + tl.arange(0, N)
    kind: tl.constexpr = Z.dtype.element_ty
    tl.store(Z + lanes, tl.load(X + lanes).to(kind, bitcast=BITS, fp_downcast_rounding=ROUNDING))


@pytest.mark.parametrize("bits", [8, 16, 32, 64])
def test_bit_casts(bits: int):
    alike = [name for name in NUMBERS if bits_of(name) == bits]
    for a in alike:
        x = support.tensor(support.random(a, seed=2), a)
        for b in alike:
            z = support.poisoned(b)
            _cast[(1,)](x, z, N=support.LANES, BITS=True, ROUNDING=None)
            assert torch.equal(x.view(torch.uint8), z.view(torch.uint8)), (a, b)


@pytest.mark.parametrize("wide", WIDE)
@pytest.mark.parametrize("narrow", F8)
def test_float8_up_and_down(narrow: str, wide: str):
    kind, torch_kind, wide_kind = getattr(tl, narrow), F8[narrow], getattr(torch, wide)
    codes = torch.arange(256, dtype=torch.int32).to(torch.int8)
    up = torch.full((256,), 99, dtype=wide_kind)
    _cast[(1,)](triton.reinterpret(codes, kind), up, N=256, BITS=False, ROUNDING=None)
    expected = codes.view(torch_kind).double()
    torch.testing.assert_close(up.double(), expected, rtol=0, atol=0, equal_nan=True)

    x = (torch.randn(4096) * torch.exp(torch.randn(4096))).to(wide_kind)
    nearest, cut = (torch.full((4096,), 99, dtype=torch.int8) for _ in range(2))
    for z, rounding in ((nearest, "rtne"), (cut, "rtz")):
        out = triton.reinterpret(z, kind)
        _cast[(4,)](x, out, N=1024, BITS=False, ROUNDING=rounding)
    largest = torch.finfo(torch_kind).max
    limited = x.double().clamp(-largest, largest)
    assert torch.equal(nearest, limited.to(torch_kind).view(torch.int8))
    below, above = (code.view(torch_kind).double().abs() for code in (cut, cut + 1))
    assert (below <= limited.abs()).all()
    assert ((above > x.double().abs()) | (below == largest)).all()


@pytest.mark.parametrize("wide", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("narrow", ["float8e4nv", "float8e5"])
def test_float8_saturates(narrow: str, wide: str):
    kind = F8[narrow]
    largest = torch.finfo(kind).max
    inf, nan = float("inf"), float("nan")
    x = torch.tensor([largest + 100, -largest - 100, inf, -inf, nan, 0, -0.0, largest])
    x = x.to(getattr(torch, wide))
    z = torch.full((8,), 1.0).to(kind)
    _cast[(1,)](x, z, N=8, BITS=False, ROUNDING="rtne")
    expected = [largest, -largest, largest, -largest, nan, 0, -0.0, largest]
    torch.testing.assert_close(z.float(), torch.tensor(expected), equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("narrow", ["float16", "bfloat16"])
def test_rounding_toward_zero_to_sixteen_bits(narrow: str):
    kind = getattr(torch, narrow)
    x = torch.randn(4096) * torch.exp(3 * torch.randn(4096))
    z = torch.full((4096,), 99, dtype=kind)
    _cast[(4,)](x, z, N=1024, BITS=False, ROUNDING="rtz")
    below = z.double().abs()
    above = (z.view(torch.int16) + 1).view(kind).double().abs()
    assert (below <= x.double().abs()).all()
    assert (above > x.double().abs()).all()


def fp8e4b15_values(codes: torch.Tensor) -> torch.Tensor:
    """Four bits of exponent with bias 15, three of mantissa, all of them numbers."""
    exponent, mantissa = (codes >> 3) & 15, codes & 7
    normal = torch.exp2(exponent - 15.0) * (1 + mantissa / 8)
    magnitude = torch.where(exponent == 0, mantissa * 2.0**-17, normal)
    return torch.where(codes >= 128, -magnitude, magnitude).double()


@pytest.mark.parametrize("wide", WIDE)
def test_fp8e4b15(wide: str):
    codes = torch.arange(256, dtype=torch.int32)
    values, kind = fp8e4b15_values(codes), tl.float8e4b15
    up = torch.full((256,), 99, dtype=getattr(torch, wide))
    held = triton.reinterpret(codes.to(torch.int8), kind)
    _cast[(1,)](held, up, N=256, BITS=False, ROUNDING=None)
    assert torch.equal(up.double(), values)

    middle = torch.cat([values, (values[:126] + values[1:127]) / 2])  # ties go away from zero
    x = middle.to(getattr(torch, wide))
    down = torch.full((512,), 99, dtype=torch.int8)
    x = torch.cat([x, torch.full((130,), 9.0, dtype=x.dtype)])
    _cast[(1,)](x, triton.reinterpret(down, kind), N=512, BITS=False, ROUNDING=None)
    largest = torch.tensor([0x7E, 0xFE]).to(torch.int8)
    expected = codes.to(torch.int8)
    expected[127], expected[255] = largest
    assert torch.equal(down[:256], expected)
    assert torch.equal(down[256:382], torch.arange(1, 127).to(torch.int8))
    assert (down[382:] == largest[0]).all()  # beyond the largest


@triton.jit
def _through_pointers(X, Z, N: tl.constexpr):
    lanes = tl.arange(0, N)
    address = (X + lanes).to(tl.int64)
    back = address.to(tl.pointer_type(tl.int32))
    tl.store(Z + lanes, tl.load(back.to(tl.pointer_type(tl.uint32), bitcast=True)))
    tl.store(Z + N, (X.to(tl.int64) != 0) & X.to(tl.int1))


def test_pointers_and_integers():
    x = torch.randint(-(2**31), 2**31 - 1, (64,), dtype=torch.int32)
    z = torch.full((65,), 99, dtype=torch.int64)
    _through_pointers[(1,)](x, z, N=64)
    assert torch.equal(z[:64], x.long() & 0xFFFFFFFF)
    assert z[64] == 1
