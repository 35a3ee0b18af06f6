"""Element-wise kernels of the benchmarks, as any Triton user writes them."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    total = tl.load(x + places, mask=inside) + tl.load(y + places, mask=inside)
    tl.store(out + places, total, mask=inside)


@triton.jit
def gelu_bias(x, bias, out, n_columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_columns
    values = tl.load(x + row * n_columns + columns, mask=inside)
    values += tl.load(bias + columns, mask=inside)
    result = 0.5 * values * (1 + libdevice.erf(values * 0.7071067811865476))
    tl.store(out + row * n_columns + columns, result, mask=inside)


@triton.jit
def swiglu(gate, up, out, n_columns, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_columns
    gates = tl.load(gate + row * n_columns + columns, mask=inside, other=0.0).to(tl.float32)
    ups = tl.load(up + row * n_columns + columns, mask=inside, other=0.0)
    result = gates * tl.sigmoid(gates) * ups
    tl.store(out + row * n_columns + columns, result, mask=inside)


@triton.jit
def rope(x, cos, sin, out, n_heads, HALF: tl.constexpr, HEADS: tl.constexpr):
    """Rotates the two halves of each head; a program has one token, all its heads."""
    token = tl.program_id(0)
    lanes = tl.arange(0, HALF)
    heads = tl.arange(0, HEADS)
    cosines = tl.load(cos + token * HALF + lanes)[None, :]
    sines = tl.load(sin + token * HALF + lanes)[None, :]
    places = (token * n_heads + heads[:, None]) * (2 * HALF) + lanes[None, :]
    inside = heads[:, None] < n_heads
    first = tl.load(x + places, mask=inside, other=0.0)
    second = tl.load(x + places + HALF, mask=inside, other=0.0)
    tl.store(out + places, first * cosines - second * sines, mask=inside)
    tl.store(out + places + HALF, second * cosines + first * sines, mask=inside)


@triton.jit
def seeded_dropout(x, out, n, p, seed, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    values = tl.load(x + places, mask=inside)
    kept = tl.rand(seed, places) > p
    tl.store(out + places, tl.where(kept, values / (1 - p), 0.0), mask=inside)


@triton.jit
def tiny(x, out):
    tl.store(out, tl.load(x) + 1.0)
