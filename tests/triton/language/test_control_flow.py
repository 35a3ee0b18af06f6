"""Loops, branches, early returns, calls, tuples, hints; programs that wait for each other."""

from __future__ import annotations

import itertools

import pytest

from canopy.errors import LaunchError, UnsupportedError
from tests.triton.language.numbers import torch

triton = pytest.importorskip("triton", reason="pip install canopy-nn[triton]")
import triton.language as tl  # noqa: E402


def scalar(value: int):
    return torch.tensor([value], dtype=torch.int32)


@triton.jit
def _sum_of_range(OUT, low, high, STEP: tl.constexpr):
    total = 0
    total = total.to(tl.int64)
    for i in range(low, high, STEP):
        total += i
    tl.store(OUT, total)


@pytest.mark.parametrize(
    ("low", "high", "step"),
    [(2**35, 2**35 + 20, 3), (15, -16, -1), (15, -16, -3), (-18, -22, -1), (5, 5, 1), (9, 2, 3)],
)
def test_ranges(low, high, step, way):
    out = torch.zeros(1, dtype=torch.int64)
    _sum_of_range[(1,)](out, low, high, step)
    assert out.item() == sum(range(low, high, step))


@triton.jit
def _while_in_for(DATA, COUNT):
    for _ in range(10):
        count = tl.load(COUNT)
        while count > 0:
            tl.store(DATA, tl.load(DATA) + 1.0)
            count = count - 2


@triton.jit
def _alternating(OUT, n):
    x, y = 0, 1.5
    for i in range(n - 1, -1, -1):
        if i % 2 == 0:
            x += i
            for _ in range(i):
                y += 0.5
        else:
            while x > 3:
                x -= 2
    tl.store(OUT, x)
    tl.store(OUT + 1, y)


def test_nests(way):
    data = torch.zeros(1)
    _while_in_for[(1,)](data, scalar(7))
    assert data.item() == 40
    out, x, y = torch.zeros(2), 0, 1.5
    _alternating[(1,)](out, 7)
    for i in range(6, -1, -1):
        if i % 2 == 0:
            x, y = x + i, y + 0.5 * i
        else:
            while x > 3:
                x -= 2
    assert out.tolist() == [x, y]


@triton.jit
def _carried(Z, X, n, B: tl.constexpr):
    lanes = tl.arange(0, B)
    pointers = X + lanes
    largest = tl.full((B,), float("-inf"), tl.float32)
    total = tl.zeros((B,), tl.float32)
    place = tl.zeros((B,), tl.int64)
    in_order = True
    for i in range(n):
        x = tl.load(pointers)
        new = tl.maximum(largest, x)
        place = tl.where(x > largest, i, place)
        total = total * tl.exp(largest - new) + tl.exp(x - new)
        largest = new
        pointers += B
        in_order = in_order and (i < 100)
    tl.store(Z + lanes, largest + tl.log(total))
    tl.store(Z + B + lanes, place.to(tl.float32))
    tl.store(Z + 2 * B, in_order.to(tl.float32))


@triton.jit
def _swapped(Z, n, B: tl.constexpr):
    a = tl.arange(0, B)
    b = a * 2
    for _ in range(n):
        a, b = b, a + 1
    tl.store(Z + tl.arange(0, B), a)
    tl.store(Z + B + tl.arange(0, B), b)


def test_carried_values(way):
    x, z = torch.randn(9, 32), torch.zeros(3, 32)
    _carried[(1,)](z, x, 9, 32)
    torch.testing.assert_close(z[0], x.logsumexp(0))
    assert torch.equal(z[1].long(), x.argmax(0))
    assert z[2, 0] == 1
    for n in (0, 1, 2, 5):
        made = torch.zeros(2, 8, dtype=torch.int64)
        _swapped[(1,)](made, n, 8)
        a, b = torch.arange(8), torch.arange(8) * 2
        for _ in range(n):
            a, b = b, a + 1
        assert torch.equal(made, torch.stack([a, b]))


