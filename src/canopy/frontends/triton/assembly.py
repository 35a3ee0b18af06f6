"""``kernel.asm["asm"]``: the assembly text, made from ``llir`` when it is first read.

It costs as much as code generation itself and is seldom read, so that no stage writes it.
"""

from __future__ import annotations

from typing import Any

from triton.compiler import compiler

__all__ = ["install"]


class _Texts(compiler.AsmDict):  # type: ignore[misc, name-defined, unused-ignore]
    """The texts of a compiled kernel, by stage."""

    def _can_assemble(self) -> bool:
        return dict.__contains__(self, "canopy") and dict.__contains__(self, "llir")

    def __contains__(self, key: object) -> bool:
        return dict.__contains__(self, key) or (key == "asm" and self._can_assemble())

    def get(self, key: str, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def __missing__(self, key: str) -> Any:
        if key != "asm" or not self._can_assemble():
            return super().__missing__(key)
        from canopy.targets.cpu import assembly_of

        self[key] = assembly_of(self["llir"])
        return self[key]


def install() -> None:
    """Gives kernels that are compiled or loaded from now on such texts."""
    compiler.AsmDict = _Texts
