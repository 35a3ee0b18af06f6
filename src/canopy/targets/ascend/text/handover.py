"""Scalars that the vector core computes and the cube core needs, through the workspace."""

from __future__ import annotations

from dataclasses import dataclass

from canopy.targets.ascend.npu import Instruction
from canopy.targets.ascend.scalars import Register

__all__ = ["HANDOVER_BYTES", "Handover"]

HANDOVER_BYTES = 64  # a cache line, which nothing else lies in


@dataclass(frozen=True, kw_only=True, eq=False)
class Handover(Instruction):
    """A scalar that the vector core gives (``gives``), or that the cube core takes."""

    register: Register
    gives: bool

    def __str__(self) -> str:
        return f"{'give' if self.gives else 'take'} {self.register}"
