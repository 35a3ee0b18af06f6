"""Matrix products and attention: bound by arithmetic."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton

from benchmarks.harness import Contest, Contestant, case, require_backend
from tests.triton.kernels import attention_forward, matmul

HEADS, LENGTH, DIM = 16, 2048, 64
CAUSAL_OPERATIONS = 2 * 2 * HEADS * LENGTH * LENGTH * DIM // 2


def product(side: int, dtype: torch.dtype, tolerance: float) -> Contest:
    require_backend()
    a, b = torch.randn(side, side).to(dtype), torch.randn(side, side).to(dtype)
    kept, kept_by_torch = torch.empty_like(a), torch.empty_like(a)
    grid = (triton.cdiv(side, 128) * triton.cdiv(side, 128),)

    def launch(out: torch.Tensor) -> torch.Tensor:
        matmul[grid](
            a, b, out, side, side, side, *a.stride(), *b.stride(), *out.stride(),
            BLOCK_M=128, BLOCK_N=128, BLOCK_K=32, GROUP=8, ACTIVATION="",
        )  # fmt: skip
        return out

    return Contest(
        [
            Contestant("canopy", lambda: launch(kept)),
            Contestant("torch", lambda: torch.mm(a, b, out=kept_by_torch)),
            Contestant("canopy", lambda: launch(torch.empty_like(a)), "fresh"),
            Contestant("torch", lambda: torch.mm(a, b), "fresh"),
        ],
        tolerance=tolerance,
    )


@case("matmul 1024^3 f32", operations=2 * 1024**3)
def matmul_f32() -> Contest:
    return product(1024, torch.float32, 1e-5)


@case("matmul 1024^3 bf16", operations=2 * 1024**3)
def matmul_bf16() -> Contest:
    return product(1024, torch.bfloat16, 1e-2)


def attention(dtype: torch.dtype, tolerance: float) -> Contest:
    require_backend()
    q, k, v = (torch.randn(1, HEADS, LENGTH, DIM).to(dtype) for _ in range(3))
    kept = torch.empty_like(q)
    log_sums = torch.empty(HEADS, LENGTH)

    def launch(out: torch.Tensor) -> torch.Tensor:
        attention_forward[(triton.cdiv(LENGTH, 128), HEADS)](
            q, k, v, out, log_sums, LENGTH, LENGTH, DIM**-0.5,
            CAUSAL=True, DIM=DIM, BLOCK_M=128, BLOCK_N=64,
        )  # fmt: skip
        return out

    return Contest(
        [
            Contestant("canopy", lambda: launch(kept)),
            Contestant("canopy", lambda: launch(torch.empty_like(q)), "fresh"),
            Contestant(
                "torch",
                lambda: F.scaled_dot_product_attention(q, k, v, is_causal=True),
                "fresh",
            ),
        ],
        tolerance=tolerance,
    )


@case("causal attention B1 H16 S2048 D64 f32", operations=CAUSAL_OPERATIONS)
def attention_f32() -> Contest:
    return attention(torch.float32, 1e-4)


@case("causal attention B1 H16 S2048 D64 bf16", operations=CAUSAL_OPERATIONS)
def attention_bf16() -> Contest:
    return attention(torch.bfloat16, 2e-2)
