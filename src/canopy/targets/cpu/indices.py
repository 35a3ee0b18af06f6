"""Positions inside tiles: the index of a point under another shape, and its place in memory."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import llvmlite.ir as ll

from canopy.targets.cpu.forms import Affine, Form, Index, Lanes, Uniform
from canopy.targets.cpu.llvm import I64, constant, iota, splat

if TYPE_CHECKING:
    from canopy.targets.cpu.nest import Nest, Point

__all__ = ["added", "linear_index", "reshape_point", "scaled"]


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
    key: Any = ("regroup", source, point)
    known: Any = cache.get(key)
    if known is None:
        with nest.at_level(level):
            linear = linear_index(nest, target, point)
            known = [Index(form, level) for form in _delinear(nest, source, linear)]
        cache[key] = known
    return list(known)


def linear_index(nest: Nest, shape: tuple[int, ...], point: Point) -> Form:
    """The row-major position of a point in a tile."""
    stride, total = 1, None
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
        case Affine(base=a, step=s), Affine(base=b, step=t) if s + t:
            return Affine(nest.builder.add(a, b), s + t)
        case _:
            return Lanes(nest.builder.add(nest.vector(left), nest.vector(right)))


def _delinear(nest: Nest, shape: tuple[int, ...], linear: Form) -> list[Form]:
    """Row-major indices of a linear index; a strip that cannot cross an axis stays affine."""
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
            lanes = iota(I64, nest.lanes)
            rows = ll.Constant(
                lanes.type, [ll.Constant(I64, i // extent) for i in range(nest.lanes)]
            )
            columns = ll.Constant(
                lanes.type, [ll.Constant(I64, i % extent) for i in range(nest.lanes)]
            )
            first = splat(b, b.udiv(base, divisor), nest.lanes)
            return Lanes(b.add(first, rows)), Lanes(columns)
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
