"""What these tests share: kernels compiled anew to machine code, and scripts in processes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


def why_not() -> str:
    try:
        import torch  # noqa: F401
        from triton.backends import backends
    except ImportError as error:
        return f"{error.name} is not installed: pip install canopy-nn[triton,torch]"
    return "" if "cpu" in backends else "triton finds no cpu backend: pip install -e ."


MISSING = why_not()
if MISSING:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(autouse=True)
def caches(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty cache for every test; the folder of Triton's."""
    if os.environ.get("TRITON_DEFAULT_BACKEND", "cpu") != "cpu":
        pytest.skip("another Triton backend was asked for")
    folder = tmp_path / "triton"
    monkeypatch.setenv("TRITON_DEFAULT_BACKEND", "cpu")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(folder))
    monkeypatch.setenv("CANOPY_CACHE_DIR", str(tmp_path / "canopy"))
    monkeypatch.delenv("CANOPY_INTERPRET", raising=False)
    return folder


def environment(**variables: str) -> dict[str, str]:
    paths = [str(ROOT), *(path for path in sys.path if path)]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), **variables}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs a script in a process of its own, which must end within two minutes."""

    def start(text: str, *options: str, **variables: str) -> subprocess.CompletedProcess[str]:
        script = tmp_path / "script.py"
        script.write_text(text)
        return subprocess.run(
            [sys.executable, *options, str(script)],
            env=environment(**variables),
            capture_output=True,
            text=True,
            timeout=120,
        )

    return start
