"""A kernel as a project for the user's own CANN: source, host launcher, CMakeLists, README."""

from __future__ import annotations

from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.text.printer import Printed

__all__ = ["project_files"]

# What CANN's build calls the chips (SOC_VERSION).
_SOC = {"910B2": "Ascend910B2", "910B4": "Ascend910B4", "910C": "Ascend910_9391"}


def project_files(printed: Printed, chip: Chip, uses_cube: bool) -> dict[str, str]:
    """File names and contents."""
    name = printed.name
    cores = chip.cube_cores if uses_cube else chip.vector_cores
    return {
        f"{name}.cpp": printed.source,
        f"{name}_host.cpp": _host(printed, chip, cores),
        f"{name}_host.h": _header(printed),
        "CMakeLists.txt": _cmake(name, chip),
        "README.md": _readme(printed, chip, cores),
    }


def _split(parameter: str) -> tuple[str, str]:
    kind, _, name = parameter.rpartition(" ")
    return kind, name


def _arguments(printed: Printed) -> list[tuple[str, str]]:
    """The kernel's parameters without the workspace, which the launcher makes."""
    return [p for p in map(_split, printed.parameters) if p[1] != "workspace"]


def _declaration(printed: Printed) -> str:
    given = ["int32_t device"]
    for kind, name in _arguments(printed):
        if kind == "GM_ADDR":
            given += [f"void* {name}", f"size_t {name}_bytes"]
        else:
            given.append(f"{_HOST_TYPES.get(kind, kind)} {name}")
    return f"int launch_{printed.name}({', '.join(given)})"


# Types of the kernel that C++ on the host has not: their bits are passed.
_HOST_TYPES = {"half": "uint16_t", "bfloat16_t": "uint16_t"}


def _header(printed: Printed) -> str:
    return f"""// Runs {printed.name} on a card: arrays are of the host, copied there and back.
// Returns 0, or the code of the ACL call that failed.
#pragma once

#include <cstddef>
#include <cstdint>

extern "C" {_declaration(printed)};
"""


def _host(printed: Printed, chip: Chip, cores: int) -> str:
    name = printed.name
    arrays = [n for kind, n in _arguments(printed) if kind == "GM_ADDR"]
    passed = []
    for kind, argument in map(_split, printed.parameters):
        pointer = kind == "GM_ADDR"
        passed.append(f"static_cast<uint8_t*>(device_{argument})" if pointer else argument)
    copies = [(n, f"{n}_bytes") for n in arrays]
    lines = [f"    void* device_{n} = nullptr;" for n, _ in copies]
    if printed.workspace_bytes:
        lines.append("    void* device_workspace = nullptr;")
    for n, size in copies:
        lines.append(f"    CHECK(aclrtMalloc(&device_{n}, {size}, ACL_MEM_MALLOC_HUGE_FIRST));")
        copy = f"device_{n}, {size}, {n}, {size}, ACL_MEMCPY_HOST_TO_DEVICE"
        lines.append(f"    CHECK(aclrtMemcpy({copy}));")
    if printed.workspace_bytes:
        size = f"size_t(blocks) * {printed.workspace_bytes}"
        lines.append(
            f"    CHECK(aclrtMalloc(&device_workspace, {size}, ACL_MEM_MALLOC_HUGE_FIRST));"
        )
    lines += [
        f"    CHECK(ACLRT_LAUNCH_KERNEL({name})(blocks, stream, {', '.join(passed)}));",
        "    CHECK(aclrtSynchronizeStream(stream));",
    ]
    for n, size in copies:
        copy = f"{n}, {size}, device_{n}, {size}, ACL_MEMCPY_DEVICE_TO_HOST"
        lines.append(f"    CHECK(aclrtMemcpy({copy}));")
    freed = [*arrays, *(["workspace"] if printed.workspace_bytes else [])]
    lines += [f"    CHECK(aclrtFree(device_{n}));" for n in freed]
    body = "\n".join(lines)
    return f"""// Launches {name} through ACL, by Canopy, for {chip.name}. Never run on a card.
#include "{name}_host.h"

#include <algorithm>

#include "acl/acl.h"
#include "aclrtlaunch_{name}.h"

#define CHECK(call)                           \\
    do {{                                      \\
        const int status = (call);            \\
        if (status != 0) return status;       \\
    }} while (false)

extern "C" {_declaration(printed)}
{{
    const int64_t programs = int64_t(grid_x) * grid_y * grid_z;
    if (programs <= 0) return 0;
    const uint32_t blocks = static_cast<uint32_t>(std::min<int64_t>(programs, {cores}));
    CHECK(aclInit(nullptr));
    CHECK(aclrtSetDevice(device));
    aclrtStream stream = nullptr;
    CHECK(aclrtCreateStream(&stream));
{body}
    CHECK(aclrtDestroyStream(stream));
    CHECK(aclrtResetDevice(device));
    return aclFinalize();
}}
"""


