"""Prefix sums, searches, histograms, sorting, gathering: a grid of blocks, joined where needed."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def block_sums(x, sums, n, BLOCK: tl.constexpr):
    block = tl.program_id(0)
    places = block * BLOCK + tl.arange(0, BLOCK)
    tl.store(sums + block, tl.sum(tl.load(x + places, mask=places < n, other=0.0), axis=0))


@triton.jit
def scan_of_sums(sums, n_blocks, BLOCK: tl.constexpr):
    """Replaces each block's sum by the sum of all blocks before it; one program."""
    places = tl.arange(0, BLOCK)
    values = tl.load(sums + places, mask=places < n_blocks, other=0.0)
    tl.store(sums + places, tl.cumsum(values, axis=0) - values, mask=places < n_blocks)


@triton.jit
def block_cumsum(x, sums, out, n, BLOCK: tl.constexpr):
    block = tl.program_id(0)
    places = block * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    values = tl.load(x + places, mask=inside, other=0.0)
    tl.store(out + places, tl.cumsum(values, axis=0) + tl.load(sums + block), mask=inside)


@triton.jit
def block_argmax(x, values, indices, n, BLOCK: tl.constexpr):
    block = tl.program_id(0)
    places = block * BLOCK + tl.arange(0, BLOCK)
    inputs = tl.load(x + places, mask=places < n, other=-float("inf"))
    best, where = tl.max(inputs, axis=0, return_indices=True)
    tl.store(values + block, best)
    tl.store(indices + block, block * BLOCK + where)


@triton.jit
def final_argmax(values, indices, out, n_blocks, BLOCK: tl.constexpr):
    places = tl.arange(0, BLOCK)
    inputs = tl.load(values + places, mask=places < n_blocks, other=-float("inf"))
    tl.store(out, tl.load(indices + tl.argmax(inputs, axis=0)).to(tl.int64))


@triton.jit
def histogram(x, counts, n, BINS: tl.constexpr, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    found = tl.histogram(tl.load(x + places, mask=inside, other=0), BINS, mask=inside)
    tl.atomic_add(counts + tl.arange(0, BINS), found)


@triton.jit
def sort_rows(x, out, COLUMNS: tl.constexpr):
    places = tl.program_id(0) * COLUMNS + tl.arange(0, COLUMNS)
    tl.store(out + places, tl.sort(tl.load(x + places)))


@triton.jit
def embedding(table, indices, out, n, WIDTH: tl.constexpr, ROWS: tl.constexpr):
    rows = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    columns = tl.arange(0, WIDTH)
    inside = (rows < n)[:, None]
    chosen = tl.load(indices + rows, mask=rows < n, other=0)
    values = tl.load(table + chosen[:, None] * WIDTH + columns[None, :], mask=inside)
    tl.store(out + rows[:, None] * WIDTH + columns[None, :], values, mask=inside)
