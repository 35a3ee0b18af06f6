"""Programs of the grid that a core takes together, so that their products share blocks.

    a = load x + rows(program_id)             u = program_id                 # of the unit
    b = load y + columns(program_id)          i0, i1 = 2 * u, 2 * u + 1
    c = sum of dot(a, b) over k         ->    alike = i1 < num_programs, columns(i0) == columns(i1)
    store z, c                                if not alike: one after the other
                                              a0, a1 = load x + rows(i0), load x + rows(i1)
                                              b = load y + columns(i0)
                                              c0, c1 = sums of dot(a0, b), dot(a1, b) over k
                                              store c0, alike; store c1, alike

A tile chosen for a GPU is small for the cube: a core that multiplies 64 x 64 of the result reads
each operand four times as often as one that multiplies 256 x 256. Which programs read the same is
guessed (`placement`), and compared where they run: scalars decide, so that any order of programs
gives right results. Programs that may wait for each other, with atomics, are left alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import reduce

from canopy import ir
from canopy.ir.types import I32
from canopy.passes.cse import share_common_subexpressions
from canopy.passes.dead_code import eliminate_dead_code
from canopy.passes.rewriter import Rewriter, is_pure
from canopy.targets.ascend.chip import Chip
from canopy.targets.ascend.merging_costs import ONE, unit_cost
from canopy.targets.ascend.npu import Unit
from canopy.targets.ascend.placement import order_along

__all__ = ["Merging", "merge_programs"]

_FACTORS = (1, 2, 4, 8)
_REFUSED = (
    *(ir.AtomicRmw, ir.AtomicCas, ir.Ordering, ir.Scratch, ir.NativeCall, ir.Print, ir.Assert),
    *(ir.While, ir.Clock),
)


@dataclass(frozen=True, slots=True)
class Merging:
    """``kernel`` runs once per unit of programs, which costs ``cost`` (in 64ths of a program)."""

    kernel: ir.Kernel
    unit: Unit
    cost: int


def merge_programs(kernel: ir.Kernel, chip: Chip) -> Merging | None:
    """The kernel for units of programs; None where merging is not legal, or does not pay."""
    found = _Parts.of(kernel)
    if found is None:
        return None
    best: tuple[float, _Pattern] | None = None
    for pattern in _patterns(found):
        cost = unit_cost(chip, found.product, pattern.rows, pattern.columns)
        if cost is None:
            continue
        each = cost / (pattern.rows * pattern.columns)
        if best is None or each < best[0] * 0.99:  # more programs only for more speed
            best = each, pattern
    if best is None or best[0] > 0.97 * ONE:
        return None
    each, pattern = best
    made = _Writer(found, pattern).kernel()
    made = eliminate_dead_code(share_common_subexpressions(made))
    return Merging(made, pattern.unit, round(each * pattern.rows * pattern.columns))


# ---- what is looked for


class _Parts:
    """A kernel that is: scalars and tiles in front, one loop that adds products, what follows."""

    def __init__(self, kernel: ir.Kernel, loop: ir.For, product: ir.Dot, carried: int) -> None:
        self.kernel, self.loop, self.product, self.carried = kernel, loop, product, carried
        place = kernel.body.ops.index(loop)
        self.front = kernel.body.ops[:place]
        self.behind = kernel.body.ops[place + 1 :]
        self.axes = _axes(kernel)
        self.made_in_front = {v: op for op in self.front for v in op.results}
        self.rows = self._places(self._needs([product.lhs]))
        self.columns = self._places(self._needs([product.rhs]))
        bounds = (loop.lower, loop.upper, loop.step)
        self.bounds = [v for v in bounds if self.axes.get(v)]

    @classmethod
    def of(cls, kernel: ir.Kernel) -> _Parts | None:
        loops = [op for op in kernel.body.ops if isinstance(op, ir.For)]
        inside = list(ir.walk(kernel.body.ops))
        products = [op for op in inside if isinstance(op, ir.Dot)]
        if len(loops) != 1 or len(products) != 1 or products[0] not in loops[0].body.ops:
            return None
        if any(isinstance(op, _REFUSED) or getattr(op, "volatile", False) for op in inside):
            return None
        (loop,), (product,) = loops, products
        tiles = [n for n, initial in enumerate(loop.initial) if initial.is_tile]
        if len(tiles) != 1 or product.acc is not loop.body.args[1 + tiles[0]]:
            return None
        if len(product.result.shape) != 2 or loop.body.terminator.operands[tiles[0]] is not (
            product.result
        ):
            return None
        found = cls(kernel, loop, product, tiles[0])
        return found if found._is_simple() else None

    def _is_simple(self) -> bool:
        """Whether nothing is written before the loop is over, and only its sum is used then."""
        before = [*self.front, *self.loop.body.ops]
        if not all(is_pure(op) or isinstance(op, ir.Load) or op.is_terminator for op in before):
            return False
        if any(isinstance(op, ir.Load) and self.axes[op.result] for op in self.scalars_in_front()):
            return False  # it would be read for programs beyond the grid
        others = {v for n, v in enumerate(self.loop.results) if n != self.carried}
        return not any(v in others for op in ir.walk(self.behind) for v in op.operands)

    def scalars_in_front(self) -> set[ir.Op]:
        """The ops that make the scalars by which programs are compared."""
        pending = [*self.rows, *self.columns, *self.bounds]
        found: set[ir.Op] = set()
        while pending:
            op = self.made_in_front.get(pending.pop())
            if op is not None and op not in found:
                found.add(op)
                pending += op.operands
        return found

    def _needs(self, roots: Sequence[ir.Value]) -> list[ir.Value]:
        """The values from outside that operands in the loop are made of."""
        inside = self.needed_inside(roots)
        args = self.loop.body.args
        outside = [self.loop.initial[n] for n, arg in enumerate(args[1:]) if arg in inside]
        known = {v for op in self.loop.body.ops for v in op.results} | set(args)
        outside += [
            v
            for op in self.loop.body.ops
            if op.results and op.results[0] in inside
            for v in op.operands
            if v not in known
        ]
        return [*outside, *(root for root in roots if root not in known)]

    def needed_inside(self, roots: Sequence[ir.Value]) -> set[ir.Value]:
        """Values of the loop's body, its arguments included, that ``roots`` are made of."""
        args, yielded = self.loop.body.args, self.loop.body.terminator.operands
        made = {v: op for op in self.loop.body.ops for v in op.results}
        found: set[ir.Value] = set()
        pending = list(roots)
        while pending:
            value = pending.pop()
            if value in found or (value not in made and value not in args):
                continue
            found.add(value)
            if value in made:
                pending += made[value].operands
            elif value is not args[0]:
                pending.append(yielded[args.index(value) - 1])
        return found

    def _places(self, values: Iterable[ir.Value]) -> list[ir.Value]:
        """The scalars in front, different from program to program, that values are made of."""
        found: dict[ir.Value, None] = {}
        pending, seen = list(values), set()
        while pending:
            value = pending.pop()
            if value in seen or not self.axes.get(value):
                continue
            seen.add(value)
            if value.is_tile:
                pending += self.made_in_front[value].operands
            else:
                found[value] = None
        return list(found)


