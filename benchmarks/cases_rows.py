"""Kernels that work row by row: softmax, norms and their gradients, cross entropy."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton

from benchmarks import kernels_rows as kernels
from benchmarks import limits
from benchmarks.harness import Contest, case, require_backend
from benchmarks.peers import inductor, numba_kernel

EPS = 1e-5
SQUARE = {"rows": 4096, "columns": 4096}
TINY = {"rows": 70, "columns": 100}


@case("softmax 8192x1000 f32", tiny=TINY, rows=8192, columns=1000)
@case("softmax 4096x4096 f32", tiny=TINY, **SQUARE)
def softmax(rows: int, columns: int) -> Contest:
    require_backend()
    x = torch.randn(rows, columns)
    contest = Contest(
        [torch.empty_like(x)], lambda: [torch.softmax(x, dim=-1)], bytes_moved=2 * 4 * x.numel()
    )
    block = triton.next_power_of_2(columns)
    contest.add("canopy", lambda out: kernels.softmax[(rows,)](x, out, columns, BLOCK=block))
    contest.add(
        "torch", lambda out: torch.softmax(x, dim=-1, out=out), lambda: torch.softmax(x, dim=-1)
    )
    contest.add_peer("inductor", lambda: inductor(lambda x: torch.softmax(x, dim=-1), x))
    contest.add_peer("numba", lambda: numba_kernel("softmax", x))
    contest.add_limit("non-temporal copy", lambda: limits.copy(contest.outputs[0], x))
    return contest


@case("layer norm 4096x4096 f32", tiny=TINY, **SQUARE)
def layer_norm(rows: int, columns: int) -> Contest:
    require_backend()
    x, weight, bias = torch.randn(rows, columns), torch.rand(columns), torch.rand(columns)
    means, rstds = torch.empty(rows, 1), torch.empty(rows, 1)

    def by_torch(out: torch.Tensor) -> None:
        torch.ops.aten.native_layer_norm.out(
            x, [columns], weight, bias, EPS, out0=out, out1=means, out2=rstds
        )

    def plain(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
        return F.layer_norm(x, (columns,), weight, bias, EPS)

    contest = Contest(
        [torch.empty_like(x)], lambda: [plain(x, weight, bias)], bytes_moved=2 * 4 * x.numel()
    )
    block = triton.next_power_of_2(columns)
    contest.add(
        "canopy",
        lambda out: kernels.layer_norm[(rows,)](
            x, out, weight, bias, means, rstds, columns, EPS, BLOCK=block
        ),
    )
    contest.add("torch", by_torch, lambda: plain(x, weight, bias))
    contest.add_peer("inductor", lambda: inductor(plain, x, weight, bias))
    contest.add_peer("numba", lambda: numba_kernel("layer_norm", x, weight, bias, EPS))
    contest.add_limit("non-temporal copy", lambda: limits.copy(contest.outputs[0], x))
    return contest


@case("rms norm 4096x4096 f32", tiny=TINY, **SQUARE)
def rms_norm(rows: int, columns: int) -> Contest:
    require_backend()
    x, weight = torch.randn(rows, columns), torch.rand(columns)
    rstds, squares = torch.empty(rows, 1), torch.empty_like(x)

    def by_torch(out: torch.Tensor) -> None:
        torch.mul(x, x, out=squares)
        torch.mean(squares, dim=1, keepdim=True, out=rstds)
        rstds.add_(EPS).rsqrt_()
        torch.mul(x, rstds, out=out)
        out.mul_(weight)

    def plain(x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        return F.rms_norm(x, (columns,), weight, EPS)

    contest = Contest(
        [torch.empty_like(x)], lambda: [plain(x, weight)], bytes_moved=2 * 4 * x.numel()
    )
    block = triton.next_power_of_2(columns)
    contest.add(
        "canopy",
        lambda out: kernels.rms_norm[(rows,)](x, out, weight, rstds, columns, EPS, BLOCK=block),
    )
    contest.add("torch", by_torch, lambda: plain(x, weight))
    contest.add_peer("inductor", lambda: inductor(plain, x, weight))
    contest.add_peer("numba", lambda: numba_kernel("rms_norm", x, weight, EPS))
    contest.add_limit("non-temporal copy", lambda: limits.copy(contest.outputs[0], x))
    return contest


@case("layer norm backward 4096x4096 f32", tiny=TINY, **SQUARE)
def layer_norm_backward(rows: int, columns: int) -> Contest:
    require_backend()
    groups = 64
    x, upstream = torch.randn(rows, columns), torch.randn(rows, columns)
    weight, bias = torch.rand(columns), torch.rand(columns)
    _, means, rstds = torch.ops.aten.native_layer_norm(x, [columns], weight, bias, EPS)
    arguments = (upstream, x, [columns], means, rstds, weight, bias, [True, True, True])
    parts = torch.empty(2, groups, columns)
    locks = torch.zeros(2 * groups, dtype=torch.int32)
    block = triton.next_power_of_2(columns)

    def launch(dx: torch.Tensor, dweight: torch.Tensor, dbias: torch.Tensor) -> None:
        locks.zero_()
        kernels.layer_norm_backward[(rows,)](
            dx, upstream, parts[0], parts[1], x, weight, means, rstds, locks, columns,
            GROUPS=groups, BLOCK=block,
        )  # fmt: skip
        used = min(groups, rows)
        for part, out in ((parts[0], dweight), (parts[1], dbias)):
            kernels.sum_of_rows[(triton.cdiv(columns, 128),)](
                part, out, used, columns, BLOCK_M=32, BLOCK_N=128
            )

    def by_torch(dx: torch.Tensor, dweight: torch.Tensor, dbias: torch.Tensor) -> None:
        torch.ops.aten.native_layer_norm_backward.out(*arguments, out0=dx, out1=dweight, out2=dbias)

    def plain() -> tuple[torch.Tensor, ...]:
        return torch.ops.aten.native_layer_norm_backward(*arguments)

    contest = Contest(
        [torch.empty_like(x), torch.empty(columns), torch.empty(columns)],
        plain,
        tolerance=1e-3,
        bytes_moved=3 * 4 * x.numel(),
    )
    contest.add("canopy", launch)
    contest.add("torch", by_torch, plain)
    contest.add_peer(
        "inductor",
        lambda: inductor(lambda *t: torch.ops.aten.native_layer_norm_backward(*t), *arguments),
    )
    contest.add_limit("non-temporal triad", lambda: limits.triad(contest.outputs[0], x, upstream))
    return contest


@case("rms norm backward 4096x4096 f32", tiny=TINY, **SQUARE)
def rms_norm_backward(rows: int, columns: int) -> Contest:
    require_backend()
    programs = 64
    x, upstream, weight = (
        torch.randn(rows, columns),
        torch.randn(rows, columns),
        torch.rand(columns),
    )
    rstds = torch.rsqrt(x.square().mean(dim=1, keepdim=True) + EPS)
    parts = torch.empty(programs, columns)
    block, rows_each = triton.next_power_of_2(columns), triton.cdiv(rows, programs)
    leaf_x, leaf_weight = x.clone().requires_grad_(), weight.clone().requires_grad_()
    result = F.rms_norm(leaf_x, (columns,), leaf_weight, EPS)
    unit, scaled, along = torch.empty_like(x), torch.empty_like(x), torch.empty_like(rstds)

    def launch(dx: torch.Tensor, dweight: torch.Tensor) -> None:
        kernels.rms_norm_backward[(programs,)](
            dx, upstream, parts, x, weight, rstds, rows, columns, rows_each, BLOCK=block
        )
        kernels.sum_of_rows[(triton.cdiv(columns, 128),)](
            parts, dweight, programs, columns, BLOCK_M=32, BLOCK_N=128
        )

    def by_torch(dx: torch.Tensor, dweight: torch.Tensor) -> None:
        torch.mul(x, rstds, out=unit)
        torch.mul(upstream, unit, out=dx)
        torch.sum(dx, dim=0, out=dweight)
        torch.mul(upstream, weight, out=scaled)
        torch.mul(scaled, unit, out=dx)
        torch.mean(dx, dim=1, keepdim=True, out=along)
        torch.addcmul(scaled, unit, along, value=-1, out=dx)
        dx.mul_(rstds)

    def formula(x: torch.Tensor, upstream: torch.Tensor, weight: torch.Tensor, rstds: torch.Tensor):
        unit, scaled = x * rstds, upstream * weight
        along = (scaled * unit).mean(dim=1, keepdim=True)
        return (scaled - unit * along) * rstds, (upstream * unit).sum(dim=0)

    def by_autograd() -> tuple[torch.Tensor, ...]:
        return torch.autograd.grad(result, (leaf_x, leaf_weight), upstream, retain_graph=True)

    contest = Contest(
        [torch.empty_like(x), torch.empty(columns)],
        by_autograd,
        tolerance=1e-3,
        bytes_moved=3 * 4 * x.numel(),
    )
    contest.add("canopy", launch)
    contest.add("torch", by_torch, by_autograd)
    contest.add_peer("inductor", lambda: inductor(formula, x, upstream, weight, rstds))
    contest.add_limit("non-temporal triad", lambda: limits.triad(contest.outputs[0], x, upstream))
    return contest


@case("cross entropy 4096x32000 f32", tiny={"rows": 3, "classes": 5000}, rows=4096, classes=32000)
def cross_entropy(rows: int, classes: int) -> Contest:
    require_backend()
    logits, targets = torch.randn(rows, classes), torch.randint(classes, (rows,))
    logs, weight = torch.empty_like(logits), torch.empty(())

    def by_torch(losses: torch.Tensor) -> None:
        torch.ops.aten._log_softmax.out(logits, 1, False, out=logs)
        torch.ops.aten.nll_loss_forward.output(
            logs, targets, None, 0, -100, output=losses, total_weight=weight
        )

    def plain(logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, targets, reduction="none")

    contest = Contest(
        [torch.empty(rows)], lambda: [plain(logits, targets)], bytes_moved=4 * logits.numel()
    )
    contest.add(
        "canopy",
        lambda losses: kernels.cross_entropy[(rows,)](logits, targets, losses, classes, BLOCK=4096),
    )
    contest.add("torch", by_torch, lambda: plain(logits, targets))
    contest.add_peer("inductor", lambda: inductor(plain, logits, targets))
    contest.add_peer("numba", lambda: numba_kernel("cross_entropy", logits, targets))
    contest.add_limit("read", lambda: limits.read(logits))
    return contest
