"""The ``ziglang`` wheel's clang, linker and C++ library: where they are, and the flags they need.

``zig clang -cc1`` is clang's compiler proper. It bypasses zig's driver, so include folders and the
C++ library's configuration are given by hand; the flags hold for the pinned version of the wheel.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import platform
from functools import cache
from pathlib import Path

from canopy.errors import MissingDependencyError, UnsupportedError
from canopy.frontends.cuda.options import CUDA_VERSION

__all__ = [
    "HEADERS",
    "HELPER_HEADERS",
    "LINK_TARGET",
    "RUNTIME_HEADERS",
    "cpp_flags",
    "device_flags",
    "find_zig",
    "header_folders",
    "host_cpu",
    "host_flags",
    "host_triple",
    "zig_cache",
    "zig_environment",
]

HEADERS = Path(__file__).parent / "headers"
HELPER_HEADERS = HEADERS / "samples"  # helper_cuda.h and so on: a program's own come first
RUNTIME_HEADERS = Path(__file__).parents[2] / "runtime" / "native" / "cuda"


def header_folders() -> list[str]:
    """The options by which a C or C++ source finds CUDA's headers."""
    first = [part for folder in (HEADERS, RUNTIME_HEADERS) for part in ("-isystem", str(folder))]
    return [*first, "-idirafter", str(HELPER_HEADERS)]


_GLIBC_MINOR = 17  # glibc 2.17, as the native runtime
_TRIPLES = {"x86_64": "x86_64-unknown-linux-gnu", "aarch64": "aarch64-unknown-linux-gnu"}


@cache
def find_zig() -> Path:
    """The ``zig`` program of the ziglang wheel; MissingDependencyError where there is none."""
    spec = importlib.util.find_spec("ziglang")
    places = list(spec.submodule_search_locations or ()) if spec else []
    for place in places:
        for name in ("zig", "zig.exe"):
            program = Path(place) / name
            if program.is_file():
                return program
    raise MissingDependencyError(
        "CUDA C++ needs the ziglang package (it carries clang), which is not installed",
        hint="pip install canopy-nn[cuda]",
    )


def zig_cache() -> Path:
    """Where zig keeps the C++ library it compiled. Each installation of zig has its own: two
    that share a folder take each other's files for stale, and compile the library at every link."""
    named = os.environ.get("ZIG_GLOBAL_CACHE_DIR")
    if named:
        return Path(named)
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    installation = hashlib.sha256(str(find_zig()).encode()).hexdigest()[:12]
    return Path(home) / "zig" / f"canopy-{installation}"


def zig_environment() -> dict[str, str]:
    """The environment in which zig's driver compiles and links."""
    return {**os.environ, "ZIG_GLOBAL_CACHE_DIR": str(zig_cache())}


def host_triple() -> str:
    machine = platform.machine()
    if machine not in _TRIPLES:
        raise UnsupportedError(
            f"CUDA C++ programs are built for Linux on x86-64 and aarch64, this is {machine}"
        )
    return _TRIPLES[machine]


def host_cpu() -> str:
    """The processor that the host half is compiled for, as LLVM names it."""
    return {"x86_64": "x86-64-v3"}.get(platform.machine(), "generic")


LINK_TARGET = f"{platform.machine()}-linux-gnu.2.{_GLIBC_MINOR}"


@cache
def cpp_flags() -> tuple[str, ...]:
    """Include folders and macros for C and C++ library headers, and our CUDA headers."""
    library = find_zig().parent / "lib"
    machine = {"x86_64": "x86"}.get(platform.machine(), platform.machine())
    folders = [
        *("libcxx/include", "libcxxabi/include", "include"),
        f"libc/include/{platform.machine()}-linux-gnu",
        f"libc/include/{machine}-linux-gnu",
        "libc/include/generic-glibc",
        f"libc/include/{machine}-linux-any",
        "libc/include/any-linux-any",
    ]
    flags = ["-nobuiltininc", "-nostdsysteminc"]
    for folder in (HEADERS, RUNTIME_HEADERS, *(library / name for name in folders)):
        flags += ["-isystem", str(folder)]
    flags += ["-idirafter", str(HELPER_HEADERS)]
    return (*flags, *(f"-D{macro}" for macro in _library_macros()))


