"""A whole CUDA C++ program inside this process: every ``<<<>>>`` goes where kernels go here.

    canopy run --target ascend-sim app.cu -- 1000
    canopy compare app.cu -- 1000

The program is linked as a library, and its ``main`` is called on this thread. A kernel that the
target cannot run ends the program with status 2 and the error; `canopy compare` notes it and goes
on. When the program exits, what was simulated is told.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

from canopy.errors import CanopyError
from canopy.frontends.cuda import nvcc
from canopy.frontends.cuda.clang import ClangError
from canopy.frontends.cuda.command_line import read_command_line
from canopy.frontends.cuda.programs import compiled_program, show_clang_error, split_words
from canopy.frontends.cuda.taken_over import DeviceSource, TakeOver

__all__ = ["run_in_process", "take_over_extension"]

EXIT_REFUSED, EXIT_INTERRUPTED, EXIT_CRASHED = 2, 130, 1
_kept: list[object] = []  # what C code calls back, until the process is gone
_AtExit = ctypes.CFUNCTYPE(None, ctypes.c_int)


def run_in_process(words: Sequence[str], quiet: bool = False, is_compared: bool = False) -> int:
    """``a.cu [nvcc's options] -- arguments``; the status that ``main`` gives.

    ``quiet``: nothing is told at the end; ``is_compared``: whoever compares tells it.
    """
    build, arguments = split_words(words)
    try:
        file = compiled_program(build, as_library=True)
        sources = device_sources(build)
    except ClangError as error:
        return show_clang_error(error)
    end = _End(build[0], quiet or is_compared)
    library = ctypes.CDLL(str(file), mode=os.RTLD_NOW | os.RTLD_LOCAL | os.RTLD_DEEPBIND)
    takeover = TakeOver(library, sources, _stop)
    at_exit = _AtExit(end.exits)
    _kept.extend([library, takeover, at_exit])
    library.canopy_cuda_tell_exit(at_exit)
    sys.argv = [build[0], *arguments]
    status = _call_main(library, [str(file), *arguments])
    library.canopy_cuda_tell_exit(None)  # from here on the interpreter may be gone
    end.tell(status)
    return status


def take_over_extension(file: Path, words: Sequence[str]) -> None:
    """Launches of an extension of Python that was compiled with these words come here from now on;
    one that fails ends the process, as in a program."""
    _kept.append(TakeOver(ctypes.CDLL(str(file)), device_sources(words), _stop))


def device_sources(words: Sequence[str]) -> dict[str, DeviceSource]:
    """The sources that a command line compiles, by the ids that the runtime knows."""
    found = nvcc.device_sources(read_command_line(words))
    return {name: DeviceSource(path, options) for name, (path, options) in found.items()}


def _call_main(library: ctypes.CDLL, words: Sequence[str]) -> int:
    count = len(words)
    array = (ctypes.c_char_p * (count + 1))(*(word.encode() for word in words), None)
    main = library.main
    main.restype = ctypes.c_int
    sys.stdout.flush()
    try:
        status = int(main(count, array, ctypes.c_void_p()))
    finally:
        _flush()
    return status & 0xFF


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    ctypes.CDLL(None).fflush(None)


def _stop(error: BaseException) -> int:
    """Ends the process: nothing can be raised through the program's frames."""
    _flush()
    if isinstance(error, CanopyError):
        print(f"canopy: {error}", file=sys.stderr)
        status = EXIT_REFUSED
    elif isinstance(error, KeyboardInterrupt):
        status = EXIT_INTERRUPTED
    else:
        traceback.print_exception(error)
        status = EXIT_CRASHED
    sys.stderr.flush()
    os._exit(status)


class _End:
    """What is told when the program ends, once: it may return, or exit."""

    def __init__(self, program: str, quiet: bool) -> None:
        self._program = program
        self._quiet = quiet
        self._started_s = time.perf_counter()

    def exits(self, status: int) -> None:
        """The program called exit()."""
        self.tell(status)
        _flush()

    def tell(self, status: int) -> None:
        if self._quiet:
            return
        self._quiet = True
        from canopy.frontends.triton.simulated import summary_lines

        _flush()
        seconds = time.perf_counter() - self._started_s
        ended = f", exit status {status}" if status else ""
        print(
            f"canopy: ran {self._program} on ascend-sim in {seconds:.1f} s{ended}", file=sys.stderr
        )
        for line in summary_lines():
            print(line, file=sys.stderr)
