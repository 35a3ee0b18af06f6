"""Structures and arrays as values become their fields, so that no rule sees them.

%s = insertvalue {float, float} undef, float %x, 0     ->  %x where %s.0 is extracted
%t = load {float, float}, ptr %p                       ->  two loads
store {float, float} %s, ptr %q                        ->  two stores
A phi or select of structures becomes one per field. What calls and cmpxchg give stays: their rules
keep each part for the extractvalue that reads it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from canopy.errors import UNKNOWN_LOCATION, UnsupportedError
from canopy.frontends.cuda.llvm_types import (
    ArrayType,
    IntType,
    LlvmType,
    PtrType,
    StructType,
    field_offset,
    size_of,
)
from canopy.frontends.cuda.llvm_values import (
    Aggregate,
    Argument,
    Block,
    Instruction,
    LlvmValue,
    Number,
    Undefined,
)

__all__ = ["copy_changed_arguments", "field_path", "split_aggregates"]

Path = tuple[int, ...]
_SPLIT = frozenset({"load", "phi", "select"})
_WHOLE = frozenset({"call", "cmpxchg"})
_GONE = frozenset({"insertvalue", "extractvalue", "freeze"})


def split_aggregates(blocks: list[Block]) -> None:
    """Rewrites the instructions of ``blocks`` in place."""
    if any(_is_aggregate(o) for b in blocks for i in b.instructions for o in (i, *i.operands)):
        _Splitter(blocks).run()


def field_path(instruction: Instruction) -> Path:
    """The indices of an insertvalue or extractvalue."""
    found = re.search(r"((?:, \d+)+)(?:, !.*)?$", instruction.text)
    assert found
    return tuple(int(n) for n in found[1].split(",")[1:])


def _is_aggregate(value: LlvmValue) -> bool:
    return isinstance(value.type, StructType | ArrayType)


def _leaves(type_: LlvmType, offset: int = 0) -> Iterator[tuple[Path, LlvmType, int]]:
    """The scalar fields of a type, with their offsets in bytes."""
    if isinstance(type_, StructType):
        for number, field in enumerate(type_.fields):
            for path, leaf, place in _leaves(field, offset + field_offset(type_, number)):
                yield (number, *path), leaf, place
    elif isinstance(type_, ArrayType):
        for number in range(type_.count):
            start = offset + number * size_of(type_.element)
            for path, leaf, place in _leaves(type_.element, start):
                yield (number, *path), leaf, place
    else:
        yield (), type_, offset


class _Splitter:
    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._parts: dict[tuple[LlvmValue, Path], LlvmValue] = {}
        self._replaced: dict[LlvmValue, LlvmValue] = {}
        self._waiting: list[tuple[Instruction, Instruction, Path]] = []

    def run(self) -> None:
        for block in self._blocks:
            block.instructions = [n for i in block.instructions for n in self._rewritten(i)]
        for whole, part, path in self._waiting:
            chosen = whole.operands[:1] if whole.opcode == "select" else ()
            rest = whole.operands[len(chosen) :]
            part.operands = (*chosen, *(self._part(o, path) for o in rest))
        for block in self._blocks:
            for instruction in block.instructions:
                if instruction.opcode == "extractvalue":
                    continue
                instruction.operands = tuple(map(self._final, instruction.operands))
        self._drop_resolved()

    def _rewritten(self, i: Instruction) -> Iterator[Instruction]:
        if i.opcode == "store" and _is_aggregate(i.operands[0]):
            yield from self._stores(i)
        elif _is_aggregate(i) and i.opcode in _SPLIT:
            yield from self._split(i)
        elif not (_is_aggregate(i) and i.opcode in _GONE):
            yield i

    def _split(self, i: Instruction) -> Iterator[Instruction]:
        for path, type_, offset in _leaves(i.type):
            part = Instruction(type_, i.opcode, (), i.text, i.location, i.block)
            part.incoming = i.incoming
            self._parts[i, path] = part
            if i.opcode == "load":
                place = _advanced(i, i.operands[0], offset)
                part.operands = (place,)
                yield place
            else:
                self._waiting.append((i, part, path))
            yield part

    def _stores(self, i: Instruction) -> Iterator[Instruction]:
        value, pointer = i.operands
        for path, _, offset in _leaves(value.type):
            place = _advanced(i, pointer, offset)
            yield place
            made = Instruction(i.type, "store", (), i.text, i.location, i.block)
            made.operands = (self._lazy(value, path, i), place)
            yield made

    def _lazy(self, value: LlvmValue, path: Path, user: Instruction) -> LlvmValue:
        """A part that may not be known yet: stands for it until the end."""
        type_ = next(leaf for p, leaf, _ in _leaves(value.type) if p == path)
        made = Instruction(type_, "extractvalue", (value,), "", user.location, user.block)
        made.text = "extractvalue , " + ", ".join(map(str, path))
        return made

    def _final(self, value: LlvmValue) -> LlvmValue:
        while isinstance(value, Instruction) and value.opcode == "extractvalue":
            found = self._part(value.operands[0], field_path(value))
            if found is value or (_is_whole(found) and _is_aggregate(found)):
                return value
            value = found
        return value

    def _part(self, value: LlvmValue, path: Path) -> LlvmValue:
        if not path and not _is_aggregate(value):
            return value
        known = self._parts.get((value, path))
        if known is None:
            known = self._parts[value, path] = self._found(value, path)
        return known

    def _found(self, value: LlvmValue, path: Path) -> LlvmValue:
        match value:
            case Aggregate(fields=fields):
                return self._part(fields[path[0]], path[1:])
            case Undefined(type=type_, text=text):
                leaf = next(t for p, t, _ in _leaves(type_) if p[: len(path)] == path)
                return Number(leaf, 0) if text.endswith("zeroinitializer") else Undefined(leaf)
            case Instruction(opcode="insertvalue", operands=(whole, part)):
                place = field_path(value)
                if path[: len(place)] == place:
                    return self._part(part, path[len(place) :])
                return self._part(whole, path)
            case Instruction(opcode="extractvalue", operands=(whole,)):
                return self._part(whole, field_path(value) + path)
            case Instruction(opcode="freeze", operands=(whole,)):
                return self._part(whole, path)
            case Instruction(opcode=opcode) if opcode in _WHOLE:
                made = self._lazy(value, path, value)
                assert isinstance(made, Instruction)
                at = value.block.instructions.index(value)
                value.block.instructions.insert(at + 1, made)
                return made
        location = value.location if isinstance(value, Instruction) else UNKNOWN_LOCATION
        raise UnsupportedError("this use of a structure is not supported yet", location=location)

    def _drop_resolved(self) -> None:
        for block in self._blocks:
            block.instructions = [
                i
                for i in block.instructions
                if i.opcode != "extractvalue" or _is_whole(i.operands[0])
            ]


def _is_whole(value: LlvmValue) -> bool:
    return isinstance(value, Instruction) and value.opcode in _WHOLE


def _advanced(user: Instruction, pointer: LlvmValue, offset: int) -> Instruction:
    made = Instruction(pointer.type, "getelementptr", (), "", user.location, user.block)
    made.operands = (pointer, Number(IntType(64), offset))
    made.source_type = IntType(8)
    return made


# ---- structures passed by value

_MOVES = frozenset({"getelementptr", "addrspacecast", "phi", "select", "freeze"})


def copy_changed_arguments(arguments: tuple[Argument, ...], blocks: list[Block]) -> None:
    """Gives each thread its own copy of a structure passed by value that the kernel may change."""
    for argument in arguments:
        if argument.by_value is not None and _may_change(argument, blocks):
            _copy(argument, argument.by_value, blocks)


def _may_change(argument: Argument, blocks: list[Block]) -> bool:
    """Whether anything but a load, or a copy out of it, sees the address of ``argument``."""
    derived: set[LlvmValue] = {argument}
    size = 0
    while len(derived) != size:
        size = len(derived)
        for block in blocks:
            for i in block.instructions:
                if not derived.isdisjoint(i.operands) and i.opcode in _MOVES:
                    derived.add(i)
    for block in blocks:
        for i in block.instructions:
            if derived.isdisjoint(i.operands) or i.opcode in (*_MOVES, "load", "icmp"):
                continue
            copies = i.callee.startswith(("llvm.memcpy.", "llvm.memmove."))
            if not copies or i.operands[0] in derived:
                return True
    return False


def _copy(argument: Argument, content: LlvmType, blocks: list[Block]) -> None:
    entry = blocks[0]
    place = entry.instructions[0].location
    own = Instruction(PtrType(5), "alloca", (), "", place, entry, source_type=content)
    for block in blocks:
        for i in block.instructions:
            i.operands = tuple(own if o is argument else o for o in i.operands)
    size = Number(IntType(64), size_of(content))
    volatile = Number(IntType(1), 0)
    fill = Instruction(IntType(1), "call", (own, argument, size, volatile), "", place, entry)
    fill.callee = "llvm.memcpy.argument"
    entry.instructions[:0] = [own, fill]
