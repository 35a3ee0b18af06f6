"""A mixed program's two sides: what the cube core runs, and what its vector core does.

Both run the scalar code and the control; each has its own instructions. An event between pipes of
the two becomes a flag between cores, a barrier of all pipes a meeting of both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.targets.ascend.npu import (
    Assign,
    Barrier,
    Branch,
    Instruction,
    LaneFill,
    LaneLoop,
    LaneMemory,
    LaneMove,
    Loop,
    Pipe,
    Program,
    ReadLane,
    SetEvent,
    View,
    WaitEvent,
    WhileLoop,
    walk,
)

__all__ = ["CUBE", "VECTOR", "flag_of", "is_crossing", "side"]

CUBE = frozenset({Pipe.C_MTE2, Pipe.MTE1, Pipe.M, Pipe.FIX})
VECTOR = frozenset({Pipe.MTE2, Pipe.V, Pipe.MTE3})
_MOST_FLAGS = 9  # of 0 to 10; 9 and 10 are for meetings


def is_crossing(event: SetEvent | WaitEvent) -> bool:
    """Whether the event's pipes are on different cores."""
    pipes = {event.source, event.target}
    return bool(pipes & CUBE and pipes & VECTOR)


def flag_of(program: Program, event: SetEvent | WaitEvent) -> int:
    """The flag between cores that stands for an event."""
    keys: dict[tuple[Pipe, Pipe, int], int] = {}
    for instruction in walk([*program.prologue, *program.body, *program.epilogue]):
        if isinstance(instruction, SetEvent | WaitEvent) and is_crossing(instruction):
            key = (instruction.source, instruction.target, instruction.event)
            keys.setdefault(key, len(keys))
    found = keys[event.source, event.target, event.event]
    if found >= _MOST_FLAGS:
        raise UnsupportedError(
            f"{len(keys)} flags between cube and vector core are needed, {_MOST_FLAGS} are there",
            location=event.location,
        )
    return found


def side(program: Program, pipes: frozenset[Pipe]) -> Program:
    """The program with the instructions of one side alone."""
    for event in walk(program.body):
        if isinstance(event, SetEvent | WaitEvent):
            ends = {event.source, event.target}
            if Pipe.S in ends and ends & CUBE:
                raise UnsupportedError(
                    "scalar code and the cube core wait for each other, which has no printed form "
                    "in Ascend C yet",
                    location=event.location,
                )
    return replace(
        program,
        prologue=list(_kept(program.prologue, pipes)),
        body=list(_kept(program.body, pipes)),
        epilogue=list(_kept(program.epilogue, pipes)),
    )


def _kept(body: Sequence[Instruction], pipes: frozenset[Pipe]) -> Iterator[Instruction]:
    for instruction in body:
        match instruction:
            case Loop(body=inner):
                made = list(_kept(inner, pipes))
                if _does_something(made):
                    yield replace(instruction, body=made)
            case WhileLoop():
                before = list(_kept(instruction.before, pipes))
                yield replace(instruction, before=before, body=list(_kept(instruction.body, pipes)))
            case Branch():
                then_body = list(_kept(instruction.then_body, pipes))
                else_body = list(_kept(instruction.else_body, pipes))
                if _does_something(then_body) or _does_something(else_body):
                    yield replace(instruction, then_body=then_body, else_body=else_body)
            case _:
                if _belongs(instruction, pipes):
                    yield instruction


def _does_something(body: Sequence[Instruction]) -> bool:
    """A body of scalar code matters for what it leaves in registers, too."""
    return bool(body)


def _belongs(instruction: Instruction, pipes: frozenset[Pipe]) -> bool:
    match instruction:
        case Assign() | Barrier():
            return True
        case SetEvent() | WaitEvent():
            here = instruction.source if isinstance(instruction, SetEvent) else instruction.target
            other = instruction.target if here is instruction.source else instruction.source
            return (here if here is not Pipe.S else other) in pipes
        case ReadLane() | LaneLoop() | LaneMove() | LaneFill():
            return Pipe.V in pipes
        case LaneMemory():
            views = (*instruction.sources, instruction.target)
            on_vector = any(isinstance(view, View) for view in views)
            return Pipe.V in pipes or not (on_vector or not isinstance(instruction.op, ir.Load))
        case _:
            return instruction.pipe in pipes
