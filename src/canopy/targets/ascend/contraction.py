"""A loop that does nothing but add products, given to the cube whole.

    for k in 0 .. T:                         for s in 0 .. T / 4 step 2:
      a = load x + k * 64, mask i < K - k*64   copy_matrix a0: 128 x 256 <- x + s * 256 ..
      b = load y + k * 64 * n, ..              copy_matrix b0: 256 x 256 <- ..
      acc = dot(a, b, acc)               ->    multiply a0, b0
                                               copy_matrix a1 <- x + (s + 1) * 256 ..
                                               multiply a1, b1

Where each trip takes up the depth where the one before left it, several trips become one copy: as
many as L1 holds twice, so that one block is copied in while the other is multiplied. A limit drops
what lies behind the last trip.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from canopy import ir
from canopy.ir.types import I64, element_type
from canopy.targets.ascend import cube
from canopy.targets.ascend.forms import Affine, Mask
from canopy.targets.ascend.npu import Assign, Branch, Buffer, Limit, Loop, Matrix, Space
from canopy.targets.ascend.plan import tile_bytes
from canopy.targets.ascend.scalars import Poly, Register, constant, poly_of

if TYPE_CHECKING:
    from canopy.targets.ascend.lower import Emitter

__all__ = ["contraction"]

_SCALAR_OPS = (ir.Binary, ir.Cast, ir.Offset, ir.Constant, ir.Compare, ir.Select, ir.Clamp)


@dataclass(frozen=True, slots=True)
class _Moving:
    """base + trip * step."""

    base: Poly
    step: Poly


@dataclass(frozen=True, slots=True)
class _Block:
    """An operand: its place and mask at trip 0, and what a trip adds; ``axis`` is the depth's."""

    load: ir.Load
    is_turned: bool
    form: Affine
    mask: Mask
    step: Poly
    bases: tuple[Poly, ...]  # of the limits, per trip
    axis: int


class _Evolution:
    """How scalars of a loop's body depend on the number of its trip."""

    def __init__(self, e: Emitter, op: ir.For) -> None:
        self._e, self.loop = e, op
        self._inside = {value for o in ir.walk(op.body.ops) for value in o.results}
        self._inside |= set(op.body.args)
        self._values: dict[Register, ir.Value] = {}
        for value in self._inside:
            scalar = None if value.is_tile else e.scalars.get(value)
            if isinstance(scalar, Register):
                self._values[scalar] = value
        self._known: dict[ir.Value, _Moving | None] = {}

    def of(self, value: ir.Value) -> _Moving | None:
        if value.is_tile:
            return None
        if value not in self._inside:
            return _Moving(poly_of(self._e.scalar(value)), Poly())
        if value not in self._known:
            self._known[value] = None  # what depends on itself is not known
            self._known[value] = self._find(value)
        return self._known[value]

    def _find(self, value: ir.Value) -> _Moving | None:
        args = self.loop.body.args
        if value is args[0]:
            lower, step = (self._e.scalar(v) for v in (self.loop.lower, self.loop.step))
            return _Moving(poly_of(lower), poly_of(step))
        if value in args:
            return self._carried(args.index(value) - 1, value)
        match value.op:
            case ir.Add(lhs=lhs, rhs=rhs):
                return _sum(self.of(lhs), self.of(rhs), 1)
            case ir.Sub(lhs=lhs, rhs=rhs):
                return _sum(self.of(lhs), self.of(rhs), -1)
            case ir.Mul(lhs=lhs, rhs=rhs):
                return _product(self.of(lhs), self.of(rhs))
            case ir.Offset(pointer=pointer, index=index, scale=scale):
                return _sum(self.of(pointer), _scaled(self.of(index), scale), 1)
            case ir.Cast(source=source) if element_type(source.type).bits >= 32:
                wide = value.op.type.bits >= element_type(source.type).bits
                return self.of(source) if wide and value.op.type.kind != "float" else None
            case ir.Constant():
                return _Moving(poly_of(self._e.scalar(value)), Poly())
        return None

    def _carried(self, place: int, value: ir.Value) -> _Moving | None:
        """What each trip adds the same to."""
        following = self.loop.body.terminator.operands[place]
        if following is value:
            return _Moving(poly_of(self._e.scalar(self.loop.initial[place])), Poly())
        added: ir.Value
        scale = 1
        match following.op:
            case ir.Add(lhs=lhs, rhs=rhs) if lhs is value or rhs is value:
                added = rhs if lhs is value else lhs
            case ir.Offset(pointer=pointer, index=index) if pointer is value:
                added, scale = index, following.op.scale
            case _:
                return None
        step = self.of(added)
        if step is None or step.step.terms:
            return None
        initial = poly_of(self._e.scalar(self.loop.initial[place]))
        return _Moving(initial, step.base.scaled(scale))

    def poly(self, poly: Poly) -> _Moving | None:
        """A polynomial of registers, as it moves from trip to trip."""
        total = _Moving(Poly(), Poly())
        for monomial, factor in poly.terms:
            term: _Moving | None = _Moving(constant(factor), Poly())
            for register in monomial:
                value = self._values.get(register)
                here = _Moving(poly_of(register), Poly()) if value is None else self.of(value)
                term = _product(term, here)
            added = _sum(total, term, 1)
            if added is None:
                return None
            total = added
        return total


