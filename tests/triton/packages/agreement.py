"""What a kernel of another package computes, and its gradients, against a reference in float64."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

import canopy

__all__ = ["CASES", "Case", "case", "disagreement", "normal", "one_configuration", "place_for"]


@dataclass(slots=True)
class Case:
    """``run`` and ``reference`` take the leaves in order; ``fixed`` leaves get no gradient.

    ``dtype`` is what the package gets; the reference gets the same numbers in float64. Only the
    first results, as many as the reference gives, are compared.
    """

    leaves: Sequence[Tensor]
    run: Callable[..., Any]
    reference: Callable[..., Any]
    tolerance: float = 1e-4
    dtype: torch.dtype = torch.float32
    kept: Sequence[int] = field(default_factory=tuple)  # leaves that stay in their own type
    differentiable: bool = True
    device: str = "cpu"  # where ``run`` wants its leaves: "cuda" under `canopy.cuda_as`


CASES: dict[str, Callable[[], Case]] = {}


def case(package: str) -> Callable[[Callable[[], Case]], Callable[[], Case]]:
    """Registers a case under "package.name"."""

    def register(make: Callable[[], Case]) -> Callable[[], Case]:
        name = f"{package}.{make.__name__}"
        assert name not in CASES, f"a second case {name}"
        CASES[name] = make
        return make

    return register


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def place_for(name: str) -> AbstractContextManager[None]:
    """Where a case runs: believing in CUDA, but for torch itself, whose compiler would be off."""
    return nullcontext() if name.startswith("torch.") else canopy.cuda_as("cpu")


def one_configuration(monkeypatch: Any, seed: int) -> None:
    """Autotuning takes any configuration, unmeasured: each must be right, and one is fast."""
    from triton.runtime.autotuner import Autotuner

    chooser = random.Random(seed)

    def bench(self: Any, *args: Any, config: Any, **kwargs: Any) -> list[float]:
        return [chooser.random()] * 3

    monkeypatch.setattr(Autotuner, "_bench", bench)


def disagreement(made: Case) -> tuple[float, str]:
    """The largest error relative to its array's largest magnitude, and where; no NaN passes."""
    leaves = [
        leaf if i in made.kept or not leaf.is_floating_point() else leaf.to(made.dtype)
        for i, leaf in enumerate(made.leaves)
    ]
    expected = _results(made, made.reference, [_wide(leaf) for leaf in leaves], [])
    weights = [torch.randn(r.shape, dtype=torch.float64) for r in expected]
    actual = _results(made, made.run, leaves, weights)
    if made.differentiable:
        again = [_wide(leaf) for leaf in leaves]
        rounded = [w.to(a.dtype).double() for w, a in zip(weights, actual, strict=False)]
        expected = _results(made, made.reference, again, rounded)
    assert len(actual) >= len(expected), "results are missing"
    errors = [
        (_relative(ours, theirs), f"result {index}")
        for index, (ours, theirs) in enumerate(zip(actual, expected, strict=False))
    ]
    return max(errors, key=lambda found: (found[0] != found[0], found[0]))


def _wide(leaf: Tensor) -> Tensor:
    return leaf.double() if leaf.is_floating_point() else leaf


def _results(
    made: Case, function: Callable[..., Any], leaves: Sequence[Tensor], weights: Sequence[Tensor]
) -> list[Tensor]:
    """Results and, where there are ``weights`` for them, the gradients of the leaves."""
    place = made.device if function is made.run else "cpu"
    leaves = [leaf.detach().clone().to(place) for leaf in leaves]
    differentiable = made.differentiable and bool(weights)
    for leaf in leaves:
        leaf.requires_grad_(differentiable and leaf.is_floating_point())
    results = function(*leaves)
    results = [r for r in (results if isinstance(results, tuple) else (results,)) if r is not None]
    if not differentiable:
        return [result.detach().cpu() for result in results]
    results = results[: len(weights)]
    total = [w.to(r.dtype).to(r.device) for w, r in zip(weights, results, strict=True)]
    torch.autograd.backward(results, total)
    gradients = [leaf.grad for leaf in leaves if leaf.grad is not None]
    return [result.detach().cpu() for result in [*results, *gradients]]


def _relative(ours: Tensor, theirs: Tensor) -> float:
    assert ours.shape == theirs.shape, f"shape {tuple(ours.shape)} for {tuple(theirs.shape)}"
    if not theirs.numel():
        return 0.0
    ours, theirs = ours.double(), theirs.double()
    same = (ours == theirs) | (ours.isnan() & theirs.isnan())
    finite = theirs[theirs.isfinite()].abs()
    scale = max(float(finite.max()) if finite.numel() else 0.0, 1e-3)
    return float(torch.where(same, 0.0, (ours - theirs).abs()).max()) / scale
