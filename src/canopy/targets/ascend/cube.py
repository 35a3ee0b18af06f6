"""Products on the cube: blocks of the operands through L1 and L0 into L0C, then to the workspace.

An operand that is a plain load is copied from the user's array straight into L1; any other is
computed by the vector core and handed over through the workspace. A loop that does nothing to its
accumulator but add products keeps it in L0C.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from canopy import ir
from canopy.ir.types import BF16, F16, F32, I8, I32, I64, ScalarType, element_type, is_integer
from canopy.targets.ascend.buffers import OutOfSpaceError
from canopy.targets.ascend.forms import Affine, Mask
from canopy.targets.ascend.npu import (
    Branch,
    Buffer,
    CopyIn,
    Fixpipe,
    Instruction,
    Limit,
    LoadMatrix,
    Loop,
    Mmad,
    Move,
    Pipe,
    Space,
    Vector,
    View,
)
from canopy.targets.ascend.pull import (
    Box,
    Pull,
    dense_strides,
    shifted,
    shifted_limits,
)
from canopy.targets.ascend.scalars import Number, Poly, constant, poly_of

if TYPE_CHECKING:
    from canopy.targets.ascend.lower import Emitter

__all__ = ["Accumulator", "accumulators", "dot"]

_TYPES = (F16, BF16, F32, I8)
_MOST_ROWS = 128


@dataclass(slots=True)
class Accumulator:
    """A loop's product that stays in L0C; ``trip`` is 0 in the first trip alone."""

    op: ir.For
    result: ir.Value
    buffer: Buffer
    trip: Poly
    is_empty: Limit

    def finish(self, e: Emitter) -> None:
        """After the loop: out to the result's home; zeros if there was no trip."""
        if not e.plan.is_used(self.result):
            e.memory.free(self.buffer)
            return
        home = e.make_home(self.result, Space.WORKSPACE)
        box = ((Poly(),) * 2, self.result.shape)
        whole = e.slice(self.result, box)
        source = View(self.buffer, self.result.shape, dense_strides(self.result.shape))
        with e.collecting() as ran:
            e.emit(Fixpipe(target=whole, source=source, location=self.op.location))
        with e.collecting() as empty:
            e.strips(self.op, self.result.shape, lambda box: self._zeros(e, home, box))
        e.emit(
            Branch(
                condition=(self.is_empty,),
                then_body=ran,
                else_body=empty,
                location=self.op.location,
            )
        )
        e.memory.free(self.buffer)

    def _zeros(self, e: Emitter, home: Buffer, box: Box) -> None:
        buffer = e.temporary(box[1], home.type)
        view = View(buffer, box[1], dense_strides(box[1]))
        e.emit(Move(target=view, source=Number(0, home.type), location=self.op.location))
        e.spill(view, e.slice_of(home, self.result.shape, box), self.op.location)


def accumulators(e: Emitter, op: ir.For) -> dict[int, Accumulator]:
    """The carried tiles of a loop, by position, that can stay in L0C; their buffers are made."""
    found: dict[int, Accumulator] = {}
    for number, arg in enumerate(op.body.args[1:]):
        if not _only_accumulates(e, op, number, arg):
            continue
        kind = _accumulator_type(arg)
        try:
            buffer = e.memory.allocate(Space.L0C, arg.shape[0] * arg.shape[1], kind, "acc")
        except OutOfSpaceError:
            continue
        lower, upper = poly_of(e.scalar(op.lower)), poly_of(e.scalar(op.upper))
        trip = poly_of(e.scalar(op.body.args[0])) - lower
        found[number] = Accumulator(
            op, op.results[number], buffer, trip, Limit(None, 0, lower - upper)
        )
        e.accumulators[arg] = found[number]
    return found


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
        _Product(e, op, operands, held).into_accumulator(held)
    elif _is_zero(e, op.acc):
        home = e.make_home(op.result, Space.WORKSPACE)
        _Product(e, op, operands, None).into(home)
    else:
        product = e.memory.allocate(
            Space.WORKSPACE, _size(op.result), element_type(op.result.type), "product"
        )
        _Product(e, op, operands, None).into(product)
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


