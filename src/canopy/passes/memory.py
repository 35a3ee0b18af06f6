"""Which parameter an address derives from, which parameters a kernel writes, and what may alias.

In: a kernel. Out: `Bases`, which maps every pointer value to the parameter (or scratch op) it was
offset from, or to None where that is unknown: loaded pointers, integers made pointers, merges.
"""

from __future__ import annotations

from collections.abc import Iterator

from canopy import ir
from canopy.ir.types import is_pointer

__all__ = ["WRITES", "Bases", "memory_ops"]

WRITES = (ir.Store, ir.AtomicRmw, ir.AtomicCas)

_SAME_ORIGIN = (
    *(ir.Splat, ir.Broadcast, ir.ExpandDims, ir.Reshape, ir.Transpose, ir.Flip),
    *(ir.Unsplat, ir.Split),
)

Origin = ir.Value | None


class Bases:
    """The origin of every pointer of a kernel."""

    def __init__(self, kernel: ir.Kernel) -> None:
        self._origin: dict[ir.Value, Origin] = {}
        self.parameters = {p.value for p in kernel.parameters if is_pointer(p.value.type)}
        for value in self.parameters:
            self._origin[value] = value
        self._visit(kernel.body.ops)
        self.written = {
            self.of(op.pointer) for op in ir.walk(kernel.body.ops) if isinstance(op, WRITES)
        }
        self.loaded = {
            self.of(op.pointer) for op in ir.walk(kernel.body.ops) if isinstance(op, ir.Load)
        }

    def of(self, pointer: ir.Value) -> Origin:
        """The parameter or scratch value that ``pointer`` derives from; None if unknown."""
        return self._origin.get(pointer)

    def may_alias(self, first: ir.Value, second: ir.Value, *, disjoint: bool) -> bool:
        """Whether two addresses may meet; ``disjoint``: parameters were checked not to overlap."""
        left, right = self.of(first), self.of(second)
        if left is None or right is None:
            return True
        if left is right:
            return True
        if left not in self.parameters or right not in self.parameters:
            return False  # scratch memory belongs to the program alone
        return not disjoint

    def _visit(self, ops: list[ir.Op]) -> None:
        for op in ops:
            if isinstance(op, ir.For):
                self._visit_loop(
                    op.initial, op.body.args[1:], op.body, op.body.ops[-1].operands, op
                )
            elif isinstance(op, ir.While):
                condition = op.before.terminator
                assert isinstance(condition, ir.Condition)
                self._visit_while(op, condition)
            elif isinstance(op, ir.If):
                self._visit(op.then_region.ops)
                self._visit(op.else_region.ops)
            elif isinstance(op, ir.Scratch):
                self._origin[op.result] = op.result
            else:
                self._derive(op)

    def _derive(self, op: ir.Op) -> None:
        for result in op.results:
            if not is_pointer(result.type):
                continue
            if isinstance(op, ir.Offset):
                self._origin[result] = self.of(op.pointer)
            elif isinstance(op, _SAME_ORIGIN):
                self._origin[result] = self.of(op.operands[0])
            elif isinstance(op, (ir.Select, ir.Concat, ir.Join)):
                origins = {self.of(v) for v in op.operands if is_pointer(v.type)}
                self._origin[result] = origins.pop() if len(origins) == 1 else None

    def _visit_loop(
        self,
        initial: tuple[ir.Value, ...],
        args: tuple[ir.Value, ...],
        body: ir.Region,
        yielded: tuple[ir.Value, ...],
        op: ir.Op,
    ) -> None:
        for arg, value in zip(args, initial, strict=True):
            self._origin[arg] = self.of(value)
        unstable = True
        while unstable:  # each round makes another argument unknown, at most all of them
            self._visit(body.ops)
            pairs = zip(args, yielded, strict=True)
            changed = [
                a for a, y in pairs if self.of(a) is not None and self.of(y) is not self.of(a)
            ]
            self._origin.update(dict.fromkeys(changed))
            unstable = bool(changed)
        for result, arg in zip(op.results, args, strict=True):
            self._origin[result] = self.of(arg)

    def _visit_while(self, op: ir.While, condition: ir.Condition) -> None:
        for arg in (*op.before.args, *op.body.args):
            self._origin[arg] = None
        for arg, value in zip(op.before.args, op.initial, strict=True):
            self._origin[arg] = self.of(value)
        self._visit(op.before.ops)
        for arg, value in zip(op.body.args, condition.values, strict=True):
            self._origin[arg] = self.of(value)
        self._visit(op.body.ops)
        after = op.body.ops[-1].operands
        stable = all(self.of(a) is self.of(v) for a, v in zip(op.before.args, after, strict=True))
        if not stable:
            for arg in op.before.args:
                self._origin[arg] = None
            self._visit(op.before.ops)
            for arg, value in zip(op.body.args, condition.values, strict=True):
                self._origin[arg] = self.of(value)
            self._visit(op.body.ops)
        for result, value in zip(op.results, condition.values, strict=True):
            self._origin[result] = self.of(value)


def memory_ops(op: ir.Op) -> Iterator[ir.Op]:
    """The op itself and those inside its regions that touch memory."""
    for inner in ir.walk([op]):
        if isinstance(inner, (ir.Load, ir.Ordering, ir.NativeCall, *WRITES)):
            yield inner
