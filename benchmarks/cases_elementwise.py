"""Element-wise kernels: bound by memory, so outputs fresh or reused make all the difference."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton

from benchmarks import kernels
from benchmarks.harness import Contest, Contestant, case, require_backend
from tests.triton.kernels import vector_add

N_ADD = 64 * 1024 * 1024
SIDE = 4096


@case("add 64M f32", bytes_moved=3 * 4 * N_ADD)
def add() -> Contest:
    require_backend()
    x, y = torch.rand(N_ADD), torch.rand(N_ADD)
    kept, kept_by_torch = torch.empty(N_ADD), torch.empty(N_ADD)

    def launch(out: torch.Tensor) -> torch.Tensor:
        vector_add[(triton.cdiv(N_ADD, 65536),)](x, y, out, N_ADD, BLOCK=65536)
        return out

    return Contest(
        [
            Contestant("canopy", lambda: launch(kept)),
            Contestant("torch", lambda: torch.add(x, y, out=kept_by_torch)),
            Contestant("canopy", lambda: launch(torch.empty(N_ADD)), "fresh"),
            Contestant("torch", lambda: torch.add(x, y), "fresh"),
        ],
        tolerance=0.0,
    )


@case("gelu(x + b) 4096x4096 f32", bytes_moved=2 * 4 * SIDE * SIDE)
def gelu_of_sum() -> Contest:
    require_backend()
    x, bias = torch.randn(SIDE, SIDE), torch.randn(SIDE)
    kept = torch.empty_like(x)
    kept_by_torch, summed = torch.empty_like(x), torch.empty_like(x)

    def launch(out: torch.Tensor) -> torch.Tensor:
        kernels.gelu_bias[(SIDE, triton.cdiv(SIDE, 1024))](x, bias, out, SIDE, BLOCK=1024)
        return out

    def peer_reused() -> torch.Tensor:
        torch.add(x, bias, out=summed)
        torch.ops.aten.gelu.out(summed, out=kept_by_torch)
        return kept_by_torch

    return Contest(
        [
            Contestant("canopy", lambda: launch(kept)),
            Contestant("torch", peer_reused),
            Contestant("canopy", lambda: launch(torch.empty_like(x)), "fresh"),
            Contestant("torch", lambda: F.gelu(x + bias), "fresh"),
        ]
    )
