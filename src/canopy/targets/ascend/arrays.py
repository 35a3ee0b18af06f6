"""Which of the user's arrays a pointer points into."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from canopy import ir
from canopy.ir.interpreter.origins import pointer_origins
from canopy.targets.ascend.npu import ALL_GLOBAL

__all__ = ["array_groups"]


def array_groups(kernel: ir.Kernel, groups: Mapping[str, str]) -> Callable[[ir.Value], str]:
    """A function of a pointer: the name of its group of arrays, of which ``groups`` has some by
    their parameter; ALL_GLOBAL where it may be any."""
    origins = pointer_origins(kernel)
    names = {parameter.value: parameter.name for parameter in kernel.parameters}

    def group(pointer: ir.Value) -> str:
        found = origins.get(pointer, frozenset({None}))
        if len(found) != 1:
            return ALL_GLOBAL
        (origin,) = found
        if origin is None:
            return ALL_GLOBAL
        name = names.get(origin)
        return f"scratch {id(origin)}" if name is None else groups.get(name, name)

    return group
