"""Triton kernels of the character GPT, with their autograd functions.

    rms_norm(x, weight, eps)            x [..., n] -> [..., n]
    cross_entropy(logits, targets)      [n, classes], [n] -> mean loss
    causal_attention(qkv, heads)        [batch, time, 3 * heads * dim] -> [batch, time, heads * dim]

Each has a forward and a backward kernel; sums are kept in float32 whatever the inputs are.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl

LOG2_E = 1.4426950408889634

# ----------------------------------------------------------------------------------------------
# RMS norm: y = x / sqrt(mean(x^2) + eps) * weight, one program per row
# ----------------------------------------------------------------------------------------------


@triton.jit
def rms_norm_forward(x, weight, y, inverse_rms, n_columns, eps, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_columns
    values = tl.load(x + row * n_columns + columns, mask=inside, other=0.0).to(tl.float32)
    scale = 1.0 / tl.sqrt(tl.sum(values * values, axis=0) / n_columns + eps)
    gain = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    tl.store(y + row * n_columns + columns, values * scale * gain, mask=inside)
    tl.store(inverse_rms + row, scale)


@triton.jit
def rms_norm_backward(
    x, weight, inverse_rms, dy, dx, dweight_parts, n_rows, n_columns, BLOCK: tl.constexpr
):
    """Each program walks over every `num_programs`-th row and keeps one partial sum of dweight."""
    program = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n_columns
    gain = tl.load(weight + columns, mask=inside, other=0.0).to(tl.float32)
    dgain = tl.zeros((BLOCK,), dtype=tl.float32)
    for row in range(program, n_rows, tl.num_programs(0)):
        place = row * n_columns + columns
        scale = tl.load(inverse_rms + row)
        unit = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) * scale
        upstream = tl.load(dy + place, mask=inside, other=0.0).to(tl.float32)
        dgain += upstream * unit
        dunit = upstream * gain
        projection = tl.sum(dunit * unit, axis=0) / n_columns
        tl.store(dx + place, (dunit - unit * projection) * scale, mask=inside)
    tl.store(dweight_parts + program * n_columns + columns, dgain, mask=inside)


class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, weight, eps):
        rows = x.contiguous().view(-1, x.shape[-1])
        y = torch.empty_like(rows)
        inverse_rms = torch.empty(rows.shape[0], dtype=torch.float32, device=x.device)
        ctx.block = triton.next_power_of_2(rows.shape[1])
        rms_norm_forward[(rows.shape[0],)](
            rows, weight, y, inverse_rms, rows.shape[1], eps, BLOCK=ctx.block
        )
        ctx.save_for_backward(rows, weight, inverse_rms)
        return y.view(x.shape)

    @staticmethod
    def backward(ctx, dy):
        rows, weight, inverse_rms = ctx.saved_tensors
        n_rows, n_columns = rows.shape
        dx = torch.empty_like(rows)
        programs = min(n_rows, 128)
        parts = torch.empty((programs, n_columns), dtype=torch.float32, device=rows.device)
        rms_norm_backward[(programs,)](
            rows,
            weight,
            inverse_rms,
            dy.contiguous(),
            dx,
            parts,
            n_rows,
            n_columns,
            BLOCK=ctx.block,
        )
        return dx.view(dy.shape), parts.sum(0).to(weight.dtype), None


def rms_norm(x: torch.Tensor, weight: torch.Tensor, eps: float = 1e-6) -> torch.Tensor:
    return RMSNorm.apply(x, weight, eps)


# ----------------------------------------------------------------------------------------------
# Cross entropy, fused with log-softmax: one program per row, blocks of columns with a running max
# ----------------------------------------------------------------------------------------------


@triton.jit
def cross_entropy_forward(logits, targets, losses, log_sums, n_classes, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64)
    base = logits + row * n_classes
    peak = float("-inf")
    total = 0.0
    for start in range(0, n_classes, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        values = tl.load(base + columns, mask=columns < n_classes, other=float("-inf"))
        values = values.to(tl.float32)
        new_peak = tl.maximum(peak, tl.max(values, axis=0))
        total = total * tl.exp(peak - new_peak) + tl.sum(tl.exp(values - new_peak), axis=0)
        peak = new_peak
    log_sum = peak + tl.log(total)
    chosen = tl.load(base + tl.load(targets + row)).to(tl.float32)
    tl.store(log_sums + row, log_sum)
    tl.store(losses + row, log_sum - chosen)


@triton.jit
def cross_entropy_backward(
    logits, targets, log_sums, dloss, dlogits, n_rows, n_classes, BLOCK: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    columns = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    inside = columns < n_classes
    place = row * n_classes + columns
    values = tl.load(logits + place, mask=inside, other=float("-inf")).to(tl.float32)
    probability = tl.exp(values - tl.load(log_sums + row))
    hit = (columns == tl.load(targets + row)).to(tl.float32)
    factor = tl.load(dloss) / n_rows
    tl.store(dlogits + place, (probability - hit) * factor, mask=inside)


class CrossEntropy(torch.autograd.Function):
    @staticmethod
    def forward(ctx, logits, targets):
        logits = logits.contiguous()
        n_rows, n_classes = logits.shape
        losses = torch.empty(n_rows, dtype=torch.float32, device=logits.device)
        log_sums = torch.empty_like(losses)
        ctx.block = min(triton.next_power_of_2(n_classes), 2048)
        cross_entropy_forward[(n_rows,)](
            logits, targets, losses, log_sums, n_classes, BLOCK=ctx.block
        )
        ctx.save_for_backward(logits, targets, log_sums)
        return losses.mean()

    @staticmethod
    def backward(ctx, dloss):
        logits, targets, log_sums = ctx.saved_tensors
        n_rows, n_classes = logits.shape
        dlogits = torch.empty_like(logits)
        grid = (n_rows, triton.cdiv(n_classes, ctx.block))
        cross_entropy_backward[grid](
            logits, targets, log_sums, dloss, dlogits, n_rows, n_classes, BLOCK=ctx.block
        )
        return dlogits, None


def cross_entropy(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return CrossEntropy.apply(logits, targets)


# ----------------------------------------------------------------------------------------------
# Causal attention, block by block with a running softmax; q, k and v lie side by side in `qkv`.
# `log_sums` holds, per row, the base-2 logarithm of the softmax's denominator (scores included).
# ----------------------------------------------------------------------------------------------


@triton.jit
def load_rows(base, rows, row_stride, n_rows, DIM: tl.constexpr):
    place = base + rows[:, None] * row_stride + tl.arange(0, DIM)[None, :]
    return tl.load(place, mask=rows[:, None] < n_rows, other=0.0)


@triton.jit
def store_rows(base, rows, row_stride, n_rows, values, DIM: tl.constexpr):
    place = base + rows[:, None] * row_stride + tl.arange(0, DIM)[None, :]
    tl.store(place, values.to(base.dtype.element_ty), mask=rows[:, None] < n_rows)


@triton.jit
def attention_forward(
    qkv, out, log_sums, heads, time, scale_log2,
    DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    block, sequence = tl.program_id(0), tl.program_id(1)
    batch, head = sequence // heads, sequence % heads
    width = heads * DIM
    q_base = qkv + batch.to(tl.int64) * time * 3 * width + head * DIM
    out_base = out + batch.to(tl.int64) * time * width + head * DIM

    rows = block * BLOCK_M + tl.arange(0, BLOCK_M)
    q = load_rows(q_base, rows, 3 * width, time, DIM)
    peak = tl.full((BLOCK_M,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((BLOCK_M,), dtype=tl.float32)
    gathered = tl.zeros((BLOCK_M, DIM), dtype=tl.float32)

    for start in range(0, tl.minimum((block + 1) * BLOCK_M, time), BLOCK_N):
        columns = start + tl.arange(0, BLOCK_N)
        k = load_rows(q_base + width, columns, 3 * width, time, DIM)
        v = load_rows(q_base + 2 * width, columns, 3 * width, time, DIM)
        scores = tl.dot(q, tl.trans(k)) * scale_log2
        scores = tl.where(rows[:, None] >= columns[None, :], scores, float("-inf"))
        new_peak = tl.maximum(peak, tl.max(scores, axis=1))
        weights = tl.exp2(scores - new_peak[:, None])
        shrink = tl.exp2(peak - new_peak)
        total = total * shrink + tl.sum(weights, axis=1)
        gathered = gathered * shrink[:, None] + tl.dot(weights.to(v.dtype), v)
        peak = new_peak

    store_rows(out_base, rows, width, time, gathered / total[:, None], DIM)
    tl.store(log_sums + sequence * time + rows, peak + tl.log2(total), mask=rows < time)


@triton.jit
def attention_backward_delta(
    out, dout, delta, heads, time, DIM: tl.constexpr, BLOCK_M: tl.constexpr
):
    """delta = sum(out * dout) per row and head: what the softmax's gradient subtracts."""
    block, sequence = tl.program_id(0), tl.program_id(1)
    batch, head = sequence // heads, sequence % heads
    base = batch.to(tl.int64) * time * heads * DIM + head * DIM
    rows = block * BLOCK_M + tl.arange(0, BLOCK_M)
    o = load_rows(out + base, rows, heads * DIM, time, DIM).to(tl.float32)
    do = load_rows(dout + base, rows, heads * DIM, time, DIM).to(tl.float32)
    tl.store(delta + sequence * time + rows, tl.sum(o * do, axis=1), mask=rows < time)


