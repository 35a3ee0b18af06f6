"""Elementwise ops of the IR as calls of the vector unit.

The unit computes in f16, f32, i16 and i32. bf16 goes through f32, 8-bit integers through i32, bools
are bytes 0 and 1 that become bits where a select or a logical op wants them. int64 and what has no
call raise AwkwardError: the scalar unit does it. Intermediates have buffers of their own: the
target may be one of the sources, and is written last.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeAlias

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.ir.interpreter.numeric import from_python
from canopy.ir.types import (
    BF16,
    BOOL,
    F16,
    F32,
    I8,
    I16,
    I32,
    I64,
    U8,
    U16,
    U32,
    ElementType,
    PointerType,
    ScalarType,
    element_type,
)
from canopy.targets.ascend.npu import Assign, Branch, View
from canopy.targets.ascend.scalars import Number, Poly, Scalar
from canopy.targets.ascend.unit import AwkwardError, Unit, is_dense, retyped

__all__ = ["Operand", "cast", "elementwise", "halves", "scalar_cast"]

Operand: TypeAlias = View | Scalar

_NATIVE = (F16, F32, I32)
_LN2 = math.log(2.0)


def elementwise(u: Unit, op: ir.Op, target: View, sources: Sequence[Operand]) -> None:
    """target = op(sources), lane by lane."""
    if not any(isinstance(source, View) for source in sources):
        _uniform(u, op, target, sources)
        return
    match op:
        case ir.Cast():
            _cast_into(u, target, _view(sources[0]), op.rounding)
        case ir.Bitcast():
            u.e.move(u, target, retyped(_view(sources[0]), target.type))
        case ir.Compare():
            _compare(u, op, target, sources)
        case ir.Select():
            _select(u, target, sources)
        case ir.MathCall():
            _math(u, op, target, sources)
        case ir.Fma():
            _fma(u, element_type(op.a.type), target, sources)
        case ir.Clamp():
            _clamp(u, op, target, sources)
        case ir.Min() | ir.Max() if op.propagate_nan and _is_float(target.type):
            _extreme_or_nan(u, type(op), target, sources)
        case ir.Binary():
            _binary(u, type(op), element_type(op.lhs.type), target, *sources)
        case _:
            raise AwkwardError


def _fma(u: Unit, kind: ElementType, target: View, sources: Sequence[Operand]) -> None:
    """Narrow floats are multiplied exactly in f32; f32 itself rounds the product, too."""
    wide = F32 if kind in (F16, BF16) else kind
    assert isinstance(wide, ScalarType)
    if wide != kind:
        sources = [cast(u, source, wide) for source in sources]
    product = u.temporary(target.shape, wide)
    found = target if wide == kind else u.temporary(target.shape, wide)
    _binary(u, ir.Mul, wide, product, sources[0], sources[1])
    _binary(u, ir.Add, wide, found, product, sources[2])
    if found is not target:
        _cast_into(u, target, found)


def _clamp(u: Unit, op: ir.Clamp, target: View, sources: Sequence[Operand]) -> None:
    kind = element_type(op.source.type)
    low = u.temporary(target.shape, target.type)
    extreme = _extreme_or_nan if op.propagate_nan and _is_float(kind) else _extreme
    extreme(u, ir.Max, low, sources[:2])
    extreme(u, ir.Min, target, (low, sources[2]))


def _is_float(type_: ElementType) -> bool:
    return isinstance(type_, ScalarType) and type_.kind == "float"


def _extreme(u: Unit, kind: type[ir.Op], target: View, sources: Sequence[Operand]) -> None:
    _binary(u, kind, target.type, target, *sources)


def _extreme_or_nan(u: Unit, kind: type[ir.Op], target: View, sources: Sequence[Operand]) -> None:
    """The unit prefers numbers: lanes in which an operand is NaN take that operand."""
    found = u.temporary(target.shape, target.type)
    _extreme(u, kind, found, sources)
    for source in sources:
        if isinstance(source, Number) and not math.isnan(source.value):
            continue
        lanes = _lanes(u, source, target)
        kept = u.temporary(target.shape, target.type)
        select_by_bits(u, kept, _compared(u, "eq", lanes, lanes), found, lanes)
        found = kept
    u.e.move(u, target, found)


def _view(operand: Operand) -> View:
    assert isinstance(operand, View)
    return operand


def _uniform(u: Unit, op: ir.Op, target: View, sources: Sequence[Operand]) -> None:
    """All lanes are one number: the scalar unit computes it."""
    register = u.e.register(target.type)
    scalars = tuple(source for source in sources if not isinstance(source, View))
    u.e.append(Assign(target=register, op=op, sources=scalars, location=u.location))
    u.e.move(u, target, register)


# ---- scalars


def scalar_cast(u: Unit, scalar: Scalar, to: ScalarType) -> Scalar:
    if scalar.type == to:
        return scalar
    if isinstance(scalar, Number):
        exact = from_python(scalar.value, scalar.type).item()
        return Number(exact, to)
    register = u.e.register(to)
    op = ir.Cast(source=ir.Value(scalar.type), type=to)
    u.e.append(Assign(target=register, op=op, sources=(scalar,), location=u.location))
    return register


def _negated(u: Unit, scalar: Scalar) -> Scalar:
    if isinstance(scalar, Number):
        return Number(-scalar.value, scalar.type)
    register = u.e.register(scalar.type)
    value = ir.Value(scalar.type)
    op = ir.MathCall(function="neg", arguments=(value,))
    u.e.append(Assign(target=register, op=op, sources=(scalar,), location=u.location))
    return register


def _signed(scalar: Scalar, type_: ElementType) -> Scalar:
    """A number of an unsigned type as the signed one with its bits."""
    if not isinstance(scalar, Number):
        return replace(scalar, type=type_)
    bits = type_.bits
    value = int(scalar.value) & ((1 << bits) - 1)
    return Number(value - (1 << bits) if value >> (bits - 1) else value, type_)


# ---- conversions


def cast(u: Unit, source: Operand, to: ScalarType, rounding: str = "rtne") -> Operand:
    """An operand converted, as a temporary."""
    if not isinstance(source, View):
        return scalar_cast(u, source, to)
    if source.type == to:
        return source
    target = u.temporary(source.shape, to)
    _cast_into(u, target, source, rounding)
    return target


def _step(u: Unit, source: View, to: ScalarType, mode: str) -> View:
    target = u.temporary(source.shape, to)
    u.call("Cast", target, [source], mode=mode)
    return target


def _cast_into(u: Unit, target: View, source: View, rounding: str = "rtne") -> None:
    from_, to = source.type, target.type
    if not isinstance(from_, ScalarType) or not isinstance(to, ScalarType):
        raise AwkwardError
    if from_ == to:
        u.e.move(u, target, source)
        return
    if to == BOOL:
        zero = Number(0, from_)
        _store_bits(u, target, _compared(u, "ne", source, zero))
        return
    if from_ == BOOL:
        _cast_into(u, target, _step(u, retyped(source, U8), F16, "CAST_NONE"))
        return
    if from_.kind == "float":
        _from_float(u, target, source, rounding)
    elif to.kind == "float":
        _to_float(u, target, source)
    else:
        _between_integers(u, target, source)


def _from_float(u: Unit, target: View, source: View, rounding: str) -> None:
    from_, to = source.type, target.type
    if to in (F16, BF16, F32):
        if from_ != F32 and to != F32:
            source = _step(u, source, F32, "CAST_NONE")
        exact = to == F32
        mode = "CAST_NONE" if exact else "CAST_TRUNC" if rounding == "rtz" else "CAST_RINT"
        u.call("Cast", target, [source], mode=mode)
    elif to in (I32, I16, I64):
        if from_ != F32:
            source = _step(u, source, F32, "CAST_NONE")
        u.call("Cast", target, [source], mode="CAST_TRUNC")
    elif to in (I8, U8):
        if from_ == BF16:
            source = _step(u, source, F32, "CAST_NONE")
        if source.type == F32:
            source = _step(u, source, F16, "CAST_TRUNC")
        u.call("Cast", target, [source], mode="CAST_TRUNC")
    else:
        raise AwkwardError


def _to_float(u: Unit, target: View, source: View) -> None:
    from_, to = source.type, target.type
    if from_ in (I8, U8):
        source = _step(u, source, F16, "CAST_NONE")
    elif from_ in (U16, U32):
        source = _unsigned_to_float(u, source)
    elif from_ in (I16, I32, I64):
        source = _step(u, source, F32, "CAST_NONE" if from_ == I16 else "CAST_RINT")
    else:
        raise AwkwardError
    if source.type == to:
        u.e.move(u, target, source)
    else:
        _cast_into(u, target, source)


def _unsigned_to_float(u: Unit, source: View) -> View:
    """Halves of 16 bits are exact in f32; their sum rounds once."""
    wide = cast(u, source, U32)
    assert isinstance(wide, View)
    high = u.temporary(source.shape, U32)
    low = u.temporary(source.shape, U32)
    u.call("ShiftRight", high, [wide], [Number(16, U32)])
    u.call("ShiftLeft", low, [wide], [Number(16, U32)])
    u.call("ShiftRight", low, [low], [Number(16, U32)])
    left = _step(u, retyped(high, I32), F32, "CAST_RINT")
    right = _step(u, retyped(low, I32), F32, "CAST_RINT")
    u.call("Muls", left, [left], [Number(65536.0, F32)])
    u.call("Add", left, [left, right])
    return left


def _between_integers(u: Unit, target: View, source: View) -> None:
    from_, to = source.type, target.type
    if from_ == I32 and to == I64:
        u.call("Cast", target, [source], mode="CAST_NONE")
        return
    if max(from_.bits, to.bits) > 32:
        raise AwkwardError
    if from_.bits == to.bits:
        u.e.move(u, target, retyped(source, to))
        return
    wide = _as_i32(u, source)
    if to.bits == 32:
        u.e.move(u, target, retyped(wide, to))
        return
    _narrow(u, target, wide)


def _as_i32(u: Unit, source: View) -> View:
    """An integer of up to 32 bits, extended by its signedness."""
    kind = source.type
    if kind.bits == 32:
        return retyped(source, I32)
    if kind in (I8, U8, BOOL):
        bytes_ = retyped(source, U8) if kind == BOOL else source
        return _step(u, _step(u, bytes_, F16, "CAST_NONE"), I32, "CAST_RINT")
    wide = _step(u, _step(u, retyped(source, I16), F32, "CAST_NONE"), I32, "CAST_RINT")
    if kind == U16:
        u.call("ShiftLeft", retyped(wide, U32), [retyped(wide, U32)], [Number(16, U32)])
        u.call("ShiftRight", retyped(wide, U32), [retyped(wide, U32)], [Number(16, U32)])
    return wide


def _narrow(u: Unit, target: View, wide: View) -> None:
    """The low bits of an i32: shifted up, and back by the signedness of the target."""
    to = target.type
    unused = 32 - to.bits
    is_byte_unsigned = to == U8
    kind = U32 if is_byte_unsigned else I32
    kept = u.temporary(wide.shape, I32)
    u.call("ShiftLeft", retyped(kept, kind), [retyped(wide, kind)], [Number(unused, kind)])
    u.call("ShiftRight", retyped(kept, kind), [retyped(kept, kind)], [Number(unused, kind)])
    if to.bits == 16:
        u.call("Cast", retyped(target, I16), [kept], mode="CAST_RINT")
        return
    short = _step(u, _step(u, kept, F32, "CAST_RINT"), F16, "CAST_RINT")
    u.call("Cast", target, [short], mode="CAST_RINT")


# ---- arithmetic


def _binary(
    u: Unit, kind: type[ir.Op], type_: ElementType, target: View, left: Operand, right: Operand
) -> None:
    if isinstance(type_, PointerType) or type_.bits > 32:
        raise AwkwardError
    if not isinstance(left, View) and not isinstance(right, View):
        left = _lanes(u, left, target)
    if kind in (ir.And, ir.Or, ir.Xor):
        _bitwise(u, kind, type_, target, left, right)
    elif kind in (ir.ShiftLeft, ir.ShiftRight):
        _shift(u, kind, type_, target, left, right)
    elif type_ in (BF16, BOOL) or type_.bits == 8:
        _through(u, kind, F32 if type_ == BF16 else I32, target, left, right)
    elif type_ in (U16, U32) and kind in (ir.Max, ir.Min):
        raise AwkwardError  # no unsigned order
    elif kind in (ir.Div, ir.Rem) and type_.kind != "float":
        _divide(u, kind, type_, target, left, right)
    elif kind is ir.Rem:
        u.call("Fmod", target, [_lanes(u, left, target), _lanes(u, right, target)])
    elif kind in _NAMES:
        signed = {U16: I16, U32: I32}.get(type_, type_)
        assert isinstance(signed, ScalarType)
        left, right = (_as(x, signed) for x in (left, right))
        _arithmetic(u, _NAMES[kind], retyped(target, signed), left, right)
    else:
        raise AwkwardError


_NAMES: dict[type[ir.Op], str] = {
    ir.Add: "Add",
    ir.Sub: "Sub",
    ir.Mul: "Mul",
    ir.Div: "Div",
    ir.Max: "Max",
    ir.Min: "Min",
}


def _as(operand: Operand, type_: ScalarType) -> Operand:
    if operand.type == type_:
        return operand
    return retyped(operand, type_) if isinstance(operand, View) else _signed(operand, type_)


def _through(
    u: Unit, kind: type[ir.Op], wide: ScalarType, target: View, left: Operand, right: Operand
) -> None:
    """Computed in a wider type."""
    found = u.temporary(target.shape, wide)
    _binary(u, kind, wide, found, cast(u, left, wide), cast(u, right, wide))
    _cast_into(u, target, found)


def _lanes(u: Unit, operand: Operand, like: View) -> View:
    """A scalar in all lanes of a temporary; a view as it is."""
    if isinstance(operand, View):
        return operand
    target = u.temporary(like.shape, operand.type)
    u.e.move(u, target, operand)
    return target


def _arithmetic(u: Unit, name: str, target: View, left: Operand, right: Operand) -> None:
    if isinstance(left, View) and isinstance(right, View):
        u.call(name, target, [left, right])
        return
    if name == "Sub" and isinstance(left, View):
        assert not isinstance(right, View)
        u.call("Adds", target, [left], [_negated(u, right)])
    elif name == "Sub":
        assert isinstance(right, View)
        assert not isinstance(left, View)
        minus = u.temporary(target.shape, target.type)
        u.call("Muls", minus, [right], [Number(-1, right.type)])
        u.call("Adds", target, [minus], [left])
    elif name == "Div":
        _quotient(u, target, left, right)
    else:
        view, scalar = (left, right) if isinstance(left, View) else (right, left)
        assert not isinstance(scalar, View)
        u.call(f"{name}s", target, [_view(view)], [scalar])


def _quotient(u: Unit, target: View, left: Operand, right: Operand) -> None:
    """By a number whose inverse is exact: times the inverse. Else a block of it divides."""
    if isinstance(right, Number) and _has_inverse(right.value, target.type):
        u.call("Muls", target, [_view(left)], [Number(1.0 / right.value, right.type)])
        return
    u.call("Div", target, [_block(u, left, target), _block(u, right, target)])


def _has_inverse(value: float, type_: ElementType) -> bool:
    """Whether a number is a power of two, and it and its inverse are normal."""
    mantissa, exponent = math.frexp(abs(value))
    return mantissa == 0.5 and abs(exponent - 1) <= (14 if type_ == F16 else 126)


def _block(u: Unit, operand: Operand, like: View) -> View:
    """A scalar as one block that all lanes read; a view as it is."""
    if isinstance(operand, View):
        return operand
    one = u.temporary((1,), operand.type)
    u.run("Duplicate", one, scalars=[operand])
    return View(one.buffer, like.shape, (0,) * len(like.shape))


def _divide(
    u: Unit, kind: type[ir.Op], type_: ScalarType, target: View, left: Operand, right: Operand
) -> None:
    """Of integers by a power of two: shifts. The rest is the scalar unit's."""
    divisor = right.value if isinstance(right, Number) else 0
    power = int(divisor).bit_length() - 1
    if type_ not in (I32, U32) or divisor <= 0 or divisor != 1 << power or power > 30:
        raise AwkwardError
    source = _view(left)
    quotient = u.temporary(target.shape, type_)
    if power == 0:
        u.e.move(u, quotient, source)
    elif type_ == U32:
        u.call("ShiftRight", quotient, [source], [Number(power, U32)])
    else:  # toward zero: negative numbers get divisor - 1 first
        u.call("ShiftRight", quotient, [source], [Number(31, I32)])
        bias = retyped(quotient, U32)
        u.call("ShiftRight", bias, [bias], [Number(32 - power, U32)])
        u.call("Add", quotient, [quotient, source])
        u.call("ShiftRight", quotient, [quotient], [Number(power, I32)])
    if kind is ir.Div:
        u.e.move(u, target, quotient)
        return
    u.call("ShiftLeft", quotient, [quotient], [Number(power, type_)])
    signed = retyped(quotient, I32)
    u.call("Sub", retyped(target, I32), [retyped(source, I32), signed])


