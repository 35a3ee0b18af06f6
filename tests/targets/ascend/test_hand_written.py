"""Hand-written Ascend C in the documented styles, on the CPU, against NumPy."""

from __future__ import annotations

import ctypes
from functools import cache
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import pytest

pytest.importorskip("ziglang", reason="pip install canopy-nn[cuda]")

from canopy.ascend import RawKernel

FOLDER = Path(__file__).parent / "hand_written"
Array = np.ndarray[Any, Any]


@cache
def kernel(file: str, name: str) -> RawKernel:
    path = FOLDER / file
    return RawKernel(path.read_text(), name, filename=str(path))


def normal(*shape: int, seed: int = 0, dtype: Any = np.float32) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(dtype)


def empty(*shape: int, dtype: Any = np.float32) -> Array:
    return np.full(shape, 77, dtype)


@pytest.mark.parametrize(("n", "blocks"), [(1, 1), (7, 3), (1000, 8), (100_003, 48), (5000, 100)])
def test_addition(n: int, blocks: int) -> None:
    x, y, z = normal(n), normal(n, seed=1), empty(n)
    k = kernel("elementwise.cpp", "add_custom")
    k(blocks, (x, y, z, n, 1000))
    np.testing.assert_array_equal(z, x + y)
    assert k.notes == ()


@pytest.mark.parametrize("n", [1, 1023, 40_001])
def test_operators(n: int) -> None:
    x, y = normal(n, dtype=np.float16), normal(n, seed=1, dtype=np.float16)
    z = empty(n, dtype=np.float16)
    kernel("elementwise.cpp", "squares_difference")(6, (x, y, z, n))
    np.testing.assert_array_equal(z, (x + y) * (x - y))


class LeakyTiling(ctypes.Structure):
    _fields_ = (("n", ctypes.c_uint32), ("tile", ctypes.c_uint32), ("slope", ctypes.c_float))


@pytest.mark.parametrize("n", [5, 3001])
def test_a_tiling_in_memory(n: int) -> None:
    x, y = normal(n), empty(n)
    kernel("elementwise.cpp", "leaky_relu")(4, (x, y, None, LeakyTiling(n, 512, 0.25)))
    np.testing.assert_array_equal(y, np.where(x >= 0, x, x * np.float32(0.25)))


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (13, 50), (100, 64)])
def test_masks_and_repeats(rows: int, columns: int) -> None:
    x, scale, y = normal(rows, columns), normal(columns), empty(rows, columns)
    kernel("elementwise.cpp", "scale_rows")(1, (x, scale, y, rows, columns))
    np.testing.assert_array_equal(y, x * scale)


@pytest.mark.parametrize("n", [3, 9001])
def test_gelu(n: int) -> None:
    x = normal(n, dtype=ml_dtypes.bfloat16)
    y = empty(n, dtype=ml_dtypes.bfloat16)
    kernel("elementwise.cpp", "gelu_bf16")(4, (x, y, n))
    wide = x.astype(np.float64)
    expected = wide / (1 + np.exp(-1.5957691216057308 * (wide + 0.044715 * wide**3)))
    np.testing.assert_allclose(y.astype(np.float64), expected, rtol=2**-8, atol=1e-6)


@pytest.mark.parametrize("n", [1, 777, 10_000])
def test_compare_and_select(n: int) -> None:
    x, y, z = normal(n), normal(n, seed=1), empty(n)
    kernel("elementwise.cpp", "choose")(5, (x, y, z, n, 0.3))
    np.testing.assert_array_equal(z, np.where(x < np.float32(0.3), np.abs(x), y))


def test_bits() -> None:
    n = 1001
    x = np.random.default_rng(0).integers(-(2**15), 2**15, n).astype(np.int16)
    y = empty(n, dtype=np.int16)
    kernel("elementwise.cpp", "bits_of")(1, (x, y, n))
    np.testing.assert_array_equal(y, ((x >> 3) & ~x) | (x << 2))


@pytest.mark.parametrize("n", [1, 1025, 50_001])
def test_events_by_hand(n: int) -> None:
    x, y = normal(n), empty(n)
    kernel("elementwise.cpp", "swish_events")(7, (x, y, n))
    np.testing.assert_allclose(y, x / (1 + np.exp(-x.astype(np.float64))), rtol=3e-7, atol=1e-37)


