"""Which argument or scratch each pointer of a kernel was made from.

A pointer computed from ``x`` and an offset has the origin ``x``; one loaded from memory or cast
from an integer has the origin None (unknown).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from canopy.ir.contraction import Reduce, Scan
from canopy.ir.control import For, If, NativeCall, While
from canopy.ir.core import Kernel, Op, Region, Value, walk
from canopy.ir.memory import AtomicCas, AtomicRmw, Load, Scratch
from canopy.ir.types import is_pointer

__all__ = ["Origins", "pointer_origins"]

Origins = dict[Value, frozenset[Value | None]]


def pointer_origins(kernel: Kernel) -> Origins:
    """Per pointer value: the parameters and scratches it may come from; None stands for unknown."""
    origins: Origins = {p.value: frozenset({p.value}) for p in kernel.parameters}
    ops = list(walk(kernel.body.ops))
    changed = True
    while changed:  # origins only grow, and are few: loops settle in two or three rounds
        changed = False
        for op in ops:
            for target, sources in _flows(op):
                merged = origins.get(target, frozenset()).union(
                    *(origins.get(source, frozenset()) for source in sources)
                )
                if not sources:
                    merged |= {target if isinstance(op, Scratch) else None}
                if merged != origins.get(target, frozenset()):
                    origins[target] = merged
                    changed = True
    return origins


def _flows(op: Op) -> Iterator[tuple[Value, tuple[Value, ...]]]:
    """(pointer value, the pointers it may be equal to or made from)"""
    for target, sources in _transfers(op):
        if is_pointer(target.type):
            yield target, tuple(source for source in sources if is_pointer(source.type))


def _transfers(op: Op) -> Iterator[tuple[Value, Iterable[Value]]]:
    match op:
        case For():
            incoming = tuple(zip(op.initial, _handed(op.body), strict=False))
            yield from zip(op.body.args[1:], incoming, strict=False)
            yield from zip(op.results, incoming, strict=False)
        case While():
            incoming = tuple(zip(op.initial, _handed(op.body), strict=False))
            yield from zip(op.before.args, incoming, strict=False)
            passed = tuple((value,) for value in _handed(op.before))
            yield from zip(op.body.args, passed, strict=False)
            yield from zip(op.results, passed, strict=False)
        case If():
            handed = zip(_handed(op.then_region), _handed(op.else_region), strict=False)
            yield from zip(op.results, handed, strict=False)
        case Reduce() | Scan():
            sources = tuple((source,) for source in op.sources)
            yield from zip(op.combine.args, sources * 2, strict=False)
            yield from zip(op.results, sources, strict=False)
        case _:
            from_memory = isinstance(op, Load | AtomicRmw | AtomicCas | NativeCall)
            for result in op.results:
                yield result, () if from_memory else op.operands


def _handed(region: Region) -> tuple[Value, ...]:
    if not region.ops:
        return ()
    values = getattr(region.terminator, "values", ())
    return tuple(values)
