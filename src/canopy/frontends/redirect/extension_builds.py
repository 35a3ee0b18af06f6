"""``python setup.py build_ext`` under a redirect: what `BuildExtension` compiles, Canopy compiles.

A project's ``setup.py`` names `CUDAExtension` and `BuildExtension` of
``torch.utils.cpp_extension``. The folders of torch's own headers and its libraries, which
`CUDAExtension` adds, are left out.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

__all__ = ["build_extensions"]

_TORCH = Path(torch.__file__).parent
_TORCH_LIBRARIES = frozenset(
    {"c10", "c10_cuda", "cudart", "torch", "torch_cpu", "torch_cuda", "torch_python"}
)


def build_extensions(self: Any) -> None:
    """`BuildExtension.build_extensions`: every extension's module file, where setuptools wants
    it."""
    from canopy.frontends.cuda.extension import build_extension

    for extension in self.extensions:
        file = build_extension(
            extension.name.rpartition(".")[2],
            [Path(source) for source in extension.sources],
            _options(extension),
            _foreign(extension.include_dirs),
        )
        target = Path(self.get_ext_fullpath(extension.name))
        target.parent.mkdir(parents=True, exist_ok=True)
        fresh = target.with_suffix(".new")
        shutil.copyfile(file, fresh)
        fresh.replace(target)


def _options(extension: Any) -> list[str]:
    macros = [
        f"-D{name}" if value is None else f"-D{name}={value}"
        for name, value in extension.define_macros or ()
    ]
    given = extension.extra_compile_args or []
    if isinstance(given, dict):
        given = [word for words in given.values() for word in words]
    libraries = [name for name in extension.libraries or () if name not in _TORCH_LIBRARIES]
    return [
        *macros,
        *given,
        *(f"-U{name}" for name in extension.undef_macros or ()),
        *(f"-L{folder}" for folder in _foreign(extension.library_dirs)),
        *(f"-l{name}" for name in libraries),
        *(extension.extra_link_args or ()),
        *(extension.extra_objects or ()),
    ]


def _foreign(folders: Iterable[str] | None) -> list[str]:
    """The folders that are not torch's own."""
    return [folder for folder in folders or () if _TORCH not in Path(folder).resolve().parents]
