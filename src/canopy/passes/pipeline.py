"""The order of the passes, and the loop that runs them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from canopy import config
from canopy.ir.core import Kernel
from canopy.ir.verifier import verify
from canopy.passes.cse import share_common_subexpressions
from canopy.passes.dead_code import eliminate_dead_code
from canopy.passes.induction import carry_scalars
from canopy.passes.invariants import hoist_invariants
from canopy.passes.simplify import simplify
from canopy.passes.single_trip import split_off_single_trips
from canopy.passes.uniform_atomics import gather_uniform_atomics

__all__ = ["COMMON", "Pass", "run"]

Pass: TypeAlias = Callable[[Kernel], Kernel]

COMMON: tuple[Pass, ...] = (
    simplify,  # constants and splats in one form, which the others recognise
    gather_uniform_atomics,
    share_common_subexpressions,
    hoist_invariants,  # steps of pointers leave the loop
    carry_scalars,  # tiles that move uniformly become base + scalar
    split_off_single_trips,  # a row that one block covers is gathered in registers
    simplify,
    share_common_subexpressions,
    eliminate_dead_code,  # last: the others leave what they replaced
)


def run(
    kernel: Kernel,
    passes: Sequence[Pass] = COMMON,
    observe: Callable[[str, Kernel], None] | None = None,
    check: bool | None = None,
) -> Kernel:
    """Runs ``passes`` in order. ``observe`` sees the name of each pass and what it made; ``check``
    verifies before the first and after each (by default where CANOPY_DEBUG is 2 or more)."""
    checked = config.debug_level() >= 2 if check is None else check
    if checked:
        verify(kernel)
    for function in passes:
        kernel = function(kernel)
        if checked:
            verify(kernel)
        if observe is not None:
            observe(function.__name__, kernel)
    return kernel
