"""What a command line says about the compilation of one source."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CUDA_VERSION", "Options"]

CUDA_VERSION = (12, 3, 107)


@dataclass(frozen=True)
class Options:
    """``preprocessor`` (macros and include folders) and ``warnings``: as clang's cc1 takes them."""

    preprocessor: tuple[str, ...] = ()
    standard: str = "c++17"
    optimization: str = "-O2"
    warnings: tuple[str, ...] = ()

    @property
    def flags(self) -> list[str]:
        """cc1's flags behind those of each half."""
        return [f"-std={self.standard}", *self.preprocessor, *self.warnings]
