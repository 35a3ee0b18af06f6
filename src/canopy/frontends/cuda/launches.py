"""Block shapes that the host half launches kernels with, read from its LLVM IR."""

from __future__ import annotations

import re
from collections.abc import Iterable

__all__ = ["launch_shapes"]

Shape = tuple[int, int, int]

# dim3 arrives as an i64 (x low, y high) and an i32 (z), for the grid and for the block.
_PUSH = re.compile(
    r"@__cudaPushCallConfiguration\(i64 [^,]+, i32 [^,]+, i64 (?:noundef )?([^,]+), "
    r"i32 (?:noundef )?([^,]+),"
)
_STUB = re.compile(r"@(_Z\w*?__device_stub__\w+|__device_stub__\w+)")
_REGISTERED = re.compile(
    r"@__cudaRegisterFunction\(ptr[^@]*@(\"[^\"]*\"|[\w.$]+), ptr[^@]*@(\"[^\"]*\"|[\w.$]+)"
)
# What asks about a kernel or sets something launches nothing.
_QUESTION = re.compile(r"call [^@]*@[^( ]*cuda(FuncSet|FuncGetAttributes|Occupancy)[^( ]*\(")
_TEXT = re.compile(r"^@(\"[^\"]*\"|[\w.$]+) = .*constant \[\d+ x i8\] c\"([^\"]*)\\00\"")
MAX_THREADS = 1024


def launch_shapes(host_ir: str) -> dict[str, tuple[set[Shape], bool]]:
    """By kernel name: constant block shapes, and whether some launch may have another.

    A kernel whose stub escapes (its address is taken) may be launched with any shape.
    """
    lines = host_ir.splitlines()
    texts = {m[1]: m[2] for line in lines if (m := _TEXT.match(line))}
    names = {m[1]: texts[m[2]] for line in lines if (m := _REGISTERED.search(line))}
    found: dict[str, tuple[set[Shape], bool]] = {name: (set(), False) for name in names.values()}
    for body in _bodies(lines):
        _read_function(body, names, found)
    return found


def _bodies(lines: list[str]) -> Iterable[list[str]]:
    body: list[str] = []
    for line in lines:
        if line.startswith("define "):
            body = [line]
        elif line == "}":
            yield body
            body = []
        elif body:
            body.append(line)


def _read_function(
    body: list[str], names: dict[str, str], found: dict[str, tuple[set[Shape], bool]]
) -> None:
    """Pairs every mention of a stub with the one configuration pushed since the last mention; a
    mention without one takes the address, and one of several may belong to any of them."""
    defined = _STUB.search(body[0])
    pending: list[Shape | None] = []
    for line in body[1:]:
        push = _PUSH.search(line)
        if push:
            pending.append(_shape(push[1], push[2]))
            continue
        if "@__cudaRegisterFunction(" in line or _QUESTION.search(line):
            continue
        for stub in _STUB.findall(line):
            if stub not in names or (defined and stub == defined[1]):
                continue
            shapes, other = found[names[stub]]
            shapes.update(shape for shape in pending if shape)
            found[names[stub]] = (shapes, other or len(pending) != 1 or pending[0] is None)
            pending = []


def _shape(xy: str, z: str) -> Shape | None:
    if not (re.fullmatch(r"-?\d+", xy) and re.fullmatch(r"-?\d+", z)):
        return None
    packed = int(xy) % (1 << 64)
    shape = (packed & 0xFFFFFFFF, packed >> 32, int(z))
    threads = shape[0] * shape[1] * shape[2]
    return shape if 0 < threads <= MAX_THREADS else None
