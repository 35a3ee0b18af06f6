"""Triton kernels are compiled for the CPU here, or run in Triton's interpreter when that is asked.

pytest tests/triton                         Canopy's cpu backend
TRITON_INTERPRET=1 pytest tests/triton      Triton's own interpreter, to check the kernels
"""

from __future__ import annotations

import os

import pytest

os.environ.setdefault("TRITON_DEFAULT_BACKEND", "cpu")
INTERPRETED = os.environ.get("TRITON_INTERPRET", "0") == "1"


def why_not() -> str:
    """Why kernels cannot run on CPU tensors here; empty when they can."""
    try:
        import torch  # noqa: F401
        import triton
    except ImportError as error:
        return f"{error.name} is not installed: pip install canopy-nn[triton,torch]"
    if INTERPRETED:
        return ""
    from triton.backends import backends

    if "cpu" not in backends:
        return f"triton {triton.__version__} knows no cpu backend here: pip install -e ."
    return ""


MISSING = why_not()


# Autotuned kernels of other packages bring dozens of configurations; these many are tried in the
# quick suite, all of them with CANOPY_TEST_ALL_CONFIGS=1 (make test-triton).
QUICK_CONFIGS = 2


@pytest.fixture(autouse=True)
def few_configurations(monkeypatch: pytest.MonkeyPatch):
    if MISSING or os.environ.get("CANOPY_TEST_ALL_CONFIGS") == "1":
        return
    from triton.runtime.autotuner import Autotuner

    complete = Autotuner.prune_configs

    def prune_configs(self, kwargs):
        return complete(self, kwargs)[:QUICK_CONFIGS]

    monkeypatch.setattr(Autotuner, "prune_configs", prune_configs)


@pytest.fixture(autouse=True)
def seeded():
    if MISSING:
        pytest.skip(MISSING)
    import torch

    torch.manual_seed(0)
