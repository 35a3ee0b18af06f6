"""The CPU target: tile IR to native code through LLVM."""

from __future__ import annotations

from canopy.targets.cpu.codegen import Code, Unit, assembly_of, compile_cpu, compile_unit
from canopy.targets.cpu.features import Machine, host_machine
from canopy.targets.cpu.loader import LoadedKernel, LoadedUnit, load_object, load_unit

__all__ = [
    "Code",
    "LoadedKernel",
    "LoadedUnit",
    "Machine",
    "Unit",
    "assembly_of",
    "compile_cpu",
    "compile_unit",
    "host_machine",
    "load_object",
    "load_unit",
]
