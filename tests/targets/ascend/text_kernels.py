"""Triton kernels whose Ascend C needs what few kernels need."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def product(a, b, c, M, N, K, am, ak, bk, bn, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    """One tile of a @ b, whose strides say what is transposed."""
    rows = tl.program_id(0) * BM + tl.arange(0, BM)
    columns = tl.program_id(1) * BN + tl.arange(0, BN)
    total = tl.zeros([BM, BN], dtype=tl.int32 if a.dtype.element_ty == tl.int8 else tl.float32)
    for start in range(0, K, BK):
        depth = start + tl.arange(0, BK)
        left = tl.load(
            a + rows[:, None] * am + depth[None, :] * ak,
            mask=(rows[:, None] < M) & (depth[None, :] < K),
            other=0,
        )
        right = tl.load(
            b + depth[:, None] * bk + columns[None, :] * bn,
            mask=(depth[:, None] < K) & (columns[None, :] < N),
            other=0,
        )
        total = tl.dot(left, right, acc=total, out_dtype=total.dtype, input_precision="ieee")
    places = c + rows[:, None] * N + columns[None, :]
    tl.store(places, total, mask=(rows[:, None] < M) & (columns[None, :] < N))


@triton.jit
def both_ways(q, k, out, back, N: tl.constexpr, D: tl.constexpr):
    """One tile is an operand as it stands and transposed."""
    rows, lanes = tl.arange(0, N), tl.arange(0, D)
    left = tl.load(q + rows[:, None] * D + lanes[None, :])
    right = tl.load(k + rows[:, None] * D + lanes[None, :])
    scores = tl.dot(left, tl.trans(right), input_precision="ieee")
    tl.store(out + rows[:, None] * N + rows[None, :], scores)
    grams = tl.dot(tl.trans(left), right, input_precision="ieee")
    tl.store(back + lanes[:, None] * D + lanes[None, :], grams)


@triton.jit
def update(memory, old, bits, half_sum, n, BLOCK: tl.constexpr):
    """Atomics of which the old value is read, of several kinds and types."""
    lane = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = lane < n
    before = tl.atomic_add(memory, 1)
    tl.store(old + tl.program_id(0), before)
    tl.atomic_xor(bits + lane % 3, lane, mask=inside)
    tl.atomic_max(memory + 1, tl.program_id(0) * 7 % 11)
    tl.atomic_add(half_sum, 1.0)
    tl.atomic_xchg(memory + 2, 5)
    tl.atomic_cas(memory + 3, 0, 9)


@triton.jit
def next_tile(counter, a, b, c, taken, TILES: tl.constexpr, S: tl.constexpr):
    """Products whose tile is drawn from a counter, which the vector core reads."""
    side = tl.arange(0, S)
    block = side[:, None] * S + side[None, :]
    tile = tl.atomic_add(counter, 1)
    while tile < TILES:
        left = tl.load(a + tile * S * S + block)
        right = tl.load(b + tile * S * S + block)
        tl.store(c + tile * S * S + block, tl.dot(left, right, input_precision="ieee"))
        tl.store(taken + tile, 1 + tl.load(taken + tile))
        tile = tl.atomic_add(counter, 1)
