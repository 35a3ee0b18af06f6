"""Kernels whose lanes count on moving together.

Code from before `__syncwarp` passes values between the lanes of a warp through shared memory with
nothing in between:

    s[tid] += s[tid + 16];    // this lane reads what another one has written a line above
    s[tid] += s[tid + 8];
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from canopy.frontends.cuda.cfg import ControlFlow
from canopy.frontends.cuda.llvm_values import Block, Instruction, LlvmValue
from canopy.frontends.cuda.uniformity import Uniformity

__all__ = ["exchanges_in_step"]

_MEETINGS = ("llvm.nvvm.barrier", "llvm.nvvm.bar.warp.sync")


def exchanges_in_step(
    flow: ControlFlow,
    uniformity: Uniformity,
    is_shared: Callable[[LlvmValue], bool],
    is_same: Callable[[LlvmValue, LlvmValue], bool],
) -> bool:
    """Whether a lane may read from shared memory what another lane of its warp has written since
    they last met: at another address than it has written itself."""

    def is_own_place(pointer: LlvmValue) -> bool:
        return is_shared(pointer) and pointer in uniformity.divergent_values

    for block in flow.order:
        for at, store in enumerate(block.instructions):
            if store.opcode != "store" or not is_own_place(store.operands[1]):
                continue
            for load in _until_they_meet(block, at + 1):
                if load.opcode != "load" or not is_own_place(load.operands[0]):
                    continue
                if not is_same(store.operands[1], load.operands[0]):
                    return True
    return False


def _until_they_meet(block: Block, at: int) -> Iterator[Instruction]:
    """What comes behind an instruction, up to the next barrier of the block or the warp."""
    seen: set[Block] = set()
    work = [(block, at)]
    while work:
        block, at = work.pop()
        for instruction in block.instructions[at:]:
            if instruction.callee.startswith(_MEETINGS):
                break
            yield instruction
        else:
            fresh = [s for s in block.successors if s not in seen]
            seen.update(fresh)
            work.extend((s, 0) for s in fresh)
