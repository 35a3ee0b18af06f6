"""The frame of a pass: copies a kernel op by op, and lets the pass replace some of them.

The old kernel stays as it is; the new one shares its parameters. A pass overrides `Rewriter.op`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from canopy.ir.contraction import Reduce, Scan
from canopy.ir.core import Kernel, Op, Region, Value, walk
from canopy.ir.memory import Load, Scratch

__all__ = ["Rewriter", "is_pure"]

OpT = TypeVar("OpT", bound=Op)


def is_pure(op: Op) -> bool:
    """Equal operands give equal results, and nothing else happens: such an op may be shared and
    left out. Loads depend on memory; each scratch is memory of its own."""
    if op.has_side_effects or op.is_terminator or isinstance(op, Load | Scratch):
        return False
    if isinstance(op, Reduce | Scan):
        return all(is_pure(inner) or inner.is_terminator for inner in walk(op.combine.ops))
    return not op.regions


class Rewriter:
    """Builds the new kernel; ``values`` maps old values to new ones, ``regions`` are the regions
    that are being built, outermost first."""

    def __init__(self) -> None:
        self.values: dict[Value, Value] = {}
        self.regions: list[Region] = []

    def kernel(self, kernel: Kernel) -> Kernel:
        for parameter in kernel.parameters:
            self.values[parameter.value] = parameter.value
        return dataclasses.replace(kernel, body=self.region(kernel.body))

    def op(self, op: Op) -> Sequence[Value]:
        """Emits what stands for ``op``, and gives the new values of its results."""
        return self.copy(op).results

    def copy(self, op: OpT) -> OpT:
        """Emits ``op`` on the new values, its regions rewritten."""
        return self.emit(self.translated(op))

    def translated(self, op: OpT) -> OpT:
        """``op`` on the new values, its regions rewritten, not emitted yet."""
        changed: dict[str, Any] = {}
        for name, content in op.payload():
            if isinstance(content, Value):
                changed[name] = self.values[content]
            elif isinstance(content, Region):
                changed[name] = self.region(content)
            elif isinstance(content, tuple) and content and isinstance(content[0], Value):
                changed[name] = tuple(self.values[value] for value in content)
        fresh = tuple(Value(value.type, value.name) for value in op.results)
        return dataclasses.replace(op, **changed, results=fresh)

    def emit(self, op: OpT) -> OpT:
        self.regions[-1].ops.append(op)
        return op

    def make(self, kind: type[Op], /, **fields: Any) -> Value:
        """Emits a new op with one result, and gives the result."""
        return self.emit(kind(**fields)).result

    def region(self, region: Region) -> Region:
        args = tuple(Value(arg.type, arg.name) for arg in region.args)
        self.values.update(zip(region.args, args, strict=True))
        return self.build(args, lambda: self.ops(region))

    def build(self, args: tuple[Value, ...], fill: Callable[[], None]) -> Region:
        """A new region that holds what ``fill`` emits."""
        made = Region(args)
        self.regions.append(made)
        fill()
        self.regions.pop()
        return made

    def ops(self, region: Region) -> None:
        """Emits the ops of an old region where the new one stands."""
        for op in region.ops:
            self.values.update(zip(op.results, self.op(op), strict=True))
