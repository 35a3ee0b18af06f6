"""Elementwise ops on LLVM scalars and vectors: one rule per op.

Values are held as `conversions.llvm_type` says: bool as i1, bf16 as i16, fp8 as i8, pointers as
i64.
Arithmetic on f16, bf16 and fp8 is done in f32 and rounded back.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import llvmlite.ir as ll

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.ir.math import PREDICATES
from canopy.ir.types import (
    BF16,
    F8E4M3,
    F8E5M2,
    F16,
    F64,
    ElementType,
    PointerType,
    ScalarType,
    element_type,
    is_float,
    is_integer,
    is_signed,
)
from canopy.targets.cpu import conversions
from canopy.targets.cpu.llvm import I64, Builder, LLValue, call_intrinsic, constant, lanes_of, splat
from canopy.targets.cpu.math_functions import emit_math
from canopy.targets.cpu.math_functions.lanes import Lanes

__all__ = ["emit_elementwise"]

OpT = TypeVar("OpT", bound=ir.Op)
Rule = Callable[[Builder, Any, list[LLValue]], LLValue]
RULES: dict[type[ir.Op], Rule] = {}


def _rule(*kinds: type[ir.Op]) -> Callable[[Rule], Rule]:
    def register(function: Rule) -> Rule:
        for kind in kinds:
            assert kind not in RULES, f"a second rule for {kind.__name__}"
            RULES[kind] = function
        return function

    return register


def emit_elementwise(builder: Builder, op: ir.Op, operands: list[LLValue]) -> LLValue:
    """Emits one elementwise op; operands are all scalars or all vectors of one length."""
    rule = RULES.get(type(op))
    if rule is None:
        raise UnsupportedError(
            f"the cpu target cannot compute {op.mnemonic()} yet", location=op.location
        )
    return rule(builder, op, operands)


def _is_small_float(element: ElementType) -> bool:
    return isinstance(element, ScalarType) and element.kind == "float" and element.bits < 32


def _in_f32(
    builder: Builder,
    element: ElementType,
    operands: list[LLValue],
    compute: Callable[[list[LLValue]], LLValue],
) -> LLValue:
    """Runs ``compute`` in f32 where ``element`` is a small float, and rounds back."""
    if not _is_small_float(element):
        return compute(operands)
    assert isinstance(element, ScalarType)
    wide = compute([conversions.to_float(builder, v, element) for v in operands])
    return conversions.from_float(builder, wide, element, "rtne")


_FLOAT_BINARY = {ir.Add: "fadd", ir.Sub: "fsub", ir.Mul: "fmul", ir.Div: "fdiv"}
_INT_BINARY = {
    ir.Add: "add",
    ir.Sub: "sub",
    ir.Mul: "mul",
    ir.And: "and_",
    ir.Or: "or_",
    ir.Xor: "xor",
}


@_rule(ir.Add, ir.Sub, ir.Mul, ir.And, ir.Or, ir.Xor)
def _simple(builder: Builder, op: ir.Binary, operands: list[LLValue]) -> LLValue:
    element = element_type(op.lhs.type)
    if is_float(element):
        name = _FLOAT_BINARY[type(op)]
        return _in_f32(builder, element, operands, lambda v: getattr(builder, name)(*v))
    return getattr(builder, _INT_BINARY[type(op)])(*operands)


@_rule(ir.Div)
def _div(builder: Builder, op: ir.Div, operands: list[LLValue]) -> LLValue:
    element = element_type(op.lhs.type)
    if is_float(element):
        return _in_f32(builder, element, operands, lambda v: builder.fdiv(*v))
    return _guarded_division(builder, operands, is_signed(element), quotient=True)


@_rule(ir.Rem)
def _rem(builder: Builder, op: ir.Rem, operands: list[LLValue]) -> LLValue:
    element = element_type(op.lhs.type)
    if is_float(element):
        return _in_f32(builder, element, operands, lambda v: emit_math(builder, "fmod", v))
    return _guarded_division(builder, operands, is_signed(element), quotient=False)


def _guarded_division(
    builder: Builder, operands: list[LLValue], signed: bool, *, quotient: bool
) -> LLValue:
    """Integer division that never traps: x / 0 is -1, x % 0 is x, the most negative / -1 wraps."""
    lhs, rhs = operands
    type_ = rhs.type
    zero, one, ones = constant(type_, 0), constant(type_, 1), constant(type_, -1)
    if isinstance(rhs, ll.Constant) and _is_safe_divisor(rhs):
        name = ("sdiv" if quotient else "srem") if signed else ("udiv" if quotient else "urem")
        return getattr(builder, name)(lhs, rhs)
    by_zero = builder.icmp_unsigned("==", rhs, zero)
    unsafe = by_zero
    if signed:
        by_minus_one = builder.icmp_unsigned("==", rhs, ones)
        unsafe = builder.or_(by_zero, by_minus_one)
    divisor = builder.select(unsafe, one, rhs)
    result = _truncated_quotient(builder, lhs, divisor, signed)
    if quotient:
        if signed:
            result = builder.select(by_minus_one, builder.sub(zero, lhs), result)
        return builder.select(by_zero, ones, result)
    result = builder.sub(lhs, builder.mul(result, divisor))
    return builder.select(by_zero, lhs, result)


def _truncated_quotient(builder: Builder, lhs: LLValue, rhs: LLValue, signed: bool) -> LLValue:
    """lhs / rhs towards zero, for a divisor that is neither 0 nor -1. No CPU divides vectors of
    integers, but floats give the exact quotient: the next integer q + 1 is at least 1 / rhs away,
    that is 1 / (lhs + rhs) of itself, which rounding keeps apart."""
    bits = rhs.type.element.width if isinstance(rhs.type, ll.VectorType) else 64
    if bits > 32:
        return builder.sdiv(lhs, rhs) if signed else builder.udiv(lhs, rhs)
    of_floats = ll.VectorType(ll.FloatType() if bits <= 16 else ll.DoubleType(), rhs.type.count)
    to_float = builder.sitofp if signed else builder.uitofp
    exact = builder.fdiv(to_float(lhs, of_floats), to_float(rhs, of_floats))
    return (builder.fptosi if signed else builder.fptoui)(exact, rhs.type)


def _is_safe_divisor(value: ll.Constant) -> bool:
    parts = value.constant if isinstance(value.type, ll.VectorType) else [value]
    if not isinstance(parts, list):
        return False
    return all(
        isinstance(p, ll.Constant) and isinstance(p.constant, int) and p.constant > 0 for p in parts
    )


@_rule(ir.MulHigh)
def _mul_high(builder: Builder, op: ir.MulHigh, operands: list[LLValue]) -> LLValue:
    element = element_type(op.lhs.type)
    lanes = lanes_of(operands[0])
    wide = ll.IntType(element.bits * 2)
    type_ = ll.VectorType(wide, lanes) if lanes else wide
    extend = builder.sext if is_signed(element) else builder.zext
    product = builder.mul(*(extend(v, type_) for v in operands))
    return builder.trunc(builder.lshr(product, constant(type_, element.bits)), operands[0].type)


@_rule(ir.ShiftLeft, ir.ShiftRight)
def _shift(builder: Builder, op: ir.Binary, operands: list[LLValue]) -> LLValue:
    value, amount = operands
    element = element_type(op.lhs.type)
    type_ = value.type
    limit = constant(type_, element.bits)
    inside = builder.icmp_unsigned("<", amount, limit)
    if isinstance(op, ir.ShiftRight) and is_signed(element):
        return builder.ashr(
            value, builder.select(inside, amount, constant(type_, element.bits - 1))
        )
    safe = builder.select(inside, amount, constant(type_, 0))
    shifted = (
        builder.shl(value, safe) if isinstance(op, ir.ShiftLeft) else builder.lshr(value, safe)
    )
    return builder.select(inside, shifted, constant(type_, 0))


@_rule(ir.Min, ir.Max)
def _extremum(builder: Builder, op: ir.Min | ir.Max, operands: list[LLValue]) -> LLValue:
    element = element_type(op.lhs.type)
    largest = isinstance(op, ir.Max)
    if is_float(element):
        return _in_f32(
            builder,
            element,
            operands,
            lambda v: _float_extremum(builder, v, largest, op.propagate_nan),
        )
    name = ("s" if is_signed(element) else "u") + ("max" if largest else "min")
    type_ = operands[0].type
    return call_intrinsic(builder, f"llvm.{name}", type_, operands, [type_])


def _float_extremum(
    builder: Builder, operands: list[LLValue], largest: bool, propagate_nan: bool
) -> LLValue:
    """Compare and select, as x86's min/max do, then the NaN rule."""
    lhs, rhs = operands
    chosen = builder.select(builder.fcmp_ordered(">" if largest else "<", lhs, rhs), lhs, rhs)
    if propagate_nan:  # a NaN on the right was chosen already
        return builder.select(builder.fcmp_unordered("uno", lhs, lhs), lhs, chosen)
    return builder.select(builder.fcmp_unordered("uno", rhs, rhs), lhs, chosen)


