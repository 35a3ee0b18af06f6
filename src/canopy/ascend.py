"""Ascend C from Python: kernels given by their source, run on the CPU without CANN.

    from canopy.ascend import RawKernel

    k = RawKernel(source, "add_custom")
    k(8, (x, y, z))             # NumPy arrays, torch CPU tensors, DLPack; 8 blocks

What runs is the text, against a header that implements the documented calls and checks them; it
has never run on a card.
"""

from __future__ import annotations

from canopy.frontends.ascendc import RawKernel

__all__ = ["RawKernel"]