def _cmake(name: str, chip: Chip) -> str:
    soc = _SOC.get(chip.name, f"Ascend{chip.name}")
    return f"""# Needs CANN: source its set_env.sh first, which sets ASCEND_HOME_PATH.
cmake_minimum_required(VERSION 3.16)
project({name} LANGUAGES CXX)

set(SOC_VERSION "{soc}" CACHE STRING "the chip, as npu-smi names it")
set(ASCEND_CANN_PACKAGE_PATH "$ENV{{ASCEND_HOME_PATH}}" CACHE PATH "where CANN is")

set(ASCENDC_CMAKE_DIR "")
foreach(folder tools/tikcpp compiler/tikcpp ascendc_devkit/tikcpp/samples)
    if(EXISTS ${{ASCEND_CANN_PACKAGE_PATH}}/${{folder}}/ascendc_kernel_cmake)
        set(ASCENDC_CMAKE_DIR ${{ASCEND_CANN_PACKAGE_PATH}}/${{folder}}/ascendc_kernel_cmake)
    endif()
endforeach()
if(NOT ASCENDC_CMAKE_DIR)
    message(FATAL_ERROR "no ascendc_kernel_cmake under ${{ASCEND_CANN_PACKAGE_PATH}}")
endif()
include(${{ASCENDC_CMAKE_DIR}}/ascendc.cmake)

ascendc_library({name}_kernel SHARED {name}.cpp)

add_library({name}_host SHARED {name}_host.cpp)
target_include_directories({name}_host PRIVATE ${{ASCEND_CANN_PACKAGE_PATH}}/include)
target_link_directories({name}_host PRIVATE ${{ASCEND_CANN_PACKAGE_PATH}}/lib64)
target_link_libraries({name}_host PRIVATE {name}_kernel ascendcl)
"""


def _readme(printed: Printed, chip: Chip, cores: int) -> str:
    name = printed.name
    rows = "\n".join(f"- `{kind} {argument}`" for kind, argument in _arguments(printed))
    workspace = (
        f"\nThe launcher makes {printed.workspace_bytes} bytes of workspace per core.\n"
        if printed.workspace_bytes
        else ""
    )
    return f"""# {name} for {chip.name}

Ascend C that Canopy printed from a kernel for GPUs. It was compiled and run on a CPU header, never
on a card.

    source /usr/local/Ascend/ascend-toolkit/set_env.sh
    cmake -B build && cmake --build build

makes `lib{name}_kernel.so` and `lib{name}_host.so`, whose one function is in `{name}_host.h`:
it copies arrays to the card, launches at most {cores} blocks, each of which runs every n-th program
of the grid, and copies them back. The kernel's parameters:

{rows}
{workspace}
Without CANN, the kernel runs on the CPU:

    from canopy.ascend import RawKernel
    kernel = RawKernel(open("{name}.cpp").read(), "{name}", chip="{chip.name.lower()}")
"""
