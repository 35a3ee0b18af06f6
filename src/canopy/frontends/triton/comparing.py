"""`canopy compare`: every launch of a Triton kernel on several targets, on the same memory.

The first target's results are what the script goes on with; the others' are compared with them and
dropped, so that differences do not add up from kernel to kernel.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from canopy import config, ir
from canopy.compiler import compile_kernel
from canopy.errors import CanopyError, UnsupportedError
from canopy.frontends.triton.differences import Difference
from canopy.frontends.triton.launch_memory import LaunchMemory
from canopy.frontends.triton.simulated import SimulatedKernel
from canopy.ir.interpreter import Interpreter
from canopy.ir.interpreter.memory import Allocation
from canopy.ir.types import BF16, ScalarType, is_pointer

__all__ = [
    "TARGETS",
    "ComparedKernel",
    "Host",
    "Row",
    "check_targets",
    "kernel_for",
    "run",
    "table",
]

Run = Callable[[Sequence[Any], tuple[int, int, int]], None]
Block: TypeAlias = tuple[int, int, int]
TARGETS = ("cpu", "ascend-sim", "ascend-text", "interpreter")

_targets: tuple[str, ...] = ()
_rows: dict[tuple[str, str], Row] = {}


@dataclass
class Row:
    """One kernel on one target, against the first target."""

    kernel: str
    target: str
    launches: int = 0
    worst: Difference = field(default_factory=Difference)
    failed: str = ""


def check_targets(targets: Sequence[str]) -> None:
    """UnsupportedError if these cannot be compared."""
    unknown = [target for target in targets if target not in TARGETS]
    if unknown or len(targets) < 2:
        fact = f"there is no target {unknown[0]!r}" if unknown else "there is nothing to compare"
        raise UnsupportedError(fact, hint=f"--targets takes two or more of {', '.join(TARGETS)}")


def run(targets: Sequence[str], script: Callable[[], int]) -> int:
    """Runs a script with every kernel on all targets; prints the table, also where it fails."""
    global _targets
    check_targets(targets)
    _targets = tuple(targets)
    _rows.clear()
    try:
        status = script()
    finally:
        _targets = ()
        print(table(list(_rows.values()), targets))
    return status or int(any(row.failed for row in _rows.values()))


@dataclass(frozen=True)
class Host:
    """A compiled program around a kernel: ``run`` is its own code on the processor, ``memory`` all
    that kernels may reach."""

    run: Run
    memory: Callable[[], Sequence[Allocation]]


def kernel_for(
    kernel: ir.Kernel, block: Block = (1, 1, 1), host: Host | None = None
) -> SimulatedKernel | ComparedKernel:
    """What launches a kernel that is kept as IR; ``block``: of CUDA C++."""
    return ComparedKernel(kernel, _targets, block, host) if _targets else SimulatedKernel(kernel)


class ComparedKernel:
    """One kernel on several targets."""

    def __init__(
        self,
        kernel: ir.Kernel,
        targets: Sequence[str],
        block: Block = (1, 1, 1),
        host: Host | None = None,
    ) -> None:
        self._kernel = kernel
        self._block = block
        self._host = host
        self._targets = tuple(targets)
        self._runs: dict[str, Run] = {"cpu": host.run} if host else {}

    def launch(self, args: Sequence[Any], grid: tuple[int, int, int]) -> None:
        memory = LaunchMemory(self._kernel, args, self._host.memory() if self._host else ())
        before = memory.contents()
        first, *others = self._targets
        self._run(first)(args, grid)
        expected = memory.contents()
        for target in others:
            row = _rows.setdefault((self._kernel.name, target), Row(self._kernel.name, target))
            row.launches += 1
            memory.restore(before)
            try:
                self._run(target)(args, grid)
            except CanopyError as error:
                row.failed = row.failed or str(error).splitlines()[0]
            else:
                row.worst = row.worst.joined(memory.difference(expected, row.launches))
        memory.restore(expected)

    def _run(self, target: str) -> Run:
        if target not in self._runs:
            self._runs[target] = _MAKERS[target](self._kernel, self._block)
        return self._runs[target]


# ---- the targets


def _on_cpu(kernel: ir.Kernel, block: Block) -> Run:
    from canopy.runtime.launch import launch_errors, make_launcher

    executable = compile_kernel(kernel)
    kinds = b"".join(
        _kind(parameter.value.type, is_written)
        for parameter, is_written in zip(kernel.parameters, executable.written, strict=True)
    )
    native = make_launcher(
        executable.load(),
        executable.scratch_bytes,
        kinds,
        name=kernel.name,
        block=block,
        keep=executable,
    )

    def run(args: Sequence[Any], grid: tuple[int, int, int]) -> None:
        with launch_errors(kernel.name):
            native(*grid, *args)

    return run


def _kind(type_: ir.types.Type, is_written: bool) -> bytes:
    """The native launcher's character of a parameter."""
    if is_pointer(type_):
        return b"W" if is_written else b"P"
    assert isinstance(type_, ScalarType)
    if type_.kind == "bool":
        return b"b"
    if type_.kind == "float":
        return b"y" if type_ == BF16 else {16: b"e", 32: b"f", 64: b"d"}[type_.bits]
    letter = {8: b"k", 16: b"s", 32: b"i", 64: b"l"}[type_.bits]
    return letter.upper() if type_.kind == "uint" else letter


def _simulated(kernel: ir.Kernel, block: Block) -> Run:
    return SimulatedKernel(kernel).launch  # type: ignore[return-value]


def _interpreted(kernel: ir.Kernel, block: Block) -> Run:
    return lambda args, grid: Interpreter(kernel, args, grid).run()


def _as_text(kernel: ir.Kernel, block: Block) -> Run:
    from canopy.frontends.ascendc.printed import PrintedKernel
    from canopy.targets.ascend.chip import load_chip

    return PrintedKernel(kernel, load_chip(config.chip())).launch


_MAKERS: dict[str, Callable[[ir.Kernel, Block], Run]] = {
    "cpu": _on_cpu,
    "ascend-sim": _simulated,
    "ascend-text": _as_text,
    "interpreter": _interpreted,
}


# ---- the report


def table(rows: Sequence[Row], targets: Sequence[str]) -> str:
    """Per kernel and target: launches, the largest differences, and the first element."""
    if not rows:
        return "canopy compare: no kernel was launched"
    head = ("kernel", "target", "launches", "absolute", "relative", "ULP", "elements")
    lines = [head]
    for row in rows:
        w = row.worst
        shown = (f"{w.absolute:.3g}", f"{w.relative:.3g}", str(w.ulps), str(w.elements))
        if row.failed:
            shown = ("-", "-", "-", "-")
        lines.append((row.kernel, row.target, str(row.launches), *shown))
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    text = [f"canopy compare: differences from {targets[0]}"]
    for number, line in enumerate(lines):
        text.append("  " + "  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)))
        row_of = rows[number - 1] if number else None
        if row_of is not None and row_of.failed:
            text.append(f"    failed: {row_of.failed}")
        elif row_of is not None and row_of.worst.where is not None:
            text.append(f"    first: {row_of.worst.where}")
    return "\n".join(line.rstrip() for line in text)
