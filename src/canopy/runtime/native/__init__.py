"""The C part of the runtime; ``canopy.runtime.native_library`` loads it."""

from __future__ import annotations

__all__: list[str] = []