def _axes(kernel: ir.Kernel) -> dict[ir.Value, frozenset[int]]:
    """Per value the axes of the grid along which it may differ."""
    none: frozenset[int] = frozenset()
    axes: dict[ir.Value, frozenset[int]] = {}
    while True:
        before = sum(map(len, axes.values()))
        for op in ir.walk(kernel.body.ops):
            used = reduce(frozenset.union, (axes.get(v, none) for v in op.operands), none)
            if isinstance(op, ir.ProgramId):
                used |= {op.axis}
            for region in op.regions:  # what it carries, and what its ops use
                inner = [v for o in ir.walk(region.ops) for v in o.operands]
                used = reduce(frozenset.union, (axes.get(v, none) for v in inner), used)
            for result in op.results:
                axes[result] = axes.get(result, none) | used
            if isinstance(op, ir.For):
                _note_carried(op, axes)
        if sum(map(len, axes.values())) == before:
            return axes


def _note_carried(op: ir.For, axes: dict[ir.Value, frozenset[int]]) -> None:
    none: frozenset[int] = frozenset()
    yielded = op.body.terminator.operands
    bounds = axes.get(op.lower, none) | axes.get(op.step, none)
    axes[op.body.args[0]] = bounds
    for arg, initial, value in zip(op.body.args[1:], op.initial, yielded, strict=True):
        axes[arg] = axes.get(initial, none) | axes.get(value, none)


