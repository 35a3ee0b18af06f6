"""What Triton offers around kernels: prints, texts of the stages, autotuning on disk, options."""

from __future__ import annotations

import glob
import os

import pytest

from tests.triton.language.numbers import torch

triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
import triton.language as tl  # noqa: E402


@pytest.fixture
def cache(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("TRITON_CACHE_DIR", str(folder))
    return folder


# ---- prints --------------------------------------------------------------------------------------


@triton.jit
def _print_lanes(X, N: tl.constexpr, HEX: tl.constexpr):
    tl.device_print("x: ", tl.load(X + tl.arange(0, N)), hex=HEX)


@triton.jit
def _print_several(X, N: tl.constexpr):
    x = tl.load(X + tl.arange(0, N))
    print("", x, tl.full((N,), 1, tl.int32))


@triton.jit
def _print_scalars(X):
    print("x:", tl.load(X))
    print("no argument")
    print("", tl.program_id(0))


PRINTED = [
    *((kind, "{}") for kind in ("int8", "int16", "int32", "int64", "uint8", "uint32")),
    *((kind, "{}.000000") for kind in ("float16", "bfloat16", "float32", "float64")),
    *((kind, "{}.000000") for kind in ("float8_e5m2", "float8_e4m3fn")),
]


@pytest.mark.parametrize(("kind", "form"), PRINTED)
def test_printed_lanes(kind, form, capfd, way):
    x = torch.arange(8).repeat(2).to(getattr(torch, kind))
    _print_lanes[(1,)](x, 16, False)
    lines = capfd.readouterr().out.splitlines()
    assert lines == [f"pid (0, 0, 0) idx ({i:2}) x: {form.format(i % 8)}" for i in range(16)]


@pytest.mark.parametrize(("kind", "digits"), [("int8", 2), ("int16", 4), ("int64", 16)])
def test_printed_hexadecimals(kind, digits, capfd, way):
    _print_lanes[(1,)](torch.arange(-1, 3).to(getattr(torch, kind)), 4, True)
    lines = capfd.readouterr().out.splitlines()
    bits = [value % 16**digits for value in (-1, 0, 1, 2)]
    assert lines == [f"pid (0, 0, 0) idx ({i}) x: 0x{b:0{digits}x}" for i, b in enumerate(bits)]


def test_printed_operands_and_scalars(capfd, way):
    _print_several[(1,)](torch.tensor([5, 6]), 2)
    lines = capfd.readouterr().out.splitlines()
    assert sorted(lines) == [
        "pid (0, 0, 0) idx (0): (operand 0) 5",
        "pid (0, 0, 0) idx (0): (operand 1) 1",
        "pid (0, 0, 0) idx (1): (operand 0) 6",
        "pid (0, 0, 0) idx (1): (operand 1) 1",
    ]
    _print_scalars[(1,)](torch.tensor(42.0))
    assert capfd.readouterr().out.splitlines() == [
        "pid (0, 0, 0) idx () x: 42.000000",
        "pid (0, 0, 0) no argument",
        "pid (0, 0, 0) idx (): 0",
    ]


# ---- texts and options ---------------------------------------------------------------------------


@triton.jit
def _range(X, N: tl.constexpr):
    tl.store(X + tl.arange(0, N), tl.arange(0, N))


def test_texts_of_the_stages(cache):
    for _ in range(2):  # compiled, then from the disk
        _range.device_caches.clear()
        texts = _range[(1,)](torch.zeros(8), 8).asm
        assert "tt.func public @_range" in texts["ttir"]
        assert "store" in texts["canopy"]
        assert "define" in texts["llir"]
        assert "asm" in texts
        assert "canopy_entry:" in texts["asm"]
        assert texts.get("ptx") is None
        with pytest.raises(KeyError):
            texts["ptx"]


def test_warps_must_be_a_power_of_two():
    with pytest.raises(AssertionError, match="must be a power of 2"):
        _range.warmup(torch.float32, 8, grid=(1,), num_warps=3)


# ---- autotuning ----------------------------------------------------------------------------------

benchmarked: list[int] = []


def _bench(call, quantiles):
    call()
    benchmarked.append(1)
    return [float(len(benchmarked))] * 3


@triton.autotune(
    [triton.Config({"B": 32}), triton.Config({"B": 64})],
    key=["n", "KIND"],
    do_bench=_bench,
    cache_results=True,
)
@triton.jit
def _tuned(X, n, KIND: tl.constexpr, B: tl.constexpr):
    lanes = tl.program_id(0) * B + tl.arange(0, B)
    tl.store(X + lanes, lanes.to(KIND), mask=lanes < n)


def _tune(n: int, kind=tl.float32, dtype=torch.float32) -> int:
    """How many configurations are measured in what is, but for the disk, a new process."""
    _tuned.cache.clear()
    benchmarked.clear()
    x = torch.zeros(n, dtype=dtype)
    _tuned[lambda meta: (triton.cdiv(n, meta["B"]),)](x, n, kind)
    assert torch.equal(x, torch.arange(n).to(dtype))
    return len(benchmarked)


def test_autotuning_on_disk(cache, monkeypatch):
    from canopy.runtime.pool import get_num_threads, set_num_threads

    triton.runtime.driver.active  # noqa: B018  (keeps results our way from the first one on)
    assert _tune(100) == 2
    assert _tune(100) == 0
    assert _tuned.best_config.kwargs == {"B": 32}
    assert _tune(101) == 2, "another value in the key"
    assert _tune(100, tl.int32) == 2, "another type in the key"
    assert _tune(100, dtype=torch.float64) == 2, "another type of tensor"
    threads = get_num_threads()
    set_num_threads(threads + 1)
    try:
        assert _tune(100) == 2, "another number of threads"
    finally:
        set_num_threads(threads)
    assert _tune(100) == 0
    for path in glob.glob(os.path.join(cache, "**", "*.autotune.json"), recursive=True):
        with open(path, "w") as file:
            file.write('{"timings_ms": {"B')
    assert _tune(100) == 2, "damaged files count as missing"
