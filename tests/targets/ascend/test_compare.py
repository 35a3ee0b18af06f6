"""`canopy compare`, and what it measures."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

from canopy.frontends.triton.differences import difference

SCRIPT = """
import sys, torch, triton, triton.language as tl

@triton.jit
def silu(x, out, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    v = tl.load(x + places, mask=places < n)
    tl.store(out + places, v / (1 + tl.exp(-v)), mask=places < n)

@triton.jit
def copy(x, out, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + places, tl.load(x + places, mask=places < n), mask=places < n)

x = torch.randn(5003, device="cuda")
out = torch.empty_like(x)
for _ in range(2):
    silu[(5,)](x, out, 5003, BLOCK=1024)
copy[(5,)](x, out, 5003, BLOCK=1024)
assert torch.equal(out, x)
print(sys.argv[1:])
"""


def run(path: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "canopy", "compare", str(path), *options]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_kernels_of_a_script_are_compared(tmp_path: Path) -> None:
    for package in ("torch", "triton", "ziglang"):
        pytest.importorskip(package)
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = run(path, "--targets", "cpu,ascend-sim,ascend-text", "--", "--n", "5")
    assert done.returncode == 0, done.stderr
    assert "['--n', '5']" in done.stdout
    rows = {tuple(w[:2]): w[2:] for w in map(str.split, done.stdout.splitlines()) if len(w) == 7}
    assert rows["silu", "ascend-sim"][0] == "2"
    for target in ("ascend-sim", "ascend-text"):
        assert int(rows["silu", target][3]) <= 8
        assert rows["copy", target][1:] == ["0", "0", "0", "0"]


def test_an_unknown_target_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text("print(1)")
    done = run(path, "--targets", "cpu,gameboy")
    assert done.returncode == 2
    assert "there is no target 'gameboy'" in done.stderr


def test_differences() -> None:
    a = np.array([1.0, -0.0, np.nan, 2.0, 0.0], np.float32)
    b = np.array([1.0, 0.0, np.nan, np.nextafter(np.float32(2), np.float32(3)), 0.0], np.float32)
    found = difference(a, b, 4, "out")
    assert (found.ulps, found.elements) == (1, 1)
    assert found.where is not None
    assert (found.where.index, found.where.launch) == (3, 4)
    assert found.absolute == pytest.approx(2.4e-7, rel=0.01)
    assert difference(a, a.copy(), 1, "x").where is None
    broken = difference(a, np.where(a == 1, np.float32(np.nan), a), 1, "x")
    assert np.isinf(broken.absolute)
    half = np.array([1, -1], ml_dtypes.bfloat16)
    assert difference(half, -half, 1, "x").ulps == 2 * int(half[:1].view(np.int16)[0])
    whole = np.array([5, -(2**31)], np.int32)
    assert difference(whole, np.array([5, 2**31 - 1], np.int32), 1, "x").absolute == 2**32 - 1
