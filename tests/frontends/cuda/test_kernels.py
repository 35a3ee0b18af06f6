"""CUDA C++ kernels through clang, the tile IR and the interpreter, against NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("ziglang")

from canopy import ir
from canopy.compiler import compile_kernel
from canopy.errors import CompileError, LaunchError, UnsupportedError
from canopy.frontends.cuda import CudaModule, compile_cuda
from canopy.ir.interpreter import Interpreter
from canopy.ir.types import F32
from canopy.ir.verifier import verify
from canopy.runtime.launch import launch as run_entry
from canopy.runtime.launch import pack_slots

KERNELS = Path(__file__).parent / "kernels"
RNG = np.random.default_rng(7)
_MODULES: dict[str, CudaModule] = {}


def module_of(name: str) -> CudaModule:
    if name not in _MODULES:
        path = KERNELS / name
        _MODULES[name] = compile_cuda(path.read_text(), str(path))
    return _MODULES[name]


class Runner:
    """Runs a kernel of a file on ``where``: the interpreter, or the CPU target."""

    def __init__(self, where: str) -> None:
        self.where = where

    def __call__(
        self, name: str, kernel: str, grid: tuple[int, ...], block: tuple[int, int, int], *args: Any
    ) -> None:
        lowered = module_of(name).kernel(kernel, block)
        verify(lowered)
        if self.where == "interpreter":
            Interpreter(lowered, args, grid).run()
        else:
            run_on_cpu(lowered, args, grid, block)


def run_on_cpu(
    kernel: ir.Kernel, args: Sequence[Any], grid: Sequence[int], block: Sequence[int]
) -> None:
    executable = compile_kernel(kernel, "cpu")
    kinds = "".join("f" if p.value.type == F32 else "i" for p in kernel.parameters)
    slots = pack_slots(*map(slot_of, args), kinds=kinds)
    run_entry(executable.load(), grid, slots, executable.scratch_bytes, block=block)


def slot_of(argument: Any) -> Any:
    """The address of an array; a number as it is."""
    return argument.ctypes.data if isinstance(argument, np.ndarray) else argument


@pytest.fixture(params=["interpreter", "cpu"])
def launch(request: pytest.FixtureRequest) -> Runner:
    return Runner(request.param)


def floats(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("kernel", ["saxpy", "saxpy_early_return"])
@pytest.mark.parametrize("n", [0, 1, 7, 250, 1003])
def test_saxpy(launch: Runner, kernel: str, n: int) -> None:
    x, y = floats(n), floats(n)
    expected = (2.5 * x.astype(np.float64) + y).astype(np.float32)  # one rounding: a fused product
    launch("saxpy.cu", kernel, (8,), (128, 1, 1), n, 2.5, x, y)
    np.testing.assert_allclose(y, expected, rtol=2e-7)


@pytest.mark.parametrize("type_", ["float", "double", "int"])
@pytest.mark.parametrize("n", [0, 1, 31, 257, 5003])
@pytest.mark.parametrize("threads", [32, 256])
def test_block_reduce(launch: Runner, type_: str, n: int, threads: int) -> None:
    dtype = {"float": np.float32, "double": np.float64, "int": np.int32}[type_]
    x = (RNG.standard_normal(n) * 100).astype(dtype)
    out = np.full(3, 99, dtype)
    launch("block_reduce.cu", f"reduce<{type_}>", (3,), (threads, 1, 1), x, n, out)
    assert np.isclose(out.sum(), x.sum(dtype=np.float64), rtol=1e-4, atol=1e-2)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (7, 19), (33, 40)])
@pytest.mark.parametrize("block", [(16, 4, 1), (5, 3, 1), (8, 1, 1)])
def test_stencil(launch: Runner, height: int, width: int, block: tuple[int, int, int]) -> None:
    image, out = floats(height, width), np.full((height, width), 9, np.float32)
    grid = (-(-width // block[0]), -(-height // block[1]))
    launch("stencil.cu", "stencil", grid, block, height, width, image, out)
    p = np.pad(image, 1)
    expected = 4 * image - p[:-2, 1:-1] - p[2:, 1:-1] - p[1:-1, :-2] - p[1:-1, 2:]
    np.testing.assert_allclose(out, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 31), (40, 33)])
@pytest.mark.parametrize("rows", [4, 16])
def test_transpose(launch: Runner, height: int, width: int, rows: int) -> None:
    image, out = floats(height, width), np.zeros((width, height), np.float32)
    grid = (-(-width // 16), -(-height // 16))
    launch("transpose.cu", "transpose", grid, (16, rows, 1), height, width, image, out)
    np.testing.assert_array_equal(out, image.T)


@pytest.mark.parametrize("n", [0, 1, 777])
def test_histogram(launch: Runner, n: int) -> None:
    data = RNG.integers(0, 256, n).astype(np.uint8)
    bins = np.zeros(256, np.uint32)
    launch("histogram.cu", "histogram", (3,), (96, 1, 1), n, data, bins)
    np.testing.assert_array_equal(bins, np.bincount(data, minlength=256))


@pytest.mark.parametrize("n", [1, 45, 100])
def test_collatz(launch: Runner, n: int) -> None:
    start, steps = np.arange(1, n + 1, dtype=np.uint32), np.full(n, -5, np.int32)
    launch("control.cu", "collatz", (2,), (64, 1, 1), n, start, steps)

    def count(v: int) -> int:
        return 0 if v == 1 else 1 + count(3 * v + 1 if v % 2 else v // 2)

    np.testing.assert_array_equal(steps, [count(v) for v in range(1, n + 1)])


@pytest.mark.parametrize("width", [0, 1, 13])
def test_find_first(launch: Runner, width: int) -> None:
    rows, found = floats(50, width), np.full(50, -7, np.int32)
    launch("control.cu", "find_first", (2,), (32, 1, 1), 50, width, rows, 1.0, found)
    expected = [next((c for c in range(width) if row[c] > 1), -1) for row in rows]
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("limit", [1.0, 50.0])
def test_uniform_break(launch: Runner, limit: float) -> None:
    x, out = floats(37), np.zeros(48, np.float32)
    launch("control.cu", "uniform_break", (1,), (48, 1, 1), 37, x, limit, out)
    total, k = np.zeros(48), 0
    while k < 37 and x[k] <= limit:
        total += x[k] * np.arange(48) if x[k] >= 0 else 0
        k += 1
    np.testing.assert_allclose(out, total + k, rtol=1e-5)


def test_nested(launch: Runner) -> None:
    n = 60
    limits, out = RNG.integers(0, 8, n).astype(np.int32), np.zeros(n, np.int32)
    launch("control.cu", "nested", (2,), (32, 1, 1), n, limits, out)

    def one(i: int) -> int:
        total = 0
        for a in range(limits[i]):
            for b in range(a, 10):
                if (a * b + i) % 7 == 3:
                    return total
                if (a + b) % 3 == (i % 32) % 3:
                    continue
                total += a * b
            total ^= i
        return -total

    np.testing.assert_array_equal(out, [one(i) for i in range(n)])


@pytest.mark.parametrize("n", [90, 110])
def test_classify(launch: Runner, n: int) -> None:
    x, out = RNG.integers(-50, 50, n).astype(np.int32), np.zeros(n, np.int32)
    launch("control.cu", "classify", (4,), (32, 1, 1), n, x, out)

    def one(v: int) -> int:
        if v & 7 == 0:
            return 10
        base = {1: 20, 2: 2 * v, 5: 2 * v}.get(v & 7, -v)
        return base + (1000 if n > 100 else 0)

    np.testing.assert_array_equal(out, [one(int(v)) for v in x])


def test_local_array(launch: Runner) -> None:
    x, out = RNG.integers(0, 1 << 30, 70).astype(np.int32), np.zeros(70, np.int32)
    launch("control.cu", "local_array", (3,), (32, 1, 1), 70, x, out)

    def one(v: int) -> int:
        digits = [(v >> 2 * k) & 3 for k in range(9)]
        return sum(digits.count(d) * 10**d for d in range(4))

    np.testing.assert_array_equal(out, [one(int(v)) for v in x])


@pytest.mark.parametrize("special", [False, True])
def test_warp_ops(launch: Runner, special: bool) -> None:
    x = RNG.integers(-60, 60, 96).astype(np.int32)
    x[40] = 77 if special else 1
    ballot, rotated, prefix, any_ = (np.zeros(96, np.int32) for _ in range(4))
    launch("warp.cu", "warp_ops", (1,), (96, 1, 1), x, ballot, rotated, prefix, any_)
    rows = x.reshape(3, 32)
    bits = ((rows > 0).astype(np.uint64) << np.arange(32, dtype=np.uint64)).sum(1).astype(np.uint32)
    np.testing.assert_array_equal(ballot.view(np.uint32), np.repeat(bits, 32))
    np.testing.assert_array_equal(rotated.reshape(3, 32), np.roll(rows, -5, axis=1))
    np.testing.assert_array_equal(prefix.reshape(3, 32), rows.cumsum(1))
    votes = (rows == 77).any(1) + 2 * (rows > -50).all(1) + 4 * special
    np.testing.assert_array_equal(any_, np.repeat(votes, 32))


def test_uniform_loops_are_scalar_and_divergent_ones_masked() -> None:
    transpose = module_of("transpose.cu").kernel("transpose", (16, 4, 1))
    assert not any(isinstance(op, ir.AnyLane) for op in ir.walk(transpose.body.ops))
    collatz = module_of("control.cu").kernel("collatz", (64, 1, 1))
    assert any(isinstance(op, ir.AnyLane) for op in ir.walk(collatz.body.ops))


def test_ops_carry_the_users_lines() -> None:
    kernel = module_of("saxpy.cu").kernel("saxpy", (128, 1, 1))
    (store,) = [op for op in ir.walk(kernel.body.ops) if isinstance(op, ir.Store)]
    assert store.location.file.endswith("saxpy.cu")
    assert store.location.line == 3
    assert kernel.location.line == 1


def test_errors_name_the_users_line() -> None:
    with pytest.raises(CompileError, match=r"bad.cu:2: use of undeclared identifier 'missing'"):
        compile_cuda("__global__ void f(int* p) {\n  p[0] = missing;\n}\n", "bad.cu")
    recursive = "__device__ int g(int n) {\n  return n ? n * g(n - 1) + 1 : 1;\n}\n"
    recursive += "__global__ void f(int* p) {\n  p[0] = g(p[1]);\n}\n"
    with pytest.raises(UnsupportedError, match=r"deep.cu:"):
        compile_cuda(recursive, "deep.cu").kernel("f", (32, 1, 1))
    with pytest.raises(CompileError, match="no kernel is named nothing"):
        module_of("saxpy.cu").kernel("nothing", (32, 1, 1))
    with pytest.raises(CompileError, match="3 kernels are named reduce"):
        module_of("block_reduce.cu").kernel("reduce", (32, 1, 1))
    with pytest.raises(LaunchError, match="2048"):
        module_of("saxpy.cu").kernel("saxpy", (2048, 1, 1))


def test_a_loop_with_a_uniform_count_is_a_for() -> None:
    source = """
