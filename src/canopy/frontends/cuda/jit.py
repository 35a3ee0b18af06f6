"""CUDA C++ source compiled at run time: kernels per block shape, in memory and on disk.

module = jit_module(Source(code, "<RawKernel saxpy>", Options()))
variant = module.variant("saxpy", (256, 1, 1), shared_bytes=0)

Two kinds of entries in the disk cache: of a source its signatures and the object with its
variables, of a kernel and a block shape the object code. A warm start runs neither clang nor LLVM's
passes. Keys hold the source, options, included files, compiler and processor.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import json
import re
import tempfile
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from canopy import config
from canopy.errors import CompileError, LaunchError, Location
from canopy.frontends.cuda.objects import compiler_stamp, hash_of, is_ours, machine_stamp
from canopy.frontends.cuda.options import Options
from canopy.frontends.cuda.signatures import (
    DEBUG_FLAGS,
    CType,
    Parameter,
    read_signatures,
    without_values,
)
from canopy.runtime import trace
from canopy.runtime.cache import DiskCache

if TYPE_CHECKING:  # a warm start does without the compiler
    from canopy.frontends.cuda.llvm_values import Global
    from canopy.frontends.cuda.module import CudaModule, LoweredKernel

__all__ = ["DeviceVariable", "JitModule", "KernelInfo", "Source", "Variant", "jit_module"]

Shape = tuple[int, int, int]
KEPT_VARIANTS = 8  # of one source, with different headers
DYNAMIC_SHARED_BYTES = 227 << 10
# What a source has without asking when it is compiled at run time: assert and printf.
_BUILT_IN = ("-include", "assert.h", "-include", "stdio.h")


@dataclass(frozen=True)
class Source:
    """What is compiled; ``filename`` is what messages name. ``expressions`` are kernels to be
    instantiated, like ``scale<float, 4>``."""

    code: str
    filename: str
    options: Options
    expressions: tuple[str, ...] = ()


@dataclass(frozen=True)
class KernelInfo:
    """A kernel of a source: its linker's name, its name as written, its parameters."""

    name: str
    display: str
    parameters: tuple[Parameter, ...]
    max_threads: int


@dataclass(frozen=True)
class Variant:
    """A kernel in memory, for one block shape. ``written``: per slot, whether it writes there."""

    address: int
    scratch_bytes: int
    written: tuple[bool, ...]
    variables: tuple[str, ...]  # whose addresses follow the parameters
    by_value: tuple[bool, ...]  # per parameter
    static_shared_bytes: int
    keep: Any


class DeviceVariable:
    """The memory of a ``__device__`` or ``__constant__`` variable, as the launcher reads tensors;
    NumPy views it through the array interface."""

    def __init__(self, name: str, type_: CType, address: int, keep: Any) -> None:
        self.name = name
        self.type = type_
        self._address = address
        self._keep = keep

    def data_ptr(self) -> int:
        return self._address

    def nbytes(self) -> int:
        return self.type.size

    def untyped_storage(self) -> DeviceVariable:
        """Itself: where the memory begins that views of it lie in."""
        return self

    @property
    def __array_interface__(self) -> dict[str, Any]:
        return {
            "version": 3,
            "typestr": "|u1",
            "shape": (self.type.size,),
            "data": (self._address, False),
        }


# ---- what is known of a source -----------------------------------------------------------------

_EXPRESSION = "canopy_name_"
_EXPRESSION_VALUE = re.compile(rf"^@{_EXPRESSION}(\d+) = .*? ptr @(\"[^\"]*\"|[-\w.$]+)", re.M)


def _whole_text(source: Source) -> str:
    """The source and, behind it, what instantiates the templates that are asked for."""
    if not source.expressions:
        return source.code
    lines = [
        f'extern "C" __device__ __attribute__((used)) const void* const {_EXPRESSION}{number} = '
        f"(const void*)&{text};"
        for number, text in enumerate(source.expressions)
    ]
    return "\n".join([source.code, '#line 1 "<name_expressions>"', *lines])


@dataclass
class _Known:
    """The cache entry of a source."""

    included: list[tuple[str, str]]
    kernels: dict[str, KernelInfo]
    variables: dict[str, tuple[str, CType]]  # by linker's name
    expressions: dict[str, str]  # to linker's names

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> _Known:
        kernels = {
            name: KernelInfo(
                name,
                k["display"],
                tuple(map(Parameter.from_json, k["parameters"])),
                k["max_threads"],
            )
            for name, k in data["kernels"].items()
        }
        variables = {n: (text, CType.from_json(t)) for n, (text, t) in data["variables"].items()}
        included = [(path, digest) for path, digest in data["included"]]
        return cls(included, kernels, variables, data["expressions"])

    def is_fresh(self) -> bool:
        return all(hash_of(Path(path)) == digest for path, digest in self.included)


@dataclass(frozen=True)
class _Compiled:
    module: CudaModule
    known: _Known


