"""CUDA's runtime functions: programs that use them, and proof that each function is looked at.

Every function of the header is replaced, one after the other, by ``return cudaSuccess`` inside the
running program (`_PATCH` writes two machine instructions over its entry); some program that names
it must then fail.
"""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

pytest.importorskip("ziglang")

from canopy.frontends.cuda.linking import host_compiler_command
from canopy.frontends.cuda.toolchain import RUNTIME_HEADERS

FOLDER = Path(__file__).parent / "runtime"
PROGRAMS = sorted(FOLDER.glob("*.cu"))
TIMEOUT_S = 20
HANGS_S = 3  # a program takes a tenth of a second

_PATCH = """
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#define X(name) extern char replaced_##name[] __asm__(#name);
#include "functions.inc"
#undef X
static const struct { const char *name; char *code; } functions[] = {
#define X(name) {#name, replaced_##name},
#include "functions.inc"
};
#if defined(__x86_64__)
static const unsigned char success[] = {0x31, 0xc0, 0xc3}; /* xor eax, eax; ret */
#else
/* mov w0, 0; ret */
static const unsigned char success[] = {0, 0, 0x80, 0x52, 0xc0, 3, 0x5f, 0xd6};
#endif
__attribute__((constructor)) static void replace(void) {
  const char *wanted = getenv("REPLACED");
  if (!wanted) return;
  for (unsigned at = 0; at < sizeof functions / sizeof *functions; at++) {
    if (strcmp(functions[at].name, wanted)) continue;
    char *page = (char *)((uintptr_t)functions[at].code & ~(uintptr_t)65535);
    if (mprotect(page, 131072, PROT_READ | PROT_WRITE | PROT_EXEC) &&
        mprotect((char *)((uintptr_t)functions[at].code & ~(uintptr_t)4095), 8192,
                 PROT_READ | PROT_WRITE | PROT_EXEC))
      _Exit(77);
    memcpy(functions[at].code, success, sizeof success);
    __builtin___clear_cache(functions[at].code, functions[at].code + sizeof success);
    return;
  }
  _Exit(78);
}
"""


def functions() -> list[str]:
    """All functions of the API that return an error, those of per-thread streams included."""
    header = (RUNTIME_HEADERS / "canopy_runtime_api.h").read_text()
    body = header[header.index('extern "C" {') : header.index("#ifdef __cplusplus\n}")]
    plain = re.findall(r"cudaError_t (cuda\w+)\(", body)
    own = (RUNTIME_HEADERS / "per_thread.c").read_text()
    streams = [f"{name}_ptsz" for name in re.findall(r"^STREAM\((\w+),", own, re.MULTILINE)]
    waiting = [f"{name}_ptds" for name in re.findall(r"^WAITING\((\w+),", own, re.MULTILINE)]
    return [*plain, *streams, "cudaLaunchKernelExC_ptsz", *waiting]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Every program, able to replace a function."""
    folder = tmp_path_factory.mktemp("runtime")
    (folder / "functions.inc").write_text("".join(f"X({name})\n" for name in functions()))
    (folder / "patch.c").write_text(_PATCH)
    compiler = [host_compiler_command()[0], "cc", *host_compiler_command()[2:]]
    words = ["-O1", "-fPIC", "-c", str(folder / "patch.c"), "-o", str(folder / "patch.o")]
    subprocess.run([*compiler, *words], check=True)
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda source: _build(source, folder), PROGRAMS)
        return dict(zip((source.stem for source in PROGRAMS), made, strict=True))


def _build(source: Path, folder: Path) -> Path:
    first = source.read_text().splitlines()[0]
    options = first.removeprefix("// options: ").split() if "// options: " in first else []
    program = folder / source.stem
    nvcc = [sys.executable, "-m", "canopy", "nvcc", *options]
    words = [str(source), str(folder / "patch.o"), "-o", str(program)]
    done = subprocess.run([*nvcc, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return program


def passes(program: Path, replaced: str = "") -> tuple[bool, str]:
    environment = {**os.environ, "REPLACED": replaced} if replaced else dict(os.environ)
    try:
        done = subprocess.run(
            [program],
            env=environment,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S if not replaced else HANGS_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False, "time is out"
    if done.returncode == 77:
        pytest.skip("this system does not let a program change its code")
    assert done.returncode != 78, f"{replaced} is not in the program"
    said_so = done.stdout.splitlines()[-1:] == ["PASS"]
    return said_so and done.returncode == 0, done.stdout + done.stderr


def test_each_function_works_and_is_missed_when_it_does_nothing(built: dict[str, Path]) -> None:
    """One test, so that the programs are built once."""
    for name, program in built.items():
        passed, output = passes(program)
        assert passed, f"{name}: {output}"
    if platform.machine() not in {"x86_64", "aarch64"}:
        pytest.skip("the code of success is not known for this machine")
    with ThreadPoolExecutor(8) as pool:
        unnoticed = [
            name
            for name, noticed in zip(
                functions(),
                pool.map(lambda name: _is_noticed(built, name), functions()),
                strict=True,
            )
            if not noticed
        ]
    assert unnoticed == []


def _is_noticed(built: dict[str, Path], function: str) -> bool:
    """Whether a program that names the function, or else any program, fails without it."""
    name = function.removesuffix("_ptsz").removesuffix("_ptds")
    if name != function:
        return not passes(built["per_thread"], function)[0]
    word = re.compile(rf"\b{name}\b")
    sources = sorted(PROGRAMS, key=lambda source: not word.search(source.read_text()))
    return any(not passes(built[source.stem], function)[0] for source in sources)