__global__ void row_sums(int rows, int width, const float* x, float* out) {
  int r = blockIdx.x * blockDim.x + threadIdx.x;
  if (r >= rows) return;
  float sum = 0;
  for (int c = 0; c < width; c++) sum += x[r * width + c] * (c % 2 ? 1 : -1);
  out[r] = sum;
}
"""
    kernel = compile_cuda(source, "sums.cu").kernel("row_sums", (32, 1, 1))
    verify(kernel)
    assert [type(op) for op in ir.walk(kernel.body.ops) if isinstance(op, ir.For)] == [ir.For]
    x, out = floats(37, 11), np.zeros(37, np.float32)
    Interpreter(kernel, [37, 11, x, out], (2,)).run()
    signs = np.where(np.arange(11) % 2, 1, -1)
    np.testing.assert_allclose(out, (x * signs).sum(1), rtol=1e-4, atol=1e-5)


def test_a_loop_with_two_entries_names_the_users_line() -> None:
    source = """
__global__ void jump(int n, int* p) {
  int i = threadIdx.x;
  if (n > 3) goto middle;
  while (i < n) {
    p[i] = 1;
middle:
    i += p[i] + 1;
  }
}
"""
    with pytest.raises(UnsupportedError, match=r"jump.cu:\d+: .*more than one place"):
        compile_cuda(source, "jump.cu").kernel("jump", (32, 1, 1))


def test_pointers_step_back_and_shared_addresses_wrap(launch: Runner) -> None:
    values = RNG.integers(0, 2**20, 77, dtype=np.int32)
    out = np.zeros(77, np.int32)
    launch("addresses.cu", "one_based", (3,), (32, 1, 1), values, out, 77)
    np.testing.assert_array_equal(out, values - values[-1])
    words = RNG.integers(0, 2**20, 64, dtype=np.uint32)
    mirrored = np.zeros(64, np.uint32)
    launch("addresses.cu", "mirrored", (1,), (64, 1, 1), words, mirrored)
    lanes = np.arange(64)
    expected = words[::-1] + words[np.maximum(lanes - 32, 0)] // 2
    np.testing.assert_array_equal(mirrored, expected)
