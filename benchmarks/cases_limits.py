"""What the machine can do at best, to hold the other figures against, and what a launch costs."""

from __future__ import annotations

import numpy as np
import torch

from benchmarks import kernels
from benchmarks.harness import Contest, Contestant, case, require_backend

N = 64 * 1024 * 1024


@case("limit: copy 64M f32", bytes_moved=2 * 4 * N)
def copy() -> Contest:
    """The C library's memcpy stores past the cache at this size; numpy uses one thread."""
    source, target = torch.rand(N), torch.empty(N)
    source_array, target_array = source.numpy(), np.empty(N, dtype=np.float32)

    def by_numpy() -> torch.Tensor:
        np.copyto(target_array, source_array)
        return source

    return Contest(
        [
            Contestant("numpy", by_numpy),
            Contestant("torch", lambda: target.copy_(source)),
        ],
        tolerance=None,
    )


@case("limit: read 64M f32", bytes_moved=4 * N)
def read() -> Contest:
    source = torch.rand(N)
    return Contest([Contestant("torch", lambda: source.sum(), "none")], tolerance=None)


@case("limit: multiply-add, 2048^3 f32", operations=2 * 2048**3)
def multiply_add() -> Contest:
    """Stands in for the peak of fused multiply-add until that is measured on its own."""
    a, b, out = torch.randn(2048, 2048), torch.randn(2048, 2048), torch.empty(2048, 2048)
    return Contest([Contestant("torch", lambda: torch.mm(a, b, out=out))], tolerance=None)


@case("launch of a tiny kernel")
def launch() -> Contest:
    require_backend()
    x, out, peer_out = torch.ones(1), torch.empty(1), torch.empty(1)
    one = torch.ones(1)

    def tiny() -> torch.Tensor:
        kernels.tiny[(1,)](x, out)
        return out

    return Contest(
        [
            Contestant("canopy", tiny),
            Contestant("torch", lambda: torch.add(x, one, out=peer_out)),
        ]
    )
