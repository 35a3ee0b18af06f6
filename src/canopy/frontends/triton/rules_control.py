"""Reader rules: loops, branches, calls, the grid, diagnostics."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from canopy.frontends.triton.rules import reads
from canopy.frontends.triton.text import Block
from canopy.ir import (
    Assert,
    Barrier,
    Condition,
    For,
    If,
    NumPrograms,
    Print,
    ProgramId,
    Region,
    Value,
    While,
    Yield,
)
from canopy.ir.types import is_integer

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__: list[str] = []

_NAME = r"%([\w$.\-]+(?:#\d+)?)"
_FOR = re.compile(rf"^(unsigned )?{_NAME} = {_NAME} to {_NAME} step {_NAME}")
_CARRIED = re.compile(rf"{_NAME} = {_NAME}")


@reads("tt.get_program_id")
def _program_id(reader: Reader, op: Operation) -> Value:
    return reader.add(ProgramId, axis="xyz".index(op.body.strip()))


@reads("tt.get_num_programs")
def _num_programs(reader: Reader, op: Operation) -> Value:
    return reader.add(NumPrograms, axis="xyz".index(op.body.strip()))


@reads("scf.for")
def _for(reader: Reader, op: Operation) -> tuple[Value, ...]:
    match = _FOR.match(op.body)
    assert match, op.body
    lower, upper, step = (reader.known[match[i]] for i in (3, 4, 5))
    if match[1]:
        lower, upper, step = (reader.as_unsigned(bound) for bound in (lower, upper, step))
    carried = _CARRIED.findall(op.body[match.end() :])
    initial = tuple(reader.known[name] for _, name in carried)
    arguments = [(match[2], lower.type)]
    arguments += [(name, value.type) for (name, _), value in zip(carried, initial, strict=True)]
    (block,) = op.regions[0]
    body = reader.region(block, arguments)
    made = reader.build.effect(For, lower=lower, upper=upper, step=step, initial=initial, body=body)
    return made.results


@reads("scf.while")
def _while(reader: Reader, op: Operation) -> tuple[Value, ...]:
    carried = _CARRIED.findall(op.body)
    initial = tuple(reader.known[name] for _, name in carried)
    (before,), (after,) = op.regions
    arguments = [(name, value.type) for (name, _), value in zip(carried, initial, strict=True)]
    made = reader.build.effect(
        While,
        initial=initial,
        before=reader.region(before, arguments, None),
        body=reader.region(after, reader.block_arguments(after)),
    )
    return made.results


@reads("scf.condition")
def _condition(reader: Reader, op: Operation) -> None:
    condition, *values = reader.values(op)
    reader.build.effect(Condition, condition=condition, values=tuple(values))


@reads("scf.if")
def _if(reader: Reader, op: Operation) -> tuple[Value, ...]:
    condition = reader.known[op.operands[0]]
    regions = [reader.region(blocks[0] if blocks else Block(), []) for blocks in op.regions]
    if len(regions) == 1:
        regions.append(Region((), [Yield()]))
    made = reader.build.effect(
        If, condition=condition, then_region=regions[0], else_region=regions[1]
    )
    return made.results


@reads("scf.execute_region")
def _execute_region(reader: Reader, op: Operation) -> tuple[Value, ...]:
    (block,) = op.regions[0]
    for inner in block.operations[:-1]:
        reader.run(inner)
    return reader.values(block.operations[-1])


@reads("tt.call")
def _call(reader: Reader, op: Operation) -> tuple[Value, ...]:
    return reader.call(op)


@reads("tt.assert")
def _assert(reader: Reader, op: Operation) -> None:
    (condition,) = reader.values(op)
    reader.build.effect(Assert, condition=condition, message=op.strings[0])


@reads("tt.print")
def _print(reader: Reader, op: Operation) -> None:
    signs = op.integers("isSigned")
    values = []
    for value, is_signed in zip(reader.values(op), signs, strict=False):
        unsigned = is_integer(value.type) and not is_signed
        values.append(reader.as_unsigned(value) if unsigned else value)
    prefix = op.strings[0]
    reader.build.effect(Print, prefix=prefix, values=tuple(values), hex=op.flag("hex"))


@reads(
    "llvm.intr.assume",
    "tt.assume",
    "tt.grid_dependency_wait",
    "tt.grid_dependency_launch_dependents",
)
def _nothing(reader: Reader, op: Operation) -> None:
    """Hints with no meaning for the result."""


@reads("gpu.barrier", "ttg.barrier", "ttg.local_barrier")
def _barrier(reader: Reader, op: Operation) -> None:
    reader.build.effect(Barrier)
