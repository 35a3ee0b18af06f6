"""Types of the tile IR: scalars, opaque pointers, and tiles of them.

Integer types carry their signedness: division, remainder, right shift, comparison, minimum, maximum
and conversion take their meaning from the type of the operands.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

__all__ = [
    "BF16",
    "BOOL",
    "F8E4M3",
    "F8E4M3B8",
    "F8E5M2",
    "F8E5M2B16",
    "F16",
    "F32",
    "F64",
    "I8",
    "I16",
    "I32",
    "I64",
    "PTR",
    "SCALARS",
    "SHARED_PTR",
    "U8",
    "U16",
    "U32",
    "U64",
    "ElementType",
    "PointerType",
    "ScalarType",
    "TileType",
    "Type",
    "element_type",
    "is_bool",
    "is_float",
    "is_integer",
    "is_pointer",
    "is_signed",
    "shape_of",
    "signed",
    "unsigned",
    "with_element",
]


@dataclass(frozen=True, slots=True)
class ScalarType:
    """A number: ``kind`` is bool, int (signed), uint or float; ``bits`` is its width in memory."""

    name: str
    kind: str
    bits: int

    @property
    def bytes(self) -> int:
        return max(self.bits // 8, 1)

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class PointerType:
    """An opaque 64-bit address; load and store have the element type. ``space``: global, shared."""

    space: str = "global"

    @property
    def bits(self) -> int:
        return 64

    @property
    def bytes(self) -> int:
        return 8

    def __str__(self) -> str:
        return "ptr" if self.space == "global" else f"ptr<{self.space}>"


ElementType: TypeAlias = ScalarType | PointerType


@dataclass(frozen=True, slots=True)
class TileType:
    """A block of scalars or pointers with a static shape, row-major in meaning."""

    shape: tuple[int, ...]
    element: ElementType

    @property
    def size(self) -> int:
        count = 1
        for extent in self.shape:
            count *= extent
        return count

    def __str__(self) -> str:
        return f"tile<{'x'.join(map(str, self.shape))}x{self.element}>"


Type: TypeAlias = ScalarType | PointerType | TileType

BOOL = ScalarType("i1", "bool", 1)
I8, I16, I32, I64 = (ScalarType(f"i{n}", "int", n) for n in (8, 16, 32, 64))
U8, U16, U32, U64 = (ScalarType(f"u{n}", "uint", n) for n in (8, 16, 32, 64))
F8E4M3 = ScalarType("f8e4m3", "float", 8)  # e4m3fn: no infinities (OCP, NVIDIA)
F8E5M2 = ScalarType("f8e5m2", "float", 8)  # IEEE-like (OCP, NVIDIA)
F8E4M3B8 = ScalarType("f8e4m3b8", "float", 8)  # e4m3fnuz, bias 8 (AMD)
F8E5M2B16 = ScalarType("f8e5m2b16", "float", 8)  # e5m2fnuz, bias 16 (AMD)
F16 = ScalarType("f16", "float", 16)
BF16 = ScalarType("bf16", "float", 16)
F32 = ScalarType("f32", "float", 32)
F64 = ScalarType("f64", "float", 64)
PTR = PointerType()
SHARED_PTR = PointerType("shared")

SCALARS: dict[str, ScalarType] = {
    t.name: t
    for t in (
        *(BOOL, I8, I16, I32, I64, U8, U16, U32, U64),
        *(F8E4M3, F8E5M2, F8E4M3B8, F8E5M2B16, F16, BF16, F32, F64),
    )
}


def element_type(type_: Type) -> ElementType:
    """The type of one lane: the element of a tile, or the scalar itself."""
    return type_.element if isinstance(type_, TileType) else type_


def shape_of(type_: Type) -> tuple[int, ...]:
    """The shape of a tile; () for a scalar."""
    return type_.shape if isinstance(type_, TileType) else ()


def with_element(type_: Type, element: ElementType) -> Type:
    """``type_`` with another element type and the same shape."""
    return TileType(type_.shape, element) if isinstance(type_, TileType) else element


def _kind(type_: Type) -> str:
    element = element_type(type_)
    return element.kind if isinstance(element, ScalarType) else "pointer"


def is_bool(type_: Type) -> bool:
    return _kind(type_) == "bool"


def is_float(type_: Type) -> bool:
    return _kind(type_) == "float"


def is_integer(type_: Type) -> bool:
    """Signed or unsigned integers; bool is not one."""
    return _kind(type_) in ("int", "uint")


def is_signed(type_: Type) -> bool:
    return _kind(type_) == "int"


def is_pointer(type_: Type) -> bool:
    return _kind(type_) == "pointer"


def unsigned(type_: Type) -> Type:
    """The unsigned type of the same width and shape; bool stays bool."""
    return _resigned(type_, "u")


def signed(type_: Type) -> Type:
    """The signed type of the same width and shape; bool stays bool."""
    return _resigned(type_, "i")


def _resigned(type_: Type, prefix: str) -> Type:
    element = element_type(type_)
    if not is_integer(element):
        return type_
    return with_element(type_, SCALARS[f"{prefix}{element.bits}"])
