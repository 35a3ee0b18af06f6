"""Instructions on tiles into what the hardware has: vector calls, or loops of the scalar unit.

    Vector(exp, t, x)     ->  VectorCall(Exp, t, x, count 4096)
    Vector(add, i64 ..)   ->  LaneLoop(add, ..), and a note says why it is slow

`check` says whether a program is in this form.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from canopy import ir
from canopy.errors import KernelError
from canopy.targets.ascend import lanewise, meeting, moves
from canopy.targets.ascend.calls import CALLS, CASTS, ROUND_MODES
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import (
    Combine,
    Fill,
    Instruction,
    LaneFill,
    LaneLoop,
    LaneMove,
    Local,
    Loop,
    Move,
    Program,
    Vector,
    VectorCall,
    View,
    walk,
)
from canopy.targets.ascend.scalars import Poly, Register
from canopy.targets.ascend.unit import AwkwardError, Unit

if TYPE_CHECKING:
    from canopy.targets.ascend.lower import Emitter

__all__ = ["GENERIC", "check", "emit", "multiple"]

GENERIC = (Vector, Combine, Move, Fill)  # by exact type: not in a finished program


def emit(e: Emitter, instruction: Instruction) -> None:
    """Emits what stands for a generic instruction."""
    unit = Unit(e, instruction.location)
    state = e.memory.state()
    with e.collecting() as made:
        try:
            _lower(unit, instruction)
        except AwkwardError:
            made.clear()
            e.memory.restore(state)
            unit = Unit(e, instruction.location)
            made += _scalar_form(e, instruction)
    unit.close()
    for one in made:
        e.append(one)


def _lower(u: Unit, instruction: Instruction) -> None:
    match instruction:
        case Combine(op=ir.Reduce() as op, targets=targets, sources=sources):
            right = [source for source in sources if isinstance(source, View)]
            meeting.combine(u, op, targets, targets, right)
        case Vector(op=ir.Reduce() as op):
            meeting.reduce(u, op, instruction)
        case Vector(op=ir.Scan() as op):
            meeting.scan(u, op, instruction)
        case Vector(op=ir.Gather() as op):
            meeting.gather(u, op, instruction)
        case Vector(op=ir.AnyLane(), targets=(target,), sources=(View() as source,)):
            meeting.any_lane(u, target, source)
        case Vector(op=ir.Unsplat(), targets=(target,), sources=(View() as source,)):
            u.e.move(u, target, View(source.buffer, (), (), source.offset))
        case Vector(op=op, targets=(target,), sources=sources):
            lanewise.elementwise(u, op, target, sources)
        case Move(range_start=Poly() as first, target=target):
            moves.range_into(u, target, first)
        case Move(target=target, source=source) if source is not None:
            moves.move(u, target, source)
        case Fill():
            moves.fill(u, instruction)
        case _:
            raise AwkwardError


def _scalar_form(e: Emitter, instruction: Instruction) -> list[Instruction]:
    fields = {name: getattr(instruction, name) for name in instruction.__dataclass_fields__}
    match instruction:
        case Combine(op=op):
            raise e.unsupported(op, "this reduction over strips")
        case Vector(op=op):
            e.scalar_loop(op)
            return [LaneLoop(**fields)]
        case Move():
            e.scalar_loop(instruction)
            return [LaneMove(**fields)]
        case Fill():
            e.scalar_loop(instruction)
            return [LaneFill(**fields)]
    raise AssertionError(instruction)


# ---- the check


def check(program: Program, chip: Chip) -> None:
    """Raises KernelError, with the user's line, if something is not in hardware form."""
    parts = [*program.prologue, *program.body, *program.epilogue]
    multiples = _multiples(parts)
    for instruction in walk(parts):
        for fact in _faults(instruction, chip, {**multiples, **program.multiples}):
            raise KernelError(f"{instruction}: {fact}", location=instruction.location)


