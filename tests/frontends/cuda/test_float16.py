"""half, bfloat16 and the floats of 8 bits in kernels, against tables of every value they have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ziglang")

from tests.frontends.cuda.test_kernels import module_of, run_on_cpu

RNG = np.random.default_rng(11)


@dataclass(frozen=True)
class Format:
    """A float format by its bits; ``top`` is the code of its largest finite number."""

    name: str
    mantissa: int
    bias: int
    top: int
    overflow: int
    sign: int

    @cached_property
    def values(self) -> np.ndarray:
        """Every finite magnitude, and what would come next."""
        codes = np.arange(self.top + 2)
        exponent, fraction = codes >> self.mantissa, codes & ((1 << self.mantissa) - 1)
        normal = np.ldexp(1 + fraction / 2.0**self.mantissa, exponent - self.bias)
        small = np.ldexp(fraction / 2.0**self.mantissa, 1 - self.bias)
        return np.where(exponent == 0, small, normal)

    def codes(self, x: np.ndarray, mode: str = "rn", saturate: bool = False) -> np.ndarray:
        """The codes of finite numbers (float64), rounded."""
        size, negative = np.abs(x), np.signbit(x)
        limited = np.minimum(size, self.values[-1])
        low = np.minimum(np.searchsorted(self.values, limited, "right") - 1, self.top)
        below, above = limited - self.values[low], self.values[low + 1] - limited
        away = {
            "rn": (below > above) | ((below == above) & (low % 2 == 1)),
            "rz": np.zeros(x.shape, bool),
            "rd": negative & (below > 0),
            "ru": ~negative & (below > 0),
        }[mode]
        code = low + away
        stays = saturate | (mode == "rz") | ((mode == "rd") & ~negative)
        stays |= (mode == "ru") & negative
        over = np.where(stays, self.top, self.overflow)
        code = np.where(np.isinf(x), self.top if saturate else self.overflow, code)
        code = np.where((code > self.top) & ~np.isinf(x), over, code)
        return code | (negative.astype(int) << self.sign)

    def decoded(self, codes: np.ndarray) -> np.ndarray:
        magnitude = codes.astype(int) & ((1 << self.sign) - 1)
        found = self.values[np.minimum(magnitude, self.top)]
        found = np.where(magnitude > self.top, np.nan, found)
        if self.overflow != (1 << self.sign) - 1:
            found = np.where(magnitude == self.overflow, np.inf, found)
        return np.where(codes.astype(int) >> self.sign, -found, found)


HALF = Format("__half", 10, 15, 0x7BFF, 0x7C00, 15)
BFLOAT16 = Format("__nv_bfloat16", 7, 127, 0x7F7F, 0x7F80, 15)
E4M3 = Format("", 3, 7, 0x7E, 0x7F, 7)
E5M2 = Format("", 2, 15, 0x7B, 0x7C, 7)
WIDE = pytest.mark.parametrize("format_", [HALF, BFLOAT16], ids=lambda f: f.name)


def launch(kernel: str, n: int, *arrays: np.ndarray) -> None:
    block = (128, 1, 1)
    lowered = module_of("float16.cu").kernel(kernel, block)
    run_on_cpu(lowered, [n, *arrays], (-(-n // 128),), block)


def same(got: np.ndarray, expected: np.ndarray, format_: Format, missing: Any = False) -> None:
    """Equal codes, where ``missing`` any NaN."""
    top = (1 << format_.sign) - 1
    is_nan = (got.astype(int) & top) > (0x7E if format_ is E4M3 else format_.overflow)
    np.testing.assert_array_equal(np.where(missing, is_nan, got), np.where(missing, True, expected))


def some_floats() -> np.ndarray:
    """All sizes, halves of steps exactly and nearly, the borders of every format."""
    points = np.concatenate([f.values for f in (HALF, E4M3, E5M2)] + [BFLOAT16.values[::37]])
    points = points[points < 3e38].astype(np.float32)
    middles = points[:-1] + (points[1:] - points[:-1]) / 2
    around = [np.nextafter(middles, np.float32(s)) for s in (0, np.inf)]
    bits = RNG.integers(0, 2**32, 20001, dtype=np.uint64).astype(np.uint32).view(np.float32)
    special = np.float32([0, np.inf, np.nan, 65504, 65519.996, 65520, 464, 448, 3.4e38, 1e-45])
    every = np.concatenate([points, middles, *around, bits[~np.isnan(bits)], special])
    return np.concatenate([every, -every])


def test_floats_round_in_every_mode() -> None:
    x = some_floats()
    out = np.zeros((len(x), 18), np.uint16)
    launch("narrow", len(x), x, out)
    nan, wide = np.isnan(x), np.where(np.isnan(x), 0, x.astype(np.float64))
    for column, mode in enumerate(["rn", "rn", "rz", "rd", "ru"]):
        same(out[:, column], HALF.codes(wide, mode), HALF, nan)
        same(out[:, 5 + column], BFLOAT16.codes(wide, mode), BFLOAT16, nan)
    for column, format_, saturate in [(10, E4M3, 1), (11, E4M3, 0), (12, E5M2, 1), (13, E5M2, 0)]:
        expected = format_.codes(wide, saturate=bool(saturate))
        same(out[:, column] & 0xFF, expected, format_, nan)
    twice = E4M3.codes(np.where(nan, 0, HALF.decoded(out[:, 0])), saturate=True)
    same(out[:, 14], twice, E4M3, nan)
    same(out[:, 17] & 0xFF, E4M3.codes(wide, saturate=True), E4M3, nan)
    assert (out[:, 17] >> 8 == 0x38).all()


def test_doubles_round_once() -> None:
    x = some_floats().astype(np.float64)
    x = np.concatenate([x, np.nextafter(x, 0), np.nextafter(x, np.inf), x * 1e-60])
    x = x[~np.isnan(x)]
    out = np.zeros((len(x), 4), np.uint16)
    launch("narrow_double", len(x), x, out)
    for column, format_ in enumerate([HALF, BFLOAT16, E4M3, E5M2]):
        expected = format_.codes(x, saturate=format_.sign == 7)
        np.testing.assert_array_equal(out[:, column], expected)


def test_integers_round_in_every_mode() -> None:
    x = RNG.integers(-(2**63), 2**63, 1501) >> RNG.integers(0, 63, 1501)
    x = np.concatenate(
        [x, [0, 1, -1, 2**63 - 1, -(2**63), 65519, 65520, (257 << 50) + 1, -(257 << 20)]]
    )
    out = np.zeros((len(x), 16), np.uint16)
    launch("integers", len(x), x, out)
    for first, format_ in ((0, HALF), (8, BFLOAT16)):
        for column, mode in enumerate(["rn", "rz", "rd", "ru"]):
            expected = [exact_code(Fraction(int(v)), format_, mode) for v in x]
            np.testing.assert_array_equal(out[:, first + column], expected)
        others = {
            4: ("rn", np.int32),
            5: ("rz", np.int32),
            6: ("rn", np.uint64),
            7: ("rn", np.uint32),
        }
        for column, (mode, dtype) in others.items():
            expected = [exact_code(Fraction(int(v)), format_, mode) for v in x.astype(dtype)]
            np.testing.assert_array_equal(out[:, first + column], expected)


def exact_code(value: Fraction, format_: Format, mode: str = "rn") -> int:
    """Rounds a number of any precision: what is left of it behind float64 only moves it aside."""
    near = float(value) if abs(value) < 10**300 else 1e300
    exact = Fraction(near)
    if exact != value:  # towards zero, and a mark in the last bit
        if abs(exact) > abs(value):
            near = float(np.nextafter(near, 0))
        bits = np.float64(near).view(np.uint64) | np.uint64(1)
        near = float(bits.view(np.float64))
    return int(format_.codes(np.array([near]), mode)[0])


def test_every_code_widens() -> None:
    n = 65536
    wide, whole = np.zeros((n, 4), np.float32), np.zeros((n, 12), np.int64)
    launch("widen", n, wide, whole)
    codes = np.arange(n)
    for column, format_ in enumerate([HALF, BFLOAT16, E4M3, E5M2]):
        mask = (2 << format_.sign) - 1
        np.testing.assert_array_equal(wide[:, column], format_.decoded(codes & mask))
    half, other = HALF.decoded(codes), BFLOAT16.decoded(codes)
    rules: list[tuple[np.ndarray, Callable[[np.ndarray], np.ndarray], Any]] = [
        (half, np.rint, np.int32),
        (half, np.trunc, np.int32),
        (half, np.floor, np.int32),
        (half, np.ceil, np.int32),
        (half, np.trunc, np.uint32),
        (half, np.rint, np.int16),
        (half, np.floor, np.uint16),
        (half, np.trunc, np.int8),
        (half, np.ceil, np.int64),
        (other, np.rint, np.int32),
        (other, np.trunc, np.int64),
        (other, np.trunc, np.uint8),
    ]
    for column, (values, rounding, dtype) in enumerate(rules):
        limits = np.iinfo(dtype)
        expected = [kept(v, limits.min, limits.max) for v in rounding(values)]
        np.testing.assert_array_equal(whole[:, column], expected)


def kept(value: float, least: int, most: int) -> int:
    if np.isnan(value):
        return least if most >= 2**63 - 1 else 0
    return most if value >= most else least if value <= least else int(value)


def some_codes(format_: Format, n: int) -> np.ndarray:
    codes = RNG.integers(0, 65536, (n, 3))
    near_one = ((format_.bias << format_.mantissa) + RNG.integers(-900, 900, (n, 3))) & 0x7FFF
    codes = np.where(RNG.random((n, 1)) < 0.6, near_one | RNG.integers(0, 2, (n, 3)) << 15, codes)
    special = [0, 0x8000, format_.overflow, format_.overflow | 0x8000, 0x7FFF, 1, format_.top]
    codes[: len(special) ** 2, :2] = [(a, b) for a in special for b in special]
    return codes.astype(np.uint16)


@WIDE
@pytest.mark.parametrize("paired", [False, True])
def test_arithmetic_rounds_once(format_: Format, paired: bool) -> None:
    n = 1502
    codes = some_codes(format_, n)
    codes[100:400] = ties(format_, 300)
    out = np.zeros((n, 12), np.uint16)
    if paired:  # two neighbours of a column side by side
        name = "twos<__half2>" if format_ is HALF else "twos<__nv_bfloat162>"
        two = np.ascontiguousarray(codes.reshape(n // 2, 2, 3).transpose(0, 2, 1))
        made = np.zeros((n // 2, 12, 2), np.uint16)
        launch(name, n // 2, two, made)
        out = made.transpose(0, 2, 1).reshape(n, 12)
    else:
        launch(f"pairs<{format_.name}>", n, codes, out)
    a, b, c = format_.decoded(codes).T
    with np.errstate(all="ignore"):
        results = [a + b, a - b, a * b, a / b, np.fmax(a, b), np.fmin(a, b)]
        sat = np.clip(np.nan_to_num(format_.decoded(out[:, 0]), nan=0), 0, 1)
        for column, result in enumerate([*results]):
            compare(out[:, column], result, format_)
        compare(out[:, 8], sat, format_)
        compare(out[:, 10], np.where(np.isnan(a) | np.isnan(b), np.nan, results[4]), format_)
        fused(out[:, 6], a, b, c, format_)
        fused(out[:, 7], -a, b, c, format_)
        plain = format_.decoded(out[:, 2]) + c
        compare(out[:, 11], plain, format_)
        compare(out[:, 9], np.maximum(format_.decoded(out[:, 6]), 0), format_)


def ties(format_: Format, n: int) -> np.ndarray:
    """Factors whose product lies between two numbers, and a tiny addend that decides."""
    middle = format_.bias << format_.mantissa
    odd = middle + 2 * RNG.integers(0, 1 << (format_.mantissa - 1), n) + 1
    three = np.full(n, middle + (1 << format_.mantissa) + (1 << (format_.mantissa - 1)))
    tiny = RNG.integers(1, 60, n) | RNG.integers(0, 2, n) << 15
    return np.stack([odd, three, tiny], axis=1).astype(np.uint16)


def compare(got: np.ndarray, expected: np.ndarray, format_: Format) -> None:
    """Codes against numbers; of zeros the sign is left out."""
    nan = np.isnan(expected)
    codes = format_.codes(np.where(nan, 0, expected))
    both = [np.where((c & 0x7FFF) == 0, 0, c) for c in (got, codes)]
    same(both[0], both[1], format_, nan)


def fused(got: np.ndarray, a: np.ndarray, b: np.ndarray, c: np.ndarray, format_: Format) -> None:
    finite = np.isfinite(a) & np.isfinite(b) & np.isfinite(c)
    compare(got[~finite], (a * b + c)[~finite], format_)
    for code, x, y, z in zip(got[finite], a[finite], b[finite], c[finite], strict=True):
        exact = Fraction(x) * Fraction(y) + Fraction(z)
        if exact:
            assert int(code) == exact_code(exact, format_), (x, y, z)
        else:
            assert int(code) & 0x7FFF == 0


@WIDE
def test_comparisons(format_: Format) -> None:
    codes = some_codes(format_, 1500)[:, :2].copy()
    codes[60:300, 1] = codes[60:300, 0]
    out = np.zeros(len(codes), np.uint32)
    launch(f"comparisons<{format_.name}>", len(codes), codes, out)
    a, b = format_.decoded(codes).T
    unordered = np.isnan(a) | np.isnan(b)
    ordered = [a == b, (a != b) & ~unordered, a < b, a <= b, a > b, a >= b]
    bits = [*ordered, *(o | unordered for o in ordered), a == b, a != b, a < b, np.isnan(a)]
    expected = sum(bit.astype(np.uint32) << i for i, bit in enumerate(bits))
    np.testing.assert_array_equal(out, expected)


@WIDE
def test_functions_are_within_one_step(format_: Format) -> None:
    codes = some_codes(format_, 2000)[:, 0].copy()
    codes[200:] &= 0x7FFF
    out = np.zeros((len(codes), 12), np.uint16)
    launch(f"functions<{format_.name}>", len(codes), codes, out)
    x = format_.decoded(codes)
    with np.errstate(all="ignore"):
        rsqrt = 1 / np.sqrt(np.where(x == 0, np.abs(x), x))
        expected = [np.exp(x), np.exp2(x), np.log(x), np.log2(x), np.sqrt(x), rsqrt, 1 / x]
        expected += [np.sin(x), np.cos(x), np.floor(x), np.rint(x), np.tanh(x)]
    for column, wanted in enumerate(expected):
        got = format_.decoded(out[:, column]).copy()
        if column in (5, 6):  # of zeros the sign is left out
            got, wanted = np.abs(got), np.abs(wanted)
        nan = np.isnan(wanted)
        np.testing.assert_array_equal(np.isnan(got), nan)
        codes_wanted = format_.codes(np.where(nan, 0, wanted)).astype(int)
        apart = np.abs((out[:, column].astype(int) & 0x7FFF) - (codes_wanted & 0x7FFF))
        assert np.max(np.where(nan, 0, apart)) <= 1, (column, np.argmax(np.where(nan, 0, apart)))
