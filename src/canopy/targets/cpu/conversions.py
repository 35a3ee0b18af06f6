"""How lane types are held in registers and memory, and every conversion between them.

    element     register   memory      element     register   memory
    bool        i1         i8          f16         half       half
    iN, uN      iN         iN          bf16        i16        i16
    pointers    i64        i64         f8*         i8         i8
                                       f32, f64    float, double

Rounding is to nearest even, or toward zero where asked ("rtz"). NaN stays NaN. f16 and bf16
overflow to infinity, as in IEEE 754. The 8-bit floats saturate by default: what is beyond the
largest finite value, infinities included, becomes that value with its sign. So do NVIDIA's
conversions, which are ``cvt.rn.satfinite`` (PTX ISA, "cvt"), and so does Triton. With
``saturate=False`` they overflow to infinity where the format has one and else to NaN, as in the OCP
format's non-saturating mode and in ml_dtypes. A float becomes an integer by truncation; out of
range it saturates, and NaN gives 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from llvmlite import ir

from canopy.errors import UnsupportedError
from canopy.ir.types import (
    BF16,
    F8E4M3,
    F8E4M3B8,
    F8E5M2,
    F8E5M2B16,
    F16,
    F32,
    F64,
    ElementType,
    PointerType,
    ScalarType,
    is_bool,
    is_float,
    is_signed,
)
from canopy.targets.cpu.math_functions.lanes import (
    Lanes,
    LLVMType,
    LLVMValue,
    constant,
    declare,
    like,
    type_name,
)

__all__ = ["cast", "from_float", "llvm_type", "memory_type", "to_float", "vector_of"]


def llvm_type(element: ElementType) -> LLVMType:
    """The type of one lane in a register."""
    if isinstance(element, PointerType):
        return ir.IntType(64)
    if element in _REGISTER_FLOATS:
        return _REGISTER_FLOATS[element]
    return ir.IntType(element.bits)


_REGISTER_FLOATS = {F16: ir.HalfType(), F32: ir.FloatType(), F64: ir.DoubleType()}


def memory_type(element: ElementType) -> LLVMType:
    """The type of one element in memory."""
    return ir.IntType(8) if is_bool(element) else llvm_type(element)


def vector_of(type_: LLVMType, lanes: int) -> LLVMType:
    """``lanes`` lanes of ``type_``."""
    return ir.VectorType(type_, lanes)


@dataclass(frozen=True)
class Float8:
    """An 8-bit float: its fields, the codes at its upper end, and whether zero has one sign.

    ``largest``: of the largest finite magnitude; ``overflow``: what a larger one becomes unless it
    saturates; ``nan``: of NaN. In the fnuz formats the code of -0 is the only NaN.
    """

    mantissa: int
    bias: int
    largest: int
    overflow: int
    nan: int
    is_fnuz: bool = False


_FLOAT8 = {
    F8E4M3: Float8(3, 7, 0x7E, 0x7F, 0x7F),
    F8E5M2: Float8(2, 15, 0x7B, 0x7C, 0x7E),
    F8E4M3B8: Float8(3, 8, 0x7F, 0x80, 0x80, is_fnuz=True),
    F8E5M2B16: Float8(2, 16, 0x7F, 0x80, 0x80, is_fnuz=True),
}


def to_float(builder: Any, value: LLVMValue, element: ScalarType) -> LLVMValue:
    """f16, bf16, f8 lanes (or f32 itself) as f32, exactly."""
    x = Lanes(builder, value)
    if element == F32:
        return value
    if element == F16:
        return x.resized("fpext", ir.FloatType()).value
    if element == BF16:
        return (x.resized("zext", ir.IntType(32)) << 16).as_float().value
    if element in _FLOAT8:
        return _from_float8(x, _FLOAT8[element]).value
    raise UnsupportedError(f"{element} does not fit f32 exactly")


def _from_float8(code: Lanes, form: Float8) -> Lanes:
    """The bits rebiased as f32; denormals, which have no leading bit, by a multiplication."""
    wide = code.resized("zext", ir.IntType(32))
    magnitude = wide & 0x7F
    normal = (magnitude << (23 - form.mantissa)) + ((127 - form.bias) << 23)
    denormal = magnitude.to_float() * 2.0 ** (1 - form.bias - form.mantissa)
    is_denormal = magnitude < (1 << form.mantissa)
    bits = is_denormal.where(denormal.bits(), normal)
    if form.is_fnuz:
        bits = wide.equals(form.nan).where(0x7FC00000, bits)
    elif form.overflow != form.nan:
        bits = magnitude.equals(form.overflow).where(0x7F800000, bits)
        bits = (magnitude > form.overflow).where(0x7FC00000, bits)
    else:
        bits = magnitude.equals(form.nan).where(0x7FC00000, bits)
    return (bits | ((wide & 0x80) << 24)).as_float()


def from_float(
    builder: Any,
    value: LLVMValue,
    element: ScalarType,
    rounding: str = "rtne",
    saturate: bool = True,
) -> LLVMValue:
    """f32 lanes as f16, bf16, f8 (or f32 itself); see the module's docstring for the ends."""
    toward_zero = _is_toward_zero(rounding)
    x = Lanes(builder, value)
    if element == F32:
        return value
    if element == F16:
        return _narrowed(x, ir.HalfType(), toward_zero).value
    if element == BF16:
        return _to_bfloat(x, toward_zero).value
    if element in _FLOAT8:
        return _to_float8(x, _FLOAT8[element], toward_zero, saturate).value
    raise UnsupportedError(f"{element} is not a float of at most 32 bits")


