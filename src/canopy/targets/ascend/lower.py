"""Tile IR to an NPU program.

    lower_kernel(kernel, load_chip("910b2")) -> Program

A *root* (a store, a reduction, a kept value) walks its tile in strips and pulls its operands
(`pull`). The largest strips that fit the unified buffer are taken; if nothing fits, larger tiles
are computed again or kept in the workspace (`plan`). Events are added at the end (`events`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

from canopy import ir
from canopy.errors import Location, UnsupportedError
from canopy.ir.types import (
    BOOL,
    I32,
    I64,
    ElementType,
    element_type,
    is_pointer,
)
from canopy.passes import pipeline
from canopy.targets.ascend import cube, epilogue, hardware, moves, resident
from canopy.targets.ascend.addends import add_on_vector_cores
from canopy.targets.ascend.arrays import array_groups
from canopy.targets.ascend.buffers import Allocator, OutOfSpaceError
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.contraction import contraction
from canopy.targets.ascend.events import add_events
from canopy.targets.ascend.forms import Affine, Forms, Mask
from canopy.targets.ascend.npu import (
    Assign,
    Branch,
    Buffer,
    Combine,
    CopyIn,
    CopyOut,
    Instruction,
    LaneMemory,
    Limit,
    Loop,
    Move,
    Program,
    ReadLane,
    Space,
    Vector,
    View,
    WhileLoop,
    walk,
)
from canopy.targets.ascend.own_ops import Unwritten
from canopy.targets.ascend.plan import Plan, tile_bytes
from canopy.targets.ascend.pull import (
    ELEMENTWISE,
    Box,
    Pull,
    box_of,
    dense_strides,
)
from canopy.targets.ascend.refused import refuse_unsupported
from canopy.targets.ascend.scalars import Number, Poly, Register, Scalar, constant, poly_of
from canopy.targets.ascend.turns import take_turns
from canopy.targets.ascend.unit import Unit
from canopy.targets.ascend.unwrap import unwrap

__all__ = ["Emitter", "lower_kernel"]

_FULL_RATE_BYTES = 16 << 10  # of one copy


def lower_kernel(
    kernel: ir.Kernel, chip: Chip, groups: Mapping[str, str] | None = None, prepare: bool = True
) -> Program:
    """The NPU program of a kernel; UnsupportedError with the user's line for what it cannot say.

    ``groups``: per pointer parameter, which of the user's arrays it points into; parameters of one
    group may overlap. By default every parameter has an array of its own.
    """
    if prepare:
        kernel = pipeline.run(kernel)
    refuse_unsupported(kernel, chip)
    kernel = add_on_vector_cores(unwrap(kernel))
    kernel = take_turns(kernel, array_groups(kernel, groups or {}))
    limits = [chip.ub_bytes // part for part in (2, 4, 8, 16, 32, 64, 256)] + [0]
    for limit in limits:
        try:
            program = Emitter(kernel, chip, limit, dict(groups or {})).program()
            hardware.check(program, chip)
            return program
        except OutOfSpaceError as error:
            last = error
    raise UnsupportedError(
        f"no way was found to fit this kernel into the buffers of {chip.name}: {last} are missing",
        location=kernel.location,
        hint="use smaller blocks",
    )


class Emitter:
    """One attempt at a program: kept tiles up to ``limit`` bytes live in the unified buffer."""

    def __init__(self, kernel: ir.Kernel, chip: Chip, limit: int, groups: dict[str, str]) -> None:
        self.kernel = kernel
        self.chip = chip
        self.memory = Allocator(chip)
        self.homes: dict[ir.Value, Buffer] = {}
        self.residents: dict[ir.Value, cube.Loaded] = {}  # operands of products that stay in L1
        self._dying: set[ir.Value] = set()  # what the op that is emitted reads as the last one
        self.temporaries: dict[tuple[Space, int], Buffer] = {}
        self.multiples: dict[Register, int] = {}  # what registers always are multiples of
        self.notes: list[str] = []
        self._registers = 0
        self.scalars: dict[ir.Value, Scalar] = {}
        self._list: list[Instruction] = []
        self._scratch: dict[ir.Op, Buffer] = {}
        self.group = array_groups(kernel, groups)  # the user's array that a pointer points into
        self.accumulators: dict[ir.Value, cube.Accumulator] = {}
        self.products: dict[ir.Store, cube.Accumulator] = {}  # in L0C until they are stored
        self._parameters = tuple(self.register(p.value.type, p.name) for p in kernel.parameters)
        for parameter, register in zip(kernel.parameters, self._parameters, strict=True):
            self.scalars[parameter.value] = register
        self._program = tuple(self.register(I32, f"program_{axis}") for axis in "xyz")
        self._grid = tuple(self.register(I32, f"grid_{axis}") for axis in "xyz")
        self.forms = Forms(self._scalar_or_none)
        for op in ir.walk(kernel.body.ops):  # registers are known before anything is emitted
            self._name_scalars(op)
        self.plan = Plan(kernel, self.forms, limit, self.group)

    def program(self) -> Program:
        self.region(self.kernel.body)
        return add_events(
            Program(
                kernel=self.kernel,
                parameters=self._parameters,
                program=self._program,
                grid=self._grid,
                body=self._list,
                registers=self._registers,
                used_bytes=dict(self.memory.top),
                notes=list(dict.fromkeys(self.notes)),
                scalars=dict(self.scalars),
                scratch=self._scratch,
                multiples=self.multiples,
            ),
            self.chip,
        )

    # ---- scalars

    def register(self, type_: Any, name: str = "") -> Register:
        self._registers += 1
        return Register(self._registers - 1, element_type(type_), name)

    def _name_scalars(self, op: ir.Op) -> None:
        match op:
            case ir.Constant() if not op.result.is_tile:
                element = element_type(op.type)
                self.scalars[op.result] = Number(op.value, element)
                return
            case ir.ProgramId():
                self.scalars[op.result] = self._program[op.axis]
                return
            case ir.NumPrograms():
                self.scalars[op.result] = self._grid[op.axis]
                return
        named = [*op.results, *(arg for region in op.regions for arg in region.args)]
        for value in named:
            if not value.is_tile and value not in self.scalars:
                self.scalars[value] = self.register(value.type, value.name)

    def _scalar_or_none(self, value: ir.Value) -> Scalar | None:
        return self.scalars.get(value)

    def scalar(self, value: ir.Value) -> Scalar:
        return self.scalars[value]

    def target_register(self, value: ir.Value) -> Register:
        register = self.scalars[value]
        assert isinstance(register, Register)
        return register

    # ---- emission

    def unsupported(self, op: ir.Op, what: str, hint: str = "") -> UnsupportedError:
        fact = f"the ascend target does not run {what} yet"
        return UnsupportedError(fact, location=op.location, hint=hint)

    def append(self, instruction: Instruction) -> None:
        self._list.append(instruction)

    def emit(self, instruction: Instruction) -> None:
        """Appends an instruction, in hardware form."""
        if type(instruction) in hardware.GENERIC:
            hardware.emit(self, instruction)
        else:
            self.append(instruction)

    def move(self, unit: Unit, target: View, source: View | Scalar) -> None:
        """A move in hardware form, with the temporaries of ``unit``."""
        moves.move(unit, target, source)

    def is_aligned(self, view: View) -> bool:
        """Whether a view of the unified buffer starts at a block of 32 bytes."""
        start = view.offset.scaled(view.type.bytes) + constant(view.buffer.address)
        return hardware.multiple(start, self.multiples) % self.chip.ub_block_bytes == 0

    def scalar_loop(self, op: ir.Op | Instruction) -> None:
        """Notes that lanes go one by one."""
        name = op.mnemonic() if isinstance(op, ir.Op) else type(op).__name__.lower()
        self.notes.append(f"{op.location}: {name} goes lane by lane on the scalar unit")

    @contextmanager
    def collecting(self) -> Iterator[list[Instruction]]:
        """Instructions go to the yielded list."""
        outer, self._list = self._list, []
        try:
            yield self._list
        finally:
            self._list = outer

    def temporary(self, shape: tuple[int, ...], type_: ElementType) -> Buffer:
        buffer = self.memory.allocate(Space.UB, math.prod(shape), type_, "t")
        self.temporaries[buffer.space, buffer.address] = buffer
        return buffer

    def drop(self, place: tuple[Space, int]) -> None:
        self.memory.free(self.temporaries.pop(place))

    def make_home(self, value: ir.Value, space: Space | None = None) -> Buffer:
        size = math.prod(value.shape)
        where = space or self.plan.home(value)
        buffer = self.memory.allocate(where, size, element_type(value.type), value.name or "v")
        self.homes[value] = buffer
        return buffer

    def free_home(self, value: ir.Value) -> None:
        self.residents.pop(value, None)
        home = self.homes.pop(value)
        if home not in self.homes.values():
            self.memory.free(home)

    def slice(self, value: ir.Value, box: Box) -> View:
        """A box of a kept value in its home."""
        return self.slice_of(self.homes[value], value.shape, box)

    def slice_of(self, home: Buffer, shape: tuple[int, ...], box: Box) -> View:
        strides = dense_strides(shape)
        offset = Poly()
        for start, stride in zip(box[0], strides, strict=True):
            offset = offset + start.scaled(stride)
        return View(home, box[1], strides, offset)

    # ---- strips

    def strips(
        self,
        op: ir.Op,
        shape: tuple[int, ...],
        body: Callable[[Box], None],
        cut_order: Sequence[int] | None = None,
    ) -> None:
        """Emits ``body`` for boxes that cover ``shape``: the largest that fit."""
        order = list(range(len(shape))) if cut_order is None else list(cut_order)
        extents = shape
        while True:
            memory, temporaries, length = (
                self.memory.state(),
                dict(self.temporaries),
                len(self._list),
            )
            homes = dict(self.homes)
            room = self.memory.room(Space.UB)
            smaller = _halved(extents, order)
            try:
                taken = self._walk(op, shape, extents, body, order)
                if smaller is None or self._overlaps(extents, shape, taken, room):
                    return
            except OutOfSpaceError:
                if smaller is None:
                    raise
            assert smaller is not None
            self.memory.restore(memory)
            self.temporaries, self.homes = temporaries, homes
            del self._list[length:]
            extents = smaller

    def _overlaps(
        self, extents: tuple[int, ...], shape: tuple[int, ...], taken: int, room: int
    ) -> bool:
        """Whether two strips have buffers side by side, so that one is copied while the other is
        computed; strips as short as a copy at full rate are not cut further for that."""
        is_short = math.prod(extents) * 4 <= _FULL_RATE_BYTES
        return extents == shape or is_short or 2 * taken <= room

    def _walk(
        self,
        op: ir.Op,
        shape: tuple[int, ...],
        extents: tuple[int, ...],
        body: Callable[[Box], None],
        order: list[int],
    ) -> int:
        """The bytes that the buffers of one strip took; two strips a trip where they copy."""
        starts = [Poly()] * len(shape)
        loops: list[Loop] = []
        for axis in order:
            if extents[axis] == shape[axis]:
                continue
            index = self.register(I64, f"i{axis}")
            self.multiples[index] = extents[axis]
            starts[axis] = poly_of(index)
            loops.append(
                Loop(
                    index=index,
                    lower=constant(0),
                    upper=constant(shape[axis]),
                    step=constant(extents[axis]),
                    location=op.location,
                )
            )
        taken = self.memory.taken
        made = self._strip(body, starts, extents)
        taken = self.memory.taken - taken
        if loops and _copies(made):
            axis = [axis for axis in order if extents[axis] != shape[axis]][-1]
            count = shape[axis] // extents[axis]
            if count % 2 == 0:
                starts[axis] = starts[axis] + constant(extents[axis])
                made += self._strip(body, starts, extents)
                loops[-1] = replace(loops[-1], step=constant(2 * extents[axis]))
        for loop in reversed(loops):
            made = [replace(loop, body=made)]
        self._list.extend(made)
        return taken

    def _strip(
        self, body: Callable[[Box], None], starts: list[Poly], extents: tuple[int, ...]
    ) -> list[Instruction]:
        before = set(self.temporaries)
        with self.collecting() as made:
            body((tuple(starts), extents))
        for place in set(self.temporaries) - before:
            self.drop(place)
        return made

    # ---- regions and ops

    def region(self, region: ir.Region, end: Callable[[], None] = lambda: None) -> None:
        """The ops of a region, ``end`` in the place of its terminator; homes are freed after their
        last use."""
        last: dict[ir.Value, int] = {}
        made_here: set[ir.Value] = set()
        for position, op in enumerate(region.ops):
            for value in self.plan.reads(op):
                last[value] = position
        for position, op in enumerate(region.ops):
            before = set(self.homes)
            self._dying = {v for v in made_here if last.get(v) == position}
            if op.is_terminator:
                end()
            else:
                self.op(op)
            made_here |= set(self.homes) - before
            for value in [v for v in made_here if last.get(v, position) <= position]:
                if value in self.homes:
                    self.free_home(value)
                made_here.discard(value)

    def op(self, op: ir.Op) -> None:
        match op:
            case ir.For():
                self._for(op)
            case ir.While():
                self._while(op)
            case ir.If():
                self._if(op)
            case ir.Store():
                self._store(op)
            case ir.AtomicRmw() | ir.AtomicCas():
                self._atomic(op)
            case ir.Reduce():
                self._reduce(op)
            case ir.Scan():
                self._scan(op)
            case ir.Dot():
                cube.dot(self, op)
            case ir.Gather():
                self._gather(op)
            case ir.Histogram():
                self._histogram(op)
            case ir.Concat():
                self._concat(op)
            case ir.Unsplat() | ir.AnyLane():
                self._to_scalar(op)
            case ir.Scratch():
                self._scratch_memory(op)
            case ir.Barrier() | ir.Fence() | ir.ProgramId() | ir.NumPrograms():
                pass  # one program is one thread of execution
            case Unwritten():
                pass
            case ir.Split() if not op.results[0].is_tile:
                self._split_pair(op)
            case ir.Load() if not op.result.is_tile:
                self._scalar_memory(op, self.target_register(op.result))
            case _:
                self._plain(op)

    def _plain(self, op: ir.Op) -> None:
        if any(result.is_tile for result in op.results):
            for result in op.results:
                if result in self.plan.kept:
                    self._keep(result, op)
            return
        if isinstance(op, ir.Constant):
            return
        if not isinstance(op, ELEMENTWISE):
            hint = "guard it with a constexpr" if isinstance(op, ir.Print | ir.Assert) else ""
            raise self.unsupported(op, f"{op.mnemonic()}", hint)
        sources = tuple(self.scalar(v) for v in op.operands)
        self.emit(
            Assign(
                target=self.target_register(op.result),
                op=op,
                sources=sources,
                location=op.location,
            )
        )

    def _keep(self, value: ir.Value, op: ir.Op) -> None:
        """Computes an inline value into a home."""
        if resident.keep(self, value):
            return
        home = self._place_of_next(value, op)
        if home is None:
            home = self.memory.allocate(
                self.plan.home(value),
                math.prod(value.shape),
                element_type(value.type),
                value.name or "v",
            )
        self.compute_into(value, home, op)
        self.homes[value] = home

    def _place_of_next(self, value: ir.Value, op: ir.Op) -> Buffer | None:
        """The home of what a loop carries, for the value that the next trip is given: where ``op``,
        which makes it, and all behind it do not read that of this trip."""
        loop, number = self.plan.carried.get(value, (None, 0))
        arg = loop.body.args[1 + number] if loop is not None else None
        if loop is None or arg is None or op not in loop.body.ops:
            return None
        home = self.homes.get(arg)
        if home is None or home.space is not self.plan.home_carried(loop, number):
            return None
        behind = loop.body.ops[loop.body.ops.index(op) + 1 :]
        given = loop.body.terminator.operands
        others = [v for n, v in enumerate(given) if n != number and v.is_tile]
        read = self.plan.deps_of((*op.operands, *others))
        is_read = arg in read or any(arg in self.plan.reads(later) for later in behind[:-1])
        return None if is_read else home

    def compute_into(self, value: ir.Value, home: Buffer, op: ir.Op) -> None:
        """All lanes of ``value`` into a buffer, strip by strip."""

        def body(box: Box) -> None:
            target = self.slice_of(home, value.shape, box)
            pull = Pull(self, op)
            pull.want(value, box)
            if home.space is Space.UB:
                pull.into(value, box, target)
                return
            self.spill(pull.data(value, box), target, op.location)

        self.strips(op, value.shape, body)

    def spill(self, source: View, target: View, location: Location) -> None:
        """A buffer into the workspace."""
        self.emit(
            CopyOut(source=source, address=Poly(), strides=(), target=target, location=location)
        )

    # ---- memory

    def _store(self, op: ir.Store) -> None:
        if op in self.products:
            epilogue.store_product(self, op)
            return
        if not op.pointer.is_tile:
            self._scalar_memory(op, None)
            return

        def body(box: Box) -> None:
            pull = Pull(self, op)
            pull.want_store(op, box)
            pull.store(op, box)

        self.strips(op, op.pointer.shape, body)

    def _scalar_memory(self, op: ir.Op, target: Register | None) -> None:
        pointer: ir.Value = op.pointer  # type: ignore[attr-defined]
        sources = tuple(self.scalar(v) for v in op.operands)
        self.emit(
            LaneMemory(
                op=op,
                sources=sources,
                target=target,
                group=self.group(pointer),
                location=op.location,
            )
        )

    def _atomic(self, op: ir.AtomicRmw | ir.AtomicCas) -> None:
        if not op.pointer.is_tile:
            self._scalar_memory(op, self.target_register(op.result))
            return
        home = self.make_home(op.result) if op.result in self.plan.kept else None

        def body(box: Box) -> None:
            pull = Pull(self, op)
            for value in op.operands:
                if self.forms.uniform(value) is None:
                    pull.want(value, box)
            sources = tuple(pull.operand(v, box) for v in op.operands)
            target = None if home is None else self.slice_of(home, op.result.shape, box)
            made = target
            if target is not None and target.buffer.space is not Space.UB:
                buffer = self.temporary(box[1], target.type)
                made = View(buffer, box[1], dense_strides(box[1]))
            self.emit(LaneMemory(op=op, sources=sources, target=made, location=op.location))
            if target is not None and made is not target:
                assert made is not None
                self.spill(made, target, op.location)

        self.notes.append(f"{op.location}: atomics run lane by lane on the scalar unit")
        self.strips(op, op.pointer.shape, body)

    def _scratch_memory(self, op: ir.Scratch) -> None:
        buffer = self.memory.allocate(Space.WORKSPACE, op.bytes, I32, "scratch")
        self._scratch[op] = buffer
        self.emit(
            Assign(target=self.target_register(op.result), op=op, sources=(), location=op.location)
        )

    # ---- guards

    def can_guard(self, op: ir.Load) -> bool:
        """Whether the pointer is a block but for remainders that seldom wrap."""
        return bool(self._remainders(op)) and self._mask_of(op) is not None

    def _mask_of(self, op: ir.Load) -> Mask | None:
        return Mask() if op.mask is None else self.forms.mask(op.mask)

    def _remainders(self, op: ir.Load) -> list[tuple[ir.Rem, int]]:
        """Remainders of ranges in the pointer, with the axis that each runs along; empty where that
        does not make the pointer a block."""
        if self.forms.affine(op.pointer) is not None:
            return []
        found = [r for r in _rems_of(op.pointer) if self._is_range_remainder(r)]
        probes = [Register(-1 - number) for number in range(len(found))]
        self.forms.wrapped = {
            rem.result: Affine(Poly(), _unit_step(rem, self.forms, probe))
            for rem, probe in zip(found, probes, strict=True)
        }
        form = self.forms.affine(op.pointer) if found else None
        self.forms.wrapped = {}
        if form is None:
            return []
        axes = []
        for rem, probe in zip(found, probes, strict=True):
            along = [
                axis
                for axis, step in enumerate(form.steps)
                if any(probe in monomial for monomial, _ in step.terms)
            ]
            if len(along) != 1:
                return []
            axes.append((rem, along[0]))
        return axes

    def _is_range_remainder(self, op: ir.Rem) -> bool:
        form = self.forms.affine(op.lhs)
        if form is None or self.forms.uniform(op.rhs) is None:
            return False
        steps = [step for step in form.steps if step.terms]
        return len(steps) == 1 and steps[0].number == 1

    def guard(self, op: ir.Load, box: Box) -> tuple[tuple[Limit, ...], Affine, Mask] | None:
        """(limits under which it holds, the pointer as a block, its mask)"""
        mask = self._mask_of(op)
        remainders = self._remainders(op)
        if mask is None or not remainders:
            return None
        limits: list[Limit] = []
        wrapped: dict[ir.Value, Affine] = {}
        for rem, axis in remainders:
            form = self.forms.affine(rem.lhs)
            divisor = self.forms.uniform(rem.rhs)
            assert form is not None
            assert divisor is not None
            first = form.base + box[0][axis]
            base = self.register(rem.result.type)
            self.emit(Assign(target=base, op=rem, sources=(first, divisor), location=rem.location))
            ends = poly_of(base) + constant(box[1][axis] - 1) - poly_of(divisor)
            limits += [Limit(None, 0, ends), Limit(None, 0, constant(-1) - first)]
            wrapped[rem.result] = Affine(
                poly_of(base) - box[0][axis], _unit_step(rem, self.forms, None)
            )
        self.forms.wrapped = wrapped
        affine = self.forms.affine(op.pointer)
        self.forms.wrapped = {}
        assert affine is not None
        return tuple(limits), affine, mask

    # ---- lanes that meet

    def _result_homes(self, op: ir.Op) -> list[Buffer]:
        """A buffer per result; scalars get one lane in the unified buffer."""
        homes = []
        for result in op.results:
            if result.is_tile:
                homes.append(self.make_home(result))
            else:
                homes.append(self.memory.allocate(Space.UB, 1, element_type(result.type), "r"))
        return homes

    def _read_scalars(self, op: ir.Op, homes: list[Buffer]) -> None:
        for result, home in zip(op.results, homes, strict=True):
            if result.is_tile:
                if result not in self.plan.kept:
                    self.free_home(result)
                continue
            target = self.target_register(result)
            self.emit(ReadLane(target=target, source=View(home, (), ()), location=op.location))
            self.memory.free(home)

    def _reduce(self, op: ir.Reduce) -> None:
        homes = self._result_homes(op)
        shape, axis = op.sources[0].shape, op.axis
        kept = (*shape[:axis], *shape[axis + 1 :])

        def body(box: Box) -> None:
            starts, extents = box
            pull = Pull(self, op)
            for source in op.sources:
                pull.want(source, box)
            sources = tuple(pull.data(source, box) for source in op.sources)
            outer = (starts[:axis] + starts[axis + 1 :], extents[:axis] + extents[axis + 1 :])
            finals = [self.slice_of(home, kept, outer) for home in homes]
            targets = [self._in_ub(final) for final in finals]
            if extents[axis] == shape[axis]:
                self._reduced(op, targets, sources)
                for target, final in zip(targets, finals, strict=True):
                    if target is not final:
                        self.spill(target, final, op.location)
                return
            if any(target is not final for target, final in zip(targets, finals, strict=True)):
                raise OutOfSpaceError(Space.UB, finals[0].buffer.bytes)
            self._accumulate(op, starts[axis], targets, sources)

        order = [a for a in range(len(shape)) if a != axis] + [axis]
        self.strips(op, shape, body, order)
        self._read_scalars(op, homes)

    def _in_ub(self, final: View) -> View:
        if final.buffer.space is Space.UB:
            return final
        buffer = self.temporary(final.shape, final.type)
        return View(buffer, final.shape, dense_strides(final.shape))

    def _reduced(self, op: ir.Op, targets: Sequence[View], sources: tuple[View, ...]) -> None:
        axis = getattr(op, "axis", 0)
        self.emit(
            Vector(op=op, targets=tuple(targets), sources=sources, axis=axis, location=op.location)
        )

    def _accumulate(
        self, op: ir.Reduce, start: Poly, targets: list[View], sources: tuple[View, ...]
    ) -> None:
        """The first strip along the axis makes the accumulator, the others join it."""
        with self.collecting() as first:
            self._reduced(op, targets, sources)
        parts = [self._in_ub_copy(target) for target in targets]
        with self.collecting() as later:
            self._reduced(op, parts, sources)
            self.emit(
                Combine(op=op, targets=tuple(targets), sources=tuple(parts), location=op.location)
            )
        is_first = (Limit(None, 0, start - constant(1)),)
        self.emit(
            Branch(condition=is_first, then_body=first, else_body=later, location=op.location)
        )

    def _in_ub_copy(self, like: View) -> View:
        buffer = self.temporary(like.shape, like.type)
        return View(buffer, like.shape, dense_strides(like.shape))

    def _scan(self, op: ir.Scan) -> None:
        homes = self._result_homes(op)
        shape = op.sources[0].shape

        def body(box: Box) -> None:
            pull = Pull(self, op)
            for source in op.sources:
                pull.want(source, box)
            sources = tuple(pull.data(source, box) for source in op.sources)
            finals = [self.slice_of(home, shape, box) for home in homes]
            targets = [self._in_ub(final) for final in finals]
            self._reduced(op, targets, sources)
            for target, final in zip(targets, finals, strict=True):
                if target is not final:
                    self.spill(target, final, op.location)

        self.strips(op, shape, body, [a for a in range(len(shape)) if a != op.axis])
        self._read_scalars(op, homes)

    def _gather(self, op: ir.Gather) -> None:
        home = self.make_home(op.result)
        shape, axis = op.result.shape, op.axis

        def body(box: Box) -> None:
            starts, extents = list(box[0]), list(box[1])
            starts[axis], extents[axis] = Poly(), op.source.shape[axis]
            whole = (tuple(starts), tuple(extents))
            pull = Pull(self, op)
            pull.want(op.source, whole)
            pull.want(op.indices, box)
            sources = (pull.data(op.source, whole), pull.data(op.indices, box))
            final = self.slice_of(home, shape, box)
            target = self._in_ub(final)
            self._reduced(op, [target], sources)
            if target is not final:
                self.spill(target, final, op.location)

        self.strips(op, shape, body)
        self._read_scalars(op, [home])

    def _histogram(self, op: ir.Histogram) -> None:
        home = self.make_home(op.result, Space.UB)

        def body(box: Box) -> None:
            pull = Pull(self, op)
            for value in op.operands:
                pull.want(value, box)
            sources = tuple(pull.data(value, box) for value in op.operands)
            target = View(home, (op.bins,), (1,))
            self._reduced(op, [target], sources)

        self.strips(op, op.source.shape, body, [])
        self._read_scalars(op, [home])

    def _concat(self, op: ir.Concat) -> None:
        home = self.make_home(op.result)
        start = 0
        for part in (op.lhs, op.rhs):
            row = math.prod(part.shape[1:])
            lanes = math.prod(part.shape)
            bytes_ = element_type(part.type).bytes
            half = Buffer(
                home.space, home.address + start * row * bytes_, lanes, home.type, home.name
            )
            self.compute_into(part, half, op)
            start += part.shape[0]
        self._read_scalars(op, [home])

    def _to_scalar(self, op: ir.Unsplat | ir.AnyLane) -> None:
        home = self.memory.allocate(Space.UB, 1, element_type(op.result.type), "r")

        def body(box: Box) -> None:
            pull = Pull(self, op)
            pull.want(op.source, box)
            source = pull.data(op.source, box)
            self._reduced(op, [View(home, (), ())], (source,))

        uniform = self.forms.uniform(op.source)
        target = self.target_register(op.result)
        if uniform is not None:
            self.emit(Assign(target=target, op=None, sources=(uniform,), location=op.location))
        else:
            self.strips(op, op.source.shape, body, [])
            self.emit(ReadLane(target=target, source=View(home, (), ()), location=op.location))
        self.memory.free(home)

    def _split_pair(self, op: ir.Split) -> None:
        pull = Pull(self, op)
        box = box_of(op.source.shape)
        pull.want(op.source, box)
        source = pull.data(op.source, box)
        for part, result in enumerate(op.results):
            lane = View(source.buffer, (), (), source.offset + constant(part * source.strides[-1]))
            target = self.target_register(result)
            self.emit(ReadLane(target=target, source=lane, location=op.location))
        for place in list(self.temporaries):
            self.drop(place)

    # ---- control

    def _for(self, op: ir.For) -> None:
        if contraction(self, op):
            return
        index = self.target_register(op.body.args[0])
        lower, upper, step = (self.scalar(v) for v in (op.lower, op.upper, op.step))
        accumulators = cube.accumulators(self, op)
        carried = [n for n in range(len(op.initial)) if n not in accumulators]
        self._start(op, op.initial, op.body.args[1:], op.results, carried)
        with self.collecting() as body:
            yielded = op.body.terminator.operands
            self.region(op.body, lambda: self._hand_over(op, yielded, op.body.args[1:], carried))
        self.emit(
            Loop(index=index, lower=lower, upper=upper, step=step, body=body, location=op.location)
        )
        self._finish(op, op.body.args[1:], op.results, carried)
        for accumulator in accumulators.values():
            accumulator.finish(self)

    def _start(
        self,
        op: ir.Op,
        initial: Sequence[ir.Value],
        args: Sequence[ir.Value],
        results: Sequence[ir.Value],
        carried: list[int],
    ) -> None:
        """Homes and registers of what a loop carries, holding the initial values."""
        for number in carried:
            source, arg = initial[number], args[number]
            if not arg.is_tile:
                self._copy_scalar(self.scalar(source), self.target_register(arg), op)
                continue
            if self._takes_over(op, source):
                self.homes[arg] = self.homes.pop(source)
                continue
            in_loop = self.plan.home_carried(op, number) if isinstance(op, ir.For) else None
            home = self.memory.allocate(
                in_loop or self.plan.home(arg),
                math.prod(arg.shape),
                element_type(arg.type),
                arg.name or "carried",
            )
            if not isinstance(source.op, Unwritten):
                self.compute_into(source, home, op)
            self.homes[arg] = home

    def _takes_over(self, op: ir.Op, source: ir.Value) -> bool:
        """Whether nobody reads an initial value but as what the loop carries."""
        if source not in self._dying or source not in self.homes or source in self.residents:
            return False
        inside = [inner.operands for region in op.regions for inner in ir.walk(region.ops)]
        read = self.plan.deps_of(value for operands in inside for value in operands)
        return source not in read and op.operands.count(source) == 1

    def _copy_scalar(self, source: Scalar, target: Register, op: ir.Op) -> None:
        if source != target:
            self.emit(Assign(target=target, op=None, sources=(source,), location=op.location))

    def _finish(
        self,
        op: ir.Op,
        args: Sequence[ir.Value],
        results: Sequence[ir.Value],
        carried: list[int],
    ) -> None:
        """The results take over the homes of what was carried."""
        for number in carried:
            arg, result = args[number], results[number]
            if not arg.is_tile:
                self._copy_scalar(self.scalar(arg), self.target_register(result), op)
                continue
            home = self.homes.pop(arg)
            if result in self.plan.kept:
                self.homes[result] = home
            else:
                self.memory.free(home)

    def _hand_over(
        self,
        op: ir.Op,
        values: Sequence[ir.Value],
        args: Sequence[ir.Value],
        carried: list[int],
    ) -> None:
        """What a trip yields becomes what the next one is given, all at once."""
        moves: list[tuple[Buffer, ir.Value]] = []
        scalars: list[tuple[Scalar, Register]] = []
        for number in carried:
            value, arg = values[number], args[number]
            if value is arg or (arg.is_tile and self.homes.get(value) == self.homes[arg]):
                continue
            if not arg.is_tile:
                scalars.append((self.scalar(value), self.target_register(arg)))
                continue
            others = [values[n] for n in carried if n != number and values[n].is_tile]
            is_alone = all(arg not in self.plan.deps(other) for other in others)
            if is_alone and self._reads_in_place(value, arg):
                self.compute_into(value, self.homes[arg], op)
                continue
            space = self.homes[arg].space
            lanes = math.prod(arg.shape)
            fresh = self.memory.allocate(space, lanes, element_type(arg.type), "next")
            self.compute_into(value, fresh, op)
            moves.append((fresh, arg))
        for fresh, arg in moves:
            self._copy_home(fresh, self.homes[arg], arg.shape, op)
            self.memory.free(fresh)
        self._copy_scalars(scalars, op)

    def _copy_scalars(self, pairs: list[tuple[Scalar, Register]], op: ir.Op) -> None:
        targets = {target for _, target in pairs}
        staged: list[tuple[Scalar, Register]] = []
        for source, target in pairs:
            if source in targets and source != target:
                between = self.register(target.type)
                self._copy_scalar(source, between, op)
                staged.append((between, target))
            else:
                staged.append((source, target))
        for source, target in staged:
            self._copy_scalar(source, target, op)

    def _reads_in_place(self, value: ir.Value, arg: ir.Value) -> bool:
        """Whether each lane of ``value`` reads only the same lane of ``arg``."""
        if arg not in self.plan.deps(value) or value is arg:
            return True
        if value in self.homes or not isinstance(value.op, ELEMENTWISE):
            return False
        return all(self._reads_in_place(v, arg) for v in value.op.operands if v.is_tile)

    def _copy_home(self, source: Buffer, target: Buffer, shape: tuple[int, ...], op: ir.Op) -> None:
        def body(box: Box) -> None:
            left, right = (self.slice_of(b, shape, box) for b in (source, target))
            if source.space is Space.UB:
                self.emit(Move(target=right, source=left, location=op.location))
                return
            between = self._in_ub_copy(left)
            self.emit(_copy_from_workspace(between, left, op.location))
            self.spill(between, right, op.location)

        self.strips(op, shape, body)

    def _while(self, op: ir.While) -> None:
        before, body = op.before, op.body
        condition = before.terminator
        assert isinstance(condition, ir.Condition)
        everything = list(range(len(op.initial)))
        self._start(op, op.initial, before.args, (), everything)
        for value in op.results:  # what the condition passes: the body's arguments, the results
            if value.is_tile:
                self.make_home(
                    value, Space.UB if tile_bytes(value) <= self.plan.limit else Space.WORKSPACE
                )
        for arg, value in zip(body.args, op.results, strict=True):
            if value.is_tile:
                self.homes[arg] = self.homes[value]
        held = self.register(BOOL)
        with self.collecting() as first:
            self.region(before, lambda: self._pass_on(op, condition, held))
        with self.collecting() as then:
            yielded = body.terminator.operands
            self.region(body, lambda: self._hand_over(op, yielded, before.args, everything))
        self.emit(WhileLoop(before=first, condition=held, body=then, location=op.location))
        for arg in before.args:
            if arg.is_tile:
                self.memory.free(self.homes.pop(arg))
        for arg in body.args:
            self.homes.pop(arg, None)
        for value in op.results:
            if value.is_tile and value not in self.plan.kept:
                self.free_home(value)

    def _pass_on(self, op: ir.While, condition: ir.Condition, held: Register) -> None:
        self._copy_scalar(self.scalar(condition.condition), held, op)
        self._hand_over(op, condition.values, op.results, list(range(len(op.results))))
        for arg, value in zip(op.body.args, op.results, strict=True):
            if not value.is_tile:
                self._copy_scalar(self.scalar(value), self.target_register(arg), op)

    def _if(self, op: ir.If) -> None:
        for result in op.results:
            if result.is_tile:
                large = tile_bytes(result) > self.plan.limit
                self.make_home(result, Space.WORKSPACE if large else Space.UB)
        bodies = []
        for region in (op.then_region, op.else_region):
            with self.collecting() as body:
                given = region.terminator.operands if region.ops else ()
                self.region(region, partial(self._give, op, given))
            bodies.append(body)
        self.emit(
            Branch(
                condition=self.scalar(op.condition),
                then_body=bodies[0],
                else_body=bodies[1],
                location=op.location,
            )
        )
        for result in op.results:
            if result.is_tile and result not in self.plan.kept:
                self.free_home(result)

    def _give(self, op: ir.If, values: Sequence[ir.Value]) -> None:
        for value, result in zip(values, op.results, strict=True):
            if result.is_tile:
                self.compute_into(value, self.homes[result], op)
            else:
                self._copy_scalar(self.scalar(value), self.target_register(result), op)


def _copy_from_workspace(target: View, source: View, location: Location) -> Instruction:
    return CopyIn(target=target, address=Poly(), strides=(), source=source, location=location)


def _copies(body: list[Instruction]) -> bool:
    return any(isinstance(i, CopyIn | CopyOut) for i in walk(body))


def _halved(extents: tuple[int, ...], order: list[int]) -> tuple[int, ...] | None:
    """The extents with the first axis that can be cut cut to its largest proper divisor."""
    for axis in order:
        extent = extents[axis]
        if extent > 1:
            divisor = next(d for d in range(2, extent + 1) if extent % d == 0)
            return (*extents[:axis], extent // divisor, *extents[axis + 1 :])
    return None


def _rems_of(value: ir.Value) -> list[ir.Rem]:
    """The remainders that an index is made of."""
    found: list[ir.Rem] = []
    pending, seen = [value], set()
    while pending:
        current = pending.pop()
        if current in seen or current.op is None or not current.is_tile:
            continue
        seen.add(current)
        if isinstance(current.op, ir.Rem):
            found.append(current.op)
            continue
        pending += [v for v in current.op.operands if not is_pointer(v.type) or v.is_tile]
    return found


def _unit_step(rem: ir.Rem, forms: Forms, probe: Register | None) -> tuple[Poly, ...]:
    form = forms.affine(rem.lhs)
    assert form is not None
    unit = constant(1) if probe is None else poly_of(probe)
    return tuple(unit if step.terms else Poly() for step in form.steps)
