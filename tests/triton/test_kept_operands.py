"""Packed operands that a thread keeps from program to program: what they depend on, how long.

Every kernel here multiplies tiles that are large enough to be kept, in many programs of one
thread; small integers make all sums exact.
"""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")
triton = pytest.importorskip("triton")

import triton.language as tl  # noqa: E402

TILE, DEPTH = tl.constexpr(64), tl.constexpr(32)


def integers(*shape: int) -> torch.Tensor:
    return torch.randint(-4, 5, shape).float()


@triton.jit
def scaled_rows(a, b, c, starts, scales, N, K, BY_TABLE: tl.constexpr, MASKED: tl.constexpr):
    """Rows from a table of starts, scaled by a table: operands depend on what scalars load."""
    row, column = tl.program_id(1), tl.program_id(0)
    start = tl.load(starts + row) if BY_TABLE else row * TILE
    rows = start + tl.arange(0, TILE)
    columns = column * TILE + tl.arange(0, TILE)
    depth = tl.arange(0, DEPTH)
    total = tl.zeros((TILE, TILE), tl.float32)
    for k in range(tl.cdiv(K, DEPTH)):
        at = k * DEPTH + depth
        inside = at < K if MASKED else at >= 0
        x = tl.load(a + rows[:, None] * K + at[None, :], mask=inside[None, :], other=0)
        x = x * tl.load(scales + k)
        y = tl.load(b + at[:, None] * N + columns[None, :], mask=inside[:, None], other=0)
        total += tl.dot(x, y)
    out = (row * TILE + tl.arange(0, TILE))[:, None] * N + columns[None, :]
    tl.store(c + out, total)


def expected(a, b, starts, scales, K):
    tile, depth = TILE.value, DEPTH.value
    factors = scales.repeat_interleave(depth)[:K]
    return torch.cat([(a[s : s + tile] * factors) @ b for s in starts.tolist()])


@pytest.mark.parametrize("by_table", [False, True])
@pytest.mark.parametrize("k", [32, 300, 1024])
def test_programs_find_their_own_operands(by_table: bool, k: int, monkeypatch):
    monkeypatch.setenv("CANOPY_NUM_THREADS", "1")
    tile, depth = TILE.value, DEPTH.value
    rows, columns = 9, 7
    a, b = integers(rows * tile + tile, k), integers(k, columns * tile)
    scales = integers(triton.cdiv(k, depth))
    starts = torch.arange(rows) * tile
    if by_table:
        starts = torch.randint(0, rows * tile, (rows,))
        starts[3] = starts[1]
    c = torch.empty(rows * tile, columns * tile)
    for _ in range(3):  # between launches the operands change in place
        scaled_rows[(columns, rows)](
            a, b, c, starts, scales, columns * tile, k, by_table, k % depth
        )
        assert torch.equal(c, expected(a, b, starts, scales, k))
        a[:, ::3] += 1
        b[1::2] -= 1
        scales += 1


@triton.jit
def powers(a, c, N, ROUNDS):
    """Each round multiplies what the program itself stored the round before."""
    at = tl.arange(0, TILE)
    place = at[:, None] * TILE + at[None, :]
    for _ in range(ROUNDS):
        total = tl.zeros((TILE, TILE), tl.float32)
        for k in range(0, TILE, DEPTH):
            depth = k + tl.arange(0, DEPTH)
            x = tl.load(c + at[:, None] * TILE + depth[None, :])
            y = tl.load(a + depth[:, None] * TILE + at[None, :])
            total += tl.dot(x, y)
        tl.store(c + place, total % 8)


def test_an_operand_that_the_kernel_writes_is_packed_anew():
    tile = TILE.value
    a, c = integers(tile, tile), integers(tile, tile)
    want = c.clone()
    for _ in range(6):
        want = torch.fmod(want @ a, 8)
    powers[(1,)](a, c, tile, 6)
    assert torch.equal(c, want)


@triton.jit
def persistent(a, b, c, M, N, K, PROGRAMS: tl.constexpr):
    """One program walks over many tiles, and each of both operands comes again."""
    tiles_m, tiles_n = M // TILE, N // TILE
    for tile in range(tl.program_id(0), tiles_m * tiles_n, PROGRAMS):
        rows = tile // tiles_n * TILE + tl.arange(0, TILE)
        columns = tile % tiles_n * TILE + tl.arange(0, TILE)
        depth = tl.arange(0, DEPTH)
        x_at = a + rows[:, None] * K + depth[None, :]
        y_at = b + columns[None, :] * K + depth[:, None]  # along K
        total = tl.zeros((TILE, TILE), tl.float32)
        for _ in range(0, K, DEPTH):
            total = tl.dot(tl.load(x_at), tl.load(y_at), total)
            x_at += DEPTH
            y_at += DEPTH
        tl.store(c + rows[:, None] * N + columns[None, :], total)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_more_chunks_than_are_kept(dtype: torch.dtype):
    m, n, k = 640, 1472, 2048  # 10 and 23 tiles, of many chunks each
    a, b = integers(m, k).to(dtype), integers(n, k).to(dtype)
    c = torch.empty(m, n)
    persistent[(2,)](a, b, c, m, n, k, 2)
    assert torch.equal(c, a.float() @ b.float().T)


def test_one_matrix_on_both_sides_and_shifted():
    n, k = 256, 512
    whole = integers(n + 1, k)
    for a, b in ((whole[:n], whole[:n]), (whole[:n], whole[1:])):
        c = torch.empty(n, n)
        persistent[(2,)](a, b, c, n, n, k, 2)
        assert torch.equal(c, a @ b.T)
