"""Integers of 128 bits become pairs of 64.

%s = add i128 %a, %b    ->  %low = add i64 %a.low, %b.low
                            %carry = icmp ult i64 %low, %a.low
                            %high = %a.high + %b.high + zext %carry

Before LLVM's passes, divisions and conversions from and to floats become calls of the functions of
`wide_integers.cu` (`call_wide_functions`); what is left is split instruction by instruction
(`split_wide_integers`).
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from pathlib import Path

from llvmlite import binding as llvm

from canopy.errors import UnsupportedError
from canopy.frontends.cuda.clang import device_ir
from canopy.frontends.cuda.llvm_types import IntType, LlvmType
from canopy.frontends.cuda.llvm_values import Block, Instruction, LlvmValue, Number, Undefined

__all__ = [
    "call_wide_functions",
    "calls_wide_functions",
    "split_wide_integers",
    "wide_functions",
]

_DIVISION = re.compile(r"= ([us](?:div|rem)) (?:exact )?i128 ([^,\n]+), ([^,\n]+)")
_TO_FLOAT = re.compile(r"= ([us]itofp) (?:nneg )?i128 (\S+) to (float|double)")
_TO_INTEGER = re.compile(r"@llvm\.(fpto[us]i)\.sat\.i128\.(f32|f64)\(")
_CALLED = re.compile(r"@canopy_(\w+_i128\w*)\(")
_FUNCTION = re.compile(r"canopy_\w+_i128\w*")


def call_wide_functions(ir: str) -> str:
    """``ir`` with calls, and declarations, of what `wide_functions` defines."""
    if "i128" not in ir:
        return ir
    written = _DIVISION.sub(r"= call i128 @canopy_\1_i128(i128 \2, i128 \3)", ir)
    written = _TO_FLOAT.sub(r"= call \3 @canopy_\1_i128_\3(i128 \2)", written)
    written = _TO_INTEGER.sub(r"@canopy_\1_i128_\2(", written)
    called = dict.fromkeys(_CALLED.findall(written))
    declared = [line for name in called if (line := _declaration(name)) not in written]
    return "\n".join([written, *declared, ""])


def calls_wide_functions(module: llvm.ModuleRef) -> bool:
    return any(_FUNCTION.fullmatch(function.name) for function in module.functions)


def _declaration(name: str) -> str:
    kind, _, type_ = name.partition("_i128")
    if type_ in ("_float", "_double"):
        return f"declare {type_[1:]} @canopy_{name}(i128)"
    if type_:
        return f"declare i128 @canopy_{name}({'float' if type_ == '_f32' else 'double'})"
    return f"declare i128 @canopy_{kind}_i128(i128, i128)"


@functools.cache
def wide_functions() -> str:
    """LLVM IR that defines them; made of it what passes before LLVM's do with any source."""
    path = Path(__file__).with_suffix(".cu")
    return device_ir(path.read_text(encoding="utf-8"), str(path))


# ---- splitting ---------------------------------------------------------------------------------

_HALF = IntType(64)
_FLAG = IntType(1)
_BITS = (1 << 64) - 1
Pair = tuple[LlvmValue, LlvmValue]  # low, high


def split_wide_integers(blocks: list[Block]) -> None:
    """Rewrites the instructions of ``blocks`` in place."""
    if any(_is_wide(o.type) for b in blocks for i in b.instructions for o in (i, *i.operands)):
        _Splitter(blocks).run()


def _is_wide(type_: LlvmType) -> bool:
    return isinstance(type_, IntType) and type_.bits == 128


