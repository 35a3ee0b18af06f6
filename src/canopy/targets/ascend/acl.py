"""Launching a compiled Ascend C kernel on a card, through the documented ACL runtime interface.

    with Device() as device:
        kernel = device.load("softmax.o", "softmax", ("GM_ADDR", "GM_ADDR", "int32_t"))
        kernel(48, (x, out, n))

ctypes, and libascendcl of the user's own CANN: nothing of it is needed to import this. It has been
tried against a recording stand-in of the library only, never on a card.
"""

from __future__ import annotations

import ctypes
import ctypes.util
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import ml_dtypes
import numpy as np

from canopy.errors import KernelError, LaunchError, MissingDependencyError

__all__ = ["CardKernel", "Device", "find_library"]

_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2  # aclrtMemcpyKind
_MALLOC_HUGE_FIRST = 0  # aclrtMemMallocPolicy
_SLOT_BYTES = 8  # each parameter of a kernel has eight bytes of the argument block

_VOID_P, _SIZE, _INT = ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int32
_OUT = ctypes.POINTER(ctypes.c_void_p)
_PROTOTYPES: dict[str, tuple[Any, ...]] = {
    "aclInit": (ctypes.c_char_p,),
    "aclFinalize": (),
    "aclrtSetDevice": (_INT,),
    "aclrtResetDevice": (_INT,),
    "aclrtCreateStream": (_OUT,),
    "aclrtDestroyStream": (_VOID_P,),
    "aclrtSynchronizeStream": (_VOID_P,),
    "aclrtMalloc": (_OUT, _SIZE, ctypes.c_int),
    "aclrtFree": (_VOID_P,),
    "aclrtMemcpy": (_VOID_P, _SIZE, _VOID_P, _SIZE, ctypes.c_int),
    "aclrtBinaryLoadFromFile": (ctypes.c_char_p, _VOID_P, _OUT),
    "aclrtBinaryUnLoad": (_VOID_P,),
    "aclrtBinaryGetFunction": (_VOID_P, ctypes.c_char_p, _OUT),
    "aclrtLaunchKernel": (_VOID_P, ctypes.c_uint32, _VOID_P, _SIZE, _VOID_P),
}
_SCALARS: dict[str, Any] = {
    "float": np.float32,
    "half": np.float16,
    "bfloat16_t": ml_dtypes.bfloat16,
    "bool": np.uint8,
    **{f"int{n}_t": np.dtype(f"int{n}") for n in (8, 16, 32, 64)},
    **{f"uint{n}_t": np.dtype(f"uint{n}") for n in (8, 16, 32, 64)},
}


def find_library(path: str | Path | None = None) -> ctypes.CDLL:
    """libascendcl; MissingDependencyError where there is none."""
    name = str(path) if path is not None else ctypes.util.find_library("ascendcl")
    try:
        if name is None:
            raise OSError("libascendcl.so is not found")
        library = ctypes.CDLL(name)
    except OSError as problem:
        raise MissingDependencyError(
            f"no Ascend card can be used here: {problem}",
            hint="install CANN and source its set_env.sh; without a card use --target ascend-sim",
        ) from None
    for call, types in _PROTOTYPES.items():
        try:
            function = getattr(library, call)
        except AttributeError:
            raise MissingDependencyError(
                f"{name} has no {call}", hint="CANN 8.0 or newer is needed"
            ) from None
        function.argtypes = types
        function.restype = ctypes.c_int
    return library


