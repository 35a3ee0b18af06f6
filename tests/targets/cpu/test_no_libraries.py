"""No kernel calls a library: every one runs where torch's and NumPy's own functions raise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")

ROOT = Path(__file__).resolve().parents[3]

# The references are computed first; from then on every operator of torch that computes raises, as
# do NumPy's products. The outputs are made by torch.empty, which computes nothing.
SCRIPT = """
import sys
import numpy, torch, torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from tests.triton.kernels import attention_forward, layer_norm_forward, matmul, vector_add
from benchmarks import kernels

torch.manual_seed(3)
ROWS, COLUMNS, DIM = 70, 130, 32
x, w, b = torch.randn(ROWS, COLUMNS), torch.rand(COLUMNS), torch.randn(COLUMNS)
q, k, v = (torch.randn(1, 2, ROWS, DIM) for _ in range(3))
left, right = torch.randn(ROWS, 96), torch.randn(96, COLUMNS)
empty = torch.empty_like

def launch_add(out):
    vector_add[(3,)](x, x, out, x.numel(), BLOCK=4096)

def launch_gelu(out):
    kernels.gelu_bias[(ROWS, 1)](x, b, out, COLUMNS, BLOCK=256)

def launch_softmax(out):
    kernels.softmax_rows[(ROWS,)](x, out, COLUMNS, BLOCK=256)

means, rstds, sums = torch.empty(ROWS), torch.empty(ROWS), torch.empty(2, ROWS)

def launch_layer_norm(out):
    layer_norm_forward[(ROWS,)](x, out, w, b, means, rstds, COLUMNS, 1e-5, BLOCK=256)

def launch_tiny(out):
    kernels.tiny[(1,)](x, out)

def product(a, b):
    def launch(out):
        matmul[(2 * 3,)](
            a, b, out, ROWS, COLUMNS, 96, *a.stride(), *b.stride(), *out.stride(),
            BLOCK_M=64, BLOCK_N=64, BLOCK_K=32, GROUP=2, ACTIVATION="",
        )
    return launch

def attention(q, k, v):
    def launch(out):
        attention_forward[(2, 2)](
            q, k, v, out, sums, ROWS, ROWS, DIM**-0.5,
            CAUSAL=True, DIM=DIM, BLOCK_M=64, BLOCK_N=32,
        )
    return launch

half = torch.bfloat16
jobs = {
    "add": (launch_add, x + x, 0.0),
    "gelu": (launch_gelu, F.gelu(x + b), 1e-5),
    "softmax": (launch_softmax, torch.softmax(x, -1), 1e-5),
    "layer norm": (launch_layer_norm, F.layer_norm(x, (COLUMNS,), w, b), 1e-5),
    "tiny": (launch_tiny, x.flatten()[:1] + 1, 0.0),
    "matmul": (product(left, right), left @ right, 1e-4),
    "matmul bf16": (
        product(left.to(half), right.to(half)), left.to(half) @ right.to(half), 0.2
    ),
    "attention": (
        attention(q, k, v), F.scaled_dot_product_attention(q, k, v, is_causal=True), 1e-4
    ),
    "attention bf16": (
        attention(q.to(half), k.to(half), v.to(half)),
        F.scaled_dot_product_attention(q.to(half), k.to(half), v.to(half), is_causal=True),
        0.05,
    ),
}
outputs = {name: empty(reference) for name, (_, reference, _) in jobs.items()}


class Nothing(TorchDispatchMode):
    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
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

with Nothing():
    try:
        torch.add(x, x)
    except AssertionError:
        pass
    else:
        raise SystemExit("the guard does not hold")
    for name, (launch, _, _) in jobs.items():
        launch(outputs[name])

for name, (_, reference, tolerance) in jobs.items():
    error = (outputs[name].float() - reference.float()).abs().max().item()
    assert error <= tolerance, f"{name}: {error}"
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
    }
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "add",
        "gelu",
        "softmax",
        "layer norm",
        "tiny",
        "matmul",
        "matmul bf16",
        "attention",
        "attention bf16",
    ]


def test_every_benchmark_kernel_is_in_the_script() -> None:
    """A new kernel of the benchmarks has to be added to the script."""
    folder = ROOT / "benchmarks"
    text = "\n".join(path.read_text() for path in folder.glob("cases_*.py"))
    launched = set(re.findall(r"(?:kernels\.)?(\w+)\[\(?(?:grid|\()?[^=\n]*\]\(", text))
    assert launched
    assert [name for name in launched if f"{name}[" not in SCRIPT] == []
