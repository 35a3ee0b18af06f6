"""Loops that only update tiles where they are, run strip by strip with the strips in registers.

    for k: sums[r, :] += w[r, k, :] * x[k, :]     as     for r:  s = sums[r, :]
                                                                 for k: s += w[r, k, :] * x[k, :]
                                                                 sums[r, :] = s

The tile stays out of memory, and each row of the operand is read from its begin to its end, as
memory likes it; a few rows at a time, which share what they read of ``x``. Every lane sees the same
operations in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from canopy import ir
from canopy.ir.types import ScalarType, TileType, element_type, is_bool, is_signed
from canopy.targets.cpu import conversions
from canopy.targets.cpu.accumulators import updated_in_place
from canopy.targets.cpu.buffers import Buffer
from canopy.targets.cpu.forms import Form, Index, Lanes, Uniform
from canopy.targets.cpu.llvm import I64, Builder, LLValue, constant, vector
from canopy.targets.cpu.nest import Nest, Point, Root
from canopy.targets.cpu.plan import own_cost
from canopy.targets.cpu.prefetch import streams_of_loop

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["emit_sweep", "is_sweep"]

# Rows share what they read of the vector. By hand in C, one thread of a Zen 5 reads 64 MiB of
# weights in 1.9 ms by 4 rows of 4 vectors, in 2.0 to 2.3 ms by 2 of 8, in 2.4 ms by 1 of 8, in
# 3.7 ms by 16 of one; of the code made here 1 row took 2.1 ms, 2 and 4 took 1.8 to 2.2 ms.
MAX_ROWS = 4
# Narrow numbers take more instructions per byte, so that the processor looks less far ahead:
# 32 MiB of bf16 take 1.18 ms without prefetch, 1.06 ms with it. For wide ones it was no gain.
NARROW_BYTES = 2
PREFETCH_BYTES = 4096
LONGEST_STRIP = 128  # of masks
# More strips along the last axis would each read too little of a row at a time.
MAX_STRIPS = 4
CHEAP = 1  # simple ops, of what all rows share

_ELEMENTWISE = (
    *(ir.Constant, ir.Binary, ir.Compare, ir.Select, ir.MathCall, ir.Fma, ir.Clamp),
    *(ir.Cast, ir.Bitcast, ir.Offset, ir.Load),
)
_SHAPES = (ir.Range, ir.Splat, ir.Broadcast, ir.ExpandDims, ir.Reshape, ir.Transpose)


def is_sweep(program: Program, op: ir.For) -> bool:
    """Whether the loop does nothing but update tiles of one shape from what it loads."""
    tiles = _tiles(op)
    if not tiles or len({tile.shape for tile in tiles}) > 1:
        return False
    if not all(_is_plain(program, inner, tiles[0].shape) for inner in op.body.ops[:-1]):
        return False
    if not updated_in_place(program.plan, op.body).issuperset(tiles):
        return False
    loads = _tile_loads(op)
    # What all rows share is read anew for each of them: at most as much as they have of their own.
    own = sum(load.result.shape == tiles[0].shape for load in loads)
    if not own or 2 * own < len(loads):
        return False
    block = _Block.of(program, op)
    return block is not None and tiles[0].shape[-1] <= MAX_STRIPS * block.lanes


def _tiles(op: ir.For) -> list[ir.Value]:
    return [argument for argument in op.body.args[1:] if argument.is_tile]


def _tile_loads(op: ir.For) -> list[ir.Load]:
    return [o for o in op.body.ops if isinstance(o, ir.Load) and o.result.is_tile]


def _is_narrow(op: ir.For) -> bool:
    return min(load.type.bytes for load in _tile_loads(op)) <= NARROW_BYTES


def _is_plain(program: Program, op: ir.Op, shape: tuple[int, ...]) -> bool:
    """Whether the op may be computed in the nest: anew for each row, though it may be kept else."""
    if len(op.results) != 1 or (isinstance(op, ir.Load) and op.volatile):
        return False
    if not op.result.is_tile:
        return isinstance(op, _ELEMENTWISE)
    if not isinstance(op, (*_ELEMENTWISE, *_SHAPES)) or op.result in program.plan.dual:
        return False
    return op.result.shape == shape or own_cost(op) <= CHEAP


@dataclass(frozen=True, slots=True)
class _Block:
    """What stays in registers of each tile: ``rows`` strips of ``lanes``."""

    rows: int
    lanes: int

    @classmethod
    def of(cls, program: Program, op: ir.For) -> _Block | None:
        """As many lanes, then rows, as half of the registers hold; None if there are no lanes."""
        tiles = _tiles(op)
        elements = [element_type(tile.type) for tile in tiles]
        if any(not isinstance(element, ScalarType) or is_bool(element) for element in elements):
            return None
        machine, shape = program.machine, tiles[0].shape
        room = machine.vector_registers // 2 * machine.vector_bytes
        room //= sum(element.bytes for element in elements)
        lanes = _power_of_two_divisor(shape[-1], min(room, LONGEST_STRIP))
        if lanes == 1:
            return None
        limit = 1 if _is_narrow(op) else min(room // lanes, MAX_ROWS)
        return cls(_power_of_two_divisor(shape[-2], limit) if len(shape) > 1 else 1, lanes)


def _power_of_two_divisor(extent: int, limit: int) -> int:
    divisor = 1
    while divisor * 2 <= limit and extent % (divisor * 2) == 0:
        divisor *= 2
    return divisor


def emit_sweep(program: Program, op: ir.For) -> None:
    """The loop inside a nest over its tiles."""
    program.flush()
    b = program.builder
    block = _Block.of(program, op)
    assert block is not None
    carried = [
        _Carried.of(program, block, argument, initial, value)
        for argument, initial, value in zip(
            op.body.args[1:], op.initial, op.body.terminator.operands, strict=True
        )
    ]
    tiles = [each for each in carried if each.buffer is not None]
    for each in carried:
        if each.buffer is None:
            b.store(program.scalar(each.initial), each.slots[0])
    with b.if_else(_is_below(program, op, program.scalar(op.lower)), likely=True) as (
        then,
        otherwise,
    ):
        with then:
            _SweepNest(program, op, carried, block).run(list(tiles))
        with otherwise:
            for each in tiles:
                assert each.buffer is not None
                program.copy_to(each.initial, each.buffer)
            program.flush()
    for each, result in zip(carried, op.results, strict=True):
        if each.buffer is None:
            program.scalars[result] = _loaded(b, each.slots[0])
        else:
            program.buffers[result] = each.buffer


def _is_below(program: Program, op: ir.For, counter: LLValue) -> LLValue:
    compare = (
        program.builder.icmp_signed if is_signed(op.lower.type) else program.builder.icmp_unsigned
    )
    return compare("<", counter, program.scalar(op.upper))


def _loaded(b: Builder, slot: LLValue) -> LLValue:
    return b.load(slot, typ=slot.allocated_type)


@dataclass(eq=False)
class _Carried:
    """What the loop carries: a scalar, or a tile, whose root this is. The slots, one for each row
    of a block, become registers in LLVM."""

    argument: ir.Value
    initial: ir.Value
    value: ir.Value
    slots: list[LLValue]
    buffer: Buffer | None  # where a tile is read from behind the loop
    reduce_axis: int | None = None

    @classmethod
    def of(
        cls,
        program: Program,
        block: _Block,
        argument: ir.Value,
        initial: ir.Value,
        value: ir.Value,
    ) -> _Carried:
        type_ = conversions.llvm_type(element_type(argument.type))
        if not isinstance(argument.type, TileType):
            return cls(argument, initial, value, [program.alloca(type_)], None)
        slots = [program.alloca(vector(type_, block.lanes)) for _ in range(block.rows)]
        return cls(argument, initial, value, slots, program.allocate(argument.type))

    @property
    def op(self) -> ir.Op | None:
        return self.value.op

    def inputs(self) -> tuple[ir.Value, ...]:
        return (self.value,)

    def begin(self, nest: Nest) -> None:
        pass

    def end(self, nest: Nest) -> None:
        pass

    def lanes(self, nest: Nest) -> None:
        for slot, point in zip(self.slots, nest.guarded_points(), strict=True):
            nest.builder.store(nest.lane_vector(self.value, point), slot)


class _SweepNest(Nest):
    """A nest over the tiles that runs the loop at each block."""

    def __init__(self, program: Program, op: ir.For, carried: list[_Carried], block: _Block):
        shape = _tiles(op)[0].shape
        super().__init__(program, shape, len(shape) - 1, block.lanes, None)
        self._standing += 1  # the loop is a level of its own
        self.loop = op
        self.rows = block.rows
        self.scalars = [each for each in carried if each.buffer is None]
        self.tiles = [each for each in carried if each.buffer is not None]
        self.counter = program.alloca(program.scalar(op.lower).type)
        self.points: list[Point] = []
        self._by_argument = {each.argument: each for each in self.tiles}
        self._inside = {*op.body.args, *(v for inner in op.body.ops for v in inner.results)}

    def step_of(self, axis: int) -> int:
        return self.rows if axis == self.lane_axis - 1 else super().step_of(axis)

    def level_of(self, value: ir.Value, point: Point) -> int:
        return len(self._levels) if value in self._inside else super().level_of(value, point)

    def guarded_points(self) -> list[Point]:
        return self.points

    def _compute(self, value: ir.Value, point: Point) -> Form:
        carried = self._by_argument.get(value)
        if carried is None:
            return super()._compute(value, point)
        return Lanes(_loaded(self.builder, carried.slots[self.points.index(point)]))

    def _strip(self, roots: list[Root]) -> None:
        self.points = self._points()
        self._start()
        b = self.builder
        body, after = (b.function.append_basic_block(f"sweep.{part}") for part in ("body", "end"))
        with self.deeper():
            b.branch(body)
            b.position_at_end(body)
            self._enter_trip()
            super()._strip(roots)
            b.cbranch(self._advance(), body, after)
        b.position_at_end(after)
        for each in self.tiles:
            assert each.buffer is not None
            for slot, point in zip(each.slots, self.points, strict=True):
                self.write(each.buffer, point, Lanes(_loaded(b, slot)))

    def _points(self) -> list[Point]:
        """Where the rows of the block stand."""
        point, axis = list(self.point), self.lane_axis - 1
        if self.rows == 1:
            return [tuple(point)]
        first = point[axis]
        assert isinstance(first.form, Uniform)
        points = []
        for row in range(self.rows):
            place = self.builder.add(first.form.value, constant(I64, row))
            point[axis] = Index(Uniform(place), first.level)
            points.append(tuple(point))
        return points

    def _start(self) -> None:
        b, program = self.builder, self.program
        for each in self.tiles:
            for slot, point in zip(each.slots, self.points, strict=True):
                b.store(self.lane_vector(each.initial, point), slot)
        for each in self.scalars:
            b.store(program.scalar(each.initial), each.slots[0])
        b.store(program.scalar(self.loop.lower), self.counter)

    def _enter_trip(self) -> None:
        """What the body computes of scalars, and what is fetched ahead."""
        b, program, body = self.builder, self.program, self.loop.body
        program.scalars[body.args[0]] = _loaded(b, self.counter)
        for each in self.scalars:
            program.scalars[each.argument] = _loaded(b, each.slots[0])
        program.block([op for op in body.ops if not any(r.is_tile for r in op.results)])
        self.streams = []
        for each in self.tiles if _is_narrow(self.loop) else ():
            self.streams += streams_of_loop(program, self.loop, each.value, self._trips_ahead())

    def _trips_ahead(self) -> int:
        widest = max(load.type.bytes for load in _tile_loads(self.loop))
        return max(1, PREFETCH_BYTES // (self.shape[-1] * widest))

    def _advance(self) -> LLValue:
        """Goes on to the next trip; whether there is one."""
        b, program, loop = self.builder, self.program, self.loop
        values = [program.scalar(each.value) for each in self.scalars]
        for each, value in zip(self.scalars, values, strict=True):
            b.store(value, each.slots[0])
        following = b.add(_loaded(b, self.counter), program.scalar(loop.step))
        b.store(following, self.counter)
        return _is_below(program, loop, following)
