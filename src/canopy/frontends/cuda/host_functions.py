"""Leaves what does not compile of the host's functions out of a CUDA C++ source.

    void use() { f(); cublasCreate(&h); k<<<1, 1>>>(); }
    void use() { f();                 ; k<<<1, 1>>>(); }

So its kernels compile. Every other character stays in its place, and functions that a kernel might
call stay whole.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

__all__ = ["LeftOut", "blanked", "device_spans", "without_comments"]

_SKIPPED = re.compile(
    r"""//(?:\\\n|[^\n])*|/\*.*?\*/"""
    r"""|R"([^()\\ ]{0,16})\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'""",
    re.S,
)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:\\\n|[^\n])*", re.M)
_FOR_DEVICES = re.compile(r"(?i)device|__global__|\bconstexpr\b|\bHD\b|_HD\b")
_ON_DEVICES = re.compile(r"__global__|__device__")
_BEFORE_A_BODY = re.compile(r"\)\s*(?:const|noexcept|override|final|->[^;{}]*|\s)*$")
_GOVERNS = re.compile(r"\s*(?:else|do|case|default|for|if|while)\b")
_NO_FUNCTION = re.compile(r"^\s*(?:namespace|extern|struct|class|union|enum)\b")


def without_comments(text: str) -> str:
    """The text with comments and strings blanked, line by line the same length."""
    return _SKIPPED.sub(_blank, text)


def _blank(match: re.Match[str]) -> str:
    return re.sub(r"[^\n]", " ", match[0])


@dataclass(frozen=True)
class _Body:
    """The inside of a function's outermost braces, and what stands before them."""

    start: int
    end: int
    head: str
    inside: str

    @property
    def is_for_the_host(self) -> bool:
        """Whether no kernel can call it."""
        if _FOR_DEVICES.search(self.head):
            return False
        return "template" not in self.head or "<<<" in self.inside


@dataclass(frozen=True)
class LeftOut:
    """A source without parts of the host's functions: the lines (from 1) that asked for it, by the
    place where the function's body starts."""

    text: str
    lines: Mapping[int, list[int]]


def blanked(text: str, places: Iterable[tuple[int, int]], whole: bool = False) -> LeftOut:
    """The text without the statements of the host's functions in which these places (line and
    column, from 1) lie; without the functions' bodies where that cannot be, or with ``whole``."""
    code = _DIRECTIVE.sub(_blank, without_comments(text))
    starts = [0, *(match.end() for match in re.finditer("\n", text))]
    wanted = sorted({starts[line - 1] + column - 1 for line, column in places})
    lines: dict[int, list[int]] = {}
    gaps: list[tuple[int, int]] = []
    for body in _bodies(code):
        found = [at for at in wanted if body.start <= at < body.end]
        if not found or not body.is_for_the_host or not body.inside.strip():
            continue
        lines[body.start] = [bisect_right(starts, at) for at in found]
        statements = [_statement(code, at, body) for at in found]
        if whole or None in statements:
            gaps.append((body.start, body.end))
        else:
            gaps += [gap for gap in statements if gap]
    for start, end in gaps:
        text = text[:start] + re.sub(r"[^\n]", " ", text[start:end]) + text[end:]
    return LeftOut(text, lines)


def device_spans(text: str) -> list[tuple[int, int]]:
    """Where the functions that run on devices stand, from what is before their names to the end of
    their bodies."""
    code = _DIRECTIVE.sub(_blank, without_comments(text))
    return [
        (body.start - 1 - len(body.head), body.end)
        for body in _bodies(code)
        if _ON_DEVICES.search(body.head)
    ]


def _statement(code: str, at: int, body: _Body) -> tuple[int, int] | None:
    """The statement around a place, up to its semicolon; None for what is no plain statement."""
    start = max(code.rfind(mark, body.start, at) + 1 for mark in ";{}")
    ends = [end for mark in ";{}" if (end := code.find(mark, at, body.end)) >= 0]
    start, end = max(start, body.start), min(ends, default=-1)
    if end < 0 or code[end] != ";":
        return None
    inside = code[start:end]
    is_balanced = all(inside.count(a) == inside.count(b) for a, b in ("()", "[]"))
    return (start, end) if is_balanced and not _GOVERNS.match(inside) else None


def _bodies(code: str) -> Iterator[_Body]:
    """Functions' bodies; namespaces and classes are looked into."""
    at = head_start = 0
    while (start := code.find("{", at)) >= 0:
        head_start = max(head_start, *(code.rfind(mark, head_start, start) + 1 for mark in ";}"))
        head = code[head_start:start]
        if not _BEFORE_A_BODY.search(head) or _NO_FUNCTION.match(head):
            at = head_start = start + 1
            continue
        end = _closing(code, start)
        if end < 0:
            return
        yield _Body(start + 1, end, head, code[start + 1 : end])
        at = head_start = end + 1


def _closing(code: str, start: int) -> int:
    depth = 0
    for match in re.finditer(r"[{}]", code[start:]):
        depth += 1 if match[0] == "{" else -1
        if depth == 0:
            return start + match.start()
    return -1
