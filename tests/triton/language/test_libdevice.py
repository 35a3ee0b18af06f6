"""libdevice: every symbol has a meaning; directions of rounding; integers and bits; Bessel."""

from __future__ import annotations

import ast
import importlib.util
import math
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from tests.triton.language.numbers import torch

triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
from triton.language.extra.cuda import libdevice  # noqa: E402

TYPES = {
    "fp16": torch.float16,
    "fp32": torch.float32,
    "fp64": torch.float64,
    "int32": torch.int32,
    "int64": torch.int64,
    "uint32": torch.uint32,
    "uint64": torch.uint64,
}
LANES = 32
HEAD = "import triton\nimport triton.language as tl\nfrom triton.language.extra import libdevice\n"


def overloads() -> dict[tuple[tuple[str, ...], str], list[str]]:
    """Names of libdevice's functions by the types of their arguments and result."""
    with open(libdevice.__file__, encoding="utf-8") as file:
        tree = ast.parse(file.read())
    found: dict[tuple[tuple[str, ...], str], list[str]] = {}
    for function in tree.body:
        for node in ast.walk(function):
            if not isinstance(node, ast.Dict):
                continue
            for types, entry in zip(node.keys, node.values, strict=True):
                names = tuple(_dtype(element) for element in types.elts)
                found.setdefault((names, _dtype(entry.elts[1])), []).append(function.name)
    return found


def _dtype(node: Any) -> str:
    return node.args[0].value if isinstance(node, ast.Call) else node.attr


def kernel_of(names: list[str], arity: int, folder: Any) -> Any:
    """kernel(X0.., Z, N): row i of Z is the i-th function of the arguments."""
    inputs = [f"X{i}" for i in range(arity)]
    arguments = ", ".join(f"tl.load({name} + lanes)" for name in inputs)
    lines = [f"@triton.jit\ndef kernel({', '.join(inputs)}, Z, N: tl.constexpr):"]
    lines.append("    lanes = tl.arange(0, N)")
    for row, name in enumerate(names):
        lines.append(f"    tl.store(Z + {row} * N + lanes, libdevice.{name}({arguments}))")
    path = folder / f"generated_{names[0]}_{arity}.py"
    path.write_text(HEAD + "\n".join(lines) + "\n")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.kernel


def call(name: str, arguments: list[np.ndarray], result: Any, folder: Any) -> np.ndarray:
    tensors = [torch.from_numpy(np.ascontiguousarray(argument)) for argument in arguments]
    z = torch.zeros(len(arguments[0]), dtype=result)
    kernel_of([name], len(arguments), folder)[(1,)](*tensors, z, len(arguments[0]))
    return z.numpy()


OVERLOADS = overloads()


@pytest.mark.parametrize(
    ("types", "names"),
    list(OVERLOADS.items()),
    ids=[f"{'-'.join(arguments)}-to-{result}" for arguments, result in OVERLOADS],
)
def test_every_symbol(types, names, tmp_path):
    arguments, result = types
    inputs = [torch.rand(LANES).add(0.1).to(TYPES[name]) for name in arguments]
    inputs = [
        x if x.dtype.is_floating_point else torch.arange(1, LANES + 1).to(x.dtype) for x in inputs
    ]
    z = torch.zeros((len(names), LANES), dtype=TYPES[result])
    kernel_of(names, len(inputs), tmp_path)[(1,)](*inputs, z, LANES)
    if z.dtype.is_floating_point and "fp64" in arguments:
        strange = [name for name, row in zip(names, z, strict=True) if row.isinf().all()]
        assert not strange


# ---- directions of rounding ----------------------------------------------------------------------


def rounded(exact: Fraction, direction: str, kind: Any) -> float:
    """``exact`` in the floats of ``kind``: the neighbour that the direction asks for."""
    largest = Fraction(float(np.finfo(kind).max))
    size = abs(exact)
    if size > largest:
        below, above = float(largest), math.inf
    else:
        near = kind(float(size))
        while Fraction(float(near)) > size:
            near = np.nextafter(near, kind(0))
        following = np.nextafter(near, kind(np.inf))
        while np.isfinite(following) and Fraction(float(following)) <= size:
            near, following = following, np.nextafter(following, kind(np.inf))
        below = float(near)
        above = below if Fraction(below) == size else float(following)
    if exact >= 0:
        return above if direction == "ru" else below
    return -above if direction == "rd" else -below


def operands(kind: Any, count: int = 256) -> list[np.ndarray]:
    """Random bit patterns, ordinary numbers, and the ends of the range."""
    generator = np.random.default_rng(3)
    word = np.dtype(f"u{np.dtype(kind).itemsize}")
    made = []
    for _ in range(3):
        patterns = generator.integers(0, np.iinfo(word).max, count, dtype=word).view(kind)
        usual = generator.standard_normal(count).astype(kind)
        chosen = np.where(generator.random(count) < 0.5, patterns, usual)
        made.append(np.where(np.isfinite(chosen), chosen, kind(1)))
    ends = [0, 1, np.finfo(kind).max, np.finfo(kind).tiny, np.finfo(kind).smallest_subnormal]
    made[0][: len(ends)] = made[1][: len(ends)] = ends
    return made