# ---- which programs


@dataclass(frozen=True, slots=True)
class _Pattern:
    """``rows`` x ``columns`` programs; the next row (column) is ``row_step`` further along
    ``row_axis``."""

    rows: int
    columns: int
    row_axis: int
    row_step: int
    column_axis: int
    column_step: int
    unit: Unit

    @property
    def members(self) -> list[tuple[int, int]]:
        return [(row, column) for column in range(self.columns) for row in range(self.rows)]

    def offset(self, member: tuple[int, int], axis: int) -> int:
        row, column = member
        rows = row * self.row_step if axis == self.row_axis else 0
        return rows + (column * self.column_step if axis == self.column_axis else 0)


def _patterns(parts: _Parts) -> Iterator[_Pattern]:
    """What may be merged, fewer programs first."""
    sizes = sorted(
        ((r, c) for r in _FACTORS for c in _FACTORS if r * c > 1), key=lambda s: s[0] * s[1]
    )
    row_axes, column_axes = (_axes_of(parts, values) for values in (parts.rows, parts.columns))
    along_rows, along_columns = row_axes - column_axes, column_axes - row_axes
    if along_rows and along_columns:
        row_axis, column_axis = max(along_rows), max(along_columns)
        for rows, columns in sizes:
            block = [1, 1, 1]
            block[row_axis], block[column_axis] = rows, columns
            unit = Unit((block[0], block[1], block[2]), (1, 1, 1))
            yield _Pattern(rows, columns, row_axis, 1, column_axis, 1, unit)
        return
    for axis in sorted(row_axes | column_axes):
        yield from _along(parts, axis, sizes)


def _axes_of(parts: _Parts, values: Sequence[ir.Value]) -> frozenset[int]:
    none: frozenset[int] = frozenset()
    return reduce(frozenset.union, (parts.axes[v] for v in values), none)


def _along(parts: _Parts, axis: int, sizes: Sequence[tuple[int, int]]) -> Iterator[_Pattern]:
    """Programs along one axis, which number rows and columns both."""
    order = order_along(parts.kernel, axis, parts.rows, parts.columns)
    if order is None:
        return
    for rows, columns in sizes:
        near, far = (rows, columns) if order.rows_first else (columns, rows)
        if far > 1 and (not order.turn or order.turn % near):
            continue
        steps = (1, order.turn) if order.rows_first else (order.turn, 1)
        block, parts_ = [1, 1, 1], [1, 1, 1]
        block[axis] = order.turn * far if far > 1 else near
        parts_[axis] = order.turn // near if far > 1 else 1
        unit = Unit((block[0], block[1], block[2]), (parts_[0], parts_[1], parts_[2]))
        yield _Pattern(rows, columns, axis, steps[0], axis, steps[1], unit)


# ---- the kernel of a unit


_Map = dict[ir.Value, ir.Value]
_Member = tuple[int, int]  # row and column of a program in its unit


