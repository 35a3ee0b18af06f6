"""Integers of 24, 40, 48 or 56 bits become those of 32 or 64: LLVM makes them of what lies between
fields.

%p = load i24, ptr %a    ->  three bytes, shifted together
store i24 %p, ptr %b     ->  three bytes
A widened value keeps zeros above its own bits, so that moves, comparisons for equality, `zext` and
bit operations need nothing else; what could set those bits is cleared behind them.
"""

from __future__ import annotations

from collections.abc import Iterator

from canopy.errors import UnsupportedError
from canopy.frontends.cuda.llvm_types import IntType, LlvmType
from canopy.frontends.cuda.llvm_values import Block, Instruction, LlvmValue, Number, Undefined

__all__ = ["widen_odd_integers"]

_ODD = frozenset({24, 40, 48, 56})
_KEEP_ZEROS = frozenset({"phi", "select", "freeze", "and", "or", "xor", "lshr", "udiv", "urem"})
_CLEARED = frozenset({"add", "sub", "mul", "shl"})


def widen_odd_integers(blocks: list[Block]) -> None:
    """Rewrites the instructions of ``blocks`` in place."""
    if any(_is_odd(o.type) for b in blocks for i in b.instructions for o in (i, *i.operands)):
        _Widener(blocks).run()


def _is_odd(type_: LlvmType) -> bool:
    return isinstance(type_, IntType) and type_.bits in _ODD


def _wide(type_: LlvmType) -> IntType:
    assert isinstance(type_, IntType)
    return IntType(32 if type_.bits < 32 else 64)


def _ones(type_: LlvmType) -> int:
    assert isinstance(type_, IntType)
    return (1 << type_.bits) - 1


class _Widener:
    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._replaced: dict[LlvmValue, LlvmValue] = {}

    def run(self) -> None:
        for block in self._blocks:
            block.instructions = [n for i in block.instructions for n in self._rewritten(i)]
        for block in self._blocks:
            for i in block.instructions:
                i.operands = tuple(map(self._final, i.operands))
                if _is_odd(i.type):
                    i.type = _wide(i.type)

    def _final(self, value: LlvmValue) -> LlvmValue:
        while value in self._replaced:
            value = self._replaced[value]
        if isinstance(value, Number) and _is_odd(value.type):
            return Number(_wide(value.type), int(value.value) & _ones(value.type))
        if isinstance(value, Undefined) and _is_odd(value.type):
            return Number(_wide(value.type), 0)
        return value

    def _rewritten(self, i: Instruction) -> Iterator[Instruction]:
        source = i.operands[0].type if i.operands else i.type
        if i.opcode == "load" and _is_odd(i.type):
            yield from self._load(i)
        elif i.opcode == "store" and _is_odd(source):
            yield from self._store(i)
        elif i.opcode == "trunc" and _is_odd(i.type):
            yield from self._truncate(i)
        elif i.opcode in ("zext", "trunc") and _is_odd(source):
            yield from self._resize(i, _wide(source))
        elif i.opcode == "zext" and _is_odd(i.type):
            yield from self._resize(i, source)
        elif _is_odd(i.type) and i.opcode in _CLEARED:
            yield from self._cleared(i)
        elif _is_odd(i.type) or _is_odd(source):
            if i.opcode not in _KEEP_ZEROS and not self._compares_bits(i):
                raise UnsupportedError(
                    f"{i.opcode} of {i.type} is not supported yet", location=i.location
                )
            yield i
        else:
            yield i

    @staticmethod
    def _compares_bits(i: Instruction) -> bool:
        return i.opcode == "icmp" and i.predicate[0] != "s"

    def _resize(self, i: Instruction, source: LlvmType) -> Iterator[Instruction]:
        """A zext or trunc between the widened type and another."""
        target = _wide(i.type) if _is_odd(i.type) else i.type
        assert isinstance(target, IntType)
        assert isinstance(source, IntType)
        if target == source:
            self._replaced[i] = i.operands[0]
            return
        i.opcode = "zext" if target.bits > source.bits else "trunc"
        yield i  # its type is widened with all the others, in the end

    def _truncate(self, i: Instruction) -> Iterator[Instruction]:
        source, narrow = i.operands[0].type, i.type
        if (_wide(source) if _is_odd(source) else source) == _wide(narrow):
            i.opcode, i.operands = "and", (i.operands[0], _mask(narrow))
            yield i
        else:
            yield from self._cleared(i)

    def _cleared(self, i: Instruction) -> Iterator[Instruction]:
        """``i`` without what it may set above its bits, for all who use it."""
        whole = _made(i, i.opcode, _wide(i.type), *i.operands)
        whole.text = i.text
        yield whole
        i.opcode, i.operands = "and", (whole, _mask(i.type))
        yield i

    def _load(self, i: Instruction) -> Iterator[Instruction]:
        type_ = _wide(i.type)
        whole: Instruction | None = None
        for offset in range(_bytes(i.type)):
            place = _address(i, i.operands[0], offset)
            byte = _made(i, "load", IntType(8), place)
            byte.text = i.text
            part = _made(i, "zext", type_, byte)
            yield from (place, byte, part)
            if whole is not None:
                moved = _made(i, "shl", type_, part, Number(type_, 8 * offset))
                part = _made(i, "or", type_, whole, moved)
                yield from (moved, part)
            whole = part
        assert whole is not None
        self._replaced[i] = whole

    def _store(self, i: Instruction) -> Iterator[Instruction]:
        value, pointer = i.operands
        type_ = _wide(value.type)
        for offset in range(_bytes(value.type)):
            moved = _made(i, "lshr", type_, value, Number(type_, 8 * offset))
            byte = _made(i, "trunc", IntType(8), moved)
            place = _address(i, pointer, offset)
            stored = _made(i, "store", i.type, byte, place)
            stored.text = i.text
            yield from (moved, byte, place, stored)


def _bytes(type_: LlvmType) -> int:
    assert isinstance(type_, IntType)
    return type_.bits // 8


def _mask(type_: LlvmType) -> Number:
    return Number(_wide(type_), _ones(type_))


def _made(user: Instruction, opcode: str, type_: LlvmType, *operands: LlvmValue) -> Instruction:
    return Instruction(type_, opcode, operands, "", user.location, user.block)


def _address(user: Instruction, pointer: LlvmValue, offset: int) -> Instruction:
    made = _made(user, "getelementptr", pointer.type, pointer, Number(IntType(64), offset))
    made.source_type = IntType(8)
    return made
