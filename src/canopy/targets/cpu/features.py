"""The processor to compile for: the host's, or a level of its family."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import llvmlite.binding as llvm

from canopy import config
from canopy.errors import CanopyError

__all__ = ["Machine", "host_machine"]


@dataclass(frozen=True, slots=True)
class Machine:
    """A processor to compile for: LLVM's triple, cpu name and features, and its vector width."""

    triple: str
    cpu: str
    features: str
    vector_bytes: int
    has_half: bool = True  # converts f16 with instructions of its own

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


@dataclass(frozen=True, slots=True)
class _Level:
    """What every processor of a level has: bytes of a vector, and features that show it."""

    vector_bytes: int
    needs: tuple[str, ...]


# https://gitlab.com/x86-psABIs/x86-64-ABI: the micro-architecture levels; LLVM knows their names.
_LEVELS = {
    "x86-64-v3": _Level(32, ("avx", "avx2", "fma", "bmi2", "f16c")),
    "x86-64-v4": _Level(
        64, ("avx2", "fma", "bmi2", "f16c", "avx512f", "avx512bw", "avx512vl", "avx512dq")
    ),
}
_NATIVE = "native"


def host_machine() -> Machine:
    """The machine this process runs on, or the level of it that CANOPY_CPU asks for."""
    return _machine(config.cpu())


@functools.cache
def _machine(name: str) -> Machine:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    found = llvm.get_host_cpu_features()
    triple = llvm.get_default_triple()
    reached = [
        level for level, known in _LEVELS.items() if all(found.get(need) for need in known.needs)
    ]
    if name == _NATIVE:
        width = max((_LEVELS[level].vector_bytes for level in reached), default=16)
        has_half = not triple.startswith("x86_64") or bool(found.get("f16c"))
        return Machine(triple, llvm.get_host_cpu_name(), found.flatten(), width, has_half)
    if name not in reached:
        raise CanopyError(
            f"CANOPY_CPU is {name!r}, which this processor does not provide",
            hint=f"unset CANOPY_CPU, or set it to one of {', '.join([_NATIVE, *reached])}",
        )
    level = _LEVELS[name]
    features = ",".join(f"+{feature}" for feature in level.needs)
    return Machine(triple, name, features, level.vector_bytes)