class Device:
    """A card: its stream, its memory, the kernels that are loaded."""

    def __init__(self, number: int = 0, library: str | Path | None = None) -> None:
        self._library = find_library(library)
        self.number = number
        self._binaries: list[ctypes.c_void_p] = []
        self.call("aclInit", None)
        self.call("aclrtSetDevice", number)
        self.stream = self._made("aclrtCreateStream")

    def call(self, name: str, *arguments: Any) -> None:
        """KernelError with the call's name and the code it returned, if that is not 0."""
        status = getattr(self._library, name)(*arguments)
        if status:
            raise KernelError(
                f"{name} returned {status}", hint="the logs of CANN (~/ascend/log) say more"
            )

    def _made(self, name: str, *arguments: Any) -> ctypes.c_void_p:
        """What a call writes to its first pointer parameter; ``arguments`` are the others."""
        made = ctypes.c_void_p()
        types = _PROTOTYPES[name]
        given = list(arguments)
        given.insert(types.index(_OUT), ctypes.byref(made))
        self.call(name, *given)
        return made

    def load(self, binary: str | Path, name: str, parameters: Sequence[str]) -> CardKernel:
        """The kernel of a binary that CANN's compiler made; ``parameters`` are its C++ types."""
        handle = self._made("aclrtBinaryLoadFromFile", str(binary).encode(), None)
        self._binaries.append(handle)
        function = self._made("aclrtBinaryGetFunction", handle, name.encode())
        return CardKernel(self, function, name, tuple(parameters))

    @contextmanager
    def memory(self, content: np.ndarray[Any, Any]) -> Iterator[ctypes.c_void_p]:
        """A copy of an array on the card; freed in the end."""
        nbytes = max(content.nbytes, 32)
        address = self._made("aclrtMalloc", nbytes, _MALLOC_HUGE_FIRST)
        try:
            if content.nbytes:
                source = content.ctypes.data
                copy = (address, nbytes, source, content.nbytes, _HOST_TO_DEVICE)
                self.call("aclrtMemcpy", *copy)
            yield address
        finally:
            self.call("aclrtFree", address)

    def read(self, content: np.ndarray[Any, Any], address: ctypes.c_void_p) -> None:
        """Copies a card's memory back into an array."""
        if content.nbytes:
            copy = (content.ctypes.data, content.nbytes, address, content.nbytes, _DEVICE_TO_HOST)
            self.call("aclrtMemcpy", *copy)

    def close(self) -> None:
        for binary in reversed(self._binaries):
            self.call("aclrtBinaryUnLoad", binary)
        self._binaries.clear()
        self.call("aclrtDestroyStream", self.stream)
        self.call("aclrtResetDevice", self.number)
        self.call("aclFinalize")

    def __enter__(self) -> Device:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class CardKernel:
    """A kernel on a card; arrays are copied there before a launch and back behind it."""

    def __init__(
        self, device: Device, function: ctypes.c_void_p, name: str, parameters: tuple[str, ...]
    ) -> None:
        self._device = device
        self._function = function
        self.name = name
        self.parameters = parameters

    def __call__(self, block_dim: int, args: Sequence[Any]) -> None:
        """LaunchError for wrong arguments, KernelError for what the runtime says."""
        if len(args) != len(self.parameters):
            raise LaunchError(
                f"{self.name} takes {len(self.parameters)} arguments, {len(args)} are given"
            )
        arrays = [self._array(i, a) for i, a in enumerate(args) if self._is_pointer(i)]
        with self._copies([array for array in arrays if array is not None]) as addresses:
            places = iter(addresses)
            block = b"".join(self._slot(i, argument, places) for i, argument in enumerate(args))
            with self._device.memory(np.frombuffer(block, np.uint8)) as data:
                stream = self._device.stream
                launch = (self._function, block_dim, data, len(block), stream)
                self._device.call("aclrtLaunchKernel", *launch)
                self._device.call("aclrtSynchronizeStream", stream)
            for array, address in zip((a for a in arrays if a is not None), addresses, strict=True):
                if array.flags.writeable:
                    self._device.read(array, address)

    @contextmanager
    def _copies(self, arrays: Sequence[np.ndarray[Any, Any]]) -> Iterator[list[ctypes.c_void_p]]:
        if not arrays:
            yield []
            return
        with self._device.memory(arrays[0]) as first, self._copies(arrays[1:]) as others:
            yield [first, *others]

    def _is_pointer(self, position: int) -> bool:
        kind = self.parameters[position]
        return kind == "GM_ADDR" or kind.endswith("*")

    def _array(self, position: int, value: Any) -> np.ndarray[Any, Any] | None:
        if value is None:
            return None
        array = value.numpy() if hasattr(value, "untyped_storage") else value
        if not isinstance(array, np.ndarray) or not array.flags.c_contiguous:
            raise LaunchError(f"argument {position} of {self.name}: expected a contiguous array")
        return array

    def _slot(self, position: int, value: Any, places: Iterator[ctypes.c_void_p]) -> bytes:
        if self._is_pointer(position):
            address = 0 if value is None else next(places).value or 0
            return address.to_bytes(_SLOT_BYTES, "little")
        kind = self.parameters[position].removeprefix("const ")
        if kind not in _SCALARS:
            raise LaunchError(f"arguments of the type {kind} cannot be passed to {self.name}")
        return np.array(value, _SCALARS[kind]).tobytes().ljust(_SLOT_BYTES, b"\0")
