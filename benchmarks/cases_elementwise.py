"""Element-wise kernels: bound by memory, so outputs fresh or reused make all the difference."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton

from benchmarks import kernels_elementwise as kernels
from benchmarks import limits
from benchmarks.harness import Contest, WrongResultError, case, require_backend
from benchmarks.peers import inductor, numba_kernel


@case("launch of a tiny kernel")
def launch() -> Contest:
    require_backend()
    x, one = torch.ones(1), torch.ones(1)
    contest = Contest([torch.empty(1)], lambda: [x + one])
    contest.add("canopy", lambda out: kernels.tiny[(1,)](x, out))
    contest.add("torch", lambda out: torch.add(x, one, out=out))
    return contest


@case("add 64M f32", tiny={"n": 1003}, n=64 * 1024 * 1024)
def add(n: int) -> Contest:
    require_backend()
    x, y = torch.rand(n), torch.rand(n)
    contest = Contest([torch.empty(n)], lambda: [x + y], tolerance=0, bytes_moved=3 * 4 * n)
    grid = (triton.cdiv(n, 65536),)
    contest.add("canopy", lambda out: kernels.add[grid](x, y, out, n, BLOCK=65536))
    contest.add("torch", lambda out: torch.add(x, y, out=out), lambda: torch.add(x, y))
    contest.add_peer("inductor", lambda: inductor(torch.add, x, y))
    contest.add_peer("numba", lambda: numba_kernel("add", x, y))
    contest.add_limit("non-temporal triad", lambda: limits.triad(contest.outputs[0], x, y))
    return contest


@case("gelu(x + b) 4096x4096 f32", tiny={"rows": 3, "columns": 1025}, rows=4096, columns=4096)
def gelu_of_sum(rows: int, columns: int) -> Contest:
    require_backend()
    x, bias, summed = torch.randn(rows, columns), torch.randn(columns), torch.empty(rows, columns)

    def by_torch(out: torch.Tensor) -> None:
        torch.add(x, bias, out=summed)
        torch.ops.aten.gelu.out(summed, out=out)

    contest = Contest(
        [torch.empty_like(x)], lambda: [F.gelu(x + bias)], bytes_moved=2 * 4 * x.numel()
    )
    grid = (rows, triton.cdiv(columns, 1024))
    contest.add("canopy", lambda out: kernels.gelu_bias[grid](x, bias, out, columns, BLOCK=1024))
    contest.add("torch", by_torch, lambda: F.gelu(x + bias))
    contest.add_peer("inductor", lambda: inductor(lambda x, b: F.gelu(x + b), x, bias))
    contest.add_peer("numba", lambda: numba_kernel("gelu_bias", x, bias))
    contest.add_limit("non-temporal copy", lambda: limits.copy(contest.outputs[0], x))
    return contest


@case("swiglu 4096x4096 f32", tiny={"rows": 3, "columns": 100}, rows=4096, columns=4096)
def swiglu(rows: int, columns: int) -> Contest:
    require_backend()
    gate, up, gated = (torch.randn(rows, columns) for _ in range(3))

    def by_torch(out: torch.Tensor) -> None:
        torch.ops.aten.silu.out(gate, out=gated)
        torch.mul(gated, up, out=out)

    contest = Contest(
        [torch.empty_like(gate)], lambda: [F.silu(gate) * up], bytes_moved=3 * 4 * gate.numel()
    )
    block = triton.next_power_of_2(columns)
    contest.add("canopy", lambda out: kernels.swiglu[(rows,)](gate, up, out, columns, BLOCK=block))
    contest.add("torch", by_torch, lambda: F.silu(gate) * up)
    contest.add_peer("inductor", lambda: inductor(lambda g, u: F.silu(g) * u, gate, up))
    contest.add_peer("numba", lambda: numba_kernel("swiglu", gate, up))
    contest.add_limit("non-temporal triad", lambda: limits.triad(contest.outputs[0], gate, up))
    return contest


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """As model code says it; x is tokens x heads x width, cos and sin tokens x 1 x width."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


@case(
    "rope 4096 tokens, 32 heads of 128, f32",
    tiny={"tokens": 5, "heads": 3},
    tokens=4096,
    heads=32,
)
def rope(tokens: int, heads: int) -> Contest:
    require_backend()
    half = 64
    x = torch.randn(tokens, heads, 2 * half)
    angles = torch.rand(tokens, half) * 6
    cos, sin = angles.cos(), angles.sin()
    wide_cos, wide_sin = (torch.cat((t, t), dim=-1)[:, None] for t in (cos, sin))
    turned = torch.empty_like(x)

    def by_torch(out: torch.Tensor) -> None:
        torch.neg(x[..., half:], out=turned[..., :half])
        turned[..., half:].copy_(x[..., :half])
        torch.mul(x, wide_cos, out=out)
        out.addcmul_(turned, wide_sin)

    contest = Contest(
        [torch.empty_like(x)], lambda: [rotate(x, wide_cos, wide_sin)], bytes_moved=8 * x.numel()
    )
    block = triton.next_power_of_2(heads)
    contest.add(
        "canopy",
        lambda out: kernels.rope[(tokens,)](x, cos, sin, out, heads, HALF=half, HEADS=block),
    )
    contest.add("torch", by_torch, lambda: rotate(x, wide_cos, wide_sin))
    contest.add_peer("inductor", lambda: inductor(rotate, x, wide_cos, wide_sin))
    contest.add_peer("numba", lambda: numba_kernel("rope", x, cos, sin))
    contest.add_limit("non-temporal copy", lambda: limits.copy(contest.outputs[0], x))
    return contest


@case("dropout 16M f32", tiny={"n": 20_003}, n=16 * 1024 * 1024)
def dropout(n: int) -> Contest:
    """The mask comes from a seed: no two implementations drop the same elements."""
    require_backend()
    p = 0.25
    x, kept = torch.rand(n) + 1, torch.empty(n, dtype=torch.bool)

    def check(results: tuple[torch.Tensor, ...]) -> None:
        out = results[0]
        dropped = (out == 0).float().mean().item()
        if abs(dropped - p) > 4 * (p * (1 - p) / n) ** 0.5:
            raise WrongResultError(f"drops {dropped:.2%} of the elements instead of {p:.0%}")
        if not torch.allclose(out[out != 0], (x / (1 - p))[out != 0]):
            raise WrongResultError("what is kept is not x / (1 - p)")

    def by_torch(out: torch.Tensor) -> None:
        torch.ops.aten.native_dropout.out(x, p, True, out0=out, out1=kept)

    contest = Contest([torch.empty(n)], check=check, bytes_moved=2 * 4 * n)
    grid = (triton.cdiv(n, 4096),)
    contest.add("canopy", lambda out: kernels.seeded_dropout[grid](x, out, n, p, 7, BLOCK=4096))
    contest.add("torch", by_torch, lambda: F.dropout(x, p))
    contest.add_peer("inductor", lambda: inductor(lambda x: F.dropout(x, p), x))
    contest.add_limit("non-temporal copy", lambda: limits.copy(contest.outputs[0], x))
    return contest
