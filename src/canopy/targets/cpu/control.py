"""Loops and branches: scalars they carry live in stack slots, tiles in scratch buffers."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from canopy import ir
from canopy.ir.types import TileType, element_type, is_signed
from canopy.targets.cpu import conversions
from canopy.targets.cpu.accumulators import updated_in_place
from canopy.targets.cpu.buffers import Buffer
from canopy.targets.cpu.llvm import POINTER, LLValue
from canopy.targets.cpu.plan import is_inline
from canopy.targets.cpu.products import emit_contraction, is_contraction, packed_before
from canopy.targets.cpu.sweep import emit_sweep, is_sweep

if TYPE_CHECKING:
    from canopy.targets.cpu.program import Program

__all__ = ["emit_for", "emit_if", "emit_while"]


def emit_for(program: Program, op: ir.For) -> None:
    if is_contraction(program, op):
        emit_contraction(program, op)
        return
    if is_sweep(program, op):
        emit_sweep(program, op)
        return
    with packed_before(program, op.body):
        _emit_for(program, op)


def _emit_for(program: Program, op: ir.For) -> None:
    in_place = updated_in_place(program.plan, op.body)
    carried = _Carried(program, op.initial, op.body.args[1:], in_place)
    b = program.builder
    counter = program.alloca(program.scalar(op.lower).type)
    b.store(program.scalar(op.lower), counter)
    head, body, after = (
        b.function.append_basic_block(f"for.{part}") for part in ("head", "body", "end")
    )
    b.branch(head)
    b.position_at_end(head)
    current = b.load(counter, typ=counter.allocated_type)
    compare = b.icmp_signed if is_signed(op.lower.type) else b.icmp_unsigned
    b.cbranch(compare("<", current, program.scalar(op.upper)), body, after)
    b.position_at_end(body)
    program.scalars[op.body.args[0]] = current
    carried.enter(op.body)
    with program.scratch_scope():
        program.block(op.body.ops)
        terminator = op.body.terminator
        assert isinstance(terminator, ir.Yield)
        carried.advance(terminator.values)
    b.store(b.add(current, program.scalar(op.step)), counter)
    b.branch(head)
    b.position_at_end(after)
    carried.finish(op.results)


def emit_while(program: Program, op: ir.While) -> None:
    with packed_before(program, op.before, op.body):
        _emit_while(program, op)


def _emit_while(program: Program, op: ir.While) -> None:
    carried = _Carried(program, op.initial, op.before.args)
    b = program.builder
    head, body, after = (
        b.function.append_basic_block(f"while.{part}") for part in ("head", "body", "end")
    )
    b.branch(head)
    b.position_at_end(head)
    carried.enter(op.body)
    program.block(op.before.ops)
    condition = op.before.terminator
    assert isinstance(condition, ir.Condition)
    program.flush()
    passed = [_pass_on(program, value) for value in condition.values]
    b.cbranch(program.scalar(condition.condition), body, after)
    b.position_at_end(body)
    for argument, content in zip(op.body.args, passed, strict=True):
        _bind(program, argument, content)
    with program.scratch_scope():
        program.block(op.body.ops)
        terminator = op.body.terminator
        assert isinstance(terminator, ir.Yield)
        carried.advance(terminator.values)
    b.branch(head)
    b.position_at_end(after)
    for result, content in zip(op.results, passed, strict=True):
        _bind(program, result, content)


def _pass_on(program: Program, value: ir.Value) -> LLValue | Buffer:
    return program.kept_buffer(value) if value.is_tile else program.scalar(value)


def _bind(program: Program, value: ir.Value, content: LLValue | Buffer) -> None:
    if isinstance(content, Buffer):
        program.buffers[value] = content
    else:
        program.scalars[value] = content


def emit_if(program: Program, op: ir.If) -> None:
    b = program.builder
    places: list[Any] = []
    for result in op.results:
        if isinstance(result.type, TileType):
            places.append(program.allocate(result.type))
        else:
            places.append(program.alloca(conversions.llvm_type(result.type)))
    then, otherwise, after = (
        b.function.append_basic_block(f"if.{part}") for part in ("then", "else", "end")
    )
    b.cbranch(program.scalar(op.condition), then, otherwise)
    for block, region in ((then, op.then_region), (otherwise, op.else_region)):
        b.position_at_end(block)
        with program.scratch_scope():
            _emit_branch(program, region, places)
        b.branch(after)
    b.position_at_end(after)
    for result, place in zip(op.results, places, strict=True):
        if isinstance(place, Buffer):
            program.buffers[result] = place
        else:
            program.scalars[result] = b.load(place, typ=place.allocated_type)


def _emit_branch(program: Program, region: ir.Region, places: list[Any]) -> None:
    """A branch's ops, and what it yields into ``places``."""
    program.block(region.ops)
    if region.ops and isinstance(region.terminator, ir.Yield):
        for value, place in zip(region.terminator.values, places, strict=True):
            if isinstance(place, Buffer):
                program.copy_to(value, place)
        program.flush()
        for value, place in zip(region.terminator.values, places, strict=True):
            if not isinstance(place, Buffer):
                program.builder.store(program.scalar(value), place)
    program.flush()