class _Splitter:
    def __init__(self, blocks: list[Block]) -> None:
        self._blocks = blocks
        self._pairs: dict[LlvmValue, Pair] = {}
        self._replaced: dict[LlvmValue, LlvmValue] = {}
        self._user: Instruction  # what is being rewritten
        self._made: list[Instruction]

    def run(self) -> None:
        for block in self._blocks:  # values of later blocks are used in phis: their pairs first
            for i in block.instructions:
                if _is_wide(i.type):
                    low, high = (_instruction(i, "", _HALF) for _ in range(2))
                    self._pairs[i] = low, high
        for block in self._blocks:
            block.instructions = [n for i in block.instructions for n in self._rewritten(i)]
        for block in self._blocks:
            for i in block.instructions:
                i.operands = tuple(self._replaced.get(o, o) for o in i.operands)

    def _rewritten(self, i: Instruction) -> Iterator[Instruction]:
        if not any(_is_wide(o.type) for o in (i, *i.operands)):
            yield i
            return
        self._user, self._made = i, []
        if i.opcode in ("phi", "select", "freeze"):
            self._moved(i)
        elif i.opcode not in _RULES:
            raise UnsupportedError(
                f"{i.callee or i.opcode} of a 128-bit integer is not supported yet",
                location=i.location,
                hint="add, subtract, multiply, divide, shift, compare and convert them",
            )
        else:
            _RULES[i.opcode](self, i)
        yield from self._made

    # ---- making instructions

    def half(self, opcode: str, *operands: LlvmValue, type_: LlvmType = _HALF) -> Instruction:
        made = _instruction(self._user, opcode, type_, *operands)
        self._made.append(made)
        return made

    def flag(self, predicate: str, lhs: LlvmValue, rhs: LlvmValue) -> Instruction:
        made = self.half("icmp", lhs, rhs, type_=_FLAG)
        made.predicate = predicate
        return made

    def choose(self, condition: LlvmValue, on_true: LlvmValue, on_false: LlvmValue) -> Instruction:
        return self.half("select", condition, on_true, on_false)

    def pair(self, value: LlvmValue) -> Pair:
        if isinstance(value, Number):
            number = int(value.value)
            return _number(number), _number(number >> 64)
        if isinstance(value, Undefined):
            return _number(0), _number(0)
        if value not in self._pairs:
            raise UnsupportedError(
                "a 128-bit integer cannot be an argument of a kernel yet",
                location=self._user.location,
                hint="pass it by a pointer, or in a structure of two halves",
            )
        return self._pairs[value]

    def result(self, low: LlvmValue, high: LlvmValue) -> None:
        """Ends an instruction: its halves become the ones that were promised to its users."""
        for promised, value in zip(self._pairs[self._user], (low, high), strict=True):
            assert isinstance(promised, Instruction)
            self._become(promised, value)

    def _become(self, promised: Instruction, value: LlvmValue) -> None:
        promised.opcode, promised.operands = "or", (value, _number(0))
        self._made.append(promised)

    def replace(self, value: LlvmValue) -> None:
        """Ends an instruction whose value is of 64 bits or less."""
        self._replaced[self._user] = value

    # ---- one rule per instruction

    def _moved(self, i: Instruction) -> None:
        """phi, select and freeze: the same for each half."""
        wide = [o for o in i.operands if _is_wide(o.type)]
        others = tuple(o for o in i.operands if not _is_wide(o.type))
        for half, promised in enumerate(self._pairs[i]):
            assert isinstance(promised, Instruction)
            promised.opcode, promised.incoming, promised.text = i.opcode, i.incoming, i.text
            promised.operands = (*others, *(self.pair(o)[half] for o in wide))
            self._made.append(promised)

    def sum(self, a: Pair, b: Pair) -> Pair:
        low = self.half("add", a[0], b[0])
        carry = self.half("zext", self.flag("ult", low, a[0]))
        return low, self.half("add", self.half("add", a[1], b[1]), carry)

    def difference(self, a: Pair, b: Pair) -> Pair:
        borrow = self.half("zext", self.flag("ult", a[0], b[0]))
        low = self.half("sub", a[0], b[0])
        return low, self.half("sub", self.half("sub", a[1], b[1]), borrow)

    def product(self, a: Pair, b: Pair) -> Pair:
        high: LlvmValue = self.half("call", a[0], b[0])
        assert isinstance(high, Instruction)
        high.callee = "__nv_umul64hi"
        for one, other in ((a[0], b[1]), (a[1], b[0])):
            if not _is_zero(one) and not _is_zero(other):
                high = self.half("add", high, self.half("mul", one, other))
        return self.half("mul", a[0], b[0]), high

    def bitwise(self, opcode: str, a: Pair, b: Pair) -> Pair:
        return self.half(opcode, a[0], b[0]), self.half(opcode, a[1], b[1])

    def shifted_left(self, a: Pair, distance: LlvmValue) -> Pair:
        by, back, far = self._distances(distance)
        low = self.half("shl", a[0], by)
        crossing = self.half("lshr", self.half("lshr", a[0], _number(1)), back)
        high = self.half("or", self.half("shl", a[1], by), crossing)
        return self.choose(far, _number(0), low), self.choose(far, low, high)

    def shifted_right(self, opcode: str, a: Pair, distance: LlvmValue) -> Pair:
        by, back, far = self._distances(distance)
        high = self.half(opcode, a[1], by)
        crossing = self.half("shl", self.half("shl", a[1], _number(1)), back)
        low = self.half("or", self.half("lshr", a[0], by), crossing)
        fill: LlvmValue = _number(0)
        if opcode == "ashr":
            fill = self.half("ashr", a[1], _number(63))
        return self.choose(far, high, low), self.choose(far, fill, high)

    def _distances(self, distance: LlvmValue) -> tuple[LlvmValue, LlvmValue, LlvmValue]:
        """Within a half, what that leaves of 63, and whether it crosses a whole half."""
        by = self.half("and", distance, _number(63))
        back = self.half("xor", by, _number(63))
        crossed = self.half("and", distance, _number(64))
        return by, back, self.flag("ne", crossed, _number(0))

    def comparison(self, predicate: str, a: Pair, b: Pair) -> LlvmValue:
        if predicate in ("eq", "ne"):
            low, high = self.bitwise("xor", a, b)
            return self.flag(predicate, self.half("or", low, high), _number(0))
        low = self.flag(f"u{predicate[1:]}", a[0], b[0])
        high = self.flag(predicate, a[1], b[1])
        same = self.flag("eq", a[1], b[1])
        return self.half("select", same, low, high, type_=_FLAG)


