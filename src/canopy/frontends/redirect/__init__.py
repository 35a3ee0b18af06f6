"""CUDA idioms of Python programs on another target: ``with cuda_as("cpu")`` and ``canopy run``.

Nothing here imports torch before it is used.
"""

from __future__ import annotations

from canopy.frontends.redirect.runner import run_script
from canopy.frontends.redirect.session import cuda_as, is_active

__all__ = ["cuda_as", "is_active", "run_script"]