_SYMBOLS = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}


@_rule(ir.Compare)
def _compare(builder: Builder, op: ir.Compare, operands: list[LLValue]) -> LLValue:
    element = element_type(op.lhs.type)
    symbol = _SYMBOLS[op.predicate]
    if is_float(element):
        if _is_small_float(element):
            assert isinstance(element, ScalarType)
            operands = [conversions.to_float(builder, v, element) for v in operands]
        compare = builder.fcmp_unordered if op.unordered else builder.fcmp_ordered
        return compare(symbol, *operands)
    compare = builder.icmp_signed if is_signed(element) else builder.icmp_unsigned
    return compare(symbol, *operands)


@_rule(ir.Select)
def _select(builder: Builder, op: ir.Select, operands: list[LLValue]) -> LLValue:
    return builder.select(*operands)


@_rule(ir.MathCall)
def _math_call(builder: Builder, op: ir.MathCall, operands: list[LLValue]) -> LLValue:
    element = element_type(op.arguments[0].type)
    if op.function == "abs" and is_float(element) and not _is_small_float(element):
        type_ = operands[0].type
        return call_intrinsic(builder, "llvm.fabs", type_, operands, [type_])
    if op.function == "abs" and is_integer(element) and not is_signed(element):
        return operands[0]
    if op.function in ("abs", "neg") and element in _SIGN_AND_MAGNITUDE:
        assert isinstance(element, ScalarType)
        return _with_sign(builder, op.function, operands[0], element.bits)
    if op.function in PREDICATES:
        return _predicate(builder, op, element, operands)
    return _in_f32(builder, element, operands, lambda v: emit_math(builder, op.function, v))


