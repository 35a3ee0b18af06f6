"""Where registers are declared in the text: where they are first set, if all that reads them is
behind that in the same block; else at the start of the block around all of it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from typing import Any

from canopy.targets.ascend.npu import (
    Assign,
    Branch,
    Instruction,
    LaneMemory,
    Loop,
    Program,
    ReadLane,
    WhileLoop,
)
from canopy.targets.ascend.scalars import Poly, Register
from canopy.targets.ascend.text.handover import Handover

__all__ = ["Declarations", "registers_in", "registers_of", "target_of"]

_Path = tuple[int, ...]  # ids of the bodies around an instruction, outermost first


class Declarations:
    def __init__(self, program: Program) -> None:
        self._paths: dict[Register, list[_Path]] = {}
        self._sets: dict[Register, list[Instruction]] = {}
        self._reads_first: set[Register] = set()
        self._seen_set: set[Register] = set()
        for body in (program.prologue, program.body, program.epilogue):
            self._walk(body, ())
        self._given = {*program.parameters, *program.program, *program.grid}
        self.used = set(self._paths)
        self._inline: dict[int, set[Register]] = {}
        self._at_start: dict[int, list[Register]] = {}
        for register in self._paths:
            if register in self._sets and register not in self._given:
                self._place(register)

    def _walk(self, body: Sequence[Instruction], outer: _Path) -> None:
        path = (*outer, id(body))
        for instruction in body:
            target = target_of(instruction)
            for register in registers_of(instruction):
                if register is not target or _reads(instruction, register):
                    self._note(register, path)
                    if register not in self._seen_set:
                        self._reads_first.add(register)
            if target is not None:
                self._note(target, path)
                self._seen_set.add(target)
                self._sets.setdefault(target, []).append(instruction)
            if isinstance(instruction, Loop):
                self._seen_set.add(instruction.index)
            for inner in _bodies(instruction):
                self._walk(inner, path)

    def _note(self, register: Register, path: _Path) -> None:
        self._paths.setdefault(register, []).append(path)

    def _place(self, register: Register) -> None:
        paths = self._paths[register]
        around = paths[0]
        for path in paths[1:]:
            around = around[: _common(around, path)]
        first = self._sets[register][0]
        if paths[0] == around and register not in self._reads_first:
            self._inline.setdefault(id(first), set()).add(register)
        else:
            self._at_start.setdefault(around[-1] if around else 0, []).append(register)

    def declares(self, instruction: Instruction, register: Register) -> bool:
        """Whether this instruction is where the register is declared."""
        return register in self._inline.get(id(instruction), ())

    def is_constant(self, register: Register) -> bool:
        """Set once, or given by the launch or a loop."""
        return len(self._sets.get(register, ())) <= 1

    def at_start(self, body: Sequence[Instruction]) -> list[Register]:
        return self._at_start.get(id(body), [])


def _common(left: _Path, right: _Path) -> int:
    count = 0
    for a, b in zip(left, right, strict=False):
        if a != b:
            break
        count += 1
    return count


def target_of(instruction: Instruction) -> Register | None:
    """The register that an instruction sets, if it sets one."""
    if isinstance(instruction, Handover) and not instruction.gives:
        return instruction.register
    if isinstance(instruction, Assign | ReadLane):
        return instruction.target
    if isinstance(instruction, LaneMemory) and isinstance(instruction.target, Register):
        return instruction.target
    return None


def _reads(instruction: Instruction, register: Register) -> bool:
    sources = getattr(instruction, "sources", ())
    return register in set(registers_in(sources))


def _bodies(instruction: Instruction) -> Iterator[Sequence[Instruction]]:
    match instruction:
        case Loop(body=body):
            yield body
        case WhileLoop(before=before, body=body):
            yield before
            yield body
        case Branch(then_body=then_body, else_body=else_body):
            yield then_body
            yield else_body


def registers_of(instruction: Instruction) -> Iterator[Register]:
    """All registers that an instruction's own fields mention."""
    for field in dataclasses.fields(instruction):
        if field.name not in ("body", "before", "then_body", "else_body", "op", "location"):
            yield from registers_in(getattr(instruction, field.name))


def registers_in(value: Any) -> Iterator[Register]:
    if isinstance(value, Register):
        yield value
    elif isinstance(value, Poly):
        for monomial, _ in value.terms:
            yield from monomial
    elif isinstance(value, tuple):
        for item in value:
            yield from registers_in(item)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            if field.name not in ("type", "space"):
                yield from registers_in(getattr(value, field.name))
