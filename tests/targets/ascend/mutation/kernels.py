"""Kernels beside those of the tutorials, as people write them."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def rms_norm(x, weight, out, n, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n
    values = tl.load(x + row * n + columns, mask=inside, other=0.0)
    mean = tl.sum(values * values, axis=0) / n
    scaled = values * tl.rsqrt(mean + eps)
    scaled *= tl.load(weight + columns, mask=inside, other=0.0)
    tl.store(out + row * n + columns, scaled, mask=inside)


@triton.jit
def rope(x, cosines, sines, out, heads, HALF: tl.constexpr):
    token = tl.program_id(0)
    lanes = tl.arange(0, HALF)
    cosine = tl.load(cosines + token * HALF + lanes)
    sine = tl.load(sines + token * HALF + lanes)
    for head in range(heads):
        place = (token * heads + head) * 2 * HALF
        left = tl.load(x + place + lanes)
        right = tl.load(x + place + HALF + lanes)
        tl.store(out + place + lanes, left * cosine - right * sine)
        tl.store(out + place + HALF + lanes, right * cosine + left * sine)


@triton.jit
def cross_entropy(logits, labels, losses, gradients, n, BLOCK: tl.constexpr):
    """Two passes over a row in blocks: the running maximum and sum, then the gradient."""
    row = tl.program_id(0)
    label = tl.load(labels + row)
    peak = -float("inf")
    total = 0.0
    for start in range(0, n, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        values = tl.load(logits + row * n + columns, mask=columns < n, other=-float("inf"))
        higher = tl.maximum(peak, tl.max(values, axis=0))
        total = total * tl.exp(peak - higher) + tl.sum(tl.exp(values - higher), axis=0)
        peak = higher
    tl.store(losses + row, tl.log(total) + peak - tl.load(logits + row * n + label))
    for start in range(0, n, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        values = tl.load(logits + row * n + columns, mask=columns < n, other=-float("inf"))
        chances = tl.exp(values - peak) / total
        chances = tl.where(columns == label, chances - 1.0, chances)
        tl.store(gradients + row * n + columns, chances, mask=columns < n)


@triton.jit
def transpose(x, out, rows, columns, BLOCK: tl.constexpr):
    down = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    along = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = (down[:, None] < rows) & (along[None, :] < columns)
    tile = tl.load(x + down[:, None] * columns + along[None, :], mask=inside)
    turned = tl.trans(tile) * 2.0
    inside = (along[:, None] < columns) & (down[None, :] < rows)
    tl.store(out + along[:, None] * rows + down[None, :], turned, mask=inside)


@triton.jit
def stencil(x, out, n, BLOCK: tl.constexpr):
    """Neighbours on both sides, as CUDA's first examples have it."""
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    left = tl.load(x + places - 1, mask=(places > 0) & (places < n), other=0.0)
    here = tl.load(x + places, mask=places < n, other=0.0)
    right = tl.load(x + places + 1, mask=places < n - 1, other=0.0)
    tl.store(out + places, 0.25 * left + 0.5 * here + 0.25 * right, mask=places < n)


@triton.jit
def embedding(table, tokens, out, width, BLOCK: tl.constexpr):
    token = tl.load(tokens + tl.program_id(0))
    for start in range(0, width, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        inside = columns < width
        row = tl.load(table + token * width + columns, mask=inside)
        tl.store(out + tl.program_id(0) * width + columns, row * 4.0, mask=inside)


@triton.jit
def batched_product(a, b, bias, c, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    """A product with an epilogue: bias, and what is negative cut off."""
    batch = tl.program_id(0)
    rows, columns, depth = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    left = tl.load(a + batch * M * K + rows[:, None] * K + depth[None, :])
    right = tl.load(b + batch * K * N + depth[:, None] * N + columns[None, :])
    total = tl.dot(left, right) + tl.load(bias + columns)[None, :]
    result = tl.maximum(total, 0.0)
    tl.store(c + batch * M * N + rows[:, None] * N + columns[None, :], result)


@triton.jit
def in_place(x, n, steps, BLOCK: tl.constexpr):
    """Reads back what it wrote: the order in global memory counts."""
    places = tl.arange(0, BLOCK)
    for _ in range(steps):
        values = tl.load(x + places, mask=places < n, other=0.0)
        tl.store(x + places, values * 0.5 + 1.0, mask=places < n)
