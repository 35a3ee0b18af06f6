"""How the interpreter represents numbers: NumPy dtypes of element types, and exact roundings.

float16, bfloat16 and float8 are computed in float32 and rounded to the type after every op.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import ml_dtypes
import numpy as np
import numpy.typing as npt

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
    ElementType,
    PointerType,
    ScalarType,
    Type,
    element_type,
    is_float,
    is_integer,
)

__all__ = ["Array", "compute", "convert", "dtype_of", "from_python", "round_float"]

Array: TypeAlias = npt.NDArray[Any]

_FLOATS: dict[ScalarType, np.dtype[Any]] = {
    F8E4M3: np.dtype(ml_dtypes.float8_e4m3fn),
    F8E5M2: np.dtype(ml_dtypes.float8_e5m2),
    F8E4M3B8: np.dtype(ml_dtypes.float8_e4m3fnuz),
    F8E5M2B16: np.dtype(ml_dtypes.float8_e5m2fnuz),
    F16: np.dtype(np.float16),
    BF16: np.dtype(ml_dtypes.bfloat16),
    F32: np.dtype(np.float32),
    F64: np.dtype(np.float64),
}


_LARGEST_FLOAT8 = {F8E4M3: 448.0, F8E5M2: 57344.0, F8E4M3B8: 240.0, F8E5M2B16: 57344.0}


def dtype_of(type_: Type) -> np.dtype[Any]:
    """The NumPy dtype of one lane; pointers are uint64."""
    element = element_type(type_)
    if isinstance(element, PointerType):
        return np.dtype(np.uint64)
    if element == BOOL:
        return np.dtype(np.bool_)
    if element.kind == "float":
        return _FLOATS[element]
    return np.dtype(f"{element.kind}{element.bits}")


def from_python(value: float, type_: Type) -> Array:
    """A Python number as a 0-d array: integers wrap around, floats round to nearest even."""
    element = element_type(type_)
    if is_float(element):
        return round_float(np.asarray(float(value), np.float64), element)
    if element == BOOL:
        return np.asarray(bool(value))
    wrapped = int(value) & ((1 << element.bits) - 1)
    return np.asarray(wrapped, f"uint{element.bits}").view(dtype_of(element))


def compute(function: Callable[..., Any], type_: Type, *operands: Array) -> Array:
    """``function`` on the operands; float types below 32 bits go through float32."""
    dtype = dtype_of(type_)
    if not is_float(type_) or dtype.itemsize >= 4:
        return np.asarray(function(*operands)).astype(dtype, copy=False)
    wide = function(*(operand.astype(np.float32) for operand in operands))
    return round_float(np.asarray(wide, np.float32), element_type(type_))


def convert(source: Array, from_type: Type, to: ScalarType, rounding: str = "rtne") -> Array:
    """The numeric conversion that `Cast` names."""
    if to == BOOL:
        return np.asarray(source != 0)
    if is_float(to):
        return round_float(_as_wide_float(source, from_type, to), to, rounding)
    if is_float(from_type):
        return _saturated(source.astype(np.float64), to)
    return source.astype(dtype_of(to))


def round_float(source: Array, element: ElementType, rounding: str = "rtne") -> Array:
    """float32 or float64 values rounded once to ``element``; float8 saturates to its largest
    finite number, as CUDA's ``cvt.satfinite`` does."""
    assert isinstance(element, ScalarType)
    dtype = dtype_of(element)
    if source.dtype == dtype:
        return source
    if element.bits == 8:
        source = np.clip(source, -_LARGEST_FLOAT8[element], _LARGEST_FLOAT8[element])
    if rounding == "rtz":
        return _toward_zero(source, dtype)
    if source.dtype == np.float64 and dtype not in (np.float32, np.float16):
        # ml_dtypes goes through float32; rounding to odd first keeps that from rounding twice.
        source = _round_to_odd(source)
    return np.asarray(source.astype(dtype))


def _toward_zero(source: Array, dtype: np.dtype[Any]) -> Array:
    nearest = np.atleast_1d(source.astype(dtype))
    too_large = np.abs(nearest.astype(np.float64)) > np.abs(source.astype(np.float64))
    bits = nearest.view(f"uint{dtype.itemsize * 8}")
    return np.asarray((bits - too_large.astype(bits.dtype)).view(dtype)).reshape(source.shape)


def _round_to_odd(source: Array) -> Array:
    truncated = np.atleast_1d(_toward_zero(source, np.dtype(np.float32)))
    inexact = (truncated.astype(np.float64) != source) & ~np.isnan(source)
    bits = truncated.view(np.uint32) | inexact.astype(np.uint32)
    return np.asarray(bits.view(np.float32)).reshape(source.shape)


def _as_wide_float(source: Array, from_type: Type, to: ScalarType) -> Array:
    if is_integer(from_type) and element_type(from_type).bits == 64 and to != F64:
        return _int64_with_sticky_bit(source)
    if source.dtype in (np.float32, np.float64):
        return source
    return source.astype(np.float64)


def _int64_with_sticky_bit(source: Array) -> Array:
    """64-bit integers as float64 that round further as the integers themselves would."""
    negative = source < 0
    magnitude = source.astype(np.uint64)
    magnitude = np.where(negative, ~magnitude + np.uint64(1), magnitude)
    low = np.uint64(0x7FF)
    sticky = ((magnitude & low) != 0).astype(np.uint64) << np.uint64(11)
    shortened = np.where(magnitude >> np.uint64(53), (magnitude & ~low) | sticky, magnitude)
    return np.where(negative, -1.0, 1.0) * shortened.astype(np.float64)


def _saturated(source: Array, to: ScalarType) -> Array:
    """Truncation toward zero; out of range gives the nearest integer, NaN gives 0 (as in CUDA)."""
    info = np.iinfo(dtype_of(to))
    below, above = source <= float(info.min), source >= float(info.max)
    inside = np.where(below | above | np.isnan(source), 0.0, np.trunc(source))
    result = inside.astype(dtype_of(to))
    result = np.where(above, np.asarray(info.max, result.dtype), result)
    return np.where(below, np.asarray(info.min, result.dtype), result)
