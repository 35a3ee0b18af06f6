"""Conversions of the CPU target: exhaustive over 8- and 16-bit types, sampled beyond."""

from __future__ import annotations

from bisect import bisect_right
from typing import Any

import ml_dtypes
import numpy as np
import pytest
from lane_kernels import LaneKernel, compile_lanes
from llvmlite import ir

from canopy.ir.types import (
    BF16,
    BOOL,
    F8E4M3,
    F8E4M3B8,
    F8E5M2,
    F8E5M2B16,
    F16,
    F32,
    F64,
    I8,
    I64,
    SCALARS,
    U64,
    ScalarType,
    is_bool,
    is_float,
)
from canopy.targets.cpu.conversions import cast, llvm_type, memory_type, vector_of

pytestmark = pytest.mark.filterwarnings("ignore:invalid value encountered:RuntimeWarning")

NUMPY: dict[ScalarType, Any] = {
    F8E4M3: ml_dtypes.float8_e4m3fn,
    F8E5M2: ml_dtypes.float8_e5m2,
    F8E4M3B8: ml_dtypes.float8_e4m3fnuz,
    F8E5M2B16: ml_dtypes.float8_e5m2fnuz,
    BF16: ml_dtypes.bfloat16,
    F16: np.float16,
    F32: np.float32,
    F64: np.float64,
    BOOL: np.bool_,
    **{
        scalar: np.dtype(f"{'u' if scalar.kind == 'uint' else ''}int{scalar.bits}").type
        for scalar in SCALARS.values()
        if scalar.kind in ("int", "uint")
    },
}
FLOATS = [scalar for scalar in NUMPY if is_float(scalar)]
SMALL_FLOATS = [scalar for scalar in FLOATS if scalar.bits <= 16]
FLOAT8 = [scalar for scalar in FLOATS if scalar.bits == 8]
INTEGERS = [scalar for scalar in NUMPY if scalar.kind in ("int", "uint")]


def caster(
    source: ScalarType,
    target: ScalarType,
    rounding: str = "rtne",
    saturate: bool = False,
    lanes: int = 32,
) -> LaneKernel:
    def emit(builder: Any, values: list[Any]) -> Any:
        value = values[0]
        if is_bool(source):
            bits = vector_of(ir.IntType(1), lanes) if lanes else ir.IntType(1)
            value = builder.trunc(value, bits)
        result = cast(builder, value, source, target, rounding, saturate)
        if is_bool(target):
            wide = vector_of(ir.IntType(8), lanes) if lanes else ir.IntType(8)
            result = builder.zext(result, wide)
        return result

    memory = memory_type(source), memory_type(target)
    return compile_lanes(emit, [memory[0]], memory[1], NUMPY[target], lanes)


def every_value(scalar: ScalarType) -> np.ndarray:
    unsigned = np.uint8 if scalar.bits == 8 else np.uint16
    return np.arange(2**scalar.bits, dtype=np.uint32).astype(unsigned).view(NUMPY[scalar])


def samples(scalar: ScalarType) -> np.ndarray:
    """Every value of a narrow type; else special values, ties of narrow floats and random bits."""
    if is_bool(scalar):
        return np.array([False, True])
    if scalar.bits <= 16:
        return every_value(scalar)
    random = np.random.default_rng(7)
    bits = random.integers(0, 2**scalar.bits, 40000, dtype=np.uint64, endpoint=False)
    drawn = bits.astype(f"uint{scalar.bits}").view(NUMPY[scalar])
    ladder = np.array([(1 << k) + d for k in range(63) for d in (-1, 0, 1)], np.int64)
    if not is_float(scalar):
        near_ties = (random.integers(1, 4096, 4000) << random.integers(0, 50, 4000)) | 1
        ladder = np.concatenate([ladder, -ladder, near_ties, -near_ties])
        return np.concatenate([drawn, ladder.astype(NUMPY[scalar])])
    ends = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1e-45, 5e-324], NUMPY[scalar])
    narrow = [every_value(small).astype(NUMPY[F64]) for small in SMALL_FLOATS]
    values = np.concatenate([*narrow, ladder.astype(np.float64)])
    values = values[np.isfinite(values)]
    ties = values * (1 + 2.0 ** -np.arange(1, 13)[:, None])  # of formats of 0 to 11 stored bits
    near = [ties, np.nextafter(ties, np.inf), np.nextafter(ties, -np.inf), -ties]
    with np.errstate(over="ignore"):
        near_ties = np.concatenate(near).ravel()[::7].astype(NUMPY[scalar])
        return np.concatenate([drawn, ends, values.astype(NUMPY[scalar]), near_ties])


