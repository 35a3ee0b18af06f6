"""The CPU target: tile IR to native code through LLVM."""

from __future__ import annotations

from canopy.targets.cpu.codegen import Code, assembly_of, compile_cpu
from canopy.targets.cpu.features import Machine, host_machine
from canopy.targets.cpu.loader import LoadedKernel, load_object

__all__ = [
    "Code",
    "LoadedKernel",
    "Machine",
    "assembly_of",
    "compile_cpu",
    "host_machine",
    "load_object",
]
