"""Structured emission: a function's blocks as for, while and if, with masks where threads part.

Every value that a branch may change is a variable (`placement`); an if or while yields the
variables that its blocks assign for code outside. A uniform branch is an `If`; a divergent one runs
both sides under masks; a uniform loop is a scalar `While` or `For`; a divergent one runs while any
lane is active.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence

from canopy import ir
from canopy.frontends.cuda.cfg import ControlFlow, Loop
from canopy.frontends.cuda.counted import Counted, find_counted
from canopy.frontends.cuda.instructions import translate
from canopy.frontends.cuda.llvm_values import Block, Instruction
from canopy.frontends.cuda.placement import Again, Next, Pending, PendingKind, VariableKey
from canopy.frontends.cuda.returned import note_return
from canopy.frontends.cuda.translator import Mask, Translator
from canopy.ir.types import TileType

__all__ = ["emit_function"]


_EFFECTS = ("store", "atomicrmw", "cmpxchg", "fence", "call")
_MOST_DOUBLED = 200  # instructions of a loop that is emitted twice


def emit_function(translator: Translator, flow: ControlFlow) -> None:
    """Appends the code of a whole function to the translator's body."""
    _Structurer(translator, flow).node(flow.entry, None)


class _Structurer:
    def __init__(self, translator: Translator, flow: ControlFlow) -> None:
        self.t = translator
        self.flow = flow
        self.placement = translator.placement
        self.uniformity = translator.uniformity

    # ---- blocks

    def node(self, block: Block, mask: Mask) -> None:
        """A block with all that is placed under it; for a header its loop and what follows it."""
        if block in self.flow.loops:
            if self.t.checks:
                self.t.checks.entered_loops[block] = self.t.living if mask is None else mask
            self.loop(block, mask)
            self._emit_followers(self.placement.loop_followers[block], mask)
            return
        self.instructions(block, mask)
        self.branch(block, mask)
        self._emit_followers(self.placement.followers[block], mask)

    def _emit_followers(self, followers: list[Block], mask: Mask) -> None:
        for block in sorted(followers, key=lambda b: self.flow.index[b]):
            kind = self.placement.pending[block]
            if kind is PendingKind.ALL:
                self.node(block, mask)
            elif kind is PendingKind.LANES:
                self.node(block, self.current(Pending(block)))
            else:
                self.when(
                    self.current(Pending(block)),
                    lambda block=block: self.node(block, mask),  # type: ignore[misc]
                    lambda: None,
                    self.placement.exports(self.placement.subtree(block)),
                )

    def instructions(self, block: Block, mask: Mask) -> None:
        if self.t.checks:
            self.t.checks.entered[block] = self.t.living if mask is None else mask
        for instruction in block.instructions:
            if instruction.opcode != "phi":
                self.t.builder.location = instruction.location
                active = self.t.living if mask is None else mask
                made = translate(self.t, instruction, active)
                if made is not None:
                    self.t.env[instruction] = made
            self._note_live_out(instruction, mask)

    def _note_live_out(self, value: Instruction, mask: Mask) -> None:
        for key in self.placement.live_outs.get(value, ()):
            self.assign(key, self.t.env[value], mask)

    def branch(self, block: Block, mask: Mask) -> None:
        targets = block.successors
        if not targets:
            return
        if len(targets) == 1:
            self.edge(block, targets[0], mask)
            return
        condition = self.t.operand(block.terminator.operands[0], block.terminator)
        on_true, on_false = targets
        if block in self.uniformity.divergent_branches:
            self._part(block, on_true, mask, condition, holds=True)
            self._part(block, on_false, mask, condition, holds=False)
            return
        variables = [*self._edge_exports(block, on_true), *self._edge_exports(block, on_false)]
        self.when(
            condition,
            lambda: self.edge(block, on_true, mask),
            lambda: self.edge(block, on_false, mask),
            list(dict.fromkeys(variables)),
        )

    def _part(
        self, source: Block, target: Block, mask: Mask, condition: ir.Value, holds: bool
    ) -> None:
        """The threads of ``mask`` for which ``condition`` is ``holds`` go to ``target``."""
        changes_nothing = not self.placement.edge_variables(source, target)
        changes_nothing &= self.t.returned is None
        if changes_nothing and not self._is_in_place(source, target):
            return
        condition = condition if holds else self.t.inverted(condition)
        self.edge(source, target, self.t.both(mask, condition))

    def _is_in_place(self, source: Block, target: Block) -> bool:
        return target in self.placement.is_inline and not self.flow.is_back_edge(source, target)

    def _edge_exports(self, source: Block, target: Block) -> list[VariableKey]:
        if self._is_in_place(source, target):
            return self.placement.exports(self.placement.subtree(target))
        return self.placement.edge_variables(source, target)

    def edge(self, source: Block, target: Block, mask: Mask) -> None:
        """Threads of ``mask`` go from ``source`` to ``target``."""
        back = self.flow.is_back_edge(source, target)
        self.t.builder.location = source.terminator.location
        arriving = [(phi, self._incoming(phi, source)) for phi in target.phis]
        for phi, value in arriving:
            self.assign(Next(phi) if back else phi, value, mask)
        for key in self.placement.edge_variables(source, target):
            if isinstance(key, Pending | Again):
                self._note_going(key, mask)
        note_return(self.t, target, mask)
        if self._is_in_place(source, target):
            self.node(target, mask)

    def _incoming(self, phi: Instruction, source: Block) -> ir.Value:
        operand = phi.operands[phi.incoming.index(source)]
        return self.t.operand_at(operand, source, phi.location)

    def _note_going(self, key: Pending | Again, mask: Mask) -> None:
        type_ = self.t.variable_type(key)
        if not isinstance(type_, TileType):
            self.t.env[key] = self.t.constant(True, type_)
            return
        going = self.t.all_lanes() if mask is None else mask
        old = self.t.env.get(key)
        self.t.env[key] = going if old is None else self.t.add(ir.Or, lhs=old, rhs=going)

    # ---- variables

    def assign(self, key: VariableKey, value: ir.Value, mask: Mask) -> None:
        type_ = self.t.variable_type(key)
        value = self.t.coerced(value, type_)
        old = self.t.env.get(key)
        if (
            isinstance(type_, TileType)
            and mask is not None
            and old is not None
            and old is not value
        ):
            value = self.t.add(ir.Select, condition=mask, if_true=value, if_false=old)
        self.t.env[key] = value

    def current(self, key: VariableKey) -> ir.Value:
        found = self.t.env.get(key)
        return self.t.zero(self.t.variable_type(key)) if found is None else found

    def _inside(
        self, region: ir.Region, emit: Callable[[], Sequence[ir.Value]]
    ) -> Sequence[ir.Value]:
        """Runs ``emit`` with the builder in ``region``; what it defines is forgotten afterwards."""
        outer_region, outer_env = self.t.builder.region, self.t.env
        self.t.builder.region, self.t.env = region, dict(outer_env)
        values = emit()
        self.t.builder.region, self.t.env = outer_region, outer_env
        return values

    # ---- if

    def when(
        self,
        condition: ir.Value,
        on_true: Callable[[], None],
        on_false: Callable[[], None],
        variables: list[VariableKey],
    ) -> None:
        """An If whose sides assign ``variables``."""
        location = self.t.builder.location
        regions = []
        for emit in (on_true, on_false):
            region = ir.Region()

            def run(emit: Callable[[], None] = emit) -> list[ir.Value]:
                emit()
                return [self.current(key) for key in variables]

            values = self._inside(region, run)
            region.ops.append(ir.Yield(values=tuple(values), location=location))
            regions.append(region)
        if not variables and all(len(region.ops) == 1 for region in regions):
            return
        self.t.builder.location = location
        made = self.t.builder.effect(
            ir.If, condition=condition, then_region=regions[0], else_region=regions[1]
        )
        self.t.env.update(zip(variables, made.results, strict=True))

    # ---- loops

    def loop(self, header: Block, mask: Mask) -> None:
        loop = self.flow.loops[header]
        exports = self.placement.exports(self.placement.body_blocks(header))
        self.t.builder.location = header.terminator.location
        if loop in self.uniformity.divergent_loops or mask is None:
            self._loop(loop, exports, mask)
            return
        kept = [phi for phi in header.phis if self.placement.is_kept(phi)]
        self.when(  # scalars that no active thread computed must not steer a loop
            self.t.any_active(mask),
            lambda: self._loop(loop, exports, mask),
            lambda: None,
            [*exports, *kept],
        )

    def _loop(self, loop: Loop, exports: list[VariableKey], mask: Mask) -> None:
        header = loop.header
        location = self.t.builder.location
        carried: list[VariableKey] = [*header.phis, *exports]
        initial = [self.t.coerced(self.current(k), self.t.variable_type(k)) for k in carried]
        if loop in self.uniformity.divergent_loops:
            carried.append(Again(header))
            initial.append(self.t.all_lanes() if mask is None else mask)
        counted = find_counted(loop, self.flow, self.placement)
        if counted and loop not in self.uniformity.divergent_loops:
            self._counted(loop, counted, exports, mask)
            return
        if self._starts_together(loop):
            self._whole_trips(loop, carried[:-1], mask)
            initial[:-1] = [self.t.env[key] for key in carried[:-1]]
        emit = self._top_tested if self.placement.tests_at_top(loop) else self._bottom_tested
        before, body = ir.Region(_arguments(initial)), ir.Region()
        emit(loop, carried, mask, before, body)
        made = ir.While(initial=tuple(initial), before=before, body=body, location=location)
        self.t.builder.insert(made)
        self.t.env.update(zip(carried, made.results, strict=False))
        self.t.env.pop(Again(header), None)

    def _top_tested(
        self, loop: Loop, carried: list[VariableKey], mask: Mask, before: ir.Region, body: ir.Region
    ) -> None:
        header = loop.header
        divergent = loop in self.uniformity.divergent_loops
        extras = self._header_values(loop)

        def test() -> list[ir.Value]:
            self._bind(carried, before)
            active = self.t.env[Again(header)] if divergent else mask
            self.instructions(header, active)
            condition = self._stays(loop)
            _, leave = self._header_targets(loop)
            if divergent:
                self._part(header, leave, active, condition, holds=False)
                self.t.env[Again(header)] = self.t.both(active, condition)
                condition = self.t.any_active(self.t.env[Again(header)])
            else:
                self.edge(header, leave, mask)
            return [condition, *(self.t.env[key] for key in [*carried, *extras])]

        condition, *values = self._inside(before, test)
        before.ops.append(_condition(condition, values, header))
        body.args = _arguments(values)

        def trip() -> list[ir.Value]:
            self._bind([*carried, *extras], body)
            self._pause_in(loop)
            active = self._begin_trip(loop, mask)
            stay, _ = self._header_targets(loop)
            self.edge(header, stay, active)
            self._emit_followers(self.placement.followers[header], active)
            return self._next_values(loop, carried)

        values = list(self._inside(body, trip))
        body.ops.append(ir.Yield(values=tuple(values), location=header.terminator.location))

    # ---- the trips of a divergent loop that all threads make

    def _starts_together(self, loop: Loop) -> bool:
        """Whether the trips that all threads make get a loop of their own, without masks: for an
        innermost loop that only its header leaves, and whose header may run twice."""
        header = loop.header
        return (
            loop in self.uniformity.divergent_loops
            and self.placement.tests_at_top(loop)
            and all(source is header for source, _ in loop.exit_edges)
            and not (self.flow.loops.keys() - {header}) & loop.blocks
            and sum(len(block.instructions) for block in loop.blocks) <= _MOST_DOUBLED
            and all(i.opcode not in _EFFECTS for i in header.instructions)
            and not any(" volatile " in i.text for i in header.instructions)
        )

    def _whole_trips(self, loop: Loop, carried: list[VariableKey], mask: Mask) -> None:
        """Runs the loop until the first thread would leave it; assigns ``carried``."""
        for key in carried:
            self.t.env[key] = self.t.coerced(self.current(key), self.t.variable_type(key))
        if mask is None or mask is self.t.living:
            self._while_whole(loop, carried)
            return
        everybody = self.t.inverted(self.t.any_active(self.t.both(None, self.t.inverted(mask))))
        self.when(everybody, lambda: self._while_whole(loop, carried), lambda: None, carried)

    def _while_whole(self, loop: Loop, carried: list[VariableKey]) -> None:
        header = loop.header
        location = header.terminator.location
        initial = [self.t.env[key] for key in carried]
        extras = self._header_values(loop)
        before, body = ir.Region(_arguments(initial)), ir.Region()

        def test() -> list[ir.Value]:
            self._bind(carried, before)
            self.instructions(header, None)
            staying = self._stays(loop)
            leaving = self.t.both(None, self.t.inverted(staying))
            stays = self.t.inverted(self.t.any_active(leaving))
            if self.t.living is not None:  # a target may take strips one by one: some are all idle
                somebody = self.t.any_active(self.t.both(None, staying))
                stays = self.t.add(ir.And, lhs=stays, rhs=somebody)
            return [stays, *(self.t.env[key] for key in [*carried, *extras])]

        condition, *values = self._inside(before, test)
        before.ops.append(_condition(condition, values, header))
        body.args = _arguments(values)

        def trip() -> list[ir.Value]:
            self._bind([*carried, *extras], body)
            self._pause_in(loop)
            self._keep_phis(loop)
            stay, _ = self._header_targets(loop)
            self.edge(header, stay, None)
            self._emit_followers(self.placement.followers[header], None)
            return self._next_values(loop, carried)

        values = list(self._inside(body, trip))
        body.ops.append(ir.Yield(values=tuple(values), location=location))
        made = ir.While(initial=tuple(initial), before=before, body=body, location=location)
        self.t.builder.insert(made)
        self.t.env.update(zip(carried, made.results, strict=False))

    def _bottom_tested(
        self, loop: Loop, carried: list[VariableKey], mask: Mask, before: ir.Region, body: ir.Region
    ) -> None:
        header = loop.header
        divergent = loop in self.uniformity.divergent_loops

        def trip() -> list[ir.Value]:
            self._bind(carried, before)
            active = self._begin_trip(loop, mask)
            self.instructions(header, active)
            self.branch(header, active)
            self._emit_followers(self.placement.followers[header], active)
            again = self.current(Again(header))
            condition = self.t.any_active(again) if divergent else again
            return [condition, *self._next_values(loop, carried)]

        condition, *values = self._inside(before, trip)
        before.ops.append(_condition(condition, values, header))
        body.args = _arguments(values)
        self._inside(body, lambda: self._pause_in(loop))
        body.ops.append(ir.Yield(values=body.args, location=header.terminator.location))

    def _counted(
        self, loop: Loop, counted: Counted, exports: list[VariableKey], mask: Mask
    ) -> None:
        """A For: the header holds only phis and the test, so it is not emitted as code."""
        header = loop.header
        location = self.t.builder.location
        element = self.t.element_of(counted.phi, location)

        def bound_in_type(value: ir.Value) -> ir.Value:
            return value if counted.is_signed else self.t.as_unsigned(value)

        lower = bound_in_type(self.current(counted.phi))
        upper = bound_in_type(self.t.operand_at(counted.upper, header, location))
        step = bound_in_type(self.t.constant(counted.step, element))
        carried = [key for key in [*header.phis, *exports] if key is not counted.phi]
        initial = [self.t.coerced(self.current(k), self.t.variable_type(k)) for k in carried]
        body = ir.Region((ir.Value(lower.type), *_arguments(initial)))

        def trip() -> list[ir.Value]:
            index, *values = body.args
            self.t.env.update(zip(carried, values, strict=True))
            self.t.env[counted.phi] = self.t.coerced(index, element)
            self._begin_trip(loop, mask)
            stay, _ = self._header_targets(loop)
            self.edge(header, stay, mask)
            self._emit_followers(self.placement.followers[header], mask)
            return self._next_values(loop, carried)

        values = self._inside(body, trip)
        body.ops.append(ir.Yield(values=tuple(values), location=header.terminator.location))
        made = ir.For(
            lower=lower,
            upper=upper,
            step=step,
            initial=tuple(initial),
            body=body,
            location=location,
        )
        self.t.builder.insert(made)
        self.t.env.update(zip(carried, made.results, strict=True))
        _, leave = self._header_targets(loop)
        self.edge(header, leave, mask)

    def _pause_in(self, loop: Loop) -> Sequence[ir.Value]:
        """Before another trip of a loop that waits, those have a turn whom it waits for."""
        if loop in self.t.waits.loops:
            self.t.builder.effect(ir.Pause)
        return ()

    def _bind(self, keys: Sequence[Hashable], region: ir.Region) -> None:
        self.t.env.update(zip(keys, region.args, strict=True))

    def _begin_trip(self, loop: Loop, mask: Mask) -> Mask:
        """Resets who goes on, and gives the threads that make this trip."""
        self._keep_phis(loop)
        if loop in self.uniformity.divergent_loops:
            return self.t.env.pop(Again(loop.header))
        return mask

    def _keep_phis(self, loop: Loop) -> None:
        for phi in loop.header.phis:
            if self.placement.is_kept(phi):
                self.t.env[Next(phi)] = self.t.env[phi]

    def _next_values(self, loop: Loop, carried: list[VariableKey]) -> list[ir.Value]:
        phis = set(loop.header.phis)
        return [
            self.current(Next(k) if isinstance(k, Instruction) and k in phis else k)
            for k in carried
        ]

    def _header_values(self, loop: Loop) -> list[Instruction]:
        """What the header computes for the rest of the loop."""
        return [
            i
            for i in loop.header.instructions
            if i.opcode not in ("phi", "br")
            and self.placement.uses.get(i, set()) & (loop.blocks - {loop.header})
        ]

    def _header_targets(self, loop: Loop) -> tuple[Block, Block]:
        """The successors of a header that tests: in the loop, and outside."""
        first, second = loop.header.successors
        return (first, second) if first in loop.blocks else (second, first)

    def _stays(self, loop: Loop) -> ir.Value:
        terminator = loop.header.terminator
        condition = self.t.operand(terminator.operands[0], terminator)
        stays_on_true = terminator.targets[0] in loop.blocks
        return condition if stays_on_true else self.t.inverted(condition)


def _arguments(values: Sequence[ir.Value]) -> tuple[ir.Value, ...]:
    return tuple(ir.Value(value.type) for value in values)


def _condition(condition: ir.Value, values: Sequence[ir.Value], header: Block) -> ir.Condition:
    location = header.terminator.location
    return ir.Condition(condition=condition, values=tuple(values), location=location)
