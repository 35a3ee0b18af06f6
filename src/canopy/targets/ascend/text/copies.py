"""Copies between global memory and the unified buffer as DataCopyPad: rows, and loops around them.

A block that has rows of whole elements side by side, in both memories, is one call or a loop of
calls. Rows that do not begin at 32 bytes in the buffer go element by element through scalar code.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from canopy.errors import UnsupportedError
from canopy.targets.ascend.npu import CopyIn, CopyOut, Limit, View
from canopy.targets.ascend.scalars import ZERO, Poly, constant

__all__ = ["Axis", "as_rows", "axes_of"]

_BLOCK = 32


@dataclass(frozen=True)
class Axis:
    """One axis of a copied block: extent, steps in elements of the buffer and bytes of global
    memory, and the limits on its lanes."""

    extent: int
    inner: int
    outer: Poly
    limits: tuple[Limit, ...] = ()

    def is_limited(self) -> bool:
        return bool(self.limits)


def axes_of(copy: CopyIn | CopyOut, inside: View, outside: View | None) -> list[Axis]:
    """The axes of a copy, without those of one lane; axes that follow each other are merged."""
    steps = tuple(copy.strides) if outside is None else _workspace_steps(copy, inside, outside)
    axes = []
    for number, (extent, inner, outer) in enumerate(
        zip(inside.shape, inside.strides, steps, strict=True)
    ):
        limits = tuple(x for x in copy.limits if x.axis == number and x.factor)
        if extent > 1 or limits:
            axes.append(Axis(extent, inner, outer, limits))
    return _merged(axes)


def _workspace_steps(copy: CopyIn | CopyOut, inside: View, outside: View) -> tuple[Poly, ...]:
    size = outside.type.bytes
    if outside.shape == inside.shape:
        return tuple(constant(stride * size) for stride in outside.strides)
    if _is_dense(outside):
        steps, step = [], size
        for extent in reversed(inside.shape):
            steps.append(constant(step))
            step *= extent
        return tuple(reversed(steps))
    raise UnsupportedError("a copy of a reshaped block has no printed form", location=copy.location)


def _is_dense(view: View) -> bool:
    step = 1
    for extent, stride in zip(reversed(view.shape), reversed(view.strides), strict=True):
        if extent > 1 and stride != step:
            return False
        step *= extent
    return True


def _merged(axes: list[Axis]) -> list[Axis]:
    found: list[Axis] = []
    for axis in axes:
        last = found[-1] if found else None
        if (
            last is not None
            and not axis.limits
            and not last.limits
            and last.inner == axis.inner * axis.extent
            and last.outer == axis.outer.scaled(axis.extent)
        ):
            found[-1] = replace(axis, extent=last.extent * axis.extent)
        else:
            found.append(axis)
    return found


def as_rows(axes: list[Axis], size: int) -> tuple[list[Axis], Axis, Axis] | None:
    """Loops, the axis of rows, and the axis along a row; None if elements go one by one.

    Rows begin at whole blocks of the buffer, and are not cut at their beginning.
    """
    one = Axis(1, 0, ZERO)
    along = next((a for a in axes if a.inner == 1 and a.outer == constant(size)), None)
    if along is None:
        if all(axis.extent == 1 for axis in axes):
            along = one
        else:
            return None
    rest = [axis for axis in axes if axis is not along]
    if any(limit.factor < 0 for limit in along.limits):
        return None
    if any(axis.inner * size % _BLOCK for axis in rest):
        return None
    if not rest:
        return [], one, along
    return rest[:-1], rest[-1], along