def _is_toward_zero(rounding: str) -> bool:
    if rounding not in ("rtne", "rtz"):
        raise UnsupportedError(f"rounding {rounding!r}: there are 'rtne' and 'rtz'")
    return rounding == "rtz"


def _narrowed(x: Lanes, target: LLVMType, toward_zero: bool) -> Lanes:
    """fptrunc, which rounds to nearest; toward zero, what came out too large is stepped back."""
    nearest = x.resized("fptrunc", target)
    if not toward_zero:
        return nearest
    return _stepped_back(x, nearest)[0]


def _stepped_back(x: Lanes, nearest: Lanes) -> tuple[Lanes, Lanes]:
    """``nearest`` brought toward zero where beyond x, and what that gives back in x's format."""
    back = nearest.resized("fpext", x.element)
    beyond = back.abs() > x.abs()
    width = 16 if isinstance(nearest.element, ir.HalfType) else 32
    bits = nearest.reinterpreted(ir.IntType(width))
    return beyond.where(bits - 1, bits).reinterpreted(nearest.element), back


def _to_bfloat(x: Lanes, toward_zero: bool) -> Lanes:
    bits = x.bits()
    rounded = bits if toward_zero else bits + 0x7FFF + (bits.logical_shift(16) & 1)
    rounded = x.is_nan().where(bits | 0x400000, rounded)  # quiet, so that its payload survives
    return rounded.logical_shift(16).resized("trunc", ir.IntType(16))


def _to_float8(x: Lanes, form: Float8, toward_zero: bool, saturate: bool) -> Lanes:
    """The codes by integer arithmetic on the bits of |x|, rounded at the place of the last bit."""
    magnitude = x.abs()
    bits = magnitude.bits()
    shift = 23 - form.mantissa
    last = 2.0 ** (1 - form.bias - form.mantissa)  # the smallest denormal
    if toward_zero:
        rounded = bits
        denormal = (magnitude.at_most(1.0) * (1 / last)).resized("fptosi", ir.IntType(32))
    else:
        rounded = bits + ((1 << (shift - 1)) - 1) + (bits.logical_shift(shift) & 1)
        anchor = last * 2.0**23  # a sum with it has the smallest denormal as its last place
        denormal = (magnitude + anchor).bits() - x.of(anchor).bits()
    normal = rounded.logical_shift(shift) - ((127 - form.bias) << form.mantissa)
    is_denormal = magnitude < 2.0 ** (1 - form.bias)
    code = is_denormal.where(denormal, normal)
    code = (code > form.largest).where(form.largest if saturate else form.overflow, code)
    if toward_zero and not saturate:  # only infinities overflow
        capped = (code > form.largest).where(form.largest, code)
        code = magnitude.equals(float("inf")).where(form.overflow, capped)
    code = x.is_nan().where(form.nan, code)
    sign = x.bits().logical_shift(24) & 0x80
    if form.is_fnuz:  # zero has no sign, and NaN is the code of -0
        sign = code.equals(0).where(0, sign)
    return (code | sign).resized("trunc", ir.IntType(8))


def cast(
    builder: Any,
    value: LLVMValue,
    source: ScalarType,
    target: ScalarType,
    rounding: str = "rtne",
    saturate: bool = True,
) -> LLVMValue:
    """``value``, of ``source`` lanes, as ``target`` lanes, rounded once."""
    if source == target:
        return value
    x = Lanes(builder, value)
    if is_float(source):
        if is_float(target):
            return _float_to_float(x, source, target, rounding, saturate).value
        return _float_to_integer(x, source, target).value
    if is_bool(target):
        return builder.icmp_unsigned("!=", value, constant(value.type, 0))
    if is_float(target):
        return _integer_to_float(x, source, target, rounding, saturate).value
    if target.bits <= source.bits:
        return x.resized("trunc", ir.IntType(target.bits)).value
    return x.resized("sext" if is_signed(source) else "zext", ir.IntType(target.bits)).value


