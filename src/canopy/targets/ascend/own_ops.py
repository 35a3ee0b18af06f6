"""Ops that only the passes of this target make."""

from __future__ import annotations

from dataclasses import dataclass

from canopy import ir
from canopy.ir.types import Type

__all__ = ["Unwritten"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Unwritten(ir.Op):
    """A tile that is written before anything reads it: memory, and nothing in it."""

    type: Type

    def result_types(self) -> tuple[Type, ...]:
        return (self.type,)
