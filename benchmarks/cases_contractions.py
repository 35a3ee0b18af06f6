"""Matrix products and attention: bound by arithmetic, the skinny products by reading weights."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl

from benchmarks import kernels_contractions as kernels
from benchmarks import limits
from benchmarks.harness import Contest, case, require_backend
from benchmarks.peers import inductor, numba_kernel, packed_linear

TOLERANCES = {
    torch.float32: 1e-5,
    torch.bfloat16: 1e-2,
    torch.float16: 2e-3,
    torch.int8: 0.0,
}


def add_arithmetic_limit(contest: Contest, dtype: torch.dtype) -> None:
    """The peak of the multiply-add or dot instruction that serves the type, where there is one."""
    peaks = {
        torch.bfloat16: ("bf16 dot peak", limits.dot_bf16),
        torch.int8: ("int8 dot peak", limits.dot_int8),
    }
    name, run = peaks.get(dtype, ("multiply-add peak", limits.multiply_add))
    try:
        run(1)
    except limits.NoSuchLimitError:
        name, run = "multiply-add peak", limits.multiply_add
    contest.add_limit(name, lambda: run(contest.operations))


# -- Square products ------------------------------------------------------------------------------


def launch_matmul(
    a: torch.Tensor, b: torch.Tensor, c: torch.Tensor, tiles: tuple[int, int, int], **options: Any
) -> None:
    """c = a @ b, any strides, by the tutorial's kernel."""
    (m, k), n = a.shape, b.shape[1]
    block_m, block_n, block_k = tiles
    grid = (triton.cdiv(m, block_m) * triton.cdiv(n, block_n),)
    kernels.matmul[grid](
        a, b, c, m, n, k, *a.stride(), *b.stride(), *c.stride(),
        BLOCK_M=block_m, BLOCK_N=block_n, BLOCK_K=block_k, GROUP=8, **options,
    )  # fmt: skip


def square_inputs(side: int, dtype: torch.dtype) -> tuple[torch.Tensor, torch.Tensor]:
    if dtype == torch.int8:
        return tuple(torch.randint(-128, 128, (side, side), dtype=dtype) for _ in range(2))
    return tuple(torch.randn(side, side).to(dtype) for _ in range(2))


@case("matmul 2048^3 int8", tiny={"side": 130}, side=2048, dtype=torch.int8)
@case("matmul 1024^3 int8", tiny={"side": 130}, side=1024, dtype=torch.int8)
@case("matmul 2048^3 f16", tiny={"side": 130}, side=2048, dtype=torch.float16)
@case("matmul 1024^3 f16", tiny={"side": 130}, side=1024, dtype=torch.float16)
@case("matmul 2048^3 bf16", tiny={"side": 130}, side=2048, dtype=torch.bfloat16)
@case("matmul 1024^3 bf16", tiny={"side": 130}, side=1024, dtype=torch.bfloat16)
@case("matmul 2048^3 f32", tiny={"side": 130}, side=2048, dtype=torch.float32)
@case("matmul 1024^3 f32", tiny={"side": 130}, side=1024, dtype=torch.float32)
def matmul(side: int, dtype: torch.dtype) -> Contest:
    """b is K x N for everyone but torch's linear layer and oneDNN, who get the layout they like.

    torch.mm takes seconds in f16 on CPUs without f16 arithmetic, its linear layer does not.
    """
    require_backend()
    a, b = square_inputs(side, dtype)
    integers = dtype == torch.int8
    weight = b.T.contiguous()
    product = torch._int_mm if integers else torch.mm
    contest = Contest(
        [torch.empty(side, side, dtype=torch.int32 if integers else dtype)],
        lambda: [F.linear(a, weight) if dtype == torch.float16 else product(a, b)],
        tolerance=TOLERANCES[dtype],
        operations=2 * side**3,
    )
    total = tl.int32 if integers else tl.float32
    contest.add("canopy", lambda c: launch_matmul(a, b, c, (128, 128, 32), SUM=total))
    if dtype != torch.float16:
        contest.add("torch", lambda c: product(a, b, out=c), lambda: product(a, b))
        contest.add_peer("inductor", lambda: inductor(product, a, b))
    if not integers:
        contest.add("torch linear", fresh=lambda: F.linear(a, weight))
        contest.add_fresh_peer("oneDNN packed", lambda: packed_product(weight, a))
    add_arithmetic_limit(contest, dtype)
    return contest


