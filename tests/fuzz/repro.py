"""Reproductions: a failing program as IR text, with the data it fails on.

    # data seed 17
    # DifferenceError: i32, may_alias=True: 3 of 784 differ ...
    kernel random_44(%i32: ptr pointee="i32", ...) { ...

The arguments come from the seed and the parameters' names and types (see `programs.arguments`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeAlias

from canopy.errors import CanopyError
from canopy.ir import Kernel
from canopy.ir.parser import parse_kernel
from canopy.ir.printer import print_kernel
from canopy.ir.verifier import verify
from tests.fuzz import ascend
from tests.fuzz.engine import Case, aliasing_of, case_of_seed, run_cases
from tests.fuzz.programs.arguments import make_arguments
from tests.fuzz.shrink import shrink

__all__ = ["CHECKS", "as_text", "failure_of", "minimal", "run_file", "run_text"]

Check: TypeAlias = Callable[[Kernel, int], str]


def _case(kernel: Kernel, data_seed: int) -> Case:
    args, grid = make_arguments(kernel, data_seed)
    return Case(kernel, args, grid, aliasing_of(data_seed))


def failure_of(kernel: Kernel, data_seed: int, *, optimized: bool) -> str:
    """Empty where CPU and interpreter agree, or where the interpreter refuses the program."""
    try:
        case = _case(kernel, data_seed)
        case.interpret()
    except CanopyError:
        return ""
    try:
        return run_cases({0: case}, optimized=optimized).get(0, "")
    except Exception as error:  # a pass failed
        return f"{type(error).__name__}: {error}"


# per target, what compares a program on the data of a seed with the interpreter
CHECKS: dict[str, tuple[Check, ...]] = {
    "cpu": (partial(failure_of, optimized=False), partial(failure_of, optimized=True)),
    "ascend-sim": (ascend.failure_of,),
}


def minimal(seed: int, target: str, check: Check, attempts: int = 1500) -> tuple[Kernel, str]:
    """The program of a failing seed made small, and its failure; of the same kind as at first."""
    kernel = ascend.kernel_of_seed(seed) if target == "ascend-sim" else case_of_seed(seed).kernel
    first = check(kernel, seed)
    kind = first.partition(":")[0]

    def still_fails(candidate: Kernel) -> bool:
        found = check(candidate, seed)
        return bool(found) and found.startswith(kind)

    small = shrink(kernel, still_fails, attempts) if first else kernel
    return small, check(small, seed)


def as_text(kernel: Kernel, data_seed: int, failure: str) -> str:
    """A file that `run_text` runs."""
    return f"# data seed {data_seed}\n# {failure}\n{print_kernel(kernel)}"


def run_text(text: str, check: Check) -> str:
    """Runs a reproduction; empty where the target and the interpreter agree."""
    found = re.search(r"# data seed (\d+)", text)
    assert found is not None, "a reproduction names its data seed"
    kernel = parse_kernel(text)
    verify(kernel)
    return check(kernel, int(found[1]))


def run_file(path: Path, target: str = "cpu") -> str:
    """The first failure of a reproduction; on the CPU without and with LLVM's optimisation."""
    text = path.read_text("utf-8")
    return next(filter(None, (run_text(text, check) for check in CHECKS[target])), "")
