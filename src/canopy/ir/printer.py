"""Prints kernels as text that `canopy.ir.parser` reads back.

kernel scale(%x: ptr divisibility=16, %n: i32) {
  %0 = program_id axis=0 : i32
  %1 = range start=0, end=64 : tile<64xi32>
  %2 = splat %n, shape=(64) : tile<64xi32>
  %3 = compare %1, %2, predicate=lt : tile<64xi1>
  ...
}

Names are those of the values where they have one, made unique. The forms are explained in
`canopy.ir.syntax`.
"""

from __future__ import annotations

import json
import re
from typing import Any

from canopy.errors import CompileError, Location
from canopy.ir.core import Kernel, Op, Parameter, Region, Value
from canopy.ir.syntax import POSITIONAL, TYPES, FieldKind, FieldSpec, fields_of, implied_type
from canopy.ir.types import Type

__all__ = ["print_kernel"]

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.$]*")
_PLAIN_FILE = re.compile(r"[A-Za-z0-9_./<>+\-]+")


def print_kernel(kernel: Kernel, locations: bool = False) -> str:
    """The text of ``kernel``; with ``locations``, each op's place in the source follows it."""
    return _Printer(locations).kernel(kernel)


class _Printer:
    def __init__(self, locations: bool) -> None:
        self._locations = locations
        self._names: dict[Value, str] = {}
        self._taken: set[str] = set()
        self._next_number = 0

    def kernel(self, kernel: Kernel) -> str:
        parameters = ", ".join(self._parameter(p) for p in kernel.parameters)
        header = f"kernel {_name_or_string(kernel.name)}({parameters})"
        if kernel.block is not None:
            header += f" block={_integers(kernel.block)}"
        if kernel.attributes:
            header += f" attributes={_json(kernel)}"
        lines = [header + " {" + self._place(kernel.location)]
        self._region_ops(kernel.body, lines, "  ")
        return "\n".join([*lines, "}"]) + "\n"

    def _parameter(self, parameter: Parameter) -> str:
        value = parameter.value
        value_name = self._define(value, value.name or parameter.name)
        parts = [f"%{value_name}: {value.type}"]
        if parameter.name != value_name:
            parts.append(f"name={json.dumps(parameter.name)}")
        if parameter.divisibility != 1:
            parts.append(f"divisibility={parameter.divisibility}")
        if parameter.pointee:
            parts.append(f"pointee={json.dumps(parameter.pointee)}")
        return " ".join(parts)

    def _region_ops(self, region: Region, lines: list[str], indent: str) -> None:
        for op in region.ops:
            self._op(op, lines, indent)

    def _op(self, op: Op, lines: list[str], indent: str) -> None:
        specs = fields_of(type(op))
        results = tuple(value.type for value in op.results)
        text = op.mnemonic()
        fields = [self._field(op, spec, results) for spec in _in_print_order(specs)]
        if shown := ", ".join(field for field in fields if field):
            text += f" {shown}"
        if results:
            text += f" : {', '.join(map(str, results))}"
        regions = [(s.name, getattr(op, s.name)) for s in specs if s.kind == FieldKind.REGION]
        place = self._place(op.location)
        names = ", ".join(f"%{self._define(value, value.name)}" for value in op.results)
        inner: list[str] = []
        for name, region in regions:
            self._region(name, region, inner, indent)
        start = f"{indent}{names} = {text}" if names else f"{indent}{text}"
        if not inner:
            lines.append(start + place)
            return
        lines.append(f"{start} {inner[0]}{place}")
        lines.extend(inner[1:])

    def _region(self, name: str, region: Region, lines: list[str], indent: str) -> None:
        """Appends ``name(args) {``, the ops and ``}``; a region after another one starts on the
        closing line of that."""
        args = ", ".join(f"%{self._define(arg, arg.name)}: {arg.type}" for arg in region.args)
        opening = f"{name}({args}) {{"
        if lines:
            lines[-1] += f" {opening}"
        else:
            lines.append(opening)
        self._region_ops(region, lines, indent + "  ")
        lines.append(indent + "}")

    def _field(self, op: Op, spec: FieldSpec, results: tuple[Type, ...]) -> str:
        content = getattr(op, spec.name)
        if spec.kind == FieldKind.VALUE:
            return self._use(content)
        if spec.kind == FieldKind.VALUES:
            return f"[{', '.join(self._use(value) for value in content)}]"
        if not spec.is_required and _identical(content, spec.default):
            return ""
        if spec.kind in TYPES and content == implied_type(spec, results):
            return ""
        return f"{spec.name}={self._content(spec, content)}"

    def _content(self, spec: FieldSpec, content: Any) -> str:
        if content is None:
            return "none"
        match spec.kind:
            case FieldKind.OPTIONAL_VALUE:
                return self._use(content)
            case FieldKind.INTEGERS:
                return _integers(content)
            case FieldKind.STRING:
                return json.dumps(content)
            case FieldKind.BOOL | FieldKind.NUMBER | FieldKind.INTEGER:
                return _number(content)
            case _:
                return str(content)

    def _use(self, value: Value) -> str:
        if value not in self._names:  # an invalid program must print too
            self._define(value, f"undefined.{value.name}")
        return f"%{self._names[value]}"

    def _define(self, value: Value, wanted: str) -> str:
        name = wanted if _PLAIN_NAME.fullmatch(wanted) else ""
        if not name:
            name = str(self._next_number)
            self._next_number += 1
        stem, number = name, 1
        while name in self._taken:
            name = f"{stem}.{number}"
            number += 1
        self._taken.add(name)
        self._names[value] = name
        return name

    def _place(self, location: Location) -> str:
        if not self._locations or location == Location():
            return ""
        file = location.file if _PLAIN_FILE.fullmatch(location.file) else json.dumps(location.file)
        column = f":{location.column}" if location.column else ""
        line = f":{location.line}" if location.line or location.column else ""
        return f"  # {file}{line}{column}"


def _in_print_order(specs: tuple[FieldSpec, ...]) -> list[FieldSpec]:
    shown = [spec for spec in specs if spec.kind != FieldKind.REGION]
    return sorted(shown, key=lambda spec: spec.kind not in POSITIONAL)


def _identical(content: Any, default: Any) -> bool:
    return type(content) is type(default) and bool(content == default)


def _integers(content: tuple[int, ...]) -> str:
    return f"({', '.join(map(str, content))})"


def _number(content: bool | int | float) -> str:
    """Exact: the shortest decimal that reads back as the same double."""
    if isinstance(content, bool):
        return str(content).lower()
    return repr(float(content)) if isinstance(content, float) else str(int(content))


def _name_or_string(name: str) -> str:
    return name if _PLAIN_NAME.fullmatch(name) else json.dumps(name)


def _json(kernel: Kernel) -> str:
    try:
        return json.dumps(dict(kernel.attributes), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CompileError(
            f"the attributes of kernel {kernel.name} cannot be printed: {error}",
            location=kernel.location,
            hint="attributes are numbers, strings, lists and dictionaries of those",
        ) from error
