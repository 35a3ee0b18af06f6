"""What the printer and the parser share: which ops there are, and what their fields hold.

The printed form of an op follows from its dataclass fields, so a new op needs no code here:

    %3 = load %1, mask=%2, volatile=true : tile<64xf32>  # softmax.py:8:4

- operands come first, in order: values, and tuples of values as ``[%a, %b]``;
- optional operands and attributes follow as ``name=``, left out where they have their default;
- a field named ``type`` is left out where the result type tells it;
- regions come last, each with its field's name and its arguments.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Literal, Union

from canopy.ir.core import Op, Region, Value
from canopy.ir.types import (
    SCALARS,
    ElementType,
    PointerType,
    ScalarType,
    TileType,
    Type,
    element_type,
)

__all__ = [
    "POSITIONAL",
    "TYPES",
    "FieldKind",
    "FieldSpec",
    "all_ops",
    "fields_of",
    "implied_type",
    "parse_type",
]


class FieldKind(Enum):
    """What a field of an op holds."""

    VALUE = auto()
    VALUES = auto()
    OPTIONAL_VALUE = auto()
    REGION = auto()
    TYPE = auto()  # any type
    ELEMENT_TYPE = auto()  # a scalar or pointer type
    SCALAR_TYPE = auto()
    INTEGER = auto()
    INTEGERS = auto()
    NUMBER = auto()  # int, float or bool
    BOOL = auto()
    STRING = auto()
    WORD = auto()  # one of a few words


POSITIONAL = frozenset({FieldKind.VALUE, FieldKind.VALUES})
TYPES = frozenset({FieldKind.TYPE, FieldKind.ELEMENT_TYPE, FieldKind.SCALAR_TYPE})


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of an op class; ``default`` is `dataclasses.MISSING` where it must be given."""

    name: str
    kind: FieldKind
    default: Any
    words: tuple[str, ...] = ()

    @property
    def is_required(self) -> bool:
        return self.default is dataclasses.MISSING


def all_ops() -> dict[str, type[Op]]:
    """Every op by its printed name: the classes under `Op` that nothing derives from."""
    found: dict[str, type[Op]] = {}
    pending: list[type[Op]] = [Op]
    while pending:
        kind = pending.pop()
        derived = kind.__subclasses__()
        pending.extend(derived)
        if not derived:
            found[kind.mnemonic()] = kind
    return found


_FIELDS: dict[type[Op], tuple[FieldSpec, ...]] = {}  # reading annotations takes 100 us a class


def fields_of(kind: type[Op]) -> tuple[FieldSpec, ...]:
    """The fields of an op class in order, without location and results."""
    if kind not in _FIELDS:
        _FIELDS[kind] = _read_fields(kind)
    return _FIELDS[kind]


def _read_fields(kind: type[Op]) -> tuple[FieldSpec, ...]:
    hints = typing.get_type_hints(kind)
    return tuple(
        _spec(declared.name, hints[declared.name], declared.default)
        for declared in dataclasses.fields(kind)
        if declared.name not in ("location", "results")
    )


_KINDS: dict[Any, FieldKind] = {
    Value: FieldKind.VALUE,
    Region: FieldKind.REGION,
    tuple[Value, ...]: FieldKind.VALUES,
    tuple[int, ...]: FieldKind.INTEGERS,
    Type: FieldKind.TYPE,
    ElementType: FieldKind.ELEMENT_TYPE,
    ScalarType: FieldKind.SCALAR_TYPE,
    int: FieldKind.INTEGER,
    bool: FieldKind.BOOL,
    str: FieldKind.STRING,
    int | float | bool: FieldKind.NUMBER,
}


def _spec(name: str, hint: Any, default: Any) -> FieldSpec:
    if hint in _KINDS:
        return FieldSpec(name, _KINDS[hint], default)
    if typing.get_origin(hint) is Literal:
        return FieldSpec(name, FieldKind.WORD, default, typing.get_args(hint))
    if typing.get_origin(hint) in (Union, types.UnionType):
        inner = [choice for choice in typing.get_args(hint) if choice is not type(None)]
        if inner == [Value]:
            return FieldSpec(name, FieldKind.OPTIONAL_VALUE, default)
        if inner == [ScalarType]:
            return FieldSpec(name, FieldKind.SCALAR_TYPE, default)
    raise TypeError(f"field {name} has a type that the printed form does not know: {hint}")


def implied_type(spec: FieldSpec, results: tuple[Type, ...]) -> Type | None:
    """The value of a required field named ``type``, as the first result type tells it."""
    if spec.name != "type" or not spec.is_required or not results:
        return None
    return results[0] if spec.kind == FieldKind.TYPE else element_type(results[0])


def parse_element(text: str) -> ElementType | None:
    """The scalar or pointer type of that name; None if there is none."""
    if text == "ptr":
        return PointerType()
    if text.startswith("ptr<") and text.endswith(">") and text[4:-1].isidentifier():
        return PointerType(text[4:-1])
    return SCALARS.get(text)


def parse_type(text: str) -> Type | None:
    """The type of that name; None if there is none."""
    if not text.startswith("tile<"):
        return parse_element(text)
    parts = text[5:-1].split("x", text[5:].split("ptr")[0].count("x"))
    element = parse_element(parts[-1])
    if element is None or not all(part.isdigit() for part in parts[:-1]):
        return None
    return TileType(tuple(int(part) for part in parts[:-1]), element)
