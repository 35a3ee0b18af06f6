"""The time, in nanoseconds: a call of the C library, which every process here is linked with."""

from __future__ import annotations

import llvmlite.ir as ll

from canopy.targets.cpu import memory
from canopy.targets.cpu.llvm import I32, I64, POINTER, Builder, LLValue, constant

__all__ = ["emit_clock"]

_CLOCK_MONOTONIC = 1  # of Linux, on every architecture
_TIMESPEC = ll.LiteralStructType([I64, I64])  # seconds, nanoseconds


def emit_clock(b: Builder) -> LLValue:
    """Nanoseconds of the monotonic clock."""
    name = "clock_gettime"
    known = b.module.globals.get(name)
    function = known or ll.Function(b.module, ll.FunctionType(I32, [I32, POINTER]), name)
    slot = memory.stack_slot(b, _TIMESPEC)
    b.call(function, [constant(I32, _CLOCK_MONOTONIC), slot])
    now = b.load(slot, typ=_TIMESPEC)
    seconds, rest = b.extract_value(now, 0), b.extract_value(now, 1)
    return b.add(b.mul(seconds, constant(I64, 10**9)), rest)
