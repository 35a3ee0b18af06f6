"""Python values as arguments of an Ascend C kernel: addresses of arrays, and bytes of scalars."""

from __future__ import annotations

import ctypes
import numbers
import operator
from dataclasses import dataclass
from typing import Any

import ml_dtypes
import numpy as np

from canopy.errors import LaunchError
from canopy.runtime import trace

__all__ = ["Bound", "Parameter", "bind"]

_KINDS = {
    "p": "an array",
    "b": "a bool",
    "i": "an integer",
    "u": "an unsigned integer",
    "f": "a float",
    "h": "a float",
    "y": "a float",
    "s": "a structure",
}


@dataclass(frozen=True)
class Parameter:
    """Of a kernel. ``kind``: 'p' pointer, 'b' bool, 'i' signed, 'u' unsigned, 'f' float or double,
    'h' half, 'y' bfloat16, 's' structure."""

    kind: str
    bytes: int


@dataclass
class Bound:
    """A value as the kernel takes it; ``address`` and ``nbytes`` are an array's."""

    data: bytes
    address: int = 0
    nbytes: int = 0
    owner: Any = None


def bind(parameter: Parameter, position: int, value: Any) -> Bound:
    """LaunchError where the value does not fit."""
    match parameter.kind:
        case "p":
            return _pointer(position, value)
        case "s":
            return _structure(parameter, position, value)
        case _:
            return _scalar(parameter, position, value)


def _error(position: int, fact: str, hint: str = "") -> LaunchError:
    return LaunchError(f"argument {position}: {fact}", location=trace.caller_location(), hint=hint)


def _pointer(position: int, value: Any) -> Bound:
    if value is None:
        return Bound(bytes(8))
    if isinstance(value, Bound):
        return value
    array = _as_array(position, value)
    if not array.flags.c_contiguous and array.size:
        raise _error(
            position,
            f"its elements do not lie side by side (shape {array.shape}), and a kernel gets the "
            "address alone",
            "pass a contiguous copy",
        )
    address = int(array.__array_interface__["data"][0])
    return Bound(address.to_bytes(8, "little"), address, array.nbytes, array)


def _as_array(position: int, value: Any) -> np.ndarray[Any, Any]:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, np.void):
        return np.asarray(value)
    if hasattr(value, "untyped_storage"):
        return _tensor(position, value)
    if isinstance(value, ctypes.Structure | ctypes.Array | bytes | bytearray):
        return np.frombuffer(memoryview(value).cast("B"), np.uint8)
    try:
        if hasattr(value, "__dlpack__"):
            return np.from_dlpack(value)
        return np.asarray(memoryview(value))
    except (TypeError, ValueError, BufferError, RuntimeError):
        raise _error(
            position,
            f"expected an array, got {type(value).__name__}",
            "NumPy arrays, torch tensors in CPU memory, DLPack, bytes and ctypes structures are",
        ) from None


def _tensor(position: int, tensor: Any) -> np.ndarray[Any, Any]:
    """The bytes of a torch tensor: NumPy has no bfloat16 of its own."""
    if tensor.device.type != "cpu":
        raise _error(position, f"the tensor is on {tensor.device}", "tensor.cpu()")
    if not tensor.is_contiguous():
        raise _error(
            position,
            f"its elements do not lie side by side (shape {tuple(tensor.shape)})",
            "tensor.contiguous()",
        )
    nbytes = tensor.numel() * tensor.element_size()
    if not nbytes:
        return np.empty(0, np.uint8)
    memory = (ctypes.c_uint8 * nbytes).from_address(tensor.data_ptr())
    found = np.frombuffer(memory, np.uint8)
    found.flags.writeable = True
    return found


def _structure(parameter: Parameter, position: int, value: Any) -> Bound:
    if isinstance(value, np.void | np.ndarray):
        data = value.tobytes()
    elif isinstance(value, ctypes.Structure | ctypes.Array | bytes | bytearray):
        data = bytes(value)
    else:
        raise _error(
            position,
            f"expected a structure, got {type(value).__name__}",
            "pass a numpy record, a ctypes structure or bytes",
        )
    if len(data) != parameter.bytes:
        raise _error(position, f"the structure has {parameter.bytes} bytes, this has {len(data)}")
    return Bound(data)


def _scalar(parameter: Parameter, position: int, value: Any) -> Bound:
    value = value.item() if isinstance(value, np.generic) else value
    wanted: Any = numbers.Real if parameter.kind in "fhy" else numbers.Integral
    if not isinstance(value, wanted):
        fact = f"expected {_KINDS[parameter.kind]}, got {type(value).__name__}"
        raise _error(position, fact)
    if parameter.kind in "fhy":
        dtype = {"h": "f2", "y": ml_dtypes.bfloat16}.get(parameter.kind, f"f{parameter.bytes}")
        return Bound(np.array(float(value), dtype).tobytes())
    try:
        whole = int(operator.index(value))
        data = whole.to_bytes(parameter.bytes, "little", signed=parameter.kind == "i")
        return Bound(data)
    except OverflowError:
        raise _error(position, f"{value} is out of range for {parameter.bytes * 8} bits") from None
