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
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import triton
import triton.language as tl

sys.path.insert(0, str(Path(__file__).parents[1]))

import canopy
from benchmarks.kernels_contractions import matmul
from canopy.ir.types import BF16, F16, F32, ElementType
from canopy.targets.ascend import Chip, TimingSimulator, load_chip
from canopy.targets.ascend.l2 import missing_shares
from canopy.targets.ascend.npu import (
    Branch,
    Buffer,
    CopyMatrix,
    Fixpipe,
    Instruction,
    LaneMemory,
    LoadMatrix,
    Loop,
    Matrix,
    Mmad,
    Pipe,
    SetEvent,
    Space,
    WaitEvent,
    walk,
)
from canopy.targets.ascend.recorder import CoreTrace, Item, Recorder
from canopy.targets.ascend.replay import Outcome, replay
from canopy.targets.ascend.scalars import ZERO, constant

ZZC = "github.com/zzc0721/torch-performance-test-data/issues/109"
TRITON_ASCEND = "github.com/triton-lang/triton-ascend/issues/293"
LIMULIDAE = "limulidae, README, measured TFLOP/s of 910B"
MEAN = "github.com/flagos-ai/FlagGems/pull/2162"
SWIGLU = "github.com/flagos-ai/FlagGems/pull/6324"
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


def tutorial(size: int, **options: Any) -> tuple[Any, tuple[Any, ...], tuple[int, int, int]]:
    """Triton's tutorial product with its tile sizes for a GPU: report, arguments, grid."""
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
    report = canopy.simulate(matmul, grid, args, tiles, mode="timing", **options)
    return report, args, grid


def naively(body: list[Instruction]) -> Iterator[Instruction]:
    """The program without block copies of pointers with `% M`: the addresses of all elements are
    computed, and the scalar unit loads them one by one, which is what a compiler does that does not
    see through the remainder."""
    for instruction in body:
        match instruction:
            case Branch(else_body=lanes) if any(isinstance(i, LaneMemory) for i in walk(lanes)):
                yield from naively(lanes)
            case Loop(body=inner):
                yield replace(instruction, body=list(naively(inner)))
            case _:
                yield instruction


def naive_tutorial(size: int) -> float:
    """Seconds of the tutorial's product, lowered naively."""
    report, args, grid = tutorial(size)
    program = replace(report.program, body=list(naively(report.program.body)))
    names = ["a", "b", "c", "M", "N", "K", "a_m", "a_k", "b_k", "b_n", "c_m", "c_n"]
    given = dict(zip(names, args, strict=True))
    bound = [given[parameter.name] for parameter in program.kernel.parameters]
    return TimingSimulator(program, bound, grid, report.chip).run().time_s


NAIVE_MS = {
    1024: ("fit", 13.716),
    512: ("test", 2.448),
    2048: ("test", 87.411),
    4096: ("test", 640.065),
}


def control() -> None:
    """What users of a naive compiler report must come out of the model, too."""
    print("\n| tutorial matmul f16 | half | published ms | naively ms | of the vendor | ours ms |")
    print("|---|---|---|---|---|---|")
    for size, (part, published) in NAIVE_MS.items():
        naive, ours, vendor = naive_tutorial(size), tutorial(size)[0], product(size, F16, CHIP)
        print(
            f"| {size}^3 | {part} | {published:,.1f} | {naive * 1e3:,.1f} "
            f"| {vendor / naive:.4f} | {ours.time_s * 1e3:.3f} |"
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
