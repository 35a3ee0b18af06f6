"""What clang says of Ascend C, at the user's line and with a hint."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from canopy.errors import CompileError, Location

__all__ = ["clang_error", "kernels_of"]

_HEADERS = Path(__file__).parent / "headers"
_LINE = re.compile(
    r"^(?P<file>.*?):(?P<line>\d+):(?P<column>\d+): "
    r"(?P<kind>(?:fatal )?error|note|warning): (?P<text>.*)$"
)
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
_KERNEL = re.compile(r"(template\s*<[^;{]*?>\s*)?[^;{}>]*\b__global__\b[^;{]*?\bvoid\s+(\w+)\s*\(")
_UNKNOWN = re.compile(
    r"(?:undeclared identifier|no member named|no template named|unknown type name) '(\w+)'"
)
_HIGH_LEVEL = {
    *("Matmul", "MatmulImpl", "SoftMax", "SoftmaxFlashV2", "LayerNorm", "RmsNorm", "TopK"),
    *("REGIST_MATMUL_OBJ", "BatchNorm", "DropOut", "Hccl"),
}


@dataclass(frozen=True)
class _Message:
    location: Location
    kind: str
    text: str


def kernels_of(source: str, templates: bool = True) -> list[str]:
    """Names of the kernels in a source, with those that have template parameters or without."""
    found = _KERNEL.findall(_COMMENT.sub(" ", source))
    return list(dict.fromkeys(name for template, name in found if templates or not template))


def clang_error(stderr: str, filename: str, source: str, kernel: str) -> CompileError:
    """The first error, where the user's source asked for it."""
    messages = [
        _Message(Location(m["file"], int(m["line"]), int(m["column"])), m["kind"], m["text"])
        for m in map(_LINE.match, stderr.splitlines())
        if m
    ]
    first = next((i for i, m in enumerate(messages) if "error" in m.kind), None)
    if first is None:
        lines = stderr.strip().splitlines() or ["clang stopped without a message"]
        return CompileError(lines[-1], location=Location(filename))
    error = messages[first]
    if error.location.file == "<entry>":
        return _no_kernel(error, filename, source, kernel)
    notes: list[_Message] = []
    for message in messages[first + 1 :]:
        if message.kind != "note":
            break
        notes.append(message)
    fact = re.sub(r"^static assertion failed due to requirement .*?: ", "", error.text)
    fact = fact.removeprefix("static assertion failed: ")
    return CompileError(fact, location=_users_place(error, notes), hint=_hint(error, notes))


def _no_kernel(error: _Message, filename: str, source: str, kernel: str) -> CompileError:
    found = kernels_of(source)
    if kernel.partition("<")[0] in found:
        return CompileError(error.text, location=Location(filename))
    names = ", ".join(found) or "none"
    return CompileError(
        f"the source has no kernel {kernel}",
        location=Location(filename),
        hint=f"kernels in it: {names}; a kernel is `__global__ __aicore__ void name(...)`",
    )


def _users_place(error: _Message, notes: list[_Message]) -> Location:
    """The line outside our header: its own, or that of the call that a template serves."""
    places = [error.location, *(n.location for n in notes if "requested here" in n.text)]
    outside = (p for p in places if _HEADERS not in Path(p.file).parents)
    return next(outside, error.location)


def _hint(error: _Message, notes: list[_Message]) -> str:
    unknown = _UNKNOWN.search(error.text)
    if unknown and unknown[1] in _HIGH_LEVEL:
        return f"{unknown[1]} is of the high-level library, which is not there: use the basic calls"
    if unknown:
        return (
            f"if {unknown[1]} is a call of Ascend C, it is not among those that run on the CPU: "
            "docs/ascend.md lists them"
        )
    if "no matching function" in error.text:
        reasons = [n.text for n in notes if n.text.startswith("candidate")]
        conflict = next((r for r in reasons if "deduced" in r or "no known conversion" in r), "")
        what = conflict.removeprefix("candidate template ignored: ")
        return what or "the arguments fit no documented form of the call: docs/ascend.md"
    if "file not found" in error.text:
        return 'kernel_operator.h is the header that there is; name others with options=["-I..."]'
    return ""
