"""Integers of 32 bits wrap around in indices that are data: compared, extended, divided."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

EXTENT = 256


@triton.jit
def wrapping(start, negative, wide, half, below, EXTENT: tl.constexpr):
    lanes = tl.arange(0, EXTENT)
    index = start + lanes
    tl.store(negative + lanes, (index < 0).to(tl.int32))
    tl.store(wide + lanes, index.to(tl.int64))
    tl.store(half + lanes, index // 2)
    tl.store(below + lanes, lanes + 1, mask=index < 2147483600)


@pytest.mark.parametrize("start", [0, 7, 2147483600, 2147483647, -2147483648, -5])
def test_signed_indices_wrap(start: int) -> None:
    names = ("negative", "wide", "half", "below")
    types = {"wide": torch.int64}
    found = {n: torch.zeros(EXTENT, dtype=types.get(n, torch.int32)) for n in names}
    wrapping[(1,)](start, *found.values(), EXTENT)
    with np.errstate(over="ignore"):
        index = np.full(EXTENT, start, np.int32) + np.arange(EXTENT, dtype=np.int32)
    lanes = np.arange(EXTENT) + 1
    assert np.array_equal(found["negative"].numpy(), index < 0)
    assert np.array_equal(found["wide"].numpy(), index)
    assert np.array_equal(found["half"].numpy(), np.trunc(index / 2))
    assert np.array_equal(found["below"].numpy(), np.where(index < 2147483600, lanes, 0))
