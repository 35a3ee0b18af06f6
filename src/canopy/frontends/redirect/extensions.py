"""Kernels and extensions that a program compiles from source as it runs: what
``torch.cuda._compile_kernel`` and ``torch.utils.cpp_extension`` do under a redirect."""

from __future__ import annotations

import ctypes
import re
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from canopy import config
from canopy.errors import CompileError, UnsupportedError
from canopy.frontends.redirect.extension_builds import build_extensions
from canopy.frontends.redirect.patches import PatchSet
from canopy.frontends.redirect.tensor_calls import take_failures
from canopy.runtime import trace

__all__ = ["CompiledKernel", "compile_kernel", "load", "load_inline", "patch_extensions"]


def patch_extensions(patches: PatchSet) -> None:
    """``torch.cuda._compile_kernel``, and ``torch.utils.cpp_extension`` once it is imported."""
    patches.set(torch.cuda, "_compile_kernel", compile_kernel)
    patches.when_imported("torch.utils.cpp_extension", _patch_cpp_extension)


def _patch_cpp_extension(patches: PatchSet, module: Any) -> None:
    from canopy.frontends.cuda.toolkit import toolkit_folder

    patches.set(module, "load", load)
    patches.set(module, "load_inline", load_inline)
    patches.set(module, "CUDA_HOME", str(toolkit_folder()))
    patches.set(module.BuildExtension, "build_extensions", build_extensions)


# ---- torch.cuda._compile_kernel ----------------------------------------------------------------


class CompiledKernel:
    """A kernel that is called as torch calls it; tensors give their address, with any strides."""

    def __init__(self, function: Any) -> None:
        self._function = function

    def __call__(
        self,
        grid: tuple[int, int, int] = (1, 1, 1),
        block: tuple[int, int, int] = (1, 1, 1),
        args: Sequence[Any] | None = None,
        shared_mem: int = 0,
        stream: Any = None,
    ) -> None:
        values = args or ()
        for value in values:
            if isinstance(value, torch.Tensor) and not (value.is_cuda or value.is_pinned()):
                raise ValueError("All tensor arguments must be CUDA tensors or pinned CPU tensors")
        self._function(tuple(grid), tuple(block), values, shared_mem=shared_mem, stream=stream)

    def set_shared_memory_config(self, shared_mem_bytes: int) -> None:
        """Allows launches to ask for this much dynamic shared memory."""
        limit = max(shared_mem_bytes, self._function.max_dynamic_shared_size_bytes)
        self._function.max_dynamic_shared_size_bytes = limit


def compile_kernel(
    kernel_source: str,
    kernel_name: str,
    compute_capability: str | None = None,
    cuda_include_dirs: Sequence[str] | None = None,
    nvcc_options: Sequence[str] | None = None,
) -> CompiledKernel:
    """A kernel from its source; RuntimeError with clang's messages where it does not compile."""
    from canopy.frontends.cuda.clang import ClangError
    from canopy.frontends.cuda.raw import raw_function

    options = [f"-I{folder}" for folder in cuda_include_dirs or ()] + list(nvcc_options or ())
    try:
        return CompiledKernel(
            raw_function(kernel_source, kernel_name, options, f"{kernel_name}.cu")
        )
    except ClangError as error:
        raise RuntimeError(f"Kernel compilation failed:\n{error.output}") from None


# ---- torch.utils.cpp_extension -----------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z_]\w*")


def load_inline(
    name: str,
    cpp_sources: str | Sequence[str],
    cuda_sources: str | Sequence[str] | None = None,
    sycl_sources: Any = None,
    functions: str | Sequence[str] | Mapping[str, str] | None = None,
    extra_cflags: Sequence[str] | None = None,
    extra_cuda_cflags: Sequence[str] | None = None,
    extra_sycl_cflags: Any = None,
    extra_ldflags: Sequence[str] | None = None,
    extra_include_paths: Sequence[str] | str | None = None,
    build_directory: str | None = None,
    verbose: bool = False,
    with_cuda: bool | None = None,
    with_sycl: bool | None = None,
    is_python_module: bool = True,
    with_pytorch_error_handling: bool = True,
    keep_intermediates: bool = True,
    use_pch: bool = False,
    no_implicit_headers: bool = False,
) -> Any:
    """As torch's: C++ and CUDA sources as text, compiled, loaded, and bound to Python."""
    _refuse_sycl(sycl_sources)
    folder = Path(build_directory) if build_directory else _build_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    cpp = _numbered(name, "cpp_sources", cpp_sources)
    cuda = _numbered(name, "cuda_sources", cuda_sources or ())
    if not no_implicit_headers:
        cpp.insert(0, "#include <torch/extension.h>")
        cuda[:0] = ["#include <torch/types.h>", "#include <cuda.h>", "#include <cuda_runtime.h>"]
    if functions is not None:
        cpp.append(_bindings(functions))
    files = [_written(folder / "main.cpp", cpp)]
    if cuda_sources:
        files.append(_written(folder / "cuda.cu", cuda))
    flags = _words(extra_cflags, extra_cuda_cflags, extra_ldflags)
    return _loaded(name, files, flags, extra_include_paths, is_python_module)


