"""flash-linear-attention: its operators against recurrences written out step by step."""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.triton.packages.agreement import Case, case, normal

B, T, H, K, V = 2, 70, 2, 32, 64
BF16 = torch.bfloat16
fla = case("fla")


def _op(module: str, name: str) -> Callable[..., Any]:
    """The operator, imported when it runs."""

    def run(*args: Any, **kwargs: Any) -> Any:
        return getattr(importlib.import_module(f"fla.{module}"), name)(*args, **kwargs)

    return run


def _queries(width: int = V) -> list[Tensor]:
    return [normal(B, T, H, K), normal(B, T, H, K), normal(B, T, H, width)]


def _unit(x: Tensor) -> Tensor:
    return F.normalize(x, dim=-1)


def _decay(*shape: int) -> Tensor:
    return F.logsigmoid(normal(*shape) + 2)


# ---- what the operators mean ---------------------------------------------------------------------


def linear(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor | None = None, bonus: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """S = exp(g) S + k v'; o = S'q. With ``bonus`` u, S'q + (u k'q) v instead."""
    state = q.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    out = []
    for t in range(q.shape[1]):
        pair = k[:, t].unsqueeze(-1) * v[:, t].unsqueeze(-2)
        decay = 1.0 if g is None else g[:, t].exp()
        if isinstance(decay, Tensor):
            decay = decay.unsqueeze(-1) if decay.dim() == 3 else decay[..., None, None]
        seen = state + bonus.unsqueeze(-1) * pair if bonus is not None else decay * state + pair
        state = decay * state + pair
        out.append((q[:, t].unsqueeze(-1) * seen).sum(-2) * q.shape[-1] ** -0.5)
    return torch.stack(out, 1), state


def delta(
    q: Tensor, k: Tensor, v: Tensor, g: Tensor | None, beta: Tensor, seen_by: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """S = exp(g) S; S += beta k (v - S'k)'; o = S'q. With ``seen_by`` p, S'p before S decays."""
    state = q.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    out = []
    for t in range(q.shape[1]):
        before = state
        if g is not None:
            step = g[:, t].exp()
            state = state * (step.unsqueeze(-1) if step.dim() == 3 else step[..., None, None])
        probe, held = (k, state) if seen_by is None else (seen_by, before)
        missing = v[:, t] - (probe[:, t].unsqueeze(-1) * held).sum(-2)
        state = state + k[:, t].unsqueeze(-1) * (missing * beta[:, t].unsqueeze(-1)).unsqueeze(-2)
        out.append((q[:, t].unsqueeze(-1) * state).sum(-2) * q.shape[-1] ** -0.5)
    return torch.stack(out, 1), state


def low_rank(
    q: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, g: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """S = exp(g) S + b (S'a)' + k v'; o = S'q."""
    state = q.new_zeros(q.shape[0], q.shape[2], q.shape[3], v.shape[3])
    out = []
    for t in range(q.shape[1]):
        seen = (a[:, t].unsqueeze(-1) * state).sum(-2)
        kept = state if g is None else state * g[:, t].exp().unsqueeze(-1)
        state = kept + b[:, t].unsqueeze(-1) * seen.unsqueeze(-2)
        state = state + k[:, t].unsqueeze(-1) * v[:, t].unsqueeze(-2)
        out.append((q[:, t].unsqueeze(-1) * state).sum(-2) * q.shape[-1] ** -0.5)
    return torch.stack(out, 1), state


def attention(
    q: Tensor, k: Tensor, v: Tensor, bias: Tensor | None = None, window: int | None = None
) -> Tensor:
    """Causal, of grouped heads; ``bias`` is the logarithm of what each step forgets."""
    group = q.shape[2] // k.shape[2]
    k, v = k.repeat_interleave(group, 2), v.repeat_interleave(group, 2)
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    if bias is not None:
        total = bias.cumsum(1).transpose(1, 2)
        scores = scores + total.unsqueeze(-1) - total.unsqueeze(-2)
    rows, columns = torch.arange(q.shape[1])[:, None], torch.arange(q.shape[1])[None]
    hidden = columns > rows
    if window is not None:
        hidden = hidden | (rows - columns >= window)
    scores = scores.masked_fill(hidden, -math.inf)
    return torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)


def polynomial(q: Tensor, k: Tensor, v: Tensor, coefficients: tuple[float, float, float]) -> Tensor:
    """Causal attention whose weights are a polynomial of the score."""
    scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    weights = sum(c * scores**i for i, c in enumerate(coefficients))
    weights = torch.tril(torch.as_tensor(weights))
    total = weights.sum(-1, keepdim=True) + 1e-6
    return torch.einsum("bhqk,bkhd->bqhd", weights / total, v)


# ---- linear attention and its kind ---------------------------------------------------------------


def _final(run: Callable[..., Any], **options: Any) -> Callable[..., Any]:
    return lambda *leaves: run(*leaves, output_final_state=True, **options)


def _linear_kind(name: str, module: str, form: str, make: Callable[[str], Case]) -> None:
    def build() -> Case:
        return make(form)

    build.__name__ = f"{form}_{name}"
    fla(build)


def _forms(module: str, name: str, forms: tuple[str, ...]) -> Callable[..., Any]:
    def register(make: Callable[[Callable[..., Any]], Case]) -> Any:
        for form in forms:
            _linear_kind(name, module, form, lambda f: make(_op(f"ops.{module}", f"{f}_{name}")))
        return make

    return register


@_forms("linear_attn", "linear_attn", ("chunk", "fused_chunk", "fused_recurrent"))
def linear_attn(op: Callable[..., Any]) -> Case:
    return Case(_queries(), _final(op, normalize=False), linear)


@_forms("retention", "retention", ("chunk", "fused_chunk", "fused_recurrent"))
def retention(op: Callable[..., Any]) -> Case:
    def reference(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        gamma = torch.log(1 - torch.exp2(-5 - torch.arange(H, dtype=torch.float64)))
        return linear(q, k, v, gamma.expand(B, T, H))

    return Case(_queries(), _final(op), reference)


@fla
def parallel_retention() -> Case:
    made = retention(_op("ops.retention", "chunk_retention"))
    run = _op("ops.retention", "parallel_retention")
    return Case(made.leaves, run, lambda *a: made.reference(*a)[0])


@_forms("simple_gla", "simple_gla", ("chunk", "fused_chunk", "fused_recurrent"))
def simple_gla(op: Callable[..., Any]) -> Case:
    run = _final(lambda q, k, v, g, **o: op(q, k, v, g=g, **o))
    return Case([*_queries(), _decay(B, T, H)], run, linear, 2e-4)


@_forms("gla", "gla", ("chunk", "fused_recurrent"))
def gla(op: Callable[..., Any]) -> Case:
    return Case([*_queries(), _decay(B, T, H, K)], _final(op), linear, 2e-4)


# In the first layers the decay is so strong that fla's exp() of a chunk's unused rows overflows,
# and times their zeros gives NaN; the last layer does not.
@_forms("lightning_attn", "lightning_attn", ("chunk", "fused_recurrent"))
def lightning_attn(op: Callable[..., Any]) -> Case:
    def reference(q: Tensor, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        heads = torch.arange(H, dtype=torch.float64)
        return linear(q, k, v, (-(8 / H * (1 - 11 / 12)) * heads).expand(B, T, H))

    run = _final(lambda q, k, v, **o: op(q, k, v, layer_idx=11, num_layers=12, **o))
    return Case(_queries(), run, reference)


@_forms("hgrn", "hgrn", ("chunk", "fused_recurrent"))
def hgrn(op: Callable[..., Any]) -> Case:
    def reference(x: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
        held, out = torch.zeros_like(x[:, 0]), []
        for t in range(x.shape[1]):
            held = g[:, t].exp() * held + x[:, t]
            out.append(held)
        return torch.stack(out, 1), held

    run = op if "chunk" in op.__name__ else _final(op)
    leaves = [normal(B, T, 96), _decay(B, T, 96)]
    return Case(leaves, run, lambda x, g: reference(x, g)[0])


@_forms("rwkv6", "rwkv6", ("chunk", "fused_recurrent"))
def rwkv6(op: Callable[..., Any]) -> Case:
    def reference(r: Tensor, k: Tensor, v: Tensor, w: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
        return linear(r, k, v, w, u)

    # The recurrent form leaves the final state out of the gradient of w: the output alone counts.
    leaves = [*_queries(), _decay(B, T, H, K), normal(H, K)]
    return Case(leaves, op, lambda *leaves: reference(*leaves)[0], 3e-4)


# ---- the delta rule and its kind -----------------------------------------------------------------


def _delta_leaves(*gate: int) -> list[Tensor]:
    q, k, v = _queries()
    leaves = [q, _unit(k), v, torch.rand(B, T, H, dtype=torch.float64)]
    return [*leaves, _decay(*gate)] if gate else leaves


@_forms("delta_rule", "delta_rule", ("chunk", "fused_recurrent"))
def delta_rule(op: Callable[..., Any]) -> Case:
    def reference(q: Tensor, k: Tensor, v: Tensor, beta: Tensor) -> tuple[Tensor, Tensor]:
        return delta(q, k, v, None, beta)

    return Case(_delta_leaves(), _final(op), reference, 2e-2, BF16)


@fla
def chunk_gated_delta_rule() -> Case:
    op = _op("ops.gated_delta_rule", "chunk_gated_delta_rule")

    def run(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> Any:
        return op(q, k, v, g, beta, output_final_state=True)

    return Case(_delta_leaves(B, T, H), run, _gated(delta), 2e-2, BF16)


@fla
def fused_recurrent_gated_delta_rule() -> Case:
    op = _op("ops.gated_delta_rule", "fused_recurrent_gated_delta_rule")

    def run(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> Any:
        return op(q, k, v, g=g, beta=beta, output_final_state=True)

    leaves = _delta_leaves(B, T, H)
    return Case(leaves, run, _gated(delta), differentiable=False)


def _gated(meaning: Callable[..., Any]) -> Callable[..., Any]:
    return lambda q, k, v, beta, g: meaning(q, k, v, g, beta)


@fla
def chunk_kda() -> Case:
    op = _op("ops.kda", "chunk_kda")

    def run(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> Any:
        return op(q, k, v, g, beta, output_final_state=True)

    return Case(_delta_leaves(B, T, H, K), run, _gated(delta), 3e-2, BF16)


@fla
def fused_recurrent_kda() -> Case:
    op = _op("ops.kda", "fused_recurrent_kda")

    def run(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> Any:
        return op(q, k, v, g, beta, output_final_state=True)

    return Case(_delta_leaves(B, T, H, K), run, _gated(delta), differentiable=False)


@_forms("comba", "comba", ("chunk",))
def comba(op: Callable[..., Any]) -> Case:
    def run(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor, p: Tensor) -> Any:
        return op(q=q, k=k, v=v, p=p, g=g, beta=beta, output_final_state=True)

    def reference(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor, p: Tensor) -> Any:
        return delta(q, k, v, g, beta, p)

    leaves = _delta_leaves(B, T, H)
    return Case([*leaves, 0.5 * leaves[1]], run, reference, 2e-2, BF16)


@fla
def chunk_gated_delta_product() -> Case:
    op = _op("ops.gated_delta_product", "chunk_gated_delta_product")

    def reference(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, g: Tensor) -> Tensor:
        """Two steps of the delta rule for each token; the first of them decays."""
        decay = torch.stack([g, torch.zeros_like(g)], 2).reshape(B, 2 * T, H)
        asked = torch.stack([q, q], 2).reshape(B, 2 * T, H, K)
        return delta(asked, k, v, decay, beta)[0][:, 1::2]

    leaves = [
        *(normal(B, T, H, K), _unit(normal(B, 2 * T, H, K)), normal(B, 2 * T, H, V)),
        *(torch.rand(B, 2 * T, H, dtype=torch.float64), _decay(B, T, H)),
    ]
    run = lambda q, k, v, beta, g: op(q, k, v, g, beta, num_householder=2)  # noqa: E731
    return Case(leaves, run, reference, 3e-2, BF16)


def _low_rank_leaves() -> list[Tensor]:
    q, k, v = _queries()
    a = _unit(normal(B, T, H, K))
    return [q, 0.3 * k, v, -a, a * torch.rand(B, T, H, 1, dtype=torch.float64)]


@_forms("generalized_delta_rule", "iplr_delta_rule", ("chunk", "fused_recurrent"))
def iplr(op: Callable[..., Any]) -> Case:
    return Case(_low_rank_leaves(), _final(op), low_rank, 3e-2, BF16, differentiable=False)


@_forms("generalized_delta_rule", "dplr_delta_rule", ("chunk", "fused_recurrent"))
def dplr(op: Callable[..., Any]) -> Case:
    leaves = [*_low_rank_leaves(), 0.3 * _decay(B, T, H, K)]
    return Case(leaves, _final(op), low_rank, 3e-2, BF16, differentiable=False)


@_forms("rwkv7", "rwkv7", ("chunk", "fused_recurrent"))
def rwkv7(op: Callable[..., Any]) -> Case:
    def run(q: Tensor, k: Tensor, v: Tensor, a: Tensor, b: Tensor, g: Tensor) -> Any:
        return op(q, g, k, v, a, b, scale=K**-0.5, output_final_state=True)

    leaves = [*_low_rank_leaves(), 0.3 * _decay(B, T, H, K)]
    return Case(leaves, run, low_rank, 3e-2, BF16, differentiable=False)


# ---- attention -----------------------------------------------------------------------------------


def _grouped() -> list[Tensor]:
    return [normal(B, T, 4, K), normal(B, T, 2, K), normal(B, T, 2, V)]


@fla
def parallel_attn() -> Case:
    return Case(_grouped(), _op("ops.attn", "parallel_attn"), attention)


@fla
def parallel_attn_window() -> Case:
    op = _op("ops.attn", "parallel_attn")
    run = lambda q, k, v: op(q, k, v, window_size=17)  # noqa: E731
    return Case(_grouped(), run, lambda q, k, v: attention(q, k, v, window=17))


@fla
def parallel_forgetting_attn() -> Case:
    leaves = [*_grouped()[:2], normal(B, T, 2, K), _decay(B, T, 4)]
    return Case(leaves, _op("ops.forgetting_attn", "parallel_forgetting_attn"), attention)


@fla
def parallel_based() -> Case:
    leaves = [normal(B, T, H, 16), normal(B, T, H, 16), normal(B, T, H, V)]
    reference = lambda q, k, v: polynomial(q, k, v, (1.0, 1.0, 0.5))  # noqa: E731
    return Case(leaves, _op("ops.based", "parallel_based"), reference, 1e-3)


@fla
def fused_chunk_based() -> Case:
    made = parallel_based()
    return Case(made.leaves, _op("ops.based", "fused_chunk_based"), made.reference, 1e-3)


@fla
def parallel_rebased() -> Case:
    leaves = [normal(B, T, H, 16), normal(B, T, H, 16), normal(B, T, H, V)]
    reference = lambda q, k, v: polynomial(q, k, v, (0.0, 0.0, 1.0))  # noqa: E731
    return Case(leaves, _op("ops.rebased", "parallel_rebased"), reference, 1e-3)


def _stick_breaking(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Each key takes its share of what the later ones left."""
    logits = torch.einsum("bqhd,bkhd->bhqk", q, k) * q.shape[-1] ** -0.5
    below = torch.tril(torch.ones_like(logits[0, 0], dtype=torch.bool), -1)
    left = F.logsigmoid(-logits).masked_fill(~below, 0.0)
    after = left.flip(-1).cumsum(-1).flip(-1) - left
    weights = (F.logsigmoid(logits) + after).exp().masked_fill(~below, 0.0)
    return torch.einsum("bhqk,bkhd->bqhd", weights, v)


@fla
def parallel_stickbreaking_attn() -> Case:
    op = _op("ops.stickbreaking_attn", "parallel_stickbreaking_attn")
    return Case(_queries(K), lambda q, k, v: op(q, k, v)[0], _stick_breaking, 1e-3)


# ---- modules -------------------------------------------------------------------------------------


def _norm(x: Tensor, weight: Tensor, bias: Tensor | None = None, eps: float = 1e-5) -> Tensor:
    if bias is None:
        return F.rms_norm(x, x.shape[-1:], weight, eps)
    return F.layer_norm(x, x.shape[-1:], weight, bias, eps)


@fla
def layer_norm() -> Case:
    run = _op("modules.layernorm", "layer_norm")
    return Case([normal(3, 7, 96), normal(96), normal(96)], lambda *a: run(*a, eps=1e-5), _norm)


@fla
def rms_norm() -> Case:
    run = _op("modules.layernorm", "rms_norm")
    return Case([normal(3, 7, 96), normal(96)], lambda x, w: run(x, w, None, eps=1e-5), _norm)


@fla
def l2norm() -> Case:
    run = _op("modules.l2norm", "l2norm")
    reference = lambda x: x * torch.rsqrt(x.pow(2).sum(-1, keepdim=True) + 1e-6)  # noqa: E731
    return Case([normal(3, 7, 2, 96)], run, reference)


@fla
def rms_norm_gated() -> Case:
    run = _op("modules.fused_norm_gate", "rms_norm_gated")
    reference = lambda x, g, w: _norm(x, w) * F.silu(g)  # noqa: E731
    leaves = [normal(3, 7, 96), normal(3, 7, 96), normal(96)]
    return Case(leaves, lambda x, g, w: run(x, g, w, None, eps=1e-5), reference)


@fla
def swiglu() -> Case:
    run = _op("modules.activations", "swiglu")
    return Case([normal(5, 77), normal(5, 77)], run, lambda x, y: F.silu(x) * y)


@fla
def logsigmoid() -> Case:
    return Case([normal(5, 77)], _op("modules.activations", "logsigmoid"), F.logsigmoid)


@fla
def cross_entropy() -> Case:
    op = _op("modules.fused_cross_entropy", "cross_entropy_loss")
    target = torch.randint(0, 101, (33,))
    target[5] = -100

    def reference(x: Tensor) -> Tensor:
        return F.cross_entropy(x, target, label_smoothing=0.1, reduction="none")

    def run(x: Tensor) -> Any:
        return op(x, target.to(x.device), label_smoothing=0.1, inplace_backward=False)[0]

    return Case([normal(33, 101)], run, reference)


@fla
def fused_linear_cross_entropy() -> Case:
    op = _op("modules.fused_linear_cross_entropy", "fused_linear_cross_entropy_loss")
    target = torch.randint(0, 101, (33,))
    reference = lambda x, w: F.cross_entropy(x @ w.T, target)  # noqa: E731
    run = lambda x, w: op(x, target.to(x.device), w)  # noqa: E731
    return Case([normal(33, 48), 0.1 * normal(101, 48)], run, reference)


@fla
def kl_div() -> Case:
    op = _op("modules.fused_kl_div", "fused_kl_div_loss")

    def reference(x: Tensor, y: Tensor, w: Tensor, u: Tensor) -> Tensor:
        p, q = (x @ w.T).log_softmax(-1), (y @ u.T).log_softmax(-1)
        return F.kl_div(p, q, reduction="batchmean", log_target=True)

    leaves = [normal(33, 48), normal(33, 48), 0.1 * normal(101, 48), 0.1 * normal(101, 48)]
    return Case(leaves, op, reference, differentiable=False)


@fla
def causal_conv1d() -> Case:
    op = _op("modules.convolution", "causal_conv1d")

    def reference(x: Tensor, w: Tensor) -> Tensor:
        made = F.conv1d(x.transpose(1, 2), w.unsqueeze(1), groups=64, padding=3)
        return F.silu(made[..., : x.shape[1]]).transpose(1, 2)

    run = lambda x, w: op(x, w, activation="silu")[0]  # noqa: E731
    return Case([normal(2, 19, 64), normal(64, 4)], run, reference)


@fla
def token_shift() -> Case:
    reference = lambda x: F.pad(x, (0, 0, 1, -1)) - x  # noqa: E731
    return Case([normal(2, 19, 64)], _op("modules.token_shift", "token_shift"), reference)


@fla
def rotary() -> Case:
    op = _op("modules.rotary", "rotary_embedding")
    angles = torch.arange(T, dtype=torch.float64)[:, None] * torch.rand(16, dtype=torch.float64)

    def reference(x: Tensor) -> Tensor:
        cos, sin = angles.cos()[:, None], angles.sin()[:, None]
        low, high = x.chunk(2, -1)
        return torch.cat([low * cos - high * sin, low * sin + high * cos], -1)

    run = lambda x: op(x, angles.cos().to(x), angles.sin().to(x))  # noqa: E731
    return Case([normal(B, T, H, 32)], run, reference)


# ---- tools ---------------------------------------------------------------------------------------


@fla
def cumulative_sums() -> Case:
    local = _op("ops.utils", "chunk_local_cumsum")
    whole = _op("ops.utils", "chunk_global_cumsum")

    def reference(g: Tensor) -> tuple[Tensor, ...]:
        parts = torch.split(g, 16, 1)
        chunks = torch.cat([part.cumsum(1) for part in parts], 1)
        turned = torch.cat([part.flip(1).cumsum(1).flip(1) for part in parts], 1)
        return chunks, turned, g.cumsum(1), g.flip(1).cumsum(1).flip(1)

    def run(g: Tensor) -> tuple[Tensor, ...]:
        return local(g, 16), local(g, 16, reverse=True), whole(g), whole(g, reverse=True)

    return Case([normal(B, T, H)], run, reference, differentiable=False)


@fla
def solve_triangular() -> Case:
    op = _op("ops.utils", "solve_tril")
    factors = torch.tril(0.2 * normal(B, 64, H, 64).transpose(1, 2), -1).transpose(1, 2)

    def reference(a: Tensor) -> Tensor:
        return torch.linalg.inv(a.transpose(1, 2) + torch.eye(64)).transpose(1, 2)

    return Case([factors.contiguous()], op, reference, 2e-3, differentiable=False)


@fla
def mean_pooling() -> Case:
    op = _op("ops.utils.pooling", "mean_pooling")
    reference = lambda x: torch.stack([p.mean(1) for p in x.split(16, 1)], 1)  # noqa: E731
    return Case([normal(B, T, H, 32)], lambda x: op(x, 16), reference)


@fla
def softmax_and_logsumexp() -> Case:
    soft, total = (
        _op("ops.utils.softmax", "softmax_fwd"),
        _op("ops.utils.logsumexp", "logsumexp_fwd"),
    )
    reference = lambda x: (x.softmax(-1), x.logsumexp(-1))  # noqa: E731
    run = lambda x: (soft(x), total(x))  # noqa: E731
    return Case([normal(5, 7, 97)], run, reference, differentiable=False)
