"""Numbers of every type that Triton has: random lanes, NumPy arrays as tensors, and back.

NumPy has no bfloat16: such numbers are float32 arrays that bfloat16 holds exactly.
"""

from __future__ import annotations

import importlib.util
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

SIGNED = [f"int{bits}" for bits in (8, 16, 32, 64)]
UNSIGNED = [f"uint{bits}" for bits in (8, 16, 32, 64)]
INTEGERS = SIGNED + UNSIGNED
FLOATS = ["float16", "bfloat16", "float32", "float64"]
NUMBERS = INTEGERS + FLOATS
LANES = 64


def bits_of(dtype: str) -> int:
    return int(dtype.lstrip("ubintfloa"))


def is_float(dtype: str) -> bool:
    return "float" in dtype


def rounded(values: Any, dtype: str) -> np.ndarray:
    """``values`` as lanes of ``dtype``; integers wrap around."""
    with np.errstate(all="ignore"):
        if dtype == "bfloat16":
            exact = torch.from_numpy(np.asarray(values, np.float32).copy())
            return exact.bfloat16().float().numpy()
        return np.asarray(values).astype(dtype)


def random(dtype: str, shape: Any = LANES, seed: int = 0, low: Any = None, high: Any = None):
    """Integers over the whole range (or low..high), floats around zero; never a zero."""
    generator = np.random.default_rng([seed, len(dtype), bits_of(dtype) if dtype != "bool" else 1])
    if dtype == "bool":
        return generator.random(shape) < 0.5
    if is_float(dtype):
        return rounded(generator.normal(0, 2, shape), dtype)
    info = np.iinfo(dtype)
    low = info.min if low is None else max(low, info.min)
    high = info.max if high is None else min(high, info.max)
    values = generator.integers(low, high, shape, dtype=dtype, endpoint=True)
    return np.where(values == 0, 1, values).astype(dtype)


def tensor(values: np.ndarray, dtype: str) -> torch.Tensor:
    """A tensor of its own, poisoned by nothing."""
    made = torch.from_numpy(np.ascontiguousarray(values).copy())
    return made.bfloat16() if dtype == "bfloat16" else made


def poisoned(dtype: str, shape: Any = LANES) -> torch.Tensor:
    """A tensor of ``dtype`` that holds no answer of any test here."""
    kind = getattr(torch, dtype)
    if dtype == "bool":
        return torch.ones(shape, dtype=kind)
    return torch.full((shape,) if isinstance(shape, int) else shape, 99, dtype=kind)


def array(values: torch.Tensor) -> np.ndarray:
    return values.float().numpy() if values.dtype == torch.bfloat16 else values.numpy()


def assert_lanes(actual: torch.Tensor, expected: np.ndarray, what: Any = "", ulps: int = 0) -> None:
    """Equal lane by lane, NaN to NaN; floats within ``ulps`` units of the last place."""
    got = array(actual)
    same = (got == expected) | ((got != got) & (expected != expected))
    if ulps and not same.all():
        with np.errstate(all="ignore"):
            same |= np.abs(got - expected) <= ulps * np.abs(np.spacing(expected))
    if not same.all():
        lane = tuple(np.argwhere(~same)[0])
        raise AssertionError(f"{what} lane {lane}: {got[lane]!r}, not {expected[lane]!r}")


_HEAD = "import triton\nimport triton.language as tl\n"


def kernel_of(source: str, folder: Any, **names: Any) -> Any:
    """The function ``kernel`` of a module that holds ``source``; ``names`` are its globals."""
    number = next(_COUNTER)
    path = folder / f"generated_{number}.py"
    path.write_text(_HEAD + textwrap.dedent(source))
    spec = importlib.util.spec_from_file_location(f"generated_{number}", path)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    module.__dict__.update(names)
    spec.loader.exec_module(module)
    return module.kernel


def elementwise_kernel(expressions: Mapping[str, str], folder: Any) -> Any:
    """kernel(X, Y, outputs.., N): stores each expression in x and y to its output."""
    outputs = ", ".join(f"Z{i}" for i in range(len(expressions)))
    body = "\n".join(
        f"    tl.store(Z{i} + lanes, {text})" for i, text in enumerate(expressions.values())
    )
    return kernel_of(
        f"@triton.jit\ndef kernel(X, Y, {outputs}, N: tl.constexpr):\n"
        "    lanes = tl.arange(0, N)\n"
        "    x = tl.load(X + lanes)\n"
        "    y = tl.load(Y + lanes)\n"
        f"{body}\n",
        folder,
    )


_COUNTER = iter(range(1_000_000))