def _instruction(
    user: Instruction, opcode: str, type_: LlvmType, *operands: LlvmValue
) -> Instruction:
    return Instruction(type_, opcode, operands, "", user.location, user.block)


def _number(value: int) -> Number:
    """The lowest 64 bits of ``value``."""
    low = value & _BITS
    return Number(_HALF, low - (1 << 64) if low >> 63 else low)


def _is_zero(value: LlvmValue) -> bool:
    return isinstance(value, Number) and value.value == 0


Rule = Callable[[_Splitter, Instruction], None]
_RULES: dict[str, Rule] = {}


def _rule(*opcodes: str) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        _RULES.update(dict.fromkeys(opcodes, function))
        return function

    return register


@_rule("add", "sub", "mul", "and", "or", "xor")
def _binary(s: _Splitter, i: Instruction) -> None:
    a, b = map(s.pair, i.operands)
    combine = {"add": s.sum, "sub": s.difference, "mul": s.product}.get(i.opcode)
    s.result(*(combine(a, b) if combine else s.bitwise(i.opcode, a, b)))


@_rule("shl", "lshr", "ashr")
def _shift(s: _Splitter, i: Instruction) -> None:
    a, (distance, _) = map(s.pair, i.operands)
    is_left = i.opcode == "shl"
    s.result(*(s.shifted_left(a, distance) if is_left else s.shifted_right(i.opcode, a, distance)))


@_rule("icmp")
def _compare(s: _Splitter, i: Instruction) -> None:
    a, b = map(s.pair, i.operands)
    s.replace(s.comparison(i.predicate, a, b))


@_rule("zext", "sext")
def _extend(s: _Splitter, i: Instruction) -> None:
    (source,) = i.operands
    low = source if source.type == _HALF else s.half(i.opcode, source)
    s.result(low, _number(0) if i.opcode == "zext" else s.half("ashr", low, _number(63)))


@_rule("trunc")
def _truncate(s: _Splitter, i: Instruction) -> None:
    low, _ = s.pair(i.operands[0])
    s.replace(low if i.type == _HALF else s.half("trunc", low, type_=i.type))


@_rule("load")
def _load(s: _Splitter, i: Instruction) -> None:
    low = s.half("load", i.operands[0])
    high = s.half("load", _upper(s, i.operands[0]))
    low.text = high.text = i.text
    s.result(low, high)


@_rule("store")
def _store(s: _Splitter, i: Instruction) -> None:
    value, pointer = i.operands
    low, high = s.pair(value)
    upper = _upper(s, pointer)
    for part, place in ((low, pointer), (high, upper)):
        s.half("store", part, place, type_=i.type).text = i.text


def _upper(s: _Splitter, pointer: LlvmValue) -> Instruction:
    made = s.half("getelementptr", pointer, _number(8), type_=pointer.type)
    made.source_type = IntType(8)
    return made
