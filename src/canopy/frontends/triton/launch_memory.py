"""The arrays of a launch as bytes, so that the same launch can run again on the same memory."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from canopy import ir
from canopy.frontends.triton.differences import Difference, difference, dtype_named
from canopy.ir.interpreter.memory import Allocation, allocation_of
from canopy.ir.types import is_pointer

__all__ = ["LaunchMemory"]

Array = np.ndarray[Any, Any]


class LaunchMemory:
    """The arrays that the arguments of a kernel point into, each allocation once, and ``others``
    that it may reach."""

    def __init__(
        self, kernel: ir.Kernel, args: Sequence[Any], others: Sequence[Allocation] = ()
    ) -> None:
        self._parts: list[tuple[str, str, Array]] = []
        seen: set[int] = set()
        for parameter, argument in zip(kernel.parameters, args, strict=True):
            if not is_pointer(parameter.value.type) or argument is None:
                continue
            allocation = allocation_of(parameter.name, argument)
            if not allocation.nbytes or allocation.base in seen:
                continue
            seen.add(allocation.base)
            dtype = str(getattr(argument, "dtype", "uint8")).rpartition(".")[2]
            self._parts.append((parameter.name, dtype, _bytes_of(allocation)))
        for allocation in others:
            if allocation.nbytes and allocation.base not in seen:
                self._parts.append((allocation.name, "uint8", _bytes_of(allocation)))

    def contents(self) -> list[Array]:
        """Copies, in the order in which `restore` takes them."""
        return [part.copy() for _, _, part in self._parts]

    def restore(self, contents: Sequence[Array]) -> None:
        for (_, _, part), content in zip(self._parts, contents, strict=True):
            part[...] = content

    def typed(self, contents: Sequence[Array]) -> Iterator[tuple[str, Array, Array]]:
        """Per array the argument's name, then the given contents and those of now, as numbers."""
        for (name, dtype, part), content in zip(self._parts, contents, strict=True):
            kind = dtype_named(dtype) or np.dtype(np.uint8)
            whole = len(part) // kind.itemsize * kind.itemsize
            yield name, content[:whole].view(kind), part[:whole].view(kind)

    def difference(self, expected: Sequence[Array], launch: int) -> Difference:
        worst = Difference()
        for name, wanted, found in self.typed(expected):
            worst = worst.joined(difference(wanted, found, launch, name))
        return worst


def _bytes_of(allocation: Allocation) -> Array:
    raw = (ctypes.c_uint8 * (allocation.nbytes or 0)).from_address(allocation.base)
    return np.frombuffer(memoryview(raw).cast("B"), np.uint8)
