"""Atomics of all kinds, types, orders and scopes: one program, many programs, real threads."""

from __future__ import annotations

import numpy as np
import pytest

from tests.triton.language import support
from tests.triton.language.support import assert_lanes, rounded

torch, triton = support.torch, support.triton
import triton.language as tl  # noqa: E402

WORDS = ["int32", "uint32", "int64", "uint64"]
KINDS = {
    "add": (np.add, [*WORDS, "float16", "bfloat16", "float32", "float64"]),
    "max": (np.maximum, [*WORDS, "float32", "float64"]),
    "min": (np.minimum, [*WORDS, "float32", "float64"]),
    "and": (np.bitwise_and, WORDS),
    "or": (np.bitwise_or, WORDS),
    "xor": (np.bitwise_xor, WORDS),
    "xchg": (lambda old, new: new, [*WORDS, "float32", "float64"]),
}
ORDERS = [None, "relaxed", "acquire", "release", "acq_rel"]
SCOPES = [None, "cta", "gpu", "sys"]


@pytest.mark.parametrize(("kind", "dtype"), [(k, d) for k in KINDS for d in KINDS[k][1]])
def test_read_modify_write(kind: str, dtype: str, tmp_path):
    """Lanes that share an address act one after another; masked lanes do not act."""
    index = list(KINDS).index(kind) + KINDS[kind][1].index(dtype)
    order, scope = ORDERS[index % len(ORDERS)], SCOPES[index % len(SCOPES)]
    kernel = support.kernel_of(
        f"""
@triton.jit
def kernel(X, Z, Old, One, N: tl.constexpr):
    lanes = tl.arange(0, N)
    active = lanes % 5 != 2
    x = tl.load(X + lanes)
    old = tl.atomic_{kind}(Z + lanes // 2, x, mask=active, sem={order!r}, scope={scope!r})
    tl.static_assert(old.dtype == x.dtype)
    tl.store(Old + lanes, old, mask=active)
    tl.store(One + 1, tl.atomic_{kind}(One, tl.load(X), sem={order!r}, scope={scope!r}))
    tl.atomic_{kind}(One, tl.load(X), mask=tl.program_id(0) > 0)
""",
        tmp_path,
    )
    function = KINDS[kind][0]
    low = 0 if dtype.startswith("u") else -100
    x = rounded(np.random.default_rng(index).integers(low, 100, 64), dtype)
    memory = rounded(np.arange(40) - (0 if low == 0 else 20), dtype)
    z, one = support.tensor(memory, dtype), support.tensor(memory[5:7], dtype)
    old = support.poisoned(dtype)
    kernel[(1,)](support.tensor(x, dtype), z, old, one, N=64)
    expected, before = memory.copy(), support.array(support.poisoned(dtype)).copy()
    for lane in range(64):
        if lane % 5 != 2:
            before[lane] = expected[lane // 2]
            expected[lane // 2] = rounded(function(expected[lane // 2], x[lane]), dtype)
    assert_lanes(z, expected, "memory")
    if not (kind in ("max", "min") and "float" in dtype):  # Triton has those act by sign
        assert_lanes(old, before, "old values")
    assert_lanes(one, rounded(np.array([function(memory[5], x[0]), memory[5]]), dtype), "scalar")


@triton.jit
def _count(COUNTER, TOTAL, LARGEST, N: tl.constexpr):
    lanes = tl.arange(0, N)
    tl.atomic_add(COUNTER, 1)
    tl.atomic_add(TOTAL + lanes % 3, (lanes + tl.program_id(0)).to(TOTAL.dtype.element_ty))
    if tl.program_id(0) < 1000:
        tl.atomic_max(LARGEST, tl.program_id(0))


@pytest.mark.parametrize("dtype", ["int32", "int64", "float32", "float64", "float16"])
def test_concurrent_programs_lose_nothing(dtype: str):
    programs = {"float16": 3, "float32": 300}.get(dtype, 4096)  # sums stay exact
    counter = torch.zeros(1, dtype=torch.int64)
    largest = torch.zeros(1, dtype=torch.int32)
    total = torch.zeros(3, dtype=getattr(torch, dtype))
    _count[(programs,)](counter, total, largest, N=16)
    assert counter.item() == programs
    assert largest.item() == min(programs, 1000) - 1
    numbers = np.arange(16)[None, :] + np.arange(programs)[:, None]
    sums = [numbers[:, lane::3].sum() for lane in range(3)]
    assert total.double().tolist() == sums


@triton.jit
def _swap(X, OLD, N: tl.constexpr, KIND: tl.constexpr, SEM: tl.constexpr):
    lanes = tl.program_id(0) * N + tl.arange(0, N)
    zero, two = tl.full((N,), 0, KIND), tl.full((N,), 2, KIND)
    tl.store(OLD + lanes, tl.atomic_cas(X + lanes, zero, two, sem=SEM))


@pytest.mark.parametrize("dtype", ["int16", *WORDS, "float16", "bfloat16", "float32", "float64"])
def test_compare_and_swap(dtype: str):
    before = torch.zeros(64, dtype=getattr(torch, dtype))
    before[1::2] = 1
    for order in ORDERS if dtype == "int32" else ORDERS[:1]:
        x, old = before.clone(), support.poisoned(dtype)
        _swap[(2,)](x, old, N=32, KIND=getattr(tl, dtype), SEM=order)
        assert x[0::2].eq(2).all()
        assert x[1::2].eq(1).all()
        assert torch.equal(old, before)


@triton.jit
def _locked_add(data, lock, KIND: tl.constexpr, SEM: tl.constexpr):
    free = tl.full((1,), 0, KIND).item()
    taken = tl.full((1,), 1, KIND).item()
    pointers = data + tl.arange(0, 128)
    while tl.atomic_cas(lock, free, taken, SEM) == 1:
        pass
    tl.store(pointers, tl.load(pointers) + 1.0)
    tl.debug_barrier()
    tl.atomic_xchg(lock, free)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_spin_lock_between_programs(dtype: str, order: str | None):
    lock, data = torch.zeros(1, dtype=getattr(torch, dtype)), torch.zeros(128)
    _locked_add[(2000,)](data, lock, KIND=getattr(tl, dtype), SEM=order)
    assert data.eq(2000).all()


@triton.jit
def _extremes(X, HIGH, LOW):
    tl.atomic_max(HIGH, tl.load(X))
    tl.atomic_min(LOW, tl.load(X))


def test_minimum_and_maximum_of_negative_zero():
    limits = torch.finfo(torch.float32)
    high, low = torch.tensor([limits.min]), torch.tensor([limits.max])
    _extremes[(1,)](torch.tensor([-0.0]), high, low)
    assert torch.signbit(high).item()
    assert torch.signbit(low).item()
    assert high.item() == low.item() == 0


@triton.jit
def _scattered(X, INDEX, Z, n, step, N: tl.constexpr):
    lanes = tl.arange(0, N)
    active = (lanes < n) & (lanes % step != 0)
    index = tl.load(INDEX + lanes, active)
    tl.atomic_add(Z + index, tl.load(X + lanes, active), active, sem="relaxed")


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("step", [1, 2, 3])
def test_scattered_sums(dtype: str, step: int):
    x = torch.randint(-8, 8, (50,)).to(getattr(torch, dtype))
    index = torch.randint(0, 11, (50,))
    z = torch.ones(11, dtype=x.dtype)
    expected = z.clone()
    for lane in range(50):
        if lane % step:
            expected[index[lane]] += x[lane]
    _scattered[(1,)](x, index, z, 50, step, N=64)
    assert torch.equal(z, expected)


@triton.jit
def _claim(INDEX, Z, SIZE: tl.constexpr):
    rows = tl.arange(0, SIZE)[:, None]
    row = tl.atomic_add(INDEX + rows, val=rows, sem="relaxed")
    tl.store(Z + row.to(tl.uint32) * SIZE + tl.arange(0, SIZE)[None, :], 5)


@pytest.mark.parametrize("dtype", ["int32", "float16"])
@pytest.mark.parametrize("size", [1, 4, 16])
def test_old_values_are_used_as_addresses(dtype: str, size: int):
    index = torch.arange(size).to(getattr(torch, dtype))
    z = torch.zeros((size, size), dtype=index.dtype)
    _claim[(1,)](index, z, SIZE=size)
    assert z.eq(5).all()


@triton.jit
def _moved(X, Z, N: tl.constexpr):
    lanes = tl.arange(0, N)
    tl.atomic_store(Z + lanes, tl.atomic_load(X + lanes, sem="acquire"), sem="release")
    tl.atomic_store(Z + N, tl.atomic_load(X))


@pytest.mark.parametrize("dtype", support.NUMBERS)
def test_atomic_load_and_store(dtype: str):
    x = support.tensor(support.random(dtype, seed=3), dtype)
    z = support.poisoned(dtype, 65)
    _moved[(1,)](x, z, N=64)
    assert torch.equal(z, torch.cat([x, x[:1]]))


@triton.jit
def _polled(FLAG, Z, expected, timeout):
    tl.store(Z, tl.atomic_poll(FLAG, expected, timeout_ns=timeout))


@triton.jit
def _polled_lanes(FLAG, Z, N: tl.constexpr):
    lanes = tl.arange(0, N)
    tl.store(Z + lanes, tl.atomic_poll(FLAG + lanes, lanes, sem="relaxed", timeout_ns=1000))


@pytest.mark.parametrize("dtype", ["int16", "int32", "int64"])
def test_atomic_poll_gives_whether_it_saw_the_value(dtype: str):
    flag, seen = torch.full((1,), 7, dtype=getattr(torch, dtype)), torch.zeros(1, dtype=torch.int32)
    _polled[(1,)](flag, seen, 7, None)
    assert seen.item() == 1
    _polled[(1,)](flag, seen, 8, 100_000)
    assert seen.item() == 0
    flags = torch.arange(8, dtype=flag.dtype)
    flags[3] = 99
    lanes = torch.zeros(8, dtype=torch.int32)
    _polled_lanes[(1,)](flags, lanes, N=8)
    assert lanes.tolist() == [1, 1, 1, 0, 1, 1, 1, 1]


@triton.jit
def _handed_over(FLAG, payload, Z):
    if tl.program_id(0) > 0:
        tl.atomic_poll(FLAG, 1, sem="acquire", scope="gpu")
        tl.store(Z + tl.program_id(0), tl.load(payload))
    else:
        tl.store(payload, 42)
        tl.atomic_xchg(FLAG, 1, sem="release", scope="gpu")


def test_atomic_poll_waits_for_an_earlier_program():
    flag, payload, z = (torch.zeros(n, dtype=torch.int32) for n in (1, 1, 8))
    _handed_over[(8,)](flag, payload, z)
    assert z.tolist() == [0] + [42] * 7


@triton.jit
def _unsupported(X, Z):
    tl.atomic_add(Z, tl.load(X))


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "int8", "int16", "uint8", "uint16"])
def test_types_without_atomics_are_refused(dtype: str):
    x, z = (torch.zeros(1, dtype=getattr(torch, dtype)) for _ in range(2))
    with pytest.raises(triton.TritonError):
        _unsupported[(1,)](x, z)
