"""TTIR as Triton prints it -> a tree of plain operations.

In:   ``%x_3 = tt.load %x_1, %m : tensor<64x!tt.ptr<f32>> loc(#loc7)``
Out:  ``Operation(name="tt.load", results=("x_3",), operands=("x_1", "m"), ..)``

The printed text is read, not the bindings: these have no getter for floats, dense constants,
arrays, block successors and the locations of operations without results.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from canopy.errors import UNKNOWN_LOCATION, CompileError, Location
from canopy.frontends.triton.places import Places

__all__ = ["Block", "Function", "Operation", "parse_module", "split_top"]


@dataclass(slots=True)
class Block:
    """A basic block: its arguments as (name, type text), and its operations."""

    label: str = ""
    arguments: list[tuple[str, str]] = field(default_factory=list)
    operations: list[Operation] = field(default_factory=list)


@dataclass(slots=True)
class Operation:
    """One operation as printed.

    ``body`` is the text between the name and the types, without the attribute dictionary;
    ``signature`` is the text after the last colon, that is, the types.
    """

    name: str
    results: tuple[str, ...] = ()
    operands: tuple[str, ...] = ()
    body: str = ""
    signature: str = ""
    attributes: dict[str, str] = field(default_factory=dict)
    strings: tuple[str, ...] = ()
    regions: list[list[Block]] = field(default_factory=list)
    location: Location = UNKNOWN_LOCATION

    def integer(self, name: str, default: int | None = None) -> int:
        """An integer attribute such as ``axis = 0 : i32``."""
        if name not in self.attributes and default is not None:
            return default
        return int(self.attributes[name].split(":")[0])

    def flag(self, name: str) -> bool:
        """A bool or unit attribute; absent is False."""
        return self.attributes.get(name, "false") in ("true", "")

    def integers(self, name: str) -> tuple[int, ...]:
        """An array attribute such as ``order = array<i32: 1, 0>``."""
        listed = self.attributes[name].partition(":")[2].rstrip(">").strip()
        return tuple(int(item) for item in listed.split(",")) if listed else ()

    @property
    def result_type(self) -> str:
        """The text of the (last) result type."""
        return self.result_types[-1]

    @property
    def result_types(self) -> list[str]:
        for arrow in (" -> ", " to "):
            if arrow in self.signature:
                return _listed(self.signature.rpartition(arrow)[2])
        return split_top(self.signature)

    @property
    def operand_types(self) -> list[str]:
        """The types before the arrow, or all of them where there is none."""
        for arrow in (" -> ", " to "):
            if arrow in self.signature:
                return _listed(self.signature.rpartition(arrow)[0])
        return split_top(self.signature)


@dataclass(slots=True)
class Function:
    """A ``tt.func``: parameters as (name, type text, attributes), blocks of the body."""

    name: str
    parameters: list[tuple[str, str, dict[str, str]]]
    blocks: list[Block]
    location: Location
    is_public: bool


_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_NAME = re.compile(r"%([A-Za-z0-9_$.\-]+(?:#\d+)?)")
_RESULTS = re.compile(r"^((?:%[\w$.\-]+(?::\d+)?(?:, )?)+) = ")
_OP = re.compile(r'^"?([A-Za-z_][\w$]*(?:\.[\w$]+)+)"?')
_HOLE = re.compile(r"§(\d+)§")
_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{2}|.)")
_OPEN, _CLOSE = "(<[{", ")>]}"


def split_top(text: str, separator: str = ",") -> list[str]:
    """``text`` split at the separators that stand outside all brackets."""
    if separator not in text:
        return [text.strip()] if text.strip() else []
    depth, start, pieces = 0, 0, []
    previous = ""
    for index, char in enumerate(text):
        if char in _OPEN:
            depth += 1
        elif char in _CLOSE and not (char == ">" and previous == "-"):
            depth -= 1
        elif char == separator and depth == 0:
            pieces.append(text[start:index].strip())
            start = index + 1
        previous = char
    pieces.append(text[start:].strip())
    return pieces


def _listed(text: str) -> list[str]:
    text = text.strip()
    if text.startswith("(") and text.endswith(")"):
        text = text[1:-1]
    return split_top(text)


def parse_module(text: str) -> list[Function]:
    """All functions of a printed TTIR module."""
    return _Parser(text).functions()


class _Parser:
    def __init__(self, text: str) -> None:
        lines = text.split("\n")
        self.places = Places(lines)
        self.lines = [line.strip() for line in lines if line.strip() and line[0] != "#"]
        self.position = 0

    def functions(self) -> list[Function]:
        found = []
        while self.position < len(self.lines):
            line = self.lines[self.position]
            self.position += 1
            if line.startswith("tt.func"):
                found.append(self._function(line))
        if not found:
            raise CompileError("the TTIR module holds no function")
        return found

    def _function(self, line: str) -> Function:
        header = line.removesuffix("{").rstrip()
        match = re.match(r'tt\.func (\w+ )?@("[^"]*"|[\w$.\-]+)\(', header)
        assert match, header
        parameters = []
        for piece in split_top(header[match.end() : _matching(header, match.end() - 1)]):
            piece = piece.partition(" loc(")[0]
            declared, _, attributes = piece.partition(" {")
            name, _, type_ = declared.partition(": ")
            parameters.append((name[1:], type_.strip(), _attributes(attributes.rstrip("}"), [])))
        region, closing = self._region()
        place = self.places.resolve(_place_text(closing)[1])
        return Function(match[2].strip('"'), parameters, region, place, match[1] != "private ")

    def _region(self) -> tuple[list[Block], str]:
        """The blocks up to the line that closes the region, and that line."""
        blocks = [Block()]
        while True:
            line = self.lines[self.position]
            self.position += 1
            if line[0] == "}":
                if len(blocks) > 1 and not blocks[0].operations and not blocks[0].label:
                    del blocks[0]
                return blocks, line
            if line[0] == "^":
                blocks.append(self._block(line))
            else:
                blocks[-1].operations.append(self._operation(line))

    def _block(self, line: str) -> Block:
        match = re.match(r"\^(\w+)", line)
        assert match, line
        block = Block(match[1])
        if line[match.end()] == "(":
            listed = line[match.end() + 1 : _matching(line, match.end())]
            for piece in split_top(listed):
                name, _, type_ = piece.partition(" loc(")[0].partition(": ")
                block.arguments.append((name[1:], type_))
        return block

    def _operation(self, line: str) -> Operation:
        results: tuple[str, ...] = ()
        if match := _RESULTS.match(line):
            results = _result_names(match[1])
            line = line[match.end() :]
        match = _OP.match(line)
        assert match, line
        op = Operation(match[1], results)
        rest, place = line[match.end() :], ""
        if rest.endswith("{"):
            rest, place = self._regions(op, rest[:-1])
        else:
            rest, place = _place_text(rest)
        op.location = self.places.resolve(place)
        _fill(op, rest)
        return op

    def _regions(self, op: Operation, header: str) -> tuple[str, str]:
        """Reads the regions of ``op``; gives its text without them, and its location's text."""
        while True:
            blocks, closing = self._region()
            op.regions.append(blocks)
            if not closing.endswith("{"):
                break
        tail, place = _place_text(closing[1:])
        return header.rstrip().removesuffix("(") + tail.removeprefix(")"), place


