"""Which tiles of a kernel are kept in a buffer, and which are computed where they are needed.

Kept: results of reductions, products, loops and the like; what several roots use; what a nested
region uses; loads whose memory may be written before their use. All else is *inline*: a root (a
store, a reduction, a kept value) pulls it strip by strip.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from canopy import ir
from canopy.ir.types import TileType, element_type, is_bool
from canopy.targets.ascend.forms import Forms
from canopy.targets.ascend.npu import ALL_GLOBAL, Space

__all__ = ["Plan", "tile_bytes"]

_OWN_ROOTS = (
    *(ir.Reduce, ir.Scan, ir.Dot, ir.Histogram, ir.AtomicRmw, ir.AtomicCas, ir.Concat, ir.Gather),
    *(ir.For, ir.While, ir.If, ir.NativeCall),
)
_EFFECTS = (ir.Store, ir.AtomicRmw, ir.AtomicCas, ir.Ordering, ir.NativeCall)
_COSTLY = (ir.MathCall, ir.Div, ir.Rem)


def tile_bytes(value: ir.Value) -> int:
    type_ = value.type
    return type_.size * type_.element.bytes if isinstance(type_, TileType) else type_.bytes


class Plan:
    """``limit``: the most bytes a kept tile may take in the unified buffer; larger ones are
    computed again where that is cheap, or go to the workspace."""

    def __init__(
        self, kernel: ir.Kernel, forms: Forms, limit: int, group: Callable[[ir.Value], str]
    ) -> None:
        self._forms = forms
        self._group = group
        self.limit = limit
        self.kept: set[ir.Value] = set()
        self._deps: dict[ir.Value, frozenset[ir.Value]] = {}
        self._block_of: dict[ir.Value, int] = {}
        self._users: dict[ir.Value, list[tuple[int, int, ir.Op]]] = {}
        self.carried: dict[ir.Value, tuple[ir.For, int]] = {}  # what a trip yields, and as what
        self._blocks: list[list[ir.Op]] = []
        self._visit(kernel.body)
        for block in reversed(self._blocks):
            self._decide(block)

    def _visit(self, region: ir.Region) -> None:
        number = len(self._blocks)
        self._blocks.append(region.ops)
        for position, op in enumerate(region.ops):
            for result in op.results:
                self._block_of[result] = number
            for operand in op.operands:
                self._users.setdefault(operand, []).append((number, position, op))
            if isinstance(op, ir.For):
                for place, value in enumerate(op.body.terminator.operands):
                    self.carried[value] = op, place
            if isinstance(op, ir.For | ir.While | ir.If):
                for inner in op.regions:
                    self._visit(inner)

    def is_lazy(self, value: ir.Value) -> bool:
        """Whether a value is known by its form, and costs next to nothing as data."""
        if self._forms.uniform(value) is not None or self._forms.affine(value) is not None:
            return True
        return is_bool(value.type) and self._forms.mask(value) is not None

    def _decide(self, block: list[ir.Op]) -> None:
        roots: dict[ir.Value, set[int]] = {}
        effects = {p: op for p, op in enumerate(block) if _has_effect(op)}
        for position in range(len(block) - 1, -1, -1):
            op = block[position]
            for result in op.results:
                if result.is_tile and not self.is_lazy(result):
                    self._decide_value(result, op, position, roots, effects)

    def _decide_value(
        self,
        value: ir.Value,
        op: ir.Op,
        position: int,
        roots: dict[ir.Value, set[int]],
        effects: dict[int, ir.Op],
    ) -> None:
        here = self._block_of[value]
        found: set[int] = set()
        is_kept = isinstance(op, _OWN_ROOTS)
        for number, place, user in self._users.get(value, ()):
            if number != here or isinstance(user, ir.For | ir.While | ir.If):
                is_kept |= number != here
                found.add(place if number == here else -1)
                continue
            is_kept |= _wants_whole(user, value)
            is_kept |= value in self.carried and self._is_for_products(value)
            through = [r for r in user.results if r in roots]
            if through and not isinstance(user, _OWN_ROOTS):
                found.update(*(roots[result] for result in through))
            else:
                found.add(place)
        last = max(found, default=position)
        if isinstance(op, ir.Load):
            between = [(p, effect) for p, effect in effects.items() if position < p <= last]
            is_kept |= any(self._may_overwrite(effect, op, p == last) for p, effect in between)
        if len(found) > 1 and not is_kept:
            is_kept = tile_bytes(value) <= self.limit or isinstance(op, _COSTLY)
        if is_kept and found:
            self.kept.add(value)
        if value not in self.kept:
            roots[value] = found

    def _may_overwrite(self, effect: ir.Op, load: ir.Load, is_last: bool) -> bool:
        """Whether an op may write what the load reads before its last use; a store that is this
        use comes, strip by strip, behind the load from its own place."""
        for op in ir.walk([effect]):
            if isinstance(op, ir.Store | ir.AtomicRmw | ir.AtomicCas):
                groups = {self._group(op.pointer), self._group(load.pointer)}
                is_apart = len(groups) == 2 and ALL_GLOBAL not in groups
                is_own = op is effect and is_last and self._is_same_place(op, load)
                if not is_apart and not is_own:
                    return True
            elif isinstance(op, _EFFECTS):
                return True
        return False

    def _is_same_place(self, op: ir.Op, load: ir.Load) -> bool:
        if not isinstance(op, ir.Store):
            return False
        forms = [self._forms.affine(pointer) for pointer in (op.pointer, load.pointer)]
        is_one_width = element_type(op.value.type).bytes == load.type.bytes
        if forms[0] is None or forms[0] != forms[1] or not is_one_width:
            return False
        steps = zip(forms[0].steps, op.pointer.shape, strict=True)
        return all(step.terms or extent == 1 for step, extent in steps)  # a place for each lane

    # ---- what the emitter asks

    def home(self, value: ir.Value) -> Space:
        is_large = tile_bytes(value) > self.limit
        return Space.WORKSPACE if is_large or self._is_for_products(value) else Space.UB

    def home_carried(self, loop: ir.For, number: int) -> Space:
        """Of what a loop carries."""
        arg, result = loop.body.args[1 + number], loop.results[number]
        is_large = tile_bytes(arg) > self.limit
        for_products = self._is_for_products(arg, result)
        return Space.WORKSPACE if is_large or for_products else Space.UB

    def _is_for_products(self, *values: ir.Value) -> bool:
        """Whether products alone read a value, also where loops carry it to them."""
        pending, seen, is_read = [*values], {*values}, False
        while pending:
            current = pending.pop()
            for user in self.users(current):
                through = self._through_loop(user, current)
                if through is None:
                    is_read = True
                    if not isinstance(user, ir.Dot) or user.acc is current:
                        return False
                for following in through or ():
                    if following not in seen:
                        seen.add(following)
                        pending.append(following)
        return is_read

    def _through_loop(self, user: ir.Op, value: ir.Value) -> list[ir.Value] | None:
        """What a value becomes where its user is a loop; None where it is another."""
        if isinstance(user, ir.For):
            places = [n for n, initial in enumerate(user.initial) if initial is value]
            return [v for n in places for v in (user.body.args[1 + n], user.results[n])]
        if isinstance(user, ir.Yield) and value in self.carried:
            loop, place = self.carried[value]
            return [loop.body.args[1 + place], loop.results[place]]
        return None

    def is_used(self, value: ir.Value) -> bool:
        return bool(self._users.get(value))

    def users(self, value: ir.Value) -> list[ir.Op]:
        return [user for _, _, user in self._users.get(value, ())]

    def is_behind(self, op: ir.Op, other: ir.Op) -> bool:
        """Whether ``op`` follows ``other`` in the same region."""
        for block in self._blocks:
            if other in block:
                return op in block and block.index(op) > block.index(other)
        return False

    def deps(self, value: ir.Value) -> frozenset[ir.Value]:
        """The kept values and region arguments that computing ``value`` reads."""
        if value not in self._deps:
            op = value.op
            if value in self.kept or op is None or not value.is_tile:
                found = frozenset({value})
            else:
                found = self.deps_of(op.operands)
            self._deps[value] = found
        return self._deps[value]

    def deps_of(self, values: Iterable[ir.Value]) -> frozenset[ir.Value]:
        return frozenset().union(*(self.deps(v) for v in values))

    def reads(self, op: ir.Op) -> frozenset[ir.Value]:
        """The kept values that an op reads where it stands, those of its regions included."""
        is_inline = any(result.is_tile for result in op.results) and not self.kept & {*op.results}
        if is_inline and not isinstance(op, _OWN_ROOTS):
            return frozenset()  # read where it is pulled
        return self.deps_of(v for inner in ir.walk([op]) for v in inner.operands)


def _has_effect(op: ir.Op) -> bool:
    return any(isinstance(inner, _EFFECTS) for inner in ir.walk([op]))


def _wants_whole(user: ir.Op, value: ir.Value) -> bool:
    """Whether a user reads lanes of ``value`` that its own strip does not name."""
    if isinstance(user, ir.Reshape):
        before = [extent for extent in value.shape if extent != 1]
        return before != [extent for extent in user.shape if extent != 1]
    return isinstance(user, ir.Gather) and user.source is value