class _Writer:
    """Writes the kernel of a unit: scalars of all its programs, and the two ways to run them."""

    def __init__(self, parts: _Parts, pattern: _Pattern) -> None:
        self._parts, self._pattern = parts, pattern
        self._b = ir.Builder(ir.Region(), parts.kernel.location)
        self._starts: list[ir.Value] = []
        self._shared: _Map = {}  # what is the same for all programs
        self._maps: dict[_Member, _Map] = {}
        self._is_alike: ir.Value

    def kernel(self) -> ir.Kernel:
        """Units at the edges run in a branch. What follows does nothing for them: the loop has no
        trip, and stores are masked off. It stands in no branch, so that units overlap."""
        parts, b = self._parts, self._b
        for op in parts.front:
            if not any(result.is_tile or parts.axes[result] for result in op.results):
                self._copy(op, self._shared)
        self._starts = [self._start(axis) for axis in range(3)]
        needed = parts.scalars_in_front()
        for member in self._pattern.members:
            ids = self._ids(member)
            self._maps[member] = self._front(ids, [op for op in parts.front if op in needed])
        self._is_alike = reduce(self._and, [*self._inside(), *self._alike()])
        nothing, apart = ir.Region(), ir.Region()
        with self._within(nothing):
            pass
        with self._within(apart):
            self._one_by_one()
        b.effect(ir.If, condition=self._is_alike, then_region=nothing, else_region=apart)
        self._together()
        return replace(parts.kernel, body=b.region)

    def _and(self, lhs: ir.Value, rhs: ir.Value) -> ir.Value:
        return self._b.add(ir.And, lhs=lhs, rhs=rhs)

    @contextmanager
    def _within(self, region: ir.Region) -> Iterator[None]:
        """Inside, ops are added to ``region``; a yield ends it."""
        outer, self._b.region = self._b.region, region
        yield
        self._b.effect(ir.Yield, values=())
        self._b.region = outer

    def _copy(self, op: ir.Op, made: _Map) -> None:
        copied = self._b.insert(op.rebuilt(lambda value: made.get(value, value)))
        made.update(zip(op.results, copied.results, strict=True))

    def _number(self, value: int) -> ir.Value:
        return self._b.add(ir.Constant, value=value, type=I32)

    def _computed(self, kind: type[ir.Binary], lhs: ir.Value, rhs: int) -> ir.Value:
        return self._b.add(kind, lhs=lhs, rhs=self._number(rhs))

    # ---- places in the grid

    def _start(self, axis: int) -> ir.Value:
        """The first program of the unit along an axis."""
        unit, pattern = self._b.add(ir.ProgramId, axis=axis), self._pattern
        block, parts = pattern.unit.block[axis], pattern.unit.parts[axis]
        if parts == 1:
            return unit if block == 1 else self._computed(ir.Mul, unit, block)
        near = pattern.rows if pattern.row_step == 1 else pattern.columns
        whole = self._computed(ir.Mul, self._computed(ir.Div, unit, parts), block)
        part = self._computed(ir.Mul, self._computed(ir.Rem, unit, parts), near)
        return self._b.add(ir.Add, lhs=whole, rhs=part)

    def _ids(self, member: _Member) -> list[ir.Value]:
        offsets = [self._pattern.offset(member, axis) for axis in range(3)]
        return self._clamped(
            [
                self._computed(ir.Add, start, offset) if offset else start
                for start, offset in zip(self._starts, offsets, strict=True)
            ]
        )

    def _clamped(self, ids: Sequence[ir.Value]) -> list[ir.Value]:
        """Places in the grid: a program beyond it, which does nothing, counts as the last one."""
        found = []
        for axis, place in enumerate(ids):
            if self._pattern.unit.block[axis] == 1:
                found.append(place)
                continue
            extent = self._b.add(ir.NumPrograms, axis=axis)
            last = self._computed(ir.Sub, extent, 1)
            found.append(self._b.add(ir.Min, lhs=place, rhs=last))
        return found

    def _inside(self) -> Iterator[ir.Value]:
        """Whether all programs of the unit are in the grid."""
        last = self._pattern.members[-1]
        for axis, start in enumerate(self._starts):
            if self._pattern.unit.block[axis] > 1:
                place = self._computed(ir.Add, start, self._pattern.offset(last, axis))
                yield self._is_below_extent(place, axis)

    def _is_below_extent(self, place: ir.Value, axis: int) -> ir.Value:
        extent = self._b.add(ir.NumPrograms, axis=axis)
        return self._b.add(ir.Compare, predicate="lt", lhs=place, rhs=extent)

    def _alike(self) -> Iterator[ir.Value]:
        """Whether programs of a row share rows, those of a column share columns, and all go
        through as many trips."""
        parts = self._parts
        for (row, column), made in self._maps.items():
            for values, other in (
                (parts.rows, (row, 0)),
                (parts.columns, (0, column)),
                (parts.bounds, (0, 0)),
            ):
                for value in values:
                    mine, its = made[value], self._maps[other][value]
                    if other != (row, column) and self._may_differ(value, (row, column), other):
                        yield self._b.add(ir.Compare, predicate="eq", lhs=mine, rhs=its)

    def _may_differ(self, value: ir.Value, member: _Member, other: _Member) -> bool:
        """Not where both programs are in the same place along all axes that it depends on."""
        return any(
            self._pattern.offset(member, axis) != self._pattern.offset(other, axis)
            for axis in self._parts.axes[value]
        )

    # ---- the two arms

    def _front(self, ids: Sequence[ir.Value], ops: Iterable[ir.Op]) -> _Map:
        """Copies ``ops`` for the program at ``ids``."""
        made = dict(self._shared)
        self._add_front(made, ids, ops)
        return made

    def _add_front(self, made: _Map, ids: Sequence[ir.Value], ops: Iterable[ir.Op]) -> None:
        for op in ops:
            if isinstance(op, ir.ProgramId):
                made[op.result] = ids[op.axis]
            elif not all(result in made for result in op.results):
                self._copy(op, made)

    def _together(self) -> None:
        parts = self._parts
        for made in self._maps.values():
            rest = [op for op in parts.front if not isinstance(op, ir.ProgramId)]
            self._add_front(made, (), rest)
        results = _Loop(self._b, parts, self._maps).results(self._is_alike)
        for member, made in self._maps.items():
            made[parts.loop.results[parts.carried]] = results[member]
            self._behind(made, self._is_alike)

    def _one_by_one(self) -> None:
        """The programs of the unit, of which those beyond the grid do nothing."""
        count = len(self._pattern.members)
        lower, upper, step = (self._number(value) for value in (0, count, 1))
        index = ir.Value(I32, "member")
        body = ir.Region((index,))
        with self._within(body):
            ids = self._ids_of(index)
            held = [
                self._is_below_extent(place, axis)
                for axis, place in enumerate(ids)
                if self._pattern.unit.block[axis] > 1
            ]
            runs = reduce(self._and, held)
            made = self._front(self._clamped(ids), self._parts.front)
            self._copy_loop(made, runs)
            self._behind(made, runs)
        self._b.effect(ir.For, lower=lower, upper=upper, step=step, initial=(), body=body)

    def _copy_loop(self, made: _Map, runs: ir.Value) -> None:
        """A program's own loop, without a trip unless ``runs`` holds."""
        loop = self._parts.loop
        copied = loop.rebuilt(lambda value: made.get(value, value))
        assert isinstance(copied, ir.For)
        upper = self._b.add(ir.Select, condition=runs, if_true=copied.upper, if_false=copied.lower)
        self._b.insert(replace(copied, upper=upper))
        made.update(zip(loop.results, copied.results, strict=True))

    def _behind(self, made: _Map, runs: ir.Value) -> None:
        """What follows a program's loop; nothing is stored unless ``runs`` holds."""
        masked = _Masked(runs, made)
        masked.regions.append(self._b.region)
        for op in self._parts.behind:
            made.update(zip(op.results, masked.op(op), strict=True))

    def _ids_of(self, index: ir.Value) -> list[ir.Value]:
        """The place of the program with this number in the unit."""
        pattern = self._pattern
        row = self._computed(ir.Rem, index, pattern.rows)
        column = self._computed(ir.Div, index, pattern.rows)
        ids = list(self._starts)
        for number, axis, step in (
            (row, pattern.row_axis, pattern.row_step),
            (column, pattern.column_axis, pattern.column_step),
        ):
            distance = self._computed(ir.Mul, number, step)
            ids[axis] = self._b.add(ir.Add, lhs=ids[axis], rhs=distance)
        return ids


