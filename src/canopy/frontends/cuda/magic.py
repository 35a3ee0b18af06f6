"""The notebook's ``%%cuda``: a cell that is a whole CUDA C++ program, compiled and run.

    %%cuda -O3 -DN=100 --args 12 "a b"

The words of the line are nvcc's options; those behind ``--args`` go to the program. The program
runs in the notebook's folder, and what it prints appears as it is printed. A cell that was compiled
before starts at once. A program that does not compile, or ends with another status than 0, fails
the cell.
"""

from __future__ import annotations

import codecs
import contextlib
import hashlib
import io
import os
import shlex
import signal
import subprocess
import sys
import tty
from pathlib import Path
from typing import Any

from canopy import config
from canopy.errors import CanopyError
from canopy.frontends.cuda.clang import ClangError
from canopy.frontends.cuda.programs import compiled_program

__all__ = ["register", "run_cell"]

_CELL = "cell.cu"


def register(ipython: Any) -> None:
    """Adds the magic to an IPython shell."""
    ipython.register_magic_function(run_cell, magic_kind="cell", magic_name="cuda")


def run_cell(line: str, cell: str) -> None:
    """Compiles the cell with the options of ``line`` and runs it; UsageError where that fails."""
    words = shlex.split(line)
    at = words.index("--args") if "--args" in words else len(words)
    program = _compiled(cell, words[:at])
    status = _run([str(program), *words[at + 1 :]])
    if status:
        raise _usage_error(f"the program {_ending(status)}")


def _compiled(cell: str, options: list[str]) -> Path:
    digest = hashlib.sha256(cell.encode()).hexdigest()[:16]
    source = config.cache_dir() / "cells" / digest / _CELL
    source.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not source.exists():
        fresh = source.with_name(f".{os.getpid()}.cu")
        fresh.write_text(cell, encoding="utf-8")
        fresh.replace(source)
    try:
        return compiled_program([str(source), "-I", os.getcwd(), *options])
    except ClangError as error:
        text = error.output + (f"hint: {error.hint}\n" if error.hint else "")
        raise _usage_error(_readable(text, source)) from None
    except CanopyError as error:
        raise _usage_error(_readable(str(error), source)) from None


def _readable(text: str, source: Path) -> str:
    return text.replace(str(source), _CELL).rstrip()


def _run(command: list[str]) -> int:
    """Runs to the end; standard output and error go to the cell, in their order.

    The program writes to a terminal: into a pipe it would keep its lines back until it ends.
    """
    reader, terminal = os.openpty()
    tty.setraw(terminal)
    with open(reader, "rb", buffering=0) as output:
        process = subprocess.Popen(command, stdout=terminal, stderr=terminal)
        os.close(terminal)
        try:
            _show(output)
            return process.wait()
        finally:
            process.kill()  # an interrupted cell; no effect on a program that has ended
            process.wait()


def _show(output: io.RawIOBase) -> None:
    decode = codecs.getincrementaldecoder("utf-8")(errors="replace").decode
    with contextlib.suppress(OSError):  # how a terminal ends
        while data := output.read(1 << 16):
            sys.stdout.write(decode(data))
            sys.stdout.flush()


def _ending(status: int) -> str:
    if status > 0:
        return f"ended with status {status}"
    return f"was stopped by {signal.Signals(-status).name}"


def _usage_error(text: str) -> Exception:
    """What IPython shows without a traceback."""
    from IPython.core.error import UsageError

    return UsageError(text)
