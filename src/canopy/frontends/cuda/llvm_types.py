"""LLVM types as the front-end needs them: parsed from text, with sizes and offsets in bytes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "ArrayType",
    "FloatType",
    "IntType",
    "LlvmType",
    "OtherType",
    "PtrType",
    "StructType",
    "TypeParser",
    "alignment_of",
    "field_offset",
    "size_of",
]


@dataclass(frozen=True, slots=True)
class IntType:
    bits: int


@dataclass(frozen=True, slots=True)
class FloatType:
    name: str  # half, bfloat, float, double


@dataclass(frozen=True, slots=True)
class PtrType:
    space: int = 0  # 0 generic, 1 global, 3 shared, 4 constant, 5 local


@dataclass(frozen=True, slots=True)
class ArrayType:
    count: int
    element: LlvmType


@dataclass(frozen=True, slots=True)
class StructType:
    fields: tuple[LlvmType, ...]
    packed: bool = False


@dataclass(frozen=True, slots=True)
class OtherType:
    """A type that no rule handles (vectors, labels, metadata); kept for messages."""

    text: str


LlvmType: TypeAlias = IntType | FloatType | PtrType | ArrayType | StructType | OtherType

_FLOAT_BYTES = {"half": 2, "bfloat": 2, "float": 4, "double": 8}


def size_of(type_: LlvmType) -> int:
    """Bytes that one element takes in an array."""
    match type_:
        case IntType(bits):
            return _power_of_two((bits + 7) // 8)
        case FloatType(name):
            return _FLOAT_BYTES[name]
        case PtrType():
            return 8
        case ArrayType(count, element):
            return count * size_of(element)
        case StructType(fields):
            return field_offset(type_, len(fields))
    raise ValueError(f"the size of {type_} is not known")


def alignment_of(type_: LlvmType) -> int:
    match type_:
        case ArrayType(_, element):
            return alignment_of(element)
        case StructType(fields, packed):
            return 1 if packed else max((alignment_of(f) for f in fields), default=1)
    return size_of(type_)


def field_offset(struct: StructType, index: int) -> int:
    """Byte offset of a field; the size of the whole for ``index`` one past the last."""
    offset = 0
    for position, field in enumerate(struct.fields):
        offset = _aligned(offset, 1 if struct.packed else alignment_of(field))
        if position == index:
            return offset
        offset += size_of(field)
    return _aligned(offset, alignment_of(struct))


def _aligned(offset: int, alignment: int) -> int:
    return -(-offset // alignment) * alignment


def _power_of_two(count: int) -> int:
    return 1 << max(count - 1, 0).bit_length()


_TOKEN = re.compile(
    r'\s*(%"[^"]*"|@"[^"]*"|[%@][-\w.$]+|addrspace\(\d+\)|<\{|\}>|[-+]?[\w.]+|"[^"]*"|.)'
)


class TypeParser:
    """Reads types at the head of a token list; knows the named structs of one module."""

    def __init__(self, structs: dict[str, str]) -> None:
        self._struct_texts = structs
        self._structs: dict[str, LlvmType] = {}

    @staticmethod
    def tokens(text: str) -> list[str]:
        return [t for t in _TOKEN.findall(text.strip()) if t.strip()]

    def parse(self, text: str) -> LlvmType:
        return self.take(self.tokens(text))

    def take(self, tokens: list[str]) -> LlvmType:
        """The type at the head of ``tokens``, which loses the tokens that were read."""
        head = tokens.pop(0)
        if head == "ptr":
            return PtrType(_take_space(tokens))
        if head in _FLOAT_BYTES:
            return FloatType(head)
        if re.fullmatch(r"i\d+", head):
            return IntType(int(head[1:]))
        if head == "[":
            return self._take_array(tokens)
        if head in ("{", "<{"):
            return self._take_struct(tokens, packed=head == "<{")
        if head.startswith("%"):
            return self._named(head)
        if head == "<":
            while tokens and tokens.pop(0) != ">":
                pass
            return OtherType("vector")
        return OtherType(head)

    def _take_array(self, tokens: list[str]) -> LlvmType:
        count = int(tokens.pop(0))
        tokens.pop(0)  # x
        element = self.take(tokens)
        tokens.pop(0)  # ]
        return ArrayType(count, element)

    def _take_struct(self, tokens: list[str], packed: bool) -> LlvmType:
        fields = []
        while tokens[0] not in ("}", "}>"):
            fields.append(self.take(tokens))
            if tokens[0] == ",":
                tokens.pop(0)
        tokens.pop(0)
        return StructType(tuple(fields), packed)

    def _named(self, name: str) -> LlvmType:
        if name not in self._structs:
            text = self._struct_texts.get(name, "opaque")
            self._structs[name] = OtherType(name) if text == "opaque" else self.parse(text)
        return self._structs[name]


def _take_space(tokens: list[str]) -> int:
    match = re.fullmatch(r"addrspace\((\d+)\)", tokens[0]) if tokens else None
    if not match:
        return 0
    tokens.pop(0)
    return int(match[1])
