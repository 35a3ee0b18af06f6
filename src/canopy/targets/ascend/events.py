"""Events between pipes: every hazard is ordered, and nothing is ordered twice.

Inside one block of instructions, a cross-pipe dependence gets a set behind the one it comes from
and a wait before the one that needs it, unless an earlier wait implies it. A loop, a branch, counts
as one item on all its pipes. Dependences from one trip of a loop to the next get a set before the
loop (the first trip finds it), a wait and a set in each trip, and a wait behind the loop. Where the
events of a pair run out, a barrier of all pipes stands in.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

from canopy.errors import Location
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import (
    Access,
    Barrier,
    Branch,
    Instruction,
    Loop,
    Pipe,
    Program,
    SetEvent,
    WaitEvent,
    WhileLoop,
)

__all__ = ["add_events"]

Pair = tuple[Pipe, Pipe]


def add_events(program: Program, chip: Chip) -> Program:
    """``program`` with its events. The programs of a grid that one core runs follow each other as
    the trips of a loop do, but no order is kept between what they do to the user's arrays."""
    ordering = _Ordering(chip.events_per_pipe_pair)
    before, body, after = ordering.block(program.body, _Used(), carried=True, is_grid=True)
    return replace(program, body=body, prologue=before, epilogue=after)


@dataclass(slots=True)
class _Item:
    """One instruction of a block, with all accesses inside it, one per distinct place."""

    instruction: Instruction
    accesses: tuple[Access, ...]


@dataclass(slots=True)
class _Edge:
    """``source`` pipe at item ``first`` before ``target`` pipe at item ``then``."""

    pair: Pair
    first: int
    then: int
    carried: bool
    event: int = -1


@dataclass(slots=True)
class _Used:
    """Events that are held around a block."""

    events: dict[Pair, frozenset[int]] = field(default_factory=dict)

    def of(self, pair: Pair) -> frozenset[int]:
        return self.events.get(pair, frozenset())

    def plus(self, edges: list[_Edge]) -> _Used:
        merged: dict[Pair, set[int]] = defaultdict(set)
        for pair, held in self.events.items():
            merged[pair] |= held
        for edge in edges:
            merged[edge.pair].add(edge.event)
        return _Used({pair: frozenset(held) for pair, held in merged.items()})


def _accesses(instruction: Instruction) -> set[Access]:
    match instruction:
        case Loop(body=body):
            return set().union(*map(_accesses, body)) if body else set()
        case WhileLoop(before=before, body=body):
            return set().union(*map(_accesses, [*before, *body]))
        case Branch(then_body=then_body, else_body=else_body):
            return set().union(*map(_accesses, [*then_body, *else_body]))
    return set(instruction.accesses())


class _Ordering:
    def __init__(self, events: int) -> None:
        self._events = events

    def block(
        self, body: list[Instruction], used: _Used, carried: bool = False, is_grid: bool = False
    ) -> tuple[list[Instruction], list[Instruction], list[Instruction]]:
        """(before the loop, the block with events, behind the loop)"""
        items = [_Item(i, tuple(_accesses(i))) for i in body]
        edges = _edges(items, carried, is_grid)
        barriers = self._number(edges, used)
        kept = [edge for edge in edges if edge.event >= 0]
        loose = [edge for edge in edges if edge.event < 0]
        at_end = any(edge.carried for edge in loose)
        made: list[Instruction] = []
        around = [edge for edge in kept if edge.carried]
        for position, item in enumerate(items):
            if position in barriers:
                made.append(Barrier(location=item.instruction.location))
            made += _waits(kept, position, item.instruction.location)
            spans = [e for e in kept if not e.carried and e.first <= position <= e.then]
            made += self._inside(item.instruction, used.plus(around + spans))
            made += _sets(kept, position, item.instruction.location)
        if at_end:
            made.append(Barrier())
        return _boundary(around, items, SetEvent), made, _boundary(around, items, WaitEvent)

    def _inside(self, instruction: Instruction, used: _Used) -> list[Instruction]:
        match instruction:
            case Loop():
                before, body, after = self.block(instruction.body, used, carried=True)
                return [*before, replace(instruction, body=body), *after]
            case Branch():
                _, then_body, _ = self.block(instruction.then_body, used)
                _, else_body, _ = self.block(instruction.else_body, used)
                return [replace(instruction, then_body=then_body, else_body=else_body)]
            case WhileLoop():
                _, before, _ = self.block(instruction.before, used)
                _, body, _ = self.block(instruction.body, used)
                return [
                    Barrier(location=instruction.location),
                    replace(instruction, before=[*before, Barrier()], body=[*body, Barrier()]),
                ]
        return [instruction]

    def _number(self, edges: list[_Edge], used: _Used) -> set[int]:
        """Gives events to edges; the positions where a barrier must stand for want of one."""
        barriers: set[int] = set()
        held: dict[Pair, list[_Edge]] = defaultdict(list)
        for edge in sorted(edges, key=lambda e: (not e.carried, e.first)):
            taken = set(used.of(edge.pair))
            taken |= {e.event for e in held[edge.pair] if _overlap(e, edge)}
            free = [event for event in range(self._events) if event not in taken]
            if free:
                edge.event = free[0]
                held[edge.pair].append(edge)
            elif not edge.carried:
                barriers.add(edge.then)
        return barriers


