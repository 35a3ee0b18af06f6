"""tl.dot: types of operands and accumulators, precisions, batches, small and turned operands."""

from __future__ import annotations

import pytest

from tests.triton.language.numbers import torch

triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
import triton.language as tl  # noqa: E402

OPERANDS = {
    "int8": torch.int8,
    "fp8e5": torch.float8_e5m2,
    "fp8e4nv": torch.float8_e4m3fn,
    "fp8e4b8": torch.float8_e4m3fnuz,
    "fp8e5b16": torch.float8_e5m2fnuz,
    "fp16": torch.float16,
    "bf16": torch.bfloat16,
    "fp32": torch.float32,
    "fp64": torch.float64,
}
OUTPUTS = {
    "int32": torch.int32,
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp64": torch.float64,
}
ERRORS = {"int32": 0, "fp16": 6e-2, "fp32": 1e-4, "fp64": 1e-12}
COMBINATIONS = [
    ("int8", "int32"),
    *((name, "fp32") for name in OPERANDS if name not in ("int8", "fp64")),
    *((name, "fp16") for name in ("fp8e5", "fp8e4nv", "fp16")),
    ("fp64", "fp64"),
]


def operand(name: str, shape: tuple[int, ...]):
    if name == "int8":
        return torch.randint(-128, 128, shape, dtype=torch.int8)
    return torch.randn(shape).to(OPERANDS[name])


@triton.jit
def _dot(A, B, C, Z, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, OUT: tl.constexpr,
         PRECISION: tl.constexpr, IMPRECISE: tl.constexpr, TURNED: tl.constexpr):  # fmt: skip
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    out = m[:, None] * N + n[None, :]
    if TURNED:
        a = tl.trans(tl.load(A + k[:, None] * M + m[None, :]))
        b = tl.load(B + n[:, None] * K + k[None, :]).T
    else:
        a = tl.load(A + m[:, None] * K + k[None, :])
        b = tl.load(B + k[:, None] * N + n[None, :])
    acc = None if C is None else tl.load(C + out)
    z = tl.dot(a, b, acc, PRECISION, max_num_imprecise_acc=IMPRECISE, out_dtype=OUT)
    tl.store(Z + out, z)


def check(a_name, b_name, out, shape, *, precision=None, imprecise=None, acc=False, turned=False):
    m, n, k = shape
    a, b = operand(a_name, (m, k)), operand(b_name, (k, n))
    c = torch.randint(-4, 5, (m, n)).to(OUTPUTS[out]) if acc else None
    z = torch.full((m, n), 77, dtype=OUTPUTS[out])
    given = (a.T.contiguous(), b.T.contiguous()) if turned else (a, b)
    kind = getattr(
        tl, {"int32": "int32", "fp16": "float16", "fp32": "float32", "fp64": "float64"}[out]
    )
    _dot[(1,)](*given, c, z, m, n, k, kind, precision, imprecise, turned)
    expected = a.double() @ b.double() + (c.double() if acc else 0)
    error = 5e-3 if precision in ("tf32", "bf16x3") else ERRORS[out]
    torch.testing.assert_close(z.double(), expected, rtol=error, atol=error)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(("name", "out"), COMBINATIONS)
def test_types(name, out, turned):
    check(name, name, out, (16, 32, 16), acc=not turned, turned=turned)


def test_types_in_the_interpreter(way):
    for name, out in COMBINATIONS:
        check(name, name, out, (4, 8, 16), acc=True)


def test_two_float8_types(way):
    check("fp8e5", "fp8e4nv", "fp32", (16, 16, 32))


@pytest.mark.parametrize("precision", ["ieee", "tf32", "tf32x3", "bf16x3", "bf16x6"])
def test_precisions(precision, way):
    check("fp32", "fp32", "fp32", (16, 32, 32), precision=precision)


@pytest.mark.parametrize("imprecise", [0, 16, 64])
def test_imprecise_accumulation_is_a_permission(imprecise):
    check("fp8e5", "fp8e5", "fp32", (16, 16, 64), imprecise=imprecise, acc=True)


@pytest.mark.parametrize("m", [1, 2, 16])
@pytest.mark.parametrize("n", [1, 4, 16])
@pytest.mark.parametrize("k", [1, 2, 16])
def test_small_operands(m, n, k):
    check("fp16", "fp16", "fp32", (m, n, k), acc=True)


@triton.jit
def _batched(A, B, Z, BATCH: tl.constexpr, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr,
             OUT: tl.constexpr):  # fmt: skip
    batch = tl.arange(0, BATCH)[:, None, None]
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    a = tl.load(A + batch * M * K + m[None, :, None] * K + k[None, None, :])
    b = tl.load(B + batch * K * N + k[None, :, None] * N + n[None, None, :])
    out = batch * M * N + m[None, :, None] * N + n[None, None, :]
    tl.store(Z + out, tl.dot(a, b, out_dtype=OUT))


@pytest.mark.parametrize("batch", [1, 2, 8])
@pytest.mark.parametrize(
    ("name", "out", "kind"),
    [("int8", "int32", tl.int8), ("fp16", "fp16", tl.float16), ("fp32", "fp32", tl.float32)],
)
def test_batches(batch, name, out, kind, way):
    a, b = operand(name, (batch, 8, 16)), operand(name, (batch, 16, 4))
    z = torch.zeros((batch, 8, 4), dtype=OUTPUTS[out])
    _batched[(1,)](a, b, z, batch, 8, 4, 16, kind)
    error = ERRORS[out]
    torch.testing.assert_close(z.double(), a.double() @ b.double(), rtol=error, atol=error)


@triton.jit
def _chained(X, W, Z, N: tl.constexpr):
    lanes = tl.arange(0, N)[:, None] * N + tl.arange(0, N)[None, :]
    x, w = tl.load(X + lanes), tl.load(W + lanes)
    first = tl.dot(x, w)
    largest = tl.max(first, 1)
    shares = tl.exp(first - largest[:, None])
    shares = shares / tl.sum(shares, 1)[:, None]
    tl.store(Z + lanes, tl.dot(shares.to(w.dtype), w) + tl.load(Z + lanes))


def test_dot_of_a_dot(way):
    x, w, z = (torch.randn(32, 32) for _ in range(3))
    expected = (x @ w).softmax(1) @ w + z
    _chained[(1,)](x, w, z, 32)
    torch.testing.assert_close(z, expected, rtol=1e-4, atol=1e-4)
