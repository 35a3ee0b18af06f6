"""Products on the cube: blocks of the operands through L1 and L0 into L0C, then to the workspace.

An operand that is a plain load is copied from the user's array straight into L1; any other is
computed by the vector core and handed over through the workspace. A loop that does nothing to its
accumulator but add products keeps it in L0C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from canopy import ir
from canopy.errors import Location
from canopy.ir.types import (
    BF16,
    F16,
    F32,
    I8,
    I32,
    I64,
    ElementType,
    ScalarType,
    element_type,
    is_integer,
)
from canopy.targets.ascend import epilogue, resident
from canopy.targets.ascend.buffers import OutOfSpaceError
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.forms import Affine, Mask
from canopy.targets.ascend.npu import (
    Branch,
    Buffer,
    CopyIn,
    CopyMatrix,
    Fixpipe,
    Instruction,
    Limit,
    LoadMatrix,
    Loop,
    Matrix,
    Mmad,
    Move,
    Space,
    Vector,
    View,
)
from canopy.targets.ascend.pull import Box, Pull, dense_strides, shifted, shifted_limits
from canopy.targets.ascend.scalars import Number, Poly, constant, poly_of

if TYPE_CHECKING:
    from canopy.targets.ascend.lower import Emitter

__all__ = [
    "Accumulator",
    "Loaded",
    "Part",
    "accumulators",
    "adjacent_axis",
    "choose_tiles",
    "cycles",
    "deeper",
    "direct_load",
    "dot",
    "give_back",
    "goes_by_rows",
    "load_block",
    "load_of",
    "multiply",
    "new_matrix",
    "stored_shape",
    "trips_of_a_copy",
]

_TYPES = (F16, BF16, F32, I8)
_MOST_DEPTH = 512  # lanes of one copy: rows of 1 KB of f16


@dataclass(slots=True)
class Accumulator:
    """A loop's product that stays in L0C, in pieces; ``trip`` is 0 in the first trip alone."""

    op: ir.For
    result: ir.Value
    pieces: Pieces
    trip: Poly
    is_empty: Limit

    def finish(self, e: Emitter) -> None:
        """After the loop: out to the result's home, or to the store that takes it."""
        if not e.plan.is_used(self.result):
            self.pieces.free(e)
            return
        if epilogue.wait_for_store(e, self):
            return
        home = e.make_home(self.result, Space.WORKSPACE)
        with e.collecting() as ran:
            self.pieces.drain(e, home, self.result.shape, Poly(), self.op.location)
        with e.collecting() as empty:
            e.strips(self.op, self.result.shape, lambda box: self._zeros(e, home, box))
        self.either(e, ran, empty)
        self.pieces.free(e)

    def either(self, e: Emitter, ran: list[Instruction], empty: list[Instruction]) -> None:
        location = self.op.location
        e.emit(
            Branch(
                condition=(self.is_empty,),
                then_body=ran,
                else_body=empty,
                is_rare=True,
                location=location,
            )
        )

    def _zeros(self, e: Emitter, home: Buffer, box: Box) -> None:
        buffer = e.temporary(box[1], home.type)
        view = View(buffer, box[1], dense_strides(box[1]))
        e.emit(Move(target=view, source=Number(0, home.type), location=self.op.location))
        e.spill(view, e.slice_of(home, self.result.shape, box), self.op.location)


class Pieces:
    """The blocks of a product in L0C, each by its first row and column."""

    def __init__(self, e: Emitter, tiles: Tiles, m: int, n: int, kind: ScalarType) -> None:
        self.blocks: dict[tuple[int, int], Matrix] = {}
        for row in range(0, m, tiles.rows):
            for column in range(0, n, tiles.columns):
                rows, columns = min(tiles.rows, m - row), min(tiles.columns, n - column)
                self.blocks[row, column] = new_matrix(e, Space.L0C, "NZ", rows, columns, kind)

    def free(self, e: Emitter) -> None:
        for block in self.blocks.values():
            e.memory.free(block.buffer)

    def drain(
        self, e: Emitter, home: Buffer, shape: tuple[int, ...], start: Poly, location: Location
    ) -> None:
        """To the workspace, from lane ``start`` of ``home`` on."""
        width = shape[-1]
        for (row, column), block in self.blocks.items():
            offset = start + constant(row * width + column)
            target = View(home, (block.rows, block.columns), (width, 1), offset)
            e.emit(Fixpipe(source=block, type=home.type, target=target, location=location))


