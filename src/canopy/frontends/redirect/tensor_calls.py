"""What C++ extensions ask of Python: facts about tensors, and torch's operators by their C++ names.

The headers of `canopy.frontends.cuda.torch_headers` call these functions. A C++ call gives its
arguments by position, in the order of the operator's schema; Python wants some of them by keyword.
"""

from __future__ import annotations

import ctypes
import functools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from canopy.frontends.redirect.tensors import place_of

__all__ = [
    "Options",
    "code_of",
    "define",
    "describe",
    "device_of",
    "dtype_of",
    "format_of",
    "function",
    "implement",
    "is_own",
    "method",
    "note_failure",
    "take_failures",
    "warn",
]

# c10::ScalarType's numbers.
_DTYPES = {
    0: torch.uint8,
    1: torch.int8,
    2: torch.int16,
    3: torch.int32,
    4: torch.int64,
    5: torch.float16,
    6: torch.float32,
    7: torch.float64,
    8: torch.complex32,
    9: torch.complex64,
    10: torch.complex128,
    11: torch.bool,
    15: torch.bfloat16,
    23: torch.float8_e5m2,
    24: torch.float8_e4m3fn,
    27: torch.uint16,
    28: torch.uint32,
    29: torch.uint64,
}
_CODES = {dtype: code for code, dtype in _DTYPES.items()}
_FORMATS = (
    torch.contiguous_format,
    torch.preserve_format,
    torch.channels_last,
    torch.channels_last_3d,
)
_REAL_DEVICE = type(torch.empty(0).device)
# Methods whose dtype or device is an ordinary argument in Python too.
_BY_POSITION = frozenset({"to", "type", "view"})


@dataclass(frozen=True)
class Options:
    """c10::TensorOptions."""

    dtype: torch.dtype | None
    device: Any
    requires_grad: bool | None
    pin_memory: bool | None
    memory_format: Any

    def keywords(self) -> dict[str, Any]:
        names = ("dtype", "device", "requires_grad", "pin_memory", "memory_format")
        values = {name: getattr(self, name) for name in names}
        return {name: value for name, value in values.items() if value not in (None, False)}


def dtype_of(code: int) -> torch.dtype:
    """The dtype with a number of c10::ScalarType."""
    return _DTYPES[code]


def code_of(dtype: torch.dtype) -> int:
    """c10::ScalarType's number of a dtype."""
    return _CODES[dtype]


def device_of(text: str) -> Any:
    return _REAL_DEVICE(text)


def format_of(number: int) -> torch.memory_format:
    return _FORMATS[number]


def describe(tensor: torch.Tensor) -> tuple[Any, ...]:
    """Address, numel, bytes per element, storage offset, dtype, device, is contiguous, requires
    grad, sizes, strides."""
    with torch._C.DisableTorchFunction():
        return (
            tensor.data_ptr(),
            tensor.numel(),
            tensor.element_size(),
            tensor.storage_offset(),
            _CODES[tensor.dtype],
            str(place_of(tensor)),
            tensor.is_contiguous(),
            tensor.requires_grad,
            tuple(tensor.shape),
            tensor.stride(),
        )


def method(name: str, value: Any, arguments: tuple[Any, ...]) -> Any:
    """``value.name(*arguments)`` as C++ means it."""
    target = getattr(value, name, None)
    if target is None:
        return _by_schema(name, (value, *arguments), TypeError(f"tensors have no method {name}"))
    positional, keywords = _split(name, arguments)
    try:
        return target(*positional, **keywords)
    except TypeError as error:
        return _by_schema(name, (value, *arguments), error)


def function(name: str, arguments: tuple[Any, ...]) -> Any:
    """``at::name(*arguments)``."""
    if name == "from_blob":
        return _from_blob(*arguments)
    positional, keywords = _split(name, arguments)
    target = _function(name)
    if target is None:
        return _by_schema(name, arguments, TypeError(f"torch has no function {name}"))
    try:
        return target(*positional, **keywords)
    except TypeError as error:
        return _by_schema(name, arguments, error)


def _function(name: str) -> Any:
    functions: Any = torch._C._nn
    return getattr(torch, name, None) or getattr(functions, name, None)


