"""Python values as kernel arguments: checked against the parameter's C type.

Arrays and tensors pass through (the native launcher reads their address); integers, floats and
bools too (it converts and checks their range). What is left for Python: the element type and the
layout of arrays, and structures, which become the bytes of a copy.
"""

from __future__ import annotations

import ctypes
import numbers
from collections.abc import Callable, Sequence
from typing import Any

import ml_dtypes
import numpy as np

from canopy.errors import UnsupportedError
from canopy.frontends.cuda.dtypes import element_problem, is_brain_float, numpy_dtype
from canopy.frontends.cuda.signatures import CType, Parameter

__all__ = ["RefusalError", "kind_of", "packer_for"]

Packer = Callable[[Any], Any]


class RefusalError(Exception):
    """Why a value cannot be passed; ``hint`` says what can."""

    def __init__(self, fact: str, hint: str = "") -> None:
        super().__init__(fact)
        self.hint = hint


_INTEGERS = {1: "k", 2: "s", 4: "i", 8: "l"}
_FLOATS = {2: "e", 4: "f", 8: "d"}


def kind_of(type_: CType, is_written: bool) -> str:
    """The native launcher's character for a parameter that is no structure."""
    if type_.kind == "pointer":
        return "W" if is_written else "P"
    if type_.kind == "bool":
        return "b"
    if type_.kind in ("int", "uint") and type_.size in _INTEGERS:
        letter = _INTEGERS[type_.size]
        return letter.upper() if type_.kind == "uint" else letter
    if type_.kind == "float" and type_.size in _FLOATS:
        return "y" if is_brain_float(type_) else _FLOATS[type_.size]
    raise UnsupportedError(f"arguments of the type {type_.text} cannot be passed to a kernel")


def packer_for(parameter: Parameter, is_by_value: bool, check_layout: bool = True) -> Packer | None:
    """What turns a value into what the native launcher takes; None: it takes the value itself.

    ``is_by_value``: the kernel wants the address of a copy. ``check_layout``: arrays with gaps
    between their elements are refused.
    """
    if is_by_value:
        return lambda value: _structure(parameter.type, value)
    if parameter.type.kind == "pointer":
        return _pointer_packer(parameter.type, check_layout)
    return None


# ---- pointers ----------------------------------------------------------------------------------


def _pointer_packer(type_: CType, check_layout: bool) -> Packer:
    element = type_.element
    assert element is not None
    right: set[Any] = set()  # dtypes that were found right, of NumPy and of torch

    def check_dtype(dtype: Any) -> None:
        name, itemsize, has_fields = _described(dtype)
        problem = element_problem(element, name, itemsize, has_fields)
        if problem:
            raise RefusalError(
                problem, "convert it with astype()/to(), or reinterpret it with view()"
            )
        right.add(dtype)

    def pack(value: Any) -> Any:
        if type(value) is np.ndarray:
            if value.dtype not in right:
                check_dtype(value.dtype)
            if check_layout and not value.flags.forc:
                _check_dense(value.shape, value.strides, value.itemsize)
            return value
        if hasattr(value, "data_ptr") and hasattr(value, "dtype"):
            if value.dtype not in right:
                check_dtype(value.dtype)
            if check_layout and not value.is_contiguous():
                _check_dense(tuple(value.shape), tuple(value.stride()), 1)
            return value
        found = _address_or_array(value)
        return pack(found) if type(found) is np.ndarray else found

    return pack


def _described(dtype: Any) -> tuple[str, int, bool]:
    """Name, bytes and whether it has fields, of a dtype of NumPy or torch."""
    if isinstance(dtype, np.dtype):
        return dtype.name, dtype.itemsize, dtype.names is not None
    name = str(dtype).rpartition(".")[2]
    return name, int(dtype.itemsize), False


def _check_dense(shape: Sequence[int], strides: Sequence[int], unit: int) -> None:
    """Refuses what does not fill one piece of memory: a kernel sees no strides."""
    expected = unit
    for stride, extent in sorted((s, n) for s, n in zip(strides, shape, strict=True) if n != 1):
        if stride != expected and 0 not in shape:
            raise RefusalError(
                f"its elements do not lie side by side (shape {tuple(shape)}, strides "
                f"{tuple(strides)}), and a kernel gets the address alone",
                "pass a contiguous copy; or the address as an integer, if the kernel knows strides",
            )
        expected *= extent


def _address_or_array(value: Any) -> Any:
    """None, an address, or an array over the memory of ``value``."""
    if value is None or hasattr(value, "data_ptr"):
        return value
    if isinstance(value, bool | np.bool_ | float | np.floating | str):
        raise RefusalError(f"expected an array, a tensor, an address or None, got {_name(value)}")
    if isinstance(value, numbers.Integral):
        return int(value)
    if isinstance(value, ctypes.c_void_p):
        return value.value
    if isinstance(value, np.ndarray):
        return np.asarray(value)
    return _viewed(value)


def _viewed(value: Any) -> np.ndarray[Any, Any]:
    try:
        if hasattr(value, "__array_interface__") or hasattr(value, "__array_struct__"):
            return np.asarray(value)
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(memoryview(value))
    except (TypeError, ValueError, BufferError, RuntimeError) as problem:
        raise RefusalError(
            f"expected an array, a tensor, an address or None, got {_name(value)} ({problem})",
            "numpy.array(values, dtype) makes an array of a list",
        ) from None


def _name(value: Any) -> str:
    return type(value).__name__


# ---- structures --------------------------------------------------------------------------------


def _structure(type_: CType, value: Any) -> np.ndarray[Any, Any]:
    """The bytes of a structure, aligned to 16, from a NumPy record, bytes, a ctypes structure, a
    complex number, or a tuple of its fields."""
    data = _structure_bytes(type_, value)
    if len(data) != type_.size:
        raise RefusalError(
            f"{type_.text} has {type_.size} bytes, this {_name(value)} has {len(data)}"
        )
    room = np.zeros(len(data) + 16, np.uint8)
    copy = room[-room.ctypes.data % 16 :][: len(data)]
    copy[:] = np.frombuffer(data, np.uint8)
    return copy


def _structure_bytes(type_: CType, value: Any) -> bytes:
    if isinstance(value, bytes | bytearray | memoryview | ctypes.Structure | ctypes.Array):
        return bytes(value)
    if isinstance(value, np.void) or (isinstance(value, np.ndarray) and value.dtype.names):
        return value.tobytes()
    if type_.kind == "float":
        return np.array(float(value), _float_dtype(type_)).tobytes()
    if isinstance(value, numbers.Complex) and not isinstance(value, numbers.Real):
        return np.array(value, {8: np.complex64, 16: np.complex128}.get(type_.size)).tobytes()
    if isinstance(value, tuple | list | np.ndarray):
        return _record(type_, tuple(value))
    raise RefusalError(
        f"expected a structure, got {_name(value)}",
        "pass a numpy record (numpy.dtype(..., align=True)), or a tuple of the fields",
    )


def _float_dtype(type_: CType) -> Any:
    return ml_dtypes.bfloat16 if is_brain_float(type_) else f"f{type_.size}"


def _record(type_: CType, values: tuple[Any, ...]) -> bytes:
    if len(values) != len(type_.fields):
        raise RefusalError(f"{type_.text} has {len(type_.fields)} fields, {len(values)} are given")
    try:
        return np.array([values], numpy_dtype(type_)).tobytes()
    except (TypeError, ValueError, OverflowError) as problem:
        raise RefusalError(f"its fields do not convert: {problem}") from None
