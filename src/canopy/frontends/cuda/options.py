"""What a command line says about the compilation of one source."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["CUDA_VERSION", "PER_THREAD_MACRO", "Options"]

CUDA_VERSION = (12, 3, 107)
# Defined where stream 0 is the calling thread's own: by -default-stream per-thread, or by a -D.
PER_THREAD_MACRO = "CUDA_API_PER_THREAD_DEFAULT_STREAM"


@dataclass(frozen=True)
class Options:
    """``preprocessor`` (macros and include folders) and ``warnings``: as clang's cc1 takes them."""

    preprocessor: tuple[str, ...] = ()
    standard: str = "c++17"
    optimization: str = "-O2"
    warnings: tuple[str, ...] = ()
    relocatable: bool = False  # device code waits for the other sources of the program
    is_whole: bool = False  # the source is all of the program: nobody else launches its kernels
    checked: bool = False  # kernels look at every access before they make it

    @property
    def flags(self) -> list[str]:
        """cc1's flags behind those of each half."""
        flags = [f"-std={self.standard}", *self.preprocessor, *self.warnings]
        if any(flag.startswith(f"-D{PER_THREAD_MACRO}") for flag in self.preprocessor):
            flags.append("-fgpu-default-stream=per-thread")
        return flags