def _shift(
    u: Unit, kind: type[ir.Op], type_: ScalarType, target: View, left: Operand, right: Operand
) -> None:
    if type_.bits == 8:
        raise AwkwardError
    if not isinstance(right, Number) or not 0 <= int(right.value) < type_.bits:
        raise AwkwardError
    name = "ShiftLeft" if kind is ir.ShiftLeft else "ShiftRight"
    u.call(name, target, [_view(left)], [right])


# ---- bits


def halves(view: View) -> View:
    """Dense lanes of 1, 4 or 8 bytes as i16."""
    lanes = math.prod(view.shape) * view.type.bytes
    if lanes % 2:
        raise AwkwardError
    offset = view.offset.scaled(view.type.bytes)
    if any(factor % 2 for _, factor in offset.terms):
        raise AwkwardError
    halved = Poly(tuple((monomial, factor // 2) for monomial, factor in offset.terms))
    buffer = replace(view.buffer, type=I16, lanes=view.buffer.bytes // 2)
    return View(buffer, (lanes // 2,), (1,), halved)


def _bitwise(
    u: Unit,
    kind: type[ir.Op],
    type_: ScalarType,
    target: View,
    left: Operand,
    right: Operand,
) -> None:
    """On 16-bit lanes, whatever the type."""
    both = [halves(u.dense(_lanes(u, x, target))) for x in (left, right)]
    result = u.temporary(target.shape, target.type)
    found = halves(result)
    if kind is ir.Xor:
        _exclusive(u, found, both)
    else:
        u.run("And" if kind is ir.And else "Or", found, both)
    u.e.move(u, target, result)


def _exclusive(u: Unit, target: View, both: Sequence[View]) -> None:
    """(a | b) & ~(a & b)"""
    common = u.temporary(target.shape, I16)
    u.run("And", common, both)
    u.run("Not", common, [common])
    u.run("Or", target, both)
    u.run("And", target, [target, common])


# ---- comparisons and selections

_MODES = {"eq": "EQ", "ne": "NE", "lt": "LT", "le": "LE", "gt": "GT", "ge": "GE"}
_SWAPPED = {"eq": "eq", "ne": "ne", "lt": "gt", "le": "ge", "gt": "lt", "ge": "le"}
_INVERSE = {"lt": "ge", "le": "gt", "gt": "le", "ge": "lt"}


def _compare(u: Unit, op: ir.Compare, target: View, sources: Sequence[Operand]) -> None:
    _store_bits(u, target, compared_bits(u, op, sources))


def compared_bits(u: Unit, op: ir.Compare, sources: Sequence[Operand]) -> View:
    """The answer as a bit per lane, in order of the lanes."""
    left, right = sources
    kind = element_type(op.lhs.type)
    is_float = isinstance(kind, ScalarType) and kind.kind == "float"
    if is_float and op.unordered != (op.predicate == "ne"):
        if op.predicate not in _INVERSE:
            raise AwkwardError
        bits = _compared(u, _INVERSE[op.predicate], left, right)
        _invert(u, bits)
        return bits
    return _compared(u, op.predicate, left, right)


def _compared(u: Unit, predicate: str, left: Operand, right: Operand) -> View:
    if not isinstance(left, View):
        predicate, left, right = _SWAPPED[predicate], right, left
    assert isinstance(left, View)
    kind = left.type
    if isinstance(kind, PointerType) or kind.bits > 32:
        raise AwkwardError
    if kind in (BF16, I16):
        return _compared(u, predicate, _view(cast(u, left, F32)), cast(u, right, F32))
    if kind in (I8, U8, BOOL):
        return _compared(u, predicate, _view(cast(u, left, F16)), cast(u, right, F16))
    if kind == U16:
        return _compared(u, predicate, _view(cast(u, left, I32)), cast(u, right, I32))
    if kind == U32:
        return _compared(u, predicate, *(_ordered(u, x, left) for x in (left, right)))
    if kind == I32:
        return _compared_integers(u, predicate, left, right)
    return _bits_of_call(u, _MODES[predicate], left, right)


def _ordered(u: Unit, operand: Operand, like: View) -> View:
    """An u32 as the i32 that has its place in the order."""
    view = retyped(_lanes(u, operand, like), I32)
    moved = u.temporary(view.shape, I32)
    u.call("Adds", moved, [view], [Number(-(1 << 31), I32)])
    return moved


def _compared_integers(u: Unit, predicate: str, left: View, right: Operand) -> View:
    """The unit compares i32 for equality alone: a >= b is max(a, b) == a."""
    if predicate in ("eq", "ne"):
        bits = _bits_of_call(u, "EQ", left, right)
    else:
        name = "Max" if predicate in ("ge", "lt") else "Min"
        extreme = u.temporary(left.shape, I32)
        _arithmetic(u, name, extreme, left, right)
        bits = _bits_of_call(u, "EQ", extreme, left)
    if predicate in ("ne", "lt", "gt"):
        _invert(u, bits)
    return bits


def _bits_of_call(u: Unit, mode: str, left: View, right: Operand) -> View:
    """Whole repeats are compared: what lies behind the lanes in their buffer gives bits, too."""
    per_repeat = u.e.chip.repeat_bytes // left.type.bytes
    lanes = -(-math.prod(left.shape) // per_repeat) * per_repeat
    bits = u.bits(lanes)
    left = u.padded(left, lanes)
    if isinstance(right, View):
        u.run("Compare", bits, [left, u.padded(right, lanes)], mode=mode, lanes=lanes)
    else:
        u.run("CompareScalar", bits, [left], [right], mode, lanes)
    return bits


def _invert(u: Unit, bits: View) -> None:
    words = View(replace(bits.buffer, type=U16, lanes=-(-bits.buffer.lanes // 2)), (1,), (1,))
    u.run("Not", words, [words], lanes=words.buffer.lanes)


def _store_bits(u: Unit, target: View, bits: View) -> None:
    """Bits as bytes 0 and 1."""
    ones = u.temporary(target.shape, F16)
    u.run("Duplicate", ones, scalars=[Number(1.0, F16)])
    u.run("SelectScalar", ones, [bits, ones], [Number(0.0, F16)])
    u.call("Cast", retyped(target, U8), [ones], mode="CAST_RINT")


def bits_of(u: Unit, condition: View) -> View:
    """Bytes 0 and 1 as bits."""
    short = u.temporary(condition.shape, F16)
    u.call("Cast", short, [retyped(condition, U8)], mode="CAST_NONE")
    return _bits_of_call(u, "NE", short, Number(0.0, F16))


def _select(u: Unit, target: View, sources: Sequence[Operand]) -> None:
    condition, if_true, if_false = sources
    if not isinstance(condition, View):
        _choose(u, target, condition, if_true, if_false)
        return
    select_by_bits(u, target, bits_of(u, condition), if_true, if_false)


def select_by_bits(u: Unit, target: View, bits: View, if_true: Operand, if_false: Operand) -> None:
    """target = a lane of ``if_true`` where its bit is set."""
    if target.type.bytes == 1:
        found = u.temporary(target.shape, F16)
        pair = [cast(u, _byte(x), F16) for x in (if_true, if_false)]
        select_by_bits(u, found, bits, pair[0], pair[1])
        u.call("Cast", _byte_view(target), [found], mode="CAST_RINT")
        return
    if target.type.bytes == 8:
        raise AwkwardError
    data = F32 if target.type.bytes == 4 else F16
    found = target if is_dense(target) else u.temporary(target.shape, target.type)
    if not isinstance(if_true, View) and isinstance(if_false, View) and if_true.type in (F16, F32):
        _invert(u, bits)
        if_true, if_false = if_false, if_true
    first = retyped(u.dense(_lanes(u, if_true, target)), data)
    if not isinstance(if_false, View) and if_false.type in (F16, F32):
        u.run("SelectScalar", retyped(found, data), [bits, first], [if_false])
    else:
        second = retyped(u.dense(_lanes(u, if_false, target)), data)
        u.run("Select", retyped(found, data), [bits, first, second])
    if found is not target:
        u.e.move(u, target, found)


def _byte(operand: Operand) -> Operand:
    return retyped(operand, U8) if isinstance(operand, View) and operand.type == BOOL else operand


def _byte_view(view: View) -> View:
    return retyped(view, U8) if view.type == BOOL else view


def _choose(u: Unit, target: View, condition: Scalar, if_true: Operand, if_false: Operand) -> None:
    """One condition for all lanes: a branch."""
    bodies = []
    for operand in (if_true, if_false):
        with u.e.collecting() as body:
            u.e.move(u, target, operand)
        bodies.append(body)
    u.e.append(
        Branch(condition=condition, then_body=bodies[0], else_body=bodies[1], location=u.location)
    )


# ---- functions

_Emit: TypeAlias = Callable[[Unit, View, View], None]


def _math(u: Unit, op: ir.MathCall, target: View, sources: Sequence[Operand]) -> None:
    kind = element_type(op.arguments[0].type)
    assert isinstance(kind, ScalarType)
    if kind.kind != "float":
        _integer_function(u, op, target, sources)
        return
    if op.function in ir.math.PREDICATES:
        _predicate(u, op, target, _view(sources[0]))
        return
    is_composed = op.function in _SCALED or op.function in _COMPOSED
    if kind == BF16 or (kind == F16 and is_composed):  # f16 would round, and overflow, in between
        found = u.temporary(target.shape, F32)
        wide = [cast(u, source, F32) for source in sources]
        _function(u, op, found, wide)
        _cast_into(u, target, found)
        return
    _function(u, op, target, sources)


def _function(u: Unit, op: ir.MathCall, target: View, sources: Sequence[Operand]) -> None:
    name = op.function
    views = [_lanes(u, source, target) for source in sources]
    if name in _DIRECT:
        u.call(_DIRECT[name], target, views)
    elif name in _ROUNDINGS:
        wide = cast(u, views[0], F32)
        rounded = target if target.type == F32 else u.temporary(target.shape, F32)
        u.call("Cast", rounded, [_view(wide)], mode=_ROUNDINGS[name])
        if rounded is not target:
            _cast_into(u, target, rounded)
    elif name in _SCALED:
        before, call, after = _SCALED[name]
        scaled = u.temporary(target.shape, target.type)
        if before != 1.0:
            u.call("Muls", scaled, [views[0]], [Number(before, target.type)])
            u.call(call, target, [scaled])
        else:
            u.call(call, scaled, [views[0]])
            u.call("Muls", target, [scaled], [Number(after, target.type)])
    elif name in _COMPOSED:
        _COMPOSED[name](u, target, *views)
    else:
        raise UnsupportedError(
            f"the ascend target has no {name}",
            location=op.location,
            hint="compute it with exp, log, sqrt, tanh, erf and the like, or on the cpu target",
        )


_DIRECT = {
    "abs": "Abs",
    "exp": "Exp",
    "log": "Ln",
    "sqrt": "Sqrt",
    "rsqrt": "Rsqrt",
    "tanh": "Tanh",
    "erf": "Erf",
    "erfc": "Erfc",
    "sin": "Sin",
    "cos": "Cos",
    "tan": "Tan",
    "asin": "Asin",
    "acos": "Acos",
    "atan": "Atan",
    "sinh": "Sinh",
    "cosh": "Cosh",
    "asinh": "Asinh",
    "acosh": "Acosh",
    "atanh": "Atanh",
    "lgamma": "Lgamma",
    "pow": "Power",
    "fmod": "Fmod",
}
_ROUNDINGS = {
    "floor": "CAST_FLOOR",
    "ceil": "CAST_CEIL",
    "trunc": "CAST_TRUNC",
    "rint": "CAST_RINT",
    "round": "CAST_ROUND",
}
_SCALED = {
    "exp2": (_LN2, "Exp", 1.0),
    "exp10": (math.log(10.0), "Exp", 1.0),
    "log2": (1.0, "Ln", 1.0 / _LN2),
    "log10": (1.0, "Ln", 1.0 / math.log(10.0)),
}


def _neg(u: Unit, target: View, x: View) -> None:
    u.call("Muls", target, [x], [Number(-1.0, target.type)])


def _sigmoid(u: Unit, target: View, x: View) -> None:
    """1 / (1 + exp(-x))"""
    t = u.temporary(target.shape, target.type)
    u.call("Muls", t, [x], [Number(-1.0, t.type)])
    u.call("Exp", t, [t])
    u.call("Adds", t, [t], [Number(1.0, t.type)])
    u.call("Div", target, [_block(u, Number(1.0, t.type), t), t])


def _log1p(u: Unit, target: View, x: View) -> None:
    """ln(u) * x / (u - 1) with u = 1 + x, and x where u is 1 (Kahan)."""
    one = Number(1.0, target.type)
    plus, log, less = (u.temporary(target.shape, target.type) for _ in range(3))
    u.call("Adds", plus, [x], [one])
    u.call("Ln", log, [plus])
    u.call("Adds", less, [plus], [Number(-1.0, target.type)])
    u.call("Div", less, [_lanes(u, x, target), less])
    u.call("Mul", log, [log, less])
    bits = _bits_of_call(u, "EQ", plus, one)
    select_by_bits(u, log, bits, x, log)
    infinite = _bits_of_call(u, "EQ", plus, Number(math.inf, target.type))
    select_by_bits(u, target, infinite, plus, log)


def _expm1(u: Unit, target: View, x: View) -> None:
    """(u - 1) * x / ln(u) with u = exp(x); x where u is 1, u - 1 where that is -1 or infinite."""
    one = Number(1.0, target.type)
    power, less, log, found = (u.temporary(target.shape, target.type) for _ in range(4))
    u.call("Exp", power, [x])
    u.call("Adds", less, [power], [Number(-1.0, target.type)])
    u.call("Ln", log, [power])
    u.call("Div", found, [_lanes(u, x, target), log])
    u.call("Mul", found, [less, found])
    select_by_bits(u, found, _bits_of_call(u, "EQ", power, one), x, found)
    for end in (-1.0, math.inf):
        bits = _bits_of_call(u, "EQ", less, Number(end, target.type))
        into = found if end < 0 else target
        select_by_bits(u, into, bits, less, found)


_COMPOSED: dict[str, Callable[..., None]] = {
    "neg": _neg,
    "sigmoid": _sigmoid,
    "log1p": _log1p,
    "expm1": _expm1,
}


def _predicate(u: Unit, op: ir.MathCall, target: View, x: View) -> None:
    if x.type == BF16:
        x = _view(cast(u, x, F32))
    infinity = Number(math.inf, x.type)
    if op.function == "isnan":
        bits = _bits_of_call(u, "NE", x, x)
    elif op.function == "signbit":
        raise AwkwardError
    else:
        size = u.temporary(x.shape, x.type)
        u.call("Abs", size, [x])
        bits = _bits_of_call(u, "EQ" if op.function == "isinf" else "LT", size, infinity)
    flags = u.temporary(target.shape, BOOL)
    _store_bits(u, flags, bits)
    _cast_into(u, target, flags)


def _integer_function(u: Unit, op: ir.MathCall, target: View, sources: Sequence[Operand]) -> None:
    kind = element_type(op.arguments[0].type)
    if op.function not in ("abs", "neg") or kind != I32:
        raise AwkwardError
    minus = u.temporary(target.shape, I32)
    u.call("Muls", minus, [_view(sources[0])], [Number(-1, I32)])
    if op.function == "neg":
        u.e.move(u, target, minus)
    else:
        u.call("Max", target, [_view(sources[0]), minus])
