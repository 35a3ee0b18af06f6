"""Type texts of TTIR -> types of the tile IR; integers become signed."""

from __future__ import annotations

import functools
import re

from canopy.errors import UnsupportedError
from canopy.ir.types import (
    BF16,
    BOOL,
    F8E4M3,
    F8E4M3B8,
    F8E5M2,
    F8E5M2B16,
    F16,
    F32,
    F64,
    I8,
    I16,
    I32,
    I64,
    PTR,
    ElementType,
    ScalarType,
    TileType,
    Type,
)

__all__ = ["parse_type", "pointee_bytes", "pointee_of"]

_SCALARS: dict[str, ScalarType] = {
    "i1": BOOL,
    "i8": I8,
    "i16": I16,
    "i32": I32,
    "i64": I64,
    "index": I64,
    "f8E4M3FN": F8E4M3,
    "f8E5M2": F8E5M2,
    "f8E4M3FNUZ": F8E4M3B8,
    "f8E5M2FNUZ": F8E5M2B16,
    "f16": F16,
    "bf16": BF16,
    "f32": F32,
    "f64": F64,
}
_TENSOR = re.compile(r"^tensor<((?:\d+x)*)(.*?)>$")


@functools.lru_cache(maxsize=4096)
def parse_type(text: str) -> Type:
    """``tensor<4x16x!tt.ptr<f32>>`` -> a 4x16 tile of pointers."""
    if not text.startswith("tensor<"):
        return _element(text)
    match = _TENSOR.match(text)
    assert match, text
    shape = tuple(int(extent) for extent in match[1].split("x") if extent)
    element = _element(match[2])
    return TileType(shape, element) if shape else element


def _element(text: str) -> ElementType:
    if text.startswith("!tt.ptr<"):
        return PTR
    if text not in _SCALARS:
        raise UnsupportedError(
            f"the type {text} of Triton has no counterpart here",
            hint="use bool, int8 to int64, a float8, float16, bfloat16, float32 or float64",
        )
    return _SCALARS[text]


@functools.lru_cache(maxsize=1024)
def pointee_of(text: str) -> ElementType:
    """What a pointer (or a tile of pointers) points to."""
    match = re.search(r"!tt\.ptr<(.*)>", text)
    assert match, text
    inside = match[1]
    if text.startswith("tensor<"):
        inside = inside.removesuffix(">") if inside.count(">") > inside.count("<") else inside
    inside = re.sub(r", \d+$", "", inside)
    pointee = parse_type(inside)
    assert not isinstance(pointee, TileType)
    return pointee


def pointee_bytes(text: str) -> int:
    """The bytes from one element to the next; a bool takes one."""
    return pointee_of(text).bytes