def _float_to_float(
    x: Lanes, source: ScalarType, target: ScalarType, rounding: str, saturate: bool
) -> Lanes:
    builder = x.builder
    if target == F64:
        return Lanes(builder, to_float(builder, x.value, source)).widened()
    if source != F64:
        single = to_float(builder, x.value, source)
    elif target == F32:
        return _narrowed(x, ir.FloatType(), _is_toward_zero(rounding))
    else:
        single = _to_odd(x).value
    return Lanes(builder, from_float(builder, single, target, rounding, saturate))


def _to_odd(x: Lanes) -> Lanes:
    """f64 as f32, inexact values going to the neighbour whose last bit is set.

    Rounding that once more to a narrower format rounds x itself: no tie is made or lost.
    """
    toward_zero, back = _stepped_back(x, x.resized("fptrunc", ir.FloatType()))
    is_exact = Lanes(x.builder, x.builder.fcmp_unordered("ueq", back.value, x.value))
    bits = toward_zero.bits()
    return is_exact.where(bits, bits | 1).as_float()


def _float_to_integer(x: Lanes, source: ScalarType, target: ScalarType) -> Lanes:
    builder = x.builder
    if source != F64:
        x = Lanes(builder, to_float(builder, x.value, source))
    if is_bool(target):
        return Lanes(builder, builder.fcmp_unordered("!=", x.value, x.of(0.0).value))
    result = like(x.type, ir.IntType(target.bits))
    name = "fptosi.sat" if is_signed(target) else "fptoui.sat"
    function = declare(builder.module, f"{name}.{type_name(result)}", result, [x.type])
    return Lanes(builder, builder.call(function, [x.value]))


def _integer_to_float(
    x: Lanes, source: ScalarType, target: ScalarType, rounding: str, saturate: bool
) -> Lanes:
    """Directly where the hardware's rounding will do, else through a wider or an odd float."""
    builder = x.builder
    convert = "sitofp" if is_signed(source) else "uitofp"
    toward_zero = _is_toward_zero(rounding)
    if target == F64 and not (toward_zero and source.bits == 64):
        return x.resized(convert, ir.DoubleType())
    if target == F64:
        return _integer_toward_zero(x, source, convert)
    if target == F32 and not (toward_zero and source.bits > 16):
        return x.resized(convert, ir.FloatType())
    if source.bits <= 16:
        single = x.resized(convert, ir.FloatType())
    else:
        exact = _sticky(x, source) if source.bits == 64 else x
        double = exact.resized(convert, ir.DoubleType())
        if target == F32:
            return _narrowed(double, ir.FloatType(), toward_zero)
        single = _to_odd(double)
    return Lanes(builder, from_float(builder, single.value, target, rounding, saturate))


def _sticky(x: Lanes, source: ScalarType) -> Lanes:
    """64-bit integers that f64 holds exactly: 12 low bits of large ones become one sticky bit."""
    low = x & 0xFFF
    kept = x - low
    odd = low.equals(0).where(kept, kept | 0x1000)
    if is_signed(source):
        fits = Lanes(
            x.builder,
            x.builder.icmp_unsigned("<", (x + (1 << 52)).value, constant(x.type, 1 << 53)),
        )
    else:
        fits = Lanes(x.builder, x.builder.icmp_unsigned("<", x.value, constant(x.type, 1 << 53)))
    return fits.where(x, odd)


def _integer_toward_zero(x: Lanes, source: ScalarType, convert: str) -> Lanes:
    """64-bit integers as f64 with the magnitude cut to 53 bits first."""
    if not is_signed(source):
        return _cut(x).resized(convert, ir.DoubleType())
    is_negative = x < 0
    magnitude = is_negative.where(x.of(0) - x, x)
    double = _cut(magnitude).resized("uitofp", ir.DoubleType())
    return is_negative.where(-double, double)


def _cut(x: Lanes) -> Lanes:
    """Unsigned 64-bit integers without what is beyond their first 53 bits."""
    flag = ir.IntType(1)
    count = declare(x.builder.module, "ctlz", x.type, [x.type, flag])
    zeros = Lanes(x.builder, x.builder.call(count, [x.value, flag(0)]))
    surplus = (zeros < 11).where(11 - zeros, 0)
    down = x.builder.lshr(x.value, surplus.value)
    return Lanes(x.builder, x.builder.shl(down, surplus.value))
