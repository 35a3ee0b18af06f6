"""One operand: signs, absolute values, limits with their NaN rules, high products, rounding."""

from __future__ import annotations

import numpy as np
import pytest

from tests.triton.language import support
from tests.triton.language.support import FLOATS, INTEGERS, NUMBERS, SIGNED, assert_lanes

torch, triton = support.torch, support.triton
import triton.language as tl  # noqa: E402

F8 = {
    "float8e4nv": torch.float8_e4m3fn,
    "float8e5": torch.float8_e5m2,
    "float8e4b8": torch.float8_e4m3fnuz,
    "float8e5b16": torch.float8_e5m2fnuz,
}


@pytest.mark.parametrize("dtype", NUMBERS)
def test_signs_and_limits(dtype: str, tmp_path):
    texts = ["-x", "tl.abs(x)", "tl.clamp(x, 2, 5)", "tl.where(x > y, x, y)"]
    texts += ["~x"] if dtype in SIGNED else []
    kernel = support.elementwise_kernel({text: text for text in texts}, tmp_path)
    x, y = support.random(dtype, seed=3), support.random(dtype, seed=4)
    outputs = [support.poisoned(dtype) for _ in texts]
    kernel[(1,)](support.tensor(x, dtype), support.tensor(y, dtype), *outputs, N=support.LANES)
    with np.errstate(over="ignore"):
        expected = [-x, np.abs(x), np.clip(x, 2, 5).astype(x.dtype), np.maximum(x, y)]
    expected += [~x] if dtype in SIGNED else []
    for text, output, lanes in zip(texts, outputs, expected, strict=True):
        assert_lanes(output, lanes, f"{dtype}: {text}")


@triton.jit
def _limits(X, Y, LOW, HIGH, MIN, MAX, CLAMP, N: tl.constexpr, NAN: tl.constexpr):
    lanes = tl.arange(0, N)
    x, y = tl.load(X + lanes), tl.load(Y + lanes)
    tl.store(MIN + lanes, tl.minimum(x, y, propagate_nan=NAN))
    tl.store(MAX + lanes, tl.maximum(x, y, propagate_nan=NAN))
    low, high = tl.load(LOW + lanes), tl.load(HIGH + lanes)
    tl.store(CLAMP + lanes, tl.clamp(x, low, high, propagate_nan=NAN))


@pytest.mark.parametrize("propagates", [False, True])
@pytest.mark.parametrize("dtype", NUMBERS)
def test_minimum_maximum_and_clamp(dtype: str, propagates: bool):
    x, y = support.random(dtype, seed=5), support.random(dtype, seed=6)
    if dtype in FLOATS:
        x[[3, 7]] = np.nan
        y[[5, 7]] = np.nan
    bounds = np.sort([support.random(dtype, seed=7), support.random(dtype, seed=8)], axis=0)
    low, high = bounds.astype(x.dtype)
    outputs = [support.poisoned(dtype) for _ in range(3)]
    nan = tl.PropagateNan.ALL if propagates else tl.PropagateNan.NONE
    inputs = [support.tensor(lanes, dtype) for lanes in (x, y, low, high)]
    _limits[(1,)](*inputs, *outputs, N=support.LANES, NAN=nan)
    smaller, larger = (np.minimum, np.maximum) if propagates else (np.fmin, np.fmax)
    limited = smaller(larger(x, low), high)
    for output, lanes in zip(outputs, (smaller(x, y), larger(x, y), limited), strict=True):
        assert_lanes(output, lanes, dtype)


@triton.jit
def _negated(X, Z):
    tl.store(Z + tl.arange(0, 4), -tl.load(X + tl.arange(0, 4)))


def test_negation_turns_the_sign_of_zero_and_keeps_nan():
    x = torch.tensor([0.0, -0.0, float("nan"), float("inf")])
    z = torch.full((4,), 99.0)
    _negated[(1,)](x, z)
    assert torch.signbit(z)[:2].tolist() == [True, False]
    assert z[2].isnan()
    assert z[3] == -float("inf")


@triton.jit
def _magnitude(X, Z, N: tl.constexpr):
    lanes = tl.arange(0, N)
    tl.store(Z + lanes, tl.abs(tl.load(X + lanes)))


@pytest.mark.parametrize("dtype", [*F8, "float8e4b15"])
def test_magnitude_of_every_float8(dtype: str):
    codes = torch.arange(256, dtype=torch.int32).to(torch.int8)
    out = torch.full((256,), 99, dtype=torch.int8)
    kind = getattr(tl, dtype)
    _magnitude[(1,)](triton.reinterpret(codes, kind), triton.reinterpret(out, kind), N=256)
    if dtype == "float8e4b15":
        assert torch.equal(out, codes & 0x7F)
        return
    torch.testing.assert_close(
        out.view(F8[dtype]).float(), codes.view(F8[dtype]).float().abs(), equal_nan=True
    )


@triton.jit
def _high_product(X, Y, Z, N: tl.constexpr):
    lanes = tl.arange(0, N)
    tl.store(Z + lanes, tl.umulhi(tl.load(X + lanes), tl.load(Y + lanes)))


