"""Events between pipes: every hazard is ordered, and nothing is ordered twice.

Inside one block of instructions, a cross-pipe dependence gets a set behind the one it comes from
and a wait before the one that needs it, unless an earlier wait implies it. A loop, a branch, counts
as one item on all its pipes. Dependences from one trip of a loop to the next get a set before the
loop (the first trip finds it), a wait and a set in each trip, and a wait behind the loop. Where the
events of a pair run out, a barrier of all pipes stands in.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, replace

from canopy.errors import Location
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import (
    ALL_GLOBAL,
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
    walk,
)

__all__ = ["add_events"]

Pair = tuple[Pipe, Pipe]


def add_events(program: Program, chip: Chip) -> Program:
    """``program`` with its events. The programs of a grid that one core runs follow each other as
    the trips of a loop do; between what they do to the user's arrays an order is kept only where
    one program needs it too."""
    ordering = _Ordering(chip.events_per_pipe_pair)
    touched = [pair for i in walk(program.body) for pair in i.groups()]
    shared = {g for g, writes in touched if writes} & {g for g, writes in touched if not writes}
    is_free = not shared and ALL_GLOBAL not in {group for group, _ in touched}
    made = ordering.block(program.body, {}, carried=True, is_grid=is_free)
    return replace(program, body=made.body, prologue=made.before, epilogue=made.after)


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


Events = dict[Pair, frozenset[int]]


@dataclass(frozen=True, slots=True)
class _Use:
    """An event in use from a set behind item ``first`` to the last wait for it, at ``last``."""

    event: int
    first: int
    last: int


def _accesses(instruction: Instruction) -> set[Access]:
    match instruction:
        case Loop(body=body):
            return set().union(*map(_accesses, body)) if body else set()
        case WhileLoop(before=before, body=body):
            return set().union(*map(_accesses, [*before, *body]))
        case Branch(then_body=then_body, else_body=else_body, is_rare=is_rare):
            inside = then_body if is_rare else [*then_body, *else_body]
            return set().union(*map(_accesses, inside))
    return set(instruction.accesses())


class _Ordering:
    def __init__(self, events: int) -> None:
        self._events = events

    def block(
        self,
        body: list[Instruction],
        taken: Events,
        carried: bool = False,
        is_grid: bool = False,
    ) -> _Ordered:
        """The block with events; ``taken`` are those that it must not use."""
        items = [_Item(i, tuple(_accesses(i))) for i in body]
        if carried:
            made = self._trips(items, taken, is_grid)
            if made is not None:
                return made
        edges, known = _edges(items, False, is_grid)
        made = self._emit(items, edges, _Numbers(self._events, taken, known, 0))
        if carried:  # one trip after the other
            made.body.append(Barrier())
        return made

    def _trips(self, items: list[_Item], taken: Events, is_grid: bool) -> _Ordered | None:
        """A loop whose trips overlap; None where an event might be set for a trip before its wait
        in the one before is over, as where a branch that orders them is not taken."""
        edges, known = _edges(items, True, is_grid)
        count = len(items)
        numbers = _Numbers(self._events, taken, known, count)
        for edge in edges:
            then = edge.then + (count if edge.carried else 0)
            if not numbers.knows(edge.pair, count + edge.first, then):
                return None
        if not all(numbers.hold(edge) for edge in edges if edge.carried):
            return None
        made = self._emit(items, edges, numbers)
        return made if numbers.repeats() else None

    def _emit(self, items: list[_Item], edges: list[_Edge], numbers: _Numbers) -> _Ordered:
        around = [edge for edge in edges if edge.carried]
        made: list[Instruction] = []
        for position, item in enumerate(items):
            location = item.instruction.location
            if position in numbers.barriers:
                made.append(Barrier(location=location))
            given = [edge for edge in edges if edge.event >= 0]
            made += _waits(given, position, location)
            inside, inner = self._inside(item.instruction, numbers.taken_at(position))
            made += inside
            numbers.note(inner, position)
            for edge in edges:
                if edge.first == position and not edge.carried:
                    numbers.give(edge)
            given = [edge for edge in edges if edge.event >= 0]
            made += _sets(given, position, location)
        return _Ordered(
            _boundary(around, items, SetEvent),
            made,
            _boundary(around, items, WaitEvent),
            numbers.used(),
        )

    def _inside(self, instruction: Instruction, taken: Events) -> tuple[list[Instruction], Events]:
        match instruction:
            case Loop():
                made = self.block(instruction.body, taken, carried=True)
                loop = replace(instruction, body=made.body)
                return [*made.before, loop, *made.after], made.used
            case Branch():
                one = self.block(instruction.then_body, taken)
                other = self.block(instruction.else_body, taken)
                rare = other.body
                if instruction.is_rare and rare:
                    place = instruction.location
                    rare = [Barrier(location=place), *rare, Barrier(location=place)]
                branch = replace(instruction, then_body=one.body, else_body=rare)
                return [branch], _merged(one.used, other.used)
            case WhileLoop():
                one = self.block(instruction.before, taken)
                other = self.block(instruction.body, taken)
                loop_ = replace(
                    instruction, before=[*one.body, Barrier()], body=[*other.body, Barrier()]
                )
                return [Barrier(location=instruction.location), loop_], _merged(
                    one.used, other.used
                )
        return [instruction], {}


@dataclass(slots=True)
class _Ordered:
    """What stands before a loop, the block with its events, what stands behind, and the events."""

    before: list[Instruction]
    body: list[Instruction]
    after: list[Instruction]
    used: Events


class _Numbers:
    """The events of one block. An event may be set again only where the pipe that sets it knows
    that the other has waited for it; in a loop, also from one trip to the next."""

    def __init__(
        self, events: int, taken: Events, known: dict[tuple[int, Pipe], dict[Pipe, int]], count: int
    ) -> None:
        self._events = events
        self._taken = taken
        self._known = known
        self._count = count  # items of a loop's body; 0 where there is no next trip
        self._uses: dict[Pair, list[_Use]] = defaultdict(list)
        self._held: dict[Pair, set[int]] = defaultdict(set)
        self.barriers: set[int] = set()

    def hold(self, edge: _Edge) -> bool:
        """An event for all of a loop; some stay free for what is inside."""
        unfree = self._taken.get(edge.pair, frozenset()) | self._held[edge.pair]
        free = [event for event in range(self._events) if event not in unfree]
        if len(free) <= self._events // 4:
            return False
        edge.event = free[0]
        self._held[edge.pair].add(edge.event)
        return True

    def give(self, edge: _Edge) -> None:
        unfree = self._unfree(edge.pair, edge.first, edge.then)
        free = [event for event in range(self._events) if event not in unfree]
        if not free:
            self.barriers.add(edge.then)
            return
        edge.event = free[0]
        self._uses[edge.pair].append(_Use(edge.event, edge.first, edge.then))

    def taken_at(self, position: int) -> Events:
        """What the inside of an item must not use."""
        pairs = {*self._taken, *self._held, *self._uses}
        return {pair: frozenset(self._unfree(pair, position, position)) for pair in pairs}

    def note(self, inner: Events, position: int) -> None:
        for pair, events in inner.items():
            self._uses[pair] += [_Use(event, position, position) for event in events]

    def repeats(self) -> bool:
        """Whether the next trip may use the same events inside its items."""
        return all(
            self.knows(pair, self._count + use.first, use.last)
            for pair, uses in self._uses.items()
            for use in uses
        )

    def used(self) -> Events:
        pairs = {*self._held, *self._uses}
        return {
            pair: frozenset(self._held[pair] | {use.event for use in self._uses[pair]})
            for pair in pairs
        }

    def _unfree(self, pair: Pair, first: int, last: int) -> set[int]:
        unfree = set(self._taken.get(pair, frozenset())) | self._held[pair]
        for use in self._uses[pair]:
            if not self._is_over(pair, use, first, last):
                unfree.add(use.event)
        return unfree

    def _is_over(self, pair: Pair, use: _Use, first: int, last: int) -> bool:
        is_behind_barrier = any(use.last < barrier <= first for barrier in self.barriers)
        if not (is_behind_barrier or self.knows(pair, first, use.last)):
            return False
        return not self._count or self.knows(pair, self._count + use.first, last)

    def knows(self, pair: Pair, at: int, item: int) -> bool:
        """Whether the pipe that sets knows, starting ``at``, that the other has done ``item``."""
        source, target = pair
        return self._known.get((at, source), {}).get(target, -1) >= item


def _merged(left: Events, right: Events) -> Events:
    none: frozenset[int] = frozenset()
    return {p: left.get(p, none) | right.get(p, none) for p in {*left, *right}}


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


def _edges(
    items: list[_Item], carried: bool, is_grid: bool
) -> tuple[list[_Edge], dict[tuple[int, Pipe], dict[Pipe, int]]]:
    """The dependences of a block (of two trips of it, if carried), and what each pipe knows when
    it starts an item."""
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
    return edges, clocks.at


def _remember(
    history: list[tuple[int, Access]], step: int, accesses: tuple[Access, ...]
) -> list[tuple[int, Access]]:
    """The history with the new accesses in the place of equal older ones."""
    fresh = set(accesses)
    return [(s, a) for s, a in history if a not in fresh] + [(step, a) for a in accesses]
