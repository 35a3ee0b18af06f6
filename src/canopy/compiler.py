"""Kernel and target in, executable out: where passes and targets meet."""

from __future__ import annotations

import contextlib
import inspect
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from canopy import config, ir
from canopy.errors import CanopyError, CompileError, UnsupportedError, VerifyError
from canopy.failure import record_failure
from canopy.ir.interpreter import native_calls
from canopy.ir.printer import print_kernel
from canopy.passes import pipeline

if TYPE_CHECKING:
    from canopy.targets.cpu import LoadedKernel
    from canopy.targets.cpu.codegen import Code

__all__ = ["Executable", "Observer", "assemble", "compile_kernel"]


def _runtime_symbols() -> Mapping[str, int]:
    from canopy.runtime.launch import symbols

    return symbols()


native_calls.provide(_runtime_symbols)

Observer: TypeAlias = Callable[[str, ir.Kernel], None]


@dataclass(slots=True)
class Executable:
    """A compiled kernel; ``written``: per parameter, whether the kernel may write through it."""

    name: str
    object_code: bytes = field(repr=False)
    scratch_bytes: int
    written: tuple[bool, ...]
    llvm_ir: str = field(default="", repr=False)
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


def compile_kernel(
    kernel: ir.Kernel,
    target: str = "cpu",
    *,
    observe: Observer | None = None,
    entry_name: str = "canopy_entry",
    optimized: bool = True,
) -> Executable:
    """Runs the passes on ``kernel`` and generates code for ``target``.

    ``entry_name`` is the linker's name of the entry, for objects that are linked together.
    ``optimized``: without, the target compiles three times as fast what is hardly ever run.
    ``observe`` sees the kernel as it came, under the name ``ir``, and after each pass. Raises
    UnsupportedError, with the user's file and line, for what the target cannot run. A failure of
    Canopy itself is written down for ``canopy report`` and raised as CompileError.
    """
    if target != "cpu":
        raise UnsupportedError(f"there is no target {target!r}", hint="targets: cpu")
    progress = _Progress(kernel, observe)
    try:
        code = _compile(progress, entry_name, optimized)
    except Exception as error:
        if isinstance(error, CanopyError) and not progress.has_broken_ir(error):
            raise
        raise progress.failure(error) from error
    return Executable(
        name=kernel.name,
        object_code=code.object_code,
        scratch_bytes=code.scratch_bytes,
        written=code.written,
        llvm_ir=code.llvm_ir,
        entry_name=entry_name,
    )


def assemble(llvm_ir: str) -> bytes:
    """An object file for this machine of LLVM IR as it stands: data and tables beside kernels."""
    from canopy.targets.cpu.codegen import assemble

    return assemble(llvm_ir)


def _compile(progress: _Progress, entry_name: str, optimized: bool) -> Code:
    from canopy.targets.cpu import compile_cpu

    start_s = time.perf_counter()
    progress.observe("ir", progress.kernel)
    prepared = pipeline.run(progress.kernel, observe=progress.observe)
    passes_s = time.perf_counter() - start_s
    code = compile_cpu(prepared, entry_name=entry_name, optimized=optimized)
    progress.finish(code, passes_s, time.perf_counter() - start_s - passes_s)
    return code


class _Progress:
    """How far a compilation is: what CANOPY_DEBUG prints, and what a failure report needs."""

    def __init__(self, kernel: ir.Kernel, observer: Observer | None) -> None:
        self.kernel = kernel
        self._observer = observer
        self._level = config.debug_level()
        self._passed = -1  # passes behind us; the IR as it came is no pass

    @property
    def stage(self) -> str:
        """The pass that runs now, or ``codegen`` behind the last."""
        following = max(self._passed, 0)
        done = following >= len(pipeline.COMMON)
        return "codegen" if done else pipeline.COMMON[following].__name__

    def observe(self, name: str, kernel: ir.Kernel) -> None:
        self.kernel = kernel
        self._passed += 1
        if self._level >= 2:
            title = "as it came" if name == "ir" else f"after {name}, verified"
            self._show(f"IR {title}", print_kernel(kernel, locations=True))
        if self._observer is not None:
            self._observer(name, kernel)

    def finish(self, code: Code, passes_s: float, code_s: float) -> None:
        if self._level >= 3:
            self._show("LLVM IR", code.llvm_ir)
        if self._level >= 4:
            from canopy.targets.cpu import assembly_of

            self._show("assembly", assembly_of(code.llvm_ir))
        if self._level >= 1:
            _say(
                f"canopy: compiled {self.kernel.name} ({self.kernel.location}) for cpu "
                f"in {passes_s + code_s:.3f} s (passes {passes_s:.3f}, code {code_s:.3f})"
            )

    def has_broken_ir(self, error: CanopyError) -> bool:
        """Whether ``error`` says that a pass has made a program that is none."""
        return isinstance(error, VerifyError) and self._passed >= 0

    def failure(self, error: Exception) -> CompileError:
        """Writes the failure down, and gives the error that the user sees."""
        kernel, stage = self.kernel, self.stage
        path = record_failure(stage, kernel.name, _source_of(kernel), _ir_text(kernel), error)
        if self._level >= 1:
            _say(f"canopy: the failure of {kernel.name} is written to {path}")
        first_line = (str(error).strip() or "no message").splitlines()[0]
        return CompileError(
            f"internal failure in {stage} of kernel {kernel.name}: "
            f"{type(error).__name__}: {first_line}",
            location=kernel.location,
            hint="run `canopy report` and paste what it prints into an issue",
        )

    def _show(self, title: str, text: str) -> None:
        _say(f"canopy: {self.kernel.name}: {title}\n{text.rstrip()}\n")


def _say(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # stderr is closed: nobody is listening
        print(text, file=sys.stderr, flush=True)


def _ir_text(kernel: ir.Kernel) -> str:
    try:
        return print_kernel(kernel, locations=True)
    except Exception as error:  # the IR itself may be what is broken
        return f"(cannot be printed: {type(error).__name__}: {error})"


def _source_of(kernel: ir.Kernel) -> str:
    """The kernel's lines in the user's file: a Python function, else the file from there on."""
    try:
        with open(kernel.location.file, encoding="utf-8", errors="replace") as file:
            lines = file.readlines()[max(kernel.location.line - 1, 0) :]
    except OSError:
        return ""
    if kernel.location.file.endswith(".py"):
        with contextlib.suppress(Exception):
            lines = inspect.getblock(lines)
    return "".join(lines)
