"""Triton kernels on the Ascend simulator: what a launch does where the target is ``ascend-sim``.

A kernel is lowered once per set of arrays that overlap; each launch gives a `Report`, which all
listeners see.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from canopy import config, ir
from canopy.ir.interpreter.memory import Allocation, allocation_of
from canopy.ir.types import is_pointer
from canopy.passes import pipeline
from canopy.targets.ascend import Report, load_chip, lower_kernel, simulate

__all__ = ["SimulatedKernel", "listeners"]

listeners: list[Callable[[Report], None]] = []


class SimulatedKernel:
    """One kernel, for the chip that CANOPY_CHIP names at the time of a launch."""

    def __init__(self, kernel: ir.Kernel) -> None:
        self._kernel = pipeline.run(kernel)
        self._programs: dict[tuple[str, tuple[tuple[str, str], ...]], Any] = {}

    def launch(
        self,
        args: Sequence[Any],
        grid: tuple[int, int, int],
        chip_name: str | None = None,
        cores: int | None = None,
    ) -> Report:
        """Runs the grid on the arguments' own memory."""
        chip = load_chip(chip_name or config.chip())
        groups = self._groups(args)
        key = (chip.name, tuple(sorted(groups.items())))
        if key not in self._programs:
            self._programs[key] = lower_kernel(self._kernel, chip, groups, prepare=False)
        report = simulate(self._programs[key], args, grid, chip, cores)
        for listener in listeners:
            listener(report)
        return report

    def _groups(self, args: Sequence[Any]) -> dict[str, str]:
        """Per pointer parameter the first one whose memory it may share."""
        found: list[tuple[str, Allocation]] = []
        groups: dict[str, str] = {}
        for parameter, argument in zip(self._kernel.parameters, args, strict=True):
            if not is_pointer(parameter.value.type) or argument is None:
                continue
            allocation = allocation_of(parameter.name, argument)
            groups[parameter.name] = parameter.name
            for name, other in found:
                if _overlap(allocation, other):
                    groups[parameter.name] = groups[name]
                    break
            found.append((parameter.name, allocation))
        return groups


def _overlap(left: Allocation, right: Allocation) -> bool:
    if left.nbytes is None or right.nbytes is None:
        return True
    return left.base < right.base + right.nbytes and right.base < left.base + left.nbytes
