"""Object code into this process: MCJIT through llvmlite, with the runtime's helpers bound."""

from __future__ import annotations

import functools
import threading
from collections.abc import Sequence
from typing import Any

import llvmlite.binding as llvm

from canopy.targets.cpu.codegen import ENTRY_NAME
from canopy.targets.cpu.features import host_machine

__all__ = ["LoadedKernel", "LoadedUnit", "load_object", "load_unit"]

_LOCK = threading.Lock()


class LoadedKernel:
    """A kernel in memory, as long as this object lives; ``address`` is its entry."""

    def __init__(self, engine: Any, address: int) -> None:
        self._engine = engine
        self.address = address


class LoadedUnit:
    """Kernels of one object in memory, as long as this object lives."""

    def __init__(self, engine: Any, addresses: tuple[int, ...]) -> None:
        self._engine = engine
        self.addresses = addresses


@functools.cache
def _bind_helpers() -> None:
    from canopy.runtime import symbols

    for name, address in symbols().items():
        llvm.add_symbol(name, address)


def load_object(object_code: bytes) -> LoadedKernel:
    """Links an object file into the process. Raises RuntimeError if it is none of this machine."""
    with _LOCK:
        engine = _linked(object_code)
        return LoadedKernel(engine, engine.get_function_address(ENTRY_NAME))


def load_unit(object_code: bytes, entries: Sequence[str]) -> LoadedUnit:
    """Links an object file of several kernels into the process."""
    with _LOCK:
        engine = _linked(object_code)
        return LoadedUnit(engine, tuple(map(engine.get_function_address, entries)))


def _linked(object_code: bytes) -> Any:
    machine = host_machine()
    _bind_helpers()
    target = llvm.Target.from_triple(machine.triple)
    target_machine = target.create_target_machine(cpu=machine.cpu, features=machine.features, opt=1)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(object_code))
    engine.finalize_object()
    return engine
