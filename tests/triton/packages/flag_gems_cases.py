"""FlagGems: PyTorch's operators as Triton kernels, each against PyTorch's own in float64."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.triton.packages.agreement import Case, case, normal

gems = case("flag_gems")
Row = tuple[str, Callable[..., Any], Callable[..., Any]]


def _gems() -> Any:
    """The package, told which vendor's kernels to take, to launch as with Triton 3.6, the newest
    that it knows, and to generate no block pointers, which Triton 3.9 has removed."""
    os.environ.setdefault("GEMS_VENDOR", "nvidia")
    import flag_gems
    from flag_gems.utils.codegen_config_utils import CODEGEN_COFIGS

    vars(sys.modules["flag_gems.utils.libentry"])["minor_version"] = 6
    for config in CODEGEN_COFIGS.values():
        if config is not None:
            config.prefer_block_pointer = False
    return flag_gems


def _group(name: str, leaves: Callable[[], list[Tensor]], rows: list[Row], **options: Any) -> None:
    """A case of several operators on the same leaves: (operator, its call, the reference)."""

    def run(*inputs: Tensor) -> tuple[Any, ...]:
        package = _gems()
        made: list[Any] = []
        for operator, call, _ in rows:
            try:
                made += _flat(call(getattr(package, operator), *inputs))
            except Exception as error:
                raise RuntimeError(f"{operator}: {error}"[:400]) from error
        return tuple(made)

    def reference(*inputs: Tensor) -> tuple[Any, ...]:
        return tuple(result for row in rows for result in _flat(row[2](*inputs)))

    def build() -> Case:
        return Case(leaves(), run, reference, differentiable=False, device="cuda", **options)

    build.__name__ = name
    gems(build)


def _flat(results: Any) -> list[Tensor]:
    return [results] if isinstance(results, Tensor) else list(results)


def _same(*names: str) -> list[Row]:
    """Operators of one operand that torch has under the same name."""
    return [(n, lambda op, x, *_: op(x), _of_first(getattr(torch, n))) for n in names]


def _of_first(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, *_: function(x)


def _two(**functions: Callable[..., Any]) -> list[Row]:
    return [(n, lambda op, *xs: op(*xs[:2]), _of_two(f)) for n, f in functions.items()]


def _of_two(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, y, *_: function(x, y)


_UNARY = (
    *("abs", "acos", "angle", "atan", "ceil", "cos", "cosh", "erf", "exp", "exp2", "expm1"),
    *("isfinite", "isinf", "isnan", "neg", "reciprocal", "relu", "round", "sigmoid", "signbit"),
    *("sin", "square", "tan", "tanh", "i0", "nan_to_num"),
)
_group("unary", lambda: [normal(5, 77).clamp(-0.99, 0.99)], _same(*_UNARY), tolerance=1e-5)
_group(
    "unary_positive",
    lambda: [normal(5, 77).abs() + 0.1],
    _same("log", "log10", "rsqrt", "sqrt", "logit", "logical_not"),
    tolerance=1e-4,
)
_group(
    "activations",
    lambda: [3 * normal(5, 77)],
    [
        ("gelu", lambda op, x: op(x), F.gelu),
        ("silu", lambda op, x: op(x), F.silu),
        ("elu", lambda op, x: op(x), F.elu),
        ("celu", lambda op, x: op(x), F.celu),
        ("selu", lambda op, x: op(x), F.selu),
        ("softplus", lambda op, x: op(x), F.softplus),
        ("hardsigmoid", lambda op, x: op(x), F.hardsigmoid),
        ("relu6", lambda op, x: op(x), F.relu6),
        ("log_sigmoid", lambda op, x: op(x), F.logsigmoid),
        ("threshold", lambda op, x: op(x, 0.5, 2.0), lambda x: F.threshold(x, 0.5, 2.0)),
        ("softshrink", lambda op, x: op(x, 0.5), F.softshrink),
    ],
    tolerance=1e-5,
)
_group(
    "binary",
    lambda: [normal(5, 1, 77), normal(6, 77)],
    _two(
        **{name: getattr(torch, name) for name in ("add", "sub", "mul", "maximum", "minimum")},
        **{name: getattr(torch, name) for name in ("eq", "ne", "lt", "le", "gt", "ge")},
        **{name: getattr(torch, name) for name in ("atan2", "copysign", "hypot", "logaddexp")},
        true_divide=torch.true_divide,
        fmin=torch.fmin,
        logical_and=torch.logical_and,
        logical_or=torch.logical_or,
        logical_xor=torch.logical_xor,
    ),
    tolerance=1e-5,
)


def _integers() -> list[Tensor]:
    right = torch.randint(1, 20, (5, 77)) * torch.where(torch.rand(5, 77) < 0.5, -1, 1)
    return [torch.randint(-1000, 1000, (5, 77)), right]


_group(
    "integers",
    _integers,
    [
        *_two(
            bitwise_and_tensor=torch.bitwise_and,
            bitwise_or_tensor=torch.bitwise_or,
            floor_divide=torch.floor_divide,
            remainder=torch.remainder,
        ),
        ("bitwise_not", lambda op, x, y: op(x), lambda x, y: ~x),
        ("sum", lambda op, x, y: op(x), lambda x, y: x.sum()),
        ("cumsum", lambda op, x, y: op(x, 1), lambda x, y: x.cumsum(1)),
        ("sort", lambda op, x, y: op(x, 1)[0], lambda x, y: x.sort(1)[0]),
    ],
)
_group(
    "reductions",
    lambda: [normal(5, 1030)],
    [
        ("sum", lambda op, x: op(x), torch.sum),
        ("sum_dim", lambda op, x: op(x, [1]), lambda x: x.sum(1)),
        ("sum_dim", lambda op, x: op(x, [0], keepdim=True), lambda x: x.sum(0, keepdim=True)),
        ("mean_dim", lambda op, x: op(x, [1]), lambda x: x.mean(1)),
        ("amax", lambda op, x: op(x, [1]), lambda x: x.amax(1)),
        ("max_dim", lambda op, x: op(x, 1), lambda x: x.max(1)),
        ("min_dim", lambda op, x: op(x, 0), lambda x: x.min(0)),
        ("argmax", lambda op, x: op(x, 1), lambda x: x.argmax(1)),
        # Along the last axis it stores without a mask, beyond the result: so the other one.
        ("argmin", lambda op, x: op(x, 0), lambda x: x.argmin(0)),
        ("prod_dim", lambda op, x: op(x[:, :30], 1), lambda x: x[:, :30].prod(1)),
        ("var_mean", lambda op, x: op(x, [1]), lambda x: torch.var_mean(x, [1])),
        ("vector_norm", lambda op, x: op(x, 2, [1]), lambda x: torch.linalg.vector_norm(x, 2, 1)),
        ("all", lambda op, x: op(x), torch.all),
        ("any_dim", lambda op, x: op(x, 1), lambda x: x.any(1)),
        ("count_nonzero", lambda op, x: op(x), torch.count_nonzero),
        ("allclose", lambda op, x: torch.tensor(op(x, x)), lambda x: torch.tensor(True)),
    ],
    tolerance=1e-5,
)
_group(
    "scans_and_sorts",
    lambda: [normal(5, 260)],
    [
        ("cumsum", lambda op, x: op(x, 1), lambda x: x.cumsum(1)),
        ("cummax", lambda op, x: op(x, 1), lambda x: x.cummax(1)),
        ("cummin", lambda op, x: op(x, 1), lambda x: x.cummin(1)),
        ("sort", lambda op, x: op(x, 1), lambda x: x.sort(1)),
        ("sort", lambda op, x: op(x, 1, True), lambda x: x.sort(1, True)),
        ("topk", lambda op, x: op(x, 7), lambda x: x.topk(7)),
        ("masked_select", lambda op, x: op(x, x > 0), lambda x: x[x > 0]),
        ("nonzero", lambda op, x: op(x > 1), lambda x: (x > 1).nonzero()),
        ("flip", lambda op, x: op(x, [1]), lambda x: x.flip(1)),
        ("roll", lambda op, x: op(x, 3, 1), lambda x: x.roll(3, 1)),
        ("quantile", lambda op, x: op(x, 0.3, 1), lambda x: x.quantile(0.3, 1)),
    ],
    tolerance=1e-5,
)
_group(
    "normalisation",
    lambda: [normal(4, 6, 96), normal(96), normal(96)],
    [
        ("softmax", lambda op, x, w, b: op(x, 2), lambda x, w, b: x.softmax(2)),
        ("softmax", lambda op, x, w, b: op(x, 1), lambda x, w, b: x.softmax(1)),
        ("log_softmax", lambda op, x, w, b: op(x, 2), lambda x, w, b: x.log_softmax(2)),
        (
            "layer_norm",
            lambda op, x, w, b: op(x, [96], w, b)[0],
            lambda x, w, b: F.layer_norm(x, [96], w, b),
        ),
        (
            "rms_norm",
            lambda op, x, w, b: op(x, [96], w, 1e-5),
            lambda x, w, b: F.rms_norm(x, [96], w, 1e-5),
        ),
        (
            "group_norm",
            lambda op, x, w, b: op(x, w[:6], b[:6], 4, 6, 96, 3, 1e-5)[0],
            lambda x, w, b: F.group_norm(x, 3, w[:6], b[:6], 1e-5),
        ),
        (
            "batch_norm",
            lambda op, x, w, b: op(x, w[:6], b[:6], w[6:12].clone(), b[6:12].clone(), True)[0],
            lambda x, w, b: F.batch_norm(x, None, None, w[:6], b[:6], training=True),
        ),
    ],
)
_group(
    "products",
    lambda: [normal(37, 50), normal(50, 43), normal(3, 20, 33), normal(3, 33, 18), normal(50)],
    [
        ("mm", lambda op, a, b, c, d, v: op(a, b), lambda a, b, c, d, v: a @ b),
        ("addmm", lambda op, a, b, c, d, v: op(v[:43], a, b), lambda a, b, c, d, v: v[:43] + a @ b),
        ("bmm", lambda op, a, b, c, d, v: op(c, d), lambda a, b, c, d, v: c @ d),
        ("mv", lambda op, a, b, c, d, v: op(a, v), lambda a, b, c, d, v: a @ v),
        ("dot", lambda op, a, b, c, d, v: op(v, v), lambda a, b, c, d, v: v @ v),
        (
            "kron",
            lambda op, a, b, c, d, v: op(a[:3], b[:2]),
            lambda a, b, *_: torch.kron(a[:3], b[:2]),
        ),
        ("trace", lambda op, a, b, c, d, v: op(a), lambda a, b, c, d, v: a.trace()),
        ("tril", lambda op, a, b, c, d, v: op(a), lambda a, b, c, d, v: a.tril()),
        ("triu", lambda op, a, b, c, d, v: op(a, 2), lambda a, b, c, d, v: a.triu(2)),
        ("addr", lambda op, a, b, c, d, v: op(b, v, b[0]), lambda a, b, c, d, v: b.addr(v, b[0])),
    ],
)


def _places() -> list[Tensor]:
    return [
        normal(30, 40),
        torch.randint(0, 30, (12,)),
        torch.randint(0, 30, (9, 40)),
        normal(9, 40),
    ]


_group(
    "indexing",
    _places,
    [
        ("index_select", lambda op, x, i, p, y: op(x, 0, i), lambda x, i, p, y: x[i]),
        ("gather", lambda op, x, i, p, y: op(x, 0, p), lambda x, i, p, y: x.gather(0, p)),
        (
            "scatter_add_",
            lambda op, x, i, p, y: op(x.clone(), 0, p, y),
            lambda x, i, p, y: x.scatter_add(0, p, y),
        ),
        ("embedding", lambda op, x, i, p, y: op(x, i), lambda x, i, p, y: x[i]),
        ("index", lambda op, x, i, p, y: op(x, [i]), lambda x, i, p, y: x[i]),
        (
            "index_add",
            lambda op, x, i, p, y: op(x, 0, i[:9], y),
            lambda x, i, p, y: x.index_add(0, i[:9], y),
        ),
        (
            "masked_fill",
            lambda op, x, i, p, y: op(x, x > 0, 3.0),
            lambda x, i, p, y: x.masked_fill(x > 0, 3.0),
        ),
        ("where_self", lambda op, x, i, p, y: op(x > 0, x, x.neg()), lambda x, i, p, y: x.abs()),
        ("cat", lambda op, x, i, p, y: op([x, y], 0), lambda x, i, p, y: torch.cat([x, y])),
        ("stack", lambda op, x, i, p, y: op([x, x], 1), lambda x, i, p, y: torch.stack([x, x], 1)),
        ("repeat", lambda op, x, i, p, y: op(x, [2, 3]), lambda x, i, p, y: x.repeat(2, 3)),
        ("tile", lambda op, x, i, p, y: op(x, [3]), lambda x, i, p, y: x.tile(3)),
        ("diag", lambda op, x, i, p, y: op(x), lambda x, i, p, y: x.diag()),
        ("isin", lambda op, x, i, p, y: op(p, i), lambda x, i, p, y: torch.isin(p, i)),
        (
            "constant_pad_nd",
            lambda op, x, i, p, y: op(x, [1, 2], 0.5),
            lambda x, i, p, y: F.pad(x, [1, 2], value=0.5),
        ),
    ],
)
_group(
    "images",
    lambda: [normal(2, 4, 12, 14), normal(6, 4, 3, 3), normal(6)],
    [
        (
            "conv2d",
            lambda op, x, w, b: op(x, w, b, padding=1),
            lambda x, w, b: F.conv2d(x, w, b, padding=1),
        ),
        (
            "conv2d",
            lambda op, x, w, b: op(x, w, None, stride=2),
            lambda x, w, b: F.conv2d(x, w, None, stride=2),
        ),
        (
            "max_pool2d_with_indices",
            lambda op, x, w, b: op(x, [2, 2], [2, 2]),
            lambda x, w, b: F.max_pool2d(x, 2, 2, return_indices=True),
        ),
        (
            "avg_pool2d",
            lambda op, x, w, b: op(x, [3, 3], [2, 2]),
            lambda x, w, b: F.avg_pool2d(x, 3, 2),
        ),
        (
            "upsample_nearest2d",
            lambda op, x, w, b: op(x, [24, 28]),
            lambda x, w, b: F.interpolate(x, [24, 28]),
        ),
        ("pixel_unshuffle", lambda op, x, w, b: op(x, 2), lambda x, w, b: F.pixel_unshuffle(x, 2)),
        (
            "reflection_pad2d",
            lambda op, x, w, b: op(x, [1, 2, 2, 1]),
            lambda x, w, b: F.pad(x, [1, 2, 2, 1], "reflect"),
        ),
    ],
)
_group(
    "attention",
    lambda: [normal(2, 4, 70, 64), normal(2, 2, 90, 64), normal(2, 2, 90, 64)],
    [
        (
            "scaled_dot_product_attention",
            lambda op, q, k, v: op(q, k, v, enable_gqa=True),
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, enable_gqa=True),
        ),
        (
            "scaled_dot_product_attention",
            lambda op, q, k, v: op(
                q, k[..., :70, :], v[..., :70, :], is_causal=True, enable_gqa=True
            ),
            lambda q, k, v: F.scaled_dot_product_attention(
                q, k[..., :70, :], v[..., :70, :], is_causal=True, enable_gqa=True
            ),
        ),
    ],
    tolerance=2e-2,
    dtype=torch.float16,
)
