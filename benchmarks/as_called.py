"""A user's program, written for CUDA: Triton kernels called through functions that return new
tensors. `cases_called` runs it unchanged under `canopy run`, and with --eager in plain Python,
where the same functions are torch's.

It answers one line per line of input: `NAME CALLS` runs a function that often and says how many
seconds one call took, `check NAME` says how far its result is from torch's.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
import triton

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks import kernels_elementwise as elementwise
from benchmarks import kernels_rows as rows

EAGER = "--eager" in sys.argv
DEVICE = "cpu" if EAGER else "cuda"
SIDE = int(sys.argv[1])
EPS, P, HALF = 1e-5, 0.25, 64

torch.manual_seed(0)
x, y = torch.randn(SIDE, SIDE, device=DEVICE), torch.randn(SIDE, SIDE, device=DEVICE)
weight, bias = torch.rand(SIDE, device=DEVICE), torch.rand(SIDE, device=DEVICE)
means, rstds = x.mean(dim=1), torch.rsqrt(x.var(dim=1, correction=0) + EPS)
rms = torch.rsqrt(x.square().mean(dim=1) + EPS)
tokens = x.view(-1, SIDE // (2 * HALF), 2 * HALF) if SIDE >= 2 * HALF else x.view(-1, 1, SIDE)
width = tokens.shape[2] // 2
angles = torch.rand(len(tokens), width, device=DEVICE) * 6
cos, sin = angles.cos(), angles.sin()
wide_cos, wide_sin = (torch.cat((t, t), dim=-1)[:, None] for t in (cos, sin))
BLOCK = triton.next_power_of_2(SIDE)


# -- With Triton ----------------------------------------------------------------------------------


def gelu_by_triton():
    out = torch.empty_like(x)
    grid = (SIDE, triton.cdiv(SIDE, 1024))
    elementwise.gelu_bias[grid](x, bias, out, SIDE, BLOCK=1024)
    return out


def softmax_by_triton():
    out = torch.empty_like(x)
    rows.softmax[(SIDE,)](x, out, SIDE, BLOCK=BLOCK)
    return out


def layer_norm_by_triton():
    out = torch.empty_like(x)
    found_means, found_rstds = torch.empty_like(means), torch.empty_like(means)
    rows.layer_norm[(SIDE,)](x, out, weight, bias, found_means, found_rstds, SIDE, EPS, BLOCK=BLOCK)
    return out


def rms_norm_by_triton():
    out, found = torch.empty_like(x), torch.empty_like(rms)
    rows.rms_norm[(SIDE,)](x, out, weight, found, SIDE, EPS, BLOCK=BLOCK)
    return out


def layer_norm_backward_by_triton():
    groups = 64
    dx, dweight, dbias = torch.empty_like(x), torch.empty_like(weight), torch.empty_like(weight)
    parts = torch.empty(2, groups, SIDE, device=DEVICE)
    locks = torch.zeros(2 * groups, dtype=torch.int32, device=DEVICE)
    rows.layer_norm_backward[(SIDE,)](
        dx, y, parts[0], parts[1], x, weight, means, rstds, locks, SIDE, GROUPS=groups, BLOCK=BLOCK
    )
    for part, out in ((parts[0], dweight), (parts[1], dbias)):
        rows.sum_of_rows[(triton.cdiv(SIDE, 128),)](
            part, out, min(groups, SIDE), SIDE, BLOCK_M=32, BLOCK_N=128
        )
    return dx, dweight, dbias


def rms_norm_backward_by_triton():
    programs = 64
    dx, dweight = torch.empty_like(x), torch.empty_like(weight)
    parts = torch.empty(programs, SIDE, device=DEVICE)
    rows.rms_norm_backward[(programs,)](
        dx, y, parts, x, weight, rms, SIDE, SIDE, triton.cdiv(SIDE, programs), BLOCK=BLOCK
    )
    rows.sum_of_rows[(triton.cdiv(SIDE, 128),)](
        parts, dweight, programs, SIDE, BLOCK_M=32, BLOCK_N=128
    )
    return dx, dweight


def rope_by_triton():
    out = torch.empty_like(tokens)
    heads = tokens.shape[1]
    elementwise.rope[(len(tokens),)](
        tokens, cos, sin, out, heads, HALF=width, HEADS=triton.next_power_of_2(heads)
    )
    return out


def swiglu_by_triton():
    out = torch.empty_like(x)
    elementwise.swiglu[(SIDE,)](x, y, out, SIDE, BLOCK=BLOCK)
    return out


def dropout_by_triton():
    out = torch.empty_like(x)
    n = x.numel()
    elementwise.seeded_dropout[(triton.cdiv(n, 4096),)](x, out, n, P, 7, BLOCK=4096)
    return out


# -- With torch -----------------------------------------------------------------------------------


def rms_norm_backward_by_torch():
    leaf_x, leaf_weight = x.detach().requires_grad_(), weight.detach().requires_grad_()
    result = F.rms_norm(leaf_x, (SIDE,), leaf_weight, EPS)
    return lambda: torch.autograd.grad(result, (leaf_x, leaf_weight), y, retain_graph=True)


def layer_norm_backward_by_torch():
    leaves = [t.detach().requires_grad_() for t in (x, weight, bias)]
    result = F.layer_norm(leaves[0], (SIDE,), leaves[1], leaves[2], EPS)
    return lambda: torch.autograd.grad(result, leaves, y, retain_graph=True)


def rope_by_torch():
    first, second = tokens.chunk(2, dim=-1)
    return tokens * wide_cos + torch.cat((-second, first), dim=-1) * wide_sin


FUNCTIONS: dict[str, tuple[Callable, Callable]] = {
    "gelu(x + b)": (gelu_by_triton, lambda: F.gelu(x + bias)),
    "softmax": (softmax_by_triton, lambda: torch.softmax(x, dim=-1)),
    "layer norm": (layer_norm_by_triton, lambda: F.layer_norm(x, (SIDE,), weight, bias, EPS)),
    "rms norm": (rms_norm_by_triton, lambda: F.rms_norm(x, (SIDE,), weight, EPS)),
    "layer norm backward": (layer_norm_backward_by_triton, layer_norm_backward_by_torch()),
    "rms norm backward": (rms_norm_backward_by_triton, rms_norm_backward_by_torch()),
    "rope": (rope_by_triton, rope_by_torch),
    "swiglu": (swiglu_by_triton, lambda: F.silu(x) * y),
    "dropout": (dropout_by_triton, lambda: F.dropout(x, P)),
}


def error_of(name: str) -> float:
    """The largest error, relative to the largest value."""
    ours, theirs = (function() for function in FUNCTIONS[name])
    if name == "dropout":  # random: compare what is kept
        return (torch.where(ours == 0, x / (1 - P), ours) - x / (1 - P)).abs().max().item()
    pairs = zip(*(t if isinstance(t, tuple) else (t,) for t in (ours, theirs)), strict=True)
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


def time_s(name: str, calls: int) -> float:
    function = FUNCTIONS[name][EAGER]
    torch.cuda.synchronize() if not EAGER else None
    begin = time.perf_counter()
    for _ in range(calls):
        result = function()
    torch.cuda.synchronize() if not EAGER else None
    del result
    return (time.perf_counter() - begin) / calls


def main() -> None:
    for line in sys.stdin:
        command, _, rest = line.strip().partition(" ")
        if command == "check":
            answer = error_of(rest)
        else:
            name, _, calls = line.strip().rpartition(" ")
            answer = time_s(name, int(calls))
        print(f"answer {answer!r}", flush=True)


if __name__ == "__main__":
    main()
