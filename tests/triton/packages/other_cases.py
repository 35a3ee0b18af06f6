"""xformers, SageAttention, lightning-attention, torchao, GemLite, and what TorchInductor writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from tests.triton.packages.agreement import Case, case, normal

xformers = case("xformers")


@xformers
def rms_norm() -> Case:
    def run(x: Tensor, w: Tensor) -> Tensor:
        from xformers.ops.rmsnorm import rms_norm

        return rms_norm(x, w, 1e-5)

    leaves = [normal(3, 7, 96), normal(96)]
    reference = lambda x, w: F.rms_norm(x, (96,), w, 1e-5)  # noqa: E731
    return Case(leaves, run, reference, device="cuda", differentiable=False)


@xformers
def rms_norm_add() -> Case:
    def run(x: Tensor, y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        from xformers.ops.rmsnorm import rms_norm_add

        made = rms_norm_add(x, y, w, 1e-5)
        return made, x

    def reference(x: Tensor, y: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
        return F.rms_norm(x + y, (96,), w, 1e-5), x + y

    leaves = [normal(3, 7, 96), normal(3, 7, 96), normal(96)]
    return Case(leaves, run, reference, device="cuda", differentiable=False)


@xformers
def scaled_index_add() -> Case:
    index = torch.randperm(9)[:5]

    def run(x: Tensor, source: Tensor, scale: Tensor) -> Tensor:
        from xformers.ops import scaled_index_add

        return scaled_index_add(x.clone(), index.to(x.device), source, scale, 0.5)

    def reference(x: Tensor, source: Tensor, scale: Tensor) -> Tensor:
        return x.index_add(0, index, source * scale, alpha=0.5)

    return Case([normal(9, 6, 64), normal(5, 6, 64), normal(64)], run, reference, device="cuda")


@xformers
def index_select_cat() -> Case:
    places = [torch.randperm(9)[:5], torch.randperm(7)[:3]]

    def run(x: Tensor, y: Tensor) -> Tensor:
        from xformers.ops import index_select_cat

        return index_select_cat([x, y], [place.to(x.device) for place in places])

    def reference(x: Tensor, y: Tensor) -> Tensor:
        return torch.cat([s[i].flatten() for s, i in zip((x, y), places, strict=True)])

    return Case([normal(9, 64), normal(7, 64)], run, reference, device="cuda")


def _sage(name: str, causal: bool, width: int) -> None:
    def build() -> Case:
        def run(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            from sageattention import sageattn

            return sageattn(q, k.clone(), v, is_causal=causal)

        def reference(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            return F.scaled_dot_product_attention(q, k, v, is_causal=causal)

        # Of 1.0.6, the kernels that are not causal count keys beyond the end of a block of 64;
        # those that are read a scale beyond the last, unless the last block of 128 rows has two.
        leaves = [normal(2, 3, 250 if causal else 128, width) for _ in range(3)]
        options = {"dtype": torch.float16, "device": "cuda", "differentiable": False}
        return Case(leaves, run, reference, 3e-2, **options)  # type: ignore[arg-type]

    build.__name__ = name
    case("sageattention")(build)


_sage("attention", False, 64)
_sage("causal", True, 128)
_sage("width_96", False, 96)
_sage("width_96_causal", True, 96)


@case("lightning_attn")
def attention_with_decay() -> Case:
    def run(q: Tensor, k: Tensor, v: Tensor, s: Tensor) -> Tensor:
        from lightning_attn.ops import lightning_attn_func

        return lightning_attn_func(q, k, v, s.detach())

    def reference(q: Tensor, k: Tensor, v: Tensor, s: Tensor) -> Tensor:
        rows = torch.arange(q.shape[2], dtype=torch.float64)
        distance = rows[:, None] - rows[None]
        decay = torch.exp(-s.detach() * distance).masked_fill(distance < 0, 0.0)
        return ((q @ k.transpose(-1, -2)) * decay) @ v

    slopes = torch.tensor([0.01, 0.1, 0.3], dtype=torch.float64).view(3, 1, 1)
    leaves = [normal(2, 3, 150, 32), normal(2, 3, 150, 32), normal(2, 3, 150, 64), slopes]
    return Case(leaves, run, reference)


@case("torchao")
def scaled_int8_mm() -> Case:
    def run(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        from torchao.prototype.quantized_training import int8_mm

        return int8_mm.scaled_int8_mm_cuda(a, b, rows, columns)

    def reference(a: Tensor, b: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
        return (a.double() @ b.double()) * rows[:, None] * columns

    leaves = [
        *(torch.randint(-128, 128, s, dtype=torch.int8) for s in ((70, 90), (90, 50))),
        *(torch.rand(n, dtype=torch.float64) for n in (70, 50)),
    ]
    return Case(leaves, run, reference, device="cuda", differentiable=False)


@case("torchao")
def blockwise_fp8() -> Case:
    """Quantised in blocks of 128 and multiplied: within what eight bits hold."""

    def run(a: Tensor, b: Tensor) -> Tensor:
        from torchao.kernel import blockwise_quantization as blockwise

        left, left_scale = blockwise.fp8_blockwise_act_quant(a, 128)
        right, right_scale = blockwise.fp8_blockwise_weight_quant(b, 128)
        return blockwise.blockwise_fp8_gemm(left, left_scale, right, right_scale, 128)

    leaves = [normal(64, 256), normal(128, 256)]
    reference = lambda a, b: a @ b.T  # noqa: E731
    return Case(leaves, run, reference, 5e-2, torch.bfloat16, device="cuda", differentiable=False)


def _gemlite(bits: int, rows: int) -> None:
    """Weights of few bits in groups of 64, multiplied by ``rows`` rows: one, some or many."""

    def build() -> Case:
        packed = torch.randint(0, 1 << bits, (128, 256), dtype=torch.uint8)
        scales = torch.rand(128 * 4, 1, dtype=torch.float64).half() * 0.1
        zeros = torch.randint(0, 1 << bits, (128 * 4, 1)).half()

        def run(x: Tensor) -> Tensor:
            from gemlite.helper import A16Wn

            layer = A16Wn(device="cuda").from_weights(
                packed.to("cuda"), scales.to("cuda"), zeros.to("cuda"), bits, 64
            )
            return layer(x)

        def reference(x: Tensor) -> Tensor:
            groups = packed.double().view(-1, 64)
            return x @ ((groups - zeros.double()) * scales.double()).view(128, 256).T

        options = {"dtype": torch.float16, "device": "cuda", "differentiable": False}
        return Case([normal(rows, 256)], run, reference, 1e-2, **options)  # type: ignore[arg-type]

    build.__name__ = f"weights_of_{bits}_bits_{rows}_rows"
    case("gemlite")(build)


for _bits in (8, 4, 2, 1):
    for _rows in (1, 7, 70):
        _gemlite(_bits, _rows)


# ---- TorchInductor, whose kernels for the CPU may be written in Triton ---------------------------


def _inductor(
    name: str, leaves: Callable[[], list[Tensor]], function: Callable[..., Any], **options: Any
) -> None:
    def build() -> Case:
        def run(*inputs: Tensor) -> Any:
            import torch._inductor.config as settings
            from torch._inductor.utils import run_and_get_code

            torch._dynamo.reset()
            with settings.patch(cpu_backend="triton", force_disable_caches=True):
                made, code = run_and_get_code(torch.compile(function), *inputs)
            assert any("@triton.jit" in text for text in code)
            return made

        return Case(leaves(), run, function, **options)

    build.__name__ = name
    case("torch")(build)


def _block(x: Tensor, w: Tensor, b: Tensor, up: Tensor, down: Tensor) -> Tensor:
    hidden = F.layer_norm(x, (64,), w, b)
    return x + F.gelu(hidden @ up, approximate="tanh") @ down


def _several(x: Tensor) -> tuple[Tensor, ...]:
    positive = (x > 0).long()
    return (
        *(x.cumsum(1), x.sort(1)[0], x.argmax(1), *torch.var_mean(x, 1), x.logsumexp(0)),
        *(x.gather(1, positive), torch.zeros_like(x).scatter_add(1, positive, x)),
        *(F.pad(x, [1, 2]), torch.where(x > 0, x, x.exp()), (x * 100).int() // 7 % 5),
        F.max_pool2d(x.view(1, 1, *x.shape), 2),
    )


_inductor(
    "inductor_block",
    lambda: [normal(37, 64), normal(64), normal(64), 0.1 * normal(64, 96), 0.1 * normal(96, 64)],
    _block,
)
_inductor("inductor_loss", lambda: [normal(33, 50)], lambda x: F.cross_entropy(x, x.argmin(1)))
_inductor("inductor_several", lambda: [normal(37, 64)], _several, differentiable=False)
