"""Operand tiles of matrix products, written as the product's kernel reads them.

The right operand [K, N] goes into panels of a few registers' columns, each with its rows of groups
one behind another; the left one [M, K] into rows, or, where memory holds it by columns, into one
panel of M columns. A right operand that memory holds along K is copied as it lies and then
transposed in blocks. A tile is loaded (masked, converted) and packed in one nest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import ScalarType, element_type
from canopy.targets.cpu import conversions
from canopy.targets.cpu.contiguity import contiguous_axis
from canopy.targets.cpu.dot import Blocking, LeftLayout
from canopy.targets.cpu.forms import Affine, Index, Uniform
from canopy.targets.cpu.llvm import I8, I32, I64, POINTER, LLValue, constant, counted_loop
from canopy.targets.cpu.multiply import Multiplication
from canopy.targets.cpu.nest import Nest, Point, Root
from canopy.targets.cpu.prefetch import Stream

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["LeftOperand", "RightOperand"]

CACHE_LINE = 64
LONGEST_STRIP = 64


@dataclass(frozen=True, slots=True)
class _Panels:
    """Column n, depth k at [n / width][k / group][n % width][k % group]; in elements."""

    width: int
    stride: int  # from panel to panel
    group: int

    def offset(self, b: Any, groups: LLValue, column: LLValue) -> LLValue:
        width = constant(I64, self.width)
        panel = b.mul(b.udiv(column, width), constant(I64, self.stride))
        inside = b.mul(b.urem(column, width), constant(I64, self.group))
        row = b.mul(groups, constant(I64, self.width * self.group))
        return b.add(panel, b.add(row, inside))


@dataclass(frozen=True, slots=True)
class _Rows:
    """Row r, depth k at r * stride + k; in elements."""

    stride: int


class _PackNest(Nest):
    """A nest over (batch, columns, groups along K), or (batch, rows, K), that packs a tile."""

    def __init__(
        self, program: Program, value: ir.Value, depth_axis: int, layout: _Panels | _Rows
    ) -> None:
        other = 2 * len(value.shape) - 3 - depth_axis  # the last two axes are depth and other
        shape = list(value.shape)
        if isinstance(layout, _Panels):
            shape[depth_axis] //= layout.group
            lane_axis, inner = other, depth_axis
            lanes = _strip_lanes(shape[lane_axis], layout.width)
        else:
            lane_axis, inner = depth_axis, depth_axis
            lanes = _strip_lanes(shape[lane_axis], LONGEST_STRIP)
        super().__init__(program, tuple(shape), lane_axis, lanes, None)
        self.depth_axis, self.other_axis, self.layout = depth_axis, other, layout
        outer = [axis for axis in range(len(shape)) if axis not in (other, depth_axis)]
        # Rows of a panel follow each other in the innermost loop: what depends on the column
        # (masks, remainders) stays outside it.
        self._order = [*outer, other, inner]
        self.points: list[Point] = []

    def _strip(self, roots: list[Root]) -> None:
        self.points = self._group_points()
        super()._strip(roots)

    def guarded_points(self) -> list[Point]:
        return self.points

    def _group_points(self) -> list[Point]:
        """The points of a strip, one for each element of a group."""
        point = list(self.point)
        group = self.layout.group if isinstance(self.layout, _Panels) else 1
        if group == 1:
            return [tuple(point)]
        axis, b = self.depth_axis, self.builder
        index = point[axis]
        assert isinstance(index.form, Uniform)
        first = b.mul(index.form.value, constant(I64, group))
        points = []
        for k in range(group):
            point[axis] = Index(Uniform(b.add(first, constant(I64, k))), index.level)
            points.append(tuple(point))
        return points

    def offset(self) -> LLValue:
        """Where the strip goes, in elements, apart from the batch."""
        b = self.builder
        depth, other = (self._start(axis) for axis in (self.depth_axis, self.other_axis))
        if isinstance(self.layout, _Panels):
            return self.layout.offset(b, depth, other)
        return b.add(b.mul(other, constant(I64, self.layout.stride)), depth)

    def _start(self, axis: int) -> LLValue:
        form = self.point[axis].form
        return form.base if isinstance(form, Affine) else form.value  # type: ignore[union-attr]


def _strip_lanes(extent: int, limit: int) -> int:
    lanes = 1
    while lanes * 2 <= limit and extent % (lanes * 2) == 0:
        lanes *= 2
    return lanes


@dataclass(eq=False)
class _PackRoot:
    """Writes strips of a value, converted, groups side by side."""

    value: ir.Value
    element: ScalarType
    address: LLValue
    batch_stride: int
    is_biased: bool
    reduce_axis: int | None = None
    op: ir.Op | None = None

    def inputs(self) -> tuple[ir.Value, ...]:
        return (self.value,)

    def begin(self, nest: Nest) -> None:
        pass

    def end(self, nest: Nest) -> None:
        pass

    def lanes(self, nest: Nest) -> None:
        assert isinstance(nest, _PackNest)
        b = nest.builder
        source = element_type(self.value.type)
        assert isinstance(source, ScalarType)
        strips = [
            conversions.cast(b, nest.lane_vector(self.value, point), source, self.element, "rtne")
            for point in nest.points
        ]
        if self.is_biased:
            # Here, not in the kernel: LLVM 22 for x86 did not finish legalising the xor of a
            # broadcast that vpdpbusd takes.
            strips = [b.xor(strip, constant(strip.type, -128)) for strip in strips]
        offset = nest.offset()
        if len(self.value.shape) == 3:
            batch = nest.point[0].form
            assert isinstance(batch, Uniform)
            offset = b.add(offset, b.mul(batch.value, constant(I64, self.batch_stride)))
        type_ = conversions.memory_type(self.element)
        place = b.gep(self.address, [offset], source_etype=type_)
        b.store(_interleaved(b, strips), place, align=self.element.bytes)


def _interleaved(b: Any, strips: list[LLValue]) -> LLValue:
    """Lane 0 of every strip, lane 1 of every strip, ...; of one, two, or four strips of bytes."""
    if len(strips) == 4:
        strips = [_paired(b, strips[0], strips[1]), _paired(b, strips[2], strips[3])]
    return _zipped(b, *strips) if len(strips) == 2 else strips[0]


def _paired(b: Any, low: LLValue, high: LLValue) -> LLValue:
    """Lanes of 16 bits from the bytes of two strips."""
    wide = ll.VectorType(ll.IntType(16), low.type.count)
    return b.or_(b.zext(low, wide), b.shl(b.zext(high, wide), constant(wide, 8)))


def _zipped(b: Any, left: LLValue, right: LLValue) -> LLValue:
    lanes = left.type.count
    return _shuffled(b, left, right, [i // 2 + i % 2 * lanes for i in range(2 * lanes)])


def _shuffled(b: Any, left: LLValue, right: LLValue, order: list[int]) -> LLValue:
    mask = ll.Constant(ll.VectorType(I32, len(order)), [ll.Constant(I32, i) for i in order])
    return b.shuffle_vector(left, right, mask)


class _Operand:
    """Room for a packed operand of up to ``capacity`` elements along K."""

    def __init__(
        self, program: Program, multiplication: Multiplication, size: int, batches: int
    ) -> None:
        self.program = program
        self.multiplication = multiplication
        self.batch_stride = size  # elements
        self.bytes = size * batches * multiplication.element.bytes
        # Of the chunk that is packed or multiplied now; ``home`` if it is not kept.
        self.home = self.address = program.allocate_bytes(self.bytes)

    def place(self, batch: LLValue | None) -> LLValue:
        """The address of one matrix of the batch."""
        if batch is None:
            return self.address
        b = self.program.builder
        size = constant(I64, self.batch_stride * self.multiplication.element.bytes)
        return b.gep(self.address, [b.mul(batch, size)], source_etype=I8)

    def _behind(self, address: LLValue, elements: LLValue) -> LLValue:
        size = constant(I64, self.multiplication.element.bytes)
        b = self.program.builder
        return b.gep(address, [b.mul(elements, size)], source_etype=I8)

    def _pack(
        self,
        value: ir.Value,
        depth_axis: int,
        layout: _Panels | _Rows,
        address: LLValue,
        batch_stride: int,
        streams: Sequence[Stream],
    ) -> None:
        self.program.flush()
        biased = self.multiplication.is_biased and isinstance(self, LeftOperand)
        root = _PackRoot(value, self.multiplication.element, address, batch_stride, biased)
        nest = _PackNest(self.program, value, depth_axis, layout)
        nest.streams = list(streams)
        nest.run([root])


class LeftOperand(_Operand):
    """The left operand [M, K], by rows or, where memory holds it so, by columns."""

    def __init__(
        self, program: Program, value: ir.Value, multiplication: Multiplication, capacity: int
    ) -> None:
        *batch, self.rows, _ = value.shape
        self.by_columns = contiguous_axis(program, value) == len(value.shape) - 2
        self.group = multiplication.group
        self.row_stride = capacity
        if capacity * multiplication.element.bytes >= 8 * CACHE_LINE:
            self.row_stride += CACHE_LINE // multiplication.element.bytes  # rows in distinct sets
        depth = capacity if self.by_columns else self.row_stride
        super().__init__(program, multiplication, self.rows * depth, batch[0] if batch else 1)

    @property
    def layout(self) -> LeftLayout:
        if self.by_columns:
            return LeftLayout(1, self.rows)
        return LeftLayout(self.row_stride // self.group, 1)

    def pack(self, value: ir.Value, first: LLValue, streams: Sequence[Stream] = ()) -> None:
        """Packs a tile behind ``first`` elements along K."""
        axis = len(value.shape) - 1
        if self.by_columns:
            address = self._behind(
                self.address, self.program.builder.mul(first, constant(I64, self.rows))
            )
            panels = _Panels(self.rows, 0, self.group)
            self._pack(value, axis, panels, address, self.batch_stride, streams)
        else:
            address = self._behind(self.address, first)
            self._pack(value, axis, _Rows(self.row_stride), address, self.batch_stride, streams)


class RightOperand(_Operand):
    """The right operand [K, N], in panels."""

    def __init__(
        self,
        program: Program,
        value: ir.Value,
        multiplication: Multiplication,
        block: Blocking,
        capacity: int,
    ) -> None:
        *batch, self.depth, self.columns = value.shape
        self.block = block
        self.capacity = capacity
        self.batches = batch[0] if batch else 1
        super().__init__(program, multiplication, self.columns * capacity, self.batches)
        self.along_depth = contiguous_axis(program, value) == len(value.shape) - 2
        self.staged = (
            program.allocate_bytes(
                self.columns * self._staged_stride * multiplication.element.bytes
            )
            if self.along_depth and self.batches == 1
            else None
        )

    @property
    def _staged_stride(self) -> int:
        return self.depth + CACHE_LINE // self.multiplication.element.bytes

    @property
    def panel_stride(self) -> int:
        """From panel to panel, in groups."""
        return self.block.columns * self.capacity // self.multiplication.group

    def pack(self, value: ir.Value, first: LLValue, streams: Sequence[Stream] = ()) -> None:
        """Packs a tile behind ``first`` elements along K."""
        b, columns = self.program.builder, self.block.columns
        address = self._behind(self.address, b.mul(first, constant(I64, columns)))
        axis = len(value.shape) - 2
        if self.staged is None:
            panels = _Panels(columns, columns * self.capacity, self.multiplication.group)
            self._pack(value, axis, panels, address, self.batch_stride, streams)
            return
        self._pack(value, axis, _Rows(self._staged_stride), self.staged, 0, streams)
        groups = self.depth // self.multiplication.group
        stride = self._staged_stride // self.multiplication.group
        function = _transposing_function(
            self.program.module,
            self.multiplication,
            (self.columns, groups),
            stride,
            self.block,
            self.panel_stride,
        )
        b.call(function, [self.staged, address])


def _transposing_function(
    module: Any,
    multiplication: Multiplication,
    extents: tuple[int, int],
    row_stride: int,
    block: Blocking,
    panel_stride: int,
) -> Any:
    """The function (rows, panels) that brings [columns][groups] into panels; all in groups."""
    columns, groups = extents
    name = f"canopy.transpose.{multiplication.group_bytes}.{columns}x{groups}.{row_stride}"
    name += f".{block.columns}.{panel_stride}"
    known = module.globals.get(name)
    if known is not None:
        return known
    function = ll.Function(module, ll.FunctionType(ll.VoidType(), [POINTER] * 2), name)
    function.linkage = "internal"
    function.attributes.add("noinline")
    b = ll.IRBuilder(function.append_basic_block("entry"))
    group, align = multiplication.group_type, multiplication.element.bytes
    side = min(_strip_lanes(columns, block.lanes), _strip_lanes(groups, block.lanes))
    type_ = ll.VectorType(group, side)
    width = constant(I64, block.columns)
    with (
        counted_loop(b, constant(I64, columns), "columns", side) as n,
        counted_loop(b, constant(I64, groups), "groups", side) as k,
    ):
        source = b.add(b.mul(n, constant(I64, row_stride)), k)
        panel = b.mul(b.udiv(n, width), constant(I64, panel_stride))
        target = b.add(panel, b.add(b.mul(k, width), b.urem(n, width)))
        rows = []
        for i in range(side):
            at = b.add(source, constant(I64, i * row_stride))
            place = b.gep(function.args[0], [at], source_etype=group)
            rows.append(b.load(place, typ=type_, align=align))
        for i, row in enumerate(_transposed(b, rows)):
            at = b.add(target, constant(I64, i * block.columns))
            b.store(row, b.gep(function.args[1], [at], source_etype=group), align=align)
    b.ret_void()
    return function


def _transposed(b: Any, rows: list[LLValue]) -> list[LLValue]:
    """The columns of a square of vectors: log2(side) rounds of zipping its two halves."""
    side = len(rows)
    half, rounds = side // 2, side.bit_length() - 1
    for _ in range(rounds):
        zipped = []
        for i in range(half):
            pair = rows[i], rows[i + half]
            for first in (0, half):
                order = [first + j // 2 + j % 2 * side for j in range(side)]
                zipped.append(_shuffled(b, *pair, order))
        rows = zipped
    return rows
