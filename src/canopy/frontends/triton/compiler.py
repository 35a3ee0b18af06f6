"""The plug-in backend that Triton calls to compile a kernel for the CPU.

Stages: ``ttir`` (Triton's own passes), ``canopy`` (tile IR), ``llir``, ``obj``. Triton keeps the
text of each in its cache and in ``kernel.asm``, whose ``asm`` is made when it is read. Triton looks
for exactly one concrete backend class in this module.
"""

from __future__ import annotations

import functools
import hashlib
import os
import time
from types import ModuleType
from typing import Any

from triton import __version__ as triton_version
from triton._C.libtriton import ir, passes
from triton.backends.compiler import BaseBackend, GPUTarget, Language

import canopy
from canopy import config
from canopy.errors import MissingDependencyError, UnsupportedError
from canopy.frontends.triton.binary import Binary, mark_fresh
from canopy.frontends.triton.options import CpuOptions
from canopy.frontends.triton.reader import ttir_to_kernel
from canopy.ir import Kernel

__all__ = ["CpuBackend"]

# Kernels that size their grid by occupancy (the fused softmax of Triton's tutorial) divide by this.
_NOMINAL_SHARED_BYTES = 64 * 1024


class CpuBackend(BaseBackend):  # type: ignore[misc, unused-ignore]
    """Compiles TTIR through the tile IR to machine code of this CPU."""

    binary_ext = "obj"

    @staticmethod
    def supports_target(target: GPUTarget) -> bool:
        return bool(target.backend == "cpu")

    def hash(self) -> str:
        features = "" if config.interpret() or config.simulates() else _host_features()
        key = f"{canopy.__version__}-{_sources_hash()}-{triton_version}-{features}"
        return hashlib.sha256(key.encode()).hexdigest()

    def parse_options(self, options: dict[str, Any]) -> CpuOptions:
        return CpuOptions.from_launch(
            {**options, "interpret": config.interpret(), "simulate": config.simulates()}
        )

    def pack_metadata(self, metadata: Any) -> tuple[int, int, int]:
        return (metadata.num_warps, metadata.num_ctas, metadata.shared)

    def get_codegen_implementation(self, options: CpuOptions) -> dict[str, Any]:
        from canopy.frontends.triton.fp8e4b15 import convert_fp8e4b15

        return {"convert_custom_types": convert_fp8e4b15, "min_dot_size": _min_dot_size}

    def get_module_map(self) -> dict[str, ModuleType]:
        # The symbols of NVIDIA's libdevice are what rules_extern.py reads.
        from triton.language.extra.cuda import libdevice

        return {"triton.language.extra.libdevice": libdevice}

    def load_dialects(self, context: Any) -> None:
        """All dialects of TTIR are loaded by Triton itself."""

    def add_stages(self, stages: dict[str, Any], options: CpuOptions, language: Language) -> None:
        if language != Language.TRITON:
            raise UnsupportedError(
                "Gluon kernels are written for the layouts of one GPU",
                hint="use the kernel's Triton version on the cpu target",
            )
        stages["ttir"] = _make_ttir
        stages["canopy"] = functools.partial(_make_canopy, options=options)
        if not (options.interpret or options.simulate):
            stages["llir"] = _make_llir
        stages["obj"] = functools.partial(_make_obj, options=options)


def _host_features() -> str:
    from canopy.targets.cpu import host_machine

    machine = host_machine()
    return f"{machine.cpu} {machine.features}"


@functools.lru_cache(maxsize=1)
def _sources_hash() -> str:
    """A stamp of Canopy's own compiler sources, so that a changed Canopy never reuses old code."""
    root = os.path.dirname(canopy.__file__)
    stamps = []
    for folder in ("ir", "passes", "targets", "frontends/triton"):
        for parent, _, files in os.walk(os.path.join(root, folder)):
            for file in files:
                if file.endswith(".py"):
                    status = os.stat(os.path.join(parent, file))
                    stamps.append(f"{parent}/{file}:{status.st_size}:{status.st_mtime_ns}")
    return hashlib.sha256("\n".join(sorted(stamps)).encode()).hexdigest()


