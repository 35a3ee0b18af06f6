"""Kernels in the style of the public Triton tutorials, written anew: what users' code looks like.

They say nothing of any target. Each docstring names what of the language the kernel is here for.
"""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

# -- Element-wise ------------------------------------------------------------------------------


@triton.jit
def vector_add(x, y, out, n, BLOCK: tl.constexpr):
    """Program id, range, masked load and store."""
    places = tl.program_id(axis=0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    total = tl.load(x + places, mask=inside) + tl.load(y + places, mask=inside)
    tl.store(out + places, total, mask=inside)


@triton.jit
def low_memory_dropout(x, keep, out, n, p, BLOCK: tl.constexpr):
    """A mask kept in memory, `where`."""
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    values = tl.load(x + places, mask=inside)
    kept = tl.load(keep + places, mask=inside)
    tl.store(out + places, tl.where(kept, values / (1 - p), 0.0), mask=inside)


@triton.jit
def seeded_dropout(x, out, n, p, seed, BLOCK: tl.constexpr):
    """The same mask from a seed, with `tl.rand`."""
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    values = tl.load(x + places, mask=inside)
    kept = tl.rand(seed, places) > p
    tl.store(out + places, tl.where(kept, values / (1 - p), 0.0), mask=inside)


@triton.jit
def random_numbers(out, n, seed, BLOCK: tl.constexpr):
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + places, tl.rand(seed, places), mask=places < n)


@triton.jit
def arc_sine(x, out, n, BLOCK: tl.constexpr):
    """An extern function of libdevice."""
    places = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = places < n
    values = tl.load(x + places, mask=inside, other=0.0)
    tl.store(out + places, libdevice.asin(values), mask=inside)


# -- Rows --------------------------------------------------------------------------------------