@triton.jit
def _returns(C1, C2, C3, OUT):
    value = 0
    if tl.load(C1):
        if tl.load(C2):
            value = 1
        else:
            return
    else:
        value = 2 if tl.load(C3) else 3
    tl.store(OUT, value)


@triton.jit
def _early(P, Q, n):
    i = tl.program_id(0)
    if i >= n:
        return
    if i == 1:
        tl.store(P + i, 10)
        return
    x = tl.load(Q + i)
    if x < 0:
        tl.store(P + i, -1)
        return
    for j in range(3):
        x += j
    tl.store(P + i, x)


@pytest.mark.parametrize("conditions", list(itertools.product((0, 1), repeat=3)))
def test_early_returns(conditions, way):
    a, b, c = conditions
    out = scalar(-1)
    _returns[(1,)](scalar(a), scalar(b), scalar(c), out)
    assert out.item() == ((1 if b else -1) if a else (2 if c else 3))
    p = torch.zeros(8)
    _early[(8,)](p, torch.tensor([1.0, 2, -3, 4, 5, 6, 7, 8]), 6)
    assert p.tolist() == [4, 10, -1, 7, 8, 9, 0, 0]


@triton.jit
def _branches_of_tiles(Z, X, which, B: tl.constexpr):
    lanes = tl.arange(0, B)
    x = tl.load(X + lanes)
    if which > 0:
        y = x * 2
        mask = lanes < 5
    elif which == 0:
        y = tl.sort(x)
        mask = lanes < 7
    else:
        y = x
        for _ in range(2):
            y = y + x
        mask = lanes >= 0
    z = tl.where(mask, y, -1.0)
    if tl.sum(z) > 1000.0:
        z = z * 0
    tl.store(Z + lanes, z)


@pytest.mark.parametrize("which", [1, 0, -1])
def test_tiles_through_branches(which, way):
    x, z, lanes = torch.randn(16), torch.zeros(16), torch.arange(16)
    _branches_of_tiles[(1,)](z, x, which, 16)
    wanted = {1: x * 2, 0: x.sort().values, -1: x * 3}[which]
    torch.testing.assert_close(z, torch.where(lanes < {1: 5, 0: 7, -1: 16}[which], wanted, -1.0))


@triton.jit
def _pairs(x):
    if x > 3:
        return x, x * 2, (x, x + 5)
    else:  # noqa: RET505
        return x + 1, x * 3, (x + 1, x)


@triton.jit(noinline=True)
def _not_inlined(x):
    return x + 1


@triton.jit
def _tuples(OUT, x):
    a, b, c = _pairs(x)
    nested = (a, (b, c))
    first, (second, third) = nested
    tl.store(OUT, first)
    tl.store(OUT + 1, second)
    tl.store(OUT + 2, third[0])
    tl.store(OUT + 3, _not_inlined(third[1]))


@triton.jit
def _tuple_argument(OUT, tensors):
    total = 0.0
    for i in tl.static_range(len(tensors)):
        total += tl.load(tensors[i])
    tl.store(OUT, total)


def test_tuples_and_calls(way):
    for x, wanted in ((2, [3, 6, 3, 3]), (9, [9, 18, 9, 15])):
        out = torch.zeros(4, dtype=torch.int32)
        _tuples[(1,)](out, x)
        assert out.tolist() == wanted
    out = torch.zeros(1)
    _tuple_argument[(1,)](out, (torch.tensor([1.0]), torch.tensor([2.5])))
    assert out.item() == 3.5


@triton.jit
def _hinted(Z, X, n, STAGES: tl.constexpr, SPECIALIZED: tl.constexpr):
    total = tl.zeros((16,), tl.float32)
    lanes = tl.max_contiguous(tl.multiple_of(tl.arange(0, 16), 16), 16)
    tl.assume(n > 0)
    for i in tl.range(
        0,
        n,
        num_stages=STAGES,
        warp_specialize=SPECIALIZED,
        disallow_acc_multi_buffer=True,
    ):
        total += tl.load(X + i * 16 + lanes)
        tl.debug_barrier()
    tl.store(Z + lanes, total)


