"""Tiles in a program's scratch memory."""

from __future__ import annotations

from dataclasses import dataclass

from canopy.ir.types import ElementType
from canopy.targets.cpu.llvm import LLValue

__all__ = ["Buffer"]


@dataclass(frozen=True, slots=True, eq=False)
class Buffer:
    """A tile in the program's scratch memory, row-major."""

    address: LLValue
    shape: tuple[int, ...]
    element: ElementType

    @property
    def bytes(self) -> int:
        size = self.element.bytes
        for extent in self.shape:
            size *= extent
        return size
