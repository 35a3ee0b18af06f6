"""What the generated programs contained: ops by element type, and passes that changed something."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from canopy import ir
from canopy.ir import Kernel, Op
from canopy.ir.types import element_type

__all__ = ["Coverage"]

_COLUMNS = (
    *("i1", "i8", "i16", "i32", "i64", "u8", "u16", "u32", "u64"),
    *("f8e4m3", "f8e5m2", "f8e4m3b8", "f8e5m2b16", "f16", "bf16", "f32", "f64", "ptr"),
)


@dataclass(slots=True)
class Coverage:
    """Counts over all programs so far. ``ops``: by "name element"; ``passes``: runs that changed
    the program."""

    programs: int = 0
    ops: Counter[str] = field(default_factory=Counter)
    passes: Counter[str] = field(default_factory=Counter)

    @classmethod
    def of(cls, saved: dict[str, Any]) -> Coverage:
        return cls(saved["programs"], Counter(saved["ops"]), Counter(saved["passes"]))

    def as_saved(self) -> dict[str, Any]:
        return {"programs": self.programs, "ops": dict(self.ops), "passes": dict(self.passes)}

    def add(self, other: Coverage) -> None:
        self.programs += other.programs
        self.ops += other.ops
        self.passes += other.passes

    def count(self, kernel: Kernel) -> None:
        """Adds the ops of a program."""
        self.programs += 1
        self.ops.update(f"{_name(op)} {_element(op)}" for op in ir.walk(kernel.body.ops))

    def observer(self, kernel: Kernel) -> Callable[[str, Kernel], None]:
        """Watches the pipeline work on ``kernel``."""
        before = _outline(kernel)
        position = 0

        def observe(name: str, made: Kernel) -> None:
            nonlocal before, position
            position += 1
            after = _outline(made)
            self.passes[f"{position} {name}"] += after != before
            before = after

        return observe

    def table(self) -> str:
        """Ops (rows) by element type (columns), then the passes."""
        used = [c for c in _COLUMNS if any(key.endswith(f" {c}") for key in self.ops)]
        lines = [f"{'op':24}" + "".join(f"{c:>10}" for c in used)]
        for name in sorted({key.split()[0] for key in self.ops}):
            counts = (self.ops.get(f"{name} {c}", 0) for c in used)
            lines.append(f"{name:24}" + "".join(f"{n or '.':>10}" for n in counts))
        lines.append("")
        lines.append(f"pass: changed how many of {self.programs} programs")
        ordered = sorted(self.passes.items(), key=lambda item: int(item[0].split()[0]))
        lines += [f"  {name:34}{count:>10}" for name, count in ordered]
        return "\n".join(lines)


def _name(op: Op) -> str:
    if isinstance(op, ir.MathCall):
        return f"math:{op.function}"
    if isinstance(op, ir.AtomicRmw):
        return f"atomic_rmw:{op.kind}"
    return op.mnemonic()


def _element(op: Op) -> str:
    """The element type that tells most about the op: of what it writes, or of its first operand."""
    if isinstance(op, ir.Store):
        return str(element_type(op.value.type))
    if isinstance(op, ir.Compare):
        return str(element_type(op.lhs.type))
    values: Iterable[ir.Value] = (*op.results, *op.operands)
    return next((str(element_type(value.type)) for value in values), "i32")


def _outline(kernel: Kernel) -> list[tuple[str, int]]:
    """Enough of a program to see that a pass changed it."""
    numbers: dict[ir.Value, int] = {}
    outline = []
    for op in ir.walk(kernel.body.ops):
        for result in op.results:
            numbers[result] = len(numbers)
        operands = tuple(numbers.get(value, -1) for value in op.operands)
        outline.append((type(op).__name__, hash(operands)))
    return outline