class _Loop:
    """The loops of all programs of a unit in one: a load per row and per column, a sum each."""

    def __init__(self, b: ir.Builder, parts: _Parts, maps: dict[_Member, _Map]) -> None:
        self._b, self._parts, self._maps = b, parts, maps
        self._loop = parts.loop
        self._initial: list[ir.Value] = []
        self._args: list[ir.Value] = []
        self._yielded: list[ir.Value] = []

    def results(self, runs: ir.Value) -> dict[_Member, ir.Value]:
        """The sum of each program; the loop has no trip unless ``runs`` holds."""
        loop, b = self._loop, self._b
        first = self._maps[0, 0]
        lower, upper, step = (first.get(v, v) for v in (loop.lower, loop.upper, loop.step))
        upper = b.add(ir.Select, condition=runs, if_true=upper, if_false=lower)
        index = ir.Value(loop.body.args[0].type, loop.body.args[0].name)
        body = ir.Region()
        outer, b.region = b.region, body
        lefts = {
            m: self._operand(index, m, self._parts.product.lhs) for m in self._maps if not m[1]
        }
        rights = {
            m: self._operand(index, m, self._parts.product.rhs) for m in self._maps if not m[0]
        }
        start = len(self._args)
        for row, column in self._maps:
            self._add(lefts[row, 0], rights[0, column], self._maps[row, column])
        b.effect(ir.Yield, values=tuple(self._yielded), location=loop.location)
        b.region = outer
        body.args = (index, *self._args)
        made = b.effect(
            ir.For,
            lower=lower,
            upper=upper,
            step=step,
            initial=tuple(self._initial),
            body=body,
            location=loop.location,
        )
        return dict(zip(self._maps, made.results[start:], strict=True))

    def _add(self, left: ir.Value, right: ir.Value, outside: _Map) -> None:
        """A program's product and sum."""
        initial = self._loop.initial[self._parts.carried]
        held = self._carry(initial, outside)
        product = replace(self._parts.product, lhs=left, rhs=right, acc=held, results=())
        self._yielded.append(self._b.insert(product).result)

    def _carry(self, initial: ir.Value, outside: _Map) -> ir.Value:
        arg = ir.Value(initial.type, initial.name)
        self._initial.append(outside.get(initial, initial))
        self._args.append(arg)
        return arg

    def _operand(self, index: ir.Value, member: _Member, root: ir.Value) -> ir.Value:
        """An operand as the program at ``member`` has it, with what the loop carries for it."""
        body = self._loop.body
        needed = self._parts.needed_inside([root])
        made = {**self._maps[member], body.args[0]: index}
        carried = [n for n, arg in enumerate(body.args[1:]) if arg in needed]
        for n in carried:
            made[body.args[1 + n]] = self._carry(self._loop.initial[n], self._maps[member])
        for op in body.ops:
            if op.results and op.results[0] in needed:
                copied = self._b.insert(op.rebuilt(lambda value: made.get(value, value)))
                made.update(zip(op.results, copied.results, strict=True))
        yielded = body.terminator.operands
        self._yielded += [made.get(yielded[n], yielded[n]) for n in carried]
        return made.get(root, root)


class _Masked(Rewriter):
    """Copies what stands behind the loop; all stores are masked off unless ``holds``."""

    def __init__(self, holds: ir.Value, values: _Map) -> None:
        super().__init__()
        self._holds = holds
        self.values = values

    def op(self, op: ir.Op) -> Sequence[ir.Value]:
        for value in op.operands:
            self.values.setdefault(value, value)
        if not isinstance(op, ir.Store):
            return super().op(op)
        new = self.translated(op)
        mask, shape = self._holds, new.pointer.shape
        if new.pointer.is_tile:
            mask = self.make(ir.Splat, source=mask, shape=shape, location=op.location)
        if new.mask is not None:
            mask = self.make(ir.And, lhs=new.mask, rhs=mask, location=op.location)
        return self.emit(replace(new, mask=mask)).results
