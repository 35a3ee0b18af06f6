"""NPU programs printed as Ascend C: the text runs on the CPU header and gives the same results."""

from __future__ import annotations

import re

import numpy as np
import pytest

pytest.importorskip("ziglang", reason="pip install canopy-nn[cuda]")

from canopy.ascend import RawKernel
from canopy.errors import CanopyError
from canopy.ir.interpreter import Interpreter
from canopy.targets.ascend import load_chip, lower_kernel
from canopy.targets.ascend.text import Printed, print_program
from tests.targets.ascend.kernels import softmax

CHIP = load_chip("910b2")
BLOCKS = 3


def printed_softmax(lanes: int) -> Printed:
    return print_program(lower_kernel(softmax(lanes), CHIP), CHIP)


def run(printed: Printed, source: str, lanes: int, n: int, rows: int) -> None:
    """The text's result and the interpreter's are the same, or this raises."""
    x = np.random.default_rng(n).standard_normal((rows, n)).astype(np.float32)
    result, expected = np.full_like(x, np.nan), np.full_like(x, np.nan)
    kernel = RawKernel(source, printed.name, filename="softmax.cpp")
    workspace = np.full(printed.workspace_bytes * BLOCKS, 0xCB, np.uint8)
    more = [workspace] if printed.workspace_bytes else []
    kernel(BLOCKS, [x, result, n, n, *more, rows, 1, 1])
    Interpreter(softmax(lanes), [x, expected, n, n], (rows,)).run()
    np.testing.assert_allclose(result, expected, rtol=3e-6, atol=1e-8)
    assert kernel.notes == ()


@pytest.mark.parametrize(("lanes", "sizes"), [(128, (1, 77, 128)), (65536, (65001,))])
def test_softmax_equals_the_interpreter(lanes: int, sizes: tuple[int, ...]) -> None:
    """A row in one strip, and a row that goes through the workspace."""
    printed = printed_softmax(lanes)
    for n in sizes:
        run(printed, printed.source, lanes, n, 7)


def test_the_text_is_readable() -> None:
    source = printed_softmax(128).source
    assert "never run on a card" in source
    assert re.search(r"// softmax\.py:10\n +Exp\(\w+, \w+, 128\);", source)
    assert "WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);" in source
    assert "GM_ADDR x, GM_ADDR o, int32_t s, int32_t n, int32_t grid_x" in source


# Of the text: a wrong length, offset, event, or what is left out.
MUTANTS = [
    ("Exp(v3, t, 128)", "Exp(v3, t, 64)"),
    ("Adds(t, v, s24, 128)", "Adds(t, v[8], s24, 120)"),
    ("xGm[s10]", "xGm[s10 + 1]"),
    ("oGm[s10], t2", "oGm[s10], v3"),
    ("        WaitFlag<HardEvent::MTE2_V>(EVENT_ID0);\n", ""),
    ("        SetFlag<HardEvent::V_MTE3>(EVENT_ID0);\n", ""),
    ("Least(128, n)", "128"),
    ("(128, 1536)", "(128, 3500)"),
    ("Brcb(v6, v5, 1, ", "Brcb(v6, v5, 2, "),
    ("Div(t2, v3, v6, 64, 2,", "Div(t2, v3, v6, 64, 3,"),
]


@pytest.mark.parametrize(("old", "new"), MUTANTS)
def test_mutants_of_the_text_are_caught(old: str, new: str) -> None:
    printed = printed_softmax(128)
    assert old in printed.source, printed.source
    with pytest.raises((CanopyError, AssertionError)):
        run(printed, printed.source.replace(old, new, 1), 128, 101, 7)


def test_a_product_runs_on_cube_and_vector_core() -> None:
    torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
    pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
    import canopy
    from tests.targets.ascend import printed
    from tests.triton.kernels import matmul

    a, b = torch.randn(70, 90).half(), torch.randn(90, 50).half()
    c = torch.full((70, 50), torch.nan).half()
    before = printed.counts["printed and right"]
    with printed.texts_run_beside():
        args = (a, b, c, 70, 50, 90, *a.stride(), *b.stride(), *c.stride())
        sizes = {"BLOCK_M": 32, "BLOCK_N": 32, "BLOCK_K": 32, "GROUP": 2, "ACTIVATION": ""}
        canopy.simulate(matmul, (6,), args, sizes)
    assert printed.counts["printed and right"] == before + 1
    torch.testing.assert_close(c.float(), a.float() @ b.float(), atol=2e-2, rtol=2e-2)
