"""Prefix sums, searches, histograms, sorting, gathering."""

from __future__ import annotations

import torch
import torch.nn.functional as F
import triton

from benchmarks import kernels_scans as kernels
from benchmarks import limits
from benchmarks.harness import Contest, case, require_backend
from benchmarks.peers import inductor, numba_kernel

N = 16 * 1024 * 1024
BLOCK = 16384


@case("cumsum 16M f32", tiny={"n": 70_001}, n=N)
def cumsum(n: int) -> Contest:
    """Sums of blocks, their scan, scans of blocks: the input is read twice."""
    require_backend()
    x = torch.rand(n) - 0.5
    blocks = triton.cdiv(n, BLOCK)
    sums = torch.empty(blocks)

    def launch(out: torch.Tensor) -> None:
        kernels.block_sums[(blocks,)](x, sums, n, BLOCK=BLOCK)
        kernels.scan_of_sums[(1,)](sums, blocks, BLOCK=triton.next_power_of_2(blocks))
        kernels.block_cumsum[(blocks,)](x, sums, out, n, BLOCK=BLOCK)

    def plain(x: torch.Tensor) -> torch.Tensor:
        return torch.cumsum(x, dim=0)

    contest = Contest(
        [torch.empty(n)],
        lambda: [torch.cumsum(x.double(), dim=0).float()],
        tolerance=1e-3,
        bytes_moved=2 * 4 * n,
    )
    contest.add("canopy", launch)
    contest.add("torch", lambda out: torch.cumsum(x, dim=0, out=out), lambda: plain(x))
    contest.add_peer("inductor", lambda: inductor(plain, x))
    contest.add_peer("numba", lambda: numba_kernel("cumsum", x))
    contest.add_limit("non-temporal copy", lambda: limits.copy(contest.outputs[0], x))
    return contest


@case("argmax 16M f32", tiny={"n": 70_001}, n=N)
def argmax(n: int) -> Contest:
    require_backend()
    x = torch.randn(n)
    blocks = triton.cdiv(n, BLOCK)
    values, indices = torch.empty(blocks), torch.empty(blocks, dtype=torch.int32)

    def launch(out: torch.Tensor) -> None:
        kernels.block_argmax[(blocks,)](x, values, indices, n, BLOCK=BLOCK)
        kernels.final_argmax[(1,)](
            values, indices, out, blocks, BLOCK=triton.next_power_of_2(blocks)
        )

    def plain(x: torch.Tensor) -> torch.Tensor:
        return torch.argmax(x).reshape(1)

    contest = Contest(
        [torch.empty(1, dtype=torch.int64)], lambda: [plain(x)], tolerance=0, bytes_moved=4 * n
    )
    contest.add("canopy", launch)
    contest.add("torch", lambda out: torch.argmax(x, 0, True, out=out), lambda: plain(x))
    contest.add_peer("inductor", lambda: inductor(plain, x))
    contest.add_peer("numba", lambda: numba_kernel("argmax", x))
    contest.add_limit("read", lambda: limits.read(x))
    return contest


@case("histogram 16M int32, 256 bins", tiny={"n": 70_001}, n=N)
def histogram(n: int) -> Contest:
    require_backend()
    bins = 256
    x = torch.randint(bins, (n,), dtype=torch.int32)

    def launch(counts: torch.Tensor) -> None:
        counts.zero_()
        kernels.histogram[(triton.cdiv(n, BLOCK),)](x, counts, n, BINS=bins, BLOCK=BLOCK)

    def plain() -> torch.Tensor:
        return torch.bincount(x, minlength=bins)

    contest = Contest(
        [torch.empty(bins, dtype=torch.int32)], lambda: [plain()], tolerance=0, bytes_moved=4 * n
    )
    contest.add("canopy", launch)
    contest.add("torch", lambda counts: counts.copy_(plain()), plain)
    contest.add_peer("numba", lambda: numba_kernel("histogram", x))
    contest.add_limit("read", lambda: limits.read(x))
    return contest


@case("sort 65536x256 f32", tiny={"rows": 33}, rows=65536)
def sort(rows: int) -> Contest:
    """torch.sort gives indices as well and has no form without them."""
    require_backend()
    columns = 256
    x = torch.randn(rows, columns)
    places = torch.empty(rows, columns, dtype=torch.int64)
    contest = Contest(
        [torch.empty_like(x)],
        lambda: [torch.sort(x, dim=1).values],
        tolerance=0,
        bytes_moved=2 * 4 * x.numel(),
    )
    contest.add("canopy", lambda out: kernels.sort_rows[(rows,)](x, out, COLUMNS=columns))
    contest.add(
        "torch",
        lambda out: torch.sort(x, dim=1, out=(out, places)),
        lambda: torch.sort(x, dim=1).values,
    )
    contest.add_peer("numba", lambda: numba_kernel("sort_rows", x))
    contest.add_limit("non-temporal copy", lambda: limits.copy(contest.outputs[0], x))
    return contest


@case("embedding 1M rows of 64 f32", tiny={"n": 1003, "rows": 100}, n=1 << 20, rows=1 << 20)
def embedding(n: int, rows: int) -> Contest:
    require_backend()
    table, indices = torch.randn(rows, 64), torch.randint(rows, (n,))
    contest = Contest(
        [torch.empty(n, 64)],
        lambda: [F.embedding(indices, table)],
        tolerance=0,
        bytes_moved=2 * 4 * 64 * n,
    )
    grid = (triton.cdiv(n, 64),)
    contest.add(
        "canopy",
        lambda out: kernels.embedding[grid](table, indices, out, n, WIDTH=64, ROWS=64),
    )
    contest.add(
        "torch",
        lambda out: torch.index_select(table, 0, indices, out=out),
        lambda: F.embedding(indices, table),
    )
    contest.add_peer("inductor", lambda: inductor(F.embedding, indices, table))
    contest.add_peer("numba", lambda: numba_kernel("embedding", table, indices))
    contest.add_limit("non-temporal copy", lambda: limits.copy(contest.outputs[0], table))
    return contest