@pytest.mark.parametrize(("rows", "n"), [(1, 1), (11, 37), (50, 781), (3, 4096)])
def test_softmax(rows: int, n: int) -> None:
    x, y = normal(rows, n), empty(rows, n)
    k = kernel("reductions.cpp", "softmax")
    k(8, (x, y, rows, n))
    wide = np.exp(x.astype(np.float64) - x.max(axis=1, keepdims=True))
    np.testing.assert_allclose(y, wide / wide.sum(axis=1, keepdims=True), rtol=1e-5, atol=1e-9)
    assert k.notes == ()


@pytest.mark.parametrize(("rows", "n"), [(2, 5), (20, 1001)])
def test_layer_norm(rows: int, n: int) -> None:
    x, y = normal(rows, n), empty(rows, n)
    kernel("reductions.cpp", "layer_norm")(3, (x.copy(), y, rows, n, 1e-5))
    wide = x.astype(np.float64)
    centred = wide - wide.mean(axis=1, keepdims=True)
    expected = centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)
    np.testing.assert_allclose(y, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("rows", "n"), [(1, 1), (9, 333)])
def test_argmax(rows: int, n: int) -> None:
    x, y = normal(rows, n), empty(rows, 2)
    kernel("reductions.cpp", "row_argmax")(4, (x, y, rows, n))
    np.testing.assert_array_equal(y[:, 0], x.max(axis=1))
    np.testing.assert_array_equal(y[:, 1].copy().view(np.uint32), x.argmax(axis=1))


def test_sums_of_repeats_and_blocks() -> None:
    x, y = normal(3, 1024), empty(3, 144)
    kernel("reductions.cpp", "group_sums")(2, (x, y, 3))
    np.testing.assert_allclose(y[:, :16], x.reshape(3, 16, 64).sum(axis=2), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(y[:, 16:], x.reshape(3, 128, 8).sum(axis=2), rtol=1e-4, atol=1e-5)


def test_extremes_under_a_mask() -> None:
    x, y = normal(2, 256), empty(2, 144)
    kernel("reductions.cpp", "extremes")(2, (x, y, 2))
    parts = x.reshape(2, 4, 64)
    np.testing.assert_array_equal(y[:, 0:8:2], parts[:, :, :40].max(axis=2))
    np.testing.assert_array_equal(
        y[:, 1:8:2].copy().view(np.uint32), parts[:, :, :40].argmax(axis=2)
    )
    np.testing.assert_array_equal(y[:, 9:16:2], parts.min(axis=2))
    np.testing.assert_array_equal(y[:, 8:16:2].copy().view(np.uint32), parts.argmin(axis=2))
    np.testing.assert_array_equal(y[:, 16:], x[:, ::2] + x[:, 1::2])


@pytest.mark.parametrize("n", [1, 100_003])
def test_atomic_sum(n: int) -> None:
    x, total = normal(n), np.zeros(1, np.float32)
    kernel("reductions.cpp", "total")(20, (x, total, n))
    np.testing.assert_allclose(total[0], x.sum(dtype=np.float64), rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("n", "blocks"), [(9, 2), (30_001, 48)])
def test_blocks_that_wait_for_each_other(n: int, blocks: int) -> None:
    x, y, parts = np.abs(normal(n)), empty(n), empty(blocks * 8)
    kernel("reductions.cpp", "over_maximum")(blocks, (x, y, parts, n))
    np.testing.assert_allclose(y, x / x.max(), rtol=2e-7)


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (16, 16), (33, 70)])
def test_transpose_of_halves(rows: int, columns: int) -> None:
    x, y = normal(rows, columns, dtype=np.float16), empty(columns, rows, dtype=np.float16)
    kernel("movement.cpp", "transpose_half")(4, (x, y, rows, columns))
    np.testing.assert_array_equal(y, x.T)


def test_transpose_of_floats() -> None:
    x, y = normal(5, 16, 8), empty(5, 8, 16)
    kernel("movement.cpp", "transpose_float")(2, (x, y, 5))
    np.testing.assert_array_equal(y, x.transpose(0, 2, 1))


