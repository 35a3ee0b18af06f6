"""Kernels as they stand in the text of a CUDA C++ source, and in strings of a Python program."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass

from canopy.frontends.cuda.host_functions import without_comments
from canopy.migrate.python_text import parsed

__all__ = ["KernelText", "StringSource", "kernels_in", "sources_in_strings"]

_KERNEL = re.compile(r"\b__global__\b")
_BRACKETED = re.compile(
    r"\s*(?:__launch_bounds__|__attribute__|__cluster_dims__|\w*BOUNDS\w*)\s*\("
)
_CALLED = re.compile(r"([A-Za-z_]\w*)\s*(?:<[^<>;{}()]*>)?\s*\(")
_INSTANTIATION = re.compile(r"[A-Za-z_][\w:]*<[^;{}()]*>")
_FILLED_IN = re.compile(r"%\(\w+\)|%[sd]\b|\$\{?\w|\{\w*\}|\{\{|@\w+@")


@dataclass(frozen=True)
class KernelText:
    """The place of a ``__global__`` (line and column from 1), and the name of what it marks; empty
    where a macro makes the name."""

    name: str
    line: int
    column: int
    is_definition: bool


def kernels_in(text: str) -> list[KernelText]:
    """Every ``__global__`` outside comments, strings and directives, in the order of the text."""
    code = without_comments(text)
    found = []
    for match in _KERNEL.finditer(code):
        start = code.rfind("\n", 0, match.start()) + 1
        if code[start : match.start()].lstrip().startswith("#"):
            continue
        line, column = code.count("\n", 0, match.start()) + 1, match.start() - start + 1
        head = _head(code, match.end())
        found.append(KernelText(_name_in(head), line, column, not head.endswith(";")))
    return found


def _head(code: str, at: int) -> str:
    """What follows ``__global__``, to the body or the semicolon."""
    end = re.search(r"[;{]", code[at : at + 4000])
    return code[at : at + (end.end() if end else 4000)]


def _name_in(head: str) -> str:
    """The function's name; attributes in brackets are skipped."""
    while match := re.search(_BRACKETED, head):
        head = head[: match.start()] + " " + head[_closing(head, match.end() - 1) :]
    called = _CALLED.search(head)
    return called[1] if called else ""


def _closing(text: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(text)):
        depth += (text[at] == "(") - (text[at] == ")")
        if depth == 0:
            return at + 1
    return len(text)


# ---- Python ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class StringSource:
    """A string literal of a Python file that holds kernels. ``line`` is that of its first
    character; ``is_exact`` tells whether its lines are lines of the file. ``expressions`` are
    instantiations of templates that the file names, ``is_filled_in`` is for texts that the program
    completes when it runs."""

    text: str
    line: int
    column: int
    is_exact: bool
    is_filled_in: bool
    expressions: tuple[str, ...]


def sources_in_strings(data: bytes) -> list[StringSource]:
    """The strings of a Python file in which ``__global__`` marks a kernel."""
    if b"__global__" not in data:
        return []
    tree = parsed(data)
    if tree is None:
        return []
    texts = list(_texts(tree))
    named = [text for node, text in texts if _INSTANTIATION.fullmatch(text)]
    return [_source(node, text, named) for node, text in texts if kernels_in(text)]


def _texts(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """String literals, and formatted ones with gaps; no docstrings."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    parts = {
        id(p) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for p in node.values
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            gaps = (v.value if isinstance(v, ast.Constant) else "{}" for v in node.values)
            yield node, "".join(map(str, gaps))
        elif id(node) in docstrings or id(node) in parts:
            continue
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node, node.value


def _source(node: ast.expr, text: str, named: list[str]) -> StringSource:
    is_exact = (node.end_lineno or node.lineno) - node.lineno == text.count("\n")
    is_filled_in = isinstance(node, ast.JoinedStr) or bool(_FILLED_IN.search(_code(text)))
    names = {kernel.name for kernel in kernels_in(text)}
    wanted = tuple(one for one in dict.fromkeys(named) if one.partition("<")[0] in names)
    return StringSource(text, node.lineno, node.col_offset + 1, is_exact, is_filled_in, wanted)


def _code(text: str) -> str:
    """Without what C++ itself has of such forms: braces of one line, remainders."""
    return without_comments(text).replace("{}", "")
