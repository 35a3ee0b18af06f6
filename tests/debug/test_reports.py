"""What `canopy run` says of Triton kernels, and CUDA graphs that launch them."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("torch")
pytest.importorskip("triton")

ROOT = Path(__file__).resolve().parents[2]
KERNEL = """\
import torch, triton
import triton.language as tl

@triton.jit
def add_one(x, y, n, BLOCK: tl.constexpr):
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(y + at, tl.load(x + at, at < n) + 1, at < n)

"""


def run_script(folder: Path, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    script = folder / "script.py"
    script.write_text(KERNEL + body)
    environment = {name: value for name, value in os.environ.items() if "CANOPY" not in name}
    environment["PYTHONPATH"] = os.pathsep.join(
        [str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    environment["CANOPY_CACHE_DIR"] = str(folder / "canopy-cache")
    environment["TRITON_CACHE_DIR"] = str(folder / "triton-cache")
    return subprocess.run(
        [sys.executable, "-m", "canopy", "run", *options, str(script)],
        capture_output=True, text=True, env=environment, cwd=folder, timeout=120,
    )  # fmt: skip


def test_report_counts_launches_and_names_fallbacks(tmp_path: Path):
    body = """\
x = torch.arange(1000., device="cuda")
y = torch.empty_like(x)
for _ in range(7):
    add_one[(4,)](x, y, 1000, BLOCK=256)
assert torch.equal(y, x + 1)
torch.compile(torch.nn.Linear(2, 2).cuda())
"""
    done = run_script(tmp_path, body, "--report", "out.json")
    assert done.returncode == 0, done.stderr
    kernel = next(line for line in done.stderr.splitlines() if "add_one" in line)
    assert "7 launches" in kernel
    assert not re.search(r" 0\.000 ms", kernel)
    assert "script.py:14: torch.compile" in done.stderr
    facts = json.loads((tmp_path / "out.json").read_text())
    (record,) = facts["kernels"]
    assert (record["name"], record["launches"], record["cache_hits"]) == ("add_one", 7, 0)
    assert record["run_s"] > 0
    assert record["compile_s"] > 0
    assert f"{record['run_s'] * 1e3:.3f} ms" in kernel
    assert record["location"].endswith("script.py:5")
    assert any(f["location"].endswith("script.py:14") for f in facts["fallbacks"])

    again = run_script(tmp_path, body)
    kernel = next(line for line in again.stderr.splitlines() if "add_one" in line)
    assert "1 cache hit" in kernel
    assert "compiled in 0.00 s" in kernel


def test_graph_replays_kernel_launches(tmp_path: Path):
    body = """\
x = torch.zeros(1000, device="cuda")
y = torch.zeros(1000, device="cuda")
add_one[(4,)](x, y, 1000, BLOCK=256)
graph = torch.cuda.CUDAGraph()
with torch.cuda.graph(graph):
    doubled = x * 2
    add_one[(4,)](doubled, y, 1000, BLOCK=256)
    z = y + 100
assert y[0] == 1, y[0]  # a capture runs nothing
x.fill_(20)
graph.replay()
assert (y == 41).all() and (z == 141).all(), (y, z)
x.fill_(3)
graph.replay()
assert (y == 7).all() and (z == 107).all(), (y, z)
add_one[(4,)](x, y, 1000, BLOCK=256)
assert (y == 4).all()
print("replayed")
"""
    done = run_script(tmp_path, body)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "replayed\n"
    assert "1 graphs captured" in done.stderr
