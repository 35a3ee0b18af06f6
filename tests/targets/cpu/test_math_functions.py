"""The vector math functions against float64: a prime stride through f32, and special values."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from lane_kernels import LaneKernel, compile_lanes
from llvmlite import ir
from math_references import SPECIALS, UNARY, patterns, ulps

from canopy.ir.math import FUNCTIONS, INTEGER_FUNCTIONS, PREDICATES
from canopy.targets.cpu.math_functions import emit_math

pytestmark = pytest.mark.filterwarnings("ignore::RuntimeWarning")

F32, F64, I32 = ir.FloatType(), ir.DoubleType(), ir.IntType(32)
STRIDE = 16381  # a prime: 262,000 of the 2**32 patterns, with every exponent and both signs
LOOSE = {"lgamma": 4.0, "j0": 2.0, "j1": 2.0, "y0": 2.0, "y1": 2.0}  # libm's own


def kernel(function: str, element: Any = F32, lanes: int = 64, result: Any = None) -> LaneKernel:
    dtypes = {"float": np.float32, "double": np.float64, "i32": np.int32, "i8": np.int8}
    result = result or element
    arity = FUNCTIONS[function]
    dtype = dtypes.get(str(result)) or np.int64
    return compile_lanes(
        lambda builder, values: emit_math(builder, function, values),
        [element] * arity,
        result,
        dtype,
        lanes,
    )


@pytest.mark.parametrize("function", UNARY)
def test_f32_error_in_ulps(function: str) -> None:
    x = np.concatenate([patterns(0, 2**32, STRIDE), SPECIALS, np.linspace(-9, 9, 20001)])
    x = x.astype(np.float32)
    if function in LOOSE:
        x = x[(x >= 3) & (x < 20)] if function == "lgamma" else np.linspace(0.1, 0.8, 999)
        x = x.astype(np.float32)
    error = ulps(kernel(function)(x), UNARY[function](x.astype(np.float64)))
    worst = int(np.argmax(error))
    limit = LOOSE.get(function, 2.0)
    assert error[worst] <= limit, f"{function}({x[worst]!r}) is {error[worst]:.3g} ulp off"


@pytest.mark.parametrize("lanes", [0, 1, 2, 4, 16, 128])
@pytest.mark.parametrize("function", ["exp", "log", "sin", "tanh", "erf", "pow", "erfc", "lgamma"])
def test_lane_counts_agree(function: str, lanes: int) -> None:
    x = np.concatenate([SPECIALS, np.linspace(-5, 50, 300)]).astype(np.float32)
    arguments = [x] * FUNCTIONS[function]
    expected = kernel(function, lanes=64)(*arguments)
    np.testing.assert_array_equal(kernel(function, lanes=lanes)(*arguments), expected)


@pytest.mark.parametrize(
    "function", ["exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan"]
)
def test_f64_against_numpy(function: str) -> None:
    random = np.random.default_rng(3)
    scale = 10.0 ** random.uniform(-300, 300, 4000)
    x = np.concatenate([random.uniform(-745, 709, 9000), scale, -scale, SPECIALS.astype(float)])
    got, expected = kernel(function, F64, 32)(x), UNARY[function](x)
    finite = np.isfinite(expected)
    np.testing.assert_array_equal(got[~finite], expected[~finite])
    bound = 3 * np.spacing(np.abs(expected[finite]))
    assert np.all(np.abs(got[finite] - expected[finite]) <= bound)
    np.testing.assert_array_equal(np.signbit(got[finite]), np.signbit(expected[finite]))


@pytest.mark.parametrize(
    ("function", "tolerance"),
    [
        *(("exp10", 1e-14), ("sigmoid", 1e-15), ("tanh", 1e-15), ("erf", 1e-15), ("erfc", 2e-14)),
        *(("erfinv", 1e-13), ("normcdf", 2e-14), ("normcdfinv", 1e-13), ("erfcx", 2e-15)),
        *(("rcbrt", 1e-15), ("asin", 1e-15), ("cosh", 1e-15), ("lgamma", 1e-12), ("j0", 1e-14)),
    ],
)
def test_f64_of_the_rest(function: str, tolerance: float) -> None:
    x = np.random.default_rng(5).uniform(0.01, 0.99, 3000)
    got, expected = kernel(function, F64, 8)(x), UNARY[function](x)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_erfcinv_inverts_erfc() -> None:
    y = np.concatenate([10.0 ** np.linspace(-300, 0, 400), np.linspace(0.1, 1.9, 400)])
    back = UNARY["erfc"](kernel("erfcinv", F64, 8)(y))
    np.testing.assert_allclose(back, y, rtol=1e-12)
    single = y[y > 1e-38].astype(np.float32)
    got = kernel("erfcinv")(single)
    expected = kernel("erfcinv", F64, 8)(single.astype(np.float64))
    assert ulps(got, expected).max() <= 2
    edges = kernel("erfcinv")(np.array([0.0, 2.0, 1.0, -1.0, 3.0], np.float32))
    np.testing.assert_array_equal(edges, [np.inf, -np.inf, 0.0, np.nan, np.nan])


def pairs() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(11)
    grid = np.array(list(itertools.product(SPECIALS, SPECIALS)), np.float32)
    integers = np.array(list(itertools.product(range(-9, 10), repeat=2)), np.float32)
    near = np.stack([np.exp(random.normal(0, 5, 20000)), random.normal(0, 9, 20000)], axis=1)
    drawn = random.integers(0, 2**32, (40000, 2), dtype=np.uint64).astype(np.uint32)
    stacked = np.concatenate([grid, integers, near.astype(np.float32), drawn.view(np.float32)])
    return np.ascontiguousarray(stacked[:, 0]), np.ascontiguousarray(stacked[:, 1])


@pytest.mark.parametrize(
    ("function", "reference", "limit"),
    [
        ("pow", np.power, 1.0),
        ("atan2", np.arctan2, 1.0),
        ("hypot", np.hypot, 1.0),
        ("fmod", np.fmod, 0.0),
        ("copysign", np.copysign, 0.0),
    ],
)
def test_two_arguments(function: str, reference: Any, limit: float) -> None:
    x, y = pairs()
    exact = reference(x.astype(np.float64), y.astype(np.float64))
    got = kernel(function)(x, y)
    error = ulps(got, exact)
    worst = int(np.argmax(error))
    assert error[worst] <= limit, f"{x[worst]!r}, {y[worst]!r}: {got[worst]!r}, {exact[worst]!r}"


def test_rounded_functions_of_two_arguments() -> None:
    x, y = pairs()
    np.testing.assert_array_equal(kernel("nextafter")(x, y), np.nextafter(x, y))
    expected = np.where(np.isnan(x) | np.isnan(y), np.nan, np.where(x > y, x - y, 0))
    np.testing.assert_array_equal(kernel("fdim")(x, y), expected)
    powers = np.clip(np.nan_to_num(np.rint(y)), -400, 400)
    expected = np.ldexp(x.astype(np.float64), powers.astype(np.int32)).astype(np.float32)
    np.testing.assert_array_equal(kernel("ldexp")(x, powers), expected)


@pytest.mark.parametrize("function", ["abs", "floor", "ceil", "rint", "trunc", "neg", "round"])
def test_exact_functions(function: str) -> None:
    x = np.concatenate([patterns(0, 2**32, 65521), SPECIALS, np.arange(-8, 8, 0.25)])
    x = x.astype(np.float32)

    def away_from_zero(v: np.ndarray) -> np.ndarray:
        whole = np.trunc(v)
        return np.where(np.abs(v - whole) >= 0.5, whole + np.copysign(1, v), whole)

    reference = {"neg": np.negative, "round": away_from_zero}.get(function)
    expected = (reference or getattr(np, function))(x)
    got = kernel(function)(x)
    np.testing.assert_array_equal(got, expected)
    numbers = ~np.isnan(x)
    np.testing.assert_array_equal(np.signbit(got[numbers]), np.signbit(expected[numbers]))


@pytest.mark.parametrize("element", [F32, F64], ids=str)
@pytest.mark.parametrize("function", sorted(PREDICATES))
def test_predicates_give_i32(function: str, element: Any) -> None:
    x = SPECIALS.astype(np.float32 if element == F32 else np.float64)
    got = kernel(function, element, 32, I32)(x)
    np.testing.assert_array_equal(got, getattr(np, function)(x).astype(np.int32))


@pytest.mark.parametrize("bits", [8, 32, 64])
@pytest.mark.parametrize("function", sorted(INTEGER_FUNCTIONS))
def test_integers(function: str, bits: int) -> None:
    lowest = -(2 ** (bits - 1))
    values = np.array([0, 1, -1, 2, 12, 100, lowest, -lowest - 1], f"int{bits}")
    texts = [format(int(v) % 2**bits, f"0{bits}b") for v in values]
    expected = {
        "abs": lambda text, v: abs(v),
        "neg": lambda text, v: -v,
        "clz": lambda text, v: bits - len(text.lstrip("0")),
        "ctz": lambda text, v: bits - len(text.rstrip("0")),
        "popcount": lambda text, v: text.count("1"),
        "bit_reverse": lambda text, v: int(text[::-1], 2),
    }[function]
    wanted = [expected(text, int(v)) % 2**bits for text, v in zip(texts, values, strict=True)]
    got = kernel(function, ir.IntType(bits), 8)(values)
    assert [int(v) % 2**bits for v in got] == wanted


def test_every_function_of_the_ir_compiles_for_both_formats() -> None:
    for function, arity in FUNCTIONS.items():
        if function in INTEGER_FUNCTIONS and function not in ("abs", "neg"):
            continue
        for element, dtype in ((F32, np.float32), (F64, np.float64)):
            result = I32 if function in PREDICATES else element
            half = np.full(8, 0.5, dtype)
            assert len(kernel(function, element, 8, result)(*[half] * arity)) == 8


def test_a_function_is_written_once_for_a_type() -> None:
    module = ir.Module()
    vector = ir.VectorType(F32, 64)
    function = ir.Function(module, ir.FunctionType(vector, [vector]), "twice")
    builder = ir.IRBuilder(function.append_basic_block())
    once = emit_math(builder, "exp", list(function.args))
    builder.ret(emit_math(builder, "exp", [once]))
    assert str(module).count('define internal <64 x float> @"canopy.exp.v64f32"') == 1


def test_an_unknown_function_is_refused() -> None:
    with pytest.raises(KeyError):
        kernel_of_unknown()


def kernel_of_unknown() -> None:
    compile_lanes(lambda b, v: emit_math(b, "no_such", v), [F32], F32, np.float32)
