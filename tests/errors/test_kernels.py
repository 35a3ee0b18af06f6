"""Kernels and launches that are wrong: the whole text of what the user reads."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest
import torch
from triton.compiler.errors import CompilationError, CompileTimeAssertionFailure

from canopy.errors import KernelError, LaunchError, UnsupportedError
from tests.errors import wrong_kernels as kernels

INT_RANGE = "hint: each axis of a grid is a number from 0 to 2147483647"
INT_KIND = "hint: each axis of a grid is an integer: triton.cdiv(n, BLOCK), not n / BLOCK"
POINTER = "hint: pass a torch tensor for a pointer, and a number for a scalar"


def place(kernel: Any, text: str) -> str:
    """``file:line`` of the kernel's line that holds ``text``."""
    lines, first = inspect.getsourcelines(kernel.fn)
    line = next(first + at for at, line in enumerate(lines) if text in line)
    return f"{kernels.__file__}:{line}"


def refused(error: type[Exception], launch: Callable[[], object]) -> str:
    with pytest.raises(error) as caught:
        launch()
    return str(caught.value)


def floats(count: int = 256) -> torch.Tensor:
    return torch.zeros(count)


# ---- what does not compile ---------------------------------------------------------------------


def test_unsupported_operation() -> None:
    x = torch.zeros(8, dtype=torch.int32)
    text = refused(UnsupportedError, lambda: kernels.gpu_assembly[(1,)](x, BLOCK=8))
    assert text == (
        f"{place(kernels.gpu_assembly, 'inline_asm')}: tl.inline_asm_elementwise holds PTX, "
        "which this target cannot run\n"
        "hint: write it in tl.* operations, or keep it for NVIDIA GPUs behind a tl.constexpr switch"
    )


WRONG_INSIDE = {
    "shapes_differ": (
        "left + right",
        "Cannot make_shape_compatible: incompatible dimensions at index 0: 8 and 16",
        "hint: add axes with x[:, None], or give both tiles the same shape",
    ),
    "types_differ": (
        "tl.dot",
        "Both operands must be same dtype. Got fp32 and int8",
        "hint: convert one side with .to(...)",
    ),
    "remainder_of_pointer": (
        "x % 4",
        "invalid operands of type pointer<fp32> and triton.language.int32",
        "hint: pointers take + and - of integers; load what is there",
    ),
    "undefined_name": (
        "nowhere",
        "NameError('nowhere is not defined')",
        "hint: pass it as a parameter, or make it a tl.constexpr global",
    ),
    "ten_lanes": (
        "tl.arange",
        "arange's range must be a power of 2",
        "hint: round up with triton.next_power_of_2(n), and mask what is beyond n",
    ),
}


@pytest.mark.parametrize("name", WRONG_INSIDE)
def test_shapes_and_types_inside_a_kernel(name: str) -> None:
    kernel = getattr(kernels, name)
    line, fact, hint = WRONG_INSIDE[name]
    text = refused(CompilationError, lambda: kernel[(1,)](floats())).splitlines()
    assert text[0] == f"{place(kernel, line)}: {fact}"
    assert text[1].startswith("at ")  # Triton's excerpt of the source
    assert text[-2].strip() == "^"
    assert text[-1] == hint


def test_mistake_in_a_called_function() -> None:
    text = refused(CompilationError, lambda: kernels.calls_wrong[(1,)](floats())).splitlines()
    assert text[0].startswith(f"{place(kernels.wrong_callee, 'arange(0, 16)')}: Cannot make_shape")
    assert any("wrong_callee(x)" in line for line in text)
    assert text[-1].startswith("hint: ")


def test_static_assert_keeps_its_type() -> None:
    kernel = kernels.statically_refused
    text = refused(CompileTimeAssertionFailure, lambda: kernel[(1,)](floats(), BLOCK=8))
    assert text.startswith(f"{place(kernel, 'static_assert')}: BLOCK is too small\n")


def test_a_failed_compilation_leaves_the_kernel_usable(caches: Any) -> None:
    x = torch.arange(4.0)
    for wrong in (None, 3):
        refused(CompilationError, lambda wrong=wrong: kernels.double[(1,)](x, wrong, 4, BLOCK=4))
    out = torch.empty(4)
    kernels.double[(1,)](x, out, 4, BLOCK=4)
    assert torch.equal(out, x * 2)


# ---- wrong arguments ---------------------------------------------------------------------------


def here() -> str:
    """The place of the launch in `launched_with`."""
    lines, first = inspect.getsourcelines(launched_with)
    return f"{__file__}:{first + next(i for i, line in enumerate(lines) if '[(1,)]' in line)}"


def launched_with(out: object, n: object = 4) -> str:
    with pytest.raises((LaunchError, CompilationError)) as caught:
        kernels.double[(1,)](floats(), out, n, BLOCK=4)
    return str(caught.value)


