"""Rules of structured control flow, the program's place in the grid, and diagnostics."""

from __future__ import annotations

import time

import numpy as np

from canopy.ir.control import (
    Assert,
    Clock,
    Condition,
    For,
    If,
    NumPrograms,
    Print,
    ProgramId,
    While,
    Yield,
)
from canopy.ir.interpreter.machine import Machine, rule
from canopy.ir.interpreter.numeric import Array, dtype_of
from canopy.ir.types import Type, element_type, is_bool, is_float, is_pointer


@rule(ProgramId)
def _program_id(machine: Machine, op: ProgramId) -> Array:
    return np.asarray(machine.program[op.axis], np.int32)


@rule(NumPrograms)
def _num_programs(machine: Machine, op: NumPrograms) -> Array:
    return np.asarray(machine.grid[op.axis], np.int32)


@rule(Clock)
def _clock(machine: Machine, op: Clock) -> Array:
    return np.asarray(time.monotonic_ns(), np.int64)


@rule(For)
def _for(machine: Machine, op: For) -> tuple[Array, ...]:
    lower, upper, step = (int(x) for x in machine.all_of((op.lower, op.upper, op.step)))
    if step <= 0:
        raise machine.error(op, f"the loop has step {step}", "the step is greater than 0")
    carried = machine.all_of(op.initial)
    dtype = dtype_of(op.lower.type)
    for index in range(lower, upper, step):
        carried = machine.run_region(op.body, (np.asarray(index, dtype), *carried))
    return carried


@rule(While)
def _while(machine: Machine, op: While) -> tuple[Array, ...]:
    carried = machine.all_of(op.initial)
    while True:
        condition, *values = machine.run_region(op.before, carried)
        if not condition:
            return tuple(values)
        carried = machine.run_region(op.body, values)


@rule(If)
def _if(machine: Machine, op: If) -> tuple[Array, ...]:
    return machine.run_region(op.then_region if machine[op.condition] else op.else_region)


@rule(Yield)
def _yield(machine: Machine, op: Yield) -> tuple[Array, ...]:
    return machine.all_of(op.values)


@rule(Condition)
def _condition(machine: Machine, op: Condition) -> tuple[Array, ...]:
    return machine.all_of((op.condition, *op.values))


@rule(Assert)
def _assert(machine: Machine, op: Assert) -> None:
    failed = ~machine[op.condition]
    mask = machine.optional(op.mask)
    if mask is not None:
        failed = failed & mask
    if not failed.any():
        return
    lane = ", ".join(map(str, np.argwhere(failed)[0]))
    raise machine.error(
        op, f"device-side assertion failed{f' in lane {lane}' if lane else ''}: {op.message}"
    )


@rule(Print)
def _print(machine: Machine, op: Print) -> None:
    """One line per lane and value, in Triton's form: pid (0, 0, 0) idx ( 3) x: 1.000000"""
    prefix = op.prefix if op.prefix.startswith((" ", ":")) or not op.prefix else f" {op.prefix}"
    program = ", ".join(map(str, machine.program))
    if not op.values:
        print(f"pid ({program}){prefix}")
    for number, value in enumerate(op.values):
        operand = f"(operand {number}) " if len(op.values) > 1 else ""
        separator = "" if prefix.endswith(" ") else ": " if prefix else " "
        lanes = machine[value]
        widths = [len(str(extent - 1)) for extent in lanes.shape]
        for index in np.ndindex(lanes.shape):
            place = ", ".join(f"{i:>{width}}" for i, width in zip(index, widths, strict=True))
            shown = _shown(lanes[index], value.type, op.hex)
            print(f"pid ({program}) idx ({place}){prefix}{separator}{operand}{shown}")


def _shown(lane: Array, type_: Type, in_hex: bool) -> str:
    bits = element_type(type_).bits
    if in_hex or is_pointer(type_):
        raw = np.atleast_1d(lane).view(f"uint{max(bits, 8)}")[0]
        return f"0x{int(raw):0{max(bits // 4, 1)}x}"
    if is_float(type_):
        return f"{float(lane):f}"
    return str(int(lane)) if not is_bool(type_) else str(int(bool(lane)))
