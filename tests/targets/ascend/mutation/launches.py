"""Programs of real kernels at odd sizes, with the arguments and the grid of a launch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

import canopy
from canopy.frontends.triton import simulated
from canopy.targets.ascend import load_chip, simulate
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import Program
from tests.targets.ascend.mutation import kernels as own
from tests.triton import kernels

__all__ = ["LAUNCHES", "Launched", "launched"]

Launch = Callable[[], tuple[Any, tuple[int, ...], Sequence[Any], dict[str, Any]]]
LAUNCHES: dict[str, Launch] = {}


@dataclass(slots=True)
class Launched:
    """One launch; `fresh` gives the arguments as they were before it."""

    name: str
    chip: Chip
    program: Program
    grid: tuple[int, ...]
    _args: list[Any]
    _tensors: list[torch.Tensor]
    _before: list[torch.Tensor] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._before = [tensor.clone() for tensor in self._tensors]

    def fresh(self) -> list[Any]:
        for tensor, before in zip(self._tensors, self._before, strict=True):
            tensor.copy_(before)
        return self._args


def launched(name: str, chip: str = "910b2") -> Launched:
    """Launches a kernel once on a chip, and gives what was launched."""
    torch.manual_seed(len(name))
    kernel, grid, args, constants = LAUNCHES[name]()
    tensors = [a for a in args if isinstance(a, torch.Tensor)]
    before = [tensor.clone() for tensor in tensors]
    seen: list[tuple[Any, ...]] = []

    def watched(program: Program, args: Any, grid: Any, *rest: Any, **more: Any) -> Any:
        seen.append((program, list(args), grid))
        return simulate(program, args, grid, *rest, **more)

    simulated.simulate = watched
    try:
        canopy.simulate(kernel, grid, args, constants, chip=chip)
    finally:
        simulated.simulate = simulate
    program, given, extents = seen[-1]
    for tensor, content in zip(tensors, before, strict=True):
        tensor.copy_(content)
    return Launched(name, load_chip(chip), program, extents, given, tensors)


def _launch(function: Launch) -> Launch:
    LAUNCHES[function.__name__.strip("_")] = function
    return function


@_launch
def vector_add() -> Any:
    x, y = torch.randn(2, 1777)
    return kernels.vector_add, (3,), (x, y, torch.zeros(1777), 1777), {"BLOCK": 512}


@_launch
def vector_add_in_strips() -> Any:
    x = torch.randn(2, 60_001)
    return kernels.vector_add, (2,), (x[0], x[1], torch.zeros(60_001), 60_001), {"BLOCK": 32_768}


@_launch
def softmax() -> Any:
    x, out = torch.randn(5, 781), torch.empty(5, 781)
    return (
        kernels.softmax_persistent,
        (2,),
        (out, x, 781, 781, 5, 781),
        {"BLOCK": 1024, "STAGES": 2},
    )


@_launch
def softmax_too_long() -> Any:
    x, out = torch.randn(2, 40_001), torch.empty(2, 40_001)
    arguments = (out, x, 40_001, 40_001, 2, 40_001)
    return kernels.softmax_persistent, (2,), arguments, {"BLOCK": 65_536, "STAGES": 1}


@_launch
def softmax_online() -> Any:
    x, out = torch.randn(4, 781), torch.empty(4, 781)
    return kernels.softmax_online, (2,), (out, x, 4, 781), {"BLOCK": 256}


@_launch
def layer_norm_forward() -> Any:
    x, out = torch.randn(3, 781), torch.empty(3, 781)
    weight, moments = torch.rand(2, 781), torch.zeros(2, 3)
    arguments = (x, out, *weight, *moments, 781, 1e-5)
    return kernels.layer_norm_forward, (3,), arguments, {"BLOCK": 256}


@_launch
def layer_norm_backward() -> Any:
    x, dout, dx = torch.randn(3, 4, 133)
    parts, locks = torch.zeros(2, 2, 133), torch.zeros(4, dtype=torch.int32)
    means, rstds = x.mean(1), x.std(1)
    weight = torch.rand(133)
    arguments = (dx, dout, parts[0], parts[1], x, weight, means, rstds, locks, 133)
    return kernels.layer_norm_backward_x, (4,), arguments, {"GROUPS": 2, "BLOCK": 256}


@_launch
def rms_norm() -> Any:
    x, out = torch.randn(3, 777), torch.empty(3, 777)
    return own.rms_norm, (3,), (x, torch.rand(777), out, 777, 1e-6), {"BLOCK": 1024}


@_launch
def matmul() -> Any:
    a, b, c = torch.randn(33, 200), torch.randn(200, 70), torch.zeros(33, 70)
    arguments = (a, b, c, 33, 70, 200, 200, 1, 70, 1, 70, 1)
    blocks = {"BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_K": 32, "GROUP": 2}
    return kernels.matmul, (6,), arguments, {**blocks, "ACTIVATION": "leaky_relu"}


@_launch
def matmul_persistent() -> Any:
    a, b = torch.randn(64, 96).half(), torch.randn(96, 64).half()
    c = torch.zeros(64, 64, dtype=torch.float16)
    blocks = {"BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_K": 32, "GROUP": 2}
    return kernels.matmul_persistent, (3,), (a, b, c, 64, 64, 96), blocks


@_launch
def batched_product() -> Any:
    a, b = torch.randn(3, 32, 64).half(), torch.randn(3, 64, 32).half()
    arguments = (a, b, torch.randn(32), torch.zeros(3, 32, 32))
    return own.batched_product, (3,), arguments, {"M": 32, "N": 32, "K": 64}


@_launch
def attention_forward() -> Any:
    q, k, v = torch.randn(3, 1, 75, 32)
    out, sums = torch.zeros(1, 75, 32), torch.zeros(1, 75)
    blocks = {"DIM": 32, "BLOCK_M": 64, "BLOCK_N": 32}
    arguments = (q, k, v, out, sums, 75, 75, 0.5)
    return kernels.attention_forward, (2, 1), arguments, {"CAUSAL": True, **blocks}


@_launch
def attention_backward() -> Any:
    q, k, v, dout, dq, dk, dv = torch.randn(7, 1, 37, 16)
    arguments = (q, k, v, dout, dq.zero_(), dk, dv, *torch.randn(2, 1, 37), 37, 0.5)
    blocks = {"DIM": 16, "BLOCK_M": 16, "BLOCK_N": 16}
    return kernels.attention_backward, (3, 1), arguments, {"CAUSAL": False, **blocks}


@_launch
def cross_entropy() -> Any:
    logits, labels = torch.randn(3, 300), torch.tensor([5, 299, 0], dtype=torch.int32)
    arguments = (logits, labels, torch.zeros(3), torch.zeros(3, 300), 300)
    return own.cross_entropy, (3,), arguments, {"BLOCK": 128}


@_launch
def rope() -> Any:
    x, out = torch.randn(2, 3, 64), torch.zeros(2, 3, 64)
    return own.rope, (2,), (x, *torch.randn(2, 2, 32), out, 3), {"HALF": 32}


@_launch
def dropout() -> Any:
    arguments = (torch.randn(777), torch.rand(777) > 0.3, torch.zeros(777), 777, 0.3)
    return kernels.low_memory_dropout, (4,), arguments, {"BLOCK": 256}


@_launch
def transpose() -> Any:
    x, out = torch.randn(37, 53), torch.zeros(53, 37)
    return own.transpose, (2, 2), (x, out, 37, 53), {"BLOCK": 32}


@_launch
def stencil() -> Any:
    return own.stencil, (3,), (torch.randn(1001), torch.zeros(1001), 1001), {"BLOCK": 512}


@_launch
def embedding() -> Any:
    tokens = torch.tensor([3, 0, 9, 3], dtype=torch.int32)
    arguments = (torch.randn(10, 100), tokens, torch.zeros(4, 100), 100)
    return own.embedding, (4,), arguments, {"BLOCK": 64}


@_launch
def in_place() -> Any:
    return own.in_place, (1,), (torch.randn(500), 500, 3), {"BLOCK": 512}
