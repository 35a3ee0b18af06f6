"""Matrix products and attention, as in Triton's tutorials, with fixed tile sizes."""

from __future__ import annotations

import triton
import triton.language as tl


@triton.jit
def matmul(
    a, b, c, M, N, K, a_m, a_k, b_k, b_n, c_m, c_n,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
    SUM: tl.constexpr = tl.float32,
):  # fmt: skip
    """The tutorial's product: tiles in groups of rows, pointers that advance, masked depth."""
    tile = tl.program_id(0)
    tiles_m, tiles_n = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    per_group = GROUP * tiles_n
    first_m = (tile // per_group) * GROUP
    height = min(tiles_m - first_m, GROUP)
    row = first_m + (tile % per_group) % height
    column = (tile % per_group) // height

    rows = (row * BLOCK_M + tl.arange(0, BLOCK_M)) % M
    columns = (column * BLOCK_N + tl.arange(0, BLOCK_N)) % N
    depth = tl.arange(0, BLOCK_K)
    a_places = a + rows[:, None] * a_m + depth[None, :] * a_k
    b_places = b + depth[:, None] * b_k + columns[None, :] * b_n
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=SUM)
    for step in range(tl.cdiv(K, BLOCK_K)):
        left = K - step * BLOCK_K
        a_tile = tl.load(a_places, mask=depth[None, :] < left, other=0)
        b_tile = tl.load(b_places, mask=depth[:, None] < left, other=0)
        total = tl.dot(a_tile, b_tile, total, out_dtype=SUM)
        a_places += BLOCK_K * a_k
        b_places += BLOCK_K * b_k
    rows = row * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = column * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    c_places = c + rows[:, None] * c_m + columns[None, :] * c_n
    tl.store(c_places, total.to(c.dtype.element_ty), mask=inside)


