"""The timing model of the Ascend simulator beside figures that others have published.

    python benchmarks/ascend_model.py            # the table of docs/ascend.md
    python benchmarks/ascend_model.py --json out.json

Figures marked *fit* were looked at when the assumed figures of the chip files were chosen, those
marked *test* were not. A vendor's matrix product is no kernel of ours, so it is written here as the
list of instructions that its documentation describes (128 x 256 blocks, two buffers at each level):
the model is compared, not our lowering. Vector kernels are Triton, through our own lowering.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl

sys.path.insert(0, str(Path(__file__).parents[1]))

import canopy
from benchmarks.kernels_contractions import matmul
from canopy.ir.types import BF16, F16, F32, ElementType
from canopy.targets.ascend import Chip, load_chip
from canopy.targets.ascend.calls import CALLS
from canopy.targets.ascend.l2 import missing_shares
from canopy.targets.ascend.npu import (
    Buffer,
    CopyIn,
    CopyMatrix,
    CopyOut,
    Fixpipe,
    LoadMatrix,
    Local,
    Matrix,
    Mmad,
    Pipe,
    SetEvent,
    Space,
    VectorCall,
    View,
    WaitEvent,
)
from canopy.targets.ascend.recorder import CoreTrace, Item, Recorder
from canopy.targets.ascend.replay import Outcome, replay
from canopy.targets.ascend.scalars import ZERO, Number, constant

ZZC = "github.com/zzc0721/torch-performance-test-data/issues/109"
TRITON_ASCEND = "github.com/triton-lang/triton-ascend/issues/293"
LIMULIDAE = "limulidae, README, measured TFLOP/s of 910B"
MEAN = "github.com/flagos-ai/FlagGems/pull/2162"
SWIGLU = "github.com/flagos-ai/FlagGems/pull/6324"
PTO_DSL = "github.com/huawei-csl/pto-dsl/pull/126"
HEIGHT, WIDTH, GROUP = 128, 256, 4
CHIP = load_chip("910b2")


@dataclass(frozen=True)
class Figure:
    """One published time, in microseconds."""

    what: str
    part: str  # fit or test
    published_us: float
    source: str
    simulated: Any  # () -> seconds


# ---- a matrix product as the vendor's documentation describes it


def product(size: int, type_: ElementType, chip: Chip) -> float:
    """Seconds of a square product of row-major operands."""
    depth = 128 // type_.bytes  # of a step in L0
    step = 4 * depth  # of a step in L1
    rows, columns = math.ceil(size / HEIGHT), math.ceil(size / WIDTH)
    recorder = Recorder()
    a, b = _reads(size, type_, step)
    tile = _tile(recorder, size, type_, depth, step, a, b)
    tiles = rows * columns
    cores = min(chip.cube_cores, tiles)
    for count, shared in (
        (tiles % cores, tiles // cores + 1),
        (cores - tiles % cores, tiles // cores),
    ):
        if count and shared:
            recorder.begin()
            recorder.repeat(tile, shared)
            recorder.trace.cores.append(CoreTrace(recorder.end(), count, shared))
    recorder.trace.wave = cores
    panel_a, panel_b = HEIGHT * size * type_.bytes, WIDTH * size * type_.bytes
    for number in range(min(tiles, 40 * cores)):
        row, column = _place(number, rows, columns)
        recorder.trace.items.append(
            {
                id(a): Item(row * panel_a, panel_a, panel_a, False),
                id(b): Item((1 << 40) + column * panel_b, panel_b, panel_b, False),
            }
        )
    misses = missing_shares(recorder.trace.items, cores, chip.l2_bytes)
    outcome: Outcome = replay(recorder.trace, chip, misses)
    return outcome.cycles / chip.clock_hz


def _place(number: int, rows: int, columns: int) -> tuple[int, int]:
    """Neighbours share rows and columns: GROUP rows at a time, column by column."""
    group, inside = divmod(number, GROUP * columns)
    height = min(rows - group * GROUP, GROUP)
    return group * GROUP + inside % height, inside // height


def _reads(size: int, type_: ElementType, step: int) -> tuple[CopyMatrix, CopyMatrix]:
    def read(rows: int, columns: int) -> CopyMatrix:
        strides = (constant(size * type_.bytes), constant(type_.bytes))
        return CopyMatrix(target=_matrix(Space.L1, "NZ", rows, columns, type_), strides=strides)

    return read(HEIGHT, step), read(step, WIDTH)


def _matrix(space: Space, layout: str, rows: int, columns: int, type_: ElementType) -> Matrix:
    return Matrix(Buffer(space, 0, rows * columns, type_), layout, rows, columns, rows, columns)


def _tile(
    recorder: Recorder,
    size: int,
    type_: ElementType,
    depth: int,
    step: int,
    a: CopyMatrix,
    b: CopyMatrix,
) -> int:
    """One block of the result: two buffers in L1 and L0, one in L0C."""
    left = _matrix(Space.L0A, "zZ", HEIGHT, depth, type_)
    right = _matrix(Space.L0B, "nZ", depth, WIDTH, type_)
    total = _matrix(Space.L0C, "NZ", HEIGHT, WIDTH, F32)
    loads = (LoadMatrix(target=left, source=a.target), LoadMatrix(target=right, source=b.target))
    mmad = Mmad(target=total, lhs=left, rhs=right, first=ZERO)
    strides = (constant(size * type_.bytes), constant(type_.bytes))
    out = Fixpipe(source=total, type=type_, strides=strides)

    def add(*instructions: Any) -> None:
        for instruction in instructions:
            recorder.step(instruction, [])

    def order(kind: Any, source: Pipe, target: Pipe, event: int) -> None:
        add(kind(source=source, target=target, event=event))

    def inner(number: int) -> None:
        order(WaitEvent, Pipe.M, Pipe.MTE1, number)
        add(*loads)
        order(SetEvent, Pipe.MTE1, Pipe.M, number)
        order(WaitEvent, Pipe.MTE1, Pipe.M, number)
        add(mmad)
        order(SetEvent, Pipe.M, Pipe.MTE1, number)

    recorder.begin()
    for event in (0, 1):
        order(SetEvent, Pipe.M, Pipe.MTE1, event)
        order(SetEvent, Pipe.MTE1, Pipe.C_MTE2, event)
    order(WaitEvent, Pipe.FIX, Pipe.M, 7)
    recorder.begin()
    for event in (0, 1):
        order(WaitEvent, Pipe.MTE1, Pipe.C_MTE2, event)
        add(a, b)
        order(SetEvent, Pipe.C_MTE2, Pipe.MTE1, event)
        order(WaitEvent, Pipe.C_MTE2, Pipe.MTE1, event)
        for number in range(step // depth):
            inner(number % 2)
        order(SetEvent, Pipe.MTE1, Pipe.C_MTE2, event)
    pair = recorder.end()
    recorder.repeat(pair, max(math.ceil(size / step / 2), 1))
    order(SetEvent, Pipe.M, Pipe.FIX, 0)
    order(WaitEvent, Pipe.M, Pipe.FIX, 0)
    add(out)
    order(SetEvent, Pipe.FIX, Pipe.M, 7)
    return recorder.end()


# ---- fused attention as a good implementation for these cores does it


def attention(keys: int, chip: Chip) -> float:
    """Seconds of softmax(q k^T) v for 128 rows of 128 on each cube core, not causal, f16.

    The cube multiplies the next block of 512 keys while two vector cores, 64 rows each, do the
    softmax of this one; scores, weights and products go through the L2.
    """
    recorder = Recorder()
    rows, dim, block = 128, 128, 512

    def add(*instructions: Any) -> None:
        for instruction in instructions:
            recorder.step(instruction, [])

    def order(source: Pipe, target: Pipe, event: int) -> None:
        add(SetEvent(source=source, target=target, event=event))
        add(WaitEvent(source=source, target=target, event=event))

    def read(height: int, width: int, type_: ElementType) -> CopyMatrix:
        strides = (constant(width * type_.bytes), constant(type_.bytes))
        return CopyMatrix(target=_matrix(Space.L1, "NZ", height, width, type_), strides=strides)

    def multiply(m: int, k: int, n: int) -> None:
        """In steps that fit L0."""
        depth = 64
        left, right = (
            _matrix(Space.L0A, "zZ", m, depth, F16),
            _matrix(Space.L0B, "nZ", depth, min(n, 256), F16),
        )
        total = _matrix(Space.L0C, "NZ", m, min(n, 256), F32)
        for step in range(k // depth * max(n // 256, 1)):
            add(LoadMatrix(target=left, source=left), LoadMatrix(target=right, source=right))
            add(SetEvent(source=Pipe.MTE1, target=Pipe.M, event=step % 2))
            add(WaitEvent(source=Pipe.MTE1, target=Pipe.M, event=step % 2))
            add(Mmad(target=total, lhs=left, rhs=right, first=ZERO))

    def local(lanes: int) -> Local:
        return Local(Buffer(Space.UB, 0, lanes, F32), F32)

    def vector(name: str, lanes: int) -> VectorCall:
        sources = (local(lanes),) * (CALLS[name].sources)
        scalars = (Number(1.0, F32),) * CALLS[name].scalars
        count = constant(lanes)
        return VectorCall(
            name=name, target=local(lanes), sources=sources, scalars=scalars, lanes=count
        )

    def part(lanes: int, type_: ElementType) -> View:
        return View(Buffer(Space.UB, 0, lanes, type_), (lanes,), (1,))

    def shared(lanes: int, type_: ElementType) -> View:
        return View(Buffer(Space.WORKSPACE, 0, lanes, type_), (lanes,), (1,))

    def move_in(lanes: int, type_: ElementType) -> CopyIn:
        source = shared(lanes, type_)
        return CopyIn(target=part(lanes, type_), address=ZERO, strides=(), source=source)

    half = rows // 2 * block
    scores = _matrix(Space.L0C, "NZ", rows, block, F32)
    product_ = _matrix(Space.L0C, "NZ", rows, dim, F32)
    recorder.begin()
    recorder.begin()
    # the cube: scores of the next block
    add(read(dim, block, F16))
    order(Pipe.C_MTE2, Pipe.MTE1, 0)
    multiply(rows, dim, block)
    order(Pipe.M, Pipe.FIX, 0)
    add(Fixpipe(source=scores, type=F32, target=shared(rows * block, F32)))
    # the vector cores: softmax of this one
    add(move_in(half, F32))
    order(Pipe.MTE2, Pipe.V, 0)
    add(*(vector(name, half) for name in ("Muls", "Max", "Sub", "Exp", "Add")))
    add(vector("Cast", half))
    order(Pipe.V, Pipe.MTE3, 0)
    target = shared(half, F16)
    add(CopyOut(source=part(half, F16), address=ZERO, strides=(), target=target))
    # the cube: weights of the block before by its values
    add(read(block, dim, F16), read(rows, block, F16))
    order(Pipe.C_MTE2, Pipe.MTE1, 1)
    multiply(rows, block, dim)
    order(Pipe.M, Pipe.FIX, 1)
    add(Fixpipe(source=product_, type=F32, target=shared(rows * dim, F32)))
    # the vector cores: what was gathered so far, rescaled
    add(move_in(rows // 2 * dim, F32))
    order(Pipe.MTE2, Pipe.V, 1)
    add(vector("Mul", rows // 2 * dim), vector("Add", rows // 2 * dim))
    trip = recorder.end()
    recorder.repeat(trip, keys // block + 1)
    recorder.trace.cores.append(CoreTrace(recorder.end(), chip.cube_cores, 1))
    misses = {id(i): 1 / chip.cube_cores for i, _ in recorder.trace.steps}
    return replay(recorder.trace, chip, misses).cycles / chip.clock_hz


# ---- kernels of ours


@triton.jit
def sum_rows(x, o, n, BLOCK: tl.constexpr):
    row = tl.program_id(0).to(tl.int64) * n
    total = tl.zeros((BLOCK,), tl.float32)
    for i in range(0, n, BLOCK):
        total += tl.load(x + row + i + tl.arange(0, BLOCK))
    tl.store(o + tl.program_id(0), tl.sum(total, 0))


@triton.jit
def swiglu(a, b, o, n, BLOCK: tl.constexpr):
    i = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    gate = tl.load(a + i).to(tl.float32)
    value = tl.load(b + i)
    tl.store(o + i, (gate / (1 + tl.exp(-gate))).to(value.dtype) * value)


def mean(rows: int, columns: int) -> Any:
    x, o = torch.empty(rows, columns), torch.empty(rows)
    kwargs = {"BLOCK": 4096}
    return canopy.simulate(sum_rows, (rows,), (x, o, columns), kwargs, mode="timing")


def gated(count: int) -> Any:
    a = torch.empty(count, dtype=torch.float16)
    grid = (count // 8192,)
    args = (a, torch.empty_like(a), torch.empty_like(a), count)
    return canopy.simulate(swiglu, grid, args, {"BLOCK": 8192}, mode="timing")


def figures() -> list[Figure]:
    """All that were found; chips of the sources are 910B2 or not told (of the same generation)."""

    def square(part: str, size: int, name: str, type_: Any, tflops: float, source: str) -> Figure:
        return Figure(
            f"matmul {size}^3 {name}",
            part,
            2 * size**3 / tflops / 1e6,
            source,
            lambda: product(size, type_, CHIP),
        )

    return [
        square("fit", 2048, "f16", F16, 251.01, ZZC),
        square("test", 4096, "f16", F16, 314.52, ZZC),
        square("fit", 8192, "f16", F16, 305.46, ZZC),
        square("test", 1024, "f16", F16, 98.08, ZZC),
        square("test", 4096, "bf16", BF16, 315.36, ZZC),
        square("fit", 8192, "bf16", BF16, 301.23, ZZC),
        square("test", 10240, "bf16", BF16, 300.94, ZZC),
        square("fit", 2048, "f32", F32, 76.92, ZZC),
        square("test", 4096, "f32", F32, 84.53, ZZC),
        square("test", 8192, "f32", F32, 80.43, ZZC),
        square("test", 1024, "f32", F32, 46.30, ZZC),
        square("fit", 1024, "f16", F16, 129.961, TRITON_ASCEND),
        square("test", 2048, "f16", F16, 296.812, TRITON_ASCEND),
        square("test", 4096, "f16", F16, 347.102, TRITON_ASCEND),
        square("test", 512, "f16", F16, 40.729, TRITON_ASCEND),
        square("fit", 8192, "bf16", BF16, 328, LIMULIDAE),
        Figure(
            "attention f16, 3072 x 128, 16384 more keys",
            "test",
            388.52 - 242.52,
            PTO_DSL,
            lambda: attention(32768, CHIP) - attention(16384, CHIP),
        ),
        Figure(
            "attention f16, 3072 x 128, 8192 more keys",
            "test",
            242.52 - 175.53,
            PTO_DSL,
            lambda: attention(16384, CHIP) - attention(8192, CHIP),
        ),
        Figure(
            "mean f32, 1024 x 1048576", "fit", 3000.18, MEAN, lambda: mean(1024, 1 << 20).time_s
        ),
        Figure("mean f32, 1024 x 65536", "test", 377.46, MEAN, lambda: mean(1024, 65536).time_s),
        Figure("mean f32, 4096 x 4096", "test", 116.4, MEAN, lambda: mean(4096, 4096).time_s),
        Figure("swiglu f16, 134217728", "fit", 667.183, SWIGLU, lambda: gated(1 << 27).time_s),
        Figure(
            "swiglu f16, 327680000", "test", 1610.495, SWIGLU, lambda: gated(327_680_000).time_s
        ),
    ]


# ---- the negative control


def tutorial(size: int) -> Any:
    """Triton's tutorial product with its tile sizes for a GPU, by our lowering."""
    a = torch.empty(size, size, dtype=torch.float16)
    args = (
        a,
        torch.empty_like(a),
        torch.empty_like(a),
        size,
        size,
        size,
        size,
        1,
        size,
        1,
        size,
        1,
    )
    tiles = {"BLOCK_M": 128, "BLOCK_N": 256, "BLOCK_K": 64, "GROUP": 8}
    grid = (triton.cdiv(size, 128) * triton.cdiv(size, 256), 1, 1)
    return canopy.simulate(matmul, grid, args, tiles, mode="timing")