class _Expansion:
    """Polynomials of registers, written in those that no op on scalars makes: for comparing."""

    def __init__(self, e: Emitter) -> None:
        self._made = {
            scalar: value
            for value, scalar in e.scalars.items()
            if isinstance(scalar, Register) and value.op is not None
        }
        self._e = e

    def same(self, left: Poly, right: Poly) -> bool:
        return left == right or self._expanded(left) == self._expanded(right)

    def _expanded(self, poly: Poly) -> Poly:
        total = Poly()
        for monomial, factor in poly.terms:
            term = constant(factor)
            for register in monomial:
                term = term * self._register(register)
            total = total + term
        return total

    def _register(self, register: Register) -> Poly:
        value = self._made.get(register)
        match value.op if value is not None else None:
            case ir.Mul(lhs=lhs, rhs=rhs):
                return self._value(lhs) * self._value(rhs)
            case ir.Add(lhs=lhs, rhs=rhs):
                return self._value(lhs) + self._value(rhs)
            case ir.Sub(lhs=lhs, rhs=rhs):
                return self._value(lhs) - self._value(rhs)
            case ir.Cast(source=source) if element_type(source.type).bits >= 32:
                return self._value(source)
        return poly_of(register)

    def _value(self, value: ir.Value) -> Poly:
        scalar = self._e.scalar(value)
        return self._register(scalar) if isinstance(scalar, Register) else poly_of(scalar)


def _sum(left: _Moving | None, right: _Moving | None, sign: int) -> _Moving | None:
    if left is None or right is None:
        return None
    return _Moving(left.base + right.base.scaled(sign), left.step + right.step.scaled(sign))


def _product(left: _Moving | None, right: _Moving | None) -> _Moving | None:
    if left is None or right is None or (left.step.terms and right.step.terms):
        return None
    return _Moving(left.base * right.base, left.base * right.step + left.step * right.base)


def _scaled(moving: _Moving | None, factor: int) -> _Moving | None:
    if moving is None:
        return None
    return _Moving(moving.base.scaled(factor), moving.step.scaled(factor))


# ---- recognition


@dataclass(frozen=True, slots=True)
class _Sum:
    """A carried tile that products are added to, and where their operands come from."""

    product: ir.Dot
    left: _Block
    right: _Block
    held: cube.Accumulator


def contraction(e: Emitter, op: ir.For) -> bool:
    """Emits the loop if it is a contraction; False if it is not, and nothing was emitted."""
    tiles = [n for n, initial in enumerate(op.initial) if initial.is_tile]
    if not tiles:
        return False
    accumulators = cube.accumulators(e, op)
    evolution = _Evolution(e, op)
    sums = _sums(e, evolution, accumulators) if list(accumulators) == tiles else None
    scalars = {
        n: evolution.of(arg) for n, arg in enumerate(op.body.args[1:]) if n not in accumulators
    }
    moving = {n: found for n, found in scalars.items() if found is not None}
    if sums is None or len(moving) < len(scalars) or not _only(op, sums):
        cube.give_back(e, op, accumulators)
        return False
    _Emission(e, op, sums).emit(moving)
    return True