@triton.jit
def softmax_persistent(
    out, x, x_stride, out_stride, n_rows, n_columns, BLOCK: tl.constexpr, STAGES: tl.constexpr
):
    """A persistent grid: every program walks over rows with `tl.range` and pipeline stages."""
    columns = tl.arange(0, BLOCK)
    inside = columns < n_columns
    for row in tl.range(tl.program_id(0), n_rows, tl.num_programs(0), num_stages=STAGES):
        values = tl.load(x + row * x_stride + columns, mask=inside, other=-float("inf"))
        shifted = values.to(tl.float32) - tl.max(values.to(tl.float32), axis=0)
        powers = tl.exp(shifted)
        result = powers / tl.sum(powers, axis=0)
        tl.store(out + row * out_stride + columns, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def softmax_online(out, x, n_rows, n_columns, BLOCK: tl.constexpr):
    """`while` over rows, `for` over blocks of a row, scalars carried from trip to trip."""
    row = tl.program_id(0)
    while row < n_rows:
        base = row * n_columns
        peak = -float("inf")
        total = 0.0
        for start in range(0, n_columns, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            values = tl.load(x + base + columns, mask=columns < n_columns, other=-float("inf"))
            values = values.to(tl.float32)
            new_peak = tl.maximum(peak, tl.max(values, axis=0))
            total = total * tl.exp(peak - new_peak) + tl.sum(tl.exp(values - new_peak), axis=0)
            peak = new_peak
        for start in range(0, n_columns, BLOCK):
            columns = start + tl.arange(0, BLOCK)
            inside = columns < n_columns
            values = tl.load(x + base + columns, mask=inside, other=0.0).to(tl.float32)
            result = tl.exp(values - peak) / total
            tl.store(out + base + columns, result.to(out.dtype.element_ty), mask=inside)
        row += tl.num_programs(0)


@triton.jit
def layer_norm_forward(x, out, weight, bias, means, rstds, n, eps, BLOCK: tl.constexpr):
    """Three passes over a row in blocks; sums kept in a tile until the end."""
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
        gain = tl.load(weight + columns, mask=inside).to(tl.float32)
        shift = tl.load(bias + columns, mask=inside).to(tl.float32)
        tl.store(out + base + columns, (values - mean) * rstd * gain + shift, mask=inside)


@triton.jit
def layer_norm_backward_x(
    dx, dout, dweight, dbias, x, weight, means, rstds, locks, n,
    GROUPS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """Partial sums of the weight gradients under a spin lock: compare-and-swap, exchange."""
    row = tl.program_id(0)
    columns = tl.arange(0, BLOCK)
    inside = columns < n
    values = tl.load(x + row * n + columns, mask=inside, other=0).to(tl.float32)
    upstream = tl.load(dout + row * n + columns, mask=inside, other=0).to(tl.float32)
    gain = tl.load(weight + columns, mask=inside).to(tl.float32)
    mean = tl.load(means + row)
    rstd = tl.load(rstds + row)
    unit = tl.where(inside, (values - mean) * rstd, 0.0)
    scaled = tl.where(inside, gain * upstream, 0.0)
    along_unit = tl.sum(unit * scaled, axis=0) / n
    along_ones = tl.sum(scaled, axis=0) / n
    tl.store(
        dx + row * n + columns, (scaled - (unit * along_unit + along_ones)) * rstd, mask=inside
    )

    part_weight = upstream * unit
    part_bias = upstream
    group = row % GROUPS
    lock = locks + group
    count = locks + GROUPS + group
    while tl.atomic_cas(lock, 0, 1) == 1:
        pass
    touched = tl.load(count)
    if touched == 0:
        tl.atomic_xchg(count, 1)
    else:
        part_weight += tl.load(dweight + group * n + columns, mask=inside)
        part_bias += tl.load(dbias + group * n + columns, mask=inside)
    tl.store(dweight + group * n + columns, part_weight, mask=inside)
    tl.store(dbias + group * n + columns, part_bias, mask=inside)
    tl.debug_barrier()
    tl.atomic_xchg(lock, 0)


@triton.jit
def layer_norm_backward_weights(
    dweight, dbias, final_dweight, final_dbias, groups, n,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Sums 2-D tiles down to a row."""
    columns = tl.program_id(0) * BLOCK_N + tl.arange(0, BLOCK_N)
    sum_weight = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    sum_bias = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, groups, BLOCK_M):
        rows = start + tl.arange(0, BLOCK_M)
        inside = (rows[:, None] < groups) & (columns[None, :] < n)
        places = rows[:, None] * n + columns[None, :]
        sum_weight += tl.load(dweight + places, mask=inside, other=0.0)
        sum_bias += tl.load(dbias + places, mask=inside, other=0.0)
    tl.store(final_dweight + columns, tl.sum(sum_weight, axis=0), mask=columns < n)
    tl.store(final_dbias + columns, tl.sum(sum_bias, axis=0), mask=columns < n)


# -- Matrix products ---------------------------------------------------------------------------


@triton.jit
def leaky_relu(x):
    """A jit function called from a kernel."""
    return tl.where(x >= 0, x, 0.01 * x)


@triton.jit
def grouped_order(tile, tiles_m, tiles_n, GROUP: tl.constexpr):
    """Tile number -> (row, column), GROUP rows of tiles at a time: a tuple as return value."""
    per_group = GROUP * tiles_n
    first_m = (tile // per_group) * GROUP
    height = min(tiles_m - first_m, GROUP)
    return first_m + (tile % per_group) % height, (tile % per_group) // height


@triton.jit
def matmul(
    a, b, c, M, N, K, a_m, a_k, b_k, b_n, c_m, c_n,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
    GROUP: tl.constexpr, ACTIVATION: tl.constexpr,
):  # fmt: skip
    """Pointers that advance, indices that wrap with %, masked K, fused epilogue by constexpr."""
    tl.assume(a_m > 0)
    row, column = grouped_order(tl.program_id(0), tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N), GROUP)
    rows = (row * BLOCK_M + tl.arange(0, BLOCK_M)) % M
    columns = (column * BLOCK_N + tl.arange(0, BLOCK_N)) % N
    depth = tl.arange(0, BLOCK_K)
    a_places = a + rows[:, None] * a_m + depth[None, :] * a_k
    b_places = b + depth[:, None] * b_k + columns[None, :] * b_n
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for step in range(tl.cdiv(K, BLOCK_K)):
        left = K - step * BLOCK_K
        a_tile = tl.load(a_places, mask=depth[None, :] < left, other=0.0)
        b_tile = tl.load(b_places, mask=depth[:, None] < left, other=0.0)
        total = tl.dot(a_tile, b_tile, total, input_precision="ieee")
        a_places += BLOCK_K * a_k
        b_places += BLOCK_K * b_k
    if ACTIVATION == "leaky_relu":
        total = leaky_relu(total)
    rows = row * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = column * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    c_places = c + rows[:, None] * c_m + columns[None, :] * c_n
    tl.store(c_places, total.to(c.dtype.element_ty), mask=inside)


matmul_autotuned = triton.autotune(
    configs=[
        triton.Config({"BLOCK_M": 32, "BLOCK_N": 64, "BLOCK_K": 32, "GROUP": 4}, num_warps=4),
        triton.Config({"BLOCK_M": 64, "BLOCK_N": 32, "BLOCK_K": 16, "GROUP": 8}, num_warps=2),
    ],
    key=["M", "N", "K"],
)(matmul)


@triton.jit
def matmul_persistent(
    a, b, c, M, N, K,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr, GROUP: tl.constexpr,
):  # fmt: skip
    """A fixed grid that walks over tiles, a nested loop with `flatten`."""
    tiles_m, tiles_n = tl.cdiv(M, BLOCK_M), tl.cdiv(N, BLOCK_N)
    for tile in tl.range(tl.program_id(0), tiles_m * tiles_n, tl.num_programs(0), flatten=True):
        row, column = grouped_order(tile, tiles_m, tiles_n, GROUP)
        rows = row * BLOCK_M + tl.arange(0, BLOCK_M)
        columns = column * BLOCK_N + tl.arange(0, BLOCK_N)
        total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
        for start in range(0, K, BLOCK_K):
            depth = start + tl.arange(0, BLOCK_K)
            a_inside = (rows[:, None] < M) & (depth[None, :] < K)
            b_inside = (depth[:, None] < K) & (columns[None, :] < N)
            a_tile = tl.load(a + rows[:, None] * K + depth[None, :], mask=a_inside, other=0.0)
            b_tile = tl.load(b + depth[:, None] * N + columns[None, :], mask=b_inside, other=0.0)
            total = tl.dot(a_tile, b_tile, total, input_precision="ieee")
        inside = (rows[:, None] < M) & (columns[None, :] < N)
        places = c + rows[:, None] * N + columns[None, :]
        tl.store(places, total.to(c.dtype.element_ty), mask=inside)


@triton.jit
def matmul_descriptors(
    a, b, c, M, N, K, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr
):
    """Tensor descriptors made on the device."""
    row, column = tl.program_id(0) * BLOCK_M, tl.program_id(1) * BLOCK_N
    a_view = tl.make_tensor_descriptor(a, [M, K], [K, 1], [BLOCK_M, BLOCK_K])
    b_view = tl.make_tensor_descriptor(b, [K, N], [N, 1], [BLOCK_K, BLOCK_N])
    c_view = tl.make_tensor_descriptor(c, [M, N], [N, 1], [BLOCK_M, BLOCK_N])
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for start in range(0, K, BLOCK_K):
        a_tile = a_view.load([row, start])
        b_tile = b_view.load([start, column])
        total = tl.dot(a_tile, b_tile, total, input_precision="ieee")
    c_view.store([row, column], total.to(c.dtype.element_ty))


@triton.jit
def copy_by_host_descriptor(source, target, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr):
    """Tensor descriptors that come from the host as arguments."""
    row, column = tl.program_id(0) * BLOCK_M, tl.program_id(1) * BLOCK_N
    target.store([row, column], source.load([row, column]) * 2)


@triton.jit
def grouped_gemm(
    a_pointers, b_pointers, c_pointers, sizes, leading, n_groups,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """Many products in one launch: addresses from memory cast to pointers, nested while loops."""
    tile = tl.program_id(0)
    finished = 0
    for group in range(n_groups):
        M = tl.load(sizes + group * 3)
        N = tl.load(sizes + group * 3 + 1)
        K = tl.load(sizes + group * 3 + 2)
        tiles_n = tl.cdiv(N, BLOCK_N)
        n_tiles = tl.cdiv(M, BLOCK_M) * tiles_n
        while tile >= finished and tile < finished + n_tiles:
            a_row = tl.load(leading + group * 3)
            b_row = tl.load(leading + group * 3 + 1)
            c_row = tl.load(leading + group * 3 + 2)
            a = tl.load(a_pointers + group).to(tl.pointer_type(tl.float16))
            b = tl.load(b_pointers + group).to(tl.pointer_type(tl.float16))
            c = tl.load(c_pointers + group).to(tl.pointer_type(tl.float16))
            here = tile - finished
            rows = (here // tiles_n) * BLOCK_M + tl.arange(0, BLOCK_M)
            columns = (here % tiles_n) * BLOCK_N + tl.arange(0, BLOCK_N)
            depth = tl.arange(0, BLOCK_K)
            total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
            for start in range(0, K, BLOCK_K):
                at = start + depth
                a_inside = (rows[:, None] < M) & (at[None, :] < K)
                b_inside = (at[:, None] < K) & (columns[None, :] < N)
                a_tile = tl.load(a + rows[:, None] * a_row + at[None, :], mask=a_inside, other=0.0)
                b_tile = tl.load(
                    b + at[:, None] * b_row + columns[None, :], mask=b_inside, other=0.0
                )
                total += tl.dot(a_tile, b_tile)
            inside = (rows[:, None] < M) & (columns[None, :] < N)
            tl.store(
                c + rows[:, None] * c_row + columns[None, :], total.to(tl.float16), mask=inside
            )
            tile += tl.num_programs(0)
        finished += n_tiles


@triton.jit
def uses_block_pointer(a, n, BLOCK: tl.constexpr):
    """What Triton 3.9 no longer has."""
    block = tl.make_block_ptr(a, (n, n), (n, 1), (0, 0), (BLOCK, BLOCK), (1, 0))
    tl.store(block, tl.load(block) + 1)


# -- Attention ---------------------------------------------------------------------------------


@triton.jit
def attention_steps(
    gathered, total, peak, q, k_view, v_view, first, last, rows, n_keys, scale_log2,
    MASKED: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """The inner loop for one range of keys; `MASKED` for the blocks on the diagonal or the edge."""
    for start in tl.range(first, last, BLOCK_N):
        k = k_view.load([start, 0])
        v = v_view.load([start, 0])
        scores = tl.dot(q, k.T, input_precision="ieee") * scale_log2
        if MASKED:
            columns = start + tl.arange(0, BLOCK_N)
            seen = (rows[:, None] >= columns[None, :]) & (columns[None, :] < n_keys)
            scores = tl.where(seen, scores, -1.0e6)
        new_peak = tl.maximum(peak, tl.max(scores, 1))
        weights = tl.math.exp2(scores - new_peak[:, None])
        shrink = tl.math.exp2(peak - new_peak)
        total = total * shrink + tl.sum(weights, 1)
        gathered = gathered * shrink[:, None]
        gathered = tl.dot(weights.to(v.dtype), v, gathered, input_precision="ieee")
        peak = new_peak
    return gathered, total, peak


@triton.jit
def attention_forward(
    q, k, v, out, log_sums, n_queries, n_keys, scale,
    CAUSAL: tl.constexpr, DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """Two ranges of keys per block: below the diagonal without a mask, on it with one."""
    block, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    q_view = tl.make_tensor_descriptor(
        q + sequence * n_queries * DIM, [n_queries, DIM], [DIM, 1], [BLOCK_M, DIM]
    )
    k_view = tl.make_tensor_descriptor(
        k + sequence * n_keys * DIM, [n_keys, DIM], [DIM, 1], [BLOCK_N, DIM]
    )
    v_view = tl.make_tensor_descriptor(
        v + sequence * n_keys * DIM, [n_keys, DIM], [DIM, 1], [BLOCK_N, DIM]
    )
    out_view = tl.make_tensor_descriptor(
        out + sequence * n_queries * DIM, [n_queries, DIM], [DIM, 1], [BLOCK_M, DIM]
    )
    rows = block * BLOCK_M + tl.arange(0, BLOCK_M)
    q_tile = q_view.load([block * BLOCK_M, 0])
    gathered = tl.zeros([BLOCK_M, DIM], dtype=tl.float32)
    total = tl.zeros([BLOCK_M], dtype=tl.float32)
    peak = tl.zeros([BLOCK_M], dtype=tl.float32) - float("inf")
    scale_log2 = scale * 1.44269504
    if CAUSAL:
        whole = min(block * BLOCK_M, n_keys) // BLOCK_N * BLOCK_N
        last = min((block + 1) * BLOCK_M, n_keys)
        limits = rows
    else:
        whole = n_keys // BLOCK_N * BLOCK_N
        last = n_keys
        limits = tl.full([BLOCK_M], 2147483647, dtype=tl.int32)
    gathered, total, peak = attention_steps(
        gathered, total, peak, q_tile, k_view, v_view, 0, whole, limits, n_keys, scale_log2,
        MASKED=False, BLOCK_N=BLOCK_N,
    )  # fmt: skip
    gathered, total, peak = attention_steps(
        gathered, total, peak, q_tile, k_view, v_view, whole, last, limits, n_keys, scale_log2,
        MASKED=True, BLOCK_N=BLOCK_N,
    )  # fmt: skip
    out_view.store([block * BLOCK_M, 0], (gathered / total[:, None]).to(out.dtype.element_ty))
    tl.store(
        log_sums + sequence * n_queries + rows, peak + tl.math.log2(total), mask=rows < n_queries
    )


@triton.jit
def attention_backward_delta(out, dout, delta, n, BLOCK_M: tl.constexpr, DIM: tl.constexpr):
    rows = tl.program_id(0) * BLOCK_M + tl.arange(0, BLOCK_M)
    places = rows[:, None] * DIM + tl.arange(0, DIM)[None, :]
    inside = rows[:, None] < n
    product = tl.load(out + places, mask=inside, other=0.0).to(tl.float32)
    product *= tl.load(dout + places, mask=inside, other=0.0).to(tl.float32)
    tl.store(delta + rows, tl.sum(product, axis=1), mask=rows < n)


@triton.jit
def attention_backward(
    q, k, v, dout, dq, dk, dv, log_sums, delta, n, scale,
    CAUSAL: tl.constexpr, DIM: tl.constexpr, BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr,
):  # fmt: skip
    """One program per block of keys; the queries' gradient is gathered with atomic additions."""
    block, sequence = tl.program_id(0), tl.program_id(1).to(tl.int64)
    dims = tl.arange(0, DIM)
    columns = block * BLOCK_N + tl.arange(0, BLOCK_N)
    base = sequence * n * DIM
    kv_places = base + columns[:, None] * DIM + dims[None, :]
    kv_inside = columns[:, None] < n
    k_tile = tl.load(k + kv_places, mask=kv_inside, other=0.0)
    v_tile = tl.load(v + kv_places, mask=kv_inside, other=0.0)
    dk_tile = tl.zeros([BLOCK_N, DIM], dtype=tl.float32)
    dv_tile = tl.zeros([BLOCK_N, DIM], dtype=tl.float32)
    first = (block * BLOCK_N) // BLOCK_M * BLOCK_M if CAUSAL else 0
    for start in range(first, n, BLOCK_M):
        rows = start + tl.arange(0, BLOCK_M)
        places = base + rows[:, None] * DIM + dims[None, :]
        inside = rows[:, None] < n
        q_tile = tl.load(q + places, mask=inside, other=0.0)
        do_tile = tl.load(dout + places, mask=inside, other=0.0)
        log_sum = tl.load(log_sums + sequence * n + rows, mask=rows < n, other=float("inf"))
        row_delta = tl.load(delta + sequence * n + rows, mask=rows < n, other=0.0)
        scores = tl.dot(q_tile, tl.trans(k_tile), input_precision="ieee") * (scale * 1.44269504)
        weights = tl.math.exp2(scores - log_sum[:, None])
        seen = (columns[None, :] < n) & (rows[:, None] >= 0)
        if CAUSAL:
            seen = seen & (rows[:, None] >= columns[None, :])
        weights = tl.where(seen, weights, 0.0)
        dv_tile += tl.dot(tl.trans(weights.to(do_tile.dtype)), do_tile, input_precision="ieee")
        dweights = tl.dot(do_tile, tl.trans(v_tile), input_precision="ieee")
        dscores = (weights * (dweights - row_delta[:, None])).to(q_tile.dtype)
        dk_tile += tl.dot(tl.trans(dscores), q_tile, input_precision="ieee")
        dq_part = tl.dot(dscores, k_tile, input_precision="ieee") * scale
        tl.atomic_add(dq + places, dq_part, mask=inside)
    tl.store(dk + kv_places, (dk_tile * scale).to(dk.dtype.element_ty), mask=kv_inside)
    tl.store(dv + kv_places, dv_tile.to(dv.dtype.element_ty), mask=kv_inside)
