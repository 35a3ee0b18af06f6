"""Addresses in a block's own memory: which pointers have them, and how they wrap.

GPUs address shared memory with 32 bits, and programs lean on it: with ``unsigned k``, ``tile[~k]``
and ``tile[k - 1]`` of a ``k`` that is 0 lie before ``tile``, where a 64-bit address would be 16 GB
behind it.
"""

from __future__ import annotations

from canopy.frontends.cuda.cfg import ControlFlow
from canopy.frontends.cuda.llvm_types import IntType, PtrType
from canopy.frontends.cuda.llvm_values import ConstantExpression, Global, Instruction, LlvmValue

__all__ = ["shared_pointers", "wrap_shared_indices"]

_POINTER_MOVES = frozenset({"getelementptr", "addrspacecast", "phi", "select", "freeze", "alloca"})


def shared_pointers(flow: ControlFlow) -> set[LlvmValue]:
    """Pointers that can only point into the block's own memory, although their type is generic."""
    moves = [i for b in flow.order for i in b.instructions if i.opcode in _POINTER_MOVES]
    shared: set[LlvmValue] = {i for i in moves if isinstance(i.type, PtrType)}

    def is_shared(value: LlvmValue) -> bool:
        if isinstance(value, Global):
            return isinstance(value.type, PtrType) and value.type.space == 3
        if isinstance(value, ConstantExpression):
            return is_shared(value.operands[0])
        return value in shared

    def sources(i: Instruction) -> tuple[LlvmValue, ...]:
        if i.opcode == "phi":
            return i.operands
        return i.operands[1:] if i.opcode == "select" else i.operands[:1]

    changed = True
    while changed:
        wrong = [i for i in moves if i in shared and i.opcode != "alloca"]
        wrong = [i for i in wrong if not all(map(is_shared, sources(i)))]
        shared.difference_update(wrong)
        changed = bool(wrong)
    return shared


def wrap_shared_indices(flow: ControlFlow, shared: set[LlvmValue]) -> None:
    """Indices of shared memory that are widened from 32 bits are widened with their sign."""
    signed: dict[Instruction, Instruction] = {}
    for block in flow.order:
        for i in block.instructions:
            if i.opcode == "getelementptr" and i in shared:
                pointer, *indices = i.operands
                i.operands = (pointer, *(_wrapping(index, signed) for index in indices))
    for index, made in signed.items():
        place = index.block.instructions.index(index)
        index.block.instructions.insert(place + 1, made)


def _wrapping(index: LlvmValue, signed: dict[Instruction, Instruction]) -> LlvmValue:
    if not isinstance(index, Instruction) or index.opcode != "zext":
        return index
    source = index.operands[0].type
    if not isinstance(source, IntType) or source.bits != 32:
        return index
    if index not in signed:
        signed[index] = Instruction(
            index.type, "sext", index.operands, "", index.location, index.block
        )
    return signed[index]
