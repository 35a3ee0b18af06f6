"""What no NPU program can say, found before anything is lowered: the line, the fact and a hint.

float64 data; threads that wait for each other; what kernels say to the host while they run.
"""

from __future__ import annotations

from collections.abc import Iterator

from canopy import ir
from canopy.errors import Location, UnsupportedError
from canopy.ir.types import F64, ElementType, ScalarType, element_type
from canopy.targets.ascend.chip import Chip

__all__ = ["refuse_unsupported"]

_ON_CPU = "run this kernel with --target cpu"
_WAITS = "threads of a block that wait for each other in memory, or pass barriers unevenly"
# An earlier row is the better reason: the first op that is found by it is named.
_OPS: tuple[tuple[tuple[type[ir.Op], ...], str, str], ...] = (
    ((ir.GridBarrier,), "blocks that wait for the whole grid", "split it into several kernels"),
    ((ir.Pause,), "programs that wait for what others write", _ON_CPU),
    ((ir.Meet, ir.Arrive, ir.MemberId, ir.BlockMemory), _WAITS, _ON_CPU),
    ((ir.Clock,), "clocks in kernels", "the report of the simulator has the times"),
)
_CALLS = {
    "canopy_cuda_printf": ("printf in a kernel", "store what it prints, and print it on the host"),
    "canopy_cuda_assert": ("assert in a kernel", "compile it with -DNDEBUG"),
    "canopy_cuda_trap": ("traps in kernels", "store a flag, and look at it on the host"),
    "canopy_cuda_sleep": ("kernels that sleep", _ON_CPU),
    "canopy_cuda_malloc": ("malloc in a kernel", "give the kernel memory of the host's"),
    "canopy_cuda_free": ("free in a kernel", "give the kernel memory of the host's"),
    "canopy_cuda_memmove": ("memcpy of a length that is known when it runs", "copy in a loop"),
}
_CHECKS = ("accesses that check themselves", "leave --check out: the simulator has its own checks")


def refuse_unsupported(kernel: ir.Kernel, chip: Chip) -> None:
    """UnsupportedError for the first op that the target cannot run."""
    _refuse_ops(kernel)
    for value_type, location in _types(kernel):
        _refuse_type(value_type, location, chip)


def _refuse_ops(kernel: ir.Kernel) -> None:
    ops = list(ir.walk(kernel.body.ops))
    for kinds, what, hint in _OPS:
        for op in ops:
            if isinstance(op, kinds):
                raise _unsupported(op.location, what, hint)
    for op in ops:
        if isinstance(op, ir.NativeCall):
            what, hint = _CALLS.get(op.function, _CHECKS)
            raise _unsupported(op.location, what, hint)


def _unsupported(location: Location, what: str, hint: str) -> UnsupportedError:
    return UnsupportedError(f"the ascend target does not run {what}", location=location, hint=hint)


def _types(kernel: ir.Kernel) -> Iterator[tuple[ElementType, Location]]:
    for parameter in kernel.parameters:
        yield element_type(parameter.value.type), kernel.location
    for op in ir.walk(kernel.body.ops):
        for result in op.results:
            yield element_type(result.type), op.location


def _refuse_type(element: ElementType, location: Location, chip: Chip) -> None:
    if element == F64:
        raise UnsupportedError(
            f"{chip.name} has no float64",
            location=location,
            hint="compute in float32, or run this kernel with --target cpu",
        )
    is_float8 = isinstance(element, ScalarType) and (element.kind, element.bits) == ("float", 8)
    if is_float8 and chip.architecture < 3510:
        raise UnsupportedError(
            f"{chip.name} has no 8-bit floats ({element})",
            location=location,
            hint="use float16 or bfloat16",
        )
