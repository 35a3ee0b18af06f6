"""``g++`` and ``gcc`` of the toolkit folder: clang, with the C++ library of the CUDA objects.

python -m canopy.frontends.cuda.host_compiler c++ -O2 main.cpp kernels.o -lcudart -o app
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from canopy.errors import CanopyError
from canopy.frontends.cuda.command_line import OPENMP_NOTE
from canopy.frontends.cuda.libraries import is_runtime_library, wanted_libraries
from canopy.frontends.cuda.linking import host_compiler_command
from canopy.frontends.cuda.toolchain import header_folders, zig_environment
from canopy.runtime.build import runtime_archive

__all__ = ["command_for", "main"]

_COMPILES_ONLY = {"-c", "-E", "-S", "-M", "-MM", "-fsyntax-only"}
_QUESTIONS = {"--version", "-v", "-dumpversion", "-dumpmachine", "-print-search-dirs", "-###"}
# Options of g++ that clang does not know and that change no result.
_UNKNOWN = {"-fno-gnu-unique", "-fopenmp-simd", "-rdynamic", "-fno-tree-vectorize"}


def command_for(language: str, words: Sequence[str]) -> tuple[list[str], list[str]]:
    """The command to run, and what to tell the user; ``language`` is ``c++`` or ``cc``."""
    command = host_compiler_command()
    command[1] = language
    notes = [OPENMP_NOTE] if "-fopenmp" in words else []
    kept = [word for word in words if word != "-fopenmp" and word not in _UNKNOWN]
    if _QUESTIONS.intersection(kept) and len(kept) == 1:
        return [*command, *kept], []
    folders = header_folders()
    if _COMPILES_ONLY.intersection(kept):
        return [*command, *kept, *folders], notes
    chosen = wanted_libraries(kept)
    runtime = []
    if any(map(is_runtime_library, kept)):
        runtime = [str(runtime_archive()), "-lpthread", "-ldl", "-lm"]
    objects = [str(item) for item in chosen.objects]
    return [*command, *objects, *folders, *runtime], [*notes, *chosen.notes]


def main(arguments: Sequence[str]) -> int:
    """Replaces this process by the compiler."""
    language, *words = arguments
    try:
        command, notes = command_for(language, words)
    except CanopyError as error:
        print(f"canopy: {error}", file=sys.stderr)
        return 1
    for note in notes:
        print(f"canopy: {note}", file=sys.stderr)
    sys.stderr.flush()
    os.execve(command[0], command, zig_environment())
    raise AssertionError("execv returns only by raising")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
