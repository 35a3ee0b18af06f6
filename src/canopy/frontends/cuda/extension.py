"""C++ and CUDA extensions of PyTorch, compiled against Canopy's own ``torch/extension.h``.

torch's headers need the C++ library that torch was built with. Canopy's have the same names and
call the installed torch through Python; so the operators of every torch are there, and the list of
their names is written when an extension is built.
"""

from __future__ import annotations

import importlib.machinery
import importlib.util
import keyword
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from canopy import config
from canopy.errors import CompileError, UnsupportedError
from canopy.frontends.cuda.clang import ClangError
from canopy.frontends.cuda.programs import compiled_program

__all__ = ["TORCH_HEADERS", "build_extension", "import_extension", "operator_names"]

TORCH_HEADERS = Path(__file__).parent / "torch_headers"

# Members of Tensor that the headers define themselves.
_OWN_NAMES = (
    "sizes strides size stride dim ndimension numel storage_offset element_size itemsize nbytes "
    "scalar_type dtype type device get_device is_cuda is_cpu is_sparse is_contiguous "
    "is_floating_point requires_grad options is_same data_ptr data item index index_put_ defined "
    "reset method call python accessor grad toType set_requires_grad empty zeros ones rand randn "
    "full empty_strided randint arange eye linspace randperm scalar_tensor tensor from_blob "
    "function get str einsum"
)
_CPP_WORDS = (
    "and or not xor bitand bitor compl float double int long short bool char half auto case class "
    "const default delete do else enum explicit export extern for friend goto if inline namespace "
    "new operator private protected public register return signed sizeof static struct switch "
    "template this throw try typedef union unsigned using virtual void volatile while"
)
_TAKEN = frozenset(f"{_OWN_NAMES} {_CPP_WORDS}".split())


def build_extension(
    name: str,
    sources: Sequence[Path],
    options: Sequence[str] = (),
    include_folders: Iterable[str | Path] = (),
) -> Path:
    """Compiles the sources into a module of that name; the file is in the cache. Where kernels run
    on the simulator, this process takes the module's launches over.

    ``options``: nvcc's and the host compiler's. Raises ClangError in clang's words,
    UnsupportedError for names of torch's C++ interface that Canopy's headers do not have.
    """
    words = [*map(str, sources), *map(str, options)]
    words += [f"-I{folder}" for folder in include_folders]
    words += ["-shared", "-isystem", str(TORCH_HEADERS), "-isystem", str(operator_names())]
    words += [f"-DTORCH_EXTENSION_NAME={name}", "-DTORCH_API_INCLUDE_EXTENSION_H"]
    words += ["-Xlinker", "-z", "-Xlinker", "undefs"]
    try:
        file = compiled_program(words)
    except ClangError as error:
        raise _explained(error) from None
    if config.simulates():
        from canopy.frontends.cuda.in_process import take_over_extension

        take_over_extension(file, words)
    return file


def import_extension(name: str, file: Path) -> ModuleType:
    """The module in ``file``, imported under ``name``."""
    loader = importlib.machinery.ExtensionFileLoader(name, str(file))
    spec = importlib.util.spec_from_file_location(name, file, loader=loader)
    if spec is None:
        raise CompileError(f"{file}: is no extension module")
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    sys.modules[name] = module
    return module


_UNKNOWN = re.compile(
    r"no (?:member|type|template) named '[^']*' in (?:namespace )?'(?:torch|at|c10|pybind11|canopy)"
    r"|'(?:torch|ATen|c10|pybind11|THC)/[^']*' file not found"
    r"|no template named '[^']*' in namespace '(?:torch|at|c10|pybind11)"
)


def _explained(error: ClangError) -> CompileError | UnsupportedError:
    if not _UNKNOWN.search(error.fact):
        return error
    return UnsupportedError(
        f"{error.fact}: this part of torch's C++ interface is not in Canopy's torch/extension.h",
        location=error.location,
        hint="docs/cuda.md lists what is there",
    )


# ---- the operators' names ----------------------------------------------------------------------


def operator_names() -> Path:
    """The folder with the lists of the installed torch's operators, written if it is not there."""
    import torch

    folder = config.cache_dir() / f"torch-names-{torch.__version__}"
    inner = folder / "canopy_torch_names"
    inner.mkdir(mode=0o700, parents=True, exist_ok=True)
    functions: Any = torch._C._VariableFunctions
    more: Any = torch._C._nn
    operators: Any = torch._C._dispatch_get_all_op_names()
    full = {name.partition(".")[0] for name in operators if name.startswith("aten::")}
    common = {name.removeprefix("aten::") for name in full}
    methods = common | _callables(torch.Tensor)
    _write(inner / "methods.inc", "CANOPY_METHOD", _usable(methods))
    names = common | _callables(functions) | _callables(more)
    _write(inner / "functions.inc", "CANOPY_FUNCTION", _usable(names))
    return folder


def _callables(owner: Any) -> set[str]:
    return {name for name in dir(owner) if callable(getattr(owner, name, None))}


def _usable(names: set[str]) -> set[str]:
    """Those that can be names in C++ and that the headers do not define themselves."""
    return {
        name
        for name in names
        if not name.startswith("__")
        and name not in _TAKEN
        and not keyword.iskeyword(name)
        and name.isidentifier()
    }


def _write(path: Path, macro: str, names: set[str]) -> None:
    text = "".join(f"{macro}({name})\n" for name in sorted(names))
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    fresh = path.with_suffix(f".{id(names)}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)
