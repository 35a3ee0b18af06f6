"""Reads the text of an asm statement: PTX instructions, registers, labels.

``@!p add.s32 $0, r1, -4;`` -> Instruction(("add", "s32"), (Slot(0), Name("r1"), Number(-4)),
guard=Name("p"), guard_negated=True). Registers declared within braces get names of their own.
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field
from typing import TypeAlias

__all__ = [
    "Address",
    "Instruction",
    "Label",
    "Name",
    "Number",
    "Operand",
    "PtxError",
    "Register",
    "Slot",
    "Special",
    "Statement",
    "Vector",
    "parse_ptx",
]


class PtxError(Exception):
    """What this module or the tables of instructions do not have."""


@dataclass(frozen=True)
class Slot:
    """An operand of the asm statement: ``$2``."""

    index: int


@dataclass(frozen=True)
class Name:
    """A register declared in the text, or a label."""

    name: str
    is_negated: bool = False  # a predicate with !


@dataclass(frozen=True)
class Special:
    """A special register: ``%laneid``."""

    name: str


@dataclass(frozen=True)
class Number:
    """A literal; a float from its bits (``0f3F800000``) too."""

    value: int | float


@dataclass(frozen=True)
class Vector:
    """``{a, b}``; ``_`` stands for an element that is dropped."""

    elements: tuple[Operand, ...]


@dataclass(frozen=True)
class Address:
    """``[base + offset]``."""

    base: Operand
    offset: int = 0


Operand: TypeAlias = "Slot | Name | Special | Number | Vector | Address"


@dataclass(frozen=True)
class Register:
    """A declaration; ``count`` of them, numbered, for ``r<4>``."""

    name: str
    type: str


@dataclass(frozen=True)
class Label:
    name: str


@dataclass(frozen=True)
class Instruction:
    """``parts`` is the opcode at its dots; ``second`` the predicate of ``d|p``."""

    parts: tuple[str, ...]
    operands: tuple[Operand, ...]
    guard: Operand | None = None
    guard_negated: bool = False
    second: Operand | None = None

    @property
    def opcode(self) -> str:
        return ".".join(self.parts)

    def has(self, *parts: str) -> bool:
        """Whether one of ``parts`` qualifies the opcode."""
        return any(part in self.parts[1:] for part in parts)


Statement: TypeAlias = Register | Label | Instruction

_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_TOKEN = re.compile(
    r"\s*(?:(?P<slot>\$\{?\d+(?::\w+\})?)|(?P<special>%[a-zA-Z_][\w]*(?:\.[xyzw])?)"
    r"|(?P<number>0[fFdD][0-9a-fA-F]+|-?0[xX][0-9a-fA-F]+U?|-?\d+\.\d*(?:[eE][-+]?\d+)?|-?\d+U?)"
    r"|(?P<word>[.a-zA-Z_$][\w$]*(?:(?:\.|::)[\w]+)*)|(?P<mark>[{}()\[\];,:@!|+<>-]))"
)


def parse_ptx(text: str) -> list[Statement]:
    """The statements of an asm text as LLVM prints it, in order; PtxError for other text."""
    return _Parser(_tokens(_COMMENT.sub(" ", text))).statements()


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at, text = [], 0, text.rstrip()
    while at < len(text):
        match = _TOKEN.match(text, at)
        if not match:
            raise PtxError(f"this text is not read: {text[at : at + 30].strip()!r}")
        kind = match.lastgroup or ""
        found.append((kind, match[kind]))
        at = match.end()
    return found


@dataclass
class _Parser:
    tokens: list[tuple[str, str]]
    scopes: list[dict[str, str]] = field(default_factory=lambda: [{}])
    declared: int = 0

    def statements(self) -> list[Statement]:
        found: list[Statement] = []
        while self.tokens:
            if self.accept("{"):
                self.scopes.append({})
            elif self.accept("}"):
                self.scopes.pop()
                if not self.scopes:
                    raise PtxError("a brace closes that nothing opened")
            elif not self.accept(";"):
                found += self.statement()
        return found

    def statement(self) -> list[Statement]:
        if self.peek().split(".")[:2] == ["", "reg"]:
            return list(self.registers())
        if self.peek() == ".pragma":
            while not self.accept(";"):
                self.tokens.pop(0)
            return []
        if len(self.tokens) > 1 and self.tokens[1][1] == ":":
            name = self.take("word")
            self.expect(":")
            return [Label(name)]
        return [self.instruction()]

    def registers(self) -> list[Register]:
        words = self.take("word").split(".")[2:]  # .reg.u32 and .reg .u32
        if not words:
            words = self.take("word").split(".")[1:]
        if words[-1] in ("v2", "v4") or len(words) > 1:
            raise PtxError("vectors of registers")
        found = []
        while True:
            name = self.peek()
            self.tokens.pop(0)
            names = [name]
            if self.accept("<"):
                names = [f"{name}{n}" for n in range(int(self.take("number")))]
                self.expect(">")
            for each in names:
                self.declared += 1
                unique = f"{each.strip('%')}.{self.declared}"
                self.scopes[-1][each] = unique
                found.append(Register(unique, words[0]))
            if not self.accept(","):
                break
        self.expect(";")
        return found

    def instruction(self) -> Instruction:
        guard, negated = None, False
        if self.accept("@"):
            negated = self.accept("!")
            guard = self.operand()
        parts = tuple(self.take("word").split("."))
        operands: list[Operand] = []
        second = None
        while self.tokens and self.peek() != "}" and not self.accept(";"):
            if operands:
                self.expect(",")
            operands.append(self.operand())
            if self.accept("|"):
                second = self.operand()
        return Instruction(parts, tuple(operands), guard, negated, second)

    def operand(self) -> Operand:
        if self.accept("!"):
            inner = self.operand()
            if not isinstance(inner, Name):
                raise PtxError("a negated operand that is no predicate")
            return Name(inner.name, is_negated=True)
        if self.accept("{"):
            elements = [self.operand()]
            while self.accept(","):
                elements.append(self.operand())
            self.expect("}")
            return Vector(tuple(elements))
        if self.accept("["):
            return self.address()
        if self.accept("-"):
            inner = self.operand()
            if isinstance(inner, Number):
                return Number(-inner.value)
            raise PtxError("a sign before a register")
        kind, text = self.tokens.pop(0)
        if kind == "slot":
            return Slot(int(re.sub(r"\D.*", "", text.strip("${}"))))
        if kind == "number":
            return Number(_number(text))
        for scope in reversed(self.scopes):
            if text in scope:
                return Name(scope[text])
        if kind == "special":
            return Special(text[1:])
        if kind == "word":
            return Name(text)
        raise PtxError(f"{text!r} is no operand")

    def address(self) -> Address:
        base = self.operand()
        offset = 0
        while not self.accept("]"):
            sign = -1 if self.accept("-") else 1
            self.accept("+")
            offset += sign * int(_number(self.take("number")))
        return Address(base, offset)

    def peek(self) -> str:
        return self.tokens[0][1] if self.tokens else ""

    def accept(self, mark: str) -> bool:
        if self.peek() == mark:
            self.tokens.pop(0)
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            raise PtxError(f"{mark!r} is missing before {self.peek()!r}")

    def take(self, kind: str) -> str:
        if not self.tokens or self.tokens[0][0] != kind:
            raise PtxError(f"{self.peek()!r} is not understood here")
        return self.tokens.pop(0)[1]


def _number(text: str) -> int | float:
    if re.match(r"0[fF][0-9a-fA-F]{8}$", text):
        return float(struct.unpack("<f", int(text[2:], 16).to_bytes(4, "little"))[0])
    if re.match(r"0[dD][0-9a-fA-F]{16}$", text):
        return float(struct.unpack("<d", int(text[2:], 16).to_bytes(8, "little"))[0])
    if re.match(r"-?0[xX]", text):
        return int(text.rstrip("U"), 16)
    return float(text) if "." in text else int(text.rstrip("U"))
