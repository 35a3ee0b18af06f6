"""Kernels run compiled here; those of tests that ask for ``way`` also in the IR's interpreter."""

from __future__ import annotations

import pytest


@pytest.fixture(params=["compiled", "interpreted"])
def way(request, monkeypatch) -> str:
    """How the kernels of the module run; what was compiled for the other way is forgotten."""
    monkeypatch.setenv("CANOPY_INTERPRET", "1" if request.param == "interpreted" else "0")
    _forget_compiled(request.module)
    yield request.param
    _forget_compiled(request.module)


def _forget_compiled(module) -> None:
    for value in vars(module).values():
        caches = getattr(value, "device_caches", None)
        if caches is not None:
            caches.clear()
