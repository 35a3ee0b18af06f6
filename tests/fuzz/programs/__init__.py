"""Random valid tile programs, for tests that compare two ways to run or print one.

Everything that a program stores is fully defined: no undefined lane, no address outside of its
slice, no result that depends on the order of combination or of programs. It is exact as well, so
that two correct implementations agree bit by bit (but for which NaN a NaN is); what targets may
approximate ends in buffers of its own, whose name starts with ``near``.

One module per op family; `generator` holds what they share.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeAlias

from canopy.ir import Kernel
from tests.fuzz.programs import contraction, control, elementwise, memory, shape
from tests.fuzz.programs.arguments import make_arguments
from tests.fuzz.programs.generator import STEPS, Generator

__all__ = ["STEPS", "MakeArguments", "random_kernel"]

_FAMILIES = (contraction, control, elementwise, memory, shape)  # imported for their steps

MakeArguments: TypeAlias = Callable[[int], tuple[list[Any], tuple[int, int, int]]]


def random_kernel(
    seed: int, size: int = 20, without: frozenset[Any] = frozenset()
) -> tuple[Kernel, MakeArguments]:
    """A kernel of about ``size`` steps that does ``without`` these element types, and ops on
    floats, and a function from a seed to fresh (args, grid)."""
    kernel = Generator(random.Random(seed), size, without).kernel(f"random_{seed}")
    return kernel, lambda data_seed: make_arguments(kernel, data_seed)
