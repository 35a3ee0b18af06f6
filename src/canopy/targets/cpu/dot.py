"""Matrix products of tiles that lie in scratch memory, through a register-blocked kernel.

The kernel keeps a block of rows x vectors of the result in registers, and for each k multiplies
`vectors` loads of a row of B with `rows` broadcast elements of A.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import llvmlite.ir as ll

from canopy.ir.types import F32, F64, ScalarType
from canopy.targets.cpu import conversions
from canopy.targets.cpu.llvm import (
    I64,
    POINTER,
    Builder,
    LLValue,
    call_intrinsic,
    constant,
    counted_loop,
    splat,
)

__all__ = ["Blocking", "dot_function"]


@dataclass(frozen=True, slots=True)
class Blocking:
    """The register block of a product: rows x (vectors of ``lanes`` elements)."""

    rows: int
    vectors: int
    lanes: int

    @classmethod
    def choose(cls, m: int, n: int, element: ScalarType, vector_bytes: int) -> Blocking:
        """From the tile's extents and the number and width of vector registers."""
        lanes = _power_of_two_divisor(n, vector_bytes // element.bytes)
        vectors = _power_of_two_divisor(n // lanes, 2)
        rows = _power_of_two_divisor(m, 8 if vector_bytes >= 64 else 4)
        return cls(rows, vectors, lanes)


def _power_of_two_divisor(extent: int, limit: int) -> int:
    divisor = 1
    while divisor * 2 <= limit and extent % (divisor * 2) == 0:
        divisor *= 2
    return divisor


def dot_function(
    module: Any, element: ScalarType, shape: tuple[int, int, int], vector_bytes: int
) -> Any:
    """The function (a, b, c_in, c_out) for tiles M x K, K x N, M x N of ``element``, all row-major.

    ``c_in`` may be ``c_out``.
    """
    m, n, k = shape
    name = f"canopy.dot.{element}.{m}x{n}x{k}"
    known = module.globals.get(name)
    if known is not None:
        return known
    function = ll.Function(module, ll.FunctionType(ll.VoidType(), [POINTER] * 4), name)
    function.linkage = "internal"
    builder = ll.IRBuilder(function.append_basic_block("entry"))
    block = Blocking.choose(m, n, element, vector_bytes)
    columns = block.vectors * block.lanes
    with (
        counted_loop(builder, constant(I64, n), "columns", columns) as j,
        counted_loop(builder, constant(I64, m), "rows", block.rows) as i,
    ):
        _register_block(builder, function.args, element, shape, block, i, j)
    builder.ret_void()
    return function


def _register_block(
    b: Builder,
    pointers: Any,
    element: ScalarType,
    shape: tuple[int, int, int],
    block: Blocking,
    i: LLValue,
    j: LLValue,
) -> None:
    _, n, k = shape
    a, rhs, c_in, c_out = pointers
    scalar = conversions.llvm_type(element)
    type_ = ll.VectorType(scalar, block.lanes)

    def c_address(base: LLValue, row: int, column: int) -> LLValue:
        offset = b.add(
            b.mul(b.add(i, constant(I64, row)), constant(I64, n)), b.add(j, constant(I64, column))
        )
        return b.gep(base, [offset], source_etype=scalar)

    places = [(r, v) for r in range(block.rows) for v in range(block.vectors)]
    start = [
        b.load(c_address(c_in, r, v * block.lanes), typ=type_, align=element.bytes)
        for r, v in places
    ]
    before = b.block
    body = b.function.append_basic_block("k.body")
    after = b.function.append_basic_block("k.end")
    a_start = b.mul(i, constant(I64, k))
    b.branch(body)
    b.position_at_end(body)
    depth = b.phi(I64)
    depth.add_incoming(constant(I64, 0), before)
    sums = []
    for value in start:
        phi = b.phi(type_)
        phi.add_incoming(value, before)
        sums.append(phi)
    totals = list(sums)
    row_start = b.add(b.mul(depth, constant(I64, n)), j)
    rights = [
        b.load(
            b.gep(rhs, [b.add(row_start, constant(I64, v * block.lanes))], source_etype=scalar),
            typ=type_,
            align=element.bytes,
        )
        for v in range(block.vectors)
    ]
    for r in range(block.rows):
        at = b.add(b.add(a_start, constant(I64, r * k)), depth)
        left = splat(b, b.load(b.gep(a, [at], source_etype=scalar), typ=scalar), block.lanes)
        for v in range(block.vectors):
            slot = r * block.vectors + v
            totals[slot] = _multiply_add(b, element, left, rights[v], totals[slot])
    following = b.add(depth, constant(I64, 1))
    depth.add_incoming(following, body)
    for phi, total in zip(sums, totals, strict=True):
        phi.add_incoming(total, body)
    b.cbranch(b.icmp_unsigned("<", following, constant(I64, k)), body, after)
    b.position_at_end(after)
    for (r, v), total in zip(places, totals, strict=True):
        b.store(total, c_address(c_out, r, v * block.lanes), align=element.bytes)


def _multiply_add(
    b: Builder, element: ScalarType, left: LLValue, right: LLValue, total: LLValue
) -> LLValue:
    if element in (F32, F64):
        return call_intrinsic(b, "llvm.fma", total.type, [left, right, total], [total.type])
    return b.add(b.mul(left, right), total)
