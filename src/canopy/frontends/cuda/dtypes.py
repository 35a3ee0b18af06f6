"""C types as NumPy dtypes, and whether the elements of an array are what a pointer wants."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np

from canopy.frontends.cuda.signatures import CType

__all__ = ["element_problem", "is_brain_float", "numpy_dtype"]

_LETTERS = {"int": "i", "uint": "u", "float": "f", "bool": "b", "complex": "c", "pointer": "u"}


def is_brain_float(type_: CType) -> bool:
    """Whether a 16-bit float has the exponent of a 32-bit one."""
    return type_.kind == "float" and type_.size == 2 and "bf" in type_.text


def numpy_dtype(type_: CType) -> np.dtype[Any]:
    """The dtype with the same memory; bytes where NumPy has no such number."""
    if type_.kind == "array" and type_.element:
        return np.dtype((numpy_dtype(type_.element), type_.extents))
    if type_.kind == "struct" and type_.fields:
        names, offsets, types = zip(*type_.fields, strict=True)
        formats = [numpy_dtype(inner) for inner in types]
        layout = {"names": names, "formats": formats, "offsets": offsets, "itemsize": type_.size}
        return np.dtype(layout)  # type: ignore[call-overload,no-any-return]
    if is_brain_float(type_):
        return np.dtype(ml_dtypes.bfloat16)  # type: ignore[no-any-return]
    if type_.kind not in _LETTERS:
        return np.dtype((np.void, type_.size))
    return np.dtype(f"{_LETTERS[type_.kind]}{type_.size}")


def element_problem(element: CType, dtype: str, itemsize: int, has_fields: bool) -> str:
    """Why elements of a ``dtype`` (``float32``, ``bfloat16``...) are not those of a pointer.

    Integers of one width pass for each other whatever their sign, and anything of one byte for a
    char; memory without a number type (void, structures) takes anything.
    """
    size, kind = element.size, element.kind
    if has_fields and kind == "struct" and itemsize != size:
        return f"its elements have {itemsize} bytes, those of {element.text} {size}"
    if kind in ("void", "struct", "array", "complex") or has_fields or not size:
        return ""
    if itemsize == size and (size == 1 or _family(dtype) == _family_of(element)):
        return ""
    wanted = "bfloat16" if is_brain_float(element) else str(numpy_dtype(element))
    return f"expected elements of {wanted}, got {dtype}"


def _family(dtype: str) -> str:
    for family in ("bfloat", "float", "complex", "bool"):
        if dtype.startswith(family):
            return family
    return "integer" if dtype.startswith(("int", "uint")) else dtype


def _family_of(element: CType) -> str:
    if is_brain_float(element):
        return "bfloat"
    return {"float": "float", "bool": "bool"}.get(element.kind, "integer")
