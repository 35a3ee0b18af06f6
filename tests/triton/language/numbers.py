"""Random tensors of every type, and comparisons that NumPy can make."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")

INTEGERS = {
    **{f"int{bits}": getattr(torch, f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": getattr(torch, f"uint{bits}") for bits in (8, 16, 32, 64)},
}
FLOATS = {name: getattr(torch, name) for name in ("float16", "bfloat16", "float32", "float64")}
NUMBERS = {**INTEGERS, **FLOATS}
TOLERANCE = {"float16": 2e-2, "bfloat16": 1e-1, "float32": 1e-5, "float64": 1e-12}


def random(name: str, shape: tuple[int, ...], seed: int = 0) -> Any:
    """Integers of the whole range; floats around 0."""
    generator = np.random.default_rng(seed)
    if name in FLOATS:
        return torch.from_numpy(generator.standard_normal(shape)).to(FLOATS[name])
    limits = np.iinfo(name)
    return torch.from_numpy(
        generator.integers(limits.min, limits.max, shape, dtype=name, endpoint=True)
    )


def array(tensor: Any) -> np.ndarray[Any, Any]:
    """As NumPy; floats in float64."""
    return tensor.double().numpy() if tensor.dtype.is_floating_point else tensor.numpy()


def assert_near(name: str, actual: Any, expected: Any) -> None:
    """Integers are equal; floats near, by the precision of their type."""
    if name in FLOATS:
        bound = TOLERANCE[name]
        np.testing.assert_allclose(array(actual), expected, rtol=bound, atol=bound)
    else:
        np.testing.assert_array_equal(array(actual), expected.astype(array(actual).dtype))