def _min_dot_size(lhs: Any, rhs: Any) -> tuple[int, int, int]:
    return (1, 1, 1)


# ---- stages ------------------------------------------------------------------------------------


class _Stage(str):
    """The text of a stage, with what the next stage needs beside it."""

    kernel: Kernel | None
    executable: Any

    def __new__(cls, text: str, kernel: Kernel | None = None, executable: Any = None) -> _Stage:
        made = super().__new__(cls, text)
        made.kernel = kernel
        made.executable = executable
        return made


def _make_ttir(module: Any, metadata: dict[str, Any]) -> Any:
    manager = ir.pass_manager(module.context)
    passes.common.add_inliner(manager)
    passes.ttir.add_rewrite_tensor_descriptor_to_pointer(manager)
    passes.common.add_canonicalizer(manager)
    passes.ttir.add_combine(manager)
    passes.ttir.add_reorder_broadcast(manager)
    passes.common.add_cse(manager)
    passes.common.add_symbol_dce(manager)
    passes.ttir.add_loop_unroll(manager)
    passes.common.add_canonicalizer(manager)
    passes.common.add_cse(manager)
    manager.run(module, "make_ttir")
    return module


def _make_canopy(module: Any, metadata: dict[str, Any], *, options: CpuOptions) -> _Stage:
    start = time.perf_counter()
    text = module.str() if hasattr(module, "str") else str(module)
    kernel = ttir_to_kernel(text)
    kernel.attributes = {
        **kernel.attributes,
        "enable_fp_fusion": options.enable_fp_fusion,
    }
    metadata["name"] = kernel.name
    metadata["shared"] = _NOMINAL_SHARED_BYTES
    metadata["file"], metadata["line"] = kernel.location.file, kernel.location.line
    if options.interpret or options.simulate:
        return _Stage(text, kernel)
    from canopy.ir.printer import print_kernel

    metadata["compile_s"] = time.perf_counter() - start
    return _Stage(print_kernel(kernel), kernel)


def _make_llir(source: str, metadata: dict[str, Any]) -> _Stage:
    start = time.perf_counter()
    kernel = source.kernel if isinstance(source, _Stage) else None
    if kernel is None:  # a text that the user put in its place
        from canopy.ir.parser import parse_kernel

        kernel = parse_kernel(source)
    executable = _compile(kernel)
    metadata["compile_s"] = metadata.get("compile_s", 0.0) + time.perf_counter() - start
    return _Stage(executable.llvm_ir, kernel, executable)


def _compile(kernel: Kernel) -> Any:
    try:
        from canopy.compiler import compile_kernel
    except ModuleNotFoundError as error:
        raise MissingDependencyError(
            f"the cpu target cannot be loaded: {error}",
            hint="reinstall canopy-nn, or run kernels in the interpreter with CANOPY_INTERPRET=1",
        ) from error
    return compile_kernel(kernel, "cpu")


def _make_obj(source: str, metadata: dict[str, Any], *, options: CpuOptions) -> bytes:
    place: dict[str, Any] = {"file": metadata["file"], "line": metadata["line"]}
    name = metadata["name"]
    if options.interpret or options.simulate:
        binary = Binary(name, source.encode(), interpreted=True, **place)
        mark_fresh(binary)
        return binary.pack()
    assert isinstance(source, _Stage)
    made = source.executable
    binary = Binary(
        name,
        made.object_code,
        entry_name=made.entry_name,
        scratch_bytes=made.scratch_bytes,
        written=tuple(bool(flag) for flag in made.written),
        compile_s=metadata.get("compile_s", 0.0),
        **place,
    )
    mark_fresh(binary)
    return binary.pack()
