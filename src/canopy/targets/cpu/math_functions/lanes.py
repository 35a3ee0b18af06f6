"""Arithmetic on LLVM values in Python's operators: what the math functions are written in.

A `Lanes` wraps a scalar or vector of f32, f64 or integers together with the builder that extends
it. Python numbers among the operands become constants of the other operand's type. Nothing here
carries fast-math flags: what is written is what is computed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any, TypeAlias

from llvmlite import ir

__all__ = [
    "Format",
    "Lanes",
    "Number",
    "constant",
    "declare",
    "element_of",
    "lanes_of",
    "like",
    "type_name",
]

Number: TypeAlias = "Lanes | float | int"
LLVMType: TypeAlias = Any
LLVMValue: TypeAlias = Any


@dataclass(frozen=True)
class Format:
    """A binary float: its LLVM type, its integers' width, stored mantissa bits, exponent bias."""

    bits: int
    mantissa: int
    bias: int

    @property
    def float_type(self) -> LLVMType:
        return ir.FloatType() if self.bits == 32 else ir.DoubleType()

    @property
    def smallest_normal(self) -> float:
        return 2.0 ** (1 - self.bias)

    @property
    def epsilon(self) -> float:
        """The distance from 1 to the next float."""
        return 2.0**-self.mantissa

    @property
    def rounding_shift(self) -> float:
        """1.5 * 2**mantissa: added to a small float, leaves the nearest integer in the low bits."""
        return float(3 << (self.mantissa - 1))


F32_FORMAT = Format(32, 23, 127)
F64_FORMAT = Format(64, 52, 1023)


def element_of(type_: LLVMType) -> LLVMType:
    """The type of one lane."""
    return type_.element if isinstance(type_, ir.VectorType) else type_


def lanes_of(type_: LLVMType) -> int:
    """The number of lanes of a vector; 0 for a scalar."""
    return int(type_.count) if isinstance(type_, ir.VectorType) else 0


def like(type_: LLVMType, element: LLVMType) -> LLVMType:
    """``element`` in as many lanes as ``type_`` has."""
    count = lanes_of(type_)
    return ir.VectorType(element, count) if count else element


def constant(type_: LLVMType, value: float | int) -> LLVMValue:
    """``value`` in every lane. A float is rounded to the element type."""
    element = element_of(type_)
    if isinstance(element, ir.FloatType):
        value = _round_to_single(float(value))
    elif isinstance(element, ir.DoubleType):
        value = float(value)
    scalar = ir.Constant(element, value)
    if not lanes_of(type_):
        return scalar
    splat = ir.FormattedConstant(type_, "")
    splat.constant = f"splat ({scalar})"  # set late: the constructor takes a vector's text apart
    return splat


def declare(module: Any, name: str, result: LLVMType, arguments: list[LLVMType]) -> Any:
    """The intrinsic ``llvm.name.<type of the first argument>`` of ``module``."""
    symbol = f"llvm.{name}.{type_name(arguments[0])}"
    if symbol in module.globals:
        return module.globals[symbol]
    return ir.Function(module, ir.FunctionType(result, arguments), symbol)


def type_name(type_: LLVMType) -> str:
    """A lane type as LLVM mangles it: f32, v64f32, v8i64."""
    element, count = element_of(type_), lanes_of(type_)
    names = {ir.FloatType(): "f32", ir.DoubleType(): "f64", ir.HalfType(): "f16"}
    name = names.get(element) or f"i{element.width}"
    return f"v{count}{name}" if count else name


def _round_to_single(value: float) -> float:
    try:
        return float(struct.unpack("f", struct.pack("f", value))[0])
    except OverflowError:
        return float("inf") if value > 0 else float("-inf")


