"""Events between pipes: every hazard is ordered, and nothing is ordered twice.

Inside one block of instructions, a cross-pipe dependence gets a set behind the one it comes from
and a wait before the one that needs it, unless an earlier wait implies it. A loop, a branch, counts
as one item on all its pipes (`_Item` says what is known of its inside). Dependences from one trip
of a loop to the next get a wait and a set in each trip; a set that the first trip finds, and a wait
for what the last trip leaves, stand around the outermost loop: in between the event stays set.
Where the events of a pair run out, a barrier of all pipes stands in.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace

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
from canopy.targets.ascend.scalars import Poly

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


Pipes = frozenset[Pipe]
_ALL_PIPES: Pipes = frozenset(Pipe)


@dataclass(frozen=True, slots=True)
class _Item:
    """One instruction of a block, with all accesses inside it, one per distinct place.

    ``led``: per access the pipes of which an instruction inside comes before it: what they did
    before the item comes before the access, too. ``weak``: pairs (p, q) where p has done its part
    only after q has, if the inside runs at all; ``strong``: where it surely runs.
    """

    instruction: Instruction
    accesses: tuple[Access, ...]
    led: dict[Access, Pipes]
    weak: frozenset[Pair]
    strong: frozenset[Pair]

    @property
    def is_plain(self) -> bool:
        return not isinstance(self.instruction, Loop | WhileLoop | Branch)


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
    is_late: bool = False
    is_seamless: bool = False


def _item(instruction: Instruction) -> _Item:
    none: frozenset[Pair] = frozenset()
    match instruction:
        case Loop():
            return _loop_item(instruction)
        case Branch():
            return _branch_item(instruction)
        case WhileLoop(before=before, body=body):  # barriers stand around and inside
            inner = [_item(i) for i in (*before, *body)]
            accesses = tuple(dict.fromkeys(a for item in inner for a in item.accesses))
            led = dict.fromkeys(accesses, _ALL_PIPES)
            pairs = frozenset((p, q) for p in Pipe for q in Pipe)
            return _Item(instruction, accesses, led, pairs, pairs)
    return _Item(instruction, tuple(dict.fromkeys(instruction.accesses())), {}, none, none)


def _loop_item(loop: Loop) -> _Item:
    items = [_item(i) for i in loop.body]
    _, clocks = _edges(items, True, False)
    led = _led(items, clocks)
    weak = _finished(items, clocks, len(items))
    is_sure = _runs(loop)
    last = {a.pipe: item for item in items for a in item.accesses}
    strong = frozenset(pair for pair in weak if is_sure and all(last[p].is_plain for p in pair))
    return _Item(loop, tuple(led), led, weak, strong)


def _branch_item(branch: Branch) -> _Item:
    arms = [branch.then_body] if branch.is_rare else [branch.then_body, branch.else_body]
    led: dict[Access, Pipes] = {}
    pairs: frozenset[Pair] = frozenset((p, q) for p in Pipe for q in Pipe)
    for arm in arms:
        items = [_item(i) for i in arm]
        _, clocks = _edges(items, False, False)
        for access, pipes in _led(items, clocks).items():
            led[access] = led.get(access, pipes) & pipes
        busy = {a.pipe for item in items for a in item.accesses}
        idle = frozenset((p, q) for p in Pipe for q in Pipe if q not in busy)
        pairs &= _finished(items, clocks, 0) | idle
    return _Item(branch, tuple(led), led, pairs, frozenset())


def _runs(loop: Loop) -> bool:
    """Whether a loop surely has a trip."""
    bounds = [
        value.number if isinstance(value, Poly) else None for value in (loop.lower, loop.upper)
    ]
    return bounds[0] is not None and bounds[1] is not None and bounds[0] < bounds[1]


def _led(items: list[_Item], clocks: _Clocks) -> dict[Access, Pipes]:
    first_of: dict[Pipe, int] = {}
    led: dict[Access, Pipes] = {}
    for step, item in enumerate(items):
        for access in item.accesses:
            if access in led:
                continue
            known = clocks.started[step, access.pipe]
            before = {p for p, first in first_of.items() if known[p] >= first}
            led[access] = frozenset(before) | item.led.get(access, frozenset())
        if item.is_plain:
            for access in item.accesses:
                first_of.setdefault(access.pipe, step)
    return led


def _finished(items: list[_Item], clocks: _Clocks, offset: int) -> frozenset[Pair]:
    """(p, q): when p has done the block, it knows that q has."""
    last = {a.pipe: step for step, item in enumerate(items) for a in item.accesses}
    return frozenset(
        (p, q)
        for p, here in last.items()
        for q, there in last.items()
        if clocks.at[offset + here, p][q] >= offset + there
    )


class _Ordering:
    def __init__(self, events: int) -> None:
        self._events = events

    def block(
        self,
        body: list[Instruction],
        taken: Events,
        carried: bool = False,
        is_grid: bool = False,
        is_lasting: bool = False,
        never: Events | None = None,
    ) -> _Ordered:
        """The block with events; ``taken`` are those that it must not use. ``is_lasting``: what
        loops inside need around them may stand around the block; events that stay set must not be
        among ``never``, which others use at other times."""
        items = [_item(i) for i in body]
        if carried:
            made = self._trips(items, taken, is_grid, never or {})
            if made is not None:
                return made
        edges, clocks = _edges(items, False, is_grid)
        numbers = _Numbers(self._events, taken, never or {}, clocks.at, items, False)
        made = self._emit(items, edges, numbers, is_lasting or carried)
        if carried:  # one trip after the other
            made.body.append(Barrier())
        return made

    def _trips(
        self, items: list[_Item], taken: Events, is_grid: bool, never: Events
    ) -> _Ordered | None:
        """A loop whose trips overlap; None where an event might be set for a trip before its wait
        in the one before is over, as where a branch that orders them is not taken."""
        edges, clocks = _edges(items, True, is_grid)
        count = len(items)
        numbers = _Numbers(self._events, taken, never, clocks.at, items, True)
        for edge in edges:
            then = edge.then + (count if edge.carried else 0)
            if not numbers.knows(edge.pair, count + edge.first, then):
                return None
        if not all(numbers.hold(edge) for edge in edges if edge.carried):
            return None
        made = self._emit(items, edges, numbers, True)
        return made if numbers.repeats() else None

    def _emit(
        self, items: list[_Item], edges: list[_Edge], numbers: _Numbers, is_lasting: bool
    ) -> _Ordered:
        insides = []
        before: list[Instruction] = []
        after: list[Instruction] = []
        for position, item in enumerate(items):
            taken, never = numbers.taken_at(position), numbers.never()
            made = self._inside(item.instruction, taken, is_lasting, never)
            before += made.before
            after += made.after
            numbers.last([i for i in made.before if isinstance(i, SetEvent)])
            numbers.note(made, position)
            insides.append(made.body)
        body: list[Instruction] = []
        for position, item in enumerate(items):
            location = item.instruction.location
            if position in numbers.barriers:
                body.append(Barrier(location=location))
            given = [edge for edge in edges if edge.event >= 0]
            body += _waits(given, position, location)
            body += insides[position]
            for edge in edges:
                if edge.first == position and not edge.carried:
                    numbers.give(edge)
            given = [edge for edge in edges if edge.event >= 0]
            body += _sets(given, position, location)
        around = [edge for edge in edges if edge.carried]
        return _Ordered(
            [*before, *_boundary(around, items, SetEvent)],
            body,
            [*after, *_boundary(around, items, WaitEvent)],
            numbers.used(),
            numbers.late,
            passing=numbers.passing,
        )

    def _inside(
        self, instruction: Instruction, taken: Events, is_lasting: bool, never: Events
    ) -> _Ordered:
        match instruction:
            case Loop():
                made = self.block(instruction.body, taken, carried=True, never=never)
                body: list[Instruction] = [replace(instruction, body=made.body)]
                lasting = _events_of(made.before)
                if is_lasting and self._has_room(_merged(taken, lasting), lasting):
                    return replace(made, body=body, seamless=made.used)
                around = [*made.before, *body, *made.after]
                late = _merged(made.late, lasting)
                return _Ordered([], around, [], made.used, late, made.used, made.passing)
            case Branch():
                return self._arms(instruction, taken, is_lasting, never)
            case WhileLoop():
                one = self.block(instruction.before, taken, is_lasting=is_lasting, never=never)
                held, never = _merged(taken, _events_of(one.before)), _merged(never, one.used)
                other = self.block(instruction.body, held, is_lasting=is_lasting, never=never)
                loop = replace(
                    instruction, before=[*one.body, Barrier()], body=[*other.body, Barrier()]
                )
                before, after = [*one.before, *other.before], [*one.after, *other.after]
                body = [Barrier(location=instruction.location), loop]
                passing = _merged(one.used, other.used)
                return _Ordered(before, body, after, _events_of(before), {}, passing=passing)
        return _Ordered([], [instruction], [], {}, {})

    def _has_room(self, taken: Events, lasting: Events) -> bool:
        return all(len(taken[pair]) <= self._events * 5 // 8 for pair in lasting)

    def _arms(self, branch: Branch, taken: Events, is_lasting: bool, never: Events) -> _Ordered:
        """Both arms; what stands between barriers is over when they are."""
        one = self.block(branch.then_body, taken, is_lasting=is_lasting, never=never)
        held, never = _merged(taken, _events_of(one.before)), _merged(never, one.used)
        if branch.is_rare:
            rare = self.block(branch.else_body, held)
            body = rare.body
            if body:
                body = [Barrier(location=branch.location), *body, Barrier(location=branch.location)]
            made: list[Instruction] = [replace(branch, then_body=one.body, else_body=body)]
            over = _merged(rare.used, rare.passing)
            return replace(one, body=made, passing=_merged(one.passing, over))
        other = self.block(branch.else_body, held, is_lasting=is_lasting, never=never)
        return _Ordered(
            [*one.before, *other.before],
            [replace(branch, then_body=one.body, else_body=other.body)],
            [*one.after, *other.after],
            _merged(one.used, other.used),
            _merged(one.late, other.late),
            _both(one, other),
            _merged(one.passing, other.passing),
        )


def _both(one: _Ordered, other: _Ordered) -> Events:
    """What is seamless in each of two arms that uses it."""
    none: frozenset[int] = frozenset()
    found: Events = {}
    for pair in {*one.used, *other.used}:
        rough = [made.used.get(pair, none) - made.seamless.get(pair, none) for made in (one, other)]
        either = one.seamless.get(pair, none) | other.seamless.get(pair, none)
        found[pair] = either - rough[0] - rough[1]
    return found


def _events_of(body: list[Instruction]) -> Events:
    found: Events = {}
    for event in body:
        if isinstance(event, SetEvent):
            pair = (event.source, event.target)
            found[pair] = found.get(pair, frozenset()) | {event.event}
    return found


@dataclass(slots=True)
class _Ordered:
    """What stands before an item, the item with its events, what stands behind, and the events."""

    before: list[Instruction]
    body: list[Instruction]
    after: list[Instruction]
    used: Events
    late: Events  # of these, the ones that are waited for behind the last instruction of a pipe
    seamless: Events = field(default_factory=dict)  # a next run finds them as a next trip does
    passing: Events = field(default_factory=dict)  # used between barriers, and over with them


class _Numbers:
    """The events of one block. An event may be set again only where the pipe that sets it knows
    that the other has waited for it; in a loop, also from one trip to the next."""

    def __init__(
        self,
        events: int,
        taken: Events,
        never: Events,
        known: dict[tuple[int, Pipe], dict[Pipe, int]],
        items: list[_Item],
        carried: bool,
    ) -> None:
        self._events = events
        self._taken = taken
        self._never = never
        self._known = known
        self._count = len(items) if carried else 0  # 0 where there is no next trip
        self._weak = [item.weak for item in items]
        self.late: Events = {}
        self.passing: Events = {}
        self._uses: dict[Pair, list[_Use]] = defaultdict(list)
        self._held: dict[Pair, set[int]] = defaultdict(set)
        self.barriers: set[int] = set()

    def hold(self, edge: _Edge) -> bool:
        """An event for all of a loop; some stay free for what is inside."""
        unfree = self._taken.get(edge.pair, frozenset()) | self.never().get(edge.pair, frozenset())
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

    def never(self) -> Events:
        """What an event that stays set must not be."""
        return _merged(_merged(self._never, self.passing), self.used())

    def last(self, sets: list[SetEvent]) -> None:
        """Events that stay set between two runs of a loop inside: nobody else may use them."""
        for event in sets:
            self._held[event.source, event.target].add(event.event)

    def note(self, made: _Ordered, position: int) -> None:
        self.late = _merged(self.late, made.late)
        self.passing = _merged(self.passing, made.passing)
        none: frozenset[int] = frozenset()
        for pair, events in made.used.items():
            late, seamless = made.late.get(pair, none), made.seamless.get(pair, none)
            self._uses[pair] += [
                _Use(e, position, position, e in late, e in seamless and e not in late)
                for e in events - self._held[pair]
            ]

    def repeats(self) -> bool:
        """Whether the next trip may use the same events inside its items."""
        return all(
            use.is_seamless
            or self.knows(pair, self._count + use.first, use.last)
            or self._is_inside(pair, use)
            for pair, uses in self._uses.items()
            for use in uses
        )

    def _is_inside(self, pair: Pair, use: _Use) -> bool:
        """Whether an event is used inside one item, and its last wait known when that is done."""
        is_one = use.first == use.last and not use.is_late
        return is_one and pair in self._weak[use.first]

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
        is_inside = first > use.last and self._is_inside(pair, use)
        if not (is_behind_barrier or is_inside or self.knows(pair, first, use.last)):
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
        self.started: dict[tuple[int, Pipe], dict[Pipe, int]] = {}

    def note(self, step: int, pipes: set[Pipe], strong: frozenset[Pair]) -> None:
        """Item ``step`` was issued: what its pipes know when they have done it."""
        before = {pipe: self.known[pipe] for pipe in pipes}
        for pipe in pipes:
            self.started[step, pipe] = before[pipe]
            known = {**before[pipe], pipe: step}
            for one, other in strong:
                if one is pipe and other in pipes:
                    told = {**before[other], other: step}
                    known = {p: max(known[p], told[p]) for p in known}
            self.known[pipe] = known
            self.at[step, pipe] = known

    def learn(self, source: Pipe, first: int, target: Pipe) -> None:
        told = self.at[first, source]
        known = dict(self.known[target])
        for pipe, step in told.items():
            known[pipe] = max(known[pipe], step)
        self.known[target] = known


def _edges(items: list[_Item], carried: bool, is_grid: bool) -> tuple[list[_Edge], _Clocks]:
    """The dependences of a block (of two trips of it, if carried), and what each pipe knows when
    it starts an item."""
    clocks = _Clocks()
    history: list[tuple[int, Access]] = []
    edges: list[_Edge] = []
    seen: set[tuple[Pair, int, int, bool]] = set()
    count = len(items)
    for step in range(count * (2 if carried else 1)):
        item = items[step % count]
        is_loop = isinstance(item.instruction, Loop | WhileLoop)
        needs: dict[Pair, int] = {}
        for access in item.accesses:
            led = item.led.get(access, frozenset())
            for earlier, other in history:
                if other.pipe is access.pipe or not access.conflicts(other):
                    continue
                if other.pipe in led or (is_loop and earlier == step - count):
                    continue  # the order inside does it
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
        clocks.note(step, {access.pipe for access in item.accesses}, item.strong)
        history = _remember(history, step, item.accesses)
    return edges, clocks


def _remember(
    history: list[tuple[int, Access]], step: int, accesses: tuple[Access, ...]
) -> list[tuple[int, Access]]:
    """The history with the new accesses in the place of equal older ones."""
    fresh = set(accesses)
    return [(s, a) for s, a in history if a not in fresh] + [(step, a) for a in accesses]