@triton.jit
def attention_backward_kv(
    qkv, dout, log_sums, delta, dqkv, heads, time, scale, scale_log2,
    DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    block, sequence = tl.program_id(0), tl.program_id(1)
    batch, head = sequence // heads, sequence % heads
    width = heads * DIM
    in_offset = batch.to(tl.int64) * time * 3 * width + head * DIM
    dout_base = dout + batch.to(tl.int64) * time * width + head * DIM

    columns = block * BLOCK_N + tl.arange(0, BLOCK_N)
    k = load_rows(qkv + in_offset + width, columns, 3 * width, time, DIM)
    v = load_rows(qkv + in_offset + 2 * width, columns, 3 * width, time, DIM)
    dk = tl.zeros((BLOCK_N, DIM), dtype=tl.float32)
    dv = tl.zeros((BLOCK_N, DIM), dtype=tl.float32)

    first = (block * BLOCK_N // BLOCK_M) * BLOCK_M  # rows above the diagonal see none of this
    for start in range(first, time, BLOCK_M):
        rows = start + tl.arange(0, BLOCK_M)
        inside = rows < time
        q = load_rows(qkv + in_offset, rows, 3 * width, time, DIM)
        do = load_rows(dout_base, rows, width, time, DIM)
        log_sum = tl.load(log_sums + sequence * time + rows, mask=inside, other=float("inf"))
        row_delta = tl.load(delta + sequence * time + rows, mask=inside, other=0.0)
        scores = tl.dot(q, tl.trans(k)) * scale_log2
        weights = tl.exp2(scores - log_sum[:, None])
        weights = tl.where(rows[:, None] >= columns[None, :], weights, 0.0)
        dv += tl.dot(tl.trans(weights.to(do.dtype)), do)
        dweights = tl.dot(do, tl.trans(v))
        dscores = weights * (dweights - row_delta[:, None])
        dk += tl.dot(tl.trans(dscores.to(q.dtype)), q)

    store_rows(dqkv + in_offset + width, columns, 3 * width, time, dk * scale, DIM)
    store_rows(dqkv + in_offset + 2 * width, columns, 3 * width, time, dv, DIM)


@triton.jit
def attention_backward_q(
    qkv, dout, log_sums, delta, dqkv, heads, time, scale, scale_log2,
    DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    block, sequence = tl.program_id(0), tl.program_id(1)
    batch, head = sequence // heads, sequence % heads
    width = heads * DIM
    in_offset = batch.to(tl.int64) * time * 3 * width + head * DIM
    dout_base = dout + batch.to(tl.int64) * time * width + head * DIM

    rows = block * BLOCK_M + tl.arange(0, BLOCK_M)
    inside = rows < time
    q = load_rows(qkv + in_offset, rows, 3 * width, time, DIM)
    do = load_rows(dout_base, rows, width, time, DIM)
    log_sum = tl.load(log_sums + sequence * time + rows, mask=inside, other=float("inf"))
    row_delta = tl.load(delta + sequence * time + rows, mask=inside, other=0.0)
    dq = tl.zeros((BLOCK_M, DIM), dtype=tl.float32)

    for start in range(0, tl.minimum((block + 1) * BLOCK_M, time), BLOCK_N):
        columns = start + tl.arange(0, BLOCK_N)
        k = load_rows(qkv + in_offset + width, columns, 3 * width, time, DIM)
        v = load_rows(qkv + in_offset + 2 * width, columns, 3 * width, time, DIM)
        scores = tl.dot(q, tl.trans(k)) * scale_log2
        weights = tl.exp2(scores - log_sum[:, None])
        weights = tl.where(rows[:, None] >= columns[None, :], weights, 0.0)
        dweights = tl.dot(do, tl.trans(v))
        dscores = weights * (dweights - row_delta[:, None])
        dq += tl.dot(dscores.to(k.dtype), k)

    store_rows(dqkv + in_offset, rows, 3 * width, time, dq * scale, DIM)


class CausalAttention(torch.autograd.Function):
    BLOCK_M = 64
    BLOCK_N = 64

    @staticmethod
    def forward(ctx, qkv, heads):
        qkv = qkv.contiguous()
        batch, time, triple_width = qkv.shape
        dim = triple_width // 3 // heads
        if dim not in (16, 32, 64, 128):
            raise ValueError(f"head dimension {dim}: this kernel has 16, 32, 64 and 128")
        out = torch.empty((batch, time, heads * dim), dtype=qkv.dtype, device=qkv.device)
        log_sums = torch.empty((batch, heads, time), dtype=torch.float32, device=qkv.device)
        ctx.heads, ctx.dim, ctx.scale = heads, dim, dim**-0.5
        grid = (triton.cdiv(time, CausalAttention.BLOCK_M), batch * heads)
        attention_forward[grid](
            qkv, out, log_sums, heads, time, ctx.scale * LOG2_E,
            DIM=dim, BLOCK_M=CausalAttention.BLOCK_M, BLOCK_N=CausalAttention.BLOCK_N,
        )  # fmt: skip
        ctx.save_for_backward(qkv, out, log_sums)
        return out

    @staticmethod
    def backward(ctx, dout):
        qkv, out, log_sums = ctx.saved_tensors
        dout = dout.contiguous()
        batch, time, _ = qkv.shape
        sequences = batch * ctx.heads
        delta = torch.empty_like(log_sums)
        dqkv = torch.empty_like(qkv)
        block_m, block_n = CausalAttention.BLOCK_M, CausalAttention.BLOCK_N
        attention_backward_delta[(triton.cdiv(time, block_m), sequences)](
            out, dout, delta, ctx.heads, time, DIM=ctx.dim, BLOCK_M=block_m
        )
        shared = (
            qkv, dout, log_sums, delta, dqkv, ctx.heads, time, ctx.scale, ctx.scale * LOG2_E
        )  # fmt: skip
        shape = {"DIM": ctx.dim, "BLOCK_M": block_m, "BLOCK_N": block_n}
        attention_backward_kv[(triton.cdiv(time, block_n), sequences)](*shared, **shape)
        attention_backward_q[(triton.cdiv(time, block_m), sequences)](*shared, **shape)
        return dqkv, None


def causal_attention(qkv: torch.Tensor, heads: int) -> torch.Tensor:
    return CausalAttention.apply(qkv, heads)