class _Product:
    """The blocks of one product, and the loops over them."""

    def __init__(
        self, e: Emitter, op: ir.Dot, operands: Sequence[_Operand], held: Accumulator | None
    ) -> None:
        self._e, self._op, self._operands = e, op, operands
        *batch, self._m, self._k = op.lhs.shape
        self._n = op.rhs.shape[-1]
        self._batch = batch
        bytes_ = element_type(op.lhs.type).bytes
        self._rows = _block(self._m, _MOST_ROWS)
        self._columns = _block(self._n, _MOST_ROWS)
        widest = max(self._rows, self._columns)
        half = min(e.chip.l0a_bytes, e.chip.l0b_bytes) // 2
        self._depth = _block(self._k, max(half // (widest * bytes_), 1))

    def into(self, target: Buffer) -> None:
        """The product to a buffer of the workspace."""
        e, op = self._e, self._op
        kind = _accumulator_type(op.acc)
        block = e.memory.allocate(Space.L0C, self._rows * self._columns, kind, "l0c")
        batch = [(extent, 1) for extent in self._batch]

        def one(starts: tuple[Poly, ...]) -> None:
            *outer, m, n = starts
            view = View(block, (self._rows, self._columns), (self._columns, 1))
            self._depths(tuple(outer), m, n, view, Poly())
            box = (starts, (*(1 for _ in outer), self._rows, self._columns))
            whole = e.slice_of(target, op.result.shape, box)
            flat = View(target, (self._rows, self._columns), whole.strides[-2:], whole.offset)
            e.emit(Fixpipe(target=flat, source=view, location=op.location))

        blocks = [*batch, (self._m, self._rows), (self._n, self._columns)]
        _nest(e, op, blocks, one)
        e.memory.free(block)

    def into_accumulator(self, held: Accumulator) -> None:
        def one(starts: tuple[Poly, ...]) -> None:
            m, n = starts
            offset = m.scaled(self._n) + n
            view = View(held.buffer, (self._rows, self._columns), (self._n, 1), offset)
            self._depths((), m, n, view, held.trip)

        blocks = [(self._m, self._rows), (self._n, self._columns)]
        _nest(self._e, self._op, blocks, one)

    def _depths(self, outer: tuple[Poly, ...], m: Poly, n: Poly, target: View, trip: Poly) -> None:
        """All of K for one block of the result."""
        e, op = self._e, self._op
        ones = (1,) * len(outer)
        location = op.location

        def step(starts: tuple[Poly, ...]) -> None:
            (k,) = starts
            boxes = (
                ((*outer, m, k), (*ones, self._rows, self._depth)),
                ((*outer, k, n), (*ones, self._depth, self._columns)),
            )
            loaded = []
            for operand, box, space in zip(
                self._operands, boxes, (Space.L0A, Space.L0B), strict=True
            ):
                l1 = operand.load(box)
                shape = box[1][-2:]
                level0 = e.memory.allocate(space, shape[0] * shape[1], l1.type, "l0")
                view = View(level0, shape, dense_strides(shape))
                e.emit(
                    LoadMatrix(
                        target=view,
                        source=View(l1, shape, dense_strides(shape)),
                        location=location,
                    )
                )
                e.memory.free(l1)
                e.memory.free(level0)
                loaded.append(view)
            e.emit(
                Mmad(target=target, lhs=loaded[0], rhs=loaded[1], first=trip + k, location=location)
            )

        _nest(e, op, [(self._k, self._depth)], step)


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
    """Where blocks of an operand come from: the user's array, or the workspace."""

    def __init__(
        self, e: Emitter, op: ir.Dot, value: ir.Value, home: Buffer | None, is_own: bool
    ) -> None:
        self._e, self._op, self._value = e, op, value
        self._home, self._is_own = home, is_own

    @classmethod
    def of(cls, e: Emitter, op: ir.Dot, value: ir.Value) -> _Operand:
        if cls._is_direct(e, value):
            return cls(e, op, value, None, False)
        if value in e.homes and e.homes[value].space is Space.WORKSPACE:
            return cls(e, op, value, e.homes[value], False)
        home = e.memory.allocate(Space.WORKSPACE, _size(value), element_type(value.type), "operand")
        e.compute_into(value, home, op)
        return cls(e, op, value, home, True)

    @staticmethod
    def _is_direct(e: Emitter, value: ir.Value) -> bool:
        load = value.op
        if not isinstance(load, ir.Load) or value in e.homes:
            return False
        if load.mask is not None and e.forms.mask(load.mask) is None:
            return False
        if load.other is not None and not _is_zero(e, load.other):
            return False
        return e.forms.affine(load.pointer) is not None or e.can_guard(load)

    def load(self, box: Box) -> Buffer:
        """A block in L1; the caller frees it."""
        e, op = self._e, self._op
        lanes = box[1][-1] * box[1][-2]
        kind = element_type(self._value.type)
        buffer = e.memory.allocate(Space.L1, lanes, kind, "l1")
        target = View(buffer, box[1], dense_strides(box[1]))
        if self._home is not None:
            self._from(self._home, target, box)
            return buffer
        load = self._value.op
        assert isinstance(load, ir.Load)
        form = e.forms.affine(load.pointer)
        mask = Mask() if load.mask is None else e.forms.mask(load.mask)
        if form is not None and mask is not None:
            self._direct(load, form, mask, target, box)
            return buffer
        guard = e.guard(load, box)
        assert guard is not None
        limits, form, mask = guard
        with e.collecting() as plain:
            self._direct(load, form, mask, target, box)
        with e.collecting() as lanes_:
            self._by_lanes(load, target, box)
        e.emit(Branch(condition=limits, then_body=plain, else_body=lanes_, location=op.location))
        return buffer

    def _from(self, home: Buffer, target: View, box: Box) -> None:
        source = self._e.slice_of(home, self._value.shape, box)
        self._e.emit(
            CopyIn(
                target=target,
                address=Poly(),
                strides=(),
                source=source,
                onto=Pipe.C_MTE2,
                location=self._op.location,
            )
        )

    def _direct(self, load: ir.Load, form: Affine, mask: Mask, target: View, box: Box) -> None:
        self._e.emit(
            CopyIn(
                target=target,
                address=shifted(form, box[0]),
                strides=form.steps,
                limits=shifted_limits(mask, box[0]),
                conditions=mask.conditions,
                pointer=load.pointer,
                group=self._e.group(load.pointer),
                onto=Pipe.C_MTE2,
                pad=True,
                location=load.location,
            )
        )

    def _by_lanes(self, load: ir.Load, target: View, box: Box) -> None:
        """The block lane by lane into the unified buffer, and through the workspace to L1."""
        e = self._e
        shape = box[1]
        home = e.memory.allocate(Space.WORKSPACE, _size_of(shape), target.type, "block")

        def body(inner: Box) -> None:
            starts = tuple(a + b for a, b in zip(box[0], inner[0], strict=True))
            part = View(e.temporary(inner[1], target.type), inner[1], dense_strides(inner[1]))
            Pull(e, load).load_by_lanes(load, (starts, inner[1]), part)
            e.spill(part, e.slice_of(home, shape, inner), load.location)

        e.strips(load, shape, body)
        source = View(home, shape, dense_strides(shape))
        e.emit(
            CopyIn(
                target=target,
                address=Poly(),
                strides=(),
                source=source,
                onto=Pipe.C_MTE2,
                location=load.location,
            )
        )
        e.memory.free(home)

    def finish(self) -> None:
        if self._is_own and self._home is not None:
            self._e.memory.free(self._home)


def _size_of(shape: tuple[int, ...]) -> int:
    size = 1
    for extent in shape:
        size *= extent
    return size