def test_none() -> None:
    lines = launched_with(None).splitlines()
    assert lines[0].startswith(f"{place(kernels.double, 'tl.store')}: 'NoneType' object")
    assert lines[-1] == (
        "hint: out was launched as None: pass a tensor, or guard it with `is not None`"
    )


def test_number_for_a_pointer() -> None:
    lines = launched_with(3).splitlines()
    assert lines[0].startswith(f"{place(kernels.double, 'tl.store')}: Unsupported ptr type")
    assert lines[-1] == "hint: pass a torch tensor where the kernel loads or stores"


ONE_OF = "expected a tensor, a number or a tuple of these"
DENSE = "expected a dense tensor of a type that Triton has"
REFUSED = [
    ([1.0], f"{ONE_OF}, got list", "pass a tuple, or make a tensor of it with torch.tensor(...)"),
    (
        torch.zeros(4).numpy(),
        f"{ONE_OF}, got ndarray",
        "pass torch.from_numpy(array): it shares the array's memory",
    ),
    (
        torch.zeros(4).numpy()[0],
        f"{ONE_OF}, got float32",
        "pass a Python number: value.item()",
    ),
    ({"a": 1}, f"{ONE_OF}, got dict", POINTER.removeprefix("hint: ")),
    ("text", f"{ONE_OF}, got str", POINTER.removeprefix("hint: ")),
    (
        torch.zeros(4, dtype=torch.complex64),
        f"{DENSE}, got strided of complex64",
        "pass torch.view_as_real(tensor): pairs of floats in the same memory",
    ),
    (
        torch.ones(4).to_sparse(),
        f"{DENSE}, got sparse_coo of float32",
        "pass the parts that a kernel can index, such as values() and indices()",
    ),
]


@pytest.mark.parametrize(
    ("value", "fact", "hint"), REFUSED, ids=[fact.split(", got ")[-1] for _, fact, _ in REFUSED]
)
def test_what_is_no_argument(value: object, fact: str, hint: str) -> None:
    assert launched_with(value) == f"{here()}: argument out: {fact}\nhint: {hint}"


def test_meta_tensor() -> None:
    assert launched_with(torch.zeros(4, device="meta")) == (
        f"{here()}: argument out of double: expected a tensor in CPU memory, got one on device "
        "'meta' without an address here\n"
        "hint: kernels read and write real memory: create the tensor on the CPU"
    )


def test_number_that_does_not_fit() -> None:
    x = torch.zeros(8, dtype=torch.int32)
    text = refused(LaunchError, lambda: kernels.scale[(1,)](x, 2**40, BLOCK=8))
    assert text.endswith(
        ": argument factor of scale: 1099511627776 does not fit into i32\n"
        "hint: annotate the parameter with a wider type, or pass a smaller number"
    )


@pytest.mark.parametrize(
    ("grid", "fact"),
    [
        ((2**31,), "2147483648 along x is outside 0..2147483647"),
        ((1, 2**31), "2147483648 along y is outside 0..2147483647"),
        ((1, 1, -1), "-1 along z is outside 0..2147483647"),
        ((1.5,), "expected an integer along x, got 1.5"),
        (("4",), "expected an integer along x, got '4'"),
    ],
    ids=str,
)
def test_bad_grid(grid: tuple[Any, ...], fact: str) -> None:
    x = floats(4)
    text = refused(LaunchError, lambda: kernels.double[grid](x, x, 4, BLOCK=4))
    assert text.startswith(f"{__file__}:")
    hint = INT_KIND if fact.startswith("expected") else INT_RANGE
    assert text.endswith(f": the grid of double: {fact}\n{hint}")


@pytest.mark.parametrize("grid", [(0,), (2**31 - 1, 0), (0, 2**31 - 1, 1)], ids=str)
def test_empty_grid_runs_nothing(grid: tuple[int, ...]) -> None:
    x, out = torch.ones(4), torch.zeros(4)
    kernels.double[grid](x, out, 4, BLOCK=4)
    assert not out.any()


# ---- assertions --------------------------------------------------------------------------------


def test_assertion_in_a_kernel() -> None:
    x = torch.zeros(64)
    x[19] = -1
    text = refused(KernelError, lambda: kernels.checked[(8,)](x, BLOCK=8, debug=True))
    assert text == (
        f"{place(kernels.checked, 'device_assert')}: device-side assertion failed in program "
        "(2, 0, 0): a negative value"
    )
    x.zero_()
    kernels.checked[(8,)](x, BLOCK=8, debug=True)  # the pool goes on
    assert torch.equal(x, torch.ones(64))


def test_assertions_are_off_unless_debugging() -> None:
    x = torch.full((8,), -1.0)
    kernels.checked[(1,)](x, BLOCK=8)
    assert torch.equal(x, torch.zeros(8))
