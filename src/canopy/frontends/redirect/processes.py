"""Threads and child processes: each starts redirected as its parent is.

A thread pushes the mode before it runs. A forked child inherits everything. A spawned child is a
fresh interpreter: its command line (``multiprocessing.spawn``) or its preparation data
(``forkserver``) begins the redirect before the parent's ``__main__`` is imported again.
"""

from __future__ import annotations

import multiprocessing.spawn
import os
import threading
from typing import Any

from canopy.frontends.redirect.patches import PatchSet

__all__ = ["patch_processes", "start_in_child"]

_SOURCE = os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
)


def start_in_child(target: str) -> str:
    """Redirects this process until it ends."""
    from canopy.frontends.redirect.session import begin, is_active

    if not is_active():
        begin(target)
    return target


class _Start:
    """Unpickling it starts the redirect."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return start_in_child, (self.target,)


def patch_processes(patches: PatchSet, mode: Any, target: str) -> None:
    """Patches ``threading.Thread`` and ``multiprocessing.spawn``."""
    _patch_threads(patches, mode)
    spawn: Any = multiprocessing.spawn
    real_data, real_line = spawn.get_preparation_data, spawn.get_command_line

    def get_preparation_data(name: str) -> dict[str, Any]:
        return {"canopy_redirect": _Start(target), **real_data(name)}

    def get_command_line(**options: Any) -> list[str]:
        line: list[str] = real_line(**options)
        if "-c" not in line:
            return line
        position = line.index("-c") + 1
        line[position] = (
            f"import sys; sys.path.append({_SOURCE!r}); "
            "from canopy.frontends.redirect.processes import start_in_child; "
            f"start_in_child({target!r}); {line[position]}"
        )
        return line

    patches.set(spawn, "get_preparation_data", get_preparation_data)
    patches.set(spawn, "get_command_line", get_command_line)


def _patch_threads(patches: PatchSet, mode: Any) -> None:
    thread: Any = threading.Thread
    real = thread._bootstrap_inner

    def bootstrap(self: Any) -> None:
        with mode:
            real(self)

    patches.set(thread, "_bootstrap_inner", bootstrap)
