"""Decides, block by block, which tile values are kept in memory and which are computed again.

A tile value is *inline* when every loop nest that needs a lane computes it there; it is *kept* when
one nest writes it to a scratch buffer that others read. Loads and cheap arithmetic are recomputed;
costly functions with several users, values that a nested loop needs, operands indexed freely, and
loads whose memory may be written before the value is used are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from canopy import ir
from canopy.ir.types import element_type, is_float, is_integer
from canopy.passes.memory import WRITES, Bases, memory_ops
from canopy.targets.cpu.combine import is_lane_by_lane
from canopy.targets.cpu.exchanges import find_exchanges
from canopy.targets.cpu.strides import has_distinct_lanes, period_of

__all__ = ["INLINE", "KernelPlan", "is_inline", "loads_reached", "own_cost"]

# A value with several users is kept when one evaluation costs more than this many simple ops.
KEEP_COST = 6
BROADCAST_KEEP_COST = 4
COSTLY_FUNCTION = 10
# What takes more ops is data, however it is made: a hash of an index, not an index.
MOST_STRUCTURAL = 250

INLINE = (
    *(ir.Constant, ir.Range, ir.Splat, ir.Broadcast, ir.ExpandDims, ir.Reshape, ir.Transpose),
    *(
        ir.Flip,
        ir.Join,
        ir.Split,
        ir.Concat,
        ir.Gather,
        ir.Binary,
        ir.Compare,
        ir.Select,
        ir.MathCall,
        ir.Fma,
    ),
    *(ir.Clamp, ir.Cast, ir.Bitcast, ir.Offset, ir.Load),
)
_STRUCTURAL = (
    *(ir.Constant, ir.Range, ir.Splat, ir.Broadcast, ir.ExpandDims, ir.Reshape, ir.Transpose),
    *(ir.Binary, ir.Compare, ir.Cast, ir.Bitcast, ir.Offset),
)
# A reduction of this many lanes is computed where its result is needed.
SHORT_AXIS = 2
_MOVES = (ir.Reshape, ir.Transpose, ir.Join, ir.Split, ir.Concat, ir.ExpandDims, ir.Gather)
_CONTROL = (ir.For, ir.While, ir.If)
_OPPOSITE = {"lt": "ge", "ge": "lt", "le": "gt", "gt": "le", "eq": "ne", "ne": "eq"}


def is_inline(op: ir.Op | None) -> bool:
    """Whether the op's tile result can be computed lane by lane wherever it is needed."""
    known = isinstance(op, INLINE) or _is_short(op)
    return known and op is not None and all(result.is_tile for result in op.results)


def _is_short(op: ir.Op | None) -> bool:
    if not isinstance(op, ir.Reduce) or op.sources[0].shape[op.axis] > SHORT_AXIS:
        return False
    return is_lane_by_lane(op.combine)


@dataclass(frozen=True, slots=True)
class Site:
    """A place in a block where a value is evaluated. ``kind``: same (lane to lane), moved,
    broadcast, exchanged (with a near lane), nested (inside a control op's region), indexed (in an
    order unknown ahead)."""

    position: int
    kind: str


