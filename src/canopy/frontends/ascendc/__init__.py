"""Hand-written Ascend C on the CPU, without CANN: a header of our own, clang, and a launcher."""

from __future__ import annotations

from canopy.frontends.ascendc.raw import RawKernel

__all__ = ["RawKernel"]
