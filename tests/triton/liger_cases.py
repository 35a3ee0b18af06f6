"""One case per Triton op module of liger-kernel: inputs, liger's function, and a torch reference.

A case gives leaf tensors (made in float64), the function under test and the same function written
in plain torch. The reference runs in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

__all__ = ["CASES", "NOT_TRITON", "Case"]

# Op modules of liger-kernel that hold no Triton kernel of their own.
NOT_TRITON = {
    "configure": "settings",
    "fused_linear_scaled_cross_entropy": "torch on other GPUs, CuTe on the newest ones",
    "tiled_mlp": "torch only",
    "_nvidia_shared": "device queries",
}


@dataclass
class Case:
    """``leaves`` are differentiated, ``run`` and ``reference`` take them in order."""

    leaves: list[Tensor]
    run: Callable[..., Any]
    reference: Callable[..., Any]
    tolerance: dict[torch.dtype, float] = field(default_factory=dict)
    differentiable: bool = True


CASES: dict[str, Callable[[bool, torch.dtype], Case]] = {}


def case(function: Callable[[bool, torch.dtype], Case]) -> Callable[[bool, torch.dtype], Case]:
    CASES[function.__name__] = function
    return function


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def sizes(odd: bool) -> tuple[int, int]:
    """(rows, columns)"""
    return (5, 37) if odd else (4, 64)


def rms(x: Tensor, eps: float = 1e-6) -> Tensor:
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps)


# ---- norms -------------------------------------------------------------------------------------


@case
def rms_norm(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction as Function

    rows, columns = sizes(odd)
    return Case(
        [normal(2, rows, columns), normal(columns)],
        lambda x, w: Function.apply(x, w, 1e-6, 0.0, "llama", False, None),
        lambda x, w: rms(x) * w,
    )


@case
def rms_norm_gemma(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.rms_norm import LigerRMSNormFunction as Function

    rows, columns = sizes(odd)
    return Case(
        [normal(rows, columns), normal(columns)],
        lambda x, w: Function.apply(x, w, 1e-6, 1.0, "gemma", True, True),
        lambda x, w: rms(x) * (1 + w),
    )


@case
def fused_add_rms_norm(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.fused_add_rms_norm import LigerFusedAddRMSNormFunction as Function

    rows, columns = sizes(odd)
    return Case(
        [normal(2, rows, columns), normal(2, rows, columns), normal(columns)],
        lambda x, r, w: Function.apply(x, r, w, 1e-6, 0.0, "llama", False),
        lambda x, r, w: (rms(x + r) * w, x + r),
    )


@case
def modulated_rms_norm(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.modulated_rms_norm import LigerModulatedRMSNormFunction as Function

    rows, columns = sizes(odd)
    return Case(
        [normal(2, rows, columns), normal(columns), normal(2, columns), normal(2, columns)],
        lambda x, w, s, b: Function.apply(x, w, s, b, 1e-6, 0.0, "llama", False),
        lambda x, w, s, b: rms(x) * w * (1 + s[:, None]) + b[:, None],
    )


@case
def layer_norm(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.layer_norm import LigerLayerNormFunction as Function

    rows, columns = sizes(odd)
    return Case(
        [normal(2, rows, columns), normal(columns), normal(columns)],
        lambda x, w, b: Function.apply(x, w, b, 1e-5),
        lambda x, w, b: F.layer_norm(x, (columns,), w, b, 1e-5),
    )


@case
def group_norm(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.group_norm import LigerGroupNormFunction as Function

    groups, channels, length = (3, 9, 11) if odd else (2, 8, 16)
    return Case(
        [normal(2, channels, length), normal(channels), normal(channels)],
        lambda x, w, b: Function.apply(x, w, b, channels, groups, 1e-5),
        lambda x, w, b: F.group_norm(x, groups, w, b, 1e-5),
    )


@case
def poly_norm(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.poly_norm import LigerPolyNormFunction as Function

    rows, columns = sizes(odd)
    return Case(
        [normal(rows, columns), normal(3), normal(1)[0]],
        lambda x, w, b: Function.apply(x, w, b, 1e-6, False),
        lambda x, w, b: w[0] * rms(x**3) + w[1] * rms(x**2) + w[2] * rms(x) + b,
        {torch.bfloat16: 0.15},
    )


@case
def dyt(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.dyt import LigerDyTFunction as Function

    rows, columns = sizes(odd)
    return Case(
        [normal(rows, columns), normal(1), normal(columns), normal(columns)],
        lambda x, a, g, b: Function.apply(x, a, g, b),
        lambda x, a, g, b: g * torch.tanh(a * x) + b,
    )


# ---- activations -------------------------------------------------------------------------------


@case
def swiglu(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.swiglu import LigerSiLUMulFunction as Function

    shape = sizes(odd)
    return Case(
        [normal(*shape), normal(*shape)],
        lambda a, b: Function.apply(a, b, 1.0, 1.0),
        lambda a, b: F.silu(a) * b,
    )


@case
def swiglu_fused_gate_up(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.swiglu import LigerFusedGateUpSiLUMulFunction as Function

    rows, columns = sizes(odd)
    return Case(
        [normal(rows, 2 * columns)],
        lambda y: Function.apply(y, False),
        lambda y: F.silu(y[..., :columns]) * y[..., columns:],
    )


@case
def geglu(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.geglu import LigerGELUMulFunction as Function

    shape = sizes(odd)
    return Case(
        [normal(*shape), normal(*shape)],
        lambda a, b: Function.apply(a, b),
        lambda a, b: F.gelu(a, approximate="tanh") * b,
    )


@case
def relu_squared(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.relu_squared import LigerReLUSquaredFunction as Function

    return Case([normal(*sizes(odd))], Function.apply, lambda x: F.relu(x) ** 2)


@case
def softmax(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.softmax import LigerSoftmaxFunction as Function

    return Case([normal(*sizes(odd))], Function.apply, lambda x: torch.softmax(x, -1))


@case
def sparsemax(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.sparsemax import LigerSparsemaxFunction as Function

    return Case([normal(*sizes(odd))], lambda x: Function.apply(x, -1), lambda x: _sparsemax(x))


def _sparsemax(x: Tensor) -> Tensor:
    ordered = x.sort(-1, descending=True).values
    index = torch.arange(1, x.shape[-1] + 1, dtype=x.dtype)
    total = ordered.cumsum(-1)
    support = (1 + index * ordered > total).sum(-1, keepdim=True)
    threshold = (total.gather(-1, support - 1) - 1) / support
    return F.relu(x - threshold)


@case
def mlp(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.mlp import LigerMLPFunction as Function

    tokens, width, hidden = (5, 16, 48) if odd else (8, 32, 64)
    return Case(
        [normal(2, tokens, width)]
        + [normal(*s) / 4 for s in ((hidden, width), (hidden, width), (width, hidden))],
        lambda x, g, u, d: Function.apply(x, g, u, d, 1.0, 1.0),
        lambda x, g, u, d: F.linear(F.silu(F.linear(x, g)) * F.linear(x, u), d),
    )


# ---- losses ------------------------------------------------------------------------------------


def labels(rows: int, columns: int, ignore: bool = True) -> Tensor:
    made = torch.randint(0, columns, (rows,))
    if ignore:
        made[1] = -100
    return made


@case
def cross_entropy(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.cross_entropy import LigerCrossEntropyFunction as Function

    rows, columns = sizes(odd)
    target = labels(rows, columns)
    return Case(
        [normal(rows, columns)],
        lambda x: Function.apply(
            x, target, None, -100, 0.0, 0.1, "mean", None, False, False, False
        )[0],
        lambda x: F.cross_entropy(x, target, label_smoothing=0.1),
    )


@case
def cross_entropy_softcap(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.cross_entropy import LigerCrossEntropyFunction as Function

    rows, columns = sizes(odd)
    target = labels(rows, columns)
    return Case(
        [normal(rows, columns)],
        lambda x: Function.apply(x, target, None, -100, 0.0, 0.0, "sum", 3.0, False, False, False)[
            0
        ],
        lambda x: F.cross_entropy(3 * torch.tanh(x / 3), target, reduction="sum"),
    )


@case
def fused_linear_cross_entropy(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.fused_linear_cross_entropy import (
        LigerFusedLinearCrossEntropyFunction as Function,
    )

    rows, columns = sizes(odd)
    target = labels(rows, columns)
    return Case(
        [normal(rows, 16), normal(columns, 16) / 4, normal(columns)],
        lambda x, w, b: Function.apply(x, w, target, b)[0],
        lambda x, w, b: F.cross_entropy(F.linear(x, w, b), target),
    )


@case
def vocab_parallel_cross_entropy(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.vocab_parallel_cross_entropy import (
        LigerVocabParallelCEFunction as Function,
    )

    rows, columns = sizes(odd)
    target = labels(2 * rows, columns, ignore=False)
    return Case(
        [normal(rows, 2, columns)],
        lambda x: Function.apply(
            x.clone(), target.view(rows, 2), None, -100, 0.0, "megatron", "megatron"
        ),
        lambda x: F.cross_entropy(x.view(-1, columns), target, reduction="none").view(rows, 2),
    )


@case
def fused_ce_tvd(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.fused_ce_tvd import LigerFusedCETVDFunction as Function

    rows, columns = sizes(odd)
    target = labels(rows, columns, ignore=False)
    teacher = normal(rows, columns).to(dtype).double()

    def reference(x: Tensor) -> tuple[Tensor, Tensor]:
        distance = (x.softmax(-1) - teacher.softmax(-1)).abs().sum(-1) / 2
        return F.cross_entropy(x, target, reduction="none"), distance

    return Case(
        [normal(rows, columns)],
        lambda x: Function.apply(x, teacher.to(x.dtype), target, -100),
        reference,
    )


@case
def kl_div(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.kl_div import LigerKLDivLossFunction as Function

    target = normal(*sizes(odd)).softmax(-1).to(dtype).double()
    return Case(
        [normal(*sizes(odd)).log_softmax(-1)],
        lambda x: Function.apply(x, target.to(x.dtype), "batchmean", False, 1e-10),
        lambda x: F.kl_div(x, target, reduction="batchmean"),
    )


@case
def jsd(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.jsd import LigerJSDFunction as Function

    target = normal(*sizes(odd)).log_softmax(-1).to(dtype).double()
    return Case(
        [normal(*sizes(odd)).log_softmax(-1)],
        lambda x: Function.apply(x, target.to(x.dtype), None, 0.5, -100, None, None),
        lambda x: _jsd(x, target),
    )


def _jsd(student: Tensor, teacher: Tensor) -> Tensor:
    """Jensen-Shannon divergence of log-probabilities with weight one half, a mean over rows."""
    mean = ((student.exp() + teacher.exp()) / 2).log()
    left = F.kl_div(mean, teacher, reduction="sum", log_target=True)
    right = F.kl_div(mean, student, reduction="sum", log_target=True)
    return (left + right) / 2 / student.shape[0]


@case
def fused_linear_jsd(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.fused_linear_jsd import LigerFusedLinearJSDFunction as Function

    rows, columns = sizes(odd)
    teacher, teacher_weight = normal(rows, 16), normal(columns, 16) / 4
    return Case(
        [normal(rows, 16), normal(columns, 16) / 4],
        lambda x, w: Function.apply(
            x, w, teacher.to(x.dtype), teacher_weight.to(x.dtype), None, 0.5, -100, 1.0
        ),
        lambda x, w: _jsd((x @ w.T).log_softmax(-1), (teacher @ teacher_weight.T).log_softmax(-1)),
        {torch.bfloat16: 6e-2},
    )


@case
def fused_linear_kl_div(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.fused_linear_kl_div import LigerFusedLinearKLDivFunction as Function

    rows, columns = sizes(odd)
    target = normal(rows, columns).softmax(-1).to(dtype).double()
    return Case(
        [normal(rows, 16), normal(columns, 16) / 4],
        lambda x, w: Function.apply(x, w, target.to(x.dtype), None, "batchmean", -100, 1.0, 1e-10),
        lambda x, w: F.kl_div((x @ w.T).log_softmax(-1), target, reduction="batchmean"),
        {torch.bfloat16: 6e-2},
    )


@case
def tvd(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.tvd import LigerTVDLossFunction as Function

    target = normal(*sizes(odd)).softmax(-1).to(dtype).double()
    return Case(
        [normal(*sizes(odd)).softmax(-1)],
        lambda x: Function.apply(x, target.to(x.dtype), None, "batchmean", -100),
        lambda x: 0.5 * (x - target).abs().sum() / x.shape[0],
    )


@case
def grpo_loss(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.grpo_loss import GrpoLossFunction as Function

    length, columns = (5, 37) if odd else (4, 64)
    ids = torch.randint(0, columns, (2, length))
    advantages = normal(2)
    start = normal(2, length + 1, columns)

    def log_probabilities(logits: Tensor) -> Tensor:
        scaled = (logits[:, :-1] / 0.9).log_softmax(-1)
        return scaled.gather(-1, ids[..., None]).squeeze(-1)

    old = log_probabilities(start) + 0.1 * normal(2, length)
    before = log_probabilities(start) + 0.1 * normal(2, length)

    def reference(logits: Tensor) -> Tensor:
        now = log_probabilities(logits)
        ratio = (now - old).exp()
        clipped = ratio.clamp(0.8, 1.4)
        gain = torch.minimum(ratio * advantages[:, None], clipped * advantages[:, None])
        divergence = (before - now).exp() - (before - now) - 1
        return -gain + 0.04 * divergence

    def run(logits: Tensor) -> Tensor:
        given = (old.float(), before.float(), ids, advantages.float())
        out = Function.apply(logits, *given, None, 0.9, 0.04, 0.2, 0.4, False, "grpo", None, False)
        loss: Tensor = out[0]
        return loss

    return Case([start], run, reference, {torch.bfloat16: 8e-2})


# ---- positions and attention -------------------------------------------------------------------


def rotated(x: Tensor) -> Tensor:
    half = x.shape[-1] // 2
    return torch.cat((-x[..., half:], x[..., :half]), -1)


def angles(length: int, width: int) -> tuple[Tensor, Tensor]:
    frequency = 1 / 100 ** (torch.arange(0, width, 2, dtype=torch.float64) / width)
    angle = torch.outer(torch.arange(length, dtype=torch.float64), frequency)
    doubled = torch.cat((angle, angle), -1)[None]
    return doubled.cos(), doubled.sin()


@case
def rope(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.rope import LigerRopeFunction as Function

    length, width = (5, 12) if odd else (4, 16)
    cos, sin = angles(length, width)
    return Case(
        [normal(2, 4, length, width), normal(2, 2, length, width)],
        lambda q, k: Function.apply(q.clone(), k.clone(), cos.to(q.dtype), sin.to(q.dtype)),
        lambda q, k: tuple(x * cos[:, None] + rotated(x) * sin[:, None] for x in (q, k)),
    )


@case
def qwen2vl_mrope(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.qwen2vl_mrope import LigerQwen2VLMRopeFunction as Function

    length, width, section = (5, 12, (2, 2, 2)) if odd else (4, 16, (2, 3, 3))
    parts = [angles(length, width) for _ in range(3)]
    cos, sin = (
        torch.stack([part[i] * (1 + axis / 8) for axis, part in enumerate(parts)]).repeat(
            1, 2, 1, 1
        )
        for i in range(2)
    )
    axes = torch.tensor([axis for axis, extent in enumerate(section * 2) for _ in range(extent)])
    axes = axes % 3
    chosen = [x[axes, :, :, torch.arange(width)].permute(1, 2, 0) for x in (cos, sin)]

    def reference(q: Tensor, k: Tensor) -> tuple[Tensor, ...]:
        c, s = (x[:, None] for x in chosen)
        return tuple(x * c + rotated(x) * s for x in (q, k))

    return Case(
        [normal(2, 4, length, width), normal(2, 2, length, width)],
        lambda q, k: Function.apply(
            q.clone(), k.clone(), cos.to(q.dtype), sin.to(q.dtype), list(section)
        ),
        reference,
    )


@case
def llama4_rope(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.llama4_rope import LigerLlama4RopeFunction as Function

    length, width = (5, 12) if odd else (4, 16)
    angle = angles(length, width)
    turn = torch.complex(angle[0][0, :, : width // 2], angle[1][0, :, : width // 2])

    def turned(x: Tensor) -> Tensor:
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2).contiguous())
        return torch.view_as_real(pairs * turn[None, :, None]).flatten(-2)

    return Case(
        [normal(2, length, 4, width), normal(2, length, 2, width)],
        lambda q, k: Function.apply(q, k, turn.to(torch.complex64)),
        lambda q, k: (turned(q), turned(k)),
    )


@case
def multi_token_attention(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.multi_token_attention import LigerMultiTokenAttentionFunction as Function

    length = 7 if odd else 8
    future = torch.ones(length, length, dtype=torch.bool).triu(1)

    def reference(scores: Tensor, weight: Tensor) -> Tensor:
        probabilities = scores.masked_fill(future, -1e9).softmax(-1)
        mixed = F.conv2d(probabilities, weight, padding=1)
        return mixed.masked_fill(future, 0)

    return Case(
        [normal(2, 2, length, length), normal(2, 2, 3, 3)],
        lambda s, w: Function.apply(s, w, None, 1, 1, 1, 1, False),
        reference,
    )


@case
def fused_neighborhood_attention(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.fused_neighborhood_attention import (
        LigerFusedNeighborhoodAttentionFunction as Function,
    )

    length, width = (13, 12) if odd else (16, 16)
    distance = (torch.arange(length)[:, None] - torch.arange(length)).abs()
    outside = distance > 3

    def reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        scores = (q @ k.transpose(-1, -2) / math.sqrt(width)).masked_fill(outside, -math.inf)
        return scores.softmax(-1) @ v

    return Case(
        [normal(2, 2, length, width) for _ in range(3)],
        lambda q, k, v: Function.apply(q, k, v, 7, 1, None),
        reference,
    )


@case
def attn_res(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.attn_res import LigerAttnResFunction as Function

    rows, columns = sizes(odd)

    def reference(v: Tensor, query: Tensor, weight: Tensor) -> Tensor:
        scores = (rms(v) * weight) @ query
        return (scores.softmax(0)[..., None] * v).sum(0)

    return Case(
        [normal(3, 2, rows, columns), normal(columns) / 4, normal(columns)],
        lambda v, q, w: Function.apply(v, q, w, 1e-6),
        reference,
    )


# ---- mixtures ----------------------------------------------------------------------------------


@case
def fused_moe(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.fused_moe import LigerFusedMoEFunction as Function

    tokens, width, inner, experts = (5, 24, 20, 3) if odd else (8, 32, 16, 4)
    index = torch.stack([torch.randperm(experts)[:2] for _ in range(tokens)]).int()
    weights = normal(tokens, 2).softmax(-1)

    def reference(x: Tensor, up: Tensor, down: Tensor, scale: Tensor) -> Tensor:
        rows = []
        for token in range(tokens):
            total = torch.zeros_like(x[token])
            for slot in range(2):
                expert = int(index[token, slot])
                gate, value = (up[expert] @ x[token]).chunk(2)
                total = total + scale[token, slot] * (down[expert] @ (F.silu(gate) * value))
            rows.append(total)
        return torch.stack(rows)

    return Case(
        [
            normal(tokens, width),
            normal(experts, 2 * inner, width) / 4,
            normal(experts, width, inner) / 4,
            weights,
        ],
        lambda x, up, down, scale: Function.apply(x, up, down, index, scale),
        reference,
        {torch.bfloat16: 5e-2},
    )


@case
def mhc(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.mhc import LigerMHCPostResFunction, LigerMHCPreFunction

    tokens, streams, width = (5, 4, 24) if odd else (8, 4, 64)

    def run(x: Tensor, out: Tensor, pre: Tensor, post: Tensor, mix: Tensor) -> Any:
        return (
            LigerMHCPreFunction.apply(x, pre),
            LigerMHCPostResFunction.apply(x, out, post, mix),
        )

    def reference(x: Tensor, out: Tensor, pre: Tensor, post: Tensor, mix: Tensor) -> Any:
        kept = torch.einsum("noi,nic->noc", mix, x)
        return (pre[..., None] * x).sum(1), kept + post[..., None] * out[:, None]

    return Case(
        [
            normal(tokens, streams, width),
            normal(tokens, width),
            normal(tokens, streams),
            normal(tokens, streams),
            normal(tokens, streams, streams),
        ],
        run,
        reference,
    )


@case
def mhc_coefficients(odd: bool, dtype: torch.dtype) -> Case:
    from liger_kernel.ops.mhc import LigerMHCCoeffsFunction as Function

    tokens, streams, width = (5, 4, 8) if odd else (8, 4, 16)
    count = streams * (streams + 2)

    def reference(x: Tensor, phi: Tensor, bias: Tensor, *alphas: Tensor) -> Any:
        flat = x.flatten(1)
        mix = (flat @ phi) * torch.rsqrt(flat.pow(2).mean(-1, keepdim=True) + 1e-6)
        pre = (mix[:, :streams] * alphas[0] + bias[:streams]).sigmoid() + 1e-2
        middle = slice(streams, 2 * streams)
        post = 2 * (mix[:, middle] * alphas[1] + bias[middle]).sigmoid()
        logits = mix[:, 2 * streams :] * alphas[2] + bias[2 * streams :]
        square = logits.view(-1, streams, streams).softmax(-1) + 1e-6
        square = square / (square.sum(1, keepdim=True) + 1e-6)
        for _ in range(4):
            square = square / (square.sum(2, keepdim=True) + 1e-6)
            square = square / (square.sum(1, keepdim=True) + 1e-6)
        return pre, post, square

    return Case(
        [
            normal(tokens, streams, width),
            normal(streams * width, count) / 8,
            normal(count),
            *(torch.tensor(a, dtype=torch.float64) for a in (0.5, 0.25, 0.75)),
        ],
        lambda *leaves: Function.apply(*leaves, True, 5, 1e-6, 1e-2, 1e-6, 2.0),
        reference,
        {torch.bfloat16: 6e-2},
    )