class Lanes:
    """A value under construction; see the module's docstring."""

    __slots__ = ("builder", "value")

    def __init__(self, builder: Any, value: LLVMValue) -> None:
        self.builder = builder
        self.value = value

    @property
    def type(self) -> LLVMType:
        return self.value.type

    @property
    def element(self) -> LLVMType:
        return element_of(self.type)

    @property
    def is_float(self) -> bool:
        return isinstance(element_of(self.type), (ir.HalfType, ir.FloatType, ir.DoubleType))

    @property
    def format(self) -> Format:
        """The float format of these lanes, or the one of the same width for integers."""
        element = element_of(self.type)
        single = isinstance(element, ir.FloatType) or getattr(element, "width", 64) == 32
        return F32_FORMAT if single else F64_FORMAT

    def of(self, other: Number) -> Lanes:
        """``other`` as lanes of this type."""
        if isinstance(other, Lanes):
            return other
        return Lanes(self.builder, constant(self.type, other))

    def _apply(self, float_op: str, integer_op: str, left: Number, right: Number) -> Lanes:
        method = getattr(self.builder, float_op if self.is_float else integer_op)
        return Lanes(self.builder, method(self.of(left).value, self.of(right).value))

    def __add__(self, other: Number) -> Lanes:
        return self._apply("fadd", "add", self, other)

    def __radd__(self, other: Number) -> Lanes:
        return self._apply("fadd", "add", other, self)

    def __sub__(self, other: Number) -> Lanes:
        return self._apply("fsub", "sub", self, other)

    def __rsub__(self, other: Number) -> Lanes:
        return self._apply("fsub", "sub", other, self)

    def __mul__(self, other: Number) -> Lanes:
        return self._apply("fmul", "mul", self, other)

    def __rmul__(self, other: Number) -> Lanes:
        return self._apply("fmul", "mul", other, self)

    def __truediv__(self, other: Number) -> Lanes:
        return self._apply("fdiv", "sdiv", self, other)

    def __rtruediv__(self, other: Number) -> Lanes:
        return self._apply("fdiv", "sdiv", other, self)

    def __neg__(self) -> Lanes:
        return Lanes(self.builder, self.builder.fneg(self.value))

    def __and__(self, other: Number) -> Lanes:
        return Lanes(self.builder, self.builder.and_(self.value, self.of(other).value))

    def __or__(self, other: Number) -> Lanes:
        return Lanes(self.builder, self.builder.or_(self.value, self.of(other).value))

    def __xor__(self, other: Number) -> Lanes:
        return Lanes(self.builder, self.builder.xor(self.value, self.of(other).value))

    def __lshift__(self, count: int) -> Lanes:
        return Lanes(self.builder, self.builder.shl(self.value, self.of(count).value))

    def __rshift__(self, count: int) -> Lanes:
        """Arithmetic shift."""
        return Lanes(self.builder, self.builder.ashr(self.value, self.of(count).value))

    def logical_shift(self, count: int) -> Lanes:
        """Shift down, filling with zeros."""
        return Lanes(self.builder, self.builder.lshr(self.value, self.of(count).value))

    def compare(self, relation: str, other: Number) -> Lanes:
        """Ordered comparison of floats (false with a NaN), signed comparison of integers."""
        method = self.builder.fcmp_ordered if self.is_float else self.builder.icmp_signed
        return Lanes(self.builder, method(relation, self.value, self.of(other).value))

    def __lt__(self, other: Number) -> Lanes:
        return self.compare("<", other)

    def __le__(self, other: Number) -> Lanes:
        return self.compare("<=", other)

    def __gt__(self, other: Number) -> Lanes:
        return self.compare(">", other)

    def __ge__(self, other: Number) -> Lanes:
        return self.compare(">=", other)

    def equals(self, other: Number) -> Lanes:
        return self.compare("==", other)

    def is_nan(self) -> Lanes:
        return Lanes(self.builder, self.builder.fcmp_unordered("uno", self.value, self.value))

    def where(self, yes: Number, no: Number) -> Lanes:
        """``yes`` in the lanes where these (i1) are set, ``no`` elsewhere; one of them is Lanes."""
        model = yes if isinstance(yes, Lanes) else no
        assert isinstance(model, Lanes)
        condition, left, right = self.value, model.of(yes).value, model.of(no).value
        return Lanes(self.builder, self.builder.select(condition, left, right))

    def intrinsic(self, name: str, *others: Number) -> Lanes:
        """``llvm.name`` of these lanes and ``others``, all of one type."""
        values = [self.value, *(self.of(other).value for other in others)]
        function = declare(self.builder.module, name, self.type, [self.type] * len(values))
        return Lanes(self.builder, self.builder.call(function, values))

    def fma(self, factor: Number, addend: Number) -> Lanes:
        """self * factor + addend, rounded once."""
        return self.intrinsic("fma", factor, addend)

    def abs(self) -> Lanes:
        return self.intrinsic("fabs")

    def sqrt(self) -> Lanes:
        return self.intrinsic("sqrt")

    def rint(self) -> Lanes:
        """The nearest integer, ties to even."""
        return self.intrinsic("rint")

    def copysign(self, sign: Number) -> Lanes:
        return self.intrinsic("copysign", sign)

    def at_least(self, bound: float) -> Lanes:
        """The larger of the two; a NaN stays."""
        return (self < bound).where(bound, self)

    def at_most(self, bound: float) -> Lanes:
        """The smaller of the two; a NaN stays."""
        return (self > bound).where(bound, self)

    def polynomial(self, coefficients: tuple[float, ...]) -> Lanes:
        """Horner's rule, lowest power first."""
        total: Number = coefficients[-1]
        for coefficient in coefficients[-2::-1]:
            total = self.fma(total, coefficient)
        return self.of(total)

    def bits(self) -> Lanes:
        """The same bits as integers."""
        return self.reinterpreted(ir.IntType(self.format.bits))

    def as_float(self) -> Lanes:
        """The same bits as a float."""
        return self.reinterpreted(self.format.float_type)

    def to_float(self) -> Lanes:
        """These signed integers as floats of the same width."""
        return self.resized("sitofp", self.format.float_type)

    def resized(self, instruction: str, element: LLVMType) -> Lanes:
        """These lanes by a conversion ``instruction`` (zext, fptrunc, ...) to ``element`` lanes."""
        method = getattr(self.builder, instruction)
        return Lanes(self.builder, method(self.value, like(self.type, element)))

    def reinterpreted(self, element: LLVMType) -> Lanes:
        """The same bits as lanes of ``element``, of the same width."""
        return Lanes(self.builder, self.builder.bitcast(self.value, like(self.type, element)))

    def widened(self) -> Lanes:
        """f32 as f64."""
        return self.resized("fpext", ir.DoubleType())

    def narrowed(self) -> Lanes:
        """f64 as f32."""
        return self.resized("fptrunc", ir.FloatType())