def _result_names(text: str) -> tuple[str, ...]:
    names: list[str] = []
    for piece in text.split(","):
        name, _, count = piece.strip()[1:].partition(":")
        names += [f"{name}#{i}" for i in range(int(count))] if count else [name]
    return tuple(names)


def _place_text(text: str) -> tuple[str, str]:
    start = text.rfind(" loc(")
    if start < 0:
        return text, ""
    return text[:start], text[start + 5 : -1]


def _matching(text: str, start: int) -> int:
    """The index of the bracket that closes the one at ``start``."""
    depth, in_string = 0, False
    for index in range(start, len(text)):
        char = text[index]
        if char == '"' and text[index - 1] != "\\":
            in_string = not in_string
        elif in_string:
            continue
        elif char in _OPEN:
            depth += 1
        elif char in _CLOSE and not (char == ">" and text[index - 1] == "-"):
            depth -= 1
            if depth == 0:
                return index
    raise CompileError(f"unbalanced brackets in TTIR: {text[:80]}")


def _fill(op: Operation, rest: str) -> None:
    """Splits the text after the name into operands, attributes, body and signature."""
    strings: list[str] = []
    if '"' in rest:

        def hole(match: re.Match[str]) -> str:
            strings.append(_unescaped(match[1]))
            return f"§{len(strings) - 1}§"

        rest = _STRING.sub(hole, rest)
    while (start := rest.find("{")) >= 0:
        end = _matching(rest, start)
        op.attributes.update(_attributes(rest[start + 1 : end], strings))
        generic = rest[start - 1 : start] == "<"
        rest = rest[: start - generic].rstrip() + rest[end + 1 + generic :]
    colon = _last_colon(rest)
    op.body = rest[:colon].strip() if colon >= 0 else rest.strip()
    op.signature = rest[colon + 3 :].strip() if colon >= 0 else ""
    op.operands = tuple(_NAME.findall(rest))
    op.strings = tuple(strings)


def _last_colon(text: str) -> int:
    start = text.rfind(" : ")
    while start >= 0:
        before = text[:start]
        if before.count("(") == before.count(")") and before.count("[") == before.count("]"):
            return start
        start = text.rfind(" : ", 0, start)
    return -1


def _attributes(text: str, strings: list[str]) -> dict[str, str]:
    found = {}
    for piece in split_top(text):
        name, _, content = piece.partition(" = ")
        found[name.strip()] = _filled(content.strip(), strings)
    return found


def _filled(text: str, strings: list[str]) -> str:
    return _HOLE.sub(lambda match: strings[int(match[1])], text)


def _unescaped(text: str) -> str:
    """MLIR's string escapes: two hexadecimal digits for a byte, or the character itself."""
    if "\\" not in text:
        return text
    raw = bytearray()
    position = 0
    for match in _ESCAPE.finditer(text):
        raw += text[position : match.start()].encode()
        escaped = match[1]
        raw += bytes([int(escaped, 16)]) if len(escaped) == 2 else _single(escaped)
        position = match.end()
    raw += text[position:].encode()
    return raw.decode(errors="replace")


def _single(char: str) -> bytes:
    return {"n": b"\n", "t": b"\t"}.get(char, char.encode())
