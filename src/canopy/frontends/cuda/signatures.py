"""C types of kernel parameters and device variables, from the debug metadata of a module.

In: clang's IR with full debug info. Out: per kernel its parameters by name and type, per variable
its type; and the same IR with line tables only, as the pipeline takes it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from canopy.errors import CompileError

__all__ = ["DEBUG_FLAGS", "CType", "Parameter", "Signatures", "read_signatures", "without_values"]

DEBUG_FLAGS = ("-debug-info-kind=limited",)


@dataclass(frozen=True)
class CType:
    """A C type: ``text`` as it is written, ``size`` in bytes.

    ``kind``: int, uint, float, bool, complex, pointer, struct, array, void. ``element`` is what a
    pointer or an array holds, ``extents`` those of an array, ``fields`` (name, offset, type) those
    of a struct; structs behind pointers are left without fields.
    """

    text: str
    kind: str
    size: int
    element: CType | None = None
    extents: tuple[int, ...] = ()
    fields: tuple[tuple[str, int, CType], ...] = ()

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> CType:
        element = data["element"]
        return cls(
            data["text"],
            data["kind"],
            data["size"],
            cls.from_json(element) if element else None,
            tuple(data["extents"]),
            tuple((name, at, cls.from_json(inner)) for name, at, inner in data["fields"]),
        )


@dataclass(frozen=True)
class Parameter:
    name: str
    type: CType

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Parameter:
        return cls(data["name"], CType.from_json(data["type"]))


@dataclass(frozen=True)
class Signatures:
    """By linker's name: parameters of kernels, types of variables."""

    kernels: dict[str, tuple[Parameter, ...]]
    variables: dict[str, tuple[str, CType]]  # the name as written (texts have none), and the type

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


_KERNEL = re.compile(r"^define (?:[\w()]+ )*?ptx_kernel .*?@(\"[^\"]*\"|[-\w.$]+)\(.*!dbg !(\d+)")
_VARIABLE = re.compile(r"^@(\"[^\"]*\"|[-\w.$]+) = .*?\b(?:global|constant) .*!dbg !(\d+)")
_NODE = re.compile(r"^!(\d+) = (?:distinct )?!(DI\w+)\((.*)\)$")
_LIST = re.compile(r"^!(\d+) = (?:distinct )?!\{(.*)\}$")
_FIELD = re.compile(r'(\w+): ("(?:[^"\\]|\\.)*"|![^,)]*|[^,)]+)')
_VALUE_RECORD = re.compile(r"^\s*#dbg_.*\n", re.MULTILINE)


def without_values(ir: str) -> str:
    """The IR without the records that say where variables live."""
    return _VALUE_RECORD.sub("", ir)


def read_signatures(ir: str) -> Signatures:
    """The signatures of all kernels and variables that have debug info."""
    lines = ir.splitlines()
    reader = _Reader(lines)
    kernels: dict[str, tuple[Parameter, ...]] = {}
    variables: dict[str, tuple[str, CType]] = {}
    for line in lines:
        if kernel := _KERNEL.match(line):
            kernels[kernel[1].strip('"')] = reader.parameters(int(kernel[2]))
        elif variable := _VARIABLE.match(line):
            variables[variable[1].strip('"')] = reader.variable(int(variable[2]))
    return Signatures(kernels, variables)


_VOID = CType("void", "void", 0)
_ENCODINGS = {
    "DW_ATE_signed": "int",
    "DW_ATE_signed_char": "int",
    "DW_ATE_unsigned": "uint",
    "DW_ATE_unsigned_char": "uint",
    "DW_ATE_UTF": "uint",
    "DW_ATE_boolean": "bool",
    "DW_ATE_float": "float",
    "DW_ATE_complex_float": "complex",
}
# Types that programs define as structures and mean as numbers.
_NUMBERS = {"__half": "float", "__nv_bfloat16": "float"}
_QUALIFIERS = {"DW_TAG_const_type": "const ", "DW_TAG_volatile_type": "volatile "}