def load(
    name: str,
    sources: str | Sequence[str],
    extra_cflags: Sequence[str] | None = None,
    extra_cuda_cflags: Sequence[str] | None = None,
    extra_sycl_cflags: Any = None,
    extra_ldflags: Sequence[str] | None = None,
    extra_include_paths: Sequence[str] | str | None = None,
    build_directory: str | None = None,
    verbose: bool = False,
    with_cuda: bool | None = None,
    with_sycl: bool | None = None,
    is_python_module: bool = True,
    is_standalone: bool = False,
    keep_intermediates: bool = True,
) -> Any:
    """As torch's: source files, compiled and loaded."""
    if is_standalone:
        raise UnsupportedError(
            "load(is_standalone=True) builds an executable, which Canopy does from nvcc only",
            location=trace.caller_location(),
            hint="canopy nvcc main.cu -o app",
        )
    files = [Path(file) for file in ([sources] if isinstance(sources, str) else sources)]
    missing = [str(file) for file in files if not file.exists()]
    if missing:
        raise CompileError(f"{missing[0]}: there is no such file", location=trace.caller_location())
    flags = _words(extra_cflags, extra_cuda_cflags, extra_ldflags)
    return _loaded(name, files, flags, extra_include_paths, is_python_module)


def _words(*lists: Sequence[str] | None) -> list[str]:
    """Flags as a shell would split them: torch's build writes them on one line."""
    return [word for given in lists for text in given or () for word in shlex.split(text)]


def _refuse_sycl(sources: Any) -> None:
    if sources:
        raise UnsupportedError(
            "SYCL sources cannot be compiled here", location=trace.caller_location()
        )


def _build_folder(name: str) -> Path:
    return config.cache_dir() / "extensions" / name


def _numbered(name: str, what: str, sources: str | Sequence[str]) -> list[str]:
    """The texts, each behind a directive that gives its lines their own numbers."""
    texts = [sources] if isinstance(sources, str) else list(sources)
    return [f'#line 1 "<{name} {what}[{at}]>"\n{text}' for at, text in enumerate(texts)]


def _bindings(functions: str | Sequence[str] | Mapping[str, str]) -> str:
    if isinstance(functions, str):
        functions = [functions]
    if not isinstance(functions, Mapping):
        functions = {function: function for function in functions}
    lines = [
        f'm.def("{function}", torch::wrap_pybind_function({function}), R"canopy({text})canopy");'
        for function, text in functions.items()
    ]
    body = "\n".join(lines)
    return f'#line 1 "<functions>"\nPYBIND11_MODULE(TORCH_EXTENSION_NAME, m) {{\n{body}\n}}\n'


def _written(path: Path, parts: Sequence[str]) -> Path:
    """The file, touched only if its text is new."""
    text = "\n".join(parts)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
    return path


def _loaded(
    name: str,
    files: Sequence[Path],
    flags: Sequence[str],
    include_paths: Sequence[str] | str | None,
    is_python_module: bool,
) -> Any:
    from canopy.frontends.cuda.extension import build_extension, import_extension

    if not _NAME.fullmatch(name):
        raise CompileError(
            f"the name of an extension is an identifier, not {name!r}",
            location=trace.caller_location(),
        )
    folders = [include_paths] if isinstance(include_paths, str) else include_paths or ()
    file = build_extension(name, files, flags, folders)
    take_failures()
    if is_python_module:
        result: Any = import_extension(name, file)
    else:
        ctypes.PyDLL(str(file))
        result = str(file)
    failures = take_failures()
    if failures:
        raise RuntimeError(f"{name}: {failures[0]}")
    return result
