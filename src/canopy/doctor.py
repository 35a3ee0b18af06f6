"""`canopy doctor`: what is installed, which targets are usable, and why the others are not.

    Packages      torch 2.13.0+cpu, triton 3.9.0, onnx missing: pip install canopy-nn[onnx], ...
    Targets       cpu usable; nvidia: no NVIDIA driver; ...
    Machine       CPU, its vector features, threads, cache

Nothing heavy is imported: versions come from package metadata, so it takes a fraction of a second
and works when a package is broken.
"""

from __future__ import annotations

import contextlib
import ctypes.util
import importlib.metadata
import importlib.util
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from canopy import __version__, config
from canopy.errors import CanopyError

__all__ = ["PackageStatus", "TargetStatus", "doctor_command", "package_rows", "target_rows"]

# Distribution, import name, the extra that brings it ("" is a base dependency), what it is for.
PACKAGES = (
    ("numpy", "numpy", "", "interpreter, artifacts"),
    ("llvmlite", "llvmlite", "", "code generation for the cpu target"),
    ("triton", "triton", "triton", "Triton kernels"),
    ("torch", "torch", "torch", "canopy run, PyTorch programs"),
    ("ziglang", "ziglang", "cuda", "CUDA C++"),
    ("onnx", "onnx", "onnx", "ONNX models"),
    ("safetensors", "safetensors", "onnx", "weights of artifacts"),
)
SHOWN_FEATURES = (
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx512vnni",
    "avx512bf16",
    "avx512fp16",
    "amx-tile",
    "amx-bf16",
    "amx-int8",
    "neon",
    "dotprod",
    "bf16",
    "i8mm",
    "sve",
)


@dataclass(frozen=True, slots=True)
class PackageStatus:
    """One package: ``version`` is empty when it is missing, ``hint`` then says what to install."""

    name: str
    version: str
    purpose: str
    hint: str


@dataclass(frozen=True, slots=True)
class TargetStatus:
    """One target; ``reason`` says why it is not usable, or what it runs on."""

    name: str
    usable: bool
    reason: str


def doctor_command() -> int:
    """Prints the tables to stdout. 0 when the cpu target is usable, 1 otherwise."""
    console = Console(soft_wrap=not sys.stdout.isatty())
    packages = list(package_rows())
    targets = list(target_rows())
    console.print(Text(f"canopy {__version__}, Python {platform.python_version()}", style="bold"))
    console.print(_package_table(packages))
    console.print(_target_table(targets))
    console.print(_machine_table())
    return 0 if any(row.usable for row in targets if row.name == "cpu") else 1


def package_rows() -> Iterator[PackageStatus]:
    """The packages Canopy can use, with versions or hints."""
    for distribution, module, extra, purpose in PACKAGES:
        version = _version_of(distribution, module)
        hint = f"pip install canopy-nn[{extra}]" if extra else "pip install canopy-nn"
        if distribution == "triton" and not sys.platform.startswith("linux"):
            hint = "Triton publishes wheels for Linux only"
        yield PackageStatus(distribution, version, purpose, "" if version else hint)


def target_rows() -> Iterator[TargetStatus]:
    """The targets this version knows, in the order of usefulness."""
    yield _cpu_status()
    yield _nvidia_status()
    yield TargetStatus("ascend", False, "not in this version: docs/roadmap.md")


def _version_of(distribution: str, module: str) -> str:
    if importlib.util.find_spec(module) is None:
        return ""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return "unknown version"


def _cpu_status() -> TargetStatus:
    if importlib.util.find_spec("llvmlite") is None:
        return TargetStatus("cpu", False, "llvmlite is not installed: pip install canopy-nn")
    if not _has_module("canopy.runtime.native._native"):
        return TargetStatus(
            "cpu", False, "the native runtime is not built: pip install -e . in the repository"
        )
    if not _has_module("canopy.targets.cpu"):
        return TargetStatus("cpu", False, "this build has no cpu target")
    return TargetStatus("cpu", True, f"runs natively, {_cpu_name()}")


def _nvidia_status() -> TargetStatus:
    if not (Path("/dev/nvidiactl").exists() or ctypes.util.find_library("cuda")):
        return TargetStatus("nvidia", False, "no NVIDIA driver on this machine")
    if not _has_module("canopy.targets.nvidia"):
        return TargetStatus(
            "nvidia", False, "a driver is here; run the script with plain python, Canopy stays out"
        )
    return TargetStatus("nvidia", True, "the vendor's compilers")


def _has_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # a parent package is missing
        return False


def _cpu_name() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith(("model name", "Model")):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _cpu_features() -> list[str]:
    """The vector features that LLVM sees; empty without llvmlite."""
    try:
        from llvmlite import binding
    except ImportError:
        return []
    features = binding.get_host_cpu_features()
    return [name for name in SHOWN_FEATURES if features.get(name)]


def _package_table(rows: list[PackageStatus]) -> Table:
    table = Table(title="Packages", title_justify="left")
    for column in ("package", "version", "for"):
        table.add_column(column)
    for row in rows:
        found = Text(row.version) if row.version else Text(f"missing: {row.hint}", style="yellow")
        table.add_row(row.name, found, row.purpose)
    return table


def _target_table(rows: list[TargetStatus]) -> Table:
    table = Table(title="Targets", title_justify="left")
    for column in ("target", "usable", "why"):
        table.add_column(column)
    for row in rows:
        mark = Text("yes", style="green") if row.usable else Text("no", style="yellow")
        table.add_row(row.name, mark, row.reason)
    return table


def _machine_table() -> Table:
    table = Table(title="Machine", title_justify="left", show_header=False)
    table.add_row("CPU", _cpu_name())
    table.add_row("vector features", ", ".join(_cpu_features()) or "unknown")
    table.add_row("threads", _or_error(lambda: str(config.num_threads())))
    table.add_row("kept memory", _or_error(_kept_line))
    table.add_row("cache", _or_error(_cache_line))
    return table


def _kept_line() -> str:
    """How much memory of freed tensors `canopy run` keeps."""
    if not _has_module("canopy.runtime.native._native"):
        return "none: the native runtime is not built"
    from canopy.cli import format_bytes
    from canopy.runtime.memory import kept_limit_bytes

    limit = kept_limit_bytes()
    if limit == 0:
        return "none (CANOPY_KEPT_MIB=0): every large tensor is mapped anew"
    return f"at most {format_bytes(limit)} of freed tensors, under `canopy run`"


def _cache_line() -> str:
    from canopy.cli import folder_size, format_bytes

    folder = config.cache_dir()
    count, size_bytes = folder_size(folder)
    return f"{folder}: {count} files, {format_bytes(size_bytes)}{_writable_note(folder)}"


def _writable_note(folder: Path) -> str:
    """Empty when the cache can be written; access rights alone do not tell (read-only mounts)."""
    existing = folder
    while not existing.exists() and existing != existing.parent:
        existing = existing.parent
    if not existing.is_dir():
        return f"; not usable, {existing} is not a folder"
    if not os.access(existing, os.W_OK | os.X_OK):
        return "; not writable: kernels are compiled again in every process"
    try:
        with tempfile.TemporaryFile(dir=existing):
            return ""
    except OSError as error:
        return f"; not writable ({error.strerror}): kernels are compiled again in every process"


def _or_error(line: Callable[[], str]) -> str:
    try:
        return line()
    except CanopyError as error:
        return error.fact