@dataclass(slots=True)
class KernelPlan:
    """The decisions for one kernel under one aliasing assumption."""

    bases: Bases
    assumes_disjoint: bool
    depends_on_aliasing: bool = False  # has an answer been given that the other plan would not?
    kept: set[ir.Value] = field(default_factory=set)
    dual: set[ir.Value] = field(default_factory=set)
    readers: dict[ir.Value, list[ir.Op]] = field(default_factory=dict)  # of loads: ops with a nest
    used: set[ir.Value] = field(default_factory=set)
    comparisons: set[tuple[str, ir.Value, ir.Value]] = field(default_factory=set)
    reached: dict[ir.Value, list[tuple[ir.Load, bool]]] = field(default_factory=dict)
    # Gathers that a strip of one row does in registers, and their orders.
    exchanges: dict[ir.Gather, tuple[int, ...]] = field(default_factory=dict)
    _structural: dict[ir.Value, bool] = field(default_factory=dict)
    _cost: dict[ir.Value, int] = field(default_factory=dict)
    _sizes: dict[ir.Value, int] = field(default_factory=dict)
    _period: dict[ir.Value, int] = field(default_factory=dict)
    _row: dict[ir.Value, int] = field(default_factory=dict)
    _distinct: dict[ir.Value, bool] = field(default_factory=dict)

    @classmethod
    def of(cls, kernel: ir.Kernel, bases: Bases, *, disjoint: bool) -> KernelPlan:
        plan = cls(bases, disjoint)
        plan.used = {value for op in ir.walk(kernel.body.ops) for value in op.operands}
        plan.comparisons = {
            (op.predicate, op.lhs, op.rhs)
            for op in ir.walk(kernel.body.ops)
            if isinstance(op, ir.Compare)
        }
        plan.exchanges = find_exchanges(kernel)
        plan._visit(kernel.body.ops)
        return plan

    def is_kept(self, value: ir.Value) -> bool:
        return value in self.kept

    def is_structural(self, value: ir.Value) -> bool:
        """An index, mask or pointer made of ranges and scalars only: never kept, but analysed."""
        known = self._structural.get(value)
        if known is None:
            known = self._structural[value] = self._find_structural(value)
        return known

    def _find_structural(self, value: ir.Value) -> bool:
        if not value.is_tile:
            return True
        if is_float(value.type) and not isinstance(value.op, (ir.Constant, ir.Splat)):
            return False
        if not isinstance(value.op, _STRUCTURAL):
            return False
        if not all(self.is_structural(v) for v in value.op.operands):
            return False
        return self._tree_size(value) <= MOST_STRUCTURAL

    def _tree_size(self, value: ir.Value) -> int:
        """Ops that evaluating the value takes where nothing is shared."""
        known = self._sizes.get(value)
        if known is None:
            operands = value.op.operands if value.op is not None and value.is_tile else ()
            known = self._sizes[value] = 1 + sum(map(self._tree_size, operands))
        return known

    def is_distinct(self, store: ir.Store) -> bool:
        """Whether it is known that no two lanes of the store touch the same byte."""
        known = self._distinct.get(store.pointer)
        if known is None:
            known = has_distinct_lanes(store.pointer, element_type(store.value.type).bytes)
            self._distinct[store.pointer] = known
        return known

    @property
    def disjoint(self) -> bool:
        """Whether parameters were checked not to overlap; asking makes the code depend on it."""
        self.depends_on_aliasing = True
        return self.assumes_disjoint

    def may_alias(self, first: ir.Value, second: ir.Value) -> bool:
        answers = [self.bases.may_alias(first, second, disjoint=flag) for flag in (False, True)]
        self.depends_on_aliasing |= answers[0] is not answers[1]
        return answers[self.assumes_disjoint]

    def has_complement(self, op: ir.Compare) -> bool:
        """Whether the kernel also compares the same values by the opposite predicate."""
        return (_OPPOSITE[op.predicate], op.lhs, op.rhs) in self.comparisons

    def shortest_period(self, value: ir.Value) -> int:
        """The shortest number of lanes after which an index that evaluating ``value`` divides by a
        constant, or masks, starts anew; a strip inside a period sees a progression. 0: none."""
        known = self._period.get(value)
        if known is None:
            op = value.op
            found = []
            if value.is_tile and is_inline(op):
                assert op is not None
                found = [self.shortest_period(v) for v in op.operands if v not in self.kept]
                if is_integer(value.type) and self.is_structural(value):
                    found.append(period_of(op))
            known = self._period[value] = min((p for p in found if p > 1), default=0)
        return known

    def exchanged_row(self, value: ir.Value) -> int:
        """The lanes of a row that evaluating ``value`` exchanges in registers. 0: it does not."""
        known = self._row.get(value)
        if known is None:
            op = value.op
            found = [0]
            if value.is_tile and is_inline(op) and not self.is_structural(value):
                assert op is not None
                if isinstance(op, ir.Gather):
                    found.append(len(self.exchanges.get(op, ())))
                found += [self.exchanged_row(v) for v in op.operands if v not in self.kept]
            known = self._row[value] = max(found)
        return known

    def cost(self, value: ir.Value) -> int:
        """Simple ops that one evaluation of the value takes, kept values counting one."""
        if value in self.kept or not value.is_tile or not is_inline(value.op):
            return 1
        known = self._cost.get(value)
        if known is None:
            assert value.op is not None
            inputs = sum(self.cost(v) for v in value.op.operands if v.is_tile)
            if isinstance(value.op, ir.Reduce):
                inputs *= value.op.sources[0].shape[value.op.axis]
            known = self._cost[value] = own_cost(value.op) + inputs
        return known

    def _visit(self, ops: list[ir.Op]) -> None:
        for op in ops:
            if isinstance(op, _CONTROL):
                for region in op.regions:
                    self._visit(region.ops)
        _BlockPlanner(self, ops).decide()


