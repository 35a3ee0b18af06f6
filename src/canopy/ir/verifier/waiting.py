"""Rules of ops of programs that wait for each other."""

from __future__ import annotations

from canopy.ir.core import Op
from canopy.ir.types import I32
from canopy.ir.verifier.table import require, rule
from canopy.ir.waiting import Arrive, BlockMemory, Fence, GridBarrier, Meet, MemberId, Pause


@rule(Fence, Pause, GridBarrier)
def _ordering(op: Op) -> None:
    """They may stand anywhere."""


@rule(MemberId)
def _member_id(op: MemberId) -> None:
    require(op, op.lanes > 0, f"has {op.lanes} lanes")


@rule(BlockMemory)
def _block_memory(op: BlockMemory) -> None:
    require(op, op.bytes >= 0, f"has {op.bytes} bytes")
    require(op, 0 <= op.index < 64, f"has the index {op.index}, which is not below 64")


@rule(Meet, Arrive)
def _barrier(op: Meet | Arrive) -> None:
    numbers = all(operand.type == I32 for operand in op.operands)
    require(op, numbers, "needs scalar i32 operands")