@triton.jit
def unseen_matmul(
    a, b, c, rows_of, columns_of, M, N, K, a_m, a_k, b_k, b_n, c_m, c_n,
    BLOCK_M: tl.constexpr, BLOCK_N: tl.constexpr, BLOCK_K: tl.constexpr,
):  # fmt: skip
    """A product whose rows and columns come from tables, so that no compiler sees blocks in its
    addresses: the scalar unit loads elements one by one, which is what happens to the tutorial's
    `% M` in a compiler that does not see through it."""
    tiles_n = tl.cdiv(N, BLOCK_N)
    row, column = tl.program_id(0) // tiles_n, tl.program_id(0) % tiles_n
    rows = tl.load(rows_of + row * BLOCK_M + tl.arange(0, BLOCK_M))
    columns = tl.load(columns_of + column * BLOCK_N + tl.arange(0, BLOCK_N))
    depth = tl.arange(0, BLOCK_K)
    a_places = a + rows[:, None] * a_m + depth[None, :] * a_k
    b_places = b + depth[:, None] * b_k + columns[None, :] * b_n
    total = tl.zeros((BLOCK_M, BLOCK_N), dtype=tl.float32)
    for step in range(tl.cdiv(K, BLOCK_K)):
        left = K - step * BLOCK_K
        a_tile = tl.load(a_places, mask=depth[None, :] < left, other=0)
        b_tile = tl.load(b_places, mask=depth[:, None] < left, other=0)
        total = tl.dot(a_tile, b_tile, total)
        a_places += BLOCK_K * a_k
        b_places += BLOCK_K * b_k
    rows = row * BLOCK_M + tl.arange(0, BLOCK_M)
    columns = column * BLOCK_N + tl.arange(0, BLOCK_N)
    inside = (rows[:, None] < M) & (columns[None, :] < N)
    c_places = c + rows[:, None] * c_m + columns[None, :] * c_n
    tl.store(c_places, total.to(c.dtype.element_ty), mask=inside)