def _overlap(left: _Edge, right: _Edge) -> bool:
    if left.carried or right.carried:
        return True
    return left.first <= right.then and right.first <= left.then


def _waits(edges: list[_Edge], position: int, location: Location) -> list[Instruction]:
    return [
        WaitEvent(source=e.pair[0], target=e.pair[1], event=e.event, location=location)
        for e in edges
        if e.then == position
    ]


def _sets(edges: list[_Edge], position: int, location: Location) -> list[Instruction]:
    return [
        SetEvent(source=e.pair[0], target=e.pair[1], event=e.event, location=location)
        for e in edges
        if e.first == position
    ]


def _boundary(
    edges: list[_Edge], items: list[_Item], kind: type[SetEvent] | type[WaitEvent]
) -> list[Instruction]:
    return [
        kind(
            source=e.pair[0],
            target=e.pair[1],
            event=e.event,
            location=items[e.first].instruction.location,
        )
        for e in edges
    ]


class _Clocks:
    """What each pipe knows to be done: per other pipe, the last item."""

    def __init__(self) -> None:
        self.known: dict[Pipe, dict[Pipe, int]] = {p: dict.fromkeys(Pipe, -1) for p in Pipe}
        self.at: dict[tuple[int, Pipe], dict[Pipe, int]] = {}

    def note(self, step: int, pipes: set[Pipe]) -> None:
        """Item ``step`` was issued: what its pipes know when they have done it."""
        for pipe in pipes:
            known = {**self.known[pipe], pipe: step}
            self.known[pipe] = known
            self.at[step, pipe] = known

    def learn(self, source: Pipe, first: int, target: Pipe) -> None:
        told = self.at[first, source]
        known = dict(self.known[target])
        for pipe, step in told.items():
            known[pipe] = max(known[pipe], step)
        self.known[target] = known


def _edges(items: list[_Item], carried: bool, is_grid: bool) -> list[_Edge]:
    clocks = _Clocks()
    history: list[tuple[int, Access]] = []
    edges: list[_Edge] = []
    seen: set[tuple[Pair, int, int, bool]] = set()
    count = len(items)
    for step in range(count * (2 if carried else 1)):
        item = items[step % count]
        needs: dict[Pair, int] = {}
        for access in item.accesses:
            for earlier, other in history:
                if other.pipe is access.pipe or not access.conflicts(other):
                    continue
                crosses = earlier < count <= step
                if crosses and is_grid and isinstance(access.space, str):
                    continue
                pair = (other.pipe, access.pipe)
                needs[pair] = max(needs.get(pair, -1), earlier)
        for pair, earlier in sorted(needs.items(), key=lambda n: -n[1]):
            source, target = pair
            if clocks.known[target][source] >= earlier:
                continue
            crosses = earlier < count <= step
            key = (pair, earlier % count, step % count, crosses)
            if key not in seen:
                seen.add(key)
                edges.append(_Edge(pair, earlier % count, step % count, crosses))
            clocks.learn(source, earlier, target)
        clocks.note(step, {access.pipe for access in item.accesses})
        history = _remember(history, step, item.accesses)
    return edges


def _remember(
    history: list[tuple[int, Access]], step: int, accesses: tuple[Access, ...]
) -> list[tuple[int, Access]]:
    """The history with the new accesses in the place of equal older ones."""
    fresh = set(accesses)
    return [(s, a) for s, a in history if a not in fresh] + [(step, a) for a in accesses]
