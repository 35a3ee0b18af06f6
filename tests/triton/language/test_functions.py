"""Functions mapped over tiles, functions that are not inlined, tuples, descriptors passed on."""

from __future__ import annotations

import pytest

from tests.triton.language import support

torch, triton = support.torch, support.triton
import triton.language as tl  # noqa: E402
from triton.tools.tensor_descriptor import TensorDescriptor  # noqa: E402


@triton.jit
def _order(a, b):
    if a < b:
        return -1
    if a == b:
        return 0
    return 1


@triton.jit
def _collatz(a):
    steps = 0
    while a > 1:
        a = tl.where(a % 2 == 0, a // 2, 3 * a + 1)
        steps += 1
    for i in range(a):
        steps += i
    return steps


@triton.jit
def _divided(a0, a1, b0, b1):
    return a0 // b0, a1 // b1, a0 % b0, a1 % b1


@triton.jit
def _mapped(X, Y, ORDER, STEPS, QUOTIENT, REST, N: tl.constexpr):
    lanes = tl.arange(0, N)
    x, y = tl.load(X + lanes), tl.load(Y + lanes)
    tl.store(ORDER + lanes, tl.map_elementwise(_order, x, y))
    tl.store(STEPS + lanes, tl.map_elementwise(_collatz, x))
    quotient, rest = tl.map_elementwise(_divided, x, y, pack=2)
    tl.store(QUOTIENT + lanes, quotient)
    tl.store(REST + lanes, rest)


def collatz(number: int) -> int:
    steps = 0
    while number > 1:
        number = number // 2 if number % 2 == 0 else 3 * number + 1
        steps += 1
    return steps


def test_map_elementwise_with_branches_loops_and_packs():
    x, y = (torch.randint(1, 60, (64,), dtype=torch.int32) for _ in range(2))
    outputs = [torch.full_like(x, 999) for _ in range(4)]
    _mapped[(1,)](x, y, *outputs, N=64)
    steps = torch.tensor([collatz(number) for number in x.tolist()], dtype=torch.int32)
    expected = [(x > y).int() - (x < y).int(), steps, x // y, x % y]
    for output, lanes in zip(outputs, expected, strict=True):
        assert torch.equal(output, lanes)


@triton.jit(noinline=True)
def _early(x):
    if x > 3:
        return x * 2
    if x < 0:
        return -x
    return x


@triton.jit(noinline=True)
def _block(X, N: tl.constexpr):
    return tl.load(X + tl.arange(0, N))


@triton.jit(noinline=True)
def _two(x, y):
    return x + 1, y + 2


@triton.jit
def _calls(X, Z, N: tl.constexpr):
    i = tl.program_id(0)
    a, b = _two(tl.load(X + i), i)
    tl.store(Z + i, _early(a) + b)
    tl.store(Z + 8 + i * N + tl.arange(0, N), _block(X, N))


def test_functions_that_are_not_inlined():
    x = torch.tensor([-4, 0, 4, 9, 1, 2, 3, -1], dtype=torch.int64)
    z = torch.full((72,), 999)
    _calls[(8,)](x, z, N=8)
    expected = [(2 * a if a > 3 else abs(a)) + i + 2 for i, a in enumerate((x + 1).tolist())]
    assert z[:8].tolist() == expected
    assert torch.equal(z[8:].reshape(8, 8), x.expand(8, 8))


@triton.jit
def _with_tuples(arguments, Z, NUMBERS: tl.constexpr):
    pointer, (number, nothing) = arguments
    tl.static_assert(nothing is None)
    total = (tl.load(pointer), number)
    for i in range(3):
        total = (total[0] + i, total[1] * 2)
    tl.store(Z, total[0])
    tl.store(Z + 1, total[1])
    for i in tl.static_range(len(NUMBERS)):
        tl.store(Z + 2 + i, NUMBERS[i])


def test_tuples_as_arguments_and_in_loops():
    z = torch.zeros(4)
    _with_tuples[(1,)]((torch.tensor([5.0]), (3, None)), z, (7, 8))
    assert z.tolist() == [8, 24, 7, 8]


@triton.jit(noinline=True)
def _made(X, M, N, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    return tl.make_tensor_descriptor(X, [M, N], [N, 1], [ROWS, COLUMNS])


@triton.jit
def _descriptors(source, X, Z, M, N, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    out = _made(Z, M, N, ROWS, COLUMNS)
    row = tl.program_id(0) * ROWS
    for column in range(0, N, COLUMNS):
        if column % (2 * COLUMNS) == 0:
            out = _made(Z, M, N, ROWS, COLUMNS)
        out.store([row, column], source[0].load([row, column]) + source[1])
        out.atomic_add([row, column], tl.full((ROWS, COLUMNS), 1, Z.dtype.element_ty))


@pytest.mark.parametrize("dtype", ["int32", "uint32", "float32", "float16", "bfloat16"])
def test_descriptors_in_tuples_functions_and_loops(dtype: str):
    x = torch.randint(0, 50, (20, 48)).to(getattr(torch, dtype))
    z = torch.zeros_like(x)
    source = TensorDescriptor.from_tensor(x, [8, 32])
    _descriptors[(3,)]((source, 3), x, z, 20, 48, ROWS=8, COLUMNS=32)
    assert torch.equal(z.double(), x.double() + 4)


@triton.jit
def _rows(X, Z, BACK, INDEX, column, M, N, COUNT: tl.constexpr, COLUMNS: tl.constexpr):
    index = tl.load(INDEX + tl.arange(0, COUNT))
    places = tl.arange(0, COUNT)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    rows = tl.make_tensor_descriptor(X, [M, N], [N, 1], [1, COLUMNS]).gather(index, column)
    tl.store(Z + places, rows)
    tl.make_tensor_descriptor(BACK, [M, N], [N, 1], [1, COLUMNS]).scatter(rows, index, column)


@pytest.mark.parametrize("index_dtype", [torch.int16, torch.int32], ids=str)
@pytest.mark.parametrize("dtype", ["float32", "float16", "int8"])
def test_gather_and_scatter_of_rows(dtype: str, index_dtype: torch.dtype):
    x = (torch.randn(64, 64) * 50).to(getattr(torch, dtype))
    index = torch.randperm(64)[:32]
    for column in (0, 16, 48):
        z, back = torch.full((32, 32), 9, dtype=x.dtype), torch.zeros_like(x)
        _rows[(1,)](x, z, back, index.to(index_dtype), column, 64, 64, COUNT=32, COLUMNS=32)
        inside = min(32, 64 - column)
        expected = torch.zeros_like(z)
        expected[:, :inside] = x[index, column : column + 32]
        assert torch.equal(z, expected)
        assert torch.equal(back[index, column : column + 32], z[:, :inside])
        assert back.count_nonzero() == z.count_nonzero()
