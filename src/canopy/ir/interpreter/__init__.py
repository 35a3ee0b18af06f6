"""The NumPy interpreter: the definition of what every op of the tile IR means.

    Interpreter(kernel, [x, out, 1000], grid=(8,)).run()

It reads and writes the arguments' own memory. With ``check`` on, every address must lie inside the
argument that its pointer was made from. One rule per op, in one module per op family:
`elementwise` (with `functions`), `shape`, `access`, `contraction`, `control`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from canopy.errors import LaunchError
from canopy.ir.core import Kernel, Parameter, Value
from canopy.ir.interpreter import (
    access,
    contraction,
    control,
    elementwise,
    native_calls,
    shape,
    waiting,
)
from canopy.ir.interpreter.machine import RULES, Machine, rule
from canopy.ir.interpreter.memory import Allocation, Memory, allocation_of
from canopy.ir.interpreter.numeric import Array, from_python
from canopy.ir.interpreter.origins import pointer_origins
from canopy.ir.types import TileType, is_pointer

__all__ = ["RULES", "Allocation", "Interpreter", "interpret", "rule"]

_FAMILIES = (
    access,
    contraction,
    control,
    elementwise,
    native_calls,
    shape,
    waiting,
)  # imported for their rules


class Interpreter:
    """One launch of a kernel.

    ``args``, one per parameter: for pointers NumPy arrays, torch tensors (anything that has
    ``data_ptr``), raw addresses or None; for scalars ints, floats, bools or NumPy scalars.
    ``allocations`` names memory that is reached through addresses stored in memory.
    Raises LaunchError for arguments that do not fit, KernelError for a failure while it runs.
    """

    def __init__(
        self,
        kernel: Kernel,
        args: Sequence[Any],
        grid: Sequence[int] = (1,),
        check: bool = True,
        allocations: Sequence[Allocation] = (),
    ) -> None:
        if len(args) != len(kernel.parameters):
            raise LaunchError(
                f"kernel {kernel.name} has {len(kernel.parameters)} parameters, "
                f"{len(args)} arguments were given",
                location=kernel.location,
            )
        if not 1 <= len(grid) <= 3:
            raise LaunchError(f"a grid has 1 to 3 dimensions, this one has {len(grid)}")
        self.kernel = kernel
        x, y, z = (*map(int, grid), 1, 1)[:3]
        self.grid = (x, y, z)
        self._arguments = list(args)  # keeps their memory alive
        self._values: dict[Value, Array] = {}
        self._sources: dict[Value, Allocation] = {}
        for parameter, argument in zip(kernel.parameters, args, strict=True):
            self._bind(parameter, argument)
        self._memory = Memory([*self._sources.values(), *allocations], check)
        self._origins = pointer_origins(kernel) if check else {}

    def _bind(self, parameter: Parameter, argument: Any) -> None:
        value = parameter.value
        if isinstance(value.type, TileType):
            raise LaunchError(f"parameter {parameter.name} is a tile; parameters are scalars")
        if is_pointer(value.type):
            try:
                allocation = allocation_of(parameter.name, argument)
            except (TypeError, ValueError):
                raise _wrong_argument(parameter, argument, "an array, a tensor or None") from None
            self._sources[value] = allocation
            address = allocation.origin & 0xFFFF_FFFF_FFFF_FFFF
            self._values[value] = np.asarray(address, np.uint64)
            return
        if not isinstance(argument, int | float | np.generic):
            raise _wrong_argument(parameter, argument, "a number")
        self._values[value] = from_python(_as_python(argument), value.type)

    def run(self) -> None:
        """Runs all programs, x fastest, each to its end before the next one starts."""
        x_extent, y_extent, z_extent = self.grid
        with np.errstate(all="ignore"):
            for z in range(z_extent):
                for y in range(y_extent):
                    for x in range(x_extent):
                        self._run_program((x, y, z))

    def _run_program(self, program: tuple[int, int, int]) -> None:
        machine = Machine(
            self._memory, program, self.grid, dict(self._values), self._origins, self._sources
        )
        machine.run_region(self.kernel.body)
        self._memory.release(list(machine.scratch.values()))


def _as_python(number: Any) -> float:
    plain: float = number.item() if isinstance(number, np.generic) else number
    return plain


def _wrong_argument(parameter: Parameter, argument: Any, expected: str) -> LaunchError:
    return LaunchError(
        f"parameter {parameter.name} ({parameter.value.type}) needs {expected}, "
        f"got {type(argument).__name__}"
    )


def interpret(kernel: Kernel, args: Sequence[Any], grid: Sequence[int] = (1,)) -> None:
    """Runs ``kernel`` on ``args`` with all checks on."""
    Interpreter(kernel, args, grid).run()
