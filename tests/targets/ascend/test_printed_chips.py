"""What printed Ascend C says differently by chip and type: products of 8 and 32 bits in every
layout, atomics whose old value is read, scalars that the cube core gets from the vector core."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

pytest.importorskip("ziglang", reason="pip install canopy-nn[cuda]")
torch = pytest.importorskip("torch", reason="pip install canopy-nn[torch]")
triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")

import canopy  # noqa: E402
from tests.targets.ascend import printed, text_kernels  # noqa: E402


@pytest.fixture(autouse=True)
def beside() -> Iterator[None]:
    """All launches are printed, too, and their results compared."""
    with printed.texts_run_beside():
        before = printed.counts["printed and right"]
        yield
    assert printed.counts["printed and right"] > before


def operands(m: int, n: int, k: int, dtype: Any, turned: str) -> tuple[Any, Any]:
    if dtype is torch.int8:
        a, b = (torch.randint(-99, 99, shape, dtype=dtype) for shape in ((m, k), (k, n)))
    else:
        a, b = torch.randn(m, k, dtype=dtype), torch.randn(k, n, dtype=dtype)
    a = a.T.contiguous().T if "a" in turned else a
    return a, (b.T.contiguous().T if "b" in turned else b)


@pytest.mark.parametrize("turned", ["", "a", "b", "ab"])
@pytest.mark.parametrize("dtype", [torch.int8, torch.float32], ids=["i8", "f32"])
def test_products(dtype: Any, turned: str) -> None:
    m, n, k = 70, 50, 90
    a, b = operands(m, n, k, dtype, turned)
    c = torch.full((m, n), -7, dtype=torch.int32 if dtype is torch.int8 else dtype)
    sizes = {"BM": 64, "BN": 32, "BK": 32}
    args = (a, b, c, m, n, k, *a.stride(), *b.stride())
    canopy.simulate(text_kernels.product, (2, 2), args, sizes)
    expected = a.double() @ b.double()
    torch.testing.assert_close(c.double(), expected, atol=1e-4, rtol=1e-4)


def test_a_tile_of_32_bits_is_loaded_both_ways() -> None:
    q, k = torch.randn(32, 64), torch.randn(32, 64)
    out, back = torch.full((32, 32), torch.nan), torch.full((64, 64), torch.nan)
    canopy.simulate(text_kernels.both_ways, (1,), (q, k, out, back), {"N": 32, "D": 64})
    torch.testing.assert_close(out, q @ k.T, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(back, q.T @ k, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("chip", ["910b2", "950pr"])
def test_atomics_give_the_old_value(chip: str) -> None:
    """Cores take turns where the chip has no atomics of scalar code. The order of programs is free,
    so the test asks for what holds in any."""
    programs, block = 6, 8
    memory = torch.zeros(4, dtype=torch.int32)
    old = torch.full((1,), -1, dtype=torch.int32).expand(programs).contiguous()
    bits, half_sum = torch.zeros(3, dtype=torch.int32), torch.zeros(2, dtype=torch.float16)
    args = (memory, old, bits, half_sum, 43)
    with printed.comparing_only("memory", "bits", "half_sum") as texts:
        canopy.simulate(text_kernels.update, (programs,), args, {"BLOCK": block}, chip=chip)
    assert sorted(texts["old"].view("int32").tolist()) == list(range(programs))


def test_the_cube_core_gets_scalars_of_the_vector_core() -> None:
    tiles, side = 5, 16
    a, b = torch.randn(tiles, side, side), torch.randn(tiles, side, side)
    c = torch.full((tiles, side, side), torch.nan)
    counter, taken = torch.zeros(1, dtype=torch.int32), torch.zeros(tiles, dtype=torch.int32)
    with printed.comparing_only("c", "taken"):
        args = (counter, a, b, c, taken)
        canopy.simulate(text_kernels.next_tile, (3,), args, {"TILES": tiles, "S": side})
    torch.testing.assert_close(c, a @ b, atol=1e-4, rtol=1e-4)
    assert taken.tolist() == [1] * tiles