def new_matrix(
    e: Emitter,
    space: Space,
    layout: str,
    rows: int,
    columns: int,
    kind: ElementType,
    halves: bool = False,
) -> Matrix:
    """``halves``: it begins at one of the two halves of its memory, which take turns: more parts
    would need more events."""
    buffer = Buffer(space, 0, rows * columns, kind, "")
    matrix = Matrix(buffer, layout, rows, columns, rows, columns)
    lanes = matrix.padded[0] * matrix.padded[1]
    half = e.memory.size(space) // 2 // kind.bytes if halves else lanes
    made = e.memory.allocate(space, max(lanes, half), kind, space.value.lower())
    return replace(matrix, buffer=replace(made, lanes=lanes))


def accumulators(e: Emitter, op: ir.For) -> dict[int, Accumulator]:
    """The carried tiles of a loop, by position, that can stay in L0C; their buffers are made."""
    found: dict[int, Accumulator] = {}
    for number, arg in enumerate(op.body.args[1:]):
        if not _only_accumulates(e, op, number, arg):
            continue
        (product,) = e.plan.users(arg)
        assert isinstance(product, ir.Dot)
        tiles = choose_tiles(e.chip, product)
        state = e.memory.state()
        try:
            m, n = arg.shape
            pieces = Pieces(e, tiles, m, n, _accumulator_type(arg))
        except OutOfSpaceError:
            e.memory.restore(state)
            continue
        lower, upper = poly_of(e.scalar(op.lower)), poly_of(e.scalar(op.upper))
        trip = poly_of(e.scalar(op.body.args[0])) - lower
        found[number] = Accumulator(
            op, op.results[number], pieces, trip, Limit(None, 0, lower - upper)
        )
        e.accumulators[arg] = found[number]
    return found


def give_back(e: Emitter, op: ir.For, found: dict[int, Accumulator]) -> None:
    """Undoes what `accumulators` made."""
    for number, held in found.items():
        held.pieces.free(e)
        del e.accumulators[op.body.args[1 + number]]


def _only_accumulates(e: Emitter, op: ir.For, number: int, arg: ir.Value) -> bool:
    initial = e.forms.uniform(op.initial[number])
    users = e.plan.users(arg)
    yielded = op.body.terminator.operands[number]
    return (
        len(arg.shape) == 2
        and isinstance(initial, Number)
        and initial.value == 0
        and len(users) == 1
        and isinstance(users[0], ir.Dot)
        and users[0].acc is arg
        and users[0].result is yielded
        and users[0] in op.body.ops
        and len(e.plan.users(yielded)) == 1
    )


def _accumulator_type(value: ir.Value) -> ScalarType:
    return I32 if is_integer(value.type) else F32


# ---- a product


def dot(e: Emitter, op: ir.Dot) -> None:
    """Emits a product; its result is kept in the workspace, in L0C, or added to acc."""
    kind = element_type(op.lhs.type)
    if kind not in _TYPES or element_type(op.rhs.type) != kind:
        raise e.unsupported(
            op,
            f"products of {kind} and {element_type(op.rhs.type)}",
            hint="both of one type: float16, bfloat16, float32 or int8",
        )
    operands = [_Operand.of(e, op, value) for value in (op.lhs, op.rhs)]
    held = e.accumulators.get(op.acc)
    if held is not None:
        _Product(e, op, operands).into_accumulator(held)
    elif _is_zero(e, op.acc):
        home = e.make_home(op.result, Space.WORKSPACE)
        _Product(e, op, operands).into(home)
    else:
        product = e.memory.allocate(
            Space.WORKSPACE, _size(op.result), element_type(op.result.type), "product"
        )
        _Product(e, op, operands).into(product)
        _add_accumulator(e, op, product)
        e.memory.free(product)
    for operand in operands:
        operand.finish()


