"""Which ops of a CUDA kernel run strip by strip as a whole, loops and branches included.

    %a = while .. { each thread goes over its row }          for each strip of threads:
    %s = %a + shuffled %a ..                          as         all of it, with the strip's
    while .. { %s scales the row }                               values in registers

Between two barriers the threads of a block owe each other nothing, so that a strip may go through
all loops before the next one starts: it leaves a loop when its own threads do, and what the loops
carry stays in registers. `strips` emits what is found here.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from canopy import ir
from canopy.ir.types import ScalarType, element_type, is_bool
from canopy.targets.cpu.combine import is_lane_by_lane
from canopy.targets.cpu.plan import own_cost
from canopy.targets.cpu.products import is_contraction
from canopy.targets.cpu.sweep import is_sweep

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["Run", "leaves", "split_into_runs"]

WARP = 32
SHORTEST_STRIP = 8
LONGEST_STRIP = 256
LIGHT = 16  # simple ops on data
MOST_OPS = 500  # a run may be emitted twice; longer ones take too long to compile
_LOOPS = (ir.For, ir.While)
_CONTROL = (*_LOOPS, ir.If)
_ELEMENTWISE = (
    *(ir.Constant, ir.Binary, ir.Compare, ir.Select, ir.MathCall, ir.Fma, ir.Clamp),
    *(ir.Cast, ir.Bitcast, ir.Offset),
)
_PLACE = (ir.ProgramId, ir.NumPrograms)
_ATOMICS = (ir.AtomicRmw, ir.AtomicCas)
_TERMINATORS = (ir.Yield, ir.Condition)


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """Consecutive ops that one nest runs strip by strip. ``before``: scalars that all strips share;
    ``outputs``: tiles that ops behind the run need; ``fixed``: indices, masks and addresses that do
    not change while a strip runs."""

    ops: list[ir.Op]
    before: list[ir.Op]
    outputs: list[ir.Value]
    fixed: frozenset[ir.Value]
    shape: tuple[int, ...]
    lanes: int


def split_into_runs(program: Program, ops: list[ir.Op]) -> Iterator[ir.Op | Run]:
    """The ops in order, those of a run as one."""
    if program.kernel.block is None or not any(isinstance(op, _CONTROL) for op in ops):
        yield from ops
        return
    position = 0
    while position < len(ops):
        run, taken = None, 0
        if _may_begin(program, ops, position):
            run, taken = _Finder(program, ops).find(position)
        if run is not None:
            yield run
            position += taken
        else:
            yield ops[position]
            position += 1


def _may_begin(program: Program, ops: list[ir.Op], position: int) -> bool:
    """Whether a run is looked for here: where the ops in front of this one could not be in it."""
    if position == 0:
        return True
    return not _is_plain(program, ops[position - 1])


def _is_plain(program: Program, op: ir.Op) -> bool:
    """Whether a strip can do the op for itself, loops with all that they hold."""
    match op:
        case ir.For() if is_contraction(program, op) or is_sweep(program, op):
            return False
        case ir.For() | ir.While() | ir.If():
            return all(_is_plain(program, inner) for r in op.regions for inner in r.ops)
        case ir.Load():
            return not op.volatile
        case ir.Store():
            return op.pointer.is_tile and not op.volatile
        case ir.AtomicRmw() | ir.AtomicCas():
            return op.pointer.is_tile and op not in program.sums
        case ir.AnyLane():
            return True
        case ir.Gather():
            return op in program.plan.exchanges
        case ir.Reduce():
            return _is_along_warp(op)
        case ir.Reshape() | ir.Broadcast() | ir.ExpandDims() | ir.Range() | ir.Splat():
            return True
    return isinstance(op, (*_ELEMENTWISE, *_PLACE, *_TERMINATORS))


def _is_along_warp(op: ir.Reduce) -> bool:
    shape = op.sources[0].shape
    return (
        op.axis == 1
        and len(shape) == 2
        and shape[1] == WARP
        and is_lane_by_lane(op.combine)
        and not any(inner.regions for inner in op.combine.ops)
    )


class _Finder:
    """Looks for a run in one list of ops."""

    def __init__(self, program: Program, ops: list[ir.Op]) -> None:
        self.program = program
        self.plan = program.plan
        self.ops = ops

    def find(self, begin: int) -> tuple[Run | None, int]:
        """The run that begins at a position, and how many ops it takes."""
        end = begin
        while end < len(self.ops) and not self.ops[end].is_terminator:
            if not _is_plain(self.program, self.ops[end]):
                break
            end += 1
        loops = [at for at in range(begin, end) if _has_loop(self.ops[at])]
        if not loops:
            return None, 0
        taken = self.ops[begin:end]
        if sum(1 for _ in ir.walk(taken)) > MOST_OPS:
            return None, 0
        return self._run(taken, loops[-1] + 1 - begin)

    def _run(self, ops: list[ir.Op], shortest: int) -> tuple[Run | None, int]:
        """A run of the first ops, at least ``shortest`` many: no scalar that each strip computes
        for itself may be needed behind it."""
        before = self._shared_scalars(ops)
        length = shortest
        for at in range(shortest, len(ops)):
            own = _own_scalars(ops[:length], before)
            if any(value in own for value in _read_in([ops[at]])):
                length = at + 1
        chosen = [op for op in ops[:length] if op not in before]
        users = self._users_outside(ops[:length])
        own = _own_scalars(ops[:length], before)
        if any(value in users for value in own):
            return None, 0
        shape = _shape_of(chosen, self.plan.is_structural)
        if shape is None:
            return None, 0
        varying = _varying(chosen)
        outputs = [
            value
            for op in chosen
            for value in op.results
            if value.is_tile and value in users
            if value in varying or not self.plan.is_structural(value)
        ]
        if any(_size(value.shape) != _size(shape) for value in outputs):
            return None, 0
        fixed = frozenset(self._fixed(chosen, varying))
        lanes = self._lanes(chosen, shape)
        if not all(self._has_form(op, shape, fixed) for op in ir.walk(chosen)):
            return None, 0
        if lanes < SHORTEST_STRIP or (lanes % WARP and self._exchanges_memory(chosen)):
            return None, 0
        shared = [op for op in ops[:length] if op in before]
        return Run(chosen, shared, outputs, fixed, shape, lanes), length

    def _shared_scalars(self, ops: list[ir.Op]) -> set[ir.Op]:
        """Scalars that are the same for all strips, computed of what is known before the run."""
        inside = {result for op in ops for result in op.results}
        users = self._users_outside(ops)
        found: set[ir.Op] = set()
        shared: tuple[type[ir.Op], ...] = (*_ELEMENTWISE, *_PLACE, ir.Load)
        for op in ops:
            if any(isinstance(inner, (ir.Store, *_ATOMICS)) for inner in ir.walk([op])):
                shared = (*_ELEMENTWISE, *_PLACE)
            if any(result.is_tile for result in op.results) or not op.results or op.regions:
                continue
            if isinstance(op, ir.AnyLane):
                is_known = op.result in users and self._is_known_before(op.source, inside)
            else:
                is_known = isinstance(op, shared) and not any(v in inside for v in op.operands)
            if is_known:
                found.add(op)
                inside.difference_update(op.results)
        return found

    def _is_known_before(self, tile: ir.Value, inside: set[ir.Value]) -> bool:
        """Whether a tile is made of scalars that are known before the run."""
        if not self.plan.is_structural(tile):
            return False
        scalars = (v for v in leaves(tile) if not v.is_tile)
        return not any(value in inside for value in scalars)

    def _users_outside(self, ops: list[ir.Op]) -> set[ir.Value]:
        """The values that ops outside of these read."""
        inside = set(ir.walk(ops))
        return {
            value
            for op in ir.walk(self.program.kernel.body.ops)
            if op not in inside
            for value in op.operands
        }

    def _fixed(self, ops: list[ir.Op], varying: set[ir.Value]) -> Iterator[ir.Value]:
        for op in ir.walk(ops):
            for value in (*op.operands, *op.results):
                if value.is_tile and value not in varying and self.plan.is_structural(value):
                    yield value

    def _has_form(self, op: ir.Op, shape: tuple[int, ...], fixed: frozenset[ir.Value]) -> bool:
        """Whether the op maps lanes of a strip to lanes of a strip."""
        tiles = [v for v in (*op.results, *op.operands) if v.is_tile]
        structural = self.plan.is_structural
        if all(structural(v) for v in tiles) and not isinstance(op, (ir.Store, *_LOOPS, ir.If)):
            return True
        size = _size(shape)
        if isinstance(op, (ir.ExpandDims, ir.Broadcast)):
            return _is_of_warps(op.source)
        if isinstance(op, ir.Reduce):
            return self._is_row(shape) and all(_size(v.shape) == size for v in op.sources)
        if isinstance(op, ir.Reshape) and _is_of_warps(op.source):
            return True
        if isinstance(op, (ir.Range, ir.Splat)):
            return False
        return all(_size(v.shape) == size for v in tiles)

    def _is_row(self, shape: tuple[int, ...]) -> bool:
        return shape[-1] % WARP == 0

    def _lanes(self, ops: list[ir.Op], shape: tuple[int, ...]) -> int:
        """How many lanes a strip has."""
        inner = list(ir.walk(ops))
        rows = {len(self.plan.exchanges[op]) for op in inner if isinstance(op, ir.Gather)}
        rows |= {WARP for op in inner if isinstance(op, ir.Reduce)}
        if rows:
            row = max(rows)
            return row if len(rows) == 1 and shape[-1] % row == 0 else 0
        vector = self.program.vector_bytes
        widest = max((_data_bytes(v) for op in inner for v in op.results if v.is_tile), default=4)
        limit = min(vector, vector * 8 // max(widest, 1))
        if self._parts(inner):
            limit = min(limit, WARP)
        elif self._is_light(inner):
            limit = LONGEST_STRIP
        room = self.program.machine.vector_registers // 2 * vector
        while limit > SHORTEST_STRIP and limit * _carried_bytes(inner) > room:
            limit //= 2
        periods = [self.plan.shortest_period(v) for op in inner for v in op.operands if v.is_tile]
        limit = min([limit, *(p & -p for p in periods if p & -p >= SHORTEST_STRIP)])
        lanes = 1
        while lanes * 2 <= limit and shape[-1] % (lanes * 2) == 0:
            lanes *= 2
        return lanes

    def _parts(self, ops: list[ir.Op]) -> bool:
        """Whether data decides which threads stay in a loop: short strips lose less."""
        return any(isinstance(op, ir.AnyLane) and not self._is_index(op.source) for op in ops)

    def _is_index(self, mask: ir.Value) -> bool:
        op = mask.op
        if isinstance(op, ir.And):
            return self._is_index(op.lhs) and self._is_index(op.rhs)
        return op is None or self.plan.is_structural(mask)

    def _is_light(self, ops: list[ir.Op]) -> bool:
        """Whether little but memory is waited for, along a line: long strips read more of it."""
        for op in ops:
            if isinstance(op, _ATOMICS):
                return False
            if isinstance(op, (ir.Load, ir.Store)) and not self.plan.is_structural(op.pointer):
                return False
        made = (op for op in ops for value in op.results if value.is_tile and not op.regions)
        data = (op for op in made if not self.plan.is_structural(op.results[0]))
        return sum(own_cost(op) for op in data) <= LIGHT

    def _exchanges_memory(self, ops: list[ir.Op]) -> bool:
        """Whether threads of one warp may read what others of it have written."""
        written = [op.pointer for op in ir.walk(ops) if isinstance(op, (ir.Store, *_ATOMICS))]
        read = [op.pointer for op in ir.walk(ops) if isinstance(op, ir.Load)]
        return any(self.plan.may_alias(r, w) for r in read for w in written)


def _has_loop(op: ir.Op) -> bool:
    """Whether the op holds a loop that tiles go through."""
    return any(isinstance(inner, _LOOPS) and _has_tiles(inner) for inner in ir.walk([op]))


def _has_tiles(loop: ir.Op) -> bool:
    return any(v.is_tile for op in ir.walk([loop]) for v in (*op.results, *op.operands))


def _read_in(ops: list[ir.Op]) -> Iterator[ir.Value]:
    for op in ir.walk(ops):
        yield from op.operands


def _own_scalars(ops: list[ir.Op], shared: set[ir.Op]) -> set[ir.Value]:
    return {v for op in ops if op not in shared for v in op.results if not v.is_tile}


def _varying(ops: list[ir.Op]) -> set[ir.Value]:
    """What is computed of loads, loops and scalars that the run itself computes."""
    found: set[ir.Value] = set()
    for op in ir.walk(ops):
        found.update(value for region in op.regions for value in region.args)
        is_new = bool(op.regions) or isinstance(op, (ir.Load, ir.AnyLane, *_ATOMICS, ir.Reduce))
        is_new |= not any(result.is_tile for result in op.results)
        is_new |= any(value in found for value in op.operands)
        if is_new or not isinstance(op, (*_ELEMENTWISE, ir.Range, ir.Splat, *_SHAPES)):
            found.update(op.results)
    return found


_SHAPES = (ir.Broadcast, ir.ExpandDims, ir.Reshape)


def leaves(tile: ir.Value) -> Iterator[ir.Value]:
    """The values that a structural tile is computed of, itself included."""
    seen, waiting = {tile}, [tile]
    while waiting:
        value = waiting.pop()
        yield value
        for operand in value.op.operands if value.is_tile and value.op is not None else ():
            if operand not in seen:
                seen.add(operand)
                waiting.append(operand)


def _shape_of(ops: list[ir.Op], is_structural: object) -> tuple[int, ...] | None:
    """The shape of the tiles of threads: that of the first access or vote."""
    for op in ir.walk(ops):
        if isinstance(op, (ir.Load, ir.Store, *_ATOMICS)) and op.pointer.is_tile:
            return op.pointer.shape
        if isinstance(op, ir.AnyLane):
            return op.source.shape
    return None


def _size(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size


def _is_of_warps(value: ir.Value) -> bool:
    """Whether the value is one per warp: a reduction along it, under any shape."""
    op = value.op
    while isinstance(op, (ir.ExpandDims, ir.Broadcast)):
        op = op.source.op
    return isinstance(op, ir.Reduce)


def _data_bytes(value: ir.Value) -> int:
    """Bytes of a lane in vector registers: masks have their own, addresses are scalars mostly."""
    element = element_type(value.type)
    return 0 if is_bool(element) or not isinstance(element, ScalarType) else element.bytes


def _carried_bytes(ops: list[ir.Op]) -> int:
    """Bytes for each lane that the hungriest loop carries."""
    loops = [op for op in ops if isinstance(op, _LOOPS)]
    return max((sum(_data_bytes(v) for v in op.results if v.is_tile) for op in loops), default=0)
