"""Shared pieces: an open redirect, and running a script in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed")

import canopy  # noqa: E402
from canopy import cuda_as  # noqa: E402

SOURCE = Path(canopy.__file__).resolve().parents[1]
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cuda() -> Iterator[None]:
    """An open redirect."""
    with cuda_as("cpu"):
        yield


def environment() -> dict[str, str]:
    """This environment with the package on the path."""
    path = os.pathsep.join(filter(None, [str(SOURCE), os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Writes a script and runs it redirected: ``run(source, *args, options=[...])``."""

    def start(
        source: str, *args: str, options: tuple[str, ...] = ("--quiet",), stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.py"
        script.write_text(textwrap.dedent(source))
        line = [sys.executable, "-m", "canopy.frontends.redirect", *options, str(script), *args]
        return subprocess.run(
            line, capture_output=True, text=True, env=environment(), cwd=tmp_path, input=stdin,
            timeout=180,
        )  # fmt: skip

    return start