def _is_zero(e: Emitter, value: ir.Value) -> bool:
    uniform = e.forms.uniform(value)
    return isinstance(uniform, Number) and uniform.value == 0


def _size(value: ir.Value) -> int:
    size = 1
    for extent in value.shape:
        size *= extent
    return size


def _add_accumulator(e: Emitter, op: ir.Dot, product: Buffer) -> None:
    home = e.make_home(op.result)
    add = ir.Add(lhs=op.acc, rhs=op.result, location=op.location)
    shape = op.result.shape

    def body(box: Box) -> None:
        pull = Pull(e, op)
        is_pulled = e.forms.uniform(op.acc) is None
        if is_pulled:
            pull.want(op.acc, box)
        part = View(e.temporary(box[1], product.type), box[1], dense_strides(box[1]))
        source = e.slice_of(product, shape, box)
        e.emit(CopyIn(target=part, address=Poly(), strides=(), source=source, location=op.location))
        acc = pull.data(op.acc, box) if is_pulled else pull.operand(op.acc, box)
        final = e.slice_of(home, shape, box)
        target = final if home.space is Space.UB else part
        e.emit(Vector(op=add, targets=(target,), sources=(acc, part), location=op.location))
        if target is not final:
            e.spill(target, final, op.location)

    e.strips(op, shape, body)


@dataclass(frozen=True, slots=True)
class Tiles:
    """Extents of what goes through L0 at once, and the depth that L1 holds."""

    rows: int
    columns: int
    depth: int
    l1_depth: int


def choose_tiles(chip: Chip, op: ir.Dot) -> Tiles:
    """The blocks of L0 with the fewest cycles of the cube and of the copies to L0; both L0 and L1
    hold two of each, so that copies and products overlap."""
    m, k = op.lhs.shape[-2:]
    return _best_tiles(chip, m, op.rhs.shape[-1], k, element_type(op.lhs.type).bytes)


