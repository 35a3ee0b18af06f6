"""`canopy run --target ascend-sim`: a script for CUDA, its kernels on the simulator."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

SCRIPT = """
import torch, triton, triton.language as tl

@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    total = tl.load(x + places, mask=inside) + tl.load(y + places, mask=inside)
    tl.store(out + places, total, mask=inside)

x = torch.randn(100_003, device="cuda")
out = torch.empty_like(x)
add[(triton.cdiv(100_003, 4096),)](x, x, out, 100_003, BLOCK=4096)
assert torch.equal(out, x + x)
print("right")
"""


ROOT = Path(__file__).parents[3]


def run(path: Path, *options: str, after: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "canopy", "run", *options, str(path), *after]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_a_script_runs_and_its_kernels_are_reported(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = run(path, "--target", "ascend-sim", "--chip", "910b2")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "right\n"
    assert "simulated:  on 910B2 (chip file of " in done.stderr
    page = Path(done.stderr.split("rooflines: ")[1].split("\n")[0])
    assert "<svg" in page.read_text()
    assert "bound by" in done.stderr
    assert "hazard" not in done.stderr


def test_an_unknown_chip_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    done = run(path, "--target", "ascend-sim", "--chip", "910z")
    assert done.returncode == 2
    assert "there is no model of the chip 910z" in done.stderr
    assert "known chips: " in done.stderr


def test_the_tutorial_runs(tmp_path: Path) -> None:
    text = (ROOT / "docs" / "tutorial" / "ascend.md").read_text()
    path = tmp_path / "softmax.py"
    path.write_text(text.split("```python\n")[1].split("```")[0].replace("4096", "50"))
    done = run(path, "--target", "ascend-sim", "--chip", "910b2")
    assert done.returncode == 0, done.stderr
    assert "largest difference from torch" in done.stdout
    assert "softmax_rows" in done.stderr


@pytest.mark.skipif("CANOPY_TEST_ASCEND" not in os.environ, reason="make test-ascend")
def test_the_end_of_the_demo(tmp_path: Path) -> None:
    """Its kernels on this CPU and on the chip, side by side; small here."""
    page = tmp_path / "kernels.html"
    small = ("--batch", "1", "--context", "32", "--width", "32", "--heads", "2")
    done = run(ROOT / "tools" / "demo_on_ascend.py", "--quiet", after=(*small, "--html", str(page)))
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if line.count(" us ") >= 2]
    assert len(lines) == 8  # kernels, each with a time of this CPU and a simulated one
    assert "simulated on 910B2" in done.stdout
    assert page.read_text().count("<section>") == 8
