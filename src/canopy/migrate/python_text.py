"""Python sources as syntax trees, without running them and without a word on the terminal."""

from __future__ import annotations

import ast
import warnings

__all__ = ["parsed"]


def parsed(data: bytes) -> ast.Module | None:
    """The tree of a file; None where it is no Python of this version."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(data)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None