def _sums(
    e: Emitter, evolution: _Evolution, accumulators: dict[int, cube.Accumulator]
) -> list[_Sum] | None:
    """What each accumulator adds up; None unless all take steps of one depth in tiles of one
    shape. Products of one operand share its block."""
    blocks: dict[tuple[ir.Value, int], _Block | None] = {}
    found = []
    for number, held in accumulators.items():
        (product,) = e.plan.users(evolution.loop.body.args[1 + number])
        assert isinstance(product, ir.Dot)
        for value, axis in ((product.lhs, 1), (product.rhs, 0)):
            if (value, axis) not in blocks:
                blocks[value, axis] = _block(e, evolution, value, axis)
        left, right = blocks[product.lhs, 1], blocks[product.rhs, 0]
        if left is None or right is None:
            return None
        found.append(_Sum(product, left, right, held))
    kinds = {(s.product.lhs.type, s.product.rhs.type) for s in found}
    made = {
        (id(block), tile_bytes(block.load.result)) for s in found for block in (s.left, s.right)
    }
    fits = 2 * sum(bytes_ for _, bytes_ in made) <= e.chip.l1_bytes
    return found if len(kinds) == 1 and fits else None


def _only(op: ir.For, sums: list[_Sum]) -> bool:
    """Whether the body does nothing but what the products need."""
    needed: set[ir.Op] = {s.product for s in sums}
    needed |= {block.load for s in sums for block in (s.left, s.right)}
    for inner in op.body.ops:
        if inner in needed or inner.is_terminator:
            continue
        if inner.has_side_effects or inner.regions or isinstance(inner, ir.Load):
            return False
        if not any(result.is_tile for result in inner.results) and not isinstance(
            inner, _SCALAR_OPS
        ):
            return False
    return True


def _block(e: Emitter, evolution: _Evolution, value: ir.Value, depth_axis: int) -> _Block | None:
    load = cube.direct_load(e, value)
    if load is None or load not in evolution.loop.body.ops:
        return None
    is_turned = load.result is not value
    axis = 1 - depth_axis if is_turned else depth_axis
    form = e.forms.affine(load.pointer)
    mask = Mask() if load.mask is None else e.forms.mask(load.mask)
    if form is None or mask is None or mask.conditions:
        return None
    place = evolution.poly(form.base)
    limits = [evolution.poly(limit.base) for limit in mask.limits]
    if place is None or any(evolution.poly(step) is None for step in form.steps):
        return None
    depth = load.pointer.shape[axis]
    expansion = _Expansion(e)
    if not expansion.same(place.step, form.steps[axis].scaled(depth)):
        return None
    fixed: list[Limit] = []
    for limit, moved in zip(mask.limits, limits, strict=True):
        along = limit.axis == axis
        wanted = constant(limit.factor * depth if along else 0)
        if moved is None or not expansion.same(moved.step, wanted):
            return None
        fixed.append(replace(limit, base=moved.base))
    first = Affine(place.base, form.steps)
    bases = tuple(moved.step for moved in limits if moved is not None)
    return _Block(load, is_turned, first, Mask(tuple(fixed)), place.step, bases, axis)


# ---- emission


