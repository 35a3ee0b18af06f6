"""The kernel that multiplies packed operand tiles, a register block of the result at a time.

For a panel of columns (`vectors` registers wide), and a block of rows, the sums stay in registers
while the kernel walks down K: each group of the left operand is broadcast and multiplied with
`vectors` loads of the panel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import llvmlite.ir as ll

from canopy.targets.cpu import conversions
from canopy.targets.cpu.features import Machine
from canopy.targets.cpu.llvm import (
    I64,
    POINTER,
    Builder,
    LLValue,
    constant,
    counted_loop,
    splat,
)
from canopy.targets.cpu.multiply import Multiplication

Step: TypeAlias = Callable[[LLValue, list[LLValue]], list[LLValue]]

__all__ = ["Blocking", "LeftLayout", "product_function"]


@dataclass(frozen=True, slots=True)
class Blocking:
    """The register block of a product: rows x (vectors of ``lanes`` sums)."""

    rows: int
    vectors: int
    lanes: int

    @property
    def columns(self) -> int:
        return self.vectors * self.lanes

    @classmethod
    def choose(cls, m: int, n: int, sum_bytes: int, machine: Machine) -> Blocking:
        """From the tile's extents and the number and width of vector registers.

        Two vectors by eight rows hide the latency of the sums (16 chains), and need 10 loads for 16
        multiplications; 16 registers hold half of that.
        """
        lanes = _power_of_two_divisor(n, machine.vector_bytes // sum_bytes)
        vectors = _power_of_two_divisor(n // lanes, 2)
        limit = machine.vector_registers // (2 * vectors)
        return cls(_power_of_two_divisor(m, limit), vectors, lanes)


def _power_of_two_divisor(extent: int, limit: int) -> int:
    divisor = 1
    while divisor * 2 <= limit and extent % (divisor * 2) == 0:
        divisor *= 2
    return divisor


@dataclass(frozen=True, slots=True)
class LeftLayout:
    """Where group (row, k) of the left operand lies: at row * row_stride + k * depth_stride."""

    row_stride: int
    depth_stride: int


def product_function(
    module: Any,
    multiplication: Multiplication,
    extents: tuple[int, int],
    block: Blocking,
    left: LeftLayout,
    panel_stride: int,
    *,
    from_zero: bool,
) -> Any:
    """The function (a, b, c_in, c_out, depth): c_out = c_in + a @ b, over ``depth`` > 0 groups.

    ``b`` lies in panels of ``block.columns`` columns, ``panel_stride`` groups apart, row by row;
    ``c_in``, which may be ``c_out``, and is not read if ``from_zero``, and ``c_out`` are row-major.
    """
    m, n = extents
    kind = f"{multiplication.element}x{multiplication.group}.{multiplication.total}"
    name = f"canopy.dot.{kind}.{m}x{n}.{left.row_stride}.{left.depth_stride}.{panel_stride}"
    name += ".zero" if from_zero else ""
    known = module.globals.get(name)
    if known is not None:
        return known
    function = ll.Function(module, ll.FunctionType(ll.VoidType(), [POINTER] * 4 + [I64]), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    _Kernel(function, multiplication, extents, block, left, panel_stride, from_zero).emit()
    return function


class _Kernel:
    """Emits the body of one product function."""

    def __init__(
        self,
        function: Any,
        multiplication: Multiplication,
        extents: tuple[int, int],
        block: Blocking,
        left: LeftLayout,
        panel_stride: int,
        from_zero: bool,
    ) -> None:
        self.builder: Builder = ll.IRBuilder(function.append_basic_block("entry"))
        self.a, self.b, self.c_in, self.c_out, self.depth = function.args
        self.multiplication = multiplication
        self.m, self.n = extents
        self.block = block
        self.left = left
        self.panel_stride = panel_stride
        self.from_zero = from_zero
        self.sum_type = conversions.llvm_type(multiplication.total)
        self.vector = ll.VectorType(self.sum_type, block.lanes)
        self.group = multiplication.group_type
        self.sum_bytes = multiplication.total.bytes

    def emit(self) -> None:
        b, block = self.builder, self.block
        with counted_loop(b, constant(I64, self.n), "columns", block.columns) as j:
            panel = b.udiv(j, constant(I64, block.columns))
            right = self._at(self.b, b.mul(panel, constant(I64, self.panel_stride)))
            start = self._start(right)
            with counted_loop(b, constant(I64, self.m), "rows", block.rows) as i:
                self._register_block(right, start, i, j)
        b.ret_void()

    def _at(self, base: LLValue, groups: LLValue) -> LLValue:
        return self.builder.gep(base, [groups], source_etype=self.group)

    def _start(self, right: LLValue) -> list[LLValue]:
        """What the sums of a panel start from, per vector, apart from c_in."""
        zero = [ll.Constant(self.vector, None)] * self.block.vectors
        if not self.multiplication.is_biased:
            return zero
        bias = self.multiplication.bias(self.block.lanes)

        def step(depth: LLValue, sums: list[LLValue]) -> list[LLValue]:
            vectors = self._right_vectors(right, depth)
            return [
                self.multiplication.add_product(self.builder, bias, v, s)
                for v, s in zip(vectors, sums, strict=True)
            ]

        return [self.builder.sub(zero[0], s) for s in self._over_depth("bias", zero, step)]

    def _register_block(self, right: LLValue, start: list[LLValue], i: LLValue, j: LLValue) -> None:
        b, block = self.builder, self.block
        left = self._at(self.a, b.mul(i, constant(I64, self.left.row_stride)))
        places = [(r, v) for r in range(block.rows) for v in range(block.vectors)]
        first = b.add(b.mul(i, constant(I64, self.n)), j)

        def address(base: LLValue, row: int, v: int) -> LLValue:
            offset = b.add(first, constant(I64, row * self.n + v * block.lanes))
            return b.gep(base, [offset], source_etype=self.sum_type)

        sums = [start[v] for _, v in places]
        if not self.from_zero:
            held = [
                b.load(address(self.c_in, r, v), typ=self.vector, align=self.sum_bytes)
                for r, v in places
            ]
            biased = self.multiplication.is_biased
            sums = [b.add(h, s) if biased else h for h, s in zip(held, sums, strict=True)]

        totals = self._over_depth("k", sums, lambda k, s: self._step(left, right, k, s))
        for (r, v), total in zip(places, totals, strict=True):
            b.store(total, address(self.c_out, r, v), align=self.sum_bytes)

    def _step(
        self, left: LLValue, right: LLValue, depth: LLValue, sums: list[LLValue]
    ) -> list[LLValue]:
        b, block, multiplication = self.builder, self.block, self.multiplication
        vectors = self._right_vectors(right, depth)
        totals: list[LLValue] = []
        along = b.mul(depth, constant(I64, self.left.depth_stride))
        for r in range(block.rows):
            place = self._at(left, b.add(along, constant(I64, r * self.left.row_stride)))
            group = b.load(place, typ=self.group, align=multiplication.element.bytes)
            broadcast = splat(b, group, block.lanes)
            for v in range(block.vectors):
                total = sums[r * block.vectors + v]
                totals.append(multiplication.add_product(b, broadcast, vectors[v], total))
        return totals

    def _right_vectors(self, right: LLValue, depth: LLValue) -> list[LLValue]:
        b, block = self.builder, self.block
        type_ = ll.VectorType(self.group, block.lanes)
        row = b.mul(depth, constant(I64, block.columns))
        return [
            b.load(
                self._at(right, b.add(row, constant(I64, v * block.lanes))),
                typ=type_,
                align=self.multiplication.element.bytes,
            )
            for v in range(block.vectors)
        ]

    def _over_depth(self, name: str, start: list[LLValue], step: Step) -> list[LLValue]:
        """Runs ``step(k, sums) -> sums`` for every group of K, with the sums in registers."""
        b = self.builder
        before = b.block
        body = b.function.append_basic_block(f"{name}.body")
        after = b.function.append_basic_block(f"{name}.end")
        b.branch(body)
        b.position_at_end(body)
        depth = b.phi(I64)
        depth.add_incoming(constant(I64, 0), before)
        sums = [b.phi(value.type) for value in start]
        for phi, value in zip(sums, start, strict=True):
            phi.add_incoming(value, before)
        totals = step(depth, sums)
        following = b.add(depth, constant(I64, 1))
        depth.add_incoming(following, body)
        for phi, total in zip(sums, totals, strict=True):
            phi.add_incoming(total, body)
        b.cbranch(b.icmp_unsigned("<", following, self.depth), body, after)
        b.position_at_end(after)
        return totals
