"""What instructions compute: the rules of the IR's interpreter on views of buffers."""

from __future__ import annotations

from typing import Any

import numpy as np

from canopy import ir
from canopy.ir.interpreter import RULES
from canopy.ir.interpreter.machine import Machine
from canopy.ir.interpreter.memory import Memory
from canopy.ir.interpreter.numeric import dtype_of
from canopy.ir.interpreter.origins import Origins

__all__ = ["Lanes"]

Array = np.ndarray[Any, Any]


class Lanes(Machine):
    """One program of the grid, as the interpreter's rules see it."""

    def __init__(
        self,
        memory: Memory,
        grid: tuple[int, int, int],
        values: dict[ir.Value, Any],
        origins: Origins,
        sources: dict[ir.Value, Any],
    ) -> None:
        super().__init__(memory, (0, 0, 0), grid, values, origins, sources)

    def compute(self, op: ir.Op, operands: list[Array]) -> tuple[Array, ...]:
        """The results of ``op`` for these contents of its operands, in their order."""
        self._values.update(zip(op.operands, operands, strict=True))
        outcome = RULES[type(op)](self, op)
        if outcome is None:
            return ()
        return outcome if isinstance(outcome, tuple) else (np.asarray(outcome),)

    def bind(self, value: ir.Value, content: Array) -> None:
        """Gives a value from outside the op that is computed next."""
        self._values[value] = content

    def combine(self, op: ir.Reduce, left: list[Array], right: list[Array]) -> tuple[Array, ...]:
        """The combine region of a reduction, lane by lane."""
        return self.run_region(op.combine, (*left, *right))

    def as_type(self, number: Any, type_: ir.types.Type) -> Array:
        """A scalar register as the interpreter holds it."""
        if isinstance(number, np.ndarray):
            return number
        dtype = dtype_of(type_)
        if dtype.kind in "iu":
            wrapped = int(number) & ((1 << (8 * dtype.itemsize)) - 1)
            return np.asarray(wrapped, f"uint{8 * dtype.itemsize}").view(dtype)
        return np.asarray(number, dtype)
