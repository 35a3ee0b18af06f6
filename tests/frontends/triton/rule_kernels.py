"""One kernel per family of reader rules. Each stores one result per row of ``out``."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def integers(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    inside = i < n
    a = tl.load(x + i, mask=inside, other=1)
    b = tl.load(y + i, mask=inside, other=1)
    tl.store(out + i, a + b, mask=inside)
    tl.store(out + n + i, a - b, mask=inside)
    tl.store(out + 2 * n + i, a * b, mask=inside)
    tl.store(out + 3 * n + i, a // b, mask=inside)
    tl.store(out + 4 * n + i, a % b, mask=inside)
    tl.store(out + 5 * n + i, a & b, mask=inside)
    tl.store(out + 6 * n + i, a | b, mask=inside)
    tl.store(out + 7 * n + i, a ^ b, mask=inside)
    tl.store(out + 8 * n + i, a << (b & 3), mask=inside)
    tl.store(out + 9 * n + i, a >> (b & 3), mask=inside)
    tl.store(out + 10 * n + i, tl.maximum(a, b), mask=inside)
    tl.store(out + 11 * n + i, tl.minimum(a, b), mask=inside)
    tl.store(out + 12 * n + i, (a < b).to(out.dtype.element_ty), mask=inside)
    tl.store(out + 13 * n + i, (a >= b).to(out.dtype.element_ty), mask=inside)
    tl.store(out + 14 * n + i, tl.where(a == b, a, b + 1), mask=inside)


@triton.jit
def high_products(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    inside = i < n
    a = tl.load(x + i, mask=inside, other=0)
    b = tl.load(y + i, mask=inside, other=0)
    tl.store(out + i, tl.umulhi(a, b), mask=inside)


@triton.jit
def floats(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    inside = i < n
    a = tl.load(x + i, mask=inside, other=1.0)
    b = tl.load(y + i, mask=inside, other=1.0)
    tl.store(out + i, a + b, mask=inside)
    tl.store(out + n + i, -a * b, mask=inside)
    tl.store(out + 2 * n + i, a / b, mask=inside)
    tl.store(out + 3 * n + i, tl.fma(a, b, a), mask=inside)
    tl.store(out + 4 * n + i, tl.maximum(a, b), mask=inside)
    tl.store(out + 5 * n + i, tl.clamp(a, -0.5, 0.5), mask=inside)
    tl.store(out + 6 * n + i, tl.abs(a), mask=inside)
    tl.store(out + 7 * n + i, tl.sqrt(tl.abs(a)), mask=inside)
    tl.store(out + 8 * n + i, tl.exp(a) + tl.exp2(b), mask=inside)
    tl.store(out + 9 * n + i, tl.log(tl.abs(a)) + tl.log2(tl.abs(b)), mask=inside)
    tl.store(out + 10 * n + i, tl.sin(a) + tl.cos(b), mask=inside)
    tl.store(out + 11 * n + i, tl.floor(a) + tl.ceil(b), mask=inside)
    tl.store(out + 12 * n + i, tl.erf(a) + tl.rsqrt(tl.abs(b)), mask=inside)
    tl.store(out + 13 * n + i, tl.div_rn(a, b) + tl.sqrt_rn(tl.abs(a)), mask=inside)
    tl.store(out + 14 * n + i, tl.sigmoid(a), mask=inside)
    tl.store(out + 15 * n + i, tl.where((a < b) | (a != a), a, b), mask=inside)


@triton.jit
def devices(x, y, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    inside = i < n
    a = tl.load(x + i, mask=inside, other=0.5)
    b = tl.load(y + i, mask=inside, other=0.5)
    tl.store(out + i, libdevice.tanh(a), mask=inside)
    tl.store(out + n + i, libdevice.pow(tl.abs(a), b), mask=inside)
    tl.store(out + 2 * n + i, libdevice.atan2(a, b), mask=inside)
    tl.store(out + 3 * n + i, libdevice.log1p(tl.abs(a)), mask=inside)
    tl.store(out + 4 * n + i, libdevice.rint(a * 3), mask=inside)
    tl.store(out + 5 * n + i, libdevice.fma(a, b, b), mask=inside)
    tl.store(out + 6 * n + i, libdevice.saturatef(a), mask=inside)
    tl.store(out + 7 * n + i, libdevice.fast_expf(a), mask=inside)
    tl.store(out + 8 * n + i, libdevice.isnan(a).to(tl.float32), mask=inside)
    tl.store(out + 9 * n + i, libdevice.float2int_rz(a * 5).to(tl.float32), mask=inside)
    tl.store(out + 10 * n + i, libdevice.hypot(a, b), mask=inside)
    tl.store(out + 11 * n + i, libdevice.ffs(i + 8).to(tl.float32), mask=inside)
    tl.store(out + 12 * n + i, libdevice.popc(i).to(tl.float32), mask=inside)


@triton.jit
def casts(x, out, n, BLOCK: tl.constexpr, TO: tl.constexpr):
    i = tl.arange(0, BLOCK)
    inside = i < n
    tl.store(out + i, tl.load(x + i, mask=inside).to(TO), mask=inside)


@triton.jit
def rounds_to_zero(x, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    values = tl.load(x + i, mask=i < n, other=0.0)
    tl.store(out + i, values.to(tl.bfloat16, fp_downcast_rounding="rtz"), mask=i < n)


@triton.jit
def bits(x, out, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    values = tl.load(x + i, mask=i < n, other=0.0)
    tl.store(out + i, values.to(tl.int32, bitcast=True), mask=i < n)


@triton.jit
def shapes(x, out, H: tl.constexpr, W: tl.constexpr):
    """Reshape, transpose, join, split, cat, gather, broadcast, expand, flip."""
    i = tl.arange(0, H * W)
    flat = tl.load(x + i)
    tile = tl.reshape(flat, (H, W))
    tl.store(out + i, tl.reshape(tl.trans(tile), (H * W,)))
    left, right = tl.split(tl.reshape(flat, (H, W // 2, 2)))
    tl.store(out + H * W + i, tl.reshape(tl.join(right, left), (H * W,)))
    both = tl.cat(flat, flat + 1, can_reorder=True)
    tl.store(out + 2 * H * W + tl.arange(0, 2 * H * W), both)
    row = tl.arange(0, W)
    turned = tl.gather(tile, tl.broadcast_to((W - 1 - row)[None, :], (H, W)), axis=1)
    tl.store(out + 4 * H * W + i, tl.reshape(turned, (H * W,)))
    tl.store(out + 5 * H * W + i, tl.flip(flat))
    tl.store(out + 6 * H * W + i, tl.sort(flat))


@triton.jit
def _add(a, b):
    return a + b


@triton.jit
def _last(a_value, a_set, b_value, b_set):
    return tl.where(b_set, b_value, a_value), a_set | b_set


@triton.jit
def combines(x, out, H: tl.constexpr, W: tl.constexpr):
    """Reductions and scans, with several values, along both axes, from both ends."""
    rows, columns = tl.arange(0, H), tl.arange(0, W)
    places = rows[:, None] * W + columns[None, :]
    tile = tl.load(x + places)
    tl.store(out + columns, tl.sum(tile, axis=0))
    tl.store(out + W + rows, tl.max(tile, axis=1))
    values, indices = tl.min(tile, axis=1, return_indices=True)
    tl.store(out + W + H + rows, values)
    tl.store(out + W + 2 * H + rows, indices.to(tl.float32))
    tl.store(out + W + 3 * H + rows, tl.argmax(tile, axis=1).to(tl.float32))
    base = out + W + 4 * H
    tl.store(base + places, tl.cumsum(tile, axis=1))
    tl.store(base + H * W + places, tl.associative_scan(tile, 0, _add, reverse=True))
    kept, _ = tl.associative_scan((tile, tile > 0), 1, _last)
    tl.store(base + 2 * H * W + places, kept)
    tl.store(base + 3 * H * W, tl.reduce(tl.reshape(tile, (H * W,)), 0, _add))
    tl.store(base + 3 * H * W + 1, tl.xor_sum((tl.reshape(tile, (H * W,)) * 8).to(tl.int32)))


@triton.jit
def histograms(x, out, n, BLOCK: tl.constexpr, BINS: tl.constexpr):
    i = tl.arange(0, BLOCK)
    values = tl.load(x + i, mask=i < n, other=0)
    tl.store(out + tl.arange(0, BINS), tl.histogram(values, BINS, mask=i < n))


@triton.jit
def products(a, b, out, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr):
    m, n, k = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    lhs = tl.load(a + m[:, None] * K + k[None, :])
    rhs = tl.load(b + k[:, None] * N + n[None, :])
    tl.store(out + m[:, None] * N + n[None, :], tl.dot(lhs, rhs))


@triton.jit
def atomics(counts, lock, x, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    inside = i < n
    values = tl.load(x + i, mask=inside, other=0)
    tl.atomic_add(counts + i % 4, values, mask=inside)
    tl.atomic_max(counts + 4 + i % 2, values, mask=inside)
    tl.atomic_min(counts + 6 + i % 2, values, mask=inside, sem="relaxed")
    tl.atomic_or(counts + 8, 5)
    tl.atomic_and(counts + 9, 6)
    tl.atomic_xor(counts + 10, 3)
    old = tl.atomic_xchg(counts + 11, 42)
    tl.store(counts + 12, old)
    seen = tl.atomic_cas(lock, 0, 7)
    tl.store(counts + 13, seen)


@triton.jit(noinline=True)
def _thrice(x):
    return x * 3


@triton.jit
def _both(pair, scale):
    return pair[0] * scale, pair[1] + scale


@triton.jit
def controls(x, out, n, flag, LIMIT: tl.constexpr):
    """Early return, while, for with carried values, nested ifs, calls, tuples."""
    program = tl.program_id(0)
    if program >= n:
        return
    value = tl.load(x + program)
    if value < 0:
        if flag > 0:
            tl.store(out + program, -1.0)
            return
        value = -value
    steps = 0
    while value > 1.0:
        value = value / 2
        steps += 1
    for step in range(0, LIMIT, 3):
        if step % 2 == 0:
            value += step
        else:
            value -= 1.0
    for step in range(10, 4, -2):
        value += step
    value = _thrice(value)
    value, other = _both((value, steps), 2)
    tl.store(out + program, value + other)


@triton.jit
def tuple_argument(pair, out, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    tl.store(out + i, tl.load(pair[0] + i) * pair[1])


@triton.jit
def asserts(x, n, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    values = tl.load(x + i, mask=i < n, other=0)
    tl.device_assert(values >= 0, "a negative value")
    tl.device_print("values: ", values)


@triton.jit
def inline_assembly(x, BLOCK: tl.constexpr):
    i = tl.arange(0, BLOCK)
    values = tl.load(x + i)
    doubled = tl.inline_asm_elementwise(
        "add.u32 $0, $1, $1;", "=r,r", [values], dtype=tl.int32, is_pure=True, pack=1
    )
    tl.store(x + i, doubled)