def _predicate(
    builder: Builder, op: ir.MathCall, element: ElementType, operands: list[LLValue]
) -> LLValue:
    """0 or 1 in the type that the op names; the functions themselves give i32."""
    if _is_small_float(element):
        assert isinstance(element, ScalarType)
        operands = [conversions.to_float(builder, v, element) for v in operands]
    answer = emit_math(builder, op.function, operands)
    lanes = lanes_of(answer)
    target = conversions.llvm_type(element_type(op.result.type))
    type_ = ll.VectorType(target, lanes) if lanes else target
    if type_ == answer.type:
        return answer
    resize = builder.trunc if target.width < 32 else builder.zext
    return resize(answer, type_)


# Small floats whose sign is a bit of its own. Through f32, infinities of f8e5m2 would saturate.
_SIGN_AND_MAGNITUDE = (F16, BF16, F8E4M3, F8E5M2)


def _with_sign(builder: Builder, function: str, value: LLValue, bits: int) -> LLValue:
    """|value| or -value of floats by their sign bit."""
    integer: Any = ll.IntType(bits)
    if lanes := lanes_of(value):
        integer = ll.VectorType(integer, lanes)
    code = builder.bitcast(value, integer)
    sign = 1 << (bits - 1)
    if function == "abs":
        code = builder.and_(code, constant(integer, sign - 1))
    else:
        code = builder.xor(code, constant(integer, sign))
    return builder.bitcast(code, value.type)


@_rule(ir.Fma)
def _fma(builder: Builder, op: ir.Fma, operands: list[LLValue]) -> LLValue:
    element = element_type(op.a.type)
    if not is_float(element):
        return builder.add(builder.mul(operands[0], operands[1]), operands[2])
    if _is_small_float(element):
        assert isinstance(element, ScalarType)
        return _small_fma(builder, element, operands)
    type_ = operands[0].type
    return call_intrinsic(builder, "llvm.fma", type_, operands, [type_])


