"""Reader rule: ``tl.dot_scaled``, a dot of operands in microscaled formats.

In:   ``tt.dot_scaled %a scale %s, %b, %acc lhs = e2m1 rhs = bf16 {fastMath = false} : ..``
Out:  the operands unpacked, converted, and multiplied by their scales, then an ordinary dot

As Triton defines it where the hardware has no such instruction: operands and scales are converted
to f16 if one of the operands is f16, else to bf16, and the scaled values are rounded to that type.
A scale is a power of two in 8 bits (e8m0; 0xFF is NaN), or e4m3, and serves the K / extent elements
that follow each other along K.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from canopy.frontends.triton.rules import reads
from canopy.ir import (
    Add,
    And,
    Bitcast,
    Broadcast,
    Cast,
    Compare,
    Dot,
    ExpandDims,
    Join,
    Mul,
    Or,
    Reshape,
    Select,
    ShiftLeft,
    ShiftRight,
    Transpose,
    Value,
)
from canopy.ir.types import BF16, F16, F32, U8, U16, U32, ScalarType, is_float, with_element

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__: list[str] = []

_OPERAND = re.compile(r"%([\w$.\-]+(?:#\d+)?)(?: scale %([\w$.\-]+(?:#\d+)?))?")
_FORMATS = re.compile(r"lhs = (\w+) rhs = (\w+)")
_MANTISSA_BITS = {BF16: 7, F16: 10, F32: 23}
_BIAS = {BF16: 127, F16: 15}
_NAN_SCALE = 0xFF


@reads("tt.dot_scaled")
def _dot_scaled(reader: Reader, op: Operation) -> Value:
    (lhs, lhs_scale), (rhs, rhs_scale), (acc, _) = (
        (reader.known[name], reader.known[scale] if scale else None)
        for name, scale in _OPERAND.findall(op.body)
    )
    formats = _FORMATS.search(op.body)
    assert formats, op.body
    work = F16 if "fp16" in formats.groups() else BF16
    fast = op.flag("fastMath")
    lhs_axis = -1 if op.attributes.get("lhs_k_pack", "true") == "true" else -2
    rhs_axis = -2 if op.attributes.get("rhs_k_pack", "true") == "true" else -1
    lhs = _widened(reader, lhs, formats[1], work, lhs_axis)
    rhs = _widened(reader, rhs, formats[2], work, rhs_axis)
    if lhs_scale is not None:
        lhs = _scaled(reader, lhs, lhs_scale, work, -1, fast)
    if rhs_scale is not None:
        turned = _swapped(reader, rhs_scale, -2, -1)  # scales stand as [N, K / factor]
        rhs = _scaled(reader, rhs, turned, work, -2, fast)
    return reader.add(Dot, lhs=lhs, rhs=rhs, acc=acc)


def _widened(reader: Reader, value: Value, format_: str, work: ScalarType, axis: int) -> Value:
    """An operand in the type ``work``; e2m1 comes as pairs in bytes along ``axis``."""
    if format_ == "e2m1":
        return _e2m1_to_float(reader, _unpacked(reader, reader.as_unsigned(value), axis), work)
    return _cast(reader, value, work)


def _unpacked(reader: Reader, pairs: Value, axis: int) -> Value:
    """The two halves of each byte, the lower one first, as neighbours along ``axis``."""
    low = reader.add(And, lhs=pairs, rhs=reader.constant(0xF, pairs.type))
    high = reader.add(ShiftRight, lhs=pairs, rhs=reader.constant(4, pairs.type))
    joined = reader.add(Join, lhs=low, rhs=high)
    if axis != -1:
        joined = _swapped(reader, joined, -2, -1)
    shape = list(pairs.shape)
    shape[axis] *= 2
    return reader.add(Reshape, source=joined, shape=tuple(shape))


def _e2m1_to_float(reader: Reader, codes: Value, work: ScalarType) -> Value:
    """Sign, 2 bits of exponent with bias 1, 1 of mantissa: 0 0.5 1 1.5 2 3 4 6."""
    codes = _cast(reader, codes, U16)

    def number(content: int) -> Value:
        return reader.constant(content, codes.type)

    mantissa = _MANTISSA_BITS[work]
    size = reader.add(And, lhs=codes, rhs=number(7))
    sign = reader.add(And, lhs=codes, rhs=number(8))
    placed = reader.add(ShiftLeft, lhs=size, rhs=number(mantissa - 1))
    normal = reader.add(Add, lhs=placed, rhs=number((_BIAS[work] - 1) << mantissa))
    is_small = reader.add(Compare, predicate="lt", lhs=size, rhs=number(2))
    is_half = reader.add(Compare, predicate="eq", lhs=size, rhs=number(1))
    half = number((_BIAS[work] - 1) << mantissa)
    small = reader.add(Select, condition=is_half, if_true=half, if_false=number(0))
    magnitude = reader.add(Select, condition=is_small, if_true=small, if_false=normal)
    negative = reader.add(ShiftLeft, lhs=sign, rhs=number(12))
    bits = reader.add(Or, lhs=magnitude, rhs=negative)
    return reader.add(Bitcast, source=bits, type=work)


def _scaled(
    reader: Reader, value: Value, scale: Value, work: ScalarType, axis: int, fast: bool
) -> Value:
    """``value`` times its scales, which stand along ``axis``, each for several elements."""
    factor = _repeated(reader, _scale_to_float(reader, scale, work), axis, value)
    product = reader.add(Mul, lhs=value, rhs=factor)
    if fast or is_float(scale.type):
        return product
    marks = _repeated(reader, reader.as_unsigned(scale), axis, value)
    is_nan = reader.add(
        Compare, predicate="eq", lhs=marks, rhs=reader.constant(_NAN_SCALE, marks.type)
    )
    nan = reader.constant(float("nan"), product.type)
    return reader.add(Select, condition=is_nan, if_true=nan, if_false=product)


def _scale_to_float(reader: Reader, scale: Value, work: ScalarType) -> Value:
    """e8m0 is the exponent of a bf16 or f32; other formats convert."""
    if is_float(scale.type):
        return _cast(reader, scale, work)
    wide, bits = (BF16, U16) if work == BF16 else (F32, U32)
    exponent = _cast(reader, reader.add(Bitcast, source=scale, type=U8), bits)
    shift = reader.constant(_MANTISSA_BITS[wide], with_element(scale.type, bits))
    placed = reader.add(ShiftLeft, lhs=exponent, rhs=shift)
    return _cast(reader, reader.add(Bitcast, source=placed, type=wide), work)


def _repeated(reader: Reader, scale: Value, axis: int, like: Value) -> Value:
    """Each element as many times along ``axis`` as the shape of ``like`` asks."""
    at = len(scale.shape) + axis
    times = like.shape[at] // scale.shape[at]
    if times == 1:
        return scale
    shape = (*scale.shape[: at + 1], times, *scale.shape[at + 1 :])
    split = reader.add(ExpandDims, source=scale, axis=at + 1)
    spread = reader.add(Broadcast, source=split, shape=shape)
    return reader.add(Reshape, source=spread, shape=like.shape)


def _swapped(reader: Reader, value: Value, first: int, second: int) -> Value:
    order = list(range(len(value.shape)))
    order[first], order[second] = order[second], order[first]
    return reader.add(Transpose, source=value, order=tuple(order))


def _cast(reader: Reader, value: Value, wanted: ScalarType) -> Value:
    if value.type == with_element(value.type, wanted):
        return value
    return reader.add(Cast, source=value, type=wanted)
