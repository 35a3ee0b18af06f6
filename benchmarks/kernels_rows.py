"""Kernels that work row by row: softmax, norms and their gradients, cross entropy."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def softmax(x, out, n_columns, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_columns
    values = tl.load(x + row * n_columns + columns, mask=inside, other=-float("inf"))
    powers = tl.exp(values - tl.max(values, axis=0))
    tl.store(out + row * n_columns + columns, powers / tl.sum(powers, axis=0), mask=inside)


@triton.jit
def layer_norm(x, out, weight, bias, means, rstds, n, eps, BLOCK: tl.constexpr):
    """As in the tutorial: three passes over a row in blocks, sums kept in a tile."""
    row = tl.program_id(0)
    base = row * n
    sums = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, n, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        sums += tl.load(x + base + columns, mask=columns < n, other=0.0).to(tl.float32)
    mean = tl.sum(sums, axis=0) / n
    squares = tl.zeros([BLOCK], dtype=tl.float32)
    for start in range(0, n, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        values = tl.load(x + base + columns, mask=columns < n, other=0.0).to(tl.float32)
        centred = tl.where(columns < n, values - mean, 0.0)
        squares += centred * centred
    rstd = 1 / tl.sqrt(tl.sum(squares, axis=0) / n + eps)
    tl.store(means + row, mean)
    tl.store(rstds + row, rstd)
    for start in range(0, n, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        inside = columns < n
        values = tl.load(x + base + columns, mask=inside, other=0.0).to(tl.float32)
        gain = tl.load(weight + columns, mask=inside)
        shift = tl.load(bias + columns, mask=inside)
        tl.store(out + base + columns, (values - mean) * rstd * gain + shift, mask=inside)


@triton.jit
def rms_norm(x, out, weight, rstds, n, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n
    values = tl.load(x + row * n + columns, mask=inside, other=0.0)
    rstd = tl.rsqrt(tl.sum(values * values, axis=0) / n + eps)
    tl.store(rstds + row, rstd)
    gain = tl.load(weight + columns, mask=inside)
    tl.store(out + row * n + columns, values * rstd * gain, mask=inside)


@triton.jit
def layer_norm_backward(
    dx, dout, dweight, dbias, x, weight, means, rstds, locks, n,
    GROUPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """As in the tutorial: weight gradients are summed in groups of rows, each under a lock."""
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n
    values = tl.load(x + row * n + columns, mask=inside, other=0.0)
    upstream = tl.load(dout + row * n + columns, mask=inside, other=0.0)
    gain = tl.load(weight + columns, mask=inside, other=0.0)
    rstd = tl.load(rstds + row)
    unit = tl.where(inside, (values - tl.load(means + row)) * rstd, 0.0)
    scaled = gain * upstream
    along_unit = tl.sum(unit * scaled, axis=0) / n
    along_ones = tl.sum(scaled, axis=0) / n
    result = (scaled - (unit * along_unit + along_ones)) * rstd
    tl.store(dx + row * n + columns, result, mask=inside)

    part_weight = upstream * unit
    part_bias = upstream
    group = row % GROUPS
    lock = locks + group
    used = locks + GROUPS + group
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    if tl.load(used) == 0:
        tl.atomic_xchg(used, 1)
    else:
        part_weight += tl.load(dweight + group * n + columns, mask=inside)
        part_bias += tl.load(dbias + group * n + columns, mask=inside)
    tl.store(dweight + group * n + columns, part_weight, mask=inside)
    tl.store(dbias + group * n + columns, part_bias, mask=inside)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


@triton.jit
def rms_norm_backward(
    dx, dout, dweight, x, weight, rstds, n_rows, n, rows_each, BLOCK: tl.constexpr
):
    """A program walks over its share of the rows and keeps their weight gradient in a tile."""
    program = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n
    gain = tl.load(weight + columns, mask=inside, other=0.0)
    sums = tl.zeros([BLOCK], dtype=tl.float32)
    for row in range(program * rows_each, min((program + 1) * rows_each, n_rows)):
        values = tl.load(x + row * n + columns, mask=inside, other=0.0)
        upstream = tl.load(dout + row * n + columns, mask=inside, other=0.0)
        rstd = tl.load(rstds + row)
        unit = values * rstd
        scaled = gain * upstream
        along_unit = tl.sum(unit * scaled, axis=0) / n
        tl.store(dx + row * n + columns, (scaled - unit * along_unit) * rstd, mask=inside)
        sums += upstream * unit
    tl.store(dweight + program * n + columns, sums, mask=inside)


@triton.jit
def sum_of_rows(parts, out, n_rows, n, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Sums the rows of partial gradients."""
    columns = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    sums = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, n_rows, BLOCK_M):
        rows = start + tl.arange(0, BLOCK_M)
        inside = (rows[:, None] < n_rows) & (columns[None, :] < n)
        sums += tl.load(parts + rows[:, None] * n + columns[None, :], mask=inside, other=0.0)
    tl.store(out + columns, tl.sum(sums, axis=0), mask=columns < n)


@triton.jit
def cross_entropy(logits, targets, losses, n_classes, BLOCK: tl.constexpr):
    """One pass over a row: the largest logit so far and the sum of powers relative to it."""
    row = tl.program_id(0).to(tl.int64)
    base = logits + row * n_classes
    peak = -float("inf")
    total = 0.0
    for start in range(0, n_classes, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        values = tl.load(base + columns, mask=columns < n_classes, other=-float("inf"))
        new_peak = tl.maximum(peak, tl.max(values, axis=0))
        total = total * tl.exp(peak - new_peak) + tl.sum(tl.exp(values - new_peak), axis=0)
        peak = new_peak
    chosen = tl.load(base + tl.load(targets + row))
    tl.store(losses + row, peak + tl.log(total) - chosen)