def naive_tutorial(size: int) -> float:
    """Seconds of a product of elements loaded one by one, with the tutorial's tiles."""
    a = torch.empty(size, size, dtype=torch.float16)
    places = torch.arange(size, dtype=torch.int32)
    sizes = (size, size, size, size, 1, size, 1, size, 1)
    args = (a, torch.empty_like(a), torch.empty_like(a), places, places.clone(), *sizes)
    tiles = {"BLOCK_M": 128, "BLOCK_N": 256, "BLOCK_K": 64}
    grid = (triton.cdiv(size, 128) * triton.cdiv(size, 256), 1, 1)
    return canopy.simulate(unseen_matmul, grid, args, tiles, mode="timing").time_s


NAIVE_MS = {
    512: ("test", 2.448),
    1024: ("test", 13.716),
    2048: ("test", 87.411),
    4096: ("fit", 640.065),
}


def control() -> None:
    """What users of a naive compiler report must come out of the model, too."""
    heads = ("tutorial matmul f16", "half", "published ms", "naively ms", "of the vendor")
    print(f"\n| {' | '.join(heads)} | ours ms | of the vendor |")
    print("|---|---|---|---|---|---|---|")
    for size, (part, published) in NAIVE_MS.items():
        naive, ours, vendor = naive_tutorial(size), tutorial(size), product(size, F16, CHIP)
        print(
            f"| {size}^3 | {part} | {published:,.1f} | {naive * 1e3:,.1f} "
            f"| {vendor / naive:.4f} | {ours.time_s * 1e3:.3f} | {vendor / ours.time_s:.2f} |"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", default="", help="write the table there, too")
    options = parser.parse_args()
    rows = []
    print("| what | half | published us | simulated us | error | source |")
    print("|---|---|---|---|---|---|")
    for figure in figures():
        us = figure.simulated() * 1e6
        error = us / figure.published_us - 1
        rows.append((figure.what, figure.part, figure.published_us, us, error, figure.source))
        print(
            f"| {figure.what} | {figure.part} | {figure.published_us:,.1f} | {us:,.1f} "
            f"| {error:+.0%} | {figure.source} |"
        )
    for part in ("fit", "test"):
        errors = sorted(abs(row[4]) for row in rows if row[1] == part)
        middle = errors[len(errors) // 2]
        print(
            f"\n{part}: {len(errors)} figures, median error {middle:.0%}, largest {errors[-1]:.0%}"
        )
    control()
    if options.json:
        with open(options.json, "w", encoding="utf-8") as file:
            json.dump(rows, file, indent=1)


if __name__ == "__main__":
    main()