def _library_macros() -> list[str]:
    present = ("THREADS", "MONOTONIC_CLOCK", "TERMINAL", "LOCALIZATION", "FILESYSTEM", "UNICODE")
    absent = ("MUSL_LIBC", "TIME_ZONE_DATABASE", "VENDOR_AVAILABILITY_ANNOTATIONS")
    return [
        "_LIBCPP_ABI_VERSION=1",
        "_LIBCPP_ABI_NAMESPACE=__1",
        "_LIBCPP_HARDENING_MODE_DEFAULT=_LIBCPP_HARDENING_MODE_NONE",
        "_LIBCPP_HARDENING_MODE=_LIBCPP_HARDENING_MODE_NONE",
        "_LIBCPP_ASSERTION_SEMANTIC_DEFAULT=_LIBCPP_ASSERTION_SEMANTIC_IGNORE",
        *(f"_LIBCPP_HAS_{name}=1" for name in (*present, "WIDE_CHARACTERS", "RANDOM_DEVICE")),
        *(f"_LIBCPP_HAS_{name}=0" for name in absent),
        "_LIBCPP_PSTL_BACKEND_SERIAL",
        "_LIBCPP_THREAD_API_PTHREAD",
        "_GNU_SOURCE",
        f"__GLIBC_MINOR__={_GLIBC_MINOR}",
    ]


_VERSION_MACROS = (
    *("__CANOPY__=1", "__CUDACC__=1", "__NVCC__=1", "__CUDACC_RELAXED_CONSTEXPR__=1"),
    f"__CUDACC_VER_MAJOR__={CUDA_VERSION[0]}",
    f"__CUDACC_VER_MINOR__={CUDA_VERSION[1]}",
    f"__CUDACC_VER_BUILD__={CUDA_VERSION[2]}",
)

# Both halves see the same source the same way.
_COMMON = (
    *(f"-D{macro}" for macro in _VERSION_MACROS),
    *("-x", "cuda", "-target-sdk-version=12.3"),
    *("-fgnuc-version=4.2.1", "-fcxx-exceptions", "-fexceptions", "-fdeclspec", "-O2"),
    *("-foffload-implicit-host-device-templates", "-include", str(HEADERS / "canopy_cuda.h")),
)


def device_flags(standard: str = "c++17") -> list[str]:
    """cc1's flags for the device half, as LLVM IR in nvptx form.

    -O2 with -disable-llvm-passes: functions are not marked optnone, and nothing is optimised.
    """
    return [
        *("-triple", "nvptx64-nvidia-cuda", "-aux-triple", host_triple()),
        *("-target-cpu", "sm_80", "-target-feature", "+ptx83"),
        *("-fcuda-is-device", "-fconvergent-functions", "-ffp-contract=fast"),
        "-fno-strict-float-cast-overflow",  # conversions saturate, those of constants too
        "-complex-range=improved",  # else a product of complex numbers is a call of the C runtime
        *("-disable-llvm-passes", "-disable-lifetime-markers"),
        *("-debug-info-kind=line-tables-only", "-emit-llvm", f"-std={standard}"),
        *_COMMON,
        *cpp_flags(),
    ]


def host_flags(cpu: str, standard: str = "c++17") -> list[str]:
    """cc1's flags for the host half; ``cpu`` as LLVM names it."""
    return [
        *("-triple", host_triple(), "-aux-triple", "nvptx64-nvidia-cuda", "-target-cpu", cpu),
        *("-mrelocation-model", "pic", "-pic-level", "2", "-mframe-pointer=none"),
        *("-ffp-contract=on", f"-std={standard}"),
        *_COMMON,
        *cpp_flags(),
    ]
