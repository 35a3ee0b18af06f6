"""Tile IR to an NPU program, for kernels whose tiles are rows.

In: 1-D tiles with contiguous loads and stores, elementwise arithmetic, reductions to a scalar.
Out: per tile program one copy in per load, vector instructions on whole rows, and one copy out per
store; inputs and outputs have two copies each, so that the pipes overlap from one program to the
next.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from canopy import ir
from canopy.errors import Location, UnsupportedError
from canopy.ir.types import F16, F32, ScalarType, TileType, element_type
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.npu import (
    Argument,
    Buffer,
    CopyIn,
    CopyOut,
    GridExtent,
    Instruction,
    Number,
    Pipe,
    Program,
    ProgramIndex,
    Scalar,
    SetEvent,
    Vector,
    WaitEvent,
)
from canopy.targets.ascend.shapes import Address, Affine, Bound, Data, Form, combine

__all__ = ["lower_kernel"]

_FLOATS = (F16, F32)


def lower_kernel(kernel: ir.Kernel, chip: Chip) -> Program:
    """The NPU program of a kernel; UnsupportedError with the user's line for what it cannot say."""
    plan = _Lowering(kernel, chip)
    trips = (plan.trip(0), plan.trip(1))
    return Program(
        name=kernel.name,
        prologue=tuple(plan.first_releases()),
        trips=trips,
        epilogue=tuple(plan.last_waits()),
        buffers=tuple(plan.buffers),
        location=kernel.location,
    )


OpT = TypeVar("OpT", bound=ir.Op)
Rule = Callable[["_Lowering", Any], "Form | None"]
_RULES: dict[type[ir.Op], Rule] = {}


def _rule(*kinds: type[ir.Op]) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for kind in kinds:
            assert kind not in _RULES, kind
            _RULES[kind] = function
        return function

    return register


