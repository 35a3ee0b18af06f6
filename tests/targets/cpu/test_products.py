"""Matrix products on the CPU target: loops of them against the interpreter, and code for others.

The inputs are small integers, whose sums are exact in every order and in every dot instruction.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from canopy import ir
from canopy.ir import Value
from canopy.ir.interpreter.numeric import dtype_of
from canopy.ir.types import BF16, F16, F32, F64, I8, I32, I64, PTR, U8, ScalarType, TileType
from canopy.passes import pipeline
from canopy.targets.cpu import assembly_of, compile_cpu
from canopy.targets.cpu.features import Machine
from tests.fuzz.differential import compare
from tests.targets.cpu.test_against_interpreter import Emitter, kernel_of, name_of

ELEMENTS = [(F32, F32), (F16, F32), (BF16, F32), (F64, F64), (I8, I32), (U8, I32)]
rng = np.random.default_rng(7)


def strided(
    b: Emitter, base: Value, shape: tuple[int, int], strides: tuple[int, int], size: int
) -> Value:
    """Pointers to a matrix with these strides, in elements."""
    total = None
    for axis in (0, 1):
        index = b.add(ir.Range, start=0, end=shape[axis])
        step = b.constant(strides[axis], index.type)
        index = b.add(ir.Mul, lhs=index, rhs=step)
        index = b.add(ir.ExpandDims, source=index, axis=1 - axis)
        index = b.add(ir.Broadcast, source=index, shape=shape)
        total = index if total is None else b.add(ir.Add, lhs=total, rhs=index)
    assert total is not None
    pointers = b.add(ir.Splat, source=base, shape=shape)
    return b.add(ir.Offset, pointer=pointers, index=total, scale=size)


def accumulating(
    extents: tuple[int, int, int],
    steps: int,
    elements: tuple[ScalarType, ScalarType],
    by_columns: tuple[bool, bool],
) -> ir.Kernel:
    """out = sum over steps of a[:, step] @ b[step, :]; each operand by rows or by columns."""
    m, n, k = extents
    source, total = elements
    depth = k * steps
    a_strides = (1, m) if by_columns[0] else (depth, 1)
    b_strides = (1, depth) if by_columns[1] else (n, 1)

    def body(b: Emitter, pa: Value, pb: Value, out: Value, count: Value) -> None:
        zero = b.constant(0, TileType((m, n), total))

        def step(c: Emitter, i: Value, acc: Value) -> Any:
            wide = c.add(ir.Cast, source=i, type=I64)
            tiles = []
            for base, shape, strides, axis in (
                (pa, (m, k), a_strides, 1),
                (pb, (k, n), b_strides, 0),
            ):
                move = c.add(ir.Mul, lhs=wide, rhs=c.constant(k * strides[axis], I64))
                start = c.add(ir.Offset, pointer=base, index=move, scale=source.bytes)
                where = strided(c, start, shape, strides, source.bytes)
                tiles.append(c.add(ir.Load, pointer=where, type=source))
            return c.add(ir.Dot, lhs=tiles[0], rhs=tiles[1], acc=acc)

        loop = b.effect(
            ir.For,
            lower=b.constant(0, I32),
            upper=count,
            step=b.constant(1, I32),
            initial=(zero,),
            body=b.function([I32, TileType((m, n), total)], step),
        )
        b.store(out, loop.results[0])

    return kernel_of([PTR, PTR, PTR, I32], body)


@pytest.mark.parametrize("elements", ELEMENTS, ids=lambda e: str(e[0]))
@pytest.mark.parametrize("by_columns", [(False, False), (True, True)], ids=["rows", "columns"])
@pytest.mark.parametrize(
    ("extents", "steps"), [((16, 32, 16), 37), ((3, 5, 7), 3), ((32, 64, 32), 9)], ids=name_of
)
def test_loops(
    extents: tuple[int, int, int],
    steps: int,
    elements: tuple[ScalarType, ScalarType],
    by_columns: tuple[bool, bool],
) -> None:
    m, n, k = extents
    kernel = accumulating(extents, steps, elements, by_columns)
    low = 0 if elements[0].kind == "uint" else -4
    a, b = (
        rng.integers(low, 4, extent * k * steps).astype(dtype_of(elements[0])) for extent in (m, n)
    )
    if elements[0] == I8:
        a[::3], b[::5] = -128, -128  # what a bias of 128 must not lose
    out = np.zeros((m, n), dtype_of(elements[1]))
    for count in (0, 1, steps):
        compare(kernel, [a, b, out, count])


def test_operands_from_outside_a_loop() -> None:
    """Packed once before the loop, by the dot of each side."""
    m, n, k = 16, 32, 8
    square = TileType((m, n), F32)

    def body(b: Emitter, pa: Value, pb: Value, out: Value, count: Value) -> None:
        left, right = b.load(pa, TileType((m, k), F32)), b.load(pb, TileType((k, n), F32))

        def step(c: Emitter, i: Value, acc: Value) -> Any:
            kept = c.add(ir.Mul, lhs=acc, rhs=c.constant(2, square))
            return c.add(ir.Dot, lhs=left, rhs=right, acc=kept)

        loop = b.effect(
            ir.For,
            lower=b.constant(0, I32),
            upper=count,
            step=b.constant(1, I32),
            initial=(b.constant(1, square),),
            body=b.function([I32, square], step),
        )
        b.store(out, loop.results[0])

    a, b = (rng.integers(-3, 3, (k, extent)).astype("f4") for extent in (m, n))
    for count in (0, 1, 5):
        compare(
            kernel_of([PTR, PTR, PTR, I32], body), [a, b, np.zeros((m, n), "f4"), np.int32(count)]
        )


AVX2 = Machine("x86_64-unknown-linux-gnu", "haswell", "+avx2,+fma,+f16c", 32)
ZEN4 = Machine(
    "x86_64-unknown-linux-gnu", "znver4", "+avx512f,+avx512bf16,+avx512vnni,+avx512bw", 64
)
NEON = Machine("aarch64-unknown-linux-gnu", "neoverse-n2", "+neon,+bf16,+dotprod", 16)


@pytest.mark.parametrize(
    ("machine", "elements", "instruction"),
    [
        (AVX2, (F32, F32), "vfmadd"),
        (AVX2, (BF16, F32), "vfmadd"),
        (AVX2, (I8, I32), "vpmaddwd"),
        (ZEN4, (BF16, F32), "vdpbf16ps"),
        (ZEN4, (I8, I32), "vpdpbusd"),
        (ZEN4, (U8, I32), "vpdpwssd"),
        (NEON, (F32, F32), "fmla"),
        (NEON, (BF16, F32), "bfdot"),
        (NEON, (I8, I32), "sdot"),
    ],
    ids=lambda value: value.cpu if isinstance(value, Machine) else str(value),
)
def test_code_for_machines(
    machine: Machine, elements: tuple[ScalarType, ScalarType], instruction: str
) -> None:
    import llvmlite.binding as llvm

    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    kernel = pipeline.run(accumulating((32, 64, 32), 4, elements, (False, True)))
    code = compile_cpu(kernel, machine)
    assert instruction in assembly_of(code.llvm_ir, machine)
