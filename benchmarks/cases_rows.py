"""Kernels that work row by row: softmax and layer norm."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton

from benchmarks import kernels
from benchmarks.harness import Contest, Contestant, case, require_backend
from tests.triton.kernels import layer_norm_forward


def softmax(rows: int, columns: int) -> Contest:
    require_backend()
    x = torch.randn(rows, columns)
    kept, kept_by_torch = torch.empty_like(x), torch.empty_like(x)
    block = triton.next_power_of_2(columns)

    def launch(out: torch.Tensor) -> torch.Tensor:
        kernels.softmax_rows[(rows,)](x, out, columns, BLOCK=block)
        return out

    return Contest(
        [
            Contestant("canopy", lambda: launch(kept)),
            Contestant("torch", lambda: torch.softmax(x, dim=-1, out=kept_by_torch)),
            Contestant("canopy", lambda: launch(torch.empty_like(x)), "fresh"),
            Contestant("torch", lambda: torch.softmax(x, dim=-1), "fresh"),
        ]
    )


@case("softmax 4096x4096 f32", bytes_moved=2 * 4 * 4096 * 4096)
def softmax_square() -> Contest:
    return softmax(4096, 4096)


@case("softmax 8192x1000 f32", bytes_moved=2 * 4 * 8192 * 1000)
def softmax_unaligned() -> Contest:
    return softmax(8192, 1000)


@case("layer norm 4096x4096 f32", bytes_moved=2 * 4 * 4096 * 4096)
def layer_norm() -> Contest:
    require_backend()
    rows = columns = 4096
    x, weight, bias = torch.randn(rows, columns), torch.rand(columns), torch.rand(columns)
    means, rstds, kept = torch.empty(rows), torch.empty(rows), torch.empty_like(x)
    peer_out = torch.empty_like(x)
    peer_means, peer_rstds = torch.empty(rows, 1), torch.empty(rows, 1)

    def launch(out: torch.Tensor) -> torch.Tensor:
        layer_norm_forward[(rows,)](x, out, weight, bias, means, rstds, columns, 1e-5, BLOCK=4096)
        return out

    def peer_reused() -> torch.Tensor:
        torch.ops.aten.native_layer_norm.out(
            x, [columns], weight, bias, 1e-5, out0=peer_out, out1=peer_means, out2=peer_rstds
        )
        return peer_out

    return Contest(
        [
            Contestant("canopy", lambda: launch(kept)),
            Contestant("torch", peer_reused),
            Contestant("canopy", lambda: launch(torch.empty_like(x)), "fresh"),
            Contestant("torch", lambda: F.layer_norm(x, (columns,), weight, bias), "fresh"),
        ]
    )
