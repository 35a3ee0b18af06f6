"""Finds the asm statements in LLVM IR and puts calls of new functions in their place."""

from __future__ import annotations

import re

from canopy.frontends.cuda.ptx import arithmetic, bits, conversions, memory, warp
from canopy.frontends.cuda.ptx.lowering import CARRY, Lowering
from canopy.frontends.cuda.ptx.parser import PtxError, parse_ptx

__all__ = ["explain", "replace_inline_ptx"]

_TABLES = (arithmetic, bits, conversions, memory, warp)  # importing them fills the rules
_ASM = re.compile(
    r'call (?P<result>.*?) ?asm (?:sideeffect |alignstack |inteldialect |unwind )*"(?P<text>[^"]*)"'
    r', "(?P<constraints>[^"]*)"\('
)
_TYPE = re.compile(r"^(\{[^}]*\}|\w+(?: addrspace\(\d+\))?)")
_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{2})")
_LETTERS = frozenset("rlhfdbqncNi")


def replace_inline_ptx(ir: str) -> str:
    """``ir`` with functions in place of the asm statements that the tables have."""
    if " asm " not in ir:
        return ir
    made: dict[tuple[str, ...], tuple[str, str]] = {}  # by what determines it: name and text
    declarations: dict[str, str] = {}
    lines = []
    for line in ir.splitlines():
        match = _ASM.search(line) if " asm " in line else None
        lines.append(_replaced(line, match, made, declarations) if match else line)
    declared = "\n".join(lines)
    lines += [text for _, text in made.values()]
    lines += [
        text
        for name, text in declarations.items()
        if not re.search(rf"@{re.escape(name)}\(", declared)
    ]
    if any(f"@{CARRY}" in text for _, text in made.values()):
        lines.append(f"@{CARRY} = internal global i32 0")
    return "\n".join([*lines, ""])


def explain(statement: str) -> str:
    """Why an asm statement, a line of LLVM IR, is not supported."""
    match = _ASM.search(statement)
    if not match:
        return "this asm statement"
    try:
        _Statement(match, statement[match.end() :]).lower("canopy.explained")
    except PtxError as error:
        return str(error)
    return "this asm statement"


def _replaced(
    line: str,
    match: re.Match[str],
    made: dict[tuple[str, ...], tuple[str, str]],
    declarations: dict[str, str],
) -> str:
    statement = _Statement(match, line[match.end() :])
    key = statement.key
    if key not in made:
        name = f"canopy.asm.{len(made)}"
        try:
            lowering, text = statement.lower(name)
        except PtxError:
            return line
        made[key] = (name, text)
        declarations.update(lowering.declarations)
    arguments = ", ".join(f"{type_} {value}" for type_, value in statement.arguments)
    rest = re.sub(r", !srcloc !\d+", "", statement.rest)
    rest = re.sub(r"^( #\d+)", "", rest)
    head = line[: match.start()]
    return f"{head}call {statement.result} @{made[key][0]}({arguments}){rest}"


class _Statement:
    """One asm statement: its text, the types of its results, its arguments."""

    def __init__(self, match: re.Match[str], after: str) -> None:
        self.result = match["result"].strip().split(" ")[-1]
        if match["result"].rstrip().endswith("}"):
            self.result = match["result"][match["result"].index("{") :].strip()
        self.text = _ESCAPE.sub(lambda m: chr(int(m[1], 16)), match["text"])
        self.constraints = [c for c in match["constraints"].split(",") if c]
        passed, self.rest = _arguments(after)
        self.arguments = [_typed(argument) for argument in passed]

    @property
    def key(self) -> tuple[str, ...]:
        constants = (str(_integer(value)) for _, value in self.arguments)
        types = (type_ for type_, _ in self.arguments)
        return (self.text, self.result, *self.constraints, *types, *constants)

    def lower(self, name: str) -> tuple[Lowering, str]:
        """The builder, with what it calls, and the function's text."""
        outputs = [c for c in self.constraints if c.startswith("=")]
        inputs = [c for c in self.constraints if c[0] not in "=~"]
        for constraint in (*outputs, *inputs):
            letters = constraint.lstrip("=&*")
            if letters not in _LETTERS and not letters.isdigit():
                raise PtxError(f'an operand of the kind "{constraint}"')
        tied = {n: int(c) for n, c in enumerate(inputs) if c.isdigit()}
        given = [(type_, _integer(value)) for type_, value in self.arguments]
        lowering = Lowering(name, self._output_types(), given, tied)
        unique = self.text.replace("${:uid}", name.rsplit(".", 1)[1])
        return lowering, lowering.run(parse_ptx(unique.replace("$$", "$")))

    def _output_types(self) -> list[str]:
        if self.result == "void":
            return []
        if self.result.startswith("{"):
            return [t.strip() for t in self.result.strip("{} ").split(",")]
        return [self.result]


def _arguments(after: str) -> tuple[list[str], str]:
    """The arguments up to the closing parenthesis, and what follows it."""
    depth, parts, start = 1, [], 0
    for at, character in enumerate(after):
        depth += {"(": 1, ")": -1}.get(character, 0)
        if depth == 0 or (depth == 1 and character == ","):
            parts.append(after[start:at].strip())
            start = at + 1
        if depth == 0:
            return [p for p in parts if p], after[at + 1 :]
    raise PtxError("an asm statement that does not end")


def _typed(argument: str) -> tuple[str, str]:
    match = _TYPE.match(argument)
    type_ = match[1] if match else ""
    return type_, re.sub(
        r"^(?:(?:noundef|nonnull|align \d+) )*", "", argument[len(type_) :].strip()
    )


def _integer(value: str) -> int | None:
    return int(value) if re.fullmatch(r"-?\d+", value) else None