def _compile(source: Source) -> _Compiled:
    from canopy.frontends.cuda.build import included_files, recording
    from canopy.frontends.cuda.clang import device_ir
    from canopy.frontends.cuda.llvm_reader import read_module
    from canopy.frontends.cuda.module import CudaModule
    from canopy.frontends.cuda.pipeline import parse_and_prepare

    with tempfile.TemporaryDirectory(prefix="canopy-") as name:
        folder = Path(name)
        flags = [*source.options.flags, *DEBUG_FLAGS, *_BUILT_IN, *recording(folder / "device.d")]
        ir = device_ir(_whole_text(source), source.filename, flags)
        files = [
            path for path in included_files(folder, Path(source.filename)) if not is_ours(path)
        ]
    signatures = read_signatures(ir)
    found = {number: symbol.strip('"') for number, symbol in _EXPRESSION_VALUE.findall(ir)}
    checked = source.options.checked
    prepared = parse_and_prepare(without_values(ir), source.filename, checked)
    module = CudaModule(source.filename, read_module(prepared, source.filename), checked)
    kernels = {
        f.name: KernelInfo(f.name, f.display_name, signatures.kernels[f.name], f.max_threads)
        for f in module.kernels
    }
    variables = {
        v.name: signatures.variables.get(v.name, ("", _bytes_of(v))) for v in _variables(module)
    }
    expressions = {text: found[str(at)] for at, text in enumerate(source.expressions)}
    included = [(str(path), hash_of(path)) for path in files]
    return _Compiled(module, _Known(included, kernels, variables, expressions))


def _variables(module: CudaModule) -> list[Global]:
    return [v for v in module.variables if not v.name.startswith(_EXPRESSION)]


def _bytes_of(variable: Global) -> CType:
    from canopy.frontends.cuda.llvm_types import size_of

    return CType("unnamed", "struct", size_of(variable.content))


def _data_ir(module: CudaModule) -> str:
    """Definitions of the variables, and a function that gives the table of their addresses."""
    from canopy.frontends.cuda.variables import host_definition, host_symbol

    variables = _variables(module)
    known = {v.name for v in variables}
    table = ", ".join(f'ptr @"{host_symbol(v.name)}"' for v in variables)
    return "\n".join(
        [
            *module.type_lines,
            *(host_definition(v, known) for v in variables),
            f"@canopy.table = internal constant [{len(variables)} x ptr] [{table}]",
            "define ptr @canopy_entry() {",
            "  ret ptr @canopy.table",
            "}",
        ]
    )


# ---- a module ----------------------------------------------------------------------------------


