"""What the host's processor can do."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import llvmlite.binding as llvm

__all__ = ["Machine", "host_machine"]


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor to compile for: LLVM's triple, cpu name and features, and its vector width."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int


@functools.cache
def host_machine() -> Machine:
    """The machine this process runs on."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    found = llvm.get_host_cpu_features()
    width = 64 if found.get("avx512f") and found.get("avx512bw") and found.get("avx512vl") else 16
    if width == 16 and found.get("avx2"):
        width = 32
    return Machine(llvm.get_default_triple(), llvm.get_host_cpu_name(), found.flatten(), width)
