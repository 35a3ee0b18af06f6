"""Atomic updates by scalar code.

Where nobody reads the old value, a copy of one element adds (SetAtomicAdd and its like). Where
somebody does, the 950 has AtomicCas; on chips that have no atomics of scalar code, cores take turns
(`CoreLock`), for all atomics of the kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.ir.types import ElementType, element_type
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import Instruction, LaneMemory, Program, walk
from canopy.targets.ascend.text.expressions import cpp_type

if TYPE_CHECKING:
    from canopy.targets.ascend.text.printer import _Printer

__all__ = ["LOCK_BYTES", "print_atomic", "takes_turns"]

LOCK_BYTES = 64  # a cache line for the ticket of a core
_WITHOUT_ATOMICS = 2201

_COPIES = {"add": "AtomicAddLane", "max": "AtomicMaxLane", "min": "AtomicMinLane"}
_COPY_TYPES = {"f32", "f16", "bf16", "i32", "i16", "i8"}

_UPDATES: dict[str, Callable[[str, str], str]] = {
    "add": lambda old, value: f"{old} + {value}",
    "sub": lambda old, value: f"{old} - {value}",
    "and": lambda old, value: f"{old} & {value}",
    "or": lambda old, value: f"{old} | {value}",
    "xor": lambda old, value: f"{old} ^ {value}",
    "max": lambda old, value: f"{old} > {value} ? {old} : {value}",
    "min": lambda old, value: f"{old} < {value} ? {old} : {value}",
    "inc": lambda old, value: f"{old} >= {value} ? 0 : {old} + 1",
    "dec": lambda old, value: f"{old} == 0 || {old} > {value} ? {value} : {old} - 1",
}


def _is_atomic(instruction: Instruction) -> bool:
    return isinstance(instruction, LaneMemory) and isinstance(
        instruction.op, ir.AtomicRmw | ir.AtomicCas
    )


def takes_turns(program: Program, chip: Chip) -> bool:
    """Whether the cores of a launch must take turns for the program's atomics."""
    return chip.architecture == _WITHOUT_ATOMICS and any(
        isinstance(i, LaneMemory) and _is_atomic(i) and _copy_of(i) is None
        for i in walk(program.body)
    )


def _copy_of(access: LaneMemory) -> str | None:
    """The helper that updates by a copy; None where copies cannot."""
    op = access.op
    if not isinstance(op, ir.AtomicRmw) or access.target is not None:
        return None
    if str(element_type(op.value.type)) not in _COPY_TYPES:
        return None
    return _COPIES.get(op.kind)


def print_atomic(
    p: _Printer,
    access: LaneMemory,
    operands: Sequence[str],
    give: Callable[[str], None],
) -> None:
    """One lane: ``operands`` are the texts of pointer, value and, of a compare-and-swap, what is
    compared with; ``give`` takes the old value."""
    op = access.op
    assert isinstance(op, ir.AtomicRmw | ir.AtomicCas)
    kind = cpp_type(element_type(op.value.type), in_memory=True)
    helper = _copy_of(access)
    if p.lock is None and helper is not None:
        p.line(f"{p.helper(helper)}<{kind}>({p.scratch()}, {operands[0]}, {operands[1]});")
        return
    old = p.names.fresh("old")
    if p.lock is not None:
        _in_turn(p, op, kind, old, operands)
    elif isinstance(op, ir.AtomicCas):
        _check_width(op)
        pointer, value, compared = operands
        cas = f"{p.helper('CasLane')}<{kind}>({pointer}, {compared}, {value})"
        p.line(f"const {kind} {old} = {cas};")
    else:
        _check_width(op)
        _until_it_holds(p, op, kind, old, operands)
    if access.target is not None:
        give(old)


def _in_turn(
    p: _Printer, op: ir.AtomicRmw | ir.AtomicCas, kind: str, old: str, operands: Sequence[str]
) -> None:
    """While no other core is at it. The old value is read, and the new one copied to its place."""
    pointer = operands[0]
    p.line(f"const {kind} {old} = {p.helper('LoadFresh')}<{kind}>({pointer});")
    write = f"{p.helper('WriteLane')}<{kind}>({p.scratch()}, {pointer}, "
    if isinstance(op, ir.AtomicCas):
        same = p.helper("SameBits")
        p.line(f"if ({same}<{kind}>({old}, {operands[2]})) {write}{operands[1]});")
    else:
        p.line(f"{write}{_updated(op, old, operands[1])});")


def _until_it_holds(
    p: _Printer, op: ir.AtomicRmw, kind: str, old: str, operands: Sequence[str]
) -> None:
    pointer, value = operands
    seen = p.names.fresh("seen")
    new = _updated(op, old, value)
    p.line(f"{kind} {old} = {p.helper('LoadFresh')}<{kind}>({pointer});")
    p.line("while (true) {")
    p.deeper(1)
    p.line(f"const {kind} {seen} = {p.helper('CasLane')}<{kind}>({pointer}, {old}, {new});")
    p.line(f"if ({p.helper('SameBits')}({seen}, {old})) break;")
    p.line(f"{old} = {seen};")
    p.deeper(-1)
    p.line("}")


def _check_width(op: ir.AtomicRmw | ir.AtomicCas) -> None:
    type_ = element_type(op.value.type)
    if type_.bits < 16:
        raise UnsupportedError(
            f"an atomic update of {type_} whose old value is read: AtomicCas takes 32 and 64 bits",
            location=op.location,
            hint="keep the value in 32 bits",
        )


def _updated(op: ir.AtomicRmw, old: str, value: str) -> str:
    """The new value; half and bfloat16 are computed with as floats."""
    if op.kind == "exchange":
        return value
    type_ = element_type(op.value.type)
    kind = cpp_type(type_)
    text = _UPDATES[op.kind](_wide(type_, old), _wide(type_, value))
    if str(type_) == "bf16":
        return f"ToBfloat16({text})"
    return f"static_cast<{kind}>({text})"


def _wide(type_: ElementType, text: str) -> str:
    if str(type_) == "bf16":
        return f"ToFloat({text})"
    if str(type_) == "f16":
        return f"static_cast<float>({text})"
    return f"({text})" if " " in text else text
