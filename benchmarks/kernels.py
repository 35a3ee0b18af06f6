"""Kernels of the benchmarks that the tests do not have already, as any Triton user writes them."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice


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
def softmax_rows(x, out, n_columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_columns
    values = tl.load(x + row * n_columns + columns, mask=inside, other=-float("inf"))
    powers = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + row * n_columns + columns, powers / tl.sum(powers, axis=0), mask=inside)


@triton.jit
def tiny(x, out):
    tl.store(out, tl.load(x) + 1.0)


@triton.jit
def add(x, y, out, n, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    tl.store(
        out + places,
        tl.load(x + places, mask=inside) + tl.load(y + places, mask=inside),
        mask=inside,
    )


@triton.jit
def sort_rows(x, out, COLUMNS: tl.constexpr):
    places = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    tl.store(out + places, tl.sort(tl.load(x + places)))
