"""What the machine can do at best, to hold the other figures against."""

from __future__ import annotations

import torch

from benchmarks import limits
from benchmarks.harness import Contest, SkippedError, case

N = 64 * 1024 * 1024


@case("limit: copy, non-temporal stores", tiny={"n": 70_000}, n=N)
def copy(n: int) -> Contest:
    source, target = torch.rand(n), torch.empty(n)
    contest = Contest([], bytes_moved=2 * 4 * n)
    contest.add_limit("non-temporal copy", lambda: limits.copy(target, source))
    return contest


@case("limit: triad, non-temporal stores", tiny={"n": 70_000}, n=N)
def triad(n: int) -> Contest:
    a, b, target = torch.rand(n), torch.rand(n), torch.empty(n)
    contest = Contest([], bytes_moved=3 * 4 * n)
    contest.add_limit("non-temporal triad", lambda: limits.triad(target, a, b))
    return contest


@case("limit: read", tiny={"n": 70_000}, n=N)
def read(n: int) -> Contest:
    source = torch.rand(n)
    contest = Contest([], bytes_moved=4 * n)
    contest.add_limit("read", lambda: limits.read(source))
    return contest


@case("limit: int8 dot", tiny={"operations": 1}, run=limits.dot_int8, operations=4 * 10**9)
@case("limit: bf16 dot", tiny={"operations": 1}, run=limits.dot_bf16, operations=2 * 10**9)
@case("limit: f32 multiply-add", tiny={"operations": 1}, run=limits.multiply_add, operations=10**9)
def arithmetic(run, operations: int) -> Contest:
    try:
        run(1)
    except limits.NoSuchLimitError as reason:
        raise SkippedError(str(reason)) from None
    contest = Contest([], operations=operations)
    contest.add_limit("arithmetic peak", lambda: run(operations))
    return contest