class _Lowering:
    """Two emissions of the same ops, for even and odd trips, over one placement of buffers."""

    def __init__(self, kernel: ir.Kernel, chip: Chip) -> None:
        self._kernel = kernel
        self._chip = chip
        self.buffers: list[Buffer] = []
        self._placed: dict[tuple[ir.Op, int], Data] = {}
        self._top = 0
        self._last_use = _last_uses(kernel.body.ops)
        self._loads = [op for op in kernel.body.ops if isinstance(op, ir.Load)]
        self._stores = [op for op in kernel.body.ops if isinstance(op, ir.Store)]
        self._trip = 0
        self._forms: dict[ir.Value, Form] = {}
        self._list: list[Instruction] = []
        self._check_events()

    def _check_events(self) -> None:
        limit = self._chip.events_per_pipe_pair // 2
        for name, ops in (("loads", self._loads), ("stores", self._stores)):
            if len(ops) > limit:
                raise UnsupportedError(
                    f"a kernel with {len(ops)} {name} needs more events than the "
                    f"{self._chip.events_per_pipe_pair} of a pipe pair",
                    location=ops[limit].location,
                )

    # ---- the program

    def trip(self, parity: int) -> tuple[Instruction, ...]:
        self._trip, self._list = parity, []
        self._forms = dict(self._parameters())
        for op in self._kernel.body.ops:
            self._lower(op)
        return tuple(self._list)

    def _parameters(self) -> dict[ir.Value, Form]:
        forms: dict[ir.Value, Form] = {}
        for index, parameter in enumerate(self._kernel.parameters):
            is_scalar = isinstance(parameter.value.type, ScalarType)
            forms[parameter.value] = Argument(index) if is_scalar else Address(index, Number(0))
        return forms

    def _lower(self, op: ir.Op) -> None:
        rule = _RULES.get(type(op))
        if rule is None:
            raise self.unsupported(op, f"the op {op.mnemonic()}")
        form = rule(self, op)
        if form is not None:
            self._forms[op.result] = form
        for operand in dict.fromkeys(op.operands):
            if self._last_use.get(operand) is op:
                self._retire(operand, op.location)
        if isinstance(op, ir.Load) and op.result not in self._last_use:
            self._retire(op.result, op.location)

    def _retire(self, value: ir.Value, location: Location) -> None:
        """After the last use of a value: its input buffer goes back to the copies."""
        if isinstance(value.op, ir.Load):
            self._set(Pipe.V, Pipe.MTE2, self._loads.index(value.op), location)

    def first_releases(self) -> list[Instruction]:
        """Every buffer starts free."""
        return self._boundary(SetEvent)

    def last_waits(self) -> list[Instruction]:
        """What was set for a trip that never comes is taken back."""
        return self._boundary(WaitEvent)

    def _boundary(self, kind: type[SetEvent] | type[WaitEvent]) -> list[Instruction]:
        made: list[Instruction] = []
        for ops, source, target in (
            (self._loads, Pipe.V, Pipe.MTE2),
            (self._stores, Pipe.MTE3, Pipe.V),
        ):
            for index, op in enumerate(ops):
                for parity in (0, 1):
                    event = 2 * index + parity
                    made.append(
                        kind(source=source, target=target, event=event, location=op.location)
                    )
        return made

    # ---- what rules use

    def unsupported(self, op: ir.Op, what: str, hint: str = "") -> UnsupportedError:
        fact = f"the ascend target does not run {what} yet"
        return UnsupportedError(fact, location=op.location, hint=hint)

    def form(self, value: ir.Value) -> Form:
        return self._forms[value]

    def scalar(self, op: ir.Op, value: ir.Value) -> Scalar:
        form = self._forms[value]
        if isinstance(form, Affine | Address | Bound | Data):
            raise self.unsupported(op, f"{op.mnemonic()} of this value")
        return form

    def emit(self, instruction: Instruction) -> None:
        self._list.append(instruction)

    def _set(self, source: Pipe, target: Pipe, index: int, location: Location) -> None:
        event = 2 * index + self._trip
        self.emit(SetEvent(source=source, target=target, event=event, location=location))

    def _wait(self, source: Pipe, target: Pipe, index: int, location: Location) -> None:
        event = 2 * index + self._trip
        self.emit(WaitEvent(source=source, target=target, event=event, location=location))

    def place(self, op: ir.Op, lanes: int, type_: ScalarType, copies: int, part: int = 0) -> Buffer:
        """The buffer of an op's result in this trip; placed in the first one."""
        key = (op, part)
        if key not in self._placed:
            made = [self._new_buffer(op, lanes, type_, number) for number in range(copies)]
            self._placed[key] = Data(tuple(made))
        return self._placed[key].of(self._trip)

    def _new_buffer(self, op: ir.Op, lanes: int, type_: ScalarType, number: int) -> Buffer:
        if type_ not in _FLOATS:
            raise self.unsupported(op, f"rows of {type_}")
        buffer = Buffer(f"{op.mnemonic()}{len(self.buffers)}.{number}", self._top, lanes, type_)
        block = self._chip.ub_block_bytes
        self._top = -(-buffer.end // block) * block
        if self._top > self._chip.ub_bytes:
            raise UnsupportedError(
                f"the rows of this kernel need more than the {self._chip.ub_bytes} bytes of the "
                f"unified buffer: {self._top} bytes up to here",
                location=op.location,
                hint="use a smaller block size",
            )
        self.buffers.append(buffer)
        return buffer

    def target_of(self, op: ir.Op) -> Buffer:
        """Where an op writes its row or block: a buffer with two copies if a store reads it."""
        type_ = op.result.type
        element = element_type(type_)
        assert isinstance(element, ScalarType)
        block_lanes = self._chip.ub_block_bytes // element.bytes
        lanes = type_.size if isinstance(type_, TileType) else block_lanes
        stores = [s for s in self._stores if s.value is op.result]
        buffer = self.place(op, lanes, element, copies=2 if stores else 1)
        for store in stores:
            self._wait(Pipe.MTE3, Pipe.V, self._stores.index(store), op.location)
        return buffer

    def compute(self, op: ir.Op, function: str, *sources: Buffer | Scalar) -> Data:
        """One vector instruction; returns where its result is."""
        target = self.target_of(op)
        self.emit(Vector(function=function, target=target, sources=sources, location=op.location))
        return Data((target,))

    def source(self, op: ir.Op, value: ir.Value) -> Buffer | Scalar:
        form = self._forms[value]
        if isinstance(form, Data):
            return form.of(self._trip)
        return self.scalar(op, value)

    # ---- memory

    def load(self, op: ir.Load) -> Form:
        address, lanes = self._row(op, op.pointer, op.type)
        target = self.place(op, lanes, address[1], copies=2)
        count = self._count(op, op.mask, lanes)
        index = self._loads.index(op)
        self._wait(Pipe.V, Pipe.MTE2, index, op.location)
        self.emit(
            CopyIn(
                target=target,
                source=address[0].argument,
                offset_bytes=address[0].offset_bytes,
                count=count,
                location=op.location,
            )
        )
        self._set(Pipe.MTE2, Pipe.V, index, op.location)
        self._wait(Pipe.MTE2, Pipe.V, index, op.location)
        if op.other is not None and op.mask is not None:
            other = self.scalar(op, op.other)
            self.emit(
                Vector(
                    function="fill",
                    target=target,
                    sources=(other,),
                    first=count,
                    location=op.location,
                )
            )
        return Data((target,))

    def store(self, op: ir.Store) -> None:
        form = self._forms[op.value]
        if not isinstance(form, Data) or op.value.op in self._loads:
            raise self.unsupported(op, "a store of what was not computed")
        address, lanes = self._row(op, op.pointer, element_type(op.value.type))
        index = self._stores.index(op)
        self._set(Pipe.V, Pipe.MTE3, index, op.location)
        self._wait(Pipe.V, Pipe.MTE3, index, op.location)
        self.emit(
            CopyOut(
                source=form.of(self._trip),
                target=address[0].argument,
                offset_bytes=address[0].offset_bytes,
                count=self._count(op, op.mask, lanes),
                location=op.location,
            )
        )
        self._set(Pipe.MTE3, Pipe.V, index, op.location)

    def _row(
        self, op: ir.Op, pointer: ir.Value, element: Any
    ) -> tuple[tuple[Address, ScalarType], int]:
        address = self._forms[pointer]
        type_ = pointer.type
        if not isinstance(address, Address) or not isinstance(type_, TileType):
            raise self.unsupported(op, f"a {op.mnemonic()} at this address")
        if len(type_.shape) != 1 or address.step_bytes != element.bytes:
            raise self.unsupported(op, f"a {op.mnemonic()} whose lanes are not one contiguous row")
        return (address, element), type_.size

    def _count(self, op: ir.Op, mask: ir.Value | None, lanes: int) -> Scalar:
        if mask is None:
            return Number(lanes)
        form = self._forms[mask]
        if not isinstance(form, Bound):
            raise self.unsupported(op, "a mask that is not a bound on the lanes")
        return combine("max", combine("min", form.lanes, Number(lanes)), Number(0))


def _last_uses(ops: list[ir.Op]) -> dict[ir.Value, ir.Op]:
    found: dict[ir.Value, ir.Op] = {}
    for op in ops:
        for operand in op.operands:
            found[operand] = op
    return found


# ---- rules


@_rule(ir.Constant)
def _constant(t: _Lowering, op: ir.Constant) -> Form:
    return Number(op.value)


@_rule(ir.ProgramId)
def _program_id(t: _Lowering, op: ir.ProgramId) -> Form:
    return ProgramIndex(op.axis)


@_rule(ir.NumPrograms)
def _num_programs(t: _Lowering, op: ir.NumPrograms) -> Form:
    return GridExtent(op.axis)


@_rule(ir.Range)
def _range(t: _Lowering, op: ir.Range) -> Form:
    return Affine(Number(op.start))


@_rule(ir.Splat)
def _splat(t: _Lowering, op: ir.Splat) -> Form:
    return t.form(op.source)


@_rule(ir.Bitcast)
def _bitcast(t: _Lowering, op: ir.Bitcast) -> Form:
    form = t.form(op.source)
    if isinstance(form, Data):
        raise t.unsupported(op, "a bitcast of data")
    return form


@_rule(ir.Cast)
def _cast(t: _Lowering, op: ir.Cast) -> Form:
    form = t.form(op.source)
    return t.compute(op, "cast", form.of(0)) if isinstance(form, Data) else form


@_rule(ir.Offset)
def _offset(t: _Lowering, op: ir.Offset) -> Form:
    pointer, index = t.form(op.pointer), t.form(op.index)
    if not isinstance(pointer, Address):
        raise t.unsupported(op, "arithmetic on this pointer")
    if isinstance(index, Affine):
        moved = combine("mul", index.base, Number(op.scale))
        step = pointer.step_bytes + op.scale
        return Address(pointer.argument, combine("add", pointer.offset_bytes, moved), step)
    moved = combine("mul", t.scalar(op, op.index), Number(op.scale))
    offset = combine("add", pointer.offset_bytes, moved)
    return Address(pointer.argument, offset, pointer.step_bytes)


@_rule(ir.Compare)
def _compare(t: _Lowering, op: ir.Compare) -> Form:
    lhs, rhs = t.form(op.lhs), op.rhs
    if not isinstance(lhs, Affine) or op.predicate not in ("lt", "le"):
        raise t.unsupported(op, "this comparison", hint="masks are lane indices below a bound")
    bound = combine("sub", t.scalar(op, rhs), lhs.base)
    return Bound(combine("add", bound, Number(1)) if op.predicate == "le" else bound)


@_rule(ir.And)
def _and(t: _Lowering, op: ir.And) -> Form:
    lhs, rhs = t.form(op.lhs), t.form(op.rhs)
    if not isinstance(lhs, Bound) or not isinstance(rhs, Bound):
        raise t.unsupported(op, "this and")
    return Bound(combine("min", lhs.lanes, rhs.lanes))


_BINARY: dict[type[ir.Op], str] = {
    ir.Add: "add",
    ir.Sub: "sub",
    ir.Mul: "mul",
    ir.Div: "div",
    ir.Rem: "rem",
    ir.Max: "max",
    ir.Min: "min",
}


@_rule(*_BINARY)
def _binary(t: _Lowering, op: ir.Binary) -> Form:
    function = _BINARY[type(op)]
    lhs, rhs = t.form(op.lhs), t.form(op.rhs)
    if isinstance(lhs, Data) or isinstance(rhs, Data):
        if function == "rem":
            raise t.unsupported(op, "remainders of data")
        return t.compute(op, function, t.source(op, op.lhs), t.source(op, op.rhs))
    if function in ("add", "sub") and isinstance(lhs, Affine):
        return Affine(combine(function, lhs.base, t.scalar(op, op.rhs)))
    if function == "add" and isinstance(rhs, Affine):
        return Affine(combine(function, rhs.base, t.scalar(op, op.lhs)))
    return combine(function, t.scalar(op, op.lhs), t.scalar(op, op.rhs))


_UNARY = frozenset({"exp", "log", "sqrt", "rsqrt", "abs", "neg"})


@_rule(ir.MathCall)
def _math_call(t: _Lowering, op: ir.MathCall) -> Form:
    if op.function not in _UNARY:
        raise t.unsupported(op, f"the function {op.function}")
    return t.compute(op, op.function, t.source(op, op.arguments[0]))


_REDUCTIONS: dict[type[ir.Op], str] = {ir.Add: "add", ir.Max: "max", ir.Min: "min"}


@_rule(ir.Reduce)
def _reduce(t: _Lowering, op: ir.Reduce) -> Form:
    ops = op.combine.ops
    kind = _REDUCTIONS.get(type(ops[0])) if len(ops) == 2 and len(op.sources) == 1 else None
    if kind is None or len(op.sources[0].shape) != 1:
        raise t.unsupported(op, "this reduction", hint="sums, maxima and minima of a row are")
    return t.compute(op, f"reduce_{kind}", t.source(op, op.sources[0]))


@_rule(ir.Load)
def _load(t: _Lowering, op: ir.Load) -> Form:
    return t.load(op)


@_rule(ir.Store)
def _store(t: _Lowering, op: ir.Store) -> None:
    t.store(op)


@_rule(ir.Yield)
def _yield(t: _Lowering, op: ir.Yield) -> None:
    """The end of a kernel."""