class _Emission:
    def __init__(self, e: Emitter, op: ir.For, sums: list[_Sum]) -> None:
        self._e, self._op, self._sums = e, op, sums
        self._lefts = list(dict.fromkeys(s.left for s in sums))
        self._rights = list(dict.fromkeys(s.right for s in sums))
        product = sums[0].product
        m, self._depth = product.lhs.shape
        lanes = m * len(self._lefts) + product.rhs.shape[1] * len(self._rights)
        width = element_type(product.lhs.type).bytes
        self._trips = cube.trips_of_a_copy(e.chip, lanes, self._depth, width)
        tiles = cube.choose_tiles(e.chip, product)
        self._tiles = cube.deeper(e.chip, tiles, self._depth * self._trips, width)

    def emit(self, moving: dict[int, _Moving]) -> None:
        """Pairs of blocks, and a last one if their number is odd."""
        e, op = self._e, self._op
        lower, upper, step = (poly_of(e.scalar(v)) for v in (op.lower, op.upper, op.step))
        count = self._computed(ir.Div, upper - lower + step - constant(1), step)
        self._count = self._computed(ir.Max, count, Poly())
        per_block = constant(self._trips)
        blocks = self._computed(ir.Div, self._count + constant(self._trips - 1), per_block)
        odd = self._computed(ir.Rem, blocks, constant(2))
        index = e.register(I64, "block")
        with e.collecting() as pair:
            self._one(poly_of(index))
            self._one(poly_of(index) + constant(1))
        e.emit(
            Loop(
                index=index,
                lower=constant(0),
                upper=blocks - odd,
                step=constant(2),
                body=pair,
                location=op.location,
            )
        )
        with e.collecting() as last:
            self._one(blocks - constant(1))
        is_even = (Limit(None, 0, odd - constant(1)),)
        e.emit(
            Branch(
                condition=is_even,
                then_body=[],
                else_body=last,
                is_rare=True,
                location=op.location,
            )
        )
        for number, found in moving.items():
            self._end(op.results[number], found)
        for one in self._sums:
            one.held.finish(e)

    def _computed(self, kind: type[ir.Binary], left: Poly, right: Poly) -> Poly:
        if kind is ir.Div and right == constant(1):
            return left
        register = self._e.register(I64, "n")
        made = kind(lhs=ir.Value(I64), rhs=ir.Value(I64))
        self._e.emit(
            Assign(target=register, op=made, sources=(left, right), location=self._op.location)
        )
        return poly_of(register)

    def _end(self, result: ir.Value, found: _Moving) -> None:
        if not self._e.plan.is_used(result):
            return
        value = found.base + found.step * self._count
        self._e.emit(
            Assign(
                target=self._e.target_register(result),
                op=None,
                sources=(value,),
                location=self._op.location,
            )
        )

    def _one(self, block: Poly) -> None:
        """A block of trips: copies of the operands, and the products. What goes to L0 again and
        again is copied first: it is free last, and waiting for that waits for all."""
        e, product = self._e, self._sums[0].product
        held: list[Buffer] = []
        m, n = product.result.shape
        sides = [self._lefts, self._rights]
        if cube.goes_by_rows(self._tiles, m * len(self._lefts), n * len(self._rights)):
            sides.reverse()
        loaded = {side[0]: self._load_all(side, block, held) for side in sides}
        lefts, rights = loaded[self._lefts[0]], loaded[self._rights[0]]
        parts = [
            cube.Part(s.held.pieces, lefts[s.left], rights[s.right], s.product) for s in self._sums
        ]
        cube.multiply(e, self._tiles, parts, block)
        for buffer in held:
            e.memory.free(buffer)

    def _load_all(
        self, operands: list[_Block], block: Poly, held: list[Buffer]
    ) -> dict[_Block, cube.Loaded]:
        """Left or right operands, side by side in one buffer of L1 where their fractals allow:
        its events stand for all of them."""
        shapes = {self._stored(operand) for operand in operands}
        (rows, columns), is_down = next(iter(shapes))
        kind = operands[0].load.type
        is_whole = rows % 16 == 0 if is_down else columns * kind.bytes % 32 == 0
        if len(operands) == 1 or len(shapes) > 1 or not is_whole:
            loaded = {operand: self._load(operand, block) for operand in operands}
            held += [one.matrix.buffer for one in loaded.values()]
            return loaded
        count = len(operands)
        all_rows, all_columns = (rows * count, columns) if is_down else (rows, columns * count)
        matrix = cube.new_matrix(self._e, Space.L1, "NZ", all_rows, all_columns, kind)
        held.append(matrix.buffer)
        places = [(rows * n, 0) if is_down else (0, columns * n) for n in range(count)]
        return {
            operand: self._load(operand, block, matrix.part(*place, rows, columns))
            for operand, place in zip(operands, places, strict=True)
        }

    def _stored(self, operand: _Block) -> tuple[tuple[int, int], bool]:
        """The shape of a block in L1, and whether others go below it; else beside it."""
        stored = cube.stored_shape(operand.form, operand.load, self._shape(operand))
        is_turned = cube.adjacent_axis(operand.form, operand.load) == -2
        return stored, (operand.axis == 1) != is_turned

    def _shape(self, operand: _Block) -> tuple[int, ...]:
        shape = list(operand.load.pointer.shape)
        shape[operand.axis] *= self._trips
        return tuple(shape)

    def _load(self, operand: _Block, block: Poly, into: Matrix | None = None) -> cube.Loaded:
        trip = block.scaled(self._trips)
        base = operand.form.base + trip * operand.step
        limits = [
            replace(limit, base=limit.base + trip * moved)
            for limit, moved in zip(operand.mask.limits, operand.bases, strict=True)
        ]
        shape = self._shape(operand)
        if self._trips > 1:  # what lies behind the last trip
            end = self._count.scaled(self._depth)
            limits.append(Limit(operand.axis, 1, block.scaled(shape[operand.axis]) - end))
        box = ((Poly(),) * 2, shape)
        form = replace(operand.form, base=base)
        found = cube.load_block(self._e, operand.load, box, form, Mask(tuple(limits)), into)
        return replace(found, is_turned=found.is_turned != operand.is_turned)
