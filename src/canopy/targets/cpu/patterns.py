"""Strips whose lanes stand at known distances: lane i holds base + offsets[i].

They come from short axes, several of which one strip covers (the 2x2x2... tiles of `tl.sort`, the
halves of `tl.join`), and from flipped ones. Scratch memory is then read as one window, shuffled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import llvmlite.ir as ll

from canopy.targets.cpu import conversions, memory
from canopy.targets.cpu.forms import Affine, Form, Pattern, Uniform
from canopy.targets.cpu.llvm import I32, I64, Builder, LLValue, constant

if TYPE_CHECKING:
    from canopy.targets.cpu.buffers import Buffer
    from canopy.targets.cpu.nest import Nest

__all__ = ["SLACK_BYTES", "parts_of", "pattern", "plus", "read_window", "short_axes"]

# A window may end behind the tile that it reads, by less than its own size.
SLACK_BYTES = 1024


def pattern(builder: Builder, base: LLValue, offsets: tuple[int, ...]) -> Form:
    """The simplest form for lanes at base + offsets[i]; ``base`` is an integer of any width."""
    first = offsets[0]
    step = offsets[1] - first if len(offsets) > 1 else 0
    if any(offset != first + i * step for i, offset in enumerate(offsets)):
        return Pattern(base, offsets)
    start = plus(builder, base, constant(base.type, first))
    return Affine(start, step) if step else Uniform(start)


def parts_of(form: Form, lanes: int) -> tuple[LLValue, tuple[int, ...]] | None:
    """The base and the offsets of a form that has known ones."""
    match form:
        case Uniform(value=value):
            return value, (0,) * lanes
        case Affine(base=base, step=step):
            return base, tuple(i * step for i in range(lanes))
        case Pattern(base=base, offsets=offsets):
            return base, offsets
        case _:
            return None


def plus(builder: Builder, left: LLValue, right: LLValue) -> LLValue:
    """left + right, which stays a constant where both are."""
    for one, other in ((left, right), (right, left)):
        if isinstance(one, ll.Constant) and one.constant == 0:
            return other
    if isinstance(left, ll.Constant) and isinstance(right, ll.Constant):
        return constant(left.type, left.constant + right.constant)
    return builder.add(left, right)


def short_axes(nest: Nest, shape: tuple[int, ...], base: LLValue) -> list[Form] | None:
    """The indices under ``shape`` of a strip at ``base`` + 0, 1, 2, .. of a row-major tile.

    For extents that are powers of two; a strip starts at a multiple of its lanes.
    """
    if any(extent & (extent - 1) for extent in shape):
        return None
    b, lanes = nest.builder, nest.lanes
    forms: list[Form] = []
    stride = 1
    for extent in reversed(shape):
        period = stride * extent
        inside = tuple(i // stride % extent for i in range(lanes))
        if period <= lanes:
            start = constant(I64, 0)
        else:
            rest = base if stride == 1 else b.udiv(base, constant(I64, stride))
            start = b.urem(rest, constant(I64, extent))
        forms.append(pattern(b, start, inside))
        stride = period
    return forms[::-1]


def read_window(nest: Nest, buffer: Buffer, place: Form) -> LLValue | None:
    """Lanes of a kept tile that lie close together: one load and one shuffle."""
    parts = parts_of(place, nest.lanes)
    if parts is None:
        return None
    b, element, (base, offsets) = nest.builder, buffer.element, parts
    first = min(offsets)
    span = max(offsets) - first + 1
    width = 1 << (span - 1).bit_length()
    if width > 2 * nest.lanes or width * element.bytes > SLACK_BYTES:
        return None
    start = plus(b, base, constant(I64, first))
    pointer = b.gep(buffer.address, [start], source_etype=conversions.memory_type(element))
    window = memory.load_contiguous(b, pointer, element, width)
    order = [ll.Constant(I32, offset - first) for offset in offsets]
    mask = ll.Constant(ll.VectorType(I32, nest.lanes), order)
    return b.shuffle_vector(window, ll.Constant(window.type, ll.Undefined), mask)
