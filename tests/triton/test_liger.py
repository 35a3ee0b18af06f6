"""Every Triton kernel of liger-kernel, forward and backward, against torch in float64."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("triton")
pytest.importorskip("liger_kernel")

from tests.triton.liger_cases import CASES, NOT_TRITON, Case  # noqa: E402

# These ask liger for an accelerator's properties, and run where the program believes in CUDA.
NEEDS_CUDA = {
    "dyt": "counts multiprocessors on cuda, xpu or npu only",
    "mlp": "asserts is_cuda",
}
OTHER_NAMES = {
    "rms_norm_gemma": "rms_norm",
    "swiglu_fused_gate_up": "swiglu",
    "cross_entropy_softcap": "cross_entropy",
    "mhc_coefficients": "mhc",
}
COVERED_THROUGH = {"fused_moe_kernels": "fused_moe", "utils": "fused_linear_cross_entropy"}
TOLERANCES = {torch.float32: 2e-5, torch.bfloat16: 3e-2, torch.float16: 4e-3}
LONG = "CANOPY_TEST_ASCEND" in os.environ or os.environ.get("CANOPY_TEST_ALL_CONFIGS") == "1"
DTYPES = {"f32": torch.float32, "bf16": torch.bfloat16, **({"f16": torch.float16} if LONG else {})}


def _tuple(made: Any) -> tuple[Any, ...]:
    return made if isinstance(made, tuple) else (made,)


def _run(
    case: Case, dtype: torch.dtype, function: Any, gradients: list[Any], device: str = "cpu"
) -> list[Any]:
    """Results and gradients of ``function`` on leaves of ``dtype``."""
    leaves = [leaf.to(dtype).clone().to(device).requires_grad_() for leaf in case.leaves]
    results = _tuple(function(*leaves))
    gradients += [torch.randn(r.shape, dtype=torch.float64) for r in results[len(gradients) :]]
    kept = [result.detach().clone().cpu() for result in results]
    total = [g.to(result.dtype).to(device) for g, result in zip(gradients, results, strict=True)]
    torch.autograd.backward(results, total)
    return kept + [leaf.grad if leaf.grad is None else leaf.grad.cpu() for leaf in leaves]


@contextlib.contextmanager
def _place(name: str) -> Iterator[None]:
    if name not in NEEDS_CUDA:
        yield
        return
    if importlib.util.find_spec("canopy.frontends.redirect") is None:
        pytest.skip(f"liger's {name} {NEEDS_CUDA[name]}: needs canopy.cuda_as")
    import canopy

    with canopy.cuda_as("cpu"):
        yield


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES)
@pytest.mark.parametrize("odd", [True, False], ids=["odd", "even"])
@pytest.mark.parametrize("name", sorted(CASES))
def test_agrees_with_torch(name: str, odd: bool, dtype: torch.dtype) -> None:
    torch.manual_seed(17)
    with _place(name):
        case = CASES[name](odd, dtype)
        case.leaves = [leaf.to(dtype).double() for leaf in case.leaves]
        gradients: list[Any] = []
        expected = _run(case, torch.float64, case.reference, gradients)
        device = "cuda" if name in NEEDS_CUDA else "cpu"
        actual = _run(case, dtype, case.run, gradients, device)
    tolerance = case.tolerance.get(dtype, TOLERANCES[dtype])
    for index, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
        if theirs is None:
            continue
        assert ours is not None, f"result {index} is missing"
        scale = max(float(theirs.abs().max()), 1e-3)
        error = float((ours.double() - theirs).abs().max()) / scale
        assert error <= tolerance, f"result {index}: relative error {error:.2e}"


def test_every_module_is_classified() -> None:
    """A new op module of liger-kernel must be given a case, or a reason."""
    import liger_kernel.ops as ops

    modules = {m.name for m in pkgutil.iter_modules(ops.__path__) if not m.ispkg}
    tested = {OTHER_NAMES.get(name, name) for name in CASES}
    assert modules - tested - set(NOT_TRITON) - set(COVERED_THROUGH) == set()
