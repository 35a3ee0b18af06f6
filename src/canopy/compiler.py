"""Kernel and target in, executable out: where passes and targets meet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.passes import pipeline

if TYPE_CHECKING:
    from canopy.targets.cpu import LoadedKernel

__all__ = ["Executable", "compile_kernel"]


@dataclass(slots=True)
class Executable:
    """A compiled kernel; ``written``: per parameter, whether the kernel may write through it."""

    name: str
    object_code: bytes
    scratch_bytes: int
    written: tuple[bool, ...]
    llvm_ir: str = ""
    entry_name: str = "canopy_entry"
    _loaded: LoadedKernel | None = field(default=None, repr=False)

    @classmethod
    def from_metadata(cls, object_code: bytes, metadata: Mapping[str, Any]) -> Executable:
        """An executable from a cache: object code with ``scratch_bytes`` and ``written``."""
        return cls(
            name=str(metadata.get("name", "")),
            object_code=object_code,
            scratch_bytes=int(metadata["scratch_bytes"]),
            written=tuple(bool(flag) for flag in metadata["written"]),
            entry_name=str(metadata.get("entry_name", "canopy_entry")),
        )

    @property
    def assembly(self) -> str:
        """The assembly text, made anew at each call; empty where the LLVM IR is not at hand."""
        from canopy.targets.cpu import assembly_of

        return assembly_of(self.llvm_ir) if self.llvm_ir else ""

    def load(self) -> int:
        """The address of the kernel's entry in this process; loaded once, kept with this object."""
        if self._loaded is None:
            from canopy.targets.cpu import load_object

            self._loaded = load_object(self.object_code)
        return self._loaded.address


def compile_kernel(kernel: ir.Kernel, target: str = "cpu") -> Executable:
    """Runs the passes on ``kernel`` and generates code for ``target``.

    Raises UnsupportedError, with the user's file and line, for what the target cannot run.
    """
    if target != "cpu":
        raise UnsupportedError(f"there is no target {target!r}", hint="targets: cpu")
    from canopy.targets.cpu import compile_cpu

    code = compile_cpu(pipeline.run(kernel))
    return Executable(
        name=kernel.name,
        object_code=code.object_code,
        scratch_bytes=code.scratch_bytes,
        written=code.written,
        llvm_ir=code.llvm_ir,
    )