def own_cost(op: ir.Op) -> int:
    """Simple ops that the op takes, apart from its operands."""
    if isinstance(op, ir.MathCall):
        return 1 if op.function in ("abs", "neg", "floor", "ceil") else COSTLY_FUNCTION
    if isinstance(op, (ir.Div, ir.Rem)):
        return 5
    if isinstance(op, (ir.Splat, ir.Constant, ir.Broadcast, ir.ExpandDims)):
        return 0
    if isinstance(op, ir.Gather):
        return 3
    return 1


class _BlockPlanner:
    """Decides for the values that one list of ops defines."""

    def __init__(self, plan: KernelPlan, ops: list[ir.Op]) -> None:
        self.plan = plan
        self.ops = ops
        self.users: dict[ir.Value, list[tuple[ir.Op, int, bool]]] = {}
        self.sites: dict[ir.Value, list[Site]] = {}
        self.writes: list[tuple[int, ir.Op]] = []
        self._divides: dict[ir.Value, bool] = {}
        self._entering: dict[ir.Value, bool] = {}
        for position, op in enumerate(ops):
            self._record(op, position)

    def _record(self, op: ir.Op, position: int) -> None:
        for value in op.operands:
            self.users.setdefault(value, []).append((op, position, False))
        if isinstance(op, _CONTROL):
            for region in op.regions:
                for inner in ir.walk(region.ops):
                    for value in inner.operands:
                        self.users.setdefault(value, []).append((op, position, True))
        for inner in memory_ops(op):
            if isinstance(inner, (*WRITES, ir.Ordering, ir.NativeCall)):
                self.writes.append((position, inner))

    def decide(self) -> None:
        for position in range(len(self.ops) - 1, -1, -1):
            op = self.ops[position]
            if not is_inline(op):
                continue
            for result in op.results:
                sites = self._find_sites(result)
                self.sites[result] = sites
                if isinstance(op, ir.Load):
                    places = sorted({site.position for site in sites})
                    self.plan.readers[result] = [self.ops[place] for place in places]
                if self._must_keep(result, op, position, sites):
                    self.plan.kept.add(result)

    def _find_sites(self, value: ir.Value) -> list[Site]:
        found: set[Site] = set()
        for user, position, nested in self.users.get(value, ()):
            if nested:
                found.add(Site(position, "nested"))
            elif not is_inline(user):
                found.add(Site(position, "same"))
            elif self._is_known_order(user, value):
                continue
            else:
                exchanged = user in self.plan.exchanges
                kind = "moved" if exchanged else _edge_kind(user, value)
                for result in user.results:
                    if result in self.plan.kept:
                        found.add(Site(position, kind))
                        continue
                    for site in self.sites.get(result, ()):
                        found.add(Site(site.position, site.kind if kind == "same" else kind))
        return sorted(found, key=lambda site: (site.position, site.kind))

    def _is_known_order(self, user: ir.Op, value: ir.Value) -> bool:
        """Whether the value only says which lanes an exchange moves, which is known ahead."""
        return (
            isinstance(user, ir.Gather) and user in self.plan.exchanges and value is not user.source
        )

    def _must_keep(self, value: ir.Value, op: ir.Op, position: int, sites: list[Site]) -> bool:
        if not sites:
            return False
        kinds = {site.kind for site in sites}
        if "indexed" in kinds:
            return not isinstance(op, (ir.Constant, ir.Splat, ir.Range))
        if isinstance(op, ir.Load):
            return self._must_keep_load(op, position, sites, kinds)
        if self.plan.is_structural(value):
            if len(value.shape) == 1 and self._has_division(value) and self._enters_loop(value):
                self.plan.dual.add(value)
            return False
        cost = self.plan.cost(value)
        if "nested" in kinds:
            return cost > 1
        if kinds & {"broadcast", "exchanged"} and cost > BROADCAST_KEEP_COST:
            return True
        places = {site.position for site in sites}
        return len(places) > 1 and cost > KEEP_COST

    def _must_keep_load(
        self, op: ir.Load, position: int, sites: list[Site], kinds: set[str]
    ) -> bool:
        if op.volatile or kinds & {"nested", "exchanged"}:
            return True
        if len({site.position for site in sites}) > 1 and not self.plan.is_structural(op.pointer):
            return True
        return any(self._conflicts(op, position, site) for site in sites)

    def _conflicts(self, load: ir.Load, position: int, site: Site) -> bool:
        for at, write in self.writes:
            if not position < at <= site.position:
                continue
            if isinstance(write, ir.Ordering):
                if self._is_own(load.pointer):
                    continue  # nobody else writes it, and our own stores are in order
                return True
            if isinstance(write, ir.NativeCall):
                return True
            assert isinstance(write, WRITES)
            if not self.plan.may_alias(load.pointer, write.pointer):
                continue
            lane_to_lane = (
                at == site.position
                and site.kind == "same"
                and isinstance(write, ir.Store)
                and write.pointer is load.pointer
                and self.plan.is_distinct(write)
            )
            if not lane_to_lane:
                return True
        return False

    def _is_own(self, pointer: ir.Value) -> bool:
        """Whether the memory is the program's scratch memory."""
        origin = self.plan.bases.of(pointer)
        return origin is not None and isinstance(origin.op, ir.Scratch)

    def _enters_loop(self, value: ir.Value) -> bool:
        """Whether the region of a control op needs the value, or what is computed from it."""
        known = self._entering.get(value)
        if known is None:
            known = self._entering[value] = any(
                nested or (is_inline(user) and any(map(self._enters_loop, user.results)))
                for user, _, nested in self.users.get(value, ())
            )
        return known

    def _has_division(self, value: ir.Value) -> bool:
        known = self._divides.get(value)
        if known is None:
            op = value.op
            known = (
                op is not None
                and value.is_tile
                and (isinstance(op, (ir.Div, ir.Rem)) or any(map(self._has_division, op.operands)))
            )
            self._divides[value] = known
        return known


