"""Launches of compiled programs and extensions, taken over in this process.

    takeover = TakeOver(library, device_sources(line))      # before anything of it runs
    library.main(...)                                       # each <<<>>> comes here

A kernel is lowered for the block shape of the launch; arguments are what the runtime packed, and
pointers know the allocation that they point into, which the runtime tells.
"""

from __future__ import annotations

import ctypes
import struct
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from canopy import ir
from canopy.errors import CanopyError, UnsupportedError
from canopy.frontends.cuda.clang import device_ir
from canopy.frontends.cuda.module import CudaModule, module_of
from canopy.frontends.cuda.options import Options
from canopy.frontends.triton.comparing import Host, kernel_for
from canopy.ir.interpreter.memory import Allocation
from canopy.ir.interpreter.numeric import dtype_of
from canopy.ir.interpreter.origins import pointer_origins
from canopy.ir.types import ScalarType, element_type, is_pointer

__all__ = ["DeviceSource", "TakeOver"]

_LEAST_SHARED_BYTES = 16  # a kernel that has extern __shared__ may not use it
Shape = tuple[int, int, int]


class _Launch(ctypes.Structure):
    """canopy_cuda_launch of runtime/native/cuda/elsewhere.h"""

    _fields_ = (
        ("module", ctypes.c_char_p),
        ("kernel", ctypes.c_char_p),
        ("slots", ctypes.POINTER(ctypes.c_uint64)),
        ("grid", ctypes.c_uint32 * 3),
        ("block", ctypes.c_uint32 * 3),
        ("shared_bytes", ctypes.c_uint32),
        ("reserved", ctypes.c_uint32),
        ("request", ctypes.c_void_p),
    )


class _Extent(ctypes.Structure):
    _fields_ = (("start", ctypes.c_void_p), ("bytes", ctypes.c_uint64))


_Runner = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.POINTER(_Launch))


@dataclass(frozen=True)
class DeviceSource:
    """A source whose kernels are launched, and how it was compiled."""

    path: Path
    options: Options


class DeviceMemory:
    """A pointer argument, as launchers see tensors; ``dtype``: of what the kernel writes there."""

    def __init__(self, address: int, start: int, nbytes: int, dtype: str) -> None:
        self.dtype = dtype
        self._address = address
        self._extent = (start, nbytes)

    def data_ptr(self) -> int:
        return self._address

    def untyped_storage(self) -> _Storage:
        return _Storage(*self._extent)


@dataclass(frozen=True)
class _Storage:
    start: int
    bytes: int

    def data_ptr(self) -> int:
        return self.start

    def nbytes(self) -> int:
        return self.bytes


