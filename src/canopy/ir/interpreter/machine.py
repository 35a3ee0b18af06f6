"""The state of one running program, and the table that gives every op its meaning."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from canopy.errors import KernelError
from canopy.ir.core import Op, Region, Value
from canopy.ir.interpreter.memory import Allocation, Memory
from canopy.ir.interpreter.numeric import Array
from canopy.ir.interpreter.origins import Origins

__all__ = ["RULES", "Machine", "Outcome", "rule"]

Outcome: TypeAlias = Array | tuple[Array, ...] | None
"""What a rule returns: the result, a tuple of results, or None for an op without one. A terminator
returns the values that it hands to the op around it."""

RULES: dict[type[Op], Callable[[Machine, Any], Outcome]] = {}

RuleT = TypeVar("RuleT", bound=Callable[..., Outcome])


def rule(*kinds: type[Op]) -> Callable[[RuleT], RuleT]:
    """Registers the function as the meaning of the given ops; an op has one rule."""

    def register(function: RuleT) -> RuleT:
        for kind in kinds:
            if kind in RULES:
                raise TypeError(f"{kind.__name__} has an interpreter rule already")
            RULES[kind] = function
        return function

    return register


class Machine:
    """One program: its values, its place in the grid, and the memory of the launch."""

    def __init__(
        self,
        memory: Memory,
        program: tuple[int, int, int],
        grid: tuple[int, int, int],
        values: dict[Value, Array],
        origins: Origins,
        sources: dict[Value, Allocation],
    ) -> None:
        self.memory = memory
        self.program = program
        self.grid = grid
        self.scratch: dict[Op, Allocation] = {}
        self._values = values
        self._origins = origins
        self._sources = sources

    def __getitem__(self, value: Value) -> Array:
        return self._values[value]

    def optional(self, value: Value | None) -> Array | None:
        return None if value is None else self._values[value]

    def all_of(self, values: Sequence[Value]) -> tuple[Array, ...]:
        return tuple(self._values[value] for value in values)

    def run_region(self, region: Region, arguments: Sequence[Array] = ()) -> tuple[Array, ...]:
        """Runs the ops of a region and gives what its terminator hands over."""
        self._values.update(zip(region.args, arguments, strict=True))
        for op in region.ops:
            outcome = RULES[type(op)](self, op)
            if op.is_terminator:
                assert isinstance(outcome, tuple)
                return outcome
            self._bind(op, outcome)
        return ()

    def _bind(self, op: Op, outcome: Outcome) -> None:
        if isinstance(outcome, tuple):
            self._values.update(zip(op.results, outcome, strict=True))
        elif outcome is not None:
            self._values[op.results[0]] = np.asarray(outcome)

    def allocation_behind(self, pointer: Value) -> Allocation | None:
        """The argument or scratch that a pointer was made from; None where several are possible or
        the pointer came from memory."""
        origins = self._origins.get(pointer, frozenset())
        if len(origins) != 1:
            return None
        (origin,) = origins
        if origin is not None and origin.op is not None:
            return self.scratch.get(origin.op)
        return self._sources.get(origin) if origin is not None else None

    def error(self, op: Op, fact: str, hint: str = "") -> KernelError:
        """An error at ``op`` in this program."""
        return KernelError(f"program {self.program}: {fact}", location=op.location, hint=hint)
