"""Positions inside tiles: the index of a point under another shape, and its place in memory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import llvmlite.ir as ll

from canopy.targets.cpu.forms import Affine, Form, Index, Lanes, Pattern, Uniform
from canopy.targets.cpu.llvm import I64, constant
from canopy.targets.cpu.patterns import parts_of, pattern, plus, short_axes

if TYPE_CHECKING:
    from canopy.targets.cpu.nest import Nest, Point

__all__ = ["Merged", "added", "flipped", "linear_index", "reshape_point", "scaled"]


@dataclass(frozen=True, slots=True, eq=False)
class Merged:
    """The last axes of a nest that are walked as one: their indices, and the place they make."""

    shape: tuple[int, ...]
    indices: Point
    position: Form

    @property
    def size(self) -> int:
        return math.prod(self.shape)

    def covers(self, shape: tuple[int, ...], point: Point) -> bool:
        """Whether a point ends in these axes, and stands on few of them elsewhere."""
        count = len(self.shape)
        if shape[-count:] != self.shape:
            return False
        elsewhere = sum(a is not b for a, b in zip(point[-count:], self.indices, strict=True))
        return elsewhere <= count // 2

    def at(self, nest: Nest, point: Point) -> Form:
        """The place of a point: that of the strip, moved along the axes where they differ."""
        place = self.position
        for axis, (index, own) in enumerate(zip(point, self.indices, strict=True)):
            if index is not own:
                stride = math.prod(self.shape[axis + 1 :])
                moved = _difference(nest, index.form, own.form)
                place = added(nest, place, scaled(nest, moved, stride))
        return place


def reshape_point(
    nest: Nest, source: tuple[int, ...], target: tuple[int, ...], point: Point
) -> Point:
    """The index under another shape, axis groups of equal size being mapped one by one."""
    result: list[Index] = []
    s = t = 0
    while s < len(source) or t < len(target):
        s_end, t_end = _matching_group(source, target, s, t)
        group_source, group_target = source[s:s_end], target[t:t_end]
        result.extend(_regroup(nest, group_source, group_target, point[t:t_end]))
        s, t = s_end, t_end
    return tuple(result)


def _regroup(
    nest: Nest, source: tuple[int, ...], target: tuple[int, ...], point: Point
) -> list[Index]:
    if len(source) == 1 and len(target) == 1:
        return list(point)
    real = [i for i, extent in enumerate(source) if extent != 1]
    real_target = [i for i, extent in enumerate(target) if extent != 1]
    if len(real) <= 1 and len(real_target) <= 1:
        indices = [nest.fixed(0) for _ in source]
        if real:
            indices[real[0]] = point[real_target[0]]
        return indices
    level = max(index.level for index in point)
    cache = nest.cache_of(level)
    key: Any = ("regroup", source, tuple(point))
    known: Any = cache.get(key)
    if known is None:
        with nest.at_level(level):
            linear = linear_index(nest, target, point)
            known = [Index(form, level) for form in _delinear(nest, source, linear)]
        cache[key] = known
        cache["regroup", target, tuple(known)] = list(point)  # and back again
    return list(known)


def linear_index(nest: Nest, shape: tuple[int, ...], point: Point) -> Form:
    """The row-major position of a point in a tile."""
    stride = 1
    total: Form | None = None
    merged = nest.merged
    if merged is not None and merged.covers(shape, point):
        count = len(merged.indices)
        total, stride = merged.at(nest, point[-count:]), merged.size
        shape, point = shape[:-count], point[:-count]
    for extent, index in zip(reversed(shape), reversed(point), strict=True):
        term = scaled(nest, index.form, stride)
        total = term if total is None else added(nest, total, term)
        stride *= extent
    assert total is not None
    return total


def scaled(nest: Nest, form: Form, factor: int) -> Form:
    """An i64 form times a constant."""
    if factor == 1:
        return form
    match form:
        case Uniform(value=value):
            if isinstance(value, ll.Constant) and isinstance(value.constant, int):
                return Uniform(constant(I64, value.constant * factor))
            return Uniform(nest.builder.mul(value, constant(I64, factor)))
        case Affine(base=base, step=step):
            return Affine(nest.builder.mul(base, constant(I64, factor)), step * factor)
        case Pattern(base=base, offsets=offsets):
            start = scaled(nest, Uniform(base), factor)
            assert isinstance(start, Uniform)
            return pattern(nest.builder, start.value, tuple(o * factor for o in offsets))
        case other:
            value = nest.vector(other)
            return Lanes(nest.builder.mul(value, constant(value.type, factor)))


def added(nest: Nest, left: Form, right: Form) -> Form:
    """The sum of two i64 forms."""
    match left, right:
        case Uniform(value=a), Uniform(value=b):
            return Uniform(nest.builder.add(a, b))
        case Affine(base=a, step=s), Uniform(value=b):
            return Affine(nest.builder.add(a, b), s)
        case Uniform(value=a), Affine(base=b, step=s):
            return Affine(nest.builder.add(a, b), s)
        case _:
            a, b = parts_of(left, nest.lanes), parts_of(right, nest.lanes)
            if a is not None and b is not None:
                offsets = tuple(i + j for i, j in zip(a[1], b[1], strict=True))
                return pattern(nest.builder, plus(nest.builder, a[0], b[0]), offsets)
            return Lanes(nest.builder.add(nest.vector(left), nest.vector(right)))


def _difference(nest: Nest, left: Form, right: Form) -> Form:
    return added(nest, left, scaled(nest, right, -1))


def flipped(nest: Nest, index: Index, extent: int) -> Index:
    """extent - 1 - index."""
    cache = nest.cache_of(index.level)
    key: Any = ("flipped", index, extent)
    known: Any = cache.get(key)
    if known is None:
        with nest.at_level(index.level):
            last = Uniform(constant(I64, extent - 1))
            known = Index(_difference(nest, last, index.form), index.level)
        cache[key] = known
    return known  # type: ignore[no-any-return]


def _delinear(nest: Nest, shape: tuple[int, ...], linear: Form) -> list[Form]:
    """Row-major indices of a linear index; a strip that cannot cross an axis stays affine."""
    if isinstance(linear, Affine) and linear.step == 1:
        known = short_axes(nest, shape, linear.base)
        if known is not None:
            return known
    forms: list[Form] = []
    rest = linear
    for extent in reversed(shape[1:]):
        if extent == 1:
            forms.append(Uniform(constant(I64, 0)))
            continue
        quotient, remainder = _divide(nest, rest, extent)
        forms.append(remainder)
        rest = quotient
    forms.append(rest if shape[0] != 1 else Uniform(constant(I64, 0)))
    return forms[::-1]


def _divide(nest: Nest, form: Form, extent: int) -> tuple[Form, Form]:
    b = nest.builder
    divisor = constant(I64, extent)
    match form:
        case Uniform(value=value):
            return Uniform(b.udiv(value, divisor)), Uniform(b.urem(value, divisor))
        case Affine(base=base, step=1) if extent % nest.lanes == 0:
            # a strip starts at a multiple of its lanes, so it lies inside one row of the axis
            return Uniform(b.udiv(base, divisor)), Affine(b.urem(base, divisor), 1)
        case Affine(base=base, step=1) if nest.lanes % extent == 0:
            rows = tuple(i // extent for i in range(nest.lanes))
            columns = tuple(i % extent for i in range(nest.lanes))
            return pattern(b, b.udiv(base, divisor), rows), pattern(b, constant(I64, 0), columns)
        case Affine(base=base, step=step) if step % extent == 0:
            quotient = Affine(b.udiv(base, divisor), step // extent)
            return quotient, Uniform(b.urem(base, divisor))
        case other:
            value = nest.vector(other)
            wide = constant(value.type, extent)
            return Lanes(b.udiv(value, wide)), Lanes(b.urem(value, wide))


def _matching_group(
    source: tuple[int, ...], target: tuple[int, ...], s: int, t: int
) -> tuple[int, int]:
    """The ends of the next runs of axes of equal size on both sides."""
    left = right = 1
    s_end, t_end = s, t
    while True:
        if left == right and (s_end > s or t_end > t):
            return s_end, t_end
        if (
            left <= right
            and s_end < len(source)
            and (left < right or t_end >= len(target) or s_end == s)
        ):
            left *= source[s_end]
            s_end += 1
        elif t_end < len(target):
            right *= target[t_end]
            t_end += 1
        else:
            left *= source[s_end]
            s_end += 1
