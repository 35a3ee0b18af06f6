"""Operators that programs register for CUDA with ``torch.library``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

torch = pytest.importorskip("torch")

import canopy  # noqa: E402

_names = itertools.count()


@pytest.fixture
def space() -> Iterator[str]:
    with canopy.cuda_as("cpu"):
        yield f"canopy_test_{next(_names)}"


def test_a_custom_operator_for_cuda_alone(space: str) -> None:
    @torch.library.custom_op(f"{space}::scale", mutates_args=(), device_types="cuda")
    def scale(x: torch.Tensor, by: float = 2.0) -> torch.Tensor:
        assert x.is_cuda
        made = torch.empty(x.shape, device=x.device)
        assert made.is_cuda
        return made.copy_(x * by)

    x = torch.randn(5, device="cuda")
    made = scale(x, by=3.0)
    assert made.is_cuda
    torch.testing.assert_close(made.cpu(), x.cpu() * 3)


def test_functions_for_both_places(space: str) -> None:
    @torch.library.custom_op(f"{space}::where", mutates_args=(), device_types="cpu")
    def where(xs: list[torch.Tensor]) -> torch.Tensor:
        return xs[0] + 1

    @where.register_kernel("cuda")
    def _(xs: list[torch.Tensor]) -> torch.Tensor:
        return xs[0] + 2

    assert where([torch.zeros(1)]).item() == 1
    assert where([torch.zeros(1, device="cuda")]).item() == 2


def test_a_library_and_its_gradient(space: str) -> None:
    library = torch.library.Library(space, "DEF")
    library.define("square(Tensor x) -> Tensor")
    library.impl("square", lambda x: x * x, "CUDA")
    square = getattr(torch.ops, space).square
    torch.library.register_autograd(
        f"{space}::square",
        lambda ctx, grad: 2 * ctx.saved_tensors[0] * grad,
        setup_context=lambda ctx, inputs, output: ctx.save_for_backward(inputs[0]),
        lib=library,
    )
    x = torch.randn(5, device="cuda", requires_grad=True)
    square(x).sum().backward()
    torch.testing.assert_close(x.grad.cpu(), 2 * x.detach().cpu())
