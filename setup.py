"""Builds the native runtime with the package; everything else stands in pyproject.toml.

``python setup.py build_native`` compiles it in place, as ``python -m canopy.runtime.build`` does.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any, ClassVar

from setuptools import Command, Extension, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_ext import build_ext

NATIVE = Path("src/canopy/runtime/native")


def load_builder() -> Any:
    spec = importlib.util.spec_from_file_location("build_native", NATIVE.parent / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class BuildWithZig(build_ext):
    """zig cc compiles the one extension, and the static runtime of CUDA C++ executables beside it:
    no compiler and no Python headers of the system."""

    def build_extension(self, ext: Extension) -> None:
        builder = load_builder()
        library = Path(self.get_ext_fullpath(ext.name)).resolve()
        builder.build(library)
        builder.build_archive(library.with_name(builder.ARCHIVE_NAME))


class BuildNative(Command):
    description = "compile the native runtime in place"
    user_options: ClassVar[list[Any]] = []

    def initialize_options(self) -> None: ...

    def finalize_options(self) -> None: ...

    def run(self) -> None:
        print(load_builder().build())


class PortableWheel(bdist_wheel):
    """The library needs glibc 2.17 and the stable ABI of CPython 3.10, nothing else."""

    def get_tag(self) -> tuple[str, str, str]:
        _, _, system = super().get_tag()
        return "cp310", "abi3", system.replace("linux_", "manylinux_2_17_")


setup(
    ext_modules=[
        Extension(
            "canopy.runtime.native._native",
            sources=sorted(str(path) for path in NATIVE.glob("*.c")),
            depends=sorted(str(path) for path in NATIVE.glob("*.h")),
            py_limited_api=True,
        )
    ],
    cmdclass={
        "build_ext": BuildWithZig,
        "build_native": BuildNative,
        "bdist_wheel": PortableWheel,
    },
)
