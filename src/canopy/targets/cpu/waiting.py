"""Programs that wait for each other: calls of the native runtime, which runs them as fibers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llvmlite.ir as ll

from canopy import ir
from canopy.targets.cpu.llvm import I32, I64, POINTER, Builder, LLValue, constant

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["WAITING", "emit_waiting", "lanes_of_members", "runs_apart", "wrap_entry"]

_FIBERS = (ir.Pause, ir.GridBarrier, ir.MemberId, ir.Meet, ir.Arrive)
WAITING = (*_FIBERS, ir.Fence, ir.BlockMemory)
_COMBINE = {"add": 0, "min": 1, "max": 2}  # of runtime/native/apart.h


def runs_apart(kernel: ir.Kernel) -> bool:
    """Whether the programs of a kernel need a fiber each."""
    return any(isinstance(op, _FIBERS) for op in ir.walk(kernel.body.ops))


def lanes_of_members(kernel: ir.Kernel) -> int:
    """The threads of a block that one member runs; 0: a program is a whole block."""
    found = (op.lanes for op in ir.walk(kernel.body.ops) if isinstance(op, ir.MemberId))
    return next(found, 0)


def emit_waiting(program: Program, op: ir.Op) -> None:
    """Emits one of `WAITING`."""
    b, scalars = program.builder, program.scalars
    match op:
        case ir.Fence():
            b.fence("seq_cst")
        case ir.Pause():
            _call(b, "canopy_pause", ll.VoidType(), [])
        case ir.GridBarrier():
            _call(b, "canopy_grid_barrier", ll.VoidType(), [])
        case ir.MemberId():
            scalars[op.result] = _call(b, "canopy_member", I32, [])
        case ir.BlockMemory():
            numbers = [constant(I32, op.index), constant(I64, op.bytes)]
            address = _call(b, "canopy_block_memory", POINTER, numbers)
            scalars[op.result] = b.ptrtoint(address, I64)
        case ir.Meet():
            barrier, threads, value = map(program.scalar, (op.barrier, op.threads, op.value))
            operands = [barrier, threads, constant(I32, _COMBINE[op.combine]), value]
            scalars[op.result] = _call(b, "canopy_block_barrier", I32, operands)
        case ir.Arrive():
            operands = [program.scalar(op.barrier), program.scalar(op.threads)]
            _call(b, "canopy_block_arrive", ll.VoidType(), operands)


def wrap_entry(module: Any, name: str, program: Any, grain: int, scratch_bytes: int) -> None:
    """An entry ``name`` that has the runtime call ``program`` on a fiber for each program."""
    function = ll.Function(module, program.function_type, name)
    args, grid, block, first, last, _ = function.args
    b = ll.IRBuilder(function.append_basic_block("entry"))
    sizes = [constant(I64, scratch_bytes), constant(I32, grain)]
    operands = [program, args, grid, block, first, last, *sizes]
    b.ret(_call(b, "canopy_run_apart", I32, operands))


def _call(b: Builder, name: str, result: Any, operands: list[LLValue]) -> LLValue:
    known = b.module.globals.get(name)
    type_ = ll.FunctionType(result, [operand.type for operand in operands])
    return b.call(known or ll.Function(b.module, type_, name), operands)
