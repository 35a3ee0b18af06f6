"""Calls of the native runtime: the interpreter makes them as compiled code does."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from canopy.errors import KernelError
from canopy.ir.control import NativeCall
from canopy.ir.interpreter.machine import Machine, rule
from canopy.ir.interpreter.numeric import Array, dtype_of


@rule(NativeCall)
def _native_call(machine: Machine, op: NativeCall) -> Array:
    """The layout of the call is that of runtime/native/call.h."""
    mask = np.ascontiguousarray(machine[op.mask], np.uint8)
    results = np.zeros(mask.shape, dtype_of(op.type))
    arguments = [np.ascontiguousarray(machine[value]) for value in op.arguments]
    program = (ctypes.c_uint32 * 3)(*machine.program)
    text = ctypes.create_string_buffer(op.text.encode())
    words = [ctypes.addressof(program), mask.ctypes.data, results.ctypes.data, mask.size]
    words.append(ctypes.addressof(text))
    for value, content in zip(op.arguments, arguments, strict=True):
        words += [content.ctypes.data, content.itemsize if value.is_tile else 0]
    status = _function(op.function)((ctypes.c_uint64 * len(words))(*words))
    _flush()
    if status:
        raise KernelError(_message() or f"{op.function} stopped the kernel", location=op.location)
    return results


_sources: list[Callable[[], Mapping[str, int]]] = []


def provide(symbols: Callable[[], Mapping[str, int]]) -> None:
    """Says where the runtime's functions are: it is not for the IR to know the runtime."""
    _sources[:] = [symbols]


def _address(name: str) -> int:
    if not _sources:
        raise KernelError(f"{name}: no runtime was loaded", hint="import canopy.compiler first")
    return _sources[0]()[name]


@cache
def _function(name: str, result: Any = ctypes.c_int32) -> Any:
    return ctypes.CFUNCTYPE(result, ctypes.c_void_p)(_address(name))


def _flush() -> None:
    """What the call printed is shown at once."""
    ctypes.CFUNCTYPE(None)(_address("canopy_output_flush"))()


def _message() -> str:
    return bytes(ctypes.CFUNCTYPE(ctypes.c_char_p)(_address("canopy_message"))()).decode()