class _Reader:
    """Follows metadata nodes by number."""

    def __init__(self, lines: list[str]) -> None:
        self._nodes: dict[int, tuple[str, dict[str, str]]] = {}
        self._lists: dict[int, list[str]] = {}
        for line in lines:
            if not line.startswith("!"):
                continue
            if node := _NODE.match(line):
                self._nodes[int(node[1])] = (node[2], dict(_FIELD.findall(node[3])))
            elif items := _LIST.match(line):
                self._lists[int(items[1])] = items[2].split(", ")

    def parameters(self, subprogram: int) -> tuple[Parameter, ...]:
        fields = self._nodes[subprogram][1]
        types = self._items(self._nodes[_number(fields["type"])][1].get("types"))[1:]
        names = self._names(fields)
        return tuple(
            Parameter(names.get(at, f"#{at}"), self._type(text))
            for at, text in enumerate(types, start=1)
        )

    def _names(self, subprogram: dict[str, str]) -> dict[int, str]:
        names = {}
        for item in self._items(subprogram.get("retainedNodes")):
            fields = self._nodes[_number(item)][1]
            if "arg" in fields and "name" in fields:
                names[int(fields["arg"])] = fields["name"].strip('"')
        return names

    def variable(self, expression: int) -> tuple[str, CType]:
        kind, fields = self._nodes[expression]
        if kind == "DIGlobalVariableExpression":
            fields = self._nodes[_number(fields["var"])][1]
        return fields.get("name", "").strip('"'), self._type(fields.get("type", "null"))

    def _items(self, reference: str | None) -> list[str]:
        if reference is None or not reference[1:].isdigit():
            return []
        return [item for item in self._lists.get(_number(reference), []) if item]

    def _type(self, reference: str, behind_pointer: bool = False) -> CType:
        if reference == "null":
            return _VOID
        kind, fields = self._nodes[_number(reference)]
        size = int(fields.get("size", 0)) // 8
        name = fields.get("name", "").strip('"')
        if kind == "DIBasicType":
            return CType(name, _ENCODINGS.get(fields.get("encoding", ""), "struct"), size)
        if kind == "DIDerivedType":
            return self._derived(fields, name, size, behind_pointer)
        if kind == "DICompositeType":
            return self._composite(fields, name, size, behind_pointer)
        return CType("a function", "void", 0)  # behind a pointer only

    def _derived(self, fields: dict[str, str], name: str, size: int, behind_pointer: bool) -> CType:
        tag, base = fields["tag"], fields.get("baseType", "null")
        if tag in ("DW_TAG_pointer_type", "DW_TAG_reference_type"):
            element = self._type(base, behind_pointer=True)
            mark = "*" if tag == "DW_TAG_pointer_type" else "&"
            return CType(f"{element.text}{mark}", "pointer", size or 8, element)
        inner = self._type(base, behind_pointer)
        text = inner.text
        if tag in _QUALIFIERS:
            qualifier = _QUALIFIERS[tag]
            text = f"{text} {qualifier.strip()}" if inner.kind == "pointer" else qualifier + text
        elif tag == "DW_TAG_typedef":
            text = name
        elif tag != "DW_TAG_restrict_type":
            raise CompileError(f"a parameter has a type that is not read ({tag}, {name})")
        return _renamed(inner, text)

    def _composite(
        self, fields: dict[str, str], name: str, size: int, behind_pointer: bool
    ) -> CType:
        tag = fields["tag"]
        if tag == "DW_TAG_enumeration_type":
            base = self._type(fields.get("baseType", "null"))
            return CType(name or "enum", "uint" if base.kind == "uint" else "int", size)
        if tag == "DW_TAG_array_type":
            ranges = [self._nodes[_number(i)][1] for i in self._items(fields.get("elements"))]
            element = self._type(fields["baseType"])
            extents = tuple(max(int(r.get("count", 0)), 0) for r in ranges)
            dimensions = "".join(f"[{n}]" for n in extents)
            return CType(f"{element.text}{dimensions}", "array", size, element, extents)
        if name in _NUMBERS:
            return CType(name, _NUMBERS[name], size)
        members = () if behind_pointer else self._members(fields)
        return CType(name or "struct", "struct", size, fields=members)

    def _members(self, fields: dict[str, str]) -> tuple[tuple[str, int, CType], ...]:
        found: list[tuple[str, int, CType]] = []
        for item in self._items(fields.get("elements")):
            kind, member = self._nodes[_number(item)]
            is_static = "DIFlagStaticMember" in member.get("flags", "")
            if kind != "DIDerivedType" or is_static or "baseType" not in member:
                continue
            if member["tag"] in ("DW_TAG_member", "DW_TAG_inheritance"):
                name = member.get("name", "").strip('"') or f"base{len(found)}"
                inner = self._type(member["baseType"])
                found.append((name, int(member.get("offset", 0)) // 8, inner))
        return tuple(found)


def _renamed(type_: CType, text: str) -> CType:
    return CType(text, type_.kind, type_.size, type_.element, type_.extents, type_.fields)


def _number(reference: str) -> int:
    return int(reference[1:])