def _faults(instruction: Instruction, chip: Chip, multiples: dict[Register, int]) -> Iterator[str]:
    if type(instruction) in GENERIC:
        yield "this is not in hardware form"
    if isinstance(instruction, VectorCall):
        yield from _call_faults(instruction, chip, multiples)


def _call_faults(call: VectorCall, chip: Chip, multiples: dict[Register, int]) -> Iterator[str]:
    row = CALLS.get(call.name)
    if row is None:
        yield "there is no such call"
        return
    if (len(call.sources), len(call.scalars)) != (row.sources, row.scalars):
        yield f"it takes {row.sources} tensors and {row.scalars} scalars"
    if call.target.type not in row.types:
        yield f"it has no {call.target.type}"
    yield from _type_faults(call, row.shape)
    form = "count" if call.repeats is None else "repeat"
    if row.forms not in ("both", form):
        yield f"it has no {form} form"
    for number, local in enumerate((call.target, *call.sources)):
        yield from _local_faults(call, local, number, chip, multiples)
    repeats = 1 if call.repeats is None else call.repeats.number
    if repeats is None or not 0 < repeats <= chip.max_repeats:
        yield f"{call.repeats} repeats"
    lanes = call.lanes.number
    if lanes is not None and call.repeats is not None:
        per_repeat = chip.repeat_bytes // max(local.type.bytes for local in _walked(call))
        if not 0 < lanes <= per_repeat:
            yield f"a mask of {lanes} lanes"


def _walked(call: VectorCall) -> tuple[Local, ...]:
    shape = CALLS[call.name].shape
    if shape == "bits":
        return call.sources
    if shape == "select":
        return (call.target, *call.sources[1:])
    return (call.target, *call.sources)


def _type_faults(call: VectorCall, shape: str) -> Iterator[str]:
    types = [local.type for local in call.sources]
    target = call.target.type
    if call.name == "Cast":
        if (types[0], target) not in CASTS:
            yield f"there is no cast from {types[0]} to {target}"
        if call.mode not in ROUND_MODES:
            yield f"there is no round mode {call.mode}"
    elif shape == "bits":
        if len({*types}) != 1 or str(types[0]) not in ("f16", "f32", "i32"):
            yield f"it does not compare {types}"
        if str(types[0]) == "i32" and call.mode != "EQ":
            yield "i32 is compared for equality alone"
    elif shape == "select":
        if {*types[1:]} != {target}:
            yield f"{types[1:]} to {target}"
    elif shape == "gather":
        if types[0] != target or str(types[1]) != "u32":
            yield f"{types} to {target}"
    elif any(kind != target for kind in types):
        yield f"{types} to {target}"


def _local_faults(
    call: VectorCall, local: Local, number: int, chip: Chip, multiples: dict[Register, int]
) -> Iterator[str]:
    is_fold_target = CALLS[call.name].shape == "fold" and number == 0
    block = local.type.bytes if is_fold_target else chip.ub_block_bytes
    if local.buffer.address % chip.ub_block_bytes or multiple(local.offset, multiples) % block:
        yield f"{local} does not start at a multiple of {block} bytes"
    if not (0 <= local.block_stride <= 255 and 0 <= local.repeat_stride <= 255):
        yield f"{local} has strides that no field holds"


def multiple(poly: Poly, multiples: dict[Register, int]) -> int:
    """A number that the polynomial is always a multiple of; 0 for zero."""
    found = 0
    for monomial, factor in poly.terms:
        for register in monomial:
            factor *= multiples.get(register, 1)
        found = math.gcd(found, factor)
    return found


def _multiples(body: list[Instruction]) -> dict[Register, int]:
    """What the registers of loops count in."""
    found: dict[Register, int] = {}
    for instruction in walk(body):
        if isinstance(instruction, Loop):
            lower, step = instruction.lower, instruction.step
            if isinstance(lower, Poly) and isinstance(step, Poly):
                count = multiple(lower + step, found) if lower.terms else step.number
                if count:
                    found[instruction.index] = count
    return found
