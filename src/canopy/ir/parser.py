"""Reads the text of a kernel that `canopy.ir.printer` wrote.

The text may come from anywhere: every fault is a CompileError that names its line and column, and
sizes are bounded. What it describes is checked by the verifier.
"""

from __future__ import annotations

import json
import re
from dataclasses import MISSING, dataclass
from typing import Any, NoReturn

from canopy.errors import UNKNOWN_LOCATION, CompileError, Location
from canopy.ir.core import Kernel, Op, Parameter, Region, Value
from canopy.ir.syntax import (
    POSITIONAL,
    FieldKind,
    FieldSpec,
    all_ops,
    fields_of,
    implied_type,
    parse_type,
)
from canopy.ir.types import PointerType, ScalarType, TileType, Type
from canopy.ir.verifier import verify

__all__ = ["parse_kernel"]

MAX_TEXT = 1 << 26  # characters
MAX_DEPTH = 64  # regions within regions
MAX_DIGITS = 40  # a 64-bit integer has 20, a double's repr at most 24


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    offset: int


_TOKEN = re.compile(
    r"""(?P<blank>[ \t\r]+)
    |(?P<newline>\n)
    |(?P<comment>\#[^\n]*)
    |(?P<type>tile<[0-9x]*[a-z0-9]+(?:<\w+>)?>|ptr<\w+>)
    |(?P<value>%[A-Za-z0-9_.$]+)
    |(?P<number>-?(?:inf\b|nan\b|[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?))
    |(?P<string>"(?:[^"\\\n]|\\.)*")
    |(?P<word>[A-Za-z_][A-Za-z0-9_.$]*)
    |(?P<mark>[(){}\[\]=,:])""",
    re.VERBOSE,
)


def parse_kernel(text: str, file: str = "<ir>") -> Kernel:
    """The kernel that ``text`` describes, verified. Raises CompileError (or VerifyError, one of its
    kinds); ``file`` names the text in messages."""
    if len(text) > MAX_TEXT:
        raise CompileError(
            f"the text has {len(text)} characters, at most {MAX_TEXT} are read",
            location=Location(file),
        )
    kernel = _Parser(text, file).kernel()
    verify(kernel)
    return kernel