def _edge_kind(user: ir.Op, value: ir.Value) -> str:
    if isinstance(user, ir.Gather) and user.source is value:
        return "indexed"
    if isinstance(user, ir.Concat):
        return "indexed"
    if isinstance(user, ir.Broadcast) and user.shape != value.shape:
        return "broadcast"
    if isinstance(user, (ir.Flip, ir.Reduce)):
        return "exchanged"
    if isinstance(user, _MOVES):
        return "moved"
    return "same"


def loads_reached(plan: KernelPlan, value: ir.Value) -> list[tuple[ir.Load, bool]]:
    """The loads that evaluating ``value`` performs, and whether each is reached lane to lane.

    Each value's answer is made once of those of its operands: a walk per value took 80 s for a
    kernel of 330 dependent statements.
    """
    known = plan.reached.get(value)
    if known is not None:
        return known
    found: dict[tuple[ir.Load, bool], None] = {}
    op = value.op
    if value.is_tile and is_inline(op):
        assert op is not None
        if isinstance(op, ir.Load):
            found[op, True] = None
        for operand in op.operands:
            if operand not in plan.kept:
                is_same = _edge_kind(op, operand) == "same"
                below = loads_reached(plan, operand)
                found.update(((load, same and is_same), None) for load, same in below)
    plan.reached[value] = list(found)
    return plan.reached[value]