class _Carried:
    """What a loop carries: scalars in stack slots, tiles in two buffers that swap roles, or in one
    where they are updated in place."""

    def __init__(
        self,
        program: Program,
        initial: tuple[ir.Value, ...],
        args: tuple[ir.Value, ...],
        in_place: Collection[ir.Value] = (),
    ) -> None:
        self.program = program
        self.args = args
        self.slots: list[LLValue] = []
        self.buffers: list[tuple[Buffer, LLValue, LLValue] | None] = []
        b = program.builder
        pairs: list[Buffer | None] = []
        for value in initial:
            if isinstance(value.type, TileType):
                made = program.allocate(value.type)
                program.copy_to(value, made)
                pairs.append(made)
            else:
                pairs.append(None)
        program.flush()
        for value, argument, first in zip(initial, args, pairs, strict=True):
            if first is None:
                slot = program.alloca(conversions.llvm_type(element_type(value.type)))
                b.store(program.scalar(value), slot)
                self.slots.append(slot)
                self.buffers.append(None)
                continue
            assert isinstance(value.type, TileType)
            second = first if argument in in_place else program.allocate(value.type)
            now, following = program.alloca(POINTER), program.alloca(POINTER)
            b.store(first.address, now)
            b.store(second.address, following)
            self.slots.append(now)
            self.buffers.append((first, now, following))
        self._next: list[Buffer | None] = []

    def enter(self, body: ir.Region) -> None:
        """At the loop's head: binds the arguments, and has yielded values made in place."""
        b = self.program.builder
        self._next = []
        yielded = body.terminator.operands if body.ops else ()
        for i, (argument, slot, pair) in enumerate(
            zip(self.args, self.slots, self.buffers, strict=True)
        ):
            if pair is None:
                self.program.scalars[argument] = b.load(slot, typ=slot.allocated_type)
                self._next.append(None)
                continue
            first, now, following = pair
            self.program.buffers[argument] = Buffer(
                b.load(now, typ=POINTER), first.shape, first.element
            )
            target = Buffer(b.load(following, typ=POINTER), first.shape, first.element)
            self._next.append(target)
            value = yielded[i] if i < len(yielded) else None
            if value is not None and value.op in body.ops and value not in self.program.targets:
                if is_inline(value.op) and not self.program.plan.is_kept(value):
                    continue
                if isinstance(value.op, (ir.For, ir.While, ir.If)) or yielded.count(value) > 1:
                    continue
                self.program.targets[value] = target

    def advance(self, values: tuple[ir.Value, ...]) -> None:
        """At the loop's end: the yielded values become the carried ones."""
        program = self.program
        for value, argument, target in zip(values, self.args, self._next, strict=True):
            if (
                target is not None
                and value is not argument
                and program.targets.get(value) is not target
            ):
                program.copy_to(value, target)
        program.flush()
        b = program.builder
        scalars = [None if v.is_tile else program.scalar(v) for v in values]
        for value, argument, slot, pair, target, scalar in zip(
            values, self.args, self.slots, self.buffers, self._next, scalars, strict=True
        ):
            if pair is None:
                b.store(scalar, slot)
            elif value is not argument:
                assert target is not None
                _, now, following = pair
                b.store(program.buffers[argument].address, following)
                b.store(target.address, now)

    def finish(self, results: tuple[ir.Value, ...]) -> None:
        """Behind the loop: binds its results."""
        b = self.program.builder
        for result, slot, pair in zip(results, self.slots, self.buffers, strict=True):
            if pair is None:
                self.program.scalars[result] = b.load(slot, typ=slot.allocated_type)
            else:
                self.program.buffers[result] = Buffer(
                    b.load(slot, typ=POINTER), pair[0].shape, pair[0].element
                )
