"""What cores did, as a compressed list: the input of the timing model.

A core's list holds steps (an instruction and how much it handled) and repeats of blocks of them:

    [7, 8, 9, repeat 31 x [10, 11, 12], 13]

Equal trips of a loop and equal programs of the grid are kept once; whatever runs the program calls
`step` for each instruction, `begin` and `end` around loops, trips and programs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from canopy.targets.ascend.costs import Amount, is_fixed, measure
from canopy.targets.ascend.npu import Instruction

__all__ = ["CoreTrace", "Item", "Recorder", "Trace", "moves_user_memory"]

Block = tuple[int, ...]  # steps by number; a negative number n is the repeat ~n


class Item(NamedTuple):
    """A part of the user's memory that a program goes through: where it begins, how many bytes it
    has, how many are moved (again and again, perhaps)."""

    address: int
    bytes: int
    moved: int
    is_written: bool


@dataclass(frozen=True, slots=True)
class CoreTrace:
    """``count`` cores that do the same."""

    block: int
    count: int
    programs: int


@dataclass(slots=True)
class Trace:
    """All that was recorded of one launch. ``items`` are of each program in the order of the grid,
    of some programs only in timing mode; with the number of the copy that moves them."""

    steps: list[tuple[Instruction, Amount]] = field(default_factory=list)
    blocks: list[Block] = field(default_factory=list)
    repeats: list[tuple[int, int]] = field(default_factory=list)
    cores: list[CoreTrace] = field(default_factory=list)
    items: list[dict[int, Item]] = field(default_factory=list)
    wave: int = 1  # programs that run at the same time

    def counts(self) -> list[list[int]]:
        """How often each step happens on a core, per entry of ``cores``."""
        made: dict[int, dict[int, int]] = {}
        return [self._count(core.block, made) for core in self.cores]

    def _count(self, block: int, made: dict[int, dict[int, int]]) -> list[int]:
        totals = [0] * len(self.steps)
        for number, count in self._of_block(block, made).items():
            totals[number] = count
        return totals

    def _of_block(self, block: int, made: dict[int, dict[int, int]]) -> dict[int, int]:
        if block in made:
            return made[block]
        found: dict[int, int] = {}
        for node in self.blocks[block]:
            if node >= 0:
                found[node] = found.get(node, 0) + 1
                continue
            inner, times = self.repeats[~node]
            for number, count in self._of_block(inner, made).items():
                found[number] = found.get(number, 0) + count * times
        made[block] = found
        return found


def moves_user_memory(instruction: Instruction) -> bool:
    """Whether this is a block copy from or to the user's arrays."""
    return getattr(instruction, "pointer", None) is not None


class Recorder:
    """Writes a `Trace`."""

    def __init__(self) -> None:
        self.trace = Trace()
        self._steps: dict[tuple[int, Amount], int] = {}
        self._blocks: dict[Block, int] = {}
        self._repeats: dict[tuple[int, int], int] = {}
        self._open: list[list[int]] = [[]]
        self._touched: dict[int, dict[int, int]] = {}
        self._moved: dict[int, int] = {}
        self._fixed: dict[int, int] = {}
        self._copies: dict[int, Instruction] = {}

    def step(self, instruction: Instruction, registers: Sequence[Any]) -> None:
        """An instruction, before it takes effect."""
        number = self._fixed.get(id(instruction))
        if number is not None:
            self._open[-1].append(number)
            return
        amount = measure(instruction, registers)
        number = self._number(instruction, amount)
        self._open[-1].append(number)
        if is_fixed(type(instruction)):
            self._fixed[id(instruction)] = number
        if moves_user_memory(instruction):
            key = id(instruction)
            self._copies[key] = instruction
            address = instruction.address.value(registers)  # type: ignore[attr-defined]
            self._touched.setdefault(key, {})[address] = amount.bytes
            self._moved[key] = self._moved.get(key, 0) + amount.bytes

    def _number(self, instruction: Instruction, amount: Amount) -> int:
        key = (id(instruction), amount)
        number = self._steps.get(key)
        if number is None:
            number = self._steps[key] = len(self.trace.steps)
            self.trace.steps.append((instruction, amount))
        return number

    def begin(self) -> None:
        self._open.append([])

    def end(self) -> int:
        """The number of the block since `begin`."""
        return self.block(tuple(self._open.pop()))

    def abandon(self) -> None:
        """Forgets what was begun and not ended."""
        del self._open[1:]
        self.items()

    def block(self, nodes: Block) -> int:
        number = self._blocks.get(nodes)
        if number is None:
            number = self._blocks[nodes] = len(self.trace.blocks)
            self.trace.blocks.append(nodes)
        return number

    def repeat(self, block: int, count: int = 1) -> None:
        """``block`` happens ``count`` times."""
        if count:
            self._open[-1].append(self._repeat(block, count))

    def _repeat(self, block: int, count: int) -> int:
        key = (block, count)
        number = self._repeats.get(key)
        if number is None:
            number = self._repeats[key] = len(self.trace.repeats)
            self.trace.repeats.append(key)
        return ~number

    def pair(self, blocks: Sequence[int]) -> int:
        """A block that is these blocks one after another."""
        return self.block(tuple(self._repeat(block, 1) for block in blocks))

    def sequence(self, blocks: Sequence[int]) -> None:
        """Blocks one after another, of which neighbours, or pairs of them, are often equal."""
        place = 0
        while place < len(blocks):
            period, count = _run_at(blocks, place)
            if period == 1:
                self.repeat(blocks[place], count)
            else:
                self.repeat(self.pair(blocks[place : place + period]), count)
            place += period * count

    def items(self) -> dict[int, Item]:
        """What was moved since the last call, per copy."""
        found = {}
        for key, places in self._touched.items():
            is_written = any(writes for _, writes in self._copies[key].groups())
            first, size = next(iter(places)), sum(places.values())
            found[key] = Item(first, size, self._moved[key], is_written)
        self._touched.clear()
        self._moved.clear()
        return found


def _run_at(blocks: Sequence[int], place: int) -> tuple[int, int]:
    """(period, count) of the run that begins here; periods of one and two are looked for."""
    for period in (1, 2):
        count = _count(blocks, place, period)
        if count > 1:
            return period, count
    return 1, 1


def _count(blocks: Sequence[int], place: int, period: int) -> int:
    end = place + period
    while end < len(blocks) and blocks[end] == blocks[end - period]:
        end += 1
    return (end - place) // period