@pytest.mark.parametrize(("count", "width"), [(1, 1), (100, 33)])
def test_embedding(count: int, width: int) -> None:
    table, y = normal(50, width), empty(count, width)
    indices = np.random.default_rng(0).integers(0, 50, count).astype(np.int32)
    kernel("movement.cpp", "embedding")(6, (table, indices, y, 50, count, width))
    np.testing.assert_array_equal(y, table[indices])


@pytest.mark.parametrize("n", [1, 1003])
def test_gather(n: int) -> None:
    x, y = normal(n), empty(n)
    indices = np.random.default_rng(0).permutation(n).astype(np.int32)
    kernel("movement.cpp", "gather_row")(1, (x, indices, y, n))
    np.testing.assert_array_equal(y, x[indices])


def test_sort() -> None:
    x = normal(3, 128)
    x[0, ::3] = 0.5
    values, places = empty(3, 128), empty(3, 128, dtype=np.uint32)
    kernel("movement.cpp", "sort_row")(3, (x, values, places))
    np.testing.assert_array_equal(values, -np.sort(-x, axis=1))
    np.testing.assert_array_equal(np.take_along_axis(x, places.astype(np.int64), 1), values)


def test_spread_and_pack() -> None:
    x, y, z = normal(64), empty(64, 8), empty(32)
    kernel("movement.cpp", "spread")(1, (x, y, z))
    np.testing.assert_array_equal(y, np.repeat(x[:, None], 8, axis=1))
    np.testing.assert_array_equal(z, x[::2])


@pytest.mark.parametrize(
    ("name", "dtype", "out", "tolerance"),
    [
        ("matmul_half", np.float16, np.float32, 1e-4),
        ("matmul_bf16", ml_dtypes.bfloat16, np.float32, 1e-4),
        ("matmul_narrow", np.float16, np.float16, 4e-3),
    ],
)
@pytest.mark.parametrize(("m", "n", "k"), [(16, 16, 16), (65, 70, 130), (1, 33, 7)])
def test_matmul(name: str, dtype: Any, out: Any, tolerance: float, m: int, n: int, k: int) -> None:
    a, b, c = normal(m, k, dtype=dtype), normal(k, n, seed=1, dtype=dtype), empty(m, n, dtype=out)
    kernel("cube.cpp", name)(3, (a, b, c, m, n, k))
    expected = a.astype(np.float64) @ b.astype(np.float64)
    np.testing.assert_allclose(c.astype(np.float64), expected, rtol=tolerance, atol=tolerance * 10)


def test_matmul_of_floats() -> None:
    a, b, c = normal(32, 64), normal(64, 48), empty(32, 48)
    kernel("cube.cpp", "matmul_float")(1, (a, b, c))
    np.testing.assert_allclose(c, a @ b, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("blocks", "groups"), [(1, 1), (7, 3), (60, 24)])
def test_cube_and_vector_cores_together(blocks: int, groups: int) -> None:
    a, b = normal(blocks * 32, 64, dtype=np.float16), normal(64, 64, seed=1, dtype=np.float16)
    bias, c, workspace = normal(64), empty(blocks * 32, 64), empty(groups * 32 * 64)
    kernel("mixed.cpp", "linear_relu")(groups, (a, b, bias, c, workspace, blocks))
    expected = np.maximum(a.astype(np.float32) @ b.astype(np.float32) + bias, 0)
    np.testing.assert_allclose(c, expected, rtol=1e-3, atol=1e-3)


def test_torch_tensors_and_dlpack() -> None:
    torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
    n = 1003
    x, y, z = torch.randn(n), torch.randn(n), torch.zeros(n)
    kernel("elementwise.cpp", "add_custom")(4, (x, y.numpy(), z, n, 512))
    assert torch.equal(z, x + y)
    b = torch.randn(n).to(torch.bfloat16)
    out = torch.zeros_like(b)
    kernel("elementwise.cpp", "gelu_bf16")(4, (b, out, n))
    torch.testing.assert_close(out, torch.nn.functional.gelu(b, approximate="tanh"))