@cache
def _best_tiles(chip: Chip, m: int, n: int, k: int, width: int) -> Tiles:
    unit = max(32 // width, 1)
    l1_depth = _block(k, max(chip.l1_bytes // 2 // ((_up(m) + _up(n)) * width), unit))
    best: tuple[float, Tiles] | None = None
    for rows in _divisors(m):
        for columns in _divisors(n):
            if _up(rows) * _up(columns) * 4 > chip.l0c_bytes:
                continue
            depth = _l0_depth(chip, rows, columns, l1_depth, width)
            if not depth:
                continue
            tiles = Tiles(rows, columns, depth, l1_depth)
            found = cycles(chip, tiles, m, n, k, width)
            if best is None or found < best[0]:
                best = found, tiles
    if best is None:
        raise OutOfSpaceError(Space.L0C, m * n * 4)
    return best[1]


def _l0_depth(chip: Chip, rows: int, columns: int, depth: int, width: int) -> int:
    """The most of ``depth`` that L0 holds twice; 0 if it holds nothing."""
    unit = max(32 // width, 1)
    most = min(
        chip.l0a_bytes // 2 // (_up(rows) * width), chip.l0b_bytes // 2 // (_up(columns) * width)
    )
    return max((d for d in _divisors(depth) if -(-d // unit) * unit <= most), default=0)


def deeper(chip: Chip, tiles: Tiles, depth: int, width: int) -> Tiles:
    """The same blocks of the result, for blocks of another depth in L1."""
    fitting = _l0_depth(chip, tiles.rows, tiles.columns, depth, width)
    return Tiles(tiles.rows, tiles.columns, fitting, depth)


def trips_of_a_copy(chip: Chip, lanes: int, depth: int, width: int) -> int:
    """How many trips of a loop make one copy, where L1 holds two of each: ``lanes`` are the rows
    and columns of all operands together."""
    trips = 1
    while (
        depth * trips * 2 <= _MOST_DEPTH and lanes * depth * trips * 2 * width <= chip.l1_bytes // 2
    ):
        trips *= 2
    return trips


def cycles(chip: Chip, tiles: Tiles, m: int, n: int, k: int, width: int) -> float:
    """Of one product in these tiles: the busier of the cube and the copies to L0."""
    rows, columns, depth = m // tiles.rows, n // tiles.columns, k // tiles.depth
    unit = max(32 // width, 1)
    rate = chip.cube_macs_per_cycle_f16 * (2 / width if width < 4 else 1 / 4)
    macs = _up(tiles.rows) * _up(tiles.columns) * (-(-tiles.depth // unit) * unit)
    multiplying = rows * columns * depth * (chip.cube_start_cycles + macs / rate)
    loads = depth * (rows if goes_by_rows(tiles, m, n) else columns) + depth * rows * columns
    bytes_ = min(m + rows * n, n + columns * m) * k * width
    loading = loads * chip.cube_start_cycles + bytes_ / chip.l1_to_l0_bytes_per_cycle
    return max(multiplying, loading) + min(multiplying, loading) / 16


def _divisors(extent: int) -> list[int]:
    return [d for d in range(1, extent + 1) if extent % d == 0]


def _up(extent: int) -> int:
    return -(-extent // 16) * 16


class _Product:
    """The blocks of one product."""

    def __init__(self, e: Emitter, op: ir.Dot, operands: Sequence[_Operand]) -> None:
        self._e, self._op, self._operands = e, op, operands
        *batch, self._m, self._k = op.lhs.shape
        self._n = op.rhs.shape[-1]
        self._batch = batch
        self._tiles = choose_tiles(e.chip, op)

    def into(self, target: Buffer) -> None:
        """The product to a buffer of the workspace."""
        e, op = self._e, self._op
        kind = _accumulator_type(op.acc)
        pieces = Pieces(e, self._tiles, self._m, self._n, kind)

        def one(outer: tuple[Poly, ...]) -> None:
            self._depths(outer, pieces, Poly())
            start = Poly()
            for index, stride in zip(outer, dense_strides(op.result.shape), strict=False):
                start = start + index.scaled(stride)
            pieces.drain(e, target, (self._m, self._n), start, op.location)

        _nest(e, op, [(extent, 1) for extent in self._batch], one)
        pieces.free(e)

    def into_accumulator(self, held: Accumulator) -> None:
        self._depths((), held.pieces, held.trip)

    def _depths(self, outer: tuple[Poly, ...], pieces: Pieces, trip: Poly) -> None:
        """All of K."""
        ones = (1,) * len(outer)
        lhs, rhs = self._operands
        depth = self._tiles.l1_depth
        for k in range(0, self._k, depth):
            left = lhs.load(((*outer, Poly(), constant(k)), (*ones, self._m, depth)))
            right = rhs.load(((*outer, constant(k), Poly()), (*ones, depth, self._n)))
            part = Part(pieces, left, right, self._op)
            multiply(self._e, self._tiles, [part], trip + constant(k))
            lhs.release(left)
            rhs.release(right)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A block of an operand in L1; ``is_turned``: its columns are what the product calls rows."""

    matrix: Matrix
    is_turned: bool = False

    def part(self, row: int, column: int, rows: int, columns: int) -> Matrix:
        if self.is_turned:
            return self.matrix.part(column, row, columns, rows)
        return self.matrix.part(row, column, rows, columns)


@dataclass(frozen=True, slots=True)
class Part:
    """What two blocks in L1 add to the pieces of one product."""

    pieces: Pieces
    left: Loaded
    right: Loaded
    op: ir.Dot


def goes_by_rows(tiles: Tiles, m: int, n: int) -> bool:
    """Whether rows go to L0 once and columns again for each of them; else the other way round."""
    return m + m // tiles.rows * n <= n + n // tiles.columns * m


class _Stripe(NamedTuple):
    """Rows (or columns) of a block in L1 that go through L0 at once."""

    block: Loaded
    start: int
    extent: int
    is_right: bool


def multiply(e: Emitter, tiles: Tiles, parts: Sequence[Part], first: Poly) -> None:
    """The products of blocks in L1, tile by tile through L0; parts that share a block share its
    loads to L0 on the side that is loaded less often."""
    left = parts[0].left
    depths = left.matrix.rows if left.is_turned else left.matrix.columns
    by_pair = {(part.left, part.right): part for part in parts}
    rows, columns = _stripes(parts, False), _stripes(parts, True)
    heights, widths = (sum(s.extent for s in stripes) for stripes in (rows, columns))
    is_by_rows = goes_by_rows(tiles, heights, widths)
    outer, inner = (rows, columns) if is_by_rows else (columns, rows)
    for k in range(0, depths, tiles.depth):
        span = k, min(tiles.depth, depths - k)
        for one in outer:
            held = _to_l0(e, one, span, parts[0].op)
            for other in inner:
                row, column = (one, other) if is_by_rows else (other, one)
                part = by_pair.get((row.block, column.block))
                if part is None:
                    continue
                loaded = _to_l0(e, other, span, part.op)
                e.emit(
                    Mmad(
                        target=part.pieces.blocks[row.start, column.start],
                        lhs=held if is_by_rows else loaded,
                        rhs=loaded if is_by_rows else held,
                        first=first + constant(k),
                        location=part.op.location,
                    )
                )
                e.memory.free(loaded.buffer)
            e.memory.free(held.buffer)


def _stripes(parts: Sequence[Part], is_right: bool) -> list[_Stripe]:
    """What all parts need of one side, each once."""
    found: dict[_Stripe, None] = {}
    for part in parts:
        for (row, column), target in part.pieces.blocks.items():
            stripe = (
                _Stripe(part.right, column, target.columns, True)
                if is_right
                else _Stripe(part.left, row, target.rows, False)
            )
            found[stripe] = None
    return list(found)


def _to_l0(e: Emitter, stripe: _Stripe, span: tuple[int, int], op: ir.Dot) -> Matrix:
    """A stripe's lanes of depth ``span`` (first, number) to L0A, or to L0B."""
    block, (k, depth) = stripe.block, span
    if stripe.is_right:
        space, layout, shape = Space.L0B, "nZ", (depth, stripe.extent)
        source = block.part(k, stripe.start, *shape)
    else:
        space, layout, shape = Space.L0A, "zZ", (stripe.extent, depth)
        source = block.part(stripe.start, k, *shape)
    target = new_matrix(e, space, layout, *shape, source.type, halves=True)
    turned = block.is_turned
    e.emit(LoadMatrix(target=target, source=source, transpose=turned, location=op.location))
    return target


def _block(extent: int, most: int) -> int:
    """The largest divisor of ``extent`` that is at most ``most``."""
    return next(d for d in range(min(extent, most), 0, -1) if extent % d == 0)


def _nest(
    e: Emitter,
    op: ir.Op,
    blocks: Sequence[tuple[int, int]],
    body: Callable[[tuple[Poly, ...]], None],
) -> None:
    """``body`` for the starts of all blocks; loops where there is more than one."""
    starts: list[Poly] = []
    loops: list[Loop] = []
    for extent, block in blocks:
        if extent == block:
            starts.append(Poly())
            continue
        index = e.register(I64, "b")
        e.multiples[index] = block
        starts.append(poly_of(index))
        loops.append(
            Loop(
                index=index,
                lower=constant(0),
                upper=constant(extent),
                step=constant(block),
                location=op.location,
            )
        )
    with e.collecting() as made:
        body(tuple(starts))
    inner: list[Instruction] = made
    for loop in reversed(loops):
        inner = [replace(loop, body=inner)]
    for instruction in inner:
        e.emit(instruction)


class _Operand:
    """Where blocks of an operand come from: the user's array, the workspace, or L1."""

    def __init__(
        self, e: Emitter, op: ir.Dot, value: ir.Value, home: Buffer | None, is_own: bool
    ) -> None:
        self._e, self._op, self._value = e, op, value
        self._home, self._is_own = home, is_own

    @classmethod
    def of(cls, e: Emitter, op: ir.Dot, value: ir.Value) -> _Operand:
        if resident.find(e, value) is not None or direct_load(e, value) is not None:
            return cls(e, op, value, None, False)
        if value in e.homes and e.homes[value].space is Space.WORKSPACE:
            return cls(e, op, value, e.homes[value], False)
        home = e.memory.allocate(Space.WORKSPACE, _size(value), element_type(value.type), "operand")
        e.compute_into(value, home, op)
        return cls(e, op, value, home, True)

    def load(self, box: Box) -> Loaded:
        """A block in L1; the caller frees it."""
        e, op = self._e, self._op
        rows, columns = box[1][-2:]
        kind = element_type(self._value.type)
        if self._home is not None:
            matrix = new_matrix(e, Space.L1, "NZ", rows, columns, kind)
            source = e.slice_of(self._home, self._value.shape, box)
            e.emit(CopyMatrix(target=matrix, source=source, location=op.location))
            return Loaded(matrix)
        held = resident.find(e, self._value)
        if held is not None:
            row, column = (start.number or 0 for start in box[0])
            return Loaded(held.part(row, column, rows, columns), held.is_turned)
        load = load_of(self._value)
        assert load is not None
        if load.result is not self._value:
            turned = _turned(box)
            found = load_block(e, load, turned)
            return replace(found, is_turned=not found.is_turned)
        return load_block(e, load, box)

    def release(self, block: Loaded) -> None:
        if resident.find(self._e, self._value) is None:
            self._e.memory.free(block.matrix.buffer)

    def finish(self) -> None:
        if self._is_own and self._home is not None:
            self._e.memory.free(self._home)


def direct_load(e: Emitter, value: ir.Value) -> ir.Load | None:
    """The load whose blocks can be copied to L1 as they stand in memory."""
    load = load_of(value)
    if load is None or value in e.homes or load.result in e.homes:
        return None
    if load.mask is not None and e.forms.mask(load.mask) is None:
        return None
    if load.other is not None and not _is_zero(e, load.other):
        return None
    form = e.forms.affine(load.pointer)
    return load if form is not None and adjacent_axis(form, load) is not None else None


def load_of(value: ir.Value) -> ir.Load | None:
    """The load that an operand is, or of which it is the transpose."""
    op = value.op
    if isinstance(op, ir.Transpose):
        rank = len(op.order)
        if op.order != (*range(rank - 2), rank - 1, rank - 2):
            return None
        op = op.source.op
    return op if isinstance(op, ir.Load) else None


def _turned(box: Box) -> Box:
    starts, extents = box
    return (
        (*starts[:-2], starts[-1], starts[-2]),
        (*extents[:-2], extents[-1], extents[-2]),
    )


def adjacent_axis(form: Affine, load: ir.Load) -> int | None:
    """-1 or -2: the axis along which lanes are adjacent in memory."""
    width = load.type.bytes
    for axis in (-1, -2):
        if form.steps[axis].number == width:
            return axis
    return None


def stored_shape(form: Affine, load: ir.Load, shape: tuple[int, ...]) -> tuple[int, int]:
    """Rows and columns of a block of an operand in L1, which has them in the order of memory."""
    rows, columns = shape[-2:]
    return (columns, rows) if adjacent_axis(form, load) == -2 else (rows, columns)


def load_block(
    e: Emitter,
    load: ir.Load,
    box: Box,
    form: Affine | None = None,
    mask: Mask | None = None,
    into: Matrix | None = None,
) -> Loaded:
    """A block of the user's array to L1, its rows in the order of memory; ``into`` a part of a
    matrix there, or a matrix of its own."""
    form = form or e.forms.affine(load.pointer)
    assert form is not None
    if mask is None:
        mask = Mask() if load.mask is None else e.forms.mask(load.mask)
    assert mask is not None
    is_turned = adjacent_axis(form, load) == -2
    outer = len(box[1]) - 2
    order = (outer + 1, outer) if is_turned else (outer, outer + 1)
    places = {axis: number for number, axis in enumerate(order)}
    limits = tuple(
        Limit(places[limit.axis], limit.factor, limit.base)
        if limit.axis in places
        else Limit(None, 0, limit.base)
        for limit in shifted_limits(mask, box[0])
    )
    rows, columns = stored_shape(form, load, box[1])
    matrix = into or new_matrix(e, Space.L1, "NZ", rows, columns, load.type)
    e.emit(
        CopyMatrix(
            target=matrix,
            address=shifted(form, box[0]),
            strides=tuple(form.steps[axis] for axis in order),
            limits=limits,
            conditions=mask.conditions,
            pointer=load.pointer,
            group=e.group(load.pointer),
            location=load.location,
        )
    )
    return Loaded(matrix, is_turned)
