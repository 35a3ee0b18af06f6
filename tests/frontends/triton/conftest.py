"""Kernels of these tests run in the IR's interpreter, so that what is tested is the front-end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


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


def pytest_report_header() -> str:
    return f"triton front-end: {MISSING or 'cpu backend'}"


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch, tmp_path_factory):
    """Every test compiles anew, for the interpreter."""
    if os.environ.get("TRITON_DEFAULT_BACKEND", "cpu") != "cpu":
        pytest.skip("another Triton backend was asked for")
    monkeypatch.setenv("CANOPY_INTERPRET", "1")
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "triton"))


@pytest.fixture
def golden():
    """Compares a text with a kept one; UPDATE_GOLDEN=1 writes it anew."""

    def compare(name: str, text: str) -> None:
        kept = Path(__file__).parent / "golden" / f"{name}.txt"
        if os.environ.get("UPDATE_GOLDEN") == "1":
            kept.parent.mkdir(exist_ok=True)
            kept.write_text(text.rstrip() + "\n")
        assert kept.read_text() == text.rstrip() + "\n"

    return compare