def _split(name: str, arguments: tuple[Any, ...]) -> tuple[list[Any], dict[str, Any]]:
    """Positional arguments, and those that Python takes by keyword."""
    positional: list[Any] = []
    keywords: dict[str, Any] = {}
    for value in arguments:
        if isinstance(value, Options):
            keywords.update(value.keywords())
        elif isinstance(value, torch.memory_format):
            keywords["memory_format"] = value
        elif isinstance(value, torch.dtype) and name not in _BY_POSITION:
            keywords["dtype"] = value
        elif isinstance(value, _REAL_DEVICE) and name not in _BY_POSITION:
            keywords["device"] = value
        else:
            positional.append(value)
    while positional and positional[-1] is None:
        positional.pop()
    return positional, keywords


def _by_schema(name: str, arguments: tuple[Any, ...], error: TypeError) -> Any:
    """The operator whose schema takes the arguments in their order; ``error`` where none does."""
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        raise error
    for overload in packet.overloads():
        operator = getattr(packet, overload)
        names = [argument.name for argument in operator._schema.arguments]
        if len(arguments) > len(names) or "out" in overload:
            continue
        try:
            return operator(**dict(zip(names, arguments, strict=False)))
        except (TypeError, RuntimeError):
            continue
    raise error


def _from_blob(address: int, sizes: list[int], options: Options) -> torch.Tensor:
    dtype = options.dtype or torch.float32
    count = 1
    for size in sizes:
        count *= size
    memory = (ctypes.c_char * (count * dtype.itemsize)).from_address(address)
    return torch.frombuffer(memory, dtype=dtype, count=count).view(sizes)


def warn(text: str) -> None:
    """TORCH_WARN."""
    warnings.warn(text, UserWarning, stacklevel=2)


# ---- torch.ops ---------------------------------------------------------------------------------

_libraries: dict[str, Any] = {}
_kernels: dict[tuple[str, str], dict[str, Any]] = {}
_failures: list[str] = []


def _library(space: str) -> Any:
    if space not in _libraries:
        module: Any = torch.library
        _libraries[space] = module.Library(space, "FRAGMENT")
    return _libraries[space]


def is_own(library: Any) -> bool:
    """Is it one of those through which `implement` registers?"""
    return any(library is known for known in _libraries.values())


def define(space: str, schema: str) -> str:
    """Declares an operator; its name. One that is there already, with this schema, is kept."""
    name = schema.partition("(")[0].strip().removeprefix(f"{space}::")
    packet = getattr(getattr(torch.ops, space), name, None)
    if packet is None:
        _library(space).define(schema.removeprefix(f"{space}::"))
    return name


def implement(space: str, name: str, key: str, kernel: Any) -> None:
    """Sets an operator's function for a dispatch key. Tensors on "cuda" are host tensors: one
    function that looks at their place stands for the CPU and the CUDA key."""
    name = name.removeprefix(f"{space}::")
    if key not in ("", "CPU", "CUDA"):
        _library(space).impl(name, kernel, key)
        return
    known = _kernels.setdefault((space, name), {})
    is_first = not known
    known[key] = kernel
    if is_first:
        dispatch_key = "CPU" if key else "CompositeExplicitAutograd"
        _library(space).impl(name, functools.partial(_call_chosen, known), dispatch_key)


def _call_chosen(known: dict[str, Any], /, *values: Any, **named: Any) -> Any:
    kernel = _chosen(known, (*values, *named.values())) or next(iter(known.values()))
    return kernel(*values, **named)


def _chosen(known: dict[str, Any], values: Sequence[Any]) -> Any:
    """The function for the place of the first tensor; None where there is no tensor."""
    for value in values:
        if isinstance(value, torch.Tensor):
            with torch._C.DisableTorchFunction():
                kind = "CUDA" if place_of(value).type == "cuda" else "CPU"
            if kind in known:
                return known[kind]
        elif isinstance(value, list | tuple):
            found = _chosen(known, value)
            if found is not None:
                return found
    return None


def note_failure(text: str) -> None:
    """Keeps what went wrong while a library was loaded, for its loader."""
    _failures.append(text)


def take_failures() -> list[str]:
    """What `note_failure` kept since the last time."""
    taken = list(_failures)
    _failures.clear()
    return taken
