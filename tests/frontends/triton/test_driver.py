"""The plug-in: when it is active, its cache, its benchmarking, and who may watch launches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
from triton.backends import Backend, backends
from triton.backends.compiler import GPUTarget

from canopy.errors import CacheError
from canopy.frontends.triton import launcher
from canopy.frontends.triton.binary import Binary
from canopy.frontends.triton.compiler import CpuBackend
from canopy.frontends.triton.driver import CpuDriver
from tests.frontends.triton import rule_kernels as kernels


class _AnotherDriver(CpuDriver.__base__):
    """A driver of another vendor, active or not, that may ask back who else is active."""

    active = True
    asks_back = False

    @classmethod
    def is_active(cls):
        if cls.asks_back:
            return not CpuDriver.is_active()
        return cls.active

    def map_python_to_cpp_type(self, ty):
        return ty

    def get_current_target(self):
        return GPUTarget("other", 1, 32)

    def get_active_torch_device(self):
        return torch.device("cpu")

    def get_benchmarker(self):
        return None


@pytest.fixture
def another(monkeypatch):
    monkeypatch.delenv("TRITON_DEFAULT_BACKEND", raising=False)
    monkeypatch.delenv("CANOPY_TARGET", raising=False)
    monkeypatch.setitem(backends, "other", Backend(CpuBackend, _AnotherDriver))
    monkeypatch.setattr(_AnotherDriver, "active", True)
    monkeypatch.setattr(_AnotherDriver, "asks_back", False)
    return _AnotherDriver


def test_active_where_nothing_else_is(another, monkeypatch):
    assert not CpuDriver.is_active()
    monkeypatch.setattr(another, "active", False)
    assert CpuDriver.is_active()


def test_active_when_asked_for(another, monkeypatch):
    monkeypatch.setenv("CANOPY_TARGET", "cpu")
    assert CpuDriver.is_active()
    monkeypatch.delenv("CANOPY_TARGET")
    monkeypatch.setenv("TRITON_DEFAULT_BACKEND", "cpu")
    assert CpuDriver.is_active()
    monkeypatch.setenv("TRITON_DEFAULT_BACKEND", "other")
    assert not CpuDriver.is_active()


def test_drivers_that_ask_each_other(another, monkeypatch):
    monkeypatch.setattr(another, "asks_back", True)
    assert not CpuDriver.is_active()


def test_do_bench_and_properties():
    milliseconds = triton.testing.do_bench(lambda: torch.ones(64).sum(), warmup=1, rep=2)
    assert milliseconds > 0
    utils = triton.runtime.driver.active.utils
    assert utils.get_device_properties(0)["multiprocessor_count"] >= 1


def test_warmup_compiles_without_running():
    out = torch.zeros(8, dtype=torch.int32)
    made = kernels.bits.warmup(torch.float32, out, 8, BLOCK=8, grid=(1,))
    assert {"ttir", "canopy", "obj"} <= set(made.asm)
    assert not out.any()


def test_options_of_other_vendors_are_accepted():
    x, out = torch.ones(4), torch.zeros(4, dtype=torch.int32)
    options = {"num_warps": 8, "num_stages": 5, "maxnreg": 64, "waves_per_eu": 2}
    kernels.bits[(1,)](x, out, 4, BLOCK=4, **options)
    assert torch.equal(out, x.view(torch.int32))


def test_observer_may_take_a_launch_over(monkeypatch):
    seen = []

    def observe(launch, tensors):
        seen.append((launch, list(tensors)))
        return True

    monkeypatch.setattr(launcher, "launch_observers", launcher.launch_observers)
    launcher.launch_observers.append(observe)
    x, out = torch.ones(4), torch.zeros(4, dtype=torch.int32)
    try:
        kernels.bits[(1,)](x, out, 4, BLOCK=4)
    finally:
        launcher.launch_observers.remove(observe)
    assert not out.any()
    ((launch, tensors),) = seen
    assert tensors[1] is out
    launch()
    assert torch.equal(out, x.view(torch.int32))


def test_autotune_and_heuristics():
    tuned = triton.autotune(
        [triton.Config({"BLOCK": 16}), triton.Config({"BLOCK": 64})], key=["n"]
    )(kernels.bits)
    x, out = torch.randn(9), torch.zeros(9, dtype=torch.int32)
    tuned[(1,)](x, out, 9)
    assert torch.equal(out, x.view(torch.int32))
    guessed = triton.heuristics({"BLOCK": lambda args: triton.next_power_of_2(args["n"])})(
        kernels.bits
    )
    guessed[(1,)](x * 2, out, 9)
    assert torch.equal(out, (x * 2).view(torch.int32))


def test_binary_recognises_damage():
    packed = Binary("k", b"code", written=(True, False), scratch_bytes=3).pack()
    assert Binary.unpack(packed).written == (True, False)
    for damaged in (b"", packed[:-1], packed[:10], packed[:-1] + b"?", b"x" * 100):
        with pytest.raises(CacheError):
            Binary.unpack(damaged)


SCRIPT = """
import torch, sys
from tests.frontends.triton import rule_kernels as kernels
x, out = torch.randn(9), torch.zeros(9, dtype=torch.int32)
kernels.bits[(1,)](x, out, 9, BLOCK=16)
assert torch.equal(out, x.view(torch.int32))
"""


def _run(folder: Path) -> subprocess.CompletedProcess[str]:
    paths = [str(Path(__file__).parents[3]), *sys.path]
    environment = {**os.environ, "TRITON_CACHE_DIR": str(folder), "CANOPY_INTERPRET": "1"}
    environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)
    return subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environment, capture_output=True, text=True
    )


def test_every_damaged_cache_file_is_rebuilt(tmp_path):
    assert _run(tmp_path).returncode == 0
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.suffix == ".obj" for path in files)
    for damage in (b"", b"\xff{garbage"):
        for path in files:
            path.write_bytes(damage)
        again = _run(tmp_path)
        assert again.returncode == 0, again.stderr


def test_unwritable_cache_is_reported_and_does_without(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    made = _run(blocked / "cache")
    assert made.returncode == 0, made.stderr
    assert "cannot be used" in made.stderr
    assert "TRITON_CACHE_DIR" in made.stderr
