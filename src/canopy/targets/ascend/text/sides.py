"""A mixed program's two sides: what the cube core runs, and what its vector core does.

Both run the scalar code and the control; each has its own instructions. An event between pipes of
the two becomes a flag between cores, a barrier of all pipes a meeting of both. A scalar that only
the vector core can know is handed over through global memory.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

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
    bodies,
    walk,
    with_bodies,
)
from canopy.targets.ascend.scalars import Register
from canopy.targets.ascend.text.handover import Handover
from canopy.targets.ascend.text.registers import registers_in, registers_of, target_of

__all__ = ["crossing_flags", "crossing_text", "is_crossing", "pruned", "sides"]

_Registers: TypeAlias = frozenset[Register] | set[Register]
CUBE = frozenset({Pipe.C_MTE2, Pipe.MTE1, Pipe.M, Pipe.FIX})
VECTOR = frozenset({Pipe.MTE2, Pipe.V, Pipe.MTE3})
_Event: TypeAlias = tuple[Pipe, Pipe, int]
_FLAGS = 9  # of 0 to 10; 9 and 10 are for meetings, and 7 and 8 for scalars where there are some
_FLAGS_BESIDE_SCALARS = 7


def is_crossing(event: SetEvent | WaitEvent) -> bool:
    """Whether the event's pipes are on different cores; scalar code is the vector core's."""
    pipes = {event.source, event.target}
    return bool(pipes & CUBE) and bool(pipes - CUBE)


def crossing_flags(program: Program) -> dict[_Event, int]:
    """The flags between cores that stand for events, by pipes and event."""
    return {event: flag for flag, event in enumerate(_crossing_events(program.body))}


def _crossing_events(body: Sequence[Instruction], depth: int = 0) -> dict[_Event, int]:
    """The events between cores, and how deep in loops each is waited for."""
    found: dict[_Event, int] = {}
    for instruction in body:
        if isinstance(instruction, WaitEvent) and is_crossing(instruction):
            key = _key(instruction)
            found[key] = max(found.get(key, 0), depth)
        is_loop = isinstance(instruction, Loop | WhileLoop)
        for _, inner in bodies(instruction):
            for key, deep in _crossing_events(inner, depth + is_loop).items():
                found[key] = max(found.get(key, 0), deep)
    return found


def _key(event: SetEvent | WaitEvent) -> _Event:
    return event.source, event.target, event.event


def _within_flags(program: Program, most: int) -> Program:
    """The program with ``most`` events between cores at most: where others are waited for, in the
    outermost loops, both cores meet."""
    events = _crossing_events(program.body)
    surplus = set(sorted(events, key=lambda key: -events[key])[most:])
    if not surplus:
        return program

    def changed(body: Sequence[Instruction]) -> Iterator[Instruction]:
        for instruction in body:
            if not isinstance(instruction, SetEvent | WaitEvent):
                yield with_bodies(instruction, lambda inner: list(changed(inner)))
            elif _key(instruction) not in surplus:
                yield instruction
            elif isinstance(instruction, WaitEvent):
                yield Barrier(location=instruction.location)

    parts = [list(changed(b)) for b in (program.prologue, program.body, program.epilogue)]
    return replace(program, prologue=parts[0], body=parts[1], epilogue=parts[2])


def crossing_text(event: SetEvent | WaitEvent, flag: int, core: str) -> list[str]:
    """The statements of one side of an event between cores.

    Scalar code sets no flag itself (CrossCoreSetFlag takes PIPE_S on the 950 alone): a barrier
    stands before it. Both cores run loads of scalars, so a barrier orders the cube core's own.
    """
    barrier = "PipeBarrier<PIPE_ALL>();"
    if isinstance(event, SetEvent):
        if event.source is not Pipe.S:
            return [f"CrossCoreSetFlag<2, PIPE_{event.source.value.removeprefix('C_')}>({flag});"]
        return [barrier, f"CrossCoreSetFlag<2, PIPE_MTE3>({flag});"]
    if event.target is Pipe.S and core == "AIC":
        return [barrier]
    waits = [f"CrossCoreWaitFlag({flag});"]
    return [*waits, barrier] if event.source is Pipe.S else waits


def sides(program: Program) -> tuple[Program, Program, Program]:
    """What the cube core runs, what the vector core runs, and the program both were made from."""
    program = _within_flags(program, _FLAGS)
    cube = pruned(_side(program, CUBE))
    missing = _read(cube) - _set(cube)
    if not missing:
        return cube, pruned(_side(program, VECTOR)), program
    program = _within_flags(program, _FLAGS_BESIDE_SCALARS)
    cube = pruned(_side(program, CUBE, missing))
    if unknown := _read(cube) - _set(cube):
        raise UnsupportedError(
            f"the cube core needs {next(iter(unknown))}, which only the vector core knows",
            location=program.kernel.location,
        )
    return cube, pruned(_side(program, VECTOR, missing)), program


def _side(program: Program, pipes: frozenset[Pipe], shared: _Registers = frozenset()) -> Program:
    """The program with the instructions of one side alone; ``shared`` are handed over."""
    return replace(
        program,
        prologue=list(_kept(program.prologue, pipes, shared)),
        body=list(_kept(program.body, pipes, shared)),
        epilogue=list(_kept(program.epilogue, pipes, shared)),
    )


def _kept(
    body: Sequence[Instruction], pipes: frozenset[Pipe], shared: _Registers
) -> Iterator[Instruction]:
    for instruction in body:
        if isinstance(instruction, Loop | WhileLoop | Branch):
            yield with_bodies(instruction, lambda inner: list(_kept(inner, pipes, shared)))
            continue
        if _belongs(instruction, pipes):
            yield instruction
        target = target_of(instruction)
        if target in shared and not _belongs(instruction, CUBE):
            assert target is not None
            yield Handover(register=target, gives=pipes == VECTOR, location=instruction.location)


def _belongs(instruction: Instruction, pipes: frozenset[Pipe]) -> bool:
    match instruction:
        case Assign() | Barrier():
            return True
        case WaitEvent(target=Pipe.S) if is_crossing(instruction):
            return True
        case SetEvent() | WaitEvent():
            here = instruction.source if isinstance(instruction, SetEvent) else instruction.target
            other = instruction.target if here is instruction.source else instruction.source
            if is_crossing(instruction):
                return (here in CUBE) == (pipes == CUBE)
            return (here if here is not Pipe.S else other) in pipes
        case ReadLane() | LaneLoop() | LaneMove() | LaneFill():
            return Pipe.V in pipes
        case LaneMemory():
            views = (*instruction.sources, instruction.target)
            on_vector = any(isinstance(view, View) for view in views)
            return Pipe.V in pipes or not (on_vector or not isinstance(instruction.op, ir.Load))
        case _:
            return instruction.pipe in pipes


# ---- scalar code that nothing needs


def pruned(program: Program) -> Program:
    """Without assignments that nothing reads, and without empty control."""
    while True:
        needed = _needed(program)
        parts = [
            list(_live(body, needed)) for body in (program.prologue, program.body, program.epilogue)
        ]
        before = sum(1 for _ in _all(program))
        program = replace(program, prologue=parts[0], body=parts[1], epilogue=parts[2])
        if sum(1 for _ in _all(program)) == before:
            return program


def _all(program: Program) -> Iterator[Instruction]:
    return walk([*program.prologue, *program.body, *program.epilogue])


def _needed(program: Program) -> set[Register]:
    """What instructions other than assignments read, and what is assigned to it from."""
    needed: set[Register] = set()
    assigns: dict[Register, list[Assign]] = {}
    for instruction in _all(program):
        if isinstance(instruction, Assign):
            assigns.setdefault(instruction.target, []).append(instruction)
        else:
            needed |= set(_read_by(instruction, program))
    waiting = list(needed)
    while waiting:
        for assign in assigns.get(waiting.pop(), ()):
            new = set(_read_by(assign, program)) - needed
            needed |= new
            waiting += new
    return needed


def _read_by(instruction: Instruction, program: Program) -> Iterator[Register]:
    """What an instruction itself reads, without what stands inside it."""
    if isinstance(instruction, Assign):
        yield from registers_in(instruction.sources)
        return
    target = target_of(instruction)
    yield from (r for r in registers_of(instruction) if r is not target)
    op = getattr(instruction, "op", None)
    for region in op.regions if op is not None else ():
        for inner in region.ops:
            yield from registers_in(tuple(program.scalars.get(v) for v in inner.operands))


def _live(body: Sequence[Instruction], needed: set[Register]) -> Iterator[Instruction]:
    for instruction in body:
        if isinstance(instruction, Assign) and instruction.target not in needed:
            continue
        kept = with_bodies(instruction, lambda inner: list(_live(inner, needed)))
        is_empty = isinstance(kept, Loop | Branch) and not any(b for _, b in bodies(kept))
        if not is_empty:
            yield kept


def _read(program: Program) -> set[Register]:
    return {r for i in _all(program) for r in _read_by(i, program)}


def _set(program: Program) -> set[Register]:
    made = {*program.parameters, *program.program, *program.grid}
    for instruction in _all(program):
        target = target_of(instruction)
        if target is not None:
            made.add(target)
        if isinstance(instruction, Loop):
            made.add(instruction.index)
        if isinstance(instruction, Handover):
            made.add(instruction.register)
    return made