class _Parser:
    def __init__(self, text: str, file: str) -> None:
        self._text = text
        self._file = file
        self._tokens = self._tokenise()
        self._position = 0
        self._depth = 0
        self._scope: dict[str, Value] = {}
        self._ops = all_ops()

    # Tokens

    def _tokenise(self) -> list[_Token]:
        """Blanks go; a comment stays where it follows something on its line: it is a place then."""
        tokens: list[_Token] = []
        offset, line_is_empty = 0, True
        while offset < len(self._text):
            match = _TOKEN.match(self._text, offset)
            if match is None:
                self._fail(f"unexpected character {self._text[offset]!r}", offset)
            kind = str(match.lastgroup)
            if kind == "newline":
                line_is_empty = True
            elif kind != "blank" and not (kind == "comment" and line_is_empty):
                tokens.append(_Token(kind, match.group(), offset))
                line_is_empty = False
            offset = match.end()
        tokens.append(_Token("end", "", len(self._text)))
        return tokens

    @property
    def _token(self) -> _Token:
        return self._tokens[self._position]

    def _next(self) -> _Token:
        token = self._token
        if token.kind != "end":
            self._position += 1
        return token

    def _accept(self, text: str) -> bool:
        if self._token.text != text or self._token.kind not in ("mark", "word"):
            return False
        self._next()
        return True

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            self._fail(f"expected {text!r}, got {self._shown()}")

    def _take(self, kind: str, what: str) -> str:
        if self._token.kind != kind:
            self._fail(f"expected {what}, got {self._shown()}")
        return self._next().text

    def _shown(self) -> str:
        return repr(self._token.text[:40]) if self._token.kind != "end" else "the end of the text"

    def _fail(self, fact: str, offset: int | None = None, hint: str = "") -> NoReturn:
        raise CompileError(fact, location=self._place(offset), hint=hint)

    def _place(self, offset: int | None = None) -> Location:
        at = self._token.offset if offset is None else offset
        line = self._text.count("\n", 0, at) + 1
        return Location(self._file, line, at - self._text.rfind("\n", 0, at))

    # The kernel

    def kernel(self) -> Kernel:
        self._expect("kernel")
        name = self._string() if self._token.kind == "string" else self._take("word", "a name")
        parameters = self._parameters()
        block = self._block()
        attributes = self._attributes() if self._accept("attributes") else {}
        self._expect("{")
        location = self._location()
        ops = self._region_ops()
        if self._token.kind == "comment":
            self._next()
        if self._token.kind != "end":
            self._fail(f"expected the end of the text, got {self._shown()}")
        return Kernel(name, parameters, Region((), ops), location, block, attributes)

    def _parameters(self) -> tuple[Parameter, ...]:
        self._expect("(")
        found: list[Parameter] = []
        while not self._accept(")"):
            if found:
                self._expect(",")
            found.append(self._parameter())
        return tuple(found)

    def _parameter(self) -> Parameter:
        value, name = self._argument()
        divisibility, pointee = 1, ""
        while self._token.kind == "word":
            field = self._next().text
            self._expect("=")
            match field:
                case "name":
                    name = self._string()
                case "divisibility":
                    divisibility = self._integer()
                case "pointee":
                    pointee = self._string()
                case _:
                    self._fail(f"a parameter has no field {field!r}")
        return Parameter(value, name, divisibility, pointee)

    def _block(self) -> tuple[int, int, int] | None:
        if not self._accept("block"):
            return None
        self._expect("=")
        extents = self._integers()
        if len(extents) != 3:
            self._fail(f"a block has 3 extents (x, y, z), this one has {len(extents)}")
        return (extents[0], extents[1], extents[2])

    def _attributes(self) -> dict[str, Any]:
        self._expect("=")
        start = self._token.offset
        try:
            found, end = json.JSONDecoder(parse_constant=_no_constant).raw_decode(self._text, start)
        except (ValueError, RecursionError) as error:
            self._fail(f"the attributes are not JSON: {error}"[:200])
        if not isinstance(found, dict):
            self._fail("the attributes are not a dictionary")
        while self._token.offset < end and self._token.kind != "end":
            self._next()
        return found

    # Ops and regions

    def _region_ops(self) -> list[Op]:
        """Ops up to the closing brace; their names are not known after it."""
        self._depth += 1
        if self._depth > MAX_DEPTH:
            self._fail(f"regions are nested more than {MAX_DEPTH} deep")
        outer = dict(self._scope)
        ops: list[Op] = []
        while not self._accept("}"):
            ops.append(self._op())
        self._scope = outer
        self._depth -= 1
        return ops

    def _op(self) -> Op:
        start = self._token.offset
        names = self._result_names()
        mnemonic = self._take("word", "an op")
        kind = self._ops.get(mnemonic)
        if kind is None:
            self._fail(f"there is no op {mnemonic!r}", start)
        specs = fields_of(kind)
        fields = self._fields(specs)
        types = self._result_types()
        location = self._location()
        for number, spec in enumerate(s for s in specs if s.kind == FieldKind.REGION):
            if self._token.text != spec.name:
                self._fail(f"{mnemonic} needs a region {spec.name}, got {self._shown()}")
            fields[spec.name], place = self._region()
            location = place if number == 0 and place != UNKNOWN_LOCATION else location
        for spec in specs:
            self._fill(spec, fields, types, mnemonic, start)
        op = self._build(kind, fields, location, start)
        self._name_results(op, names, types, start)
        return op

    def _result_names(self) -> list[str]:
        names: list[str] = []
        while self._token.kind == "value":
            names.append(self._next().text[1:])
            if not self._accept(","):
                self._expect("=")
                break
        return names

    def _fields(self, specs: tuple[FieldSpec, ...]) -> dict[str, Any]:
        by_name = {s.name: s for s in specs if s.kind not in (*POSITIONAL, FieldKind.REGION)}
        fields: dict[str, Any] = {}
        for spec in (spec for spec in specs if spec.kind in POSITIONAL):
            if fields:
                self._expect(",")
            fields[spec.name] = self._content(spec)
        first = not fields
        while self._at_named_field() if first else self._accept(","):
            name = self._take("word", "a field")
            if name not in by_name or name in fields:
                self._fail(f"the op has no field {name!r}, or has it twice")
            self._expect("=")
            fields[name] = self._content(by_name[name])
            first = False
        return fields

    def _at_named_field(self) -> bool:
        following = self._tokens[min(self._position + 1, len(self._tokens) - 1)]
        return self._token.kind == "word" and following.text == "="

    def _result_types(self) -> tuple[Type, ...]:
        if not self._accept(":"):
            return ()
        types = [self._type()]
        while self._accept(","):
            types.append(self._type())
        return tuple(types)

    def _region(self) -> tuple[Region, Location]:
        self._next()
        outer = dict(self._scope)
        self._expect("(")
        args: list[Value] = []
        while not self._accept(")"):
            if args:
                self._expect(",")
            args.append(self._argument()[0])
        self._expect("{")
        location = self._location()
        ops = self._region_ops()
        self._scope = outer
        if self._token.kind == "comment":
            self._next()
        return Region(tuple(args), ops), location

    def _argument(self) -> tuple[Value, str]:
        name = self._take("value", "a value")[1:]
        self._expect(":")
        value = Value(self._type(), _own_name(name))
        self._bind(name, value)
        return value, name

    def _bind(self, name: str, value: Value) -> None:
        if name in self._scope:
            self._fail(f"%{name} is made a second time", hint="every value has its own name")
        self._scope[name] = value

    def _fill(
        self, spec: FieldSpec, fields: dict[str, Any], types: tuple[Type, ...], op: str, at: int
    ) -> None:
        if spec.name in fields or not spec.is_required:
            return
        implied = implied_type(spec, types)
        if spec.kind == FieldKind.SCALAR_TYPE and not isinstance(implied, ScalarType):
            implied = None
        if implied is None:
            if spec.kind == FieldKind.OPTIONAL_VALUE and spec.default is MISSING:
                self._fail(f"{op} needs the field {spec.name}", at, f"{spec.name}=none is one way")
            self._fail(f"{op} needs the field {spec.name}", at)
        fields[spec.name] = implied

    def _build(self, kind: type[Op], fields: dict[str, Any], place: Location, at: int) -> Op:
        """Result types are inferred before the verifier sees the op: that may fail in any way on
        operands that do not fit, and means the same fault."""
        try:
            return kind(location=place, **fields)
        except Exception as error:
            raise CompileError(
                f"{kind.mnemonic()} has operands or fields that do not fit together",
                location=self._place(at),
            ) from error

    def _name_results(self, op: Op, names: list[str], types: tuple[Type, ...], at: int) -> None:
        inferred = tuple(value.type for value in op.results)
        if types != inferred:
            shown = [", ".join(map(str, t)) or "nothing" for t in (inferred, types)]
            self._fail(f"{op.mnemonic()} gives {shown[0]}, the text says {shown[1]}", at)
        if len(names) != len(types):
            self._fail(f"{op.mnemonic()} has {len(types)} results, {len(names)} are named", at)
        for name, value in zip(names, op.results, strict=True):
            value.name = _own_name(name)
            self._bind(name, value)

    # What fields hold

    def _content(self, spec: FieldSpec) -> Any:
        match spec.kind:
            case FieldKind.VALUE:
                return self._value()
            case FieldKind.OPTIONAL_VALUE:
                return None if self._accept("none") else self._value()
            case FieldKind.VALUES:
                return self._values()
            case FieldKind.TYPE | FieldKind.ELEMENT_TYPE | FieldKind.SCALAR_TYPE:
                return self._type_field(spec)
            case FieldKind.INTEGER:
                return self._integer()
            case FieldKind.INTEGERS:
                return self._integers()
            case FieldKind.STRING:
                return self._string()
            case FieldKind.WORD:
                return self._word(spec.words)
            case FieldKind.BOOL:
                return self._word(("true", "false")) == "true"
            case _:
                return self._number()

    def _value(self) -> Value:
        offset = self._token.offset
        name = self._take("value", "a value")[1:]
        if name not in self._scope:
            self._fail(f"%{name} is not known here", offset, "values are made before they are used")
        return self._scope[name]

    def _values(self) -> tuple[Value, ...]:
        self._expect("[")
        found: list[Value] = []
        while not self._accept("]"):
            if found:
                self._expect(",")
            found.append(self._value())
        return tuple(found)

    def _type(self) -> Type:
        offset = self._token.offset
        token = self._next()
        type_ = parse_type(token.text) if len(token.text) < 1000 else None
        if type_ is None:
            self._fail(f"expected a type, got {token.text[:40]!r}", offset)
        return type_

    def _type_field(self, spec: FieldSpec) -> Type | None:
        if not spec.is_required and self._accept("none"):
            return None
        offset = self._token.offset
        type_ = self._type()
        no_tile = spec.kind != FieldKind.TYPE and isinstance(type_, TileType)
        if no_tile or (spec.kind == FieldKind.SCALAR_TYPE and isinstance(type_, PointerType)):
            self._fail(f"{spec.name} cannot be {type_}", offset)
        return type_

    def _integer(self) -> int:
        offset = self._token.offset
        number = self._number()
        if type(number) is not int:
            self._fail(f"expected an integer, got {number}", offset)
        return number

    def _integers(self) -> tuple[int, ...]:
        self._expect("(")
        found: list[int] = []
        while not self._accept(")"):
            if found:
                self._expect(",")
            found.append(self._integer())
        return tuple(found)

    def _number(self) -> int | float | bool:
        if self._token.text in ("true", "false"):
            return self._next().text == "true"
        offset = self._token.offset
        text = self._take("number", "a number")
        if len(text) > MAX_DIGITS:
            self._fail(f"a number of {len(text)} digits", offset)
        return int(text) if text.lstrip("-").isdigit() else float(text)

    def _string(self) -> str:
        offset = self._token.offset
        text = self._take("string", "a string")
        try:
            return str(json.loads(text))
        except ValueError:
            self._fail("the string has an unknown escape", offset)

    def _word(self, words: tuple[str, ...]) -> str:
        offset = self._token.offset
        text = self._next().text
        if text not in words:
            self._fail(f"expected one of {', '.join(words)}, got {text[:40]!r}", offset)
        return text

    def _location(self) -> Location:
        """The place in a comment at the end of the line; unknown if there is none."""
        if self._token.kind != "comment":
            return UNKNOWN_LOCATION
        text = self._next().text[1:].strip()
        match = _PLACE.fullmatch(text)
        if match is None:
            return UNKNOWN_LOCATION
        file, line, column = match.group(1), match.group(2), match.group(3)
        if file.startswith('"'):
            try:
                file = str(json.loads(file))
            except ValueError:
                return UNKNOWN_LOCATION
        return Location(file, int(line or 0), int(column or 0))


_PLACE = re.compile(r'("(?:[^"\\]|\\.)*"|[A-Za-z0-9_./<>+\-]+)(?::(\d{1,9})(?::(\d{1,9}))?)?')


def _no_constant(text: str) -> NoReturn:
    raise ValueError(f"{text} is no JSON")


def _own_name(name: str) -> str:
    """Numbers are the printer's: they are counted anew when it prints again."""
    return "" if name[0].isdigit() else name
