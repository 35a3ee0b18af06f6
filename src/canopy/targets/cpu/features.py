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

    @property
    def vector_registers(self) -> int:
        """How many vector registers there are: AVX-512 and AArch64 have 32, others 16."""
        return 32 if self.vector_bytes >= 64 or self.is_arm else 16

    @property
    def is_arm(self) -> bool:
        return self.triple.startswith(("aarch64", "arm64"))

    def has(self, feature: str) -> bool:
        """Whether the processor has a feature, by LLVM's name for it."""
        return f"+{feature}" in self.features.split(",")


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