@triton.jit
def matrix_vector(weight, x, out, N, K, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr):
    """out = weight @ x; the weight is N x K, as a linear layer has it."""
    rows = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    sums = tl.zeros((BLOCK_N, BLOCK_K), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        depth = start + tl.arange(0, BLOCK_K)
        inside = (rows[:, None] < N) & (depth[None, :] < K)
        weights = tl.load(weight + rows[:, None] * K + depth[None, :], mask=inside, other=0.0)
        values = tl.load(x + depth, mask=depth < K, other=0.0)
        sums += weights.to(tl.float32) * values.to(tl.float32)[None, :]
    tl.store(out + rows, tl.sum(sums, axis=1).to(out.dtype.element_ty), mask=rows < N)


# -- Attention ------------------------------------------------------------------------------------


@triton.jit
def attention_steps(
    gathered, total, peak, q, k_base, v_base, first, last, rows, scale_log2,
    MASKED: tl.constexpr, BLOCK_N: tl.constexpr, DIM: tl.constexpr,
):  # fmt: skip
    """The inner loop over one range of keys; MASKED for the blocks on the diagonal."""
    dims = tl.arange(0, DIM)
    for start in tl.range(first, last, BLOCK_N):
        columns = start + tl.arange(0, BLOCK_N)
        k = tl.load(k_base + columns[:, None] * DIM + dims[None, :])
        v = tl.load(v_base + columns[:, None] * DIM + dims[None, :])
        scores = tl.dot(q, tl.trans(k)) * scale_log2
        if MASKED:
            scores = tl.where(rows[:, None] >= columns[None, :], scores, -1.0e6)
        new_peak = tl.maximum(peak, tl.max(scores, 1))
        weights = tl.math.exp2(scores - new_peak[:, None])
        shrink = tl.math.exp2(peak - new_peak)
        total = total * shrink + tl.sum(weights, 1)
        gathered = gathered * shrink[:, None]
        gathered = tl.dot(weights.to(v.dtype), v, gathered)
        peak = new_peak
    return gathered, total, peak


@triton.jit
def attention_forward(
    q, k, v, out, log_sums, length, scale,
    DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Causal; the length is a multiple of the blocks."""
    block, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    base = head * length * DIM
    rows = block * BLOCK_M + tl.arange(0, BLOCK_M)
    places = base + rows[:, None] * DIM + tl.arange(0, DIM)[None, :]
    q_tile = tl.load(q + places)
    gathered = tl.zeros([BLOCK_M, DIM], dtype=tl.float32)
    total = tl.zeros([BLOCK_M], dtype=tl.float32)
    peak = tl.zeros([BLOCK_M], dtype=tl.float32) - float("inf")
    scale_log2 = scale * 1.44269504
    gathered, total, peak = attention_steps(
        gathered, total, peak, q_tile, k + base, v + base, 0, block * BLOCK_M, rows, scale_log2,
        MASKED=False, BLOCK_N=BLOCK_N, DIM=DIM,
    )  # fmt: skip
    gathered, total, peak = attention_steps(
        gathered, total, peak, q_tile, k + base, v + base, block * BLOCK_M, (block + 1) * BLOCK_M,
        rows, scale_log2, MASKED=True, BLOCK_N=BLOCK_N, DIM=DIM,
    )  # fmt: skip
    tl.store(out + places, (gathered / total[:, None]).to(out.dtype.element_ty))
    tl.store(log_sums + head * length + rows, peak + tl.math.log2(total))


@triton.jit
def attention_delta(out, dout, delta, DIM: tl.constexpr, BLOCK_M: tl.constexpr):
    """The row sums of out * dout."""
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    places = rows[:, None] * DIM + tl.arange(0, DIM)[None, :]
    product = tl.load(out + places).to(tl.float32) * tl.load(dout + places).to(tl.float32)
    tl.store(delta + rows, tl.sum(product, axis=1))


@triton.jit
def attention_backward_kv(
    q, k, v, dout, dk, dv, log_sums, delta, length, scale,
    DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One program per block of keys, over the queries that see them."""
    block, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    base = head * length * DIM
    dims = tl.arange(0, DIM)
    columns = block * BLOCK_N + tl.arange(0, BLOCK_N)
    key_places = base + columns[:, None] * DIM + dims[None, :]
    k_tile = tl.load(k + key_places)
    v_tile = tl.load(v + key_places)
    dk_tile = tl.zeros([BLOCK_N, DIM], dtype=tl.float32)
    dv_tile = tl.zeros([BLOCK_N, DIM], dtype=tl.float32)
    for start in range((block * BLOCK_N) // BLOCK_M * BLOCK_M, length, BLOCK_M):
        rows = start + tl.arange(0, BLOCK_M)
        places = base + rows[:, None] * DIM + dims[None, :]
        q_tile = tl.load(q + places)
        do_tile = tl.load(dout + places)
        log_sum = tl.load(log_sums + head * length + rows)
        row_delta = tl.load(delta + head * length + rows)
        scores = tl.dot(k_tile, tl.trans(q_tile)) * (scale * 1.44269504)
        weights = tl.math.exp2(scores - log_sum[None, :])
        weights = tl.where(rows[None, :] >= columns[:, None], weights, 0.0)
        dv_tile = tl.dot(weights.to(do_tile.dtype), do_tile, dv_tile)
        dweights = tl.dot(v_tile, tl.trans(do_tile))
        dscores = (weights * (dweights - row_delta[None, :])).to(q_tile.dtype)
        dk_tile = tl.dot(dscores, q_tile, dk_tile)
    tl.store(dk + key_places, (dk_tile * scale).to(dk.dtype.element_ty))
    tl.store(dv + key_places, dv_tile.to(dv.dtype.element_ty))


@triton.jit
def attention_backward_q(
    q, k, v, dout, dq, log_sums, delta, length, scale,
    DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One program per block of queries, over the keys that they see."""
    block, head = tl.program_id(0), tl.program_id(1).to(tl.int64)
    base = head * length * DIM
    dims = tl.arange(0, DIM)
    rows = block * BLOCK_M + tl.arange(0, BLOCK_M)
    places = base + rows[:, None] * DIM + dims[None, :]
    q_tile = tl.load(q + places)
    do_tile = tl.load(dout + places)
    log_sum = tl.load(log_sums + head * length + rows)
    row_delta = tl.load(delta + head * length + rows)
    dq_tile = tl.zeros([BLOCK_M, DIM], dtype=tl.float32)
    for start in range(0, (block + 1) * BLOCK_M, BLOCK_N):
        columns = start + tl.arange(0, BLOCK_N)
        key_places = base + columns[:, None] * DIM + dims[None, :]
        k_tile = tl.load(k + key_places)
        v_tile = tl.load(v + key_places)
        scores = tl.dot(q_tile, tl.trans(k_tile)) * (scale * 1.44269504)
        weights = tl.math.exp2(scores - log_sum[:, None])
        weights = tl.where(rows[:, None] >= columns[None, :], weights, 0.0)
        dweights = tl.dot(do_tile, tl.trans(v_tile))
        dscores = (weights * (dweights - row_delta[:, None])).to(k_tile.dtype)
        dq_tile = tl.dot(dscores, k_tile, dq_tile)
    tl.store(dq + places, (dq_tile * scale).to(dq.dtype.element_ty))
