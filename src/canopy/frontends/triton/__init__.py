"""The Triton front-end: a plug-in backend named ``cpu`` for the stock ``triton`` package.

``compiler.py`` and ``driver.py`` are found by Triton through the entry point group
``triton.backends``; ``reader.py`` turns TTIR into the tile IR. This file imports nothing, since
Triton imports it while Triton itself is being imported.
"""

from __future__ import annotations

__all__: list[str] = []