@pytest.mark.filterwarnings("ignore:overflow")
@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("direction", ["rd", "ru", "rz"])
def test_directions_of_rounding(direction, kind, tmp_path):
    a, b, c = operands(kind)
    result = torch.float32 if kind is np.float32 else torch.float64
    x, y, z = ([Fraction(float(v)) for v in values] for values in (a, b, c))
    exact = {
        "add": [p + q for p, q in zip(x, y, strict=True)],
        "sub": [p - q for p, q in zip(x, y, strict=True)],
        "mul": [p * q for p, q in zip(x, y, strict=True)],
        "div": [p / q if q else None for p, q in zip(x, y, strict=True)],
    }
    cases = [(name, [a, b], values) for name, values in exact.items()]
    cases.append(("rcp", [b], [1 / q if q else None for q in y]))
    if kind is np.float32:
        products = zip(x, y, z, strict=True)
        cases.append(("fma", [a, b, c], [p * q + r for p, q, r in products]))
    for name, arguments, values in cases:
        made = call(f"{name}_{direction}", arguments, result, tmp_path)
        for lane, value in enumerate(values):
            if value is not None:
                wanted = rounded(value, direction, kind)
                assert made[lane] == wanted, (name, lane, a[lane], b[lane], c[lane])
    roots = call(f"sqrt_{direction}", [np.abs(a)], result, tmp_path)
    for root, square in zip(roots, np.abs(a), strict=True):
        above = Fraction(float(np.nextafter(root, kind(np.inf))))
        below = Fraction(float(np.nextafter(root, kind(0))))
        square, root = Fraction(float(square)), Fraction(float(root))
        if direction == "ru":
            assert below * below < square <= root * root or square == root == 0
        else:
            assert root * root <= square < above * above


def test_exact_zeros_are_negative_below(tmp_path):
    a = np.array([1, -0.0, 0, 0], np.float32)
    b = np.array([-1, 0, 0, -0.0], np.float32)
    made = call("add_rd", [a, b], torch.float32, tmp_path)
    np.testing.assert_array_equal(np.signbit(made), [True, True, False, True])


CASTS = [
    ("int2float", np.int32, np.float32),
    ("uint2float", np.uint32, np.float32),
    ("ll2float", np.int64, np.float32),
    ("ull2float", np.uint64, np.float32),
    ("ll2double", np.int64, np.float64),
    ("ull2double", np.uint64, np.float64),
    ("double2float", np.float64, np.float32),
]


@pytest.mark.parametrize(("name", "source", "kind"), CASTS)
def test_casts_with_a_direction(name, source, kind, tmp_path):
    generator = np.random.default_rng(5)
    if source is np.float64:
        values = generator.standard_normal(64) * 10.0 ** generator.integers(-50, 50, 64)
    else:
        limits = np.iinfo(source)
        values = generator.integers(limits.min, limits.max, 64, dtype=source, endpoint=True)
        values[:2] = limits.min, limits.max
    result = torch.float32 if kind is np.float32 else torch.float64
    for direction in ("rd", "ru", "rz"):
        made = call(f"{name}_{direction}", [values], result, tmp_path)
        exact = [Fraction(value.item()) for value in values]
        assert made.tolist() == [rounded(value, direction, kind) for value in exact]


# ---- bits ----------------------------------------------------------------------------------------


def words(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(-(2**31), 2**31, 64).astype(np.int32)


def test_byte_permutation(tmp_path, way):
    x, y, selector = words(1), words(2), words(3)
    made = call("byte_perm", [x, y, selector], torch.int32, tmp_path)
    for lane in range(len(x)):
        source = x[lane].tobytes() + y[lane].tobytes()
        chosen = bytes(source[int(selector[lane]) >> 4 * i & 7] for i in range(4))
        assert made[lane].tobytes() == chosen


def test_product_of_24_bits(tmp_path):
    x, y = words(1), words(2)
    low = [(v.astype(np.int64) << 40 >> 40) for v in (x, y)]
    made = call("mul24", [x, y], torch.int32, tmp_path)
    np.testing.assert_array_equal(made, (low[0] * low[1]).astype(np.int32))


def test_halves_of_a_double(tmp_path, way):
    x = np.random.default_rng(4).standard_normal(64)
    low, high = x.view(np.int32)[0::2], x.view(np.int32)[1::2]
    np.testing.assert_array_equal(call("double2hiint", [x], torch.int32, tmp_path), high)
    np.testing.assert_array_equal(call("double2loint", [x], torch.int32, tmp_path), low)
    joined = call("hiloint2double", [high.copy(), low.copy()], torch.float64, tmp_path)
    np.testing.assert_array_equal(joined, x)
    halved = call("rcp64h", [x], torch.float64, tmp_path)
    np.testing.assert_allclose(halved, 1 / x, rtol=1e-6)
    assert not halved.view(np.uint32)[0::2].any()


# ---- Bessel functions ----------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.float32, np.float64])
@pytest.mark.parametrize("order", [0, 1])
def test_modified_bessel_functions(order, kind, tmp_path, way):
    x = np.concatenate([np.linspace(-40, 40, 58), [0, 28, -28, 27.99, 85, -85]]).astype(kind)
    reference = getattr(torch.special, f"i{order}")(torch.from_numpy(x.astype(np.float64)))
    result = torch.float32 if kind is np.float32 else torch.float64
    made = call(f"cyl_bessel_i{order}", [x], result, tmp_path)
    bound = 1e-6 if kind is np.float32 else 3e-14
    np.testing.assert_allclose(made, reference.numpy(), rtol=bound)


def test_bessel_functions_of_an_order(tmp_path, way):
    orders = (np.arange(32) % 5).astype(np.int32)
    x = np.linspace(0.5, 20, 32)
    made = call("jn", [orders, x], torch.float64, tmp_path)
    for lane in range(32):
        grid = (np.arange(4000) + 0.5) * np.pi / 4000  # Bessel's integral, by the midpoint rule
        integral = np.cos(orders[lane] * grid - x[lane] * np.sin(grid)).mean()
        assert made[lane] == pytest.approx(integral, abs=1e-12)
    first = call("y0", [x], torch.float64, tmp_path)
    zero = np.zeros(32, np.int32)
    np.testing.assert_allclose(call("yn", [zero, x], torch.float64, tmp_path), first, rtol=1e-12)
