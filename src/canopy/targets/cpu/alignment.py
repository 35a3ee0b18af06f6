"""Powers of two that divide the index of a strip's first lane.

    for (int i = threadIdx.x; i < 1024; i += 256) .. i / 16, i % 16 ..

A strip of 16 lanes begins at a multiple of 16, and so does `i` in each trip: all its lanes have one
`i / 16`, and `i % 16` counts from 0 to 15, which no guard needs to check.
"""

from __future__ import annotations

from canopy import ir
from canopy.ir.types import is_integer

__all__ = ["Alignments"]

ANY = 1 << 30  # of zero
_SAME = (ir.Cast, ir.Bitcast, ir.Splat)


class Alignments:
    """The alignments of integers in a run whose strips have ``lanes`` lanes along the last axis of
    tiles of ``shape``."""

    def __init__(self, ops: list[ir.Op], shape: tuple[int, ...], lanes: int) -> None:
        self.shape = shape
        self.lanes = lanes
        self._sources: dict[ir.Value, list[ir.Value]] = {}  # of what loops carry
        self._known: dict[ir.Value, int] = {}
        for op in ir.walk(ops):
            self._note_carried(op)
        self._settle()

    def of(self, value: ir.Value) -> int:
        """The largest known power of two that divides a scalar, or a tile's first lane."""
        known = self._known.get(value)
        if known is None:
            known = self._known[value] = self._find(value)
        return known

    def _note_carried(self, op: ir.Op) -> None:
        match op:
            case ir.While():
                condition, end = op.before.terminator, op.body.terminator
                assert isinstance(condition, ir.Condition)
                pairs = zip(op.before.args, op.initial, end.operands, strict=True)
                self._sources.update((arg, [first, following]) for arg, first, following in pairs)
                for values in (op.body.args, op.results):
                    passed = zip(values, condition.values, strict=True)
                    self._sources.update((value, [source]) for value, source in passed)
            case ir.For():
                starts = (op.lower, *op.initial)
                following = (op.step, *op.body.terminator.operands)
                for arg, *sources in zip(op.body.args, starts, following, strict=True):
                    self._sources[arg] = sources
                self._sources.update(
                    (result, [arg])
                    for result, arg in zip(op.results, op.body.args[1:], strict=True)
                )
            case ir.If():
                sides = [r.terminator.operands if r.ops else () for r in op.regions]
                for result, *sources in zip(op.results, *sides, strict=True):
                    self._sources[result] = sources

    def _settle(self) -> None:
        """Takes what loops carry to be aligned to anything, and corrects that while it is wrong."""
        carried = dict.fromkeys((v for v in self._sources if is_integer(v.type)), ANY)
        unstable = True
        while unstable:
            self._known = dict(carried)
            found = {v: min(map(self.of, self._sources[v])) for v in carried}
            unstable = any(found[v] < carried[v] for v in carried)
            carried = {v: min(found[v], carried[v]) for v in carried}

    def _find(self, value: ir.Value) -> int:
        match value.op:
            case ir.Constant(value=int() as number):
                return number & -number or ANY
            case ir.Range(start=start):
                return self._of_range(value, start, axis=0)
            case ir.Broadcast() | ir.ExpandDims():
                return self._of_moved_range(value)
            case ir.Add() | ir.Sub() as op:
                return min(self.of(op.lhs), self.of(op.rhs))
            case ir.Mul() as op:
                return min(self.of(op.lhs) * self.of(op.rhs), ANY)
            case op if isinstance(op, _SAME) and is_integer(op.operands[0].type):
                return self.of(op.operands[0])
        return 1

    def _of_range(self, value: ir.Value, start: int, axis: int) -> int:
        """Of indices along an axis: strips begin at multiples of their lanes along the last one."""
        if axis != len(self.shape) - 1 or value.shape[axis] != self.shape[-1]:
            return 1
        return min(self.lanes, start & -start or ANY)

    def _of_moved_range(self, value: ir.Value) -> int:
        op, new_axes = value.op, []
        while isinstance(op, (ir.Broadcast, ir.ExpandDims)):
            if isinstance(op, ir.ExpandDims):
                new_axes.append(op.axis)
            op = op.source.op
        if not isinstance(op, ir.Range) or len(value.shape) != len(self.shape):
            return 1
        axis = 0
        for new in reversed(new_axes):
            axis += new <= axis
        return self._of_range(value, op.start, axis)
