"""Reader rules: calls of libdevice, NVIDIA's library of device functions, by symbol.

``__nv_expf`` -> ``MathCall("exp")``. The fast variants are computed as accurately as the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from canopy.errors import UnsupportedError
from canopy.frontends.triton.rules import reads
from canopy.frontends.triton.rules_rounding import (
    DIRECTED_CAST,
    DIRECTED_OPERATION,
    cast_directed,
    operate_directed,
)
from canopy.frontends.triton.types import parse_type
from canopy.ir import (
    Add,
    And,
    Cast,
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
    Select,
    ShiftLeft,
    ShiftRight,
    Sub,
    Value,
    Xor,
)
from canopy.ir.math import FUNCTIONS, INTEGER_FUNCTIONS, PREDICATES
from canopy.ir.types import (
    F64,
    U64,
    Type,
    element_type,
    is_float,
    is_integer,
    signed,
    unsigned,
)

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__ = ["function_of_symbol"]

_RENAMED = {
    "fabs": "abs",
    "nearbyint": "rint",
    "scalbn": "ldexp",
    "powi": "pow",
    "finite": "isfinite",
    "isfinited": "isfinite",
    "isnand": "isnan",
    "isinfd": "isinf",
    "signbitd": "signbit",
    "llabs": "abs",
    "clzll": "clz",
    "popc": "popcount",
    "popcll": "popcount",
    "brev": "bit_reverse",
    "brevll": "bit_reverse",
    "frsqrt_rn": "rsqrt",
    "fsqrt_rn": "sqrt",
    "dsqrt_rn": "sqrt",
    "cyl_bessel_i0": "i0",
    "cyl_bessel_i1": "i1",
}
_ROUNDINGS = {"rn": "rint", "rd": "floor", "ru": "ceil", "rz": "trunc"}
_TO_INTEGER = re.compile(r"^(?:float|double)2(int|uint|ll|ull)_(rn|rd|ru|rz)$")
_TO_FLOAT = re.compile(r"^(int|uint|ll|ull)2(?:float|double)_rn$")
_TO_INTEGER_NAMED = re.compile(r"^ll(rint|round)f?$")
_BITS = re.compile(r"^(?:float|double|int|uint|longlong)_as_(?:float|double|int|uint|longlong)$")
_BINARY_RN = re.compile(r"^[fd](add|sub|mul|div)_rn$")
Special = Callable[["Reader", "tuple[Value, ...]", Type], Value]
Family = Callable[["Reader", "tuple[Value, ...]", Type, "re.Match[str]"], Value]
_BINARY: dict[str, type[Any]] = {"add": Add, "sub": Sub, "mul": Mul, "div": Div}


def function_of_symbol(symbol: str) -> str | None:
    """The name in `canopy.ir.math.FUNCTIONS` for a libdevice symbol, if it is one of these."""
    name = symbol.removeprefix("__nv_")
    if name.startswith("fast_"):
        name = name.removeprefix("fast_").removesuffix("f")
    for candidate in (name, name.removesuffix("f")):
        candidate = _RENAMED.get(candidate, candidate)
        if candidate in FUNCTIONS:
            return candidate
    return None


@reads("tt.extern_elementwise")
def _extern(reader: Reader, op: Operation) -> Value:
    symbol = op.attributes["symbol"].strip('"')
    wanted = parse_type(op.result_type)
    values = reader.values(op)
    name = symbol.removeprefix("__nv_").removeprefix("fast_")
    if symbol.startswith("__nv_"):
        special = _SPECIAL.get(name) or _SPECIAL.get(name.removesuffix("f"))
        if special:
            return special(reader, values, wanted)
        for pattern, rule in _PATTERNS:
            if match := pattern.match(name):
                return rule(reader, values, wanted, match)
        if function := function_of_symbol(symbol):
            return _call(reader, function, values, wanted)
    raise UnsupportedError(
        f"the external device function {symbol} is not supported",
        hint="libdevice functions with a counterpart in tl.math or C's math.h are",
    )


def _call(reader: Reader, function: str, values: tuple[Value, ...], wanted: Type) -> Value:
    if function in PREDICATES:
        answer = element_type(wanted)
        return reader.add(MathCall, function=function, arguments=values, type=answer)
    element = element_type(values[0].type)
    alike = tuple(v if v.type == values[0].type else _cast(reader, v, element) for v in values)
    made = reader.add(MathCall, function=function, arguments=alike)
    if function in INTEGER_FUNCTIONS and made.type != wanted:
        return _cast(reader, made, element_type(wanted))
    return made


def _cast(reader: Reader, value: Value, element: Any) -> Value:
    return reader.add(Cast, source=value, type=element)


# ---- functions that are a few ops ----------------------------------------------------------------


def _one(reader: Reader, type_: Type) -> Value:
    return reader.add(Constant, value=1.0 if is_float(type_) else 1, type=type_)


def _fma(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    a, b, c = values
    return reader.add(Fma, a=a, b=b, c=c)


def _divide(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    return reader.add(Div, lhs=values[0], rhs=values[1])


def _reciprocal(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    return reader.add(Div, lhs=_one(reader, values[0].type), rhs=values[0])


def _saturate(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    low, high = (reader.constant(n, values[0].type) for n in (0.0, 1.0))
    return reader.add(Clamp, source=values[0], low=low, high=high, propagate_nan=False)


def _exponent(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    exponent = reader.add(MathCall, function="logb", arguments=values)
    return _cast(reader, exponent, element_type(wanted))


def _norm(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    total = reader.add(Mul, lhs=values[0], rhs=values[0])
    for value in values[1:]:
        total = reader.add(Fma, a=value, b=value, c=total)
    return reader.add(MathCall, function="sqrt", arguments=(total,))


def _reciprocal_norm(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    return _reciprocal(reader, (_norm(reader, values, wanted),), wanted)


def _multiply_high(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    return reader.add(MulHigh, lhs=values[0], rhs=values[1])


def _unsigned_multiply_high(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    lhs, rhs = (reader.as_unsigned(value) for value in values)
    return reader.as_signed(reader.add(MulHigh, lhs=lhs, rhs=rhs))


def _multiply_24(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    low_bits = reader.constant(0xFFFFFF, values[0].type)
    lhs, rhs = (reader.add(And, lhs=value, rhs=low_bits) for value in values)
    return reader.add(Mul, lhs=lhs, rhs=rhs)


def _signed_multiply_24(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    """The product of the low 24 bits, read as signed numbers."""
    eight = reader.constant(8, values[0].type)
    lifted = [reader.add(ShiftLeft, lhs=value, rhs=eight) for value in values]
    lhs, rhs = (reader.add(ShiftRight, lhs=value, rhs=eight) for value in lifted)
    return reader.add(Mul, lhs=lhs, rhs=rhs)


def _byte_permutation(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    """Four bytes out of the eight of x (lower) and y, chosen by 3 bits of each nibble of s."""
    x, y, selector = (_cast(reader, reader.as_unsigned(value), U64) for value in values)

    def number(content: int) -> Value:
        return reader.constant(content, x.type)

    both = reader.add(Or, lhs=x, rhs=reader.add(ShiftLeft, lhs=y, rhs=number(32)))
    chosen = number(0)
    for position in range(4):
        nibble = reader.add(ShiftRight, lhs=selector, rhs=number(4 * position))
        byte = reader.add(And, lhs=nibble, rhs=number(7))
        distance = reader.add(ShiftLeft, lhs=byte, rhs=number(3))
        moved = reader.add(ShiftRight, lhs=both, rhs=distance)
        low = reader.add(And, lhs=moved, rhs=number(0xFF))
        placed = reader.add(ShiftLeft, lhs=low, rhs=number(8 * position))
        chosen = reader.add(Or, lhs=chosen, rhs=placed)
    return _cast(reader, chosen, element_type(wanted))


def _double_of_halves(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    high, low = (_cast(reader, reader.as_unsigned(value), U64) for value in values)
    shift = reader.constant(32, high.type)
    bits = reader.add(Or, lhs=reader.add(ShiftLeft, lhs=high, rhs=shift), rhs=low)
    return reader.bitcast(bits, F64)


def _half_of_double(distance: int) -> Special:
    def half(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
        bits = reader.bitcast(values[0], U64)
        moved = reader.add(ShiftRight, lhs=bits, rhs=reader.constant(distance, bits.type))
        return _cast(reader, moved, element_type(wanted))

    return half


def _reciprocal_of_high_half(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    """1 / x to the upper 32 bits, the lower ones being zero."""
    bits = reader.bitcast(_reciprocal(reader, values, wanted), U64)
    kept = reader.add(And, lhs=bits, rhs=reader.constant(0xFFFFFFFF00000000, bits.type))
    return reader.bitcast(kept, F64)


def _bessel_of_order(function: str) -> Special:
    def call(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
        order, x = values
        order = _cast(reader, order, element_type(x.type))
        return reader.add(MathCall, function=function, arguments=(order, x))

    return call


def _find_first_set(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    """The position of the lowest set bit, counted from 1; 0 for zero."""
    (source,) = values
    zero = reader.constant(0, source.type)
    trailing = reader.add(MathCall, function="ctz", arguments=(source,))
    position = reader.add(Add, lhs=trailing, rhs=_one(reader, source.type))
    is_zero = reader.add(Compare, predicate="eq", lhs=source, rhs=zero)
    found = reader.add(Select, condition=is_zero, if_true=zero, if_false=position)
    return found if found.type == wanted else _cast(reader, found, element_type(wanted))


def _halving(round_up: bool, is_unsigned: bool) -> Special:
    def halve(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
        """The mean without overflow: common bits plus or minus half of those that differ."""
        if is_unsigned:
            values = tuple(reader.as_unsigned(value) for value in values)
        lhs, rhs = values
        differing = reader.add(Xor, lhs=lhs, rhs=rhs)
        half = reader.add(ShiftRight, lhs=differing, rhs=_one(reader, lhs.type))
        common = reader.add(Or if round_up else And, lhs=lhs, rhs=rhs)
        return reader.as_signed(reader.add(Sub if round_up else Add, lhs=common, rhs=half))

    return halve


def _absolute_difference(is_unsigned: bool) -> Special:
    def accumulate(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
        if is_unsigned:
            values = tuple(reader.as_unsigned(value) for value in values)
        lhs, rhs, total = values
        high = reader.add(Max, lhs=lhs, rhs=rhs)
        low = reader.add(Min, lhs=lhs, rhs=rhs)
        difference = reader.add(Sub, lhs=high, rhs=low)
        return reader.as_signed(reader.add(Add, lhs=difference, rhs=total))

    return accumulate


def _same(reader: Reader, values: tuple[Value, ...], wanted: Type) -> Value:
    return _cast(reader, values[0], element_type(wanted))


_SPECIAL: dict[str, Special] = {
    "fma": _fma,
    "fma_rn": _fma,
    "fmaf_rn": _fma,
    "fdivide": _divide,
    "frcp_rn": _reciprocal,
    "drcp_rn": _reciprocal,
    "saturate": _saturate,
    "ilogb": _exponent,
    "norm3d": _norm,
    "norm4d": _norm,
    "rnorm3d": _reciprocal_norm,
    "rnorm4d": _reciprocal_norm,
    "rhypot": _reciprocal_norm,
    "mulhi": _multiply_high,
    "mul64hi": _multiply_high,
    "umulhi": _unsigned_multiply_high,
    "umul64hi": _unsigned_multiply_high,
    "umul24": _multiply_24,
    "mul24": _signed_multiply_24,
    "byte_perm": _byte_permutation,
    "hiloint2double": _double_of_halves,
    "double2hiint": _half_of_double(32),
    "double2loint": _half_of_double(0),
    "rcp64h": _reciprocal_of_high_half,
    "jn": _bessel_of_order("jn"),
    "yn": _bessel_of_order("yn"),
    "ffs": _find_first_set,
    "ffsll": _find_first_set,
    "hadd": _halving(False, False),
    "uhadd": _halving(False, True),
    "rhadd": _halving(True, False),
    "urhadd": _halving(True, True),
    "sad": _absolute_difference(False),
    "usad": _absolute_difference(True),
    "double2float_rn": _same,
}

# ---- families of symbols -------------------------------------------------------------------------


def _to_integer(
    reader: Reader, values: tuple[Value, ...], wanted: Type, match: re.Match[str]
) -> Value:
    rounded = reader.add(MathCall, function=_ROUNDINGS[match[2]], arguments=values)
    element = element_type(unsigned(wanted) if match[1].startswith("u") else signed(wanted))
    return reader.as_signed(_cast(reader, rounded, element))


def _to_integer_named(
    reader: Reader, values: tuple[Value, ...], wanted: Type, match: re.Match[str]
) -> Value:
    rounded = reader.add(MathCall, function=match[1], arguments=values)
    return _cast(reader, rounded, element_type(wanted))


def _to_float(
    reader: Reader, values: tuple[Value, ...], wanted: Type, match: re.Match[str]
) -> Value:
    (source,) = values
    assert is_integer(source.type)
    if match[1].startswith("u"):
        source = reader.as_unsigned(source)
    return _cast(reader, source, element_type(wanted))


def _as_bits(
    reader: Reader, values: tuple[Value, ...], wanted: Type, match: re.Match[str]
) -> Value:
    return reader.bitcast(values[0], element_type(wanted))


def _rounded_binary(
    reader: Reader, values: tuple[Value, ...], wanted: Type, match: re.Match[str]
) -> Value:
    return reader.add(_BINARY[match[1]], lhs=values[0], rhs=values[1])


_PATTERNS: list[tuple[re.Pattern[str], Family]] = [
    (_TO_INTEGER, _to_integer),
    (_TO_INTEGER_NAMED, _to_integer_named),
    (_TO_FLOAT, _to_float),
    (_BITS, _as_bits),
    (_BINARY_RN, _rounded_binary),
    (DIRECTED_OPERATION, operate_directed),
    (DIRECTED_CAST, cast_directed),
]
