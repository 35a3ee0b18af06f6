"""Fetching ahead what the next program, or the next trip of a loop, will read.

A program that goes over a row several times waits for memory in its first pass and leaves memory
idle in the others. The last pass over a tile therefore fetches the same tile of the next program.
A prefetch is a hint: addresses are linear guesses, made at the tile's first lane.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import llvmlite.ir as ll

from canopy import ir
from canopy.ir.types import TileType, element_type, is_float
from canopy.targets.cpu.arithmetic import constant_of, emit_elementwise
from canopy.targets.cpu.forms import Affine
from canopy.targets.cpu.llvm import I1, I32, I64, POINTER, LLValue, as_pointer, constant
from canopy.targets.cpu.plan import loads_reached

if TYPE_CHECKING:
    from canopy.targets.cpu.nest import Nest
    from canopy.targets.cpu.plan import KernelPlan
    from canopy.targets.cpu.program import Program

__all__ = ["LINE_BYTES", "PrefetchPlan", "Stream", "prefetch", "streams_of", "streams_of_loop"]

LINE_BYTES = 64
# A larger tile would push out of a usual L2 what this program still reads.
MAX_TILE_BYTES = 256 << 10
# A tile up to this size goes to the L1 cache, where this program's own tile is as well.
MAX_L1_TILE_BYTES = 16 << 10
SHORTEST_ROW = 8  # elements; shorter ones take a fetch each
_SAME_LANE = (ir.Splat, ir.Broadcast, ir.ExpandDims, ir.Reshape, ir.Transpose)
_ARITHMETIC = (ir.Binary, ir.Compare, ir.Select, ir.Cast, ir.Bitcast, ir.Offset)

Path = tuple[ir.Op, ...]  # the control ops around an op, outermost first


@dataclass(frozen=True, slots=True)
class Prefetch:
    """A load to fetch ahead, for the next trip of ``loop`` (None: for the next program)."""

    load: ir.Load
    loop: ir.For | None


@dataclass(frozen=True, slots=True)
class Stream:
    """A prefetch in a nest: the tile of pointers, and how many bytes ahead of them to fetch."""

    load: ir.Load
    distance: LLValue
    is_far: bool = False  # read so much later that L1 would not keep it

    def begin(self, nest: Nest) -> None:
        pass

    def fetch(self, nest: Nest) -> None:
        """Fetches the lines of the strip where the nest stands."""
        form = nest.pull(self.load.pointer, tuple(nest.point))
        size = self.load.type.bytes
        if not isinstance(form, Affine) or form.step != size:
            return
        b = nest.builder
        start = b.add(form.base, self.distance)
        near = _tile_bytes(self.load) <= MAX_L1_TILE_BYTES and not self.is_far
        level = 3 if near else 2
        for offset in range(0, nest.lanes * size, LINE_BYTES):
            prefetch(b, as_pointer(b, b.add(start, constant(I64, offset))), level)


@dataclass(frozen=True, slots=True)
class PrefetchPlan:
    """``by_op``: the loads to fetch ahead, under the op whose nest reads each for the last time;
    ``initial``: what the arguments of loops start from."""

    by_op: dict[ir.Op, list[Prefetch]]
    initial: dict[ir.Value, ir.Value]

    @classmethod
    def of(cls, kernel: ir.Kernel, plan: KernelPlan) -> PrefetchPlan:
        by_op: dict[ir.Op, list[Prefetch]] = {}
        for reader, planned in _find_prefetches(kernel, plan):
            by_op.setdefault(reader, []).append(planned)
        initial: dict[ir.Value, ir.Value] = {}
        for op in ir.walk(kernel.body.ops) if by_op else ():
            if isinstance(op, ir.For):
                initial.update(zip(op.body.args, (op.lower, *op.initial), strict=True))
        return cls(by_op, initial)


def _find_prefetches(kernel: ir.Kernel, plan: KernelPlan) -> Iterator[tuple[ir.Op, Prefetch]]:
    """Loads that several nests read, and the last of several loads from one parameter."""
    loads = list(_tile_loads(kernel.body.ops, ()))
    last = {plan.bases.of(load.pointer): load for load, _ in loads}
    stencils = _stencils(loads) if plan.lanes_are_threads else set()
    earlier: dict[ir.Value, list[Path]] = {}
    for load, path in loads:
        readers = plan.readers.get(load.result, ())
        base = plan.bases.of(load.pointer)
        if base is None or not readers:
            continue
        elsewhere = [other for other in earlier.setdefault(base, []) if other != path]
        earlier[base].append(path)
        if elsewhere and last[base] is load:
            path = max((_shared(path, other) for other in elsewhere), key=len)
        elif len(readers) < 2 and load not in stencils:
            continue
        loop = path[-1] if path else None
        if loop is None or isinstance(loop, ir.For):
            yield readers[-1], Prefetch(load, loop)


def _stencils(loads: list[tuple[ir.Load, Path]]) -> set[ir.Load]:
    """Loads outside of loops that read one array at several distances known at run time only, or
    rows that are short and far apart: the hardware does not foresee where the next block reads.

    Of loads a constant distance apart the first stands for all.
    """
    arrays: dict[ir.Value, dict[ir.Value, ir.Load]] = {}
    for load, path in loads:
        address = load.pointer.op
        if not path and isinstance(address, ir.Offset):
            arrays.setdefault(address.pointer, {}).setdefault(_moving_part(address.index), load)
    found: set[ir.Load] = set()
    for places in arrays.values():
        shapes = [load.result.shape for load in places.values()]
        if len(places) > 1 or any(max(shape[:-1], default=1) > 1 for shape in shapes):
            found.update(load for load in places.values() if load.result.shape[-1] >= SHORTEST_ROW)
    return found


def _moving_part(index: ir.Value) -> ir.Value:
    """An index without the constant that is added to it."""
    op = index.op
    if isinstance(op, (ir.Add, ir.Sub)) and isinstance(op.rhs.op, ir.Constant):
        return op.lhs
    return index


def _tile_loads(ops: list[ir.Op], path: Path) -> Iterator[tuple[ir.Load, Path]]:
    for op in ops:
        if isinstance(op, ir.Load) and _tile_bytes(op) in range(1, MAX_TILE_BYTES + 1):
            yield op, path
        inner = path if isinstance(op, ir.If) else (*path, op)
        for region in op.regions:
            yield from _tile_loads(region.ops, inner)


def _tile_bytes(load: ir.Load) -> int:
    """0 for a scalar."""
    type_ = load.result.type
    return type_.size * load.type.bytes if isinstance(type_, TileType) else 0


def _shared(first: Path, second: Path) -> Path:
    """The control ops around both."""
    count = 0
    while count < min(len(first), len(second)) and first[count] is second[count]:
        count += 1
    return first[:count]


def streams_of(program: Program, ops: list[ir.Op], shape: tuple[int, ...]) -> list[Stream]:
    """What to fetch ahead in a nest over ``shape`` that runs ``ops``."""
    streams = []
    for op in ops:
        for planned in program.prefetches.by_op.get(op, ()):
            if planned.load.result.shape != shape:
                continue
            distance = _Ahead(program, planned.loop).distance(planned.load.pointer)
            if distance is not None:
                streams.append(Stream(planned.load, distance))
    return streams


def streams_of_loop(program: Program, loop: ir.For, value: ir.Value, trips: int) -> list[Stream]:
    """What to fetch ahead for a tile that the loop loads lane to lane, so many trips later."""
    streams = []
    for load, same in loads_reached(program.plan, value):
        if not same:
            continue
        distance = _Ahead(program, loop).distance(load.pointer)
        if distance is not None:
            far = program.builder.mul(distance, constant(I64, trips))
            streams.append(Stream(load, far, is_far=True))
    return streams


class _Ahead:
    """Scalars, and first lanes of tiles, now and one trip (or program) ahead; None: unknown."""

    def __init__(self, program: Program, loop: ir.For | None) -> None:
        self.program = program
        self.loop = loop
        self._values: dict[tuple[ir.Value, bool], LLValue | None] = {}
        self._varies: dict[ir.Value, bool] = {}

    def distance(self, pointer: ir.Value) -> LLValue | None:
        """Bytes from an address to the one that takes its place one trip ahead."""
        if not self.varies(pointer):
            return None
        now, then = self.value(pointer, ahead=False), self.value(pointer, ahead=True)
        return None if now is None or then is None else self.program.builder.sub(then, now)

    def varies(self, value: ir.Value) -> bool:
        """Whether the value may be another one trip ahead."""
        if value not in self._varies:
            self._varies[value] = False  # a loop's argument may lead back to itself
            self._varies[value] = self._find_varies(value)
        return self._varies[value]

    def _find_varies(self, value: ir.Value) -> bool:
        if self.loop is not None and value in self.loop.body.args:
            return True
        if isinstance(value.op, ir.ProgramId):
            return self.loop is None
        if value.op is None:
            initial = self.program.prefetches.initial.get(value)
            return initial is not None and self.varies(initial)
        return any(self.varies(operand) for operand in value.op.operands)

    def value(self, value: ir.Value, *, ahead: bool) -> LLValue | None:
        ahead = ahead and self.varies(value)
        key = (value, ahead)
        if key not in self._values:
            self._values[key] = self._find(value, ahead)
        return self._values[key]

    def _find(self, value: ir.Value, ahead: bool) -> LLValue | None:
        known = self.program.scalars.get(value)
        if known is not None and not ahead:
            return known
        op, b = value.op, self.program.builder
        match op:
            case None:
                return self._argument(value) if ahead else None
            case ir.ProgramId():
                return _following_ids(self.program)[op.axis]
            case ir.Constant():
                return constant_of(element_type(op.type), op.value)
            case ir.Range():
                element = element_type(value.type)
                return constant(ll.IntType(element.bits), op.start)
            case _ if isinstance(op, _SAME_LANE):
                return self.value(op.operands[0], ahead=ahead)
            case _ if isinstance(op, _ARITHMETIC):
                operands = [self.value(operand, ahead=ahead) for operand in op.operands]
                return None if None in operands else emit_elementwise(b, op, operands)
            case _:
                return None

    def _argument(self, value: ir.Value) -> LLValue | None:
        """A loop's argument one trip ahead: of this loop, or of one inside it."""
        b, loop = self.program.builder, self.loop
        if loop is not None and value in loop.body.args:
            position = loop.body.args.index(value)
            if position == 0:
                return b.add(self.program.scalar(value), self.program.scalar(loop.step))
            return self.value(loop.body.terminator.operands[position - 1], ahead=False)
        if not _is_integer(value):
            return None
        initial = self.program.prefetches.initial[value]
        now, then = self.value(initial, ahead=False), self.value(initial, ahead=True)
        if now is None or then is None or value not in self.program.scalars:
            return None
        return b.add(self.program.scalar(value), b.sub(then, now))


def _is_integer(value: ir.Value) -> bool:
    return not value.is_tile and not is_float(value.type)


def _following_ids(program: Program) -> tuple[LLValue, ...]:
    """The ids of the program that runs after this one."""
    b = program.builder
    carry: LLValue = constant(I1, 1)
    ids = []
    for axis, current in enumerate(program.ids):
        extent = b.load(b.gep(program.grid, [constant(I64, axis)], source_etype=I32), typ=I32)
        raised = b.add(current, b.zext(carry, I32))
        carry = b.icmp_unsigned("==", raised, extent)
        ids.append(b.select(carry, constant(I32, 0), raised))
    return tuple(ids)


def prefetch(builder: Any, pointer: LLValue, level: int) -> None:
    """Brings a line into the caches from ``level`` (3: the first, 2: the second) on."""
    name = "llvm.prefetch.p0"
    function = builder.module.globals.get(name)
    if function is None:
        type_ = ll.FunctionType(ll.VoidType(), [POINTER, I32, I32, I32])
        function = ll.Function(builder.module, type_, name)
    builder.call(function, [pointer, constant(I32, 0), constant(I32, level), constant(I32, 1)])
