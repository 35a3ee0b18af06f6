"""Where the cases are: importing their modules registers them."""

from __future__ import annotations

import importlib

__all__ = ["CASE_MODULES", "load_cases"]

CASE_MODULES = (
    "cases_limits",
    "cases_elementwise",
    "cases_rows",
    "cases_contractions",
    "cases_scans",
    "cases_called",
    "cases_cuda",
)


def load_cases() -> dict[str, str]:
    """Imports the case modules; returns why some could not be."""
    reasons = {}
    for name in CASE_MODULES:
        try:
            importlib.import_module(f"benchmarks.{name}")
        except ModuleNotFoundError as error:
            reasons[name] = f"{error.name} is not installed"
    return reasons
