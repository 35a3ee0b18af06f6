"""Work for several processors, done by copies of this process.

LLVM as llvmlite offers it works for one thread at a time, so kernels are compiled side by side in
forked processes. Only a command line may ask for that: a process with threads of its own must not
be forked.
"""

from __future__ import annotations

import os
import pickle
import struct
import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

__all__ = ["map_forked"]

T = TypeVar("T")
_NUMBER = struct.Struct("=I")
_MOST = 4096  # numbers that fit into a pipe at once


def map_forked(work: Callable[[int], T], count: int, processes: int) -> list[T]:
    """``[work(0), ..., work(count - 1)]``; results must be picklable. What fails in a copy is done
    again here, so that an error is raised as if there were one process."""
    processes = min(processes, count)
    if processes < 2 or count > _MOST or not hasattr(os, "fork"):
        return [work(number) for number in range(count)]
    source, sink = os.pipe()
    os.write(sink, b"".join(map(_NUMBER.pack, range(count))))
    os.close(sink)
    with tempfile.TemporaryDirectory(prefix="canopy-") as name:
        files = [Path(name) / str(number) for number in range(processes - 1)]
        copies = [_start(work, source, file) for file in files]
        done = _take(work, source)
        os.close(source)
        for copy, file in zip(copies, files, strict=True):
            os.waitpid(copy, 0)
            if file.exists():
                done.update(pickle.loads(file.read_bytes()))
    return [done[number] if number in done else work(number) for number in range(count)]


def _start(work: Callable[[int], T], source: int, file: Path) -> int:
    """A copy that takes its share and leaves its results in ``file``."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads that wait for clang
        copy = os.fork()
    if copy:
        return copy
    try:
        data = pickle.dumps(_take(work, source))
        beside = file.with_suffix(".part")
        beside.write_bytes(data)
        beside.rename(file)
    finally:
        os._exit(0)


def _take(work: Callable[[int], T], source: int) -> dict[int, T]:
    """Works on one number after the other until none is left, or one fails."""
    done: dict[int, T] = {}
    while data := os.read(source, _NUMBER.size):
        (number,) = _NUMBER.unpack(data)
        try:
            done[number] = work(number)
        except Exception:  # raised again where everybody sees it
            break
    return done
