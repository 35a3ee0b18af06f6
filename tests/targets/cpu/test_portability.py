"""Kernels for processors that this one is not: AVX2 alone runs here, AArch64 NEON is read.

Each kernel comes from Triton once; its tile IR is then compiled for each processor.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import platform
import re
from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numpy as np
import pytest

from canopy import ir
from canopy.errors import CanopyError, UnsupportedError
from canopy.ir.parser import parse_kernel
from canopy.passes import pipeline
from canopy.targets.cpu import Machine, assembly_of, compile_cpu, host_machine
from tests.fuzz.differential import compare

os.environ.setdefault("TRITON_DEFAULT_BACKEND", "cpu")
torch = pytest.importorskip("torch")
triton = pytest.importorskip("triton")

import triton.language as tl  # noqa: E402

from tests.triton.kernels import attention_forward, layer_norm_forward, matmul  # noqa: E402
from tests.triton.test_ordering import count, scan_tile, sort_rows  # noqa: E402

AVX2 = "x86-64-v3"
NEON = Machine("aarch64-unknown-linux-gnu", "generic", "+neon", 16)


def has_avx2() -> bool:
    return bool(llvm.get_host_cpu_features().get("avx2"))


needs_avx2 = pytest.mark.skipif(
    platform.machine() not in ("x86_64", "AMD64") or not has_avx2(), reason="needs AVX2"
)


@triton.jit
def gelu_into_halves(x, out, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    values = tl.load(x + places, mask=inside)
    values = 0.5 * values * (1 + tl.erf(values * 0.7071067811865476))
    tl.store(out + places, values.to(tl.float16), mask=inside)


@triton.jit
def softmax(x, out, n, BLOCK: tl.constexpr):
    lanes = tl.arange(0, BLOCK)
    row = tl.load(x + tl.program_id(0) * n + lanes, mask=lanes < n, other=-float("inf"))
    powers = tl.exp(row - tl.max(row, 0))
    tl.store(out + tl.program_id(0) * n + lanes, powers / tl.sum(powers, 0), mask=lanes < n)


@triton.jit
def through_float8(x, out, bits, n, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    inside = places < n
    values = tl.load(x + places, mask=inside)
    small = values.to(tl.float8e5)
    tl.store(out + places, values.to(tl.float8e4nv).to(tl.float32), mask=inside)
    tl.store(bits + places, small.to(tl.uint8, bitcast=True), mask=inside)


@triton.jit
def atomic_sums(x, totals, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    values = tl.load(x + places, mask=inside, other=0)
    tl.atomic_add(totals + (values & 7), values, mask=inside)
    tl.atomic_max(totals + 8, tl.max(values, 0))


def halves(x: np.ndarray) -> np.ndarray:
    return np.zeros(x.shape, np.float16)


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(7).standard_normal(shape).astype(np.float32)


def integers(n: int) -> np.ndarray:
    return np.random.default_rng(8).integers(0, 32, n).astype(np.int32)


def square(side: int) -> dict[str, Any]:
    strides = dict.fromkeys(("a_m", "b_k", "c_m"), side)
    return {**dict.fromkeys("MNK", side), **strides, **dict.fromkeys(("a_k", "b_n", "c_n"), 1)}


def attention_arguments(length: int, width: int) -> dict[str, Any]:
    q, k, v = random(3, 2, length, width)
    return {
        "q": q, "k": k, "v": v, "out": np.zeros_like(q), "log_sums": np.zeros(q.shape[:2], "f4"),
        "n_queries": length, "n_keys": length, "scale": width**-0.5,
        "CAUSAL": True, "DIM": width, "BLOCK_M": 32, "BLOCK_N": 16,
    }  # fmt: skip


# Per kernel: the function, its arguments by name, the grid, the tolerance.
Case = tuple[Any, dict[str, Any], tuple[int, ...], float]
CASES: dict[str, Callable[[], Case]] = {
    "elementwise": lambda: (
        gelu_into_halves,
        {"x": random(1003), "out": halves(random(1003)), "n": 1003, "BLOCK": 256},
        (4,),
        1e-3,
    ),
    "softmax": lambda: (
        softmax,
        {"x": random(3, 777), "out": random(3, 777), "n": 777, "BLOCK": 1024},
        (3,),
        1e-6,
    ),
    "layer_norm": lambda: (
        layer_norm_forward,
        {
            "x": random(3, 300), "out": random(3, 300), "weight": random(300),
            "bias": random(300), "means": random(3), "rstds": random(3),
            "n": 300, "eps": 1e-5, "BLOCK": 128,
        },
        (3,),
        2e-6,
    ),
    "matmul": lambda: (
        matmul,
        {
            "a": random(70, 70), "b": random(70, 70), "c": random(70, 70), **square(70),
            "BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_K": 16, "GROUP": 2, "ACTIVATION": "leaky_relu",
        },
        (9,),
        1e-5,
    ),
    "attention": lambda: (attention_forward, attention_arguments(70, 32), (3, 2), 1e-5),
    "atomics": lambda: (
        atomic_sums,
        {"x": integers(999), "totals": np.zeros(9, np.int32), "n": 999, "BLOCK": 128},
        (8,),
        0.0,
    ),
    "histogram": lambda: (
        count,
        {"x": integers(999), "out": np.zeros(32, np.int32), "n": 999, "BINS": 32, "BLOCK": 256},
        (4,),
        0.0,
    ),
    "scans": lambda: (
        scan_tile,
        {
            "x": random(4, 64), "y": random(4, 64), "out": random(4, 64), "sums": random(4, 64),
            "products": random(4, 64), "ROWS": 4, "COLUMNS": 64, "AXIS": 1, "REVERSE": False,
        },
        (1,),
        1e-5,
    ),
    "sort": lambda: (
        sort_rows,
        {"x": random(2, 128), "out": random(2, 128), "ROWS": 2, "COLUMNS": 128, "DESCENDING": True},
        (1,),
        0.0,
    ),
    "float8": lambda: (
        through_float8,
        {"x": random(501) * 50, "out": random(501), "bits": np.zeros(501, "u1"), "n": 501,
         "BLOCK": 512},
        (1,),
        0.0,
    ),
}  # fmt: skip


@functools.cache
def kernel_of(name: str) -> ir.Kernel:
    """The tile IR that Triton's front-end gives for a case, before the passes."""
    function, arguments, grid, _ = CASES[name]()
    given = [_tensor(arguments[parameter]) for parameter in function.arg_names]
    return parse_kernel(function.warmup(*given, grid=grid).asm["canopy"])


