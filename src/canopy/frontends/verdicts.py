"""What becomes of a kernel on our targets, found by compiling it. Nothing is launched.

In: a kernel as tile IR. Out: a `Verdict` per target: it runs, it runs with a caveat, or which
feature at which line does not.
"""

from __future__ import annotations

from dataclasses import dataclass

from canopy.compiler import compile_kernel
from canopy.errors import CanopyError
from canopy.ir import Kernel

__all__ = [
    "CAVEAT",
    "RUNS",
    "UNSUPPORTED",
    "KernelVerdict",
    "Verdict",
    "on_ascend",
    "on_cpu",
    "refusal",
]

RUNS, CAVEAT, UNSUPPORTED = "runs", "caveat", "unsupported"


@dataclass(frozen=True)
class Verdict:
    """``status`` is one of the three words; ``why`` begins with the user's line if it has one."""

    status: str
    why: str = ""


@dataclass(frozen=True)
class KernelVerdict:
    """The verdicts on one kernel, or one instantiation of a template; ``file`` and ``line`` are
    those of its definition."""

    name: str
    file: str
    line: int
    cpu: Verdict
    ascend: Verdict | None = None  # None: nobody looked


def on_cpu(kernel: Kernel, caveat: str = "") -> Verdict:
    """Compiles for the processor at hand; ``caveat`` is what the front-end has to add."""
    try:
        compile_kernel(kernel)
    except CanopyError as error:
        return refusal(error)
    return Verdict(CAVEAT, caveat) if caveat else Verdict(RUNS)


def on_ascend(kernel: Kernel) -> Verdict:
    """Lowers for the chip that `CANOPY_CHIP` names. No card has run it: at best a caveat."""
    from canopy import config
    from canopy.passes import pipeline
    from canopy.targets.ascend import load_chip, lower_kernel

    chip = config.chip()
    try:
        lower_kernel(pipeline.run(kernel), load_chip(chip), prepare=False)
    except CanopyError as error:
        return refusal(error)
    return Verdict(CAVEAT, f"it lowers for Ascend {chip}; tried on the simulator only")


def refusal(error: CanopyError) -> Verdict:
    """A kernel that is refused, in the words of the error."""
    place = f"{error.location}: " if error.location.line else ""
    return Verdict(UNSUPPORTED, place + error.fact)