def packed_product(weight: torch.Tensor, a: torch.Tensor) -> Callable[[], torch.Tensor]:
    linear = packed_linear(weight, len(a))
    return lambda: linear(a)


GPU_TILES = (128, 256, 64)
CPU_TILES = ((64, 64, 64), (128, 128, 32), (32, 256, 256), (64, 128, 256), (256, 128, 64))


@case("tile sizes: matmul 1024^3 bf16", tiny={"side": 130}, side=1024, dtype=torch.bfloat16)
@case("tile sizes: matmul 1024^3 f32", tiny={"side": 130}, side=1024, dtype=torch.float32)
def tile_sizes(side: int, dtype: torch.dtype) -> Contest:
    """The same kernel with tiles tuned for a GPU beside tiles that may suit a CPU."""
    require_backend()
    a, b = square_inputs(side, dtype)
    contest = Contest(
        [torch.empty(side, side, dtype=dtype)],
        lambda: [a @ b],
        tolerance=TOLERANCES[dtype],
        operations=2 * side**3,
    )
    for tiles, warps in ((GPU_TILES, 8), *((tiles, 4) for tiles in CPU_TILES)):
        name = "canopy " + "x".join(map(str, tiles))
        contest.add(
            name,
            lambda c, tiles=tiles, warps=warps: launch_matmul(a, b, c, tiles, num_warps=warps),
        )
    return contest


# -- Skinny products ------------------------------------------------------------------------------


@case("skinny matmul 8x4096x4096 bf16", tiny={"side": 130}, rows=8, side=4096, dtype=torch.bfloat16)
@case("skinny matmul 8x4096x4096 f32", tiny={"side": 130}, rows=8, side=4096, dtype=torch.float32)
@case("skinny matmul 1x4096x4096 bf16", tiny={"side": 130}, rows=1, side=4096, dtype=torch.bfloat16)
@case("skinny matmul 1x4096x4096 f32", tiny={"side": 130}, rows=1, side=4096, dtype=torch.float32)
def skinny(rows: int, side: int, dtype: torch.dtype) -> Contest:
    """x @ weight.T; every call takes the next of several equal weights, so none sits in a cache."""
    require_backend()
    x, weight = torch.randn(rows, side).to(dtype), torch.randn(side, side).to(dtype)
    weight_bytes = weight.numel() * weight.element_size()
    count = 2 + ROTATED_BYTES // weight_bytes if weight_bytes > ROTATED_BYTES // 100 else 2
    weights = [weight.clone() for _ in range(count)]

    def launch(weight: torch.Tensor, out: torch.Tensor) -> None:
        if rows == 1:
            grid = (triton.cdiv(side, 16),)
            kernels.matrix_vector[grid](weight, x, out, side, side, BLOCK_N=16, BLOCK_K=128)
        else:
            launch_matmul(x, weight.T, out, (16, 64, 128))

    def packed() -> list[Callable[[torch.Tensor], torch.Tensor]]:
        return [packed_linear(weight, rows) for weight in weights]

    contest = Contest(
        [torch.empty(rows, side, dtype=dtype)],
        lambda: [F.linear(x, weight)],
        tolerance=TOLERANCES[dtype],
        bytes_moved=weight_bytes,
    )
    contest.add("canopy", rotating(launch, weights))
    contest.add(
        "torch",
        rotating(lambda weight, out: torch.mm(x, weight.T, out=out), weights),
        rotating(lambda weight: torch.mm(x, weight.T), weights),
    )
    contest.add("torch linear", fresh=rotating(lambda weight: F.linear(x, weight), weights))
    if rows == 1 and dtype == torch.float32:
        contest.add_peer(
            "numba",
            lambda: rotating(
                lambda run, out: run(out),
                [numba_kernel("matrix_vector", weight, x) for weight in weights],
            ),
        )
    contest.add_fresh_peer("oneDNN packed", lambda: rotating(lambda run: run(x), packed()))
    contest.add_limit("read", rotating(limits.read, weights))
    return contest


ROTATED_BYTES = 256 * 1024 * 1024  # several times the caches of any one CPU


