"""Object code into this process: MCJIT through llvmlite, with the runtime's helpers bound."""

from __future__ import annotations

import functools
import threading
from typing import Any

import llvmlite.binding as llvm

from canopy.targets.cpu.codegen import ENTRY_NAME
from canopy.targets.cpu.features import host_machine

__all__ = ["LoadedKernel", "load_object"]

_LOCK = threading.Lock()


class LoadedKernel:
    """A kernel in memory, as long as this object lives; ``address`` is its entry."""

    def __init__(self, engine: Any, address: int) -> None:
        self._engine = engine
        self.address = address


@functools.cache
def _bind_helpers() -> None:
    from canopy.runtime import symbols

    for name, address in symbols().items():
        llvm.add_symbol(name, address)


def load_object(object_code: bytes) -> LoadedKernel:
    """Links an object file into the process. Raises RuntimeError if it is none of this machine."""
    machine = host_machine()
    with _LOCK:
        _bind_helpers()
        target = llvm.Target.from_triple(machine.triple)
        target_machine = target.create_target_machine(
            cpu=machine.cpu, features=machine.features, opt=1
        )
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), target_machine)
        engine.add_object_file(llvm.ObjectFileRef.from_data(object_code))
        engine.finalize_object()
        return LoadedKernel(engine, engine.get_function_address(ENTRY_NAME))