@dataclass
class JitModule:
    """A compiled source in this process."""

    source: Source
    key: str
    known: _Known
    _module: CudaModule | None
    _variants: dict[tuple[str, Shape, int], Variant] = field(default_factory=dict)
    _lock: Any = field(default_factory=threading.RLock)

    def find(self, name: str) -> KernelInfo:
        """By expression, linker's name, or name as written. CompileError lists what there is."""
        kernels = self.known.kernels
        symbol = self.known.expressions.get(name, name)
        if symbol in kernels:
            return kernels[symbol]
        bare = name.replace(" ", "")
        found = [k for k in kernels.values() if k.display.replace(" ", "") == bare]
        found = found or [k for k in kernels.values() if k.display.partition("<")[0] == bare]
        if len(found) == 1:
            return found[0]
        raise _unknown(name, self.source, found, kernels.values())

    def variant(self, kernel: KernelInfo, block: Shape, shared_bytes: int) -> Variant:
        """The kernel for a block of that shape; ``shared_bytes`` of dynamic shared memory, at
        least. Compiled at its first use."""
        room = _rounded(shared_bytes)
        key = (kernel.name, block, room)
        with self._lock:
            if key not in self._variants:
                self._variants[key] = self._load(kernel, block, room)
            return self._variants[key]

    def variable(self, name: str) -> DeviceVariable:
        """A device variable by its name as written, or its linker's. CompileError otherwise."""
        for symbol, (written, _) in self.known.variables.items():
            if name in (symbol, written):
                return self.memory[symbol]
        there = ", ".join(text for text, _ in self.known.variables.values() if text) or "none"
        raise CompileError(
            f"no __device__ or __constant__ variable is named {name}",
            location=Location(self.source.filename),
            hint=f"variables here: {there}",
        )

    @functools.cached_property
    def memory(self) -> dict[str, DeviceVariable]:
        """The variables by linker's name, with their values at the start of a program."""
        from canopy.targets.cpu import load_object

        if not self.known.variables:
            return {}
        key = f"{self.key} data"
        cache = DiskCache()
        code = cache.get(key)
        if code is None:
            from canopy.compiler import assemble

            code = assemble(_data_ir(self._compiled_module()))
            cache.put(key, code)
        loaded = load_object(code)
        table = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p))(loaded.address)()
        return {
            symbol: DeviceVariable(text, type_, int(table[at] or 0), loaded)
            for at, (symbol, (text, type_)) in enumerate(self.known.variables.items())
        }

    def static_shared_bytes(self, kernel: KernelInfo) -> int:
        """The ``__shared__`` variables of a kernel, in bytes."""
        for (name, _, _), variant in self._variants.items():
            if name == kernel.name:
                return variant.static_shared_bytes
        lowered = self._compiled_module().lower(kernel.name, (32, 1, 1), 16)
        return lowered.static_shared_bytes

    def _compiled_module(self) -> CudaModule:
        if self._module is None:
            self._module = _compile(self.source).module
        return self._module

    def _load(self, kernel: KernelInfo, block: Shape, shared_bytes: int) -> Variant:
        from canopy.compiler import Executable

        key = f"{self.key} {kernel.name} {block} {shared_bytes}"
        cache = DiskCache()
        entry = cache.get(key)
        start_s = time.perf_counter()
        if entry is None:
            entry = self._built(kernel, block, shared_bytes)
            cache.put(key, entry)
            seconds, hits = time.perf_counter() - start_s, 0
        else:
            seconds, hits = 0.0, 1
        head, _, code = entry.partition(b"\n")
        about = json.loads(head)
        executable = Executable.from_metadata(code, about)
        place = Location(self.source.filename)
        trace.record_kernel(kernel.display, compile_s=seconds, cache_hits=hits, location=place)
        return Variant(
            executable.load(),
            executable.scratch_bytes,
            executable.written,
            tuple(about["variables"]),
            tuple(about["by_value"]),
            about["static_shared_bytes"],
            executable,
        )

    def lowered(self, kernel: KernelInfo, block: Shape, shared_bytes: int) -> LoweredKernel:
        """The kernel as tile IR, for what `variant` compiles it for."""
        try:
            return self._compiled_module().lower(kernel.name, block, _rounded(shared_bytes))
        except LaunchError as error:
            if not shared_bytes and "__shared__" in error.fact:
                error.hint = "give the launch shared_mem=, in bytes"
            raise

    def _built(self, kernel: KernelInfo, block: Shape, shared_bytes: int) -> bytes:
        """The cache entry: a line of JSON, and the object code."""
        from canopy.compiler import compile_kernel

        lowered = self.lowered(kernel, block, shared_bytes)
        executable = compile_kernel(lowered.kernel)
        about = {
            "name": kernel.display,
            "scratch_bytes": executable.scratch_bytes,
            "written": executable.written,
            "variables": [v.name for v in lowered.variables],
            "by_value": [a.is_by_value for a in lowered.arguments],
            "static_shared_bytes": lowered.static_shared_bytes,
        }
        return json.dumps(about).encode() + b"\n" + executable.object_code


def _rounded(shared_bytes: int) -> int:
    """The next power of two: launches that differ a little share a variant."""
    if not shared_bytes:
        return 0
    return int(min(1 << max(shared_bytes - 1, 255).bit_length(), DYNAMIC_SHARED_BYTES))


def _unknown(
    name: str, source: Source, found: Sequence[KernelInfo], kernels: Iterable[KernelInfo]
) -> CompileError:
    fact = f"{len(found)} kernels are named {name}" if found else f"no kernel is named {name}"
    known = ", ".join(
        k.display if k.display == k.name else f"{k.display} ({k.name})" for k in kernels
    )
    hint = f"kernels here: {known or 'none'}"
    if not found and ("<" in name or not known):
        hint += "; a template is instantiated by RawModule(name_expressions=[...])"
    return CompileError(fact, location=Location(source.filename), hint=hint)


_modules: dict[Source, JitModule] = {}
_modules_lock = threading.Lock()


def jit_module(source: Source) -> JitModule:
    """The module of a source, compiled, from the disk cache, or of this process. One source has
    one module in a process: its device variables are shared by all who ask."""
    with _modules_lock:
        module = _modules.get(source)
        if module is None or not module.known.is_fresh():
            module = _modules[source] = _module_of(source)
        return module


def _module_of(source: Source) -> JitModule:
    cache = DiskCache()
    key = f"cuda-jit {compiler_stamp()} {machine_stamp()} {config.cpu()} {source!r} {Path.cwd()}"
    entries: list[dict[str, Any]] = json.loads(cache.get(key) or b"[]")
    for entry in entries:
        known = _Known.from_json(entry)
        if known.is_fresh():
            return JitModule(source, _content_key(key, known), known, None)
    made = _compile(source)
    cache.put(key, json.dumps([made.known.to_json(), *entries][:KEPT_VARIANTS]).encode())
    return JitModule(source, _content_key(key, made.known), made.known, made.module)


def _content_key(key: str, known: _Known) -> str:
    return "cuda-jit " + hashlib.sha256(f"{key} {known.included!r}".encode()).hexdigest()