def rotating(run: Callable[..., Any], items: list[Any]) -> Callable[..., Any]:
    """``run`` with the next of the items at each call."""
    turns = itertools.cycle(items)
    return lambda *arguments: run(next(turns), *arguments)


# -- Attention ------------------------------------------------------------------------------------

CAUSAL = {"heads": 16, "length": 2048}
TINY_CAUSAL = {"heads": 2, "length": 256}
DIM = 64


@case("causal attention S2048 D64 bf16", tiny=TINY_CAUSAL, dtype=torch.bfloat16, **CAUSAL)
@case("causal attention S2048 D64 f32", tiny=TINY_CAUSAL, dtype=torch.float32, **CAUSAL)
def attention(heads: int, length: int, dtype: torch.dtype) -> Contest:
    require_backend()
    q, k, v = (torch.randn(1, heads, length, DIM).to(dtype) for _ in range(3))
    log_sums = torch.empty(heads, length)

    def plain(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=True)

    contest = Contest(
        [torch.empty_like(q)],
        lambda: [plain(q.float(), k.float(), v.float())],
        tolerance=ATTENTION_TOLERANCES[dtype],
        operations=2 * 2 * heads * length * length * DIM // 2,
    )
    contest.add(
        "canopy",
        lambda out: kernels.attention_forward[(length // 128, heads)](
            q, k, v, out, log_sums, length, DIM**-0.5, DIM=DIM, BLOCK_M=128, BLOCK_N=64
        ),
    )
    contest.add("torch", fresh=lambda: plain(q, k, v))
    contest.add_peer("inductor", lambda: inductor(plain, q, k, v))
    add_arithmetic_limit(contest, dtype)
    return contest


ATTENTION_TOLERANCES = {torch.float32: 1e-4, torch.bfloat16: 2e-2}


@case("causal attention backward S2048 D64 bf16", tiny=TINY_CAUSAL, dtype=torch.bfloat16, **CAUSAL)
@case("causal attention backward S2048 D64 f32", tiny=TINY_CAUSAL, dtype=torch.float32, **CAUSAL)
def attention_backward(heads: int, length: int, dtype: torch.dtype) -> Contest:
    """Five products of the size of a causal half, as torch's flash attention does them."""
    require_backend()
    inputs = [torch.randn(1, heads, length, DIM).to(dtype) for _ in range(3)]
    q, k, v = inputs
    upstream = torch.randn(1, heads, length, DIM).to(dtype)
    leaves = [t.clone().requires_grad_() for t in inputs]
    out = F.scaled_dot_product_attention(*leaves, is_causal=True)
    log_sums, delta = causal_log_sums(q.float(), k.float()), torch.empty(heads, length)
    kept_out, scale = out.detach(), DIM**-0.5

    def launch(dq: torch.Tensor, dk: torch.Tensor, dv: torch.Tensor) -> None:
        grid, tiles = (length // 64, heads), {"DIM": DIM, "BLOCK_M": 64, "BLOCK_N": 64}
        kernels.attention_delta[(heads * length // 128,)](
            kept_out, upstream, delta, DIM=DIM, BLOCK_M=128
        )
        kernels.attention_backward_kv[grid](
            q, k, v, upstream, dk, dv, log_sums, delta, length, scale, **tiles
        )
        kernels.attention_backward_q[grid](
            q, k, v, upstream, dq, log_sums, delta, length, scale, **tiles
        )

    def by_torch() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(out, leaves, upstream, retain_graph=True)

    contest = Contest(
        [torch.empty_like(t) for t in inputs],
        by_torch,
        tolerance=ATTENTION_TOLERANCES[dtype],
        operations=5 * 2 * heads * length * length * DIM // 2,
    )
    contest.add("canopy", launch)
    contest.add("torch", fresh=by_torch)
    add_arithmetic_limit(contest, dtype)
    return contest


def causal_log_sums(q: torch.Tensor, k: torch.Tensor) -> torch.Tensor:
    """What the forward kernel keeps of each row: the binary logarithm of the sum of its powers."""
    length = q.shape[-2]
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
    sums = [
        torch.logsumexp((a @ b.T * DIM**-0.5).masked_fill(hidden, -torch.inf), dim=-1)
        for a, b in zip(q[0], k[0], strict=True)
    ]
    return torch.stack(sums) * 1.44269504