@triton.jit
def _flattened(OUT, bound):
    k = 1
    for i in tl.range(0, bound, flatten=True):
        for j in tl.range(0, bound, loop_unroll_factor=2):
            tl.store(OUT + i * 32 + j, k)
            k += 1
    i = 0
    while tl.condition(i < bound, disable_licm=True):
        i = i + 1
    tl.store(OUT + 31, i)


@pytest.mark.parametrize("specialized", [False, True])
@pytest.mark.parametrize("stages", [None, 1, 4])
def test_hints_have_no_effect(stages, specialized):
    x, z = torch.randn(5, 16), torch.zeros(16)
    options = {"num_warps": 8, "num_stages": 4, "num_ctas": 2, "maxnreg": 128}
    _hinted[(1,)](z, x, 5, stages, specialized, **options)
    torch.testing.assert_close(z, x.sum(0))
    out = torch.zeros(32, 32, dtype=torch.int32)
    _flattened[(1,)](out, 10)
    assert torch.equal(out[:10, :10].flatten(), torch.arange(1, 101, dtype=torch.int32))
    assert out[0, 31] == 10


@triton.jit
def _persistent(A, B, C, M, N, K, BM: tl.constexpr, BN: tl.constexpr, BK: tl.constexpr):
    columns = tl.cdiv(N, BN)
    tiles = tl.cdiv(M, BM) * columns
    for tile in tl.range(tl.program_id(0), tiles, tl.num_programs(0), flatten=True):
        m = tile // columns * BM + tl.arange(0, BM)
        n = tile % columns * BN + tl.arange(0, BN)
        total = tl.zeros((BM, BN), tl.float32)
        for start in range(0, K, BK):
            k = start + tl.arange(0, BK)
            a = tl.load(A + m[:, None] * K + k, (m[:, None] < M) & (k < K), 0.0)
            b = tl.load(B + k[:, None] * N + n, (k[:, None] < K) & (n < N), 0.0)
            total = tl.dot(a, b, total)
        tl.store(C + m[:, None] * N + n, total, (m[:, None] < M) & (n < N))


def test_persistent_programs(way):
    a, b, c = torch.randn(50, 33), torch.randn(33, 70), torch.zeros(50, 70)
    _persistent[(3,)](a, b, c, 50, 70, 33, 16, 32, 16)
    torch.testing.assert_close(c, a @ b, rtol=1e-4, atol=1e-4)


@triton.jit
def _meet(COUNT, SEEN, n):
    i = tl.program_id(0) + tl.num_programs(0) * tl.program_id(1)
    tl.device_assert(n < 100, "too many")
    tl.atomic_add(COUNT, 1, sem="acq_rel")
    while tl.atomic_add(COUNT, 0, sem="acquire") < n:
        pass
    tl.store(SEEN + i, tl.load(COUNT))


def test_cooperative_launch():
    count, seen = scalar(0), torch.zeros(12, dtype=torch.int32)
    _meet[(6, 2)](count, seen, 12, launch_cooperative_grid=True)
    assert seen.tolist() == [12] * 12
    with pytest.raises(RuntimeError, match=r"device-side assert.*too many"):
        _meet[(4,)](count, seen, 200, launch_cooperative_grid=True, debug=True)
    with pytest.raises(LaunchError, match="5000 programs"):
        _meet[(5000,)](count, seen, 5000, launch_cooperative_grid=True)


@triton.jit
def _inline_asm(X):
    lanes = tl.arange(0, 16)
    x = tl.inline_asm_elementwise(
        "mov.u32 $0, $1;", "=r,r", [tl.load(X + lanes)], tl.int32, True, 1
    )
    tl.store(X + lanes, x)


def test_inline_asm_is_refused():
    with pytest.raises(UnsupportedError, match=r"test_control_flow\.py:\d+: .*PTX"):
        _inline_asm[(1,)](torch.zeros(16, dtype=torch.int32))
