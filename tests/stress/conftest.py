"""How often the stress tests repeat, and their program in a process of its own.

``CANOPY_STRESS=n`` (``make stress``) repeats everything n times as often as ``make test`` does.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed")

PROGRAM = Path(__file__).with_name("program.py")
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def times() -> int:
    """Repetitions: 1 in ``make test``."""
    return int(os.environ.get("CANOPY_STRESS") or 1)


@pytest.fixture
def start(tmp_path: Path) -> Start:
    """``start(mode, *args)`` runs program.py on a cache folder that all runs of a test share."""

    def popen(mode: str, *args: str, **environment: str) -> subprocess.Popen[str]:
        settings = {
            "TRITON_DEFAULT_BACKEND": "cpu",
            "TRITON_CACHE_DIR": str(tmp_path / "triton"),
            "CANOPY_CACHE_DIR": str(tmp_path / "canopy"),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, str(PROGRAM), mode, *args],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **settings, **environment},
        )

    return popen


def finish(process: subprocess.Popen[str]) -> str:
    """What the program printed; it must have ended well."""
    output, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return output