def _small_fma(builder: Builder, element: ScalarType, operands: list[LLValue]) -> LLValue:
    """In f64, where the product is exact and the sum is rounded to odd (by the error that Knuth's
    two-sum finds), so that rounding to the small type is the only rounding."""
    a, b, c = (Lanes(builder, conversions.to_float(builder, v, element)) for v in operands)
    product, addend = a.widened() * b.widened(), c.widened()
    total = product + addend
    part = total - product
    error = (product - (total - part)) + (addend - part)
    bits = total.bits()
    back = ((error.bits() ^ bits) < 0).where(bits - 1, bits)  # it was rounded away from zero
    odd = (error.abs() > 0.0).where(back | 1, bits).as_float()
    return conversions.cast(builder, odd.value, F64, element)


@_rule(ir.Clamp)
def _clamp(builder: Builder, op: ir.Clamp, operands: list[LLValue]) -> LLValue:
    element = element_type(op.source.type)

    def compute(values: list[LLValue]) -> LLValue:
        source, low, high = values
        above = _float_extremum(builder, [source, low], True, op.propagate_nan)
        return _float_extremum(builder, [above, high], False, op.propagate_nan)

    return _in_f32(builder, element, operands, compute)


@_rule(ir.Cast)
def _cast(builder: Builder, op: ir.Cast, operands: list[LLValue]) -> LLValue:
    source = element_type(op.source.type)
    assert isinstance(source, ScalarType)
    return conversions.cast(builder, operands[0], source, op.type, op.rounding)


@_rule(ir.Bitcast)
def _bitcast(builder: Builder, op: ir.Bitcast, operands: list[LLValue]) -> LLValue:
    (value,) = operands
    target = conversions.llvm_type(op.type)
    lanes = lanes_of(value)
    type_ = ll.VectorType(target, lanes) if lanes else target
    return value if value.type == type_ else builder.bitcast(value, type_)


@_rule(ir.Offset)
def _offset(builder: Builder, op: ir.Offset, operands: list[LLValue]) -> LLValue:
    pointer, index = operands
    lanes = lanes_of(index)
    wide = widen_index(builder, index, op.index)
    type_ = ll.VectorType(I64, lanes) if lanes else I64
    return builder.add(pointer, builder.mul(wide, constant(type_, op.scale)))


def widen_index(builder: Builder, value: LLValue, source: ir.Value) -> LLValue:
    """An integer as i64, by the signedness of its IR value."""
    element = element_type(source.type)
    lanes = lanes_of(value)
    type_ = ll.VectorType(I64, lanes) if lanes else I64
    if value.type == type_:
        return value
    return builder.sext(value, type_) if is_signed(element) else builder.zext(value, type_)


def zero_of(element: ElementType) -> LLValue:
    """The zero of a lane type in its register form."""
    type_ = conversions.llvm_type(element)
    return constant(
        type_, 0.0 if isinstance(type_, (ll.FloatType, ll.DoubleType, ll.HalfType)) else 0
    )


def constant_of(element: ElementType, value: float) -> LLValue:
    """An IR constant in register form."""
    type_ = conversions.llvm_type(element)
    if isinstance(element, PointerType):
        return constant(I64, int(value))
    if element.kind != "float":
        return constant(type_, int(value))
    if element.bits >= 32:
        return constant(type_, float(value))
    return _small_float_constant(element, float(value))


def _small_float_constant(element: ScalarType, value: float) -> LLValue:
    """f16, bf16 and fp8 constants, rounded by the reference conversion."""
    from canopy.ir.interpreter.numeric import from_python

    rounded = from_python(value, element)
    if element == F16:
        return constant(ll.HalfType(), float(rounded))
    return constant(ll.IntType(element.bits), int(rounded.view(f"u{element.bytes}")))


def broadcast_scalar(builder: Builder, value: LLValue, lanes: int) -> LLValue:
    """A scalar as a vector of ``lanes``; vectors pass."""
    return value if lanes_of(value) or not lanes else splat(builder, value, lanes)
