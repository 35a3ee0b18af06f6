"""Reader rules: constants, integer and float arithmetic, comparison, selection."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

from canopy.errors import UnsupportedError
from canopy.frontends.triton.rules import reads
from canopy.frontends.triton.types import parse_type
from canopy.ir import (
    Add,
    And,
    Clamp,
    Compare,
    Constant,
    Div,
    Fma,
    MathCall,
    Max,
    Min,
    Mul,
    MulHigh,
    Or,
    Range,
    Rem,
    Select,
    ShiftLeft,
    ShiftRight,
    Sub,
    Value,
    Xor,
)
from canopy.ir.types import (
    BF16,
    BOOL,
    F8E4M3,
    F16,
    I8,
    I32,
    ScalarType,
    TileType,
    Type,
    element_type,
    is_bool,
    is_float,
)

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__: list[str] = []

_BINARY: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "arith.addi": (Add, {}),
    "arith.subi": (Sub, {}),
    "arith.muli": (Mul, {}),
    "arith.divsi": (Div, {}),
    "arith.remsi": (Rem, {}),
    "arith.andi": (And, {}),
    "arith.ori": (Or, {}),
    "arith.xori": (Xor, {}),
    "arith.shli": (ShiftLeft, {}),
    "arith.shrsi": (ShiftRight, {}),
    "arith.maxsi": (Max, {}),
    "arith.minsi": (Min, {}),
    "arith.addf": (Add, {}),
    "arith.subf": (Sub, {}),
    "arith.mulf": (Mul, {}),
    "arith.divf": (Div, {}),
    "tt.precise_divf": (Div, {}),
    "tt.approx_divf": (Div, {}),
    "arith.remf": (Rem, {}),
    "arith.maxnumf": (Max, {"propagate_nan": False}),
    "arith.minnumf": (Min, {"propagate_nan": False}),
    "arith.maximumf": (Max, {"propagate_nan": True}),
    "arith.minimumf": (Min, {"propagate_nan": True}),
}
_UNSIGNED_BINARY: dict[str, type[Any]] = {
    "arith.divui": Div,
    "arith.remui": Rem,
    "arith.shrui": ShiftRight,
    "arith.maxui": Max,
    "arith.minui": Min,
    "tt.mulhiui": MulHigh,
}
# On bools, arithmetic modulo 2; a true bool is -1 where the operation is signed.
_ON_BOOLS: dict[str, type[Any]] = {
    "arith.addi": Xor,
    "arith.subi": Xor,
    "arith.muli": And,
    "arith.maxui": Or,
    "arith.minui": And,
    "arith.maxsi": And,
    "arith.minsi": Or,
}
_INTEGER_PREDICATES = {
    "eq": ("eq", False),
    "ne": ("ne", False),
    **{f"s{p}": (p, False) for p in ("lt", "le", "gt", "ge")},
    **{f"u{p}": (p, True) for p in ("lt", "le", "gt", "ge")},
}


@reads(*_BINARY)
def _binary(reader: Reader, op: Operation) -> Value:
    lhs, rhs = reader.values(op)
    if is_bool(lhs.type) and op.name in _ON_BOOLS:
        return reader.add(_ON_BOOLS[op.name], lhs=lhs, rhs=rhs)
    kind, fields = _BINARY[op.name]
    return reader.add(kind, lhs=lhs, rhs=rhs, **fields)


@reads(*_UNSIGNED_BINARY)
def _unsigned_binary(reader: Reader, op: Operation) -> Value:
    lhs, rhs = reader.values(op)
    if is_bool(lhs.type) and op.name in _ON_BOOLS:
        return reader.add(_ON_BOOLS[op.name], lhs=lhs, rhs=rhs)
    kind = _UNSIGNED_BINARY[op.name]
    made = reader.add(kind, lhs=reader.as_unsigned(lhs), rhs=reader.as_unsigned(rhs))
    return reader.as_signed(made)


@reads("arith.ceildivsi", "arith.floordivsi")
def _rounded_division(reader: Reader, op: Operation) -> Value:
    """Truncating division, moved by one where the remainder says so."""
    lhs, rhs = reader.values(op)
    quotient = reader.add(Div, lhs=lhs, rhs=rhs)
    rest = reader.add(Rem, lhs=lhs, rhs=rhs)
    zero, one = reader.constant(0, lhs.type), reader.constant(1, lhs.type)
    inexact = reader.add(Compare, predicate="ne", lhs=rest, rhs=zero)
    signs = reader.add(Xor, lhs=lhs, rhs=rhs)
    up = op.name == "arith.ceildivsi"
    away = reader.add(Compare, predicate="ge" if up else "lt", lhs=signs, rhs=zero)
    moves = reader.add(And, lhs=inexact, rhs=away)
    moved = reader.add(Add if up else Sub, lhs=quotient, rhs=one)
    return reader.add(Select, condition=moves, if_true=moved, if_false=quotient)


@reads("arith.ceildivui")
def _ceil_division_unsigned(reader: Reader, op: Operation) -> Value:
    lhs, rhs = (reader.as_unsigned(value) for value in reader.values(op))
    quotient = reader.add(Div, lhs=lhs, rhs=rhs)
    rest = reader.add(Rem, lhs=lhs, rhs=rhs)
    zero, one = reader.constant(0, lhs.type), reader.constant(1, lhs.type)
    inexact = reader.add(Compare, predicate="ne", lhs=rest, rhs=zero)
    moved = reader.add(Add, lhs=quotient, rhs=one)
    picked = reader.add(Select, condition=inexact, if_true=moved, if_false=quotient)
    return reader.as_signed(picked)


@reads("arith.mulsi_extended", "arith.mului_extended")
def _extended_multiply(reader: Reader, op: Operation) -> tuple[Value, Value]:
    lhs, rhs = reader.values(op)
    low = reader.add(Mul, lhs=lhs, rhs=rhs)
    if op.name == "arith.mulsi_extended":
        return low, reader.add(MulHigh, lhs=lhs, rhs=rhs)
    high = reader.add(MulHigh, lhs=reader.as_unsigned(lhs), rhs=reader.as_unsigned(rhs))
    return low, reader.as_signed(high)


@reads("arith.addui_extended")
def _extended_add(reader: Reader, op: Operation) -> tuple[Value, Value]:
    lhs, rhs = reader.values(op)
    total = reader.add(Add, lhs=lhs, rhs=rhs)
    carry = reader.add(
        Compare,
        predicate="lt",
        lhs=reader.as_unsigned(total),
        rhs=reader.as_unsigned(lhs),
    )
    return total, carry


@reads("arith.negf")
def _negate(reader: Reader, op: Operation) -> Value:
    return reader.add(MathCall, function="neg", arguments=reader.values(op))


@reads("math.fma")
def _fma(reader: Reader, op: Operation) -> Value:
    a, b, c = reader.values(op)
    return reader.add(Fma, a=a, b=b, c=c)


@reads("tt.clampf")
def _clamp(reader: Reader, op: Operation) -> Value:
    source, low, high = reader.values(op)
    propagates = "propagateNan = all" in op.body
    return reader.add(Clamp, source=source, low=low, high=high, propagate_nan=propagates)


@reads("math.clampf")
def _math_clamp(reader: Reader, op: Operation) -> Value:
    source, low, high = reader.values(op)
    return reader.add(Clamp, source=source, low=low, high=high, propagate_nan=True)


@reads("arith.cmpi")
def _compare_integers(reader: Reader, op: Operation) -> Value:
    lhs, rhs = reader.values(op)
    predicate, is_unsigned = _INTEGER_PREDICATES[op.body.partition(",")[0]]
    if is_bool(lhs.type) and predicate not in ("eq", "ne"):
        return _compare_bools(reader, lhs, rhs, predicate, is_unsigned)
    if is_unsigned:
        lhs, rhs = reader.as_unsigned(lhs), reader.as_unsigned(rhs)
    return reader.add(Compare, predicate=predicate, lhs=lhs, rhs=rhs)


def _compare_bools(
    reader: Reader, lhs: Value, rhs: Value, predicate: str, is_unsigned: bool
) -> Value:
    """False is below true if unsigned; signed, true is -1 and below false."""
    one, zero = (reader.constant(n, _with(lhs.type, I8)) for n in (1, 0))
    wide = [
        reader.add(Select, condition=side, if_true=one, if_false=zero)
        for side in ((lhs, rhs) if is_unsigned else (rhs, lhs))
    ]
    return reader.add(Compare, predicate=predicate, lhs=wide[0], rhs=wide[1])


def _with(type_: Type, element: ScalarType) -> Type:
    return TileType(type_.shape, element) if isinstance(type_, TileType) else element


@reads("arith.cmpf")
def _compare_floats(reader: Reader, op: Operation) -> Value:
    lhs, rhs = reader.values(op)
    name = op.body.partition(",")[0].strip()
    if name in ("true", "false"):
        return reader.constant(name == "true", _with(lhs.type, BOOL))
    if name in ("ord", "uno"):
        predicate, combine = ("eq", And) if name == "ord" else ("ne", Or)
        sides = [
            reader.add(Compare, predicate=predicate, lhs=x, rhs=x, unordered=name == "uno")
            for x in (lhs, rhs)
        ]
        return reader.add(combine, lhs=sides[0], rhs=sides[1])
    return reader.add(Compare, predicate=name[1:], lhs=lhs, rhs=rhs, unordered=name.startswith("u"))


@reads("arith.select")
def _select(reader: Reader, op: Operation) -> Value:
    condition, if_true, if_false = reader.values(op)
    return reader.add(Select, condition=condition, if_true=if_true, if_false=if_false)


@reads("arith.constant")
def _constant(reader: Reader, op: Operation) -> Value:
    if not op.signature:  # a bool prints without its type
        return reader.constant(op.body == "true", BOOL)
    type_ = parse_type(op.signature)
    text = op.body
    if text.startswith("dense<"):
        text = text[6:-1]
        if text.startswith(("[", "§")):
            return _dense(reader, text, op, type_)
    return reader.constant(_number(text, type_), type_)


@reads("ub.poison")
def _poison(reader: Reader, op: Operation) -> Value:
    type_ = parse_type(op.signature)
    element = element_type(type_)
    if not isinstance(element, ScalarType):
        raise UnsupportedError("an undefined pointer is used", hint="initialise it on every path")
    return reader.constant(False if element == BOOL else 0.0 if is_float(element) else 0, type_)


def _dense(reader: Reader, text: str, op: Operation, type_: Type) -> Value:
    """A constant tile of one dimension with different lanes: a chain of selects."""
    if not isinstance(type_, TileType) or len(type_.shape) != 1 or not text.startswith("["):
        raise UnsupportedError(
            "a constant tile with different lanes is not supported in this shape",
            hint="compute it from tl.arange",
        )
    numbers = [_number(item.strip(), type_) for item in text[1:-1].split(",")]
    lanes = reader.add(Range, start=0, end=len(numbers))
    made = reader.add(Constant, value=numbers[0], type=type_)
    for index, number in enumerate(numbers[1:], 1):
        here = reader.add(
            Compare,
            predicate="eq",
            lhs=lanes,
            rhs=reader.constant(index, TileType(type_.shape, I32)),
        )
        made = reader.add(
            Select,
            condition=here,
            if_true=reader.constant(number, type_),
            if_false=made,
        )
    return made


def _number(text: str, type_: Type) -> int | float | bool:
    element = element_type(type_)
    assert isinstance(element, ScalarType)
    if element == BOOL:
        return text in ("true", "-1", "1")
    if not is_float(element):
        return int(text, 0)
    if text.startswith("0x"):
        return _float_of_bits(int(text, 16), element)
    return float(text)


def _float_of_bits(bits: int, element: ScalarType) -> float:
    if element == F16:
        return float(struct.unpack("<e", bits.to_bytes(2, "little"))[0])
    if element == BF16:
        return float(struct.unpack("<f", (bits << 16).to_bytes(4, "little"))[0])
    if element.bits == 8:
        return _float8_of_bits(bits, element)
    code = "<f" if element.bits == 32 else "<d"
    return float(struct.unpack(code, bits.to_bytes(element.bits // 8, "little"))[0])


def _float8_of_bits(bits: int, element: ScalarType) -> float:
    """Printed in hexadecimal are only infinities and NaNs."""
    if element.name == "f8e5m2" and bits & 0x7F == 0x7C:
        return float("-inf") if bits & 0x80 else float("inf")
    if element == F8E4M3 and bits & 0x7F != 0x7F:
        raise UnsupportedError("an unreadable float8 constant")
    return float("nan")
