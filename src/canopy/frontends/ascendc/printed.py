"""A kernel in tile IR, as printed Ascend C on the CPU header."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from canopy import ir
from canopy.frontends.ascendc.arguments import Bound
from canopy.frontends.ascendc.raw import RawKernel
from canopy.ir.interpreter.memory import allocation_of
from canopy.ir.types import is_pointer
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.lower import lower_kernel
from canopy.targets.ascend.text import print_program

__all__ = ["PrintedKernel"]


class PrintedKernel:
    """Prints a kernel for a chip, and launches the text. Arguments that overlap count as one."""

    def __init__(self, kernel: ir.Kernel, chip: Chip) -> None:
        self._kernel = kernel
        same = {p.name: "all" for p in kernel.parameters if is_pointer(p.value.type)}
        self._program = lower_kernel(kernel, chip, same)
        self.printed = print_program(self._program, chip)
        self._raw = RawKernel(
            self.printed.source,
            kernel.name,
            chip=chip.name,
            anywhere=self.printed.anywhere,
            filename=f"{kernel.name}.cpp",
        )

    def launch(self, args: Sequence[Any], grid: tuple[int, int, int]) -> None:
        """Runs the grid on the arguments' own memory."""
        x, y, z = grid
        blocks = max(1, min(self.printed.cores, x * y * z))
        given = [
            _address(parameter, argument) if is_pointer(parameter.value.type) else argument
            for parameter, argument in zip(self._kernel.parameters, args, strict=True)
        ]
        if self.printed.workspace_bytes:
            given.append(np.empty(self.printed.workspace_bytes * blocks, np.uint8))
        self._raw(blocks, [*given, *grid])


def _address(parameter: ir.Parameter, argument: Any) -> Bound | None:
    """Where a tensor begins, with the extent of its whole storage."""
    if argument is None:
        return None
    found = allocation_of(parameter.name, argument)
    data = found.origin.to_bytes(8, "little")
    return Bound(data, found.base, found.nbytes or 0, argument)