class TakeOver:
    """Takes the launches of ``library`` over, for as long as the process lives.

    ``failed`` is called with what a launch raises, on the thread that launches; the answer is the
    code that the program sees.
    """

    def __init__(
        self,
        library: ctypes.CDLL,
        sources: Mapping[str, DeviceSource],
        failed: Callable[[BaseException], int],
    ) -> None:
        self._library = library
        self._sources = sources
        self._failed = failed
        self._modules: dict[str, CudaModule] = {}
        self._kernels: dict[tuple[str, str, Shape, int], _TakenKernel] = {}
        self._lock = threading.RLock()
        self._runner = _Runner(self._launch)  # lives as long as the library may call it
        library.canopy_cuda_take_launches(self._runner)

    def _launch(self, pointer: Any) -> int:
        try:
            with self._lock:
                self._run(pointer.contents)
        except BaseException as error:  # nothing may pass through the program's own frames
            return self._failed(error)
        return 0

    def _run(self, launch: _Launch) -> None:
        module, name = launch.module.decode(), launch.kernel.decode()
        x, y, z = launch.block
        key = (module, name, (x, y, z), int(launch.shared_bytes))
        if key not in self._kernels:
            self._kernels[key] = self._lowered(*key)
        self._kernels[key].launch(launch, self._extents())

    def _lowered(self, module: str, name: str, block: Shape, shared_bytes: int) -> _TakenKernel:
        if module not in self._modules:
            self._modules[module] = self._compiled(module, name)
        room = max(shared_bytes, _LEAST_SHARED_BYTES)
        kernel = self._modules[module].lower(name, block, room).kernel
        return _TakenKernel(kernel, block, self._library)

    def _compiled(self, module: str, name: str) -> CudaModule:
        source = self._sources.get(module)
        if source is None:
            raise UnsupportedError(
                f"the kernel {name} comes from an object or a library, and has no source here",
                hint="compile all sources in one command, without -rdc=true and -dc",
            )
        text = source.path.read_text(encoding="utf-8", errors="replace")
        return module_of(device_ir(text, str(source.path), source.options.flags), str(source.path))

    def _extents(self) -> list[tuple[int, int]]:
        """The memory that kernels may touch, by address."""
        room = int(self._library.canopy_cuda_extents(None, ctypes.c_uint64(0)))
        found = (_Extent * max(room, 1))()
        self._library.canopy_cuda_extents(found, ctypes.c_uint64(room))
        return sorted((e.start, e.bytes) for e in found[:room] if e.start and e.bytes)


class _TakenKernel:
    """One kernel for one block shape."""

    def __init__(self, kernel: ir.Kernel, block: Shape, library: ctypes.CDLL) -> None:
        self._types = [p.value.type for p in kernel.parameters]
        self._written = _written_types(kernel)
        self._library = library
        self._here: _Launch | None = None
        self._extents: Sequence[tuple[int, int]] = ()
        self._kernel = kernel_for(kernel, block, Host(self._run_here, self._allocations))

    def launch(self, launch: _Launch, extents: Sequence[tuple[int, int]]) -> None:
        args = [
            self._argument(number, launch.slots[number], extents)
            for number in range(len(self._types))
        ]
        self._here, self._extents = launch, extents
        x, y, z = launch.grid
        self._kernel.launch(args, (x, y, z))

    def _allocations(self) -> list[Allocation]:
        return [Allocation("memory", start, nbytes, start) for start, nbytes in self._extents]

    def _run_here(self, args: Sequence[Any], grid: Shape) -> None:
        """On the processor, by the program's own code."""
        status = int(self._library.canopy_cuda_run_here(ctypes.byref(self._here)))  # type: ignore[arg-type]
        if status:
            raise CanopyError(f"the kernel failed on the processor with code {status}")

    def _argument(self, number: int, slot: int, extents: Sequence[tuple[int, int]]) -> Any:
        type_ = self._types[number]
        if not is_pointer(type_):
            assert isinstance(type_, ScalarType)
            return _scalar(slot, type_)
        if not slot:
            return None
        for start, nbytes in extents:
            if start <= slot < start + nbytes:
                return DeviceMemory(slot, start, nbytes, self._written[number])
        return slot


def _scalar(slot: int, type_: ScalarType) -> Any:
    raw = struct.pack("<Q", slot)
    dtype = dtype_of(type_)
    return np.frombuffer(raw[: dtype.itemsize], dtype)[0]


def _written_types(kernel: ir.Kernel) -> list[str]:
    """Per parameter the dtype that the kernel writes through it; bytes where it does not say."""
    origins = pointer_origins(kernel)
    found: dict[ir.Value, set[str]] = {}
    for op in ir.walk(kernel.body.ops):
        if isinstance(op, ir.Store | ir.AtomicRmw | ir.AtomicCas):
            dtype = str(dtype_of(element_type(op.value.type)))
            for origin in origins.get(op.pointer, ()):
                if origin is not None:
                    found.setdefault(origin, set()).add(dtype)
    return [
        next(iter(types)) if len(types := found.get(p.value, set())) == 1 else "uint8"
        for p in kernel.parameters
    ]
