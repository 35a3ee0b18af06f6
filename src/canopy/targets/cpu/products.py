"""Matrix products of tiles: operands packed, batches, accumulators, rounding; and loops of them.

A loop that only loads, multiplies and accumulates packs several of its steps before it multiplies:

    for k in range(0, K, 32):                 for k in range(0, K, 256):
        a, b = load .., load ..                   for s in up to 8 steps:
        acc = dot(a, b, acc)          as              pack load .., pack load ..
                                                  acc += packed @ packed, in registers over 256

so that accumulators come from memory once per chunk. The order of additions is the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import llvmlite.ir as ll

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.ir import types
from canopy.ir.types import ScalarType, TileType, element_type, is_signed
from canopy.passes.memory import WRITES
from canopy.targets.cpu import conversions
from canopy.targets.cpu.buffers import Buffer
from canopy.targets.cpu.dot import Blocking, product_function
from canopy.targets.cpu.kept_panels import KeptPanels
from canopy.targets.cpu.llvm import I8, I64, LLValue, constant, counted_loop
from canopy.targets.cpu.multiply import Multiplication, choose_multiplication
from canopy.targets.cpu.packing import LeftOperand, RightOperand
from canopy.targets.cpu.prefetch import Stream, streams_of_loop

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["emit_contraction", "emit_dot", "is_contraction", "packed_before"]

# Bytes of a panel that stay in the first cache while the rows of the left operand pass by.
PANEL_BYTES = 32 << 10
_EFFECTS = (*WRITES, ir.Ordering, ir.Assert, ir.Print, ir.NativeCall, ir.For, ir.While, ir.If)


class Product:
    """One dot: how it is computed, and its packed operands with room for ``steps`` tiles."""

    def __init__(self, program: Program, op: ir.Dot, steps: int | None = 1) -> None:
        self.program = program
        self.op = op
        *batch, self.m, self.n = op.acc.shape
        self.batches = batch[0] if batch else 1
        self.depth = op.lhs.shape[-1]
        self.multiplication, self.block = _choose(program, op)
        row_bytes = self.block.columns * self.multiplication.group_bytes
        longest = PANEL_BYTES // row_bytes * self.multiplication.group
        self.steps = max(1, longest // self.depth) if steps is None else steps

    @property
    def capacity(self) -> int:
        return self.depth * self.steps

    def left(self) -> LeftOperand:
        return LeftOperand(self.program, self.op.lhs, self.multiplication, self.capacity)

    def right(self) -> RightOperand:
        return RightOperand(
            self.program, self.op.rhs, self.multiplication, self.block, self.capacity
        )

    def multiply(
        self,
        left: LeftOperand,
        right: RightOperand,
        acc: Buffer | None,
        total: Buffer,
        depth: LLValue,
    ) -> None:
        """total = acc (or zero) + left @ right over ``depth`` elements of K."""
        b = self.program.builder
        function = product_function(
            self.program.module,
            self.multiplication,
            (self.m, self.n),
            self.block,
            left.layout,
            right.panel_stride,
            from_zero=acc is None,
        )
        groups = b.udiv(depth, constant(I64, self.multiplication.group))
        with self._each_matrix() as batch:
            results = [self._matrix(buffer, batch) for buffer in (acc or total, total)]
            b.call(function, [left.place(batch), right.place(batch), *results, groups])

    @contextmanager
    def _each_matrix(self) -> Iterator[LLValue | None]:
        if self.batches == 1:
            yield None
            return
        with counted_loop(self.program.builder, constant(I64, self.batches), "batch") as i:
            yield i

    def _matrix(self, buffer: Buffer, batch: LLValue | None) -> LLValue:
        if batch is None:
            return buffer.address
        b = self.program.builder
        size = constant(I64, self.m * self.n * buffer.element.bytes)
        return b.gep(buffer.address, [b.mul(batch, size)], source_etype=I8)


def _choose(program: Program, op: ir.Dot) -> tuple[Multiplication, Blocking]:
    total = element_type(op.acc.type)
    left, right = element_type(op.lhs.type), element_type(op.rhs.type)
    assert isinstance(total, ScalarType)
    assert isinstance(left, ScalarType)
    assert isinstance(right, ScalarType)
    if total.kind == "int" and total != types.I32:
        raise UnsupportedError(f"tl.dot cannot accumulate in {total}", location=op.location)
    *_, m, n = op.acc.shape
    sum_bytes = max(4, total.bytes)
    block = Blocking.choose(m, n, sum_bytes, program.machine)
    return (
        choose_multiplication((left, right), total, op.lhs.shape[-1], block.lanes, program.machine),
        block,
    )


def emit_dot(program: Program, op: ir.Dot) -> None:
    """One product; operands that a loop around it packed already are taken as they are."""
    product = Product(program, op)
    zero = constant(I64, 0)
    known = program.packed.get(op)
    left, right = known or (None, None)
    if left is None:
        left = product.left()
        left.pack(op.lhs, zero)
    if right is None:
        right = product.right()
        right.pack(op.rhs, zero)
    inner = product.multiplication.total
    acc = None if _is_zero(op.acc) else program.kept_buffer(op.acc, inner)
    result = program.result_buffer(op.result)
    assert isinstance(op.acc.type, TileType)
    total = result if inner == result.element else program.allocate(op.acc.type, inner)
    product.multiply(left, right, acc, total, constant(I64, product.depth))
    program.buffers[op.result] = result
    if total is not result:
        _round_buffer(program, total, result)


def _is_zero(value: ir.Value) -> bool:
    op = value.op
    if isinstance(op, ir.Splat):
        op = op.source.op
    return isinstance(op, ir.Constant) and op.value == 0 and str(op.value) != "-0.0"


def _round_buffer(program: Program, source: Buffer, target: Buffer) -> None:
    b = program.builder
    size = 1
    for extent in source.shape:
        size *= extent
    with counted_loop(b, constant(I64, size), "round") as i:
        wide = b.load(b.gep(source.address, [i], source_etype=ll.FloatType()), typ=ll.FloatType())
        assert isinstance(target.element, ScalarType)
        narrow = conversions.from_float(b, wide, target.element, "rtne")
        b.store(
            narrow,
            b.gep(target.address, [i], source_etype=conversions.memory_type(target.element)),
        )


@contextmanager
def packed_before(program: Program, *regions: ir.Region) -> Iterator[None]:
    """Inside, dots of the regions find operands that come from outside packed already."""
    inside = {v for region in regions for v in _defined_in(region)}
    found = []
    for op in (op for region in regions for op in ir.walk(region.ops)):
        if not isinstance(op, ir.Dot) or op in program.packed:
            continue
        sides = op.lhs not in inside, op.rhs not in inside
        if any(sides):
            product = Product(program, op)
            left = product.left() if sides[0] else None
            right = product.right() if sides[1] else None
            if left is not None:
                left.pack(op.lhs, constant(I64, 0))
            if right is not None:
                right.pack(op.rhs, constant(I64, 0))
            program.packed[op] = left, right
            found.append(op)
    yield
    for op in found:
        del program.packed[op]


def _defined_in(region: ir.Region) -> Iterator[ir.Value]:
    yield from region.args
    for op in region.ops:
        yield from op.results
        for inner in op.regions:
            yield from _defined_in(inner)


# ---- loops -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Accumulator:
    """A dot of a loop whose accumulator the loop carries, and nothing else reads."""

    dot: ir.Dot
    position: int  # among what the loop carries


def is_contraction(program: Program, op: ir.For) -> bool:
    """Whether the loop does nothing but accumulate products, so that steps may be packed ahead."""
    return bool(_accumulators(program, op))


def _accumulators(program: Program, op: ir.For) -> list[_Accumulator]:
    ops = op.body.ops
    if any(isinstance(o, _EFFECTS) or (isinstance(o, ir.Load) and o.volatile) for o in ops):
        return []
    yielded = op.body.terminator.operands
    users: dict[ir.Value, int] = {}
    for inner in ops:
        for value in inner.operands:
            users[value] = users.get(value, 0) + 1
    found = []
    for position, (argument, value) in enumerate(zip(op.body.args[1:], yielded, strict=True)):
        if not argument.is_tile:
            continue
        dot = value.op
        if not isinstance(dot, ir.Dot) or dot.acc is not argument or dot not in ops:
            return []
        if users[argument] != 1 or users[value] != 1:
            return []
        if _choose(program, dot)[0].total != element_type(argument.type):
            return []
        found.append(_Accumulator(dot, position))
    dots = sum(isinstance(o, ir.Dot) for o in ops)
    return found if len(found) == dots else []


def emit_contraction(program: Program, op: ir.For) -> None:
    """The loop in chunks of as many steps as a panel holds."""
    accumulators = _accumulators(program, op)
    longest = min(Product(program, a.dot, None).steps for a in accumulators)
    products = [Product(program, a.dot, longest) for a in accumulators]
    operands = [(product.left(), product.right()) for product in products]
    sums = _start_sums(program, op, accumulators)
    slots = _start_scalars(program, op)
    panels = [
        panel
        for product, pair in zip(products, operands, strict=True)
        for panel in _Panel.of(program, op, product, pair)
    ]
    b = program.builder
    counter = program.alloca(program.scalar(op.lower).type)
    b.store(program.scalar(op.lower), counter)
    filled = program.alloca(I64)
    head, chunk, step, multiply, after = (
        b.function.append_basic_block(f"contraction.{part}")
        for part in ("head", "chunk", "step", "multiply", "end")
    )
    b.branch(head)
    b.position_at_end(head)
    b.cbranch(_continues(program, op, counter), chunk, after)

    b.position_at_end(chunk)
    b.store(constant(I64, 0), filled)
    carried = {
        argument: b.load(slot, typ=slot.allocated_type)
        for argument, slot in zip(op.body.args, (counter, *slots), strict=True)
        if slot is not None
    }
    for panel in panels:
        panel.find(carried)
    b.branch(step)

    b.position_at_end(step)
    _emit_step(program, op, counter, slots)
    done = b.load(filled, typ=I64)
    for panel in panels:
        panel.pack(done, streams_of_loop(program, op, panel.value, longest))
    _advance(program, op, counter, slots)
    following = b.add(done, constant(I64, 1))
    b.store(following, filled)
    is_full = b.icmp_unsigned("==", following, constant(I64, longest))
    more = b.and_(b.not_(is_full), _continues(program, op, counter))
    b.cbranch(more, step, multiply)

    b.position_at_end(multiply)
    for product, (left, right), total in zip(products, operands, sums, strict=True):
        depth = b.mul(b.load(filled, typ=I64), constant(I64, product.depth))
        product.multiply(left, right, total, total, depth)
    b.branch(head)

    b.position_at_end(after)
    _finish(program, op, accumulators, sums, slots)


class _Panel:
    """An operand of a product of a loop, packed chunk by chunk, or found packed already."""

    def __init__(
        self,
        program: Program,
        loop: ir.For,
        product: Product,
        operand: LeftOperand | RightOperand,
        value: ir.Value,
    ) -> None:
        self.program, self.product, self.operand, self.value = program, product, operand, value
        self.kept = KeptPanels.of(program, loop, value, operand.bytes)
        self.is_packed: LLValue | None = None

    @classmethod
    def of(
        cls,
        program: Program,
        loop: ir.For,
        product: Product,
        operands: tuple[LeftOperand, RightOperand],
    ) -> list[_Panel]:
        left, right = operands
        return [
            cls(program, loop, product, left, product.op.lhs),
            cls(program, loop, product, right, product.op.rhs),
        ]

    def find(self, carried: dict[ir.Value, LLValue]) -> None:
        """At the begin of a chunk."""
        if self.kept is not None:
            found = self.kept.find(carried, self.operand.home)
            self.operand.address, self.is_packed = found

    def pack(self, done: LLValue, streams: Sequence[Stream]) -> None:
        """Packs the tile of one step, behind ``done`` others of the chunk."""
        b = self.program.builder
        first = b.mul(done, constant(I64, self.product.depth))
        if self.is_packed is None:
            self.operand.pack(self.value, first, streams)
            return
        with b.if_then(b.not_(self.is_packed)):
            self.operand.pack(self.value, first, streams)


def _start_sums(program: Program, op: ir.For, accumulators: list[_Accumulator]) -> list[Buffer]:
    sums = []
    for accumulator in accumulators:
        value = op.initial[accumulator.position]
        assert isinstance(value.type, TileType)
        total = program.allocate(value.type)
        program.copy_to(value, total)
        sums.append(total)
    program.flush()
    return sums


def _start_scalars(program: Program, op: ir.For) -> list[LLValue | None]:
    slots: list[LLValue | None] = []
    for value in op.initial:
        if value.is_tile:
            slots.append(None)
            continue
        slot = program.alloca(conversions.llvm_type(element_type(value.type)))
        program.builder.store(program.scalar(value), slot)
        slots.append(slot)
    return slots


def _continues(program: Program, op: ir.For, counter: LLValue) -> LLValue:
    b = program.builder
    compare = b.icmp_signed if is_signed(op.lower.type) else b.icmp_unsigned
    return compare("<", b.load(counter, typ=counter.allocated_type), program.scalar(op.upper))


def _emit_step(program: Program, op: ir.For, counter: LLValue, slots: list[LLValue | None]) -> None:
    """All that the body computes but for its products."""
    b = program.builder
    program.scalars[op.body.args[0]] = b.load(counter, typ=counter.allocated_type)
    for argument, slot in zip(op.body.args[1:], slots, strict=True):
        if slot is not None:
            program.scalars[argument] = b.load(slot, typ=slot.allocated_type)
    program.block([inner for inner in op.body.ops if not isinstance(inner, ir.Dot)])
    program.flush()


def _advance(program: Program, op: ir.For, counter: LLValue, slots: list[LLValue | None]) -> None:
    b = program.builder
    yielded = op.body.terminator.operands
    values = [program.scalar(v) for v, slot in zip(yielded, slots, strict=True) if slot is not None]
    for value, slot in zip(values, [s for s in slots if s is not None], strict=True):
        b.store(value, slot)
    current = b.load(counter, typ=counter.allocated_type)
    b.store(b.add(current, program.scalar(op.step)), counter)


def _finish(
    program: Program,
    op: ir.For,
    accumulators: list[_Accumulator],
    sums: list[Buffer],
    slots: list[LLValue | None],
) -> None:
    for accumulator, total in zip(accumulators, sums, strict=True):
        program.buffers[op.results[accumulator.position]] = total
    for result, slot in zip(op.results, slots, strict=True):
        if slot is not None:
            program.scalars[result] = program.builder.load(slot, typ=slot.allocated_type)
