"""No kernel calls a library: every one runs where torch's and NumPy's own functions raise."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

ROOT = Path(__file__).resolve().parents[3]

# Every benchmark, at its tiny size. The references are computed first; from then on every operator
# of torch that computes raises, as do NumPy's products. What a launch may do to its tensors is what
# a user's wrapper does: look at a part, clear a buffer.
SCRIPT = """
import numpy, torch, torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from benchmarks import harness, registry

HARMLESS = {"aten.select.int", "aten.slice.Tensor", "aten.t.default", "aten.numpy_T.default",
            "aten.permute.default", "aten.transpose.int", "aten.zero_.default",
            "aten.detach.default"}
registry.load_cases()
harness.Contest.add_peer = lambda *arguments: None
jobs = {}
for subject in harness.CASES:
    try:
        contest = subject.contest(tiny=True)
    except harness.SkippedError:
        continue
    ours = [c for c in contest.contestants if c.name.startswith("canopy") and c.outputs == "reused"]
    if ours:
        jobs[subject.name] = contest, ours, contest.expected and contest.expected()


class Nothing(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if str(function) in HARMLESS:
            return function(*args, **(kwargs or {}))
        raise AssertionError(f"a kernel called {function}")


def refuse(*args, **kwargs):
    raise AssertionError("a kernel called a library")



for module, names in {
    torch: "matmul mm bmm addmm softmax layer_norm rms_norm einsum",
    F: "linear softmax layer_norm rms_norm group_norm scaled_dot_product_attention gelu",
    torch.Tensor: "matmul mm bmm addmm softmax __matmul__",
    numpy: "dot matmul einsum tensordot inner vdot",
}.items():
    for name in names.split():
        setattr(module, name, refuse)

try:
    with Nothing():
        torch.add(torch.ones(1), 1)
except AssertionError:
    pass
else:
    raise SystemExit("the guard does not hold")

for name, (contest, ours, expected) in jobs.items():
    for contestant in ours:
        with Nothing():
            contestant.run()
        if contest.check:
            contest.check(contest.outputs)
        for actual, wanted in zip(contest.outputs, expected or ()):
            harness.compare(actual, wanted, contest.tolerance)
    print(name)
"""


def test_benchmark_kernels_call_no_library(tmp_path: Path) -> None:
    from triton.backends import backends

    if "cpu" not in backends:
        pytest.skip("triton finds no cpu backend: pip install -e .")
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    paths = [str(ROOT), *(path for path in sys.path if path)]
    variables = {
        "PYTHONPATH": os.pathsep.join(paths),
        "TRITON_DEFAULT_BACKEND": "cpu",
        "TRITON_CACHE_DIR": str(tmp_path / "cache"),  # compiled anew: the compiler counts too
        "CANOPY_CACHE_DIR": str(tmp_path / "canopy"),
    }
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    names = done.stdout.splitlines()
    for part in ("add", "softmax", "layer norm backward", "matmul", "attention", "sort", "cumsum"):
        assert any(part in name for name in names), part