def _tensor(argument: Any) -> Any:
    return torch.from_numpy(argument) if isinstance(argument, np.ndarray) else argument


@needs_avx2
@pytest.mark.parametrize("name", CASES)
def test_avx2_runs(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    kernel = kernel_of(name)
    monkeypatch.setenv("CANOPY_CPU", AVX2)
    assert host_machine().vector_bytes == 32
    _, arguments, grid, tolerance = CASES[name]()
    runtime = [arguments[parameter.name] for parameter in kernel.parameters]
    compare(kernel, runtime, grid, tolerance=tolerance)


@needs_avx2
@pytest.mark.parametrize("name", CASES)
def test_avx2_uses_its_registers_and_no_wider(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANOPY_CPU", AVX2)
    text = assembly_of(compile_cpu(pipeline.run(kernel_of(name))).llvm_ir)
    assert "%ymm" in text
    assert "%zmm" not in text
    assert "%k1" not in text


def initialize_targets() -> None:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()


def has_aarch64() -> bool:
    initialize_targets()
    try:
        llvm.Target.from_triple(NEON.triple)
    except RuntimeError:
        return False
    return True


@pytest.mark.skipif(not has_aarch64(), reason="this LLVM has no AArch64")
@pytest.mark.parametrize("name", CASES)
def test_neon_uses_its_registers(name: str) -> None:
    code = compile_cpu(pipeline.run(kernel_of(name)), NEON)
    assert code.object_code[:4] == b"\x7fELF"
    assert code.object_code[18:20] == b"\xb7\x00"  # EM_AARCH64
    text = assembly_of(code.llvm_ir, NEON)
    instructions = re.findall(r"^\s+\w[\w.]*\s+v\d+\.(?:16b|8h|4s|2d),", text, re.MULTILINE)
    assert len(instructions) > 10
    widest = max(int(count) for count in re.findall(r"<(\d+) x float>", code.llvm_ir) or [0])
    assert widest * 4 <= NEON.vector_registers // 2 * NEON.vector_bytes


@pytest.mark.skipif(not has_aarch64(), reason="this LLVM has no AArch64")
def test_neon_matmul_multiplies_and_adds_at_once() -> None:
    code = compile_cpu(pipeline.run(kernel_of("matmul")), NEON)
    assert len(re.findall(r"\bfmla\s+v\d+\.4s", assembly_of(code.llvm_ir, NEON))) >= 8


def test_halves_need_an_instruction() -> None:
    machine = dataclasses.replace(host_machine(), has_half=False)
    with pytest.raises(UnsupportedError, match="gelu_into_halves computes with f16"):
        compile_cpu(pipeline.run(kernel_of("elementwise")), machine)
    compile_cpu(pipeline.run(kernel_of("softmax")), machine)


def test_a_processor_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CANOPY_CPU", "pentium")
    with pytest.raises(CanopyError, match="'pentium', which this processor does not provide"):
        host_machine()