def bits_of(array: np.ndarray) -> np.ndarray:
    return array.view(f"uint{8 * array.dtype.itemsize}")


def assert_same(got: np.ndarray, expected: np.ndarray, source: np.ndarray) -> None:
    """Equal bit for bit, but for NaN, which only has to be one."""
    equal = bits_of(got) == bits_of(expected)
    if got.dtype.kind not in "iub":
        equal |= np.isnan(got.astype(np.float64)) & np.isnan(expected.astype(np.float64))
    wrong = np.flatnonzero(~equal)
    shown = [(source[i], got[i], expected[i]) for i in wrong[:5]]
    assert not len(wrong), f"{len(wrong)} of {len(got)} differ: {shown}"


POINT = 200  # binary places kept below the point: more than any 16-bit float has


def as_fixed(value: float | int) -> int:
    """|value| with `POINT` binary places, cut below."""
    numerator, denominator = abs(value).as_integer_ratio()
    return (numerator << POINT) // denominator


def nearest(values: np.ndarray, target: ScalarType) -> np.ndarray:
    """``values`` rounded once to ``target``, ties to even: exact integers and a bisection."""
    codes = every_value(target)
    positive = codes[: len(codes) // 2]
    ladder = positive[np.isfinite(positive)]
    gap = float(ladder[-1]) - float(ladder[-2])
    rungs = [as_fixed(x) for x in (*ladder.astype(float).tolist(), float(ladder[-1]) + gap)]
    infinity = np.array(np.inf, codes.dtype)

    def rounded(value: float | int) -> Any:
        if value != value:
            return np.nan
        if abs(value) == np.inf:
            return infinity
        exact = as_fixed(value)
        rung = bisect_right(rungs, exact) - 1
        if rung < len(ladder):
            below, above = exact - rungs[rung], rungs[rung + 1] - exact
            rung += above < below or (above == below and rung % 2 == 1)
        return ladder[rung] if rung < len(ladder) else infinity

    magnitudes = np.array([rounded(value) for value in values.tolist()], codes.dtype)
    return np.where(np.signbit(values.astype(np.float64)), -magnitudes, magnitudes)


@pytest.mark.parametrize("target", [F32, F64], ids=str)
@pytest.mark.parametrize("source", SMALL_FLOATS, ids=str)
def test_widening_is_exact(source: ScalarType, target: ScalarType) -> None:
    values = every_value(source)
    assert_same(caster(source, target)(values), values.astype(NUMPY[target]), values)


@pytest.mark.parametrize("target", SMALL_FLOATS, ids=str)
def test_narrowing_f32_rounds_to_nearest_even(target: ScalarType) -> None:
    values = samples(F32)
    with np.errstate(over="ignore"):
        expected = values.astype(NUMPY[target])
    assert_same(caster(F32, target)(values), expected, values)


@pytest.mark.parametrize("target", FLOAT8, ids=str)
@pytest.mark.parametrize("source", [F16, BF16], ids=str)
def test_narrowing_16_bit_floats(source: ScalarType, target: ScalarType) -> None:
    values = every_value(source)
    expected = values.astype(np.float32).astype(NUMPY[target])
    assert_same(caster(source, target)(values), expected, values)


@pytest.mark.parametrize("target", [F16, BF16], ids=str)
def test_narrowing_f64_rounds_once(target: ScalarType) -> None:
    values = samples(F64)
    values = values[:: max(len(values) // 60000, 1)]
    assert_same(caster(F64, target)(values), nearest(values, target), values)


def test_f64_to_f16_of_a_double_rounding_trap() -> None:
    trap = np.array([1 + 2.0**-11 + 2.0**-40, 1 + 2.0**-11, 1 + 3 * 2.0**-11 - 2.0**-40])
    expected = np.array([1 + 2.0**-10, 1.0, 1 + 2.0**-10], np.float16)
    assert_same(caster(F64, F16)(trap), expected, trap)


@pytest.mark.parametrize("target", [F16, BF16], ids=str)
@pytest.mark.parametrize("source", [I64, U64], ids=str)
def test_wide_integers_to_narrow_floats_round_once(source: ScalarType, target: ScalarType) -> None:
    values = samples(source)[::3]
    traps = np.array([(1 << 62) + (1 << 54) + 1, (1 << 62) + (1 << 54), 2049, 2051], NUMPY[source])
    values = np.concatenate([values, traps])
    assert_same(caster(source, target)(values), nearest(values, target), values)


@pytest.mark.parametrize("target", [F32, F64], ids=str)
@pytest.mark.parametrize("source", [*INTEGERS, BOOL], ids=str)
def test_integers_to_wide_floats(source: ScalarType, target: ScalarType) -> None:
    values = samples(source)
    assert_same(caster(source, target)(values), values.astype(NUMPY[target]), values)


@pytest.mark.parametrize("target", [*INTEGERS, BOOL], ids=str)
@pytest.mark.parametrize("source", FLOATS, ids=str)
def test_floats_to_integers_truncate_and_saturate(source: ScalarType, target: ScalarType) -> None:
    values = samples(source)
    exact = values.astype(np.float64)
    if is_bool(target):
        expected = exact != 0
    else:
        limits = np.iinfo(NUMPY[target])
        inside = (exact > float(limits.min) - 1) & (exact < float(limits.max) + 1)
        inside |= exact == float(limits.min)
        safe = np.where(inside & (exact < float(limits.max)), np.trunc(exact), 0)
        expected = safe.astype(NUMPY[target])
        expected[exact >= float(limits.max)] = limits.max
        expected[exact <= float(limits.min)] = limits.min
        expected[np.isnan(exact)] = 0
    assert_same(caster(source, target)(values), expected, values)


@pytest.mark.parametrize("target", [*INTEGERS, BOOL], ids=str)
@pytest.mark.parametrize("source", [*INTEGERS, BOOL], ids=str)
def test_integers_to_integers(source: ScalarType, target: ScalarType) -> None:
    values = samples(source)
    assert_same(caster(source, target)(values), values.astype(NUMPY[target]), values)


@pytest.mark.parametrize("target", FLOAT8, ids=str)
def test_8_bit_floats_saturate_by_default(target: ScalarType) -> None:
    largest = ml_dtypes.finfo(NUMPY[target]).max
    values = np.array([1e9, -1e9, np.inf, -np.inf, float(largest), np.nan], np.float32)
    got = caster(F32, target, saturate=True)(values).astype(np.float64)
    expected = np.array([1, -1, 1, -1, 1, np.nan]) * float(largest)
    np.testing.assert_array_equal(got, expected)


@pytest.mark.parametrize("target", [*SMALL_FLOATS, F32], ids=str)
@pytest.mark.parametrize("source", [F32, F64, I64, U64], ids=str)
def test_rounding_toward_zero(source: ScalarType, target: ScalarType) -> None:
    """The result is not beyond the value, and one step further out would be."""
    if source == target:
        pytest.skip("no conversion")
    values = samples(source)
    exact = values.astype(np.longdouble)
    got = caster(source, target, "rtz", saturate=True)(values)
    wide = got.astype(np.longdouble)
    finite = np.isfinite(exact)
    assert np.all(np.abs(wide[finite]) <= np.abs(exact[finite]))
    bits = bits_of(got)
    outward = (bits + np.ones_like(bits)).view(got.dtype).astype(np.longdouble)
    last = np.abs(wide) == np.longdouble(ml_dtypes.finfo(NUMPY[target]).max)
    sign_kept = np.abs(wide) > 0
    checked = finite & ~last & sign_kept
    assert np.all(np.abs(outward[checked]) > np.abs(exact[checked]))
    tiny = np.longdouble(ml_dtypes.finfo(NUMPY[target]).smallest_subnormal)
    assert np.all(np.abs(exact[finite & ~sign_kept]) < tiny)


@pytest.mark.parametrize("lanes", [0, 1, 2, 128])
def test_every_lane_count(lanes: int) -> None:
    values = samples(F32)[:512]
    for target in (BF16, F8E4M3, I8):
        wide = caster(F32, target, lanes=32)(values)
        assert_same(caster(F32, target, lanes=lanes)(values), wide, values)


def test_register_and_memory_types() -> None:
    assert str(llvm_type(BOOL)) == "i1"
    assert str(memory_type(BOOL)) == "i8"
    assert str(llvm_type(F16)) == "half"
    assert str(llvm_type(BF16)) == "i16"
    assert str(vector_of(llvm_type(F8E5M2), 16)) == "<16 x i8>"
