"""Rules of ops of programs that wait for each other: the interpreter runs one after another."""

from __future__ import annotations

import numpy as np

from canopy.ir.core import Op
from canopy.ir.interpreter.machine import Machine, rule
from canopy.ir.interpreter.numeric import Array
from canopy.ir.waiting import Arrive, BlockMemory, Fence, GridBarrier, Meet, MemberId, Pause


@rule(Fence, Pause)
def _nothing(machine: Machine, op: Op) -> None:
    """What programs with a smaller id write is there, and nobody else runs."""


@rule(GridBarrier)
def _grid_barrier(machine: Machine, op: GridBarrier) -> None:
    if machine.grid != (1, 1, 1):
        raise machine.error(op, f"the grid {machine.grid} has several programs", "it has one")


@rule(MemberId)
def _member_id(machine: Machine, op: MemberId) -> Array:
    return np.asarray(0, np.int32)


@rule(BlockMemory)
def _block_memory(machine: Machine, op: BlockMemory) -> Array:
    if op not in machine.scratch:
        machine.scratch[op] = machine.memory.allocate("block", op.bytes, 64)
    return np.asarray(machine.scratch[op].base, np.uint64)


@rule(Meet)
def _meet(machine: Machine, op: Meet) -> Array:
    return machine[op.value]


@rule(Arrive)
def _arrive(machine: Machine, op: Arrive) -> None:
    """It is the only member."""
