"""Functions of a module of LLVM as text: their blocks, their parameters, the calls in them."""

from __future__ import annotations

import re
from dataclasses import dataclass

from canopy.frontends.cuda.indirect import split_arguments, type_of_text

__all__ = ["CALL", "LOCAL", "Function", "defined_name", "functions_of", "in_brackets"]

_NAME = r'@("[^"]*"|[-\w.$]+)'
LOCAL = re.compile(r'%("[^"]*"|[-\w.$]+)')
# the value, and who is called
CALL = re.compile(rf"^\s*(?:(%\S+) = )?(?:tail |musttail |notail )?call [^@]*?{_NAME}\(")
_LABEL = re.compile(r'^("[^"]*"|[-\w.$]+):')


@dataclass
class Function:
    name: str
    head: str  # the line of the definition
    lines: list[str]  # up to the closing brace

    def blocks(self) -> dict[str, list[str]]:
        """Label -> instructions."""
        found: dict[str, list[str]] = {}
        label = ""
        for line in self.lines:
            match = _LABEL.match(line)
            if match:
                label = match[1]
                found[label] = []
            elif line.strip() and not line.lstrip().startswith(("#dbg", ";")):
                found.setdefault(label, []).append(line)
        return found

    def parameters(self) -> list[str]:
        return split_arguments(in_brackets(self.head, self.head.index(f"@{self.name}(")))

    @property
    def result(self) -> str:
        return type_of_text(self.head[len("define ") : self.head.index(f"@{self.name}(")])


def functions_of(ir: str) -> list[Function]:
    found: list[Function] = []
    lines = iter(ir.splitlines())
    for line in lines:
        if line.startswith("define "):
            body = []
            for inner in lines:
                if inner == "}":
                    break
                body.append(inner)
            found.append(Function(defined_name(line), line, body))
    return found


def defined_name(head: str) -> str:
    match = re.search(rf"{_NAME}\(", head)
    assert match
    return match[1]


def in_brackets(text: str, start: int) -> str:
    """What stands in the first round brackets behind ``start``."""
    opening = text.index("(", start)
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if not depth:
            return text[opening + 1 : at]
    raise ValueError(text)
