"""Two operands of any two types: Triton's promotion, wrap-around, rounding and comparison."""

from __future__ import annotations

import numpy as np
import pytest

from tests.triton.language import support
from tests.triton.language.support import (
    INTEGERS,
    NUMBERS,
    assert_lanes,
    bits_of,
    is_float,
    rounded,
)

torch, triton = support.torch, support.triton

COMPARISONS = {
    "x == y": np.equal,
    "x != y": np.not_equal,
    "x < y": np.less,
    "x <= y": np.less_equal,
    "x > y": np.greater,
    "x >= y": np.greater_equal,
}
ARITHMETIC = {"x + y": np.add, "x - y": np.subtract, "x * y": np.multiply}
CHOICES = {"tl.minimum(x, y)": np.fmin, "tl.maximum(x, y)": np.fmax}
BITWISE = {"x & y": np.bitwise_and, "x | y": np.bitwise_or, "x ^ y": np.bitwise_xor}
SHIFTS = ("x << y", "x >> y")


def common_type(a: str, b: str, divides: bool = False) -> str:
    """The type in which Triton computes on an ``a`` and a ``b``."""
    if "float64" in (a, b):
        return "float64"
    if is_float(a) or is_float(b):
        if divides or "float32" in (a, b):
            return "float32"
        if "float16" in (a, b):
            return "float16"
        return a if a == b else "float32"
    return max((a, b), key=lambda name: (bits_of(name), name.startswith("u")))


def exact(function, x, y, dtype: str) -> np.ndarray:
    """In f32 for the 16-bit floats, and rounded once, as Triton's hardware does."""
    wide = "float32" if dtype in ("float16", "bfloat16") else dtype
    with np.errstate(all="ignore"):
        lanes = function(rounded(x, dtype).astype(wide), rounded(y, dtype).astype(wide))
    return rounded(lanes, dtype)


def shifted(text: str, x, y, dtype: str, signed: bool) -> np.ndarray:
    """Beyond the width, nothing is left but the sign."""
    kind = dtype.lstrip("u") if signed else dtype
    values = x.astype(dtype).astype(kind)
    amount = y.astype(dtype).astype(f"uint{bits_of(dtype)}")
    beyond = amount >= bits_of(dtype)
    amount[beyond] = 0
    few = amount.astype(kind)
    if text == "x << y":
        return np.where(beyond, np.zeros_like(values), values << few).astype(dtype)
    return np.where(beyond, -(values < 0).astype(kind), values >> few).astype(dtype)


def expected_results(a: str, b: str, x, y) -> dict[str, tuple[str, np.ndarray]]:
    """expression -> (type of the result, lanes)."""
    results: dict[str, tuple[str, np.ndarray]] = {}
    dtype = common_type(a, b)
    for text, function in {**ARITHMETIC, **CHOICES}.items():
        results[text] = dtype, exact(function, x, y, dtype)
    for text, function in COMPARISONS.items():
        results[text] = "bool", function(rounded(x, dtype), rounded(y, dtype))
    integers = not is_float(a) and not is_float(b)
    if integers:
        for text, function in BITWISE.items():
            results[text] = dtype, function(x.astype(dtype), y.astype(dtype))
        for text in SHIFTS:
            results[text] = dtype, shifted(text, x, y, dtype, not a.startswith("u"))
    if integers and a.startswith("u") != b.startswith("u"):
        return results
    quotient = common_type(a, b, True)
    if not integers:
        results["x / y"] = quotient, exact(np.divide, x, y, quotient)
        results["x % y"] = quotient, exact(np.fmod, x, y, quotient)
        return results
    results["x / y"] = "float32", exact(np.divide, x.astype(dtype), y.astype(dtype), "float32")
    pairs = [(int(p), int(q)) for p, q in zip(x, y, strict=True)]
    whole = [abs(p) // abs(q) * (-1 if (p < 0) != (q < 0) else 1) for p, q in pairs]
    results["x // y"] = dtype, np.array(whole, object).astype(dtype)
    rest = [p - w * q for (p, q), w in zip(pairs, whole, strict=True)]
    results["x % y"] = dtype, np.array(rest, object).astype(dtype)
    return results


@pytest.mark.parametrize("b", NUMBERS)
@pytest.mark.parametrize("a", NUMBERS)
def test_every_pair_of_types(a: str, b: str, tmp_path):
    x, y = support.random(a, seed=1), support.random(b, seed=2)
    if b in INTEGERS:
        y = np.where(y.astype("int64") == -1, 3, y).astype(b)
    results = expected_results(a, b, x, y)
    kernel = support.elementwise_kernel({text: text for text in results}, tmp_path)
    outputs = [support.poisoned(dtype) for dtype, _ in results.values()]
    kernel[(1,)](support.tensor(x, a), support.tensor(y, b), *outputs, N=support.LANES)
    for output, (text, (_, lanes)) in zip(outputs, results.items(), strict=True):
        assert_lanes(output, lanes, f"{a}, {b}: {text}", ulps=1 if text == "x / y" else 0)
