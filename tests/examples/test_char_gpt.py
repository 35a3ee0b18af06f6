"""The demo: its kernels against torch, and the whole script as a user runs it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

import torch.nn.functional as F  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "examples"
INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"
TOLERANCE = {torch.float32: 2e-5, torch.bfloat16: 3e-2}
DTYPES = [torch.float32] if INTERPRETED else [torch.float32, torch.bfloat16]


def has_cpu_backend() -> bool:
    from triton.backends import backends

    return INTERPRETED or "cpu" in backends


def has_canopy_run() -> bool:
    try:
        return importlib.util.find_spec("canopy.frontends.redirect.commands") is not None
    except ModuleNotFoundError:
        return False


needs_backend = pytest.mark.skipif(
    not has_cpu_backend(), reason="triton has no cpu backend here: pip install -e ."
)
needs_canopy_run = pytest.mark.skipif(
    INTERPRETED or not (has_cpu_backend() and has_canopy_run()),
    reason="canopy run is not in this build",
)


@pytest.fixture(scope="module")
def kernels():
    os.environ.setdefault("TRITON_DEFAULT_BACKEND", "cpu")
    path = EXAMPLES / "char_gpt" / "kernels.py"
    spec = importlib.util.spec_from_file_location("char_gpt_kernels", path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def assert_same(actual, expected, dtype: torch.dtype, factor: float = 1):
    for mine, wanted in zip(actual, expected, strict=True):
        tolerance = TOLERANCE[dtype] * factor
        torch.testing.assert_close(mine.double(), wanted.double(), atol=tolerance, rtol=tolerance)


def with_gradients(result, inputs, upstream):
    return [result.detach(), *torch.autograd.grad(result, inputs, upstream.to(result.dtype))]


@needs_backend
@pytest.mark.parametrize("shape", [(1, 1), (3, 7, 24), (130, 128), (2, 1000)])
def test_rms_norm(kernels, shape: tuple[int, ...]):
    torch.manual_seed(0)
    x, upstream = torch.randn(shape), torch.randn(shape)
    weight = torch.randn(shape[-1])
    mine = [x.clone().requires_grad_(), weight.clone().requires_grad_()]
    theirs = [x.double().requires_grad_(), weight.double().requires_grad_()]
    actual = with_gradients(kernels.rms_norm(*mine), mine, upstream)
    wanted = F.rms_norm(theirs[0], shape[-1:], theirs[1], 1e-6)
    assert_same(actual, with_gradients(wanted, theirs, upstream), torch.float32, factor=4)


@needs_backend
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(("rows", "classes"), [(1, 1), (7, 37), (100, 103), (5, 2500)])
def test_cross_entropy(kernels, rows: int, classes: int, dtype: torch.dtype):
    torch.manual_seed(0)
    logits = (torch.randn(rows, classes) * 3).to(dtype)
    targets = torch.randint(classes, (rows,))
    mine, theirs = logits.clone().requires_grad_(), logits.double().requires_grad_()
    one = torch.ones(())
    actual = with_gradients(kernels.cross_entropy(mine, targets), [mine], one)
    wanted = with_gradients(F.cross_entropy(theirs, targets), [theirs], one)
    assert_same(actual, wanted, dtype)


@needs_backend
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize(
    ("batch", "heads", "length", "dim"), [(1, 1, 1, 16), (2, 3, 64, 32), (1, 2, 129, 16)]
)
def test_causal_attention(kernels, batch, heads, length, dim, dtype: torch.dtype):
    torch.manual_seed(0)
    qkv = torch.randn(batch, length, 3 * heads * dim).to(dtype)
    upstream = torch.randn(batch, length, heads * dim).to(dtype)
    mine, theirs = qkv.clone().requires_grad_(), qkv.double().requires_grad_()
    q, k, v = theirs.view(batch, length, 3, heads, dim).permute(2, 0, 3, 1, 4)
    wanted = F.scaled_dot_product_attention(q, k, v, is_causal=True)
    wanted = wanted.transpose(1, 2).reshape(batch, length, heads * dim)
    actual = with_gradients(kernels.causal_attention(mine, heads), [mine], upstream)
    assert_same(actual, with_gradients(wanted, [theirs], upstream), dtype, factor=4)


def canopy_run(*words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    environment.pop("TRITON_DEFAULT_BACKEND", None)
    return subprocess.run(
        [sys.executable, "-m", "canopy", "run", *words],
        capture_output=True,
        text=True,
        env=environment,
        timeout=280,
    )


TINY = ("--steps", "4", "--layers", "1", "--width", "32", "--heads", "2", "--context", "32")


@needs_canopy_run
def test_train_runs(tmp_path: Path):
    report = tmp_path / "report.json"
    script = EXAMPLES / "char_gpt" / "train.py"
    done = canopy_run("--report", str(report), str(script), *TINY, "--sample", "20")
    assert done.returncode == 0, done.stderr
    assert "validation loss" in done.stdout
    assert "causal attention, forward + backward" in done.stdout
    assert "\x1b[" not in done.stdout + done.stderr  # no colours outside a terminal
    assert json.loads(report.read_text(encoding="utf-8"))


@needs_canopy_run
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--heads", "3"], "must be 16, 32, 64 or 128"),
        (["--text", "no-such-file.txt"], "there is no such file"),
        (["--steps", "0"], "must be at least 1"),
    ],
)
def test_train_rejects_nonsense(words: list[str], message: str):
    done = canopy_run("--quiet", str(EXAMPLES / "char_gpt" / "train.py"), *words)
    assert done.returncode == 2
    assert message in done.stderr


@needs_canopy_run
def test_generate_runs():
    pytest.importorskip("transformers", reason="pip install transformers")
    script = EXAMPLES / "gpt2_generate" / "generate.py"
    words = ("--layers", "1", "--width", "64", "--heads", "2", "--tokens", "4")
    done = canopy_run("--quiet", str(script), *words)
    assert done.returncode == 0, done.stderr
    assert "2 x 4 tokens" in done.stdout


def test_examples_do_not_know_canopy():
    for path in EXAMPLES.rglob("*.py"):
        assert "canopy" not in path.read_text(encoding="utf-8").lower(), path
