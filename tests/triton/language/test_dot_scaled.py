"""tl.dot_scaled: every pair of formats, packing along K, M and N, scales of both kinds, NaN."""

from __future__ import annotations

import itertools

import pytest

from tests.triton.language.numbers import torch

triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
import triton.language as tl  # noqa: E402

M, N, K = 16, 32, 64
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])
FORMATS = {
    "e4m3": torch.float8_e4m3fn,
    "e5m2": torch.float8_e5m2,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}
SCALED = ("e2m1", "e4m3", "e5m2")
PAIRS = [
    pair
    for pair in itertools.product(("e2m1", *FORMATS), repeat=2)
    if set(pair) != {"bf16", "fp16"} and set(pair) & set(SCALED)
]


@triton.jit
def _dot(A, B, SA, SB, ACC, Z, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, FA: tl.constexpr,
         FB: tl.constexpr, FACTOR: tl.constexpr, FAST: tl.constexpr, A_ALONG_K: tl.constexpr,
         B_ALONG_K: tl.constexpr):  # fmt: skip
    a_pack: tl.constexpr = 2 if FA == "e2m1" else 1
    b_pack: tl.constexpr = 2 if FB == "e2m1" else 1
    KA: tl.constexpr = K // a_pack if A_ALONG_K else K
    MA: tl.constexpr = M if A_ALONG_K else M // a_pack
    KB: tl.constexpr = K // b_pack if B_ALONG_K else K
    NB: tl.constexpr = N if B_ALONG_K else N // b_pack
    groups: tl.constexpr = K // FACTOR
    a = tl.load(A + tl.arange(0, MA)[:, None] * KA + tl.arange(0, KA)[None, :])
    b = tl.load(B + tl.arange(0, KB)[:, None] * NB + tl.arange(0, NB)[None, :])
    sa = None
    if SA is not None:
        sa = tl.load(SA + tl.arange(0, M)[:, None] * groups + tl.arange(0, groups)[None, :])
    sb = None
    if SB is not None:
        sb = tl.load(SB + tl.arange(0, N)[:, None] * groups + tl.arange(0, groups)[None, :])
    out = tl.arange(0, M)[:, None] * N + tl.arange(0, N)[None, :]
    acc = tl.load(ACC + out)
    z = tl.dot_scaled(a, sa, FA, b, sb, FB, acc, FAST, A_ALONG_K, B_ALONG_K)
    tl.store(Z + out, z)


def operand(format_: str, shape: tuple[int, int], axis: int):
    """The operand as the kernel reads it, and the numbers that it stands for."""
    if format_ != "e2m1":
        x = torch.randn(shape).to(FORMATS[format_])
        return x, x.float()
    codes = torch.randint(0, 16, shape, dtype=torch.uint8)
    low, high = (codes[i::2] if axis == 0 else codes[:, i::2] for i in range(2))
    signs = 1.0 - 2.0 * (codes >> 3)
    return low | high << 4, E2M1[(codes & 7).long()] * signs


def scales(rows: int, factor: int, as_e4m3: bool, with_nan: bool):
    if as_e4m3:
        scale = torch.rand(rows, K // factor).to(torch.float8_e4m3fn)
        return scale, scale.float()
    scale = torch.randint(120, 132, (rows, K // factor), dtype=torch.uint8)
    numbers = 2.0 ** (scale.float() - 127)
    if with_nan:
        scale[0, 0], numbers[0, 0] = 0xFF, float("nan")
    return scale, numbers


def check(fa, fb, *, factor=32, e4m3=False, fast=False, a_along_k=True, b_along_k=True, only=None):
    a, a_numbers = operand(fa, (M, K), 1 if a_along_k else 0)
    b, b_numbers = operand(fb, (K, N), 0 if b_along_k else 1)
    work = torch.float16 if "fp16" in (fa, fb) else torch.bfloat16
    sa = sb = None
    if fa in SCALED and only != "rhs":
        sa, numbers = scales(M, factor, e4m3, not fast)
        a_numbers = (a_numbers * numbers.repeat_interleave(factor, 1)).to(work).float()
    if fb in SCALED and only != "lhs":
        sb, numbers = scales(N, factor, e4m3, not fast)
        b_numbers = (b_numbers * numbers.repeat_interleave(factor, 1).T).to(work).float()
    acc, z = torch.randn(M, N), torch.zeros(M, N)
    _dot[(1,)](a, b, sa, sb, acc, z, M, N, K, fa, fb, factor, fast, a_along_k, b_along_k)
    expected = a_numbers @ b_numbers + acc
    torch.testing.assert_close(z, expected, rtol=1e-4, atol=2e-3, equal_nan=True)


@pytest.mark.parametrize(("fa", "fb"), PAIRS)
def test_formats(fa, fb):
    check(fa, fb)


@pytest.mark.parametrize(("fa", "fb"), [("e2m1", "bf16"), ("fp16", "e4m3"), ("e5m2", "e2m1")])
def test_formats_in_the_interpreter(fa, fb, way):
    check(fa, fb)


@pytest.mark.parametrize("only", ["lhs", "rhs"])
def test_one_scale(only):
    check("e4m3", "e5m2", only=only)


@pytest.mark.parametrize("a_along_k", [True, False])
@pytest.mark.parametrize("b_along_k", [True, False])
def test_packing(a_along_k, b_along_k, way):
    check("e2m1", "e2m1", a_along_k=a_along_k, b_along_k=b_along_k)


def test_fast_math_need_not_see_nan():
    check("e2m1", "e4m3", fast=True)


def test_scales_of_nvfp4():
    check("e2m1", "e2m1", factor=16, e4m3=True)
