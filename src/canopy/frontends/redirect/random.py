"""Random numbers: "cuda" draws from the host's generator.

One generator serves both places, since dropout and many in-place fills take no generator. So
``torch.cuda.manual_seed`` also seeds the host, and a state saved from "cuda" restores the host's;
runs stay reproducible.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch

from canopy.frontends.redirect.devices import HOST, device_count, get_index, resolve

__all__ = ["Generator", "default_generators", "random_functions"]

_RealGenerator: Any = torch._C.Generator
_RealRng: Any = (torch.random.get_rng_state, torch.random.set_rng_state)


class _GeneratorMeta(type(_RealGenerator)):  # type: ignore[misc]
    def __instancecheck__(cls, instance: Any) -> bool:
        return isinstance(instance, _RealGenerator)


class Generator(_RealGenerator, metaclass=_GeneratorMeta):  # type: ignore[misc]
    """``torch.Generator`` whose device may be "cuda"; it always draws on the host."""

    def __new__(cls, device: Any = None) -> Generator:
        place = resolve(device) or HOST
        real = place if place.type != "cuda" else HOST
        generator: Generator = super().__new__(cls, device=real)
        generator._place = place
        return generator

    def __init__(self, device: Any = None) -> None:
        pass

    @property
    def device(self) -> torch.device:
        place: torch.device = self._place
        return place


class _DefaultGenerator:
    """An entry of ``torch.cuda.default_generators``: the host's default one under a cuda name."""

    def __init__(self, index: int) -> None:
        self.device = torch.device("cuda", index)

    def __getattr__(self, name: str) -> Any:
        return getattr(torch.default_generator, name)


def default_generators() -> tuple[_DefaultGenerator, ...]:
    """One entry for each device."""
    return tuple(_DefaultGenerator(index) for index in range(device_count()))


def _get_state(device: Any = "cuda") -> torch.Tensor:
    get_index(device)
    state: torch.Tensor = torch.default_generator.get_state()
    return state


def _set_state(new_state: torch.Tensor, device: Any = "cuda") -> None:
    get_index(device)
    torch.default_generator.set_state(new_state.cpu())


def _set_states(new_states: Iterable[torch.Tensor]) -> None:
    for index, state in enumerate(new_states):
        _set_state(state, index)


def _manual_seed(seed: int) -> None:
    torch.default_generator.manual_seed(int(seed))


def _seed() -> None:
    torch.default_generator.seed()


def random_functions() -> dict[str, Any]:
    """The functions of ``torch.cuda.random`` by name."""
    return {
        "get_rng_state": _get_state,
        "get_rng_state_all": lambda: [_get_state(index) for index in range(device_count())],
        "set_rng_state": _set_state,
        "set_rng_state_all": _set_states,
        "manual_seed": _manual_seed,
        "manual_seed_all": _manual_seed,
        "seed": _seed,
        "seed_all": _seed,
        "initial_seed": lambda: torch.default_generator.initial_seed(),
    }