@pytest.mark.parametrize("dtype", ["int32", "uint32", "int64", "uint64"])
def test_high_half_of_unsigned_products(dtype: str):
    x, y = support.random(dtype, seed=9), support.random(dtype, seed=10)
    z = support.poisoned(dtype)
    _high_product[(1,)](support.tensor(x, dtype), support.tensor(y, dtype), z, N=support.LANES)
    bits = support.bits_of(dtype)
    unsigned = zip(x.astype(f"uint{bits}"), y.astype(f"uint{bits}"), strict=True)
    high = np.array([int(p) * int(q) >> bits for p, q in unsigned], dtype=f"uint{bits}")
    assert_lanes(z, high.astype(dtype), dtype)


@triton.jit
def _precise(X, Y, ROOT, QUOTIENT, IEEE, FMA, N: tl.constexpr):
    lanes = tl.arange(0, N)
    x, y = tl.load(X + lanes), tl.load(Y + lanes)
    tl.store(ROOT + lanes, tl.math.sqrt_rn(tl.abs(x)))
    tl.store(QUOTIENT + lanes, tl.math.div_rn(x, y))
    tl.store(IEEE + lanes, tl.math.fdiv(x, y, ieee_rounding=True))
    tl.store(FMA + lanes, tl.math.fma(x, y, x))


def test_precise_functions_round_once():
    x, y = torch.randn(4096), torch.randn(4096)
    outputs = [torch.full((4096,), 99.0) for _ in range(4)]
    _precise[(1,)](x, y, *outputs, N=4096)
    wide_x, wide_y = x.double(), y.double()
    quotient = (wide_x / wide_y).float()  # f64 has more than twice the digits of f32
    expected = [wide_x.abs().sqrt().float(), quotient, quotient]
    for output, lanes in zip(outputs, expected, strict=False):
        assert torch.equal(output, lanes)
    fused = (wide_x * wide_y + wide_x).float()
    assert (outputs[3] - fused).abs().max() <= torch.finfo(torch.float32).eps * fused.abs().max()


FUNCTIONS = ["exp", "log", "cos", "sin", "exp2", "log2", "sqrt", "rsqrt", "floor", "ceil", "erf"]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_math_functions_of_tiles_and_of_constants(dtype: str, tmp_path):
    texts = [f"tl.{name}(x)" for name in FUNCTIONS] + [f"tl.{name}(3.0)" for name in FUNCTIONS]
    kernel = support.elementwise_kernel({text: text for text in texts}, tmp_path)
    x = np.abs(support.random(dtype, seed=11)) + 0.01
    x = x.astype(dtype)
    outputs = [support.poisoned(dtype) for _ in texts]
    kernel[(1,)](support.tensor(x, dtype), support.tensor(x, dtype), *outputs, N=support.LANES)
    tolerance = 1e-6 if dtype == "float32" else 1e-12
    for index, name in enumerate(FUNCTIONS):
        function = getattr(torch, name)
        for at, source in (
            (index, torch.from_numpy(x)),
            (index + len(FUNCTIONS), torch.tensor(3.0)),
        ):
            answer = function(source.double()).expand(support.LANES)
            rough = 1e-6 if at >= len(FUNCTIONS) else tolerance  # a constant is an f32
            torch.testing.assert_close(outputs[at].double(), answer, rtol=rough, atol=rough)


@triton.jit
def _wrapping(Z, n, N: tl.constexpr):
    lanes = tl.arange(0, N)
    tl.store(Z + lanes, lanes.to(tl.int8) + n.to(tl.int8))
    tl.store(Z + N + lanes, lanes.to(tl.uint16) - 5)
    tl.store(Z + 2 * N + lanes, lanes.to(tl.uint32) - 5)
    tl.store(Z + 3 * N + lanes, lanes * 100000000)
    tl.store(Z + 4 * N, n * 2147483647)
    tl.store(Z + 4 * N + 1, (n - 200).to(tl.uint8))
    tl.store(Z + 4 * N + 2, n.to(tl.uint32) - 200)


def test_arithmetic_on_indices_wraps_around_in_its_type():
    count = 128
    z = torch.full((4 * count + 3,), 99, dtype=torch.int64)
    _wrapping[(1,)](z, 100, N=count)
    lanes = np.arange(count)
    with np.errstate(over="ignore"):
        parts = [
            lanes.astype("int8") + np.int8(100),
            lanes.astype("uint16") - np.uint16(5),
            lanes.astype("uint32") - np.uint32(5),
            lanes.astype("int32") * np.int32(100000000),
            np.array([(100 * 2147483647 + 2**31) % 2**32 - 2**31, 156, 2**32 - 100]),
        ]
    expected = np.concatenate([part.astype("int64") for part in parts])
    assert_lanes(z, expected)


@pytest.mark.parametrize("dtype", INTEGERS)
def test_bools_are_numbers_modulo_two(dtype: str, tmp_path):
    texts = {"sum": "x + y", "difference": "x - y", "product": "x * y", "order": "x > y"}
    kernel = support.elementwise_kernel(texts, tmp_path)
    x, y = support.random("bool", seed=12), support.random("bool", seed=13)
    outputs = [support.poisoned(dtype) for _ in texts]
    kernel[(1,)](support.tensor(x, "bool"), support.tensor(y, "bool"), *outputs, N=support.LANES)
    for output, lanes in zip(outputs, (x ^ y, x ^ y, x & y, x & ~y), strict=True):
        assert_lanes(output, lanes.astype(dtype), dtype)
