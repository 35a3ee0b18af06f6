"""Calls of libdevice, NVIDIA's library of device functions, by symbol.

``__nv_expf`` -> ``MathCall("exp")``. The fast variants are computed as accurately as the others.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from canopy.frontends.libdevice.emitter import Emitter
from canopy.frontends.libdevice.rounding import (
    DIRECTED_CAST,
    DIRECTED_OPERATION,
    cast_directed,
    operate_directed,
)
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

__all__ = ["rule_of_symbol"]

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
Rule = Callable[[Emitter, "tuple[Value, ...]", Type], Value]
Family = Callable[["re.Match[str]", Emitter, "tuple[Value, ...]", Type], Value]
_BINARY: dict[str, type[Any]] = {"add": Add, "sub": Sub, "mul": Mul, "div": Div}


def _function_of_symbol(symbol: str) -> str | None:
    """The name in `canopy.ir.math.FUNCTIONS` for a libdevice symbol, if it is one of these."""
    name = symbol.removeprefix("__nv_")
    if name.startswith("fast_"):
        name = name.removeprefix("fast_").removesuffix("f")
    for candidate in (name, name.removesuffix("f")):
        candidate = _RENAMED.get(candidate, candidate)
        if candidate in FUNCTIONS:
            return candidate
    return None


def rule_of_symbol(symbol: str) -> Rule | None:
    """What builds a call of ``symbol`` (``__nv_expf``), if libdevice has it."""
    name = symbol.removeprefix("__nv_").removeprefix("fast_")
    if not symbol.startswith("__nv_"):
        return None
    special = _SPECIAL.get(name) or _SPECIAL.get(name.removesuffix("f"))
    if special:
        return special
    for pattern, family in _PATTERNS:
        if match := pattern.match(name):
            return partial(family, match)
    function = _function_of_symbol(symbol)
    return partial(_call, function) if function else None


def _call(function: str, emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    if function in PREDICATES:
        answer = element_type(wanted)
        return emitter.add(MathCall, function=function, arguments=values, type=answer)
    element = element_type(values[0].type)
    alike = tuple(v if v.type == values[0].type else _cast(emitter, v, element) for v in values)
    made = emitter.add(MathCall, function=function, arguments=alike)
    if function in INTEGER_FUNCTIONS and made.type != wanted:
        return _cast(emitter, made, element_type(wanted))
    return made


def _cast(emitter: Emitter, value: Value, element: Any) -> Value:
    return emitter.add(Cast, source=value, type=element)


# ---- functions that are a few ops ----------------------------------------------------------------


def _one(emitter: Emitter, type_: Type) -> Value:
    return emitter.add(Constant, value=1.0 if is_float(type_) else 1, type=type_)


def _fma(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    a, b, c = values
    return emitter.add(Fma, a=a, b=b, c=c)


def _divide(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    return emitter.add(Div, lhs=values[0], rhs=values[1])


def _reciprocal(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    return emitter.add(Div, lhs=_one(emitter, values[0].type), rhs=values[0])


def _saturate(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    low, high = (emitter.constant(n, values[0].type) for n in (0.0, 1.0))
    return emitter.add(Clamp, source=values[0], low=low, high=high, propagate_nan=False)


def _exponent(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    """The exponent as an integer; the lowest one for 0 and NaN, the highest for infinities."""
    exponent = emitter.add(MathCall, function="logb", arguments=values)
    lowest = emitter.constant(float("-inf"), exponent.type)
    ordered = emitter.add(Compare, predicate="eq", lhs=exponent, rhs=exponent)
    kept = emitter.add(Select, condition=ordered, if_true=exponent, if_false=lowest)
    return _cast(emitter, kept, element_type(wanted))


def _norm(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    """Squares of f32 neither overflow nor underflow in f64; f64 is scaled by a power of two."""
    if element_type(wanted) == F64:
        return _scaled_norm(emitter, values)
    wide = tuple(_cast(emitter, value, F64) for value in values)
    root = _unless_infinite(emitter, _largest(emitter, wide), _root_of_squares(emitter, wide))
    return _cast(emitter, root, element_type(wanted))


def _root_of_squares(emitter: Emitter, values: tuple[Value, ...]) -> Value:
    total = emitter.add(Mul, lhs=values[0], rhs=values[0])
    for value in values[1:]:
        total = emitter.add(Fma, a=value, b=value, c=total)
    return emitter.add(MathCall, function="sqrt", arguments=(total,))


def _scaled_norm(emitter: Emitter, values: tuple[Value, ...]) -> Value:
    """As sqrt of the sum of squares, which may over- or underflow; infinite beside a NaN too."""
    most = _largest(emitter, values)
    exponent = emitter.add(MathCall, function="logb", arguments=(most,))
    limit = emitter.constant(1022.0, most.type)
    up = emitter.add(MathCall, function="neg", arguments=(limit,))
    exponent = emitter.add(Clamp, source=exponent, low=up, high=limit)
    down = emitter.add(MathCall, function="neg", arguments=(exponent,))
    scale = emitter.add(
        MathCall, function="ldexp", arguments=(_one(emitter, most.type), down)
    )  # at most 2**1022: two factors would be needed beyond
    scaled = tuple(emitter.add(Mul, lhs=value, rhs=scale) for value in values)
    root = _root_of_squares(emitter, scaled)
    found = emitter.add(MathCall, function="ldexp", arguments=(root, exponent))
    return _unless_infinite(emitter, most, found)


def _largest(emitter: Emitter, values: tuple[Value, ...]) -> Value:
    sizes = [emitter.add(MathCall, function="abs", arguments=(value,)) for value in values]
    most = sizes[0]
    for size in sizes[1:]:
        most = emitter.add(Max, lhs=most, rhs=size)
    return most


def _unless_infinite(emitter: Emitter, most: Value, norm: Value) -> Value:
    infinity = emitter.constant(float("inf"), most.type)
    is_infinite = emitter.add(Compare, predicate="eq", lhs=most, rhs=infinity)
    return emitter.add(Select, condition=is_infinite, if_true=infinity, if_false=norm)


def _reciprocal_norm(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    """Of f32 rounded once, at the end: 1 / norm is finite where the norm would be infinite."""
    if element_type(wanted) == F64:
        return _reciprocal(emitter, (_scaled_norm(emitter, values),), wanted)
    wide = tuple(_cast(emitter, value, F64) for value in values)
    norm = _unless_infinite(emitter, _largest(emitter, wide), _root_of_squares(emitter, wide))
    inverse = _reciprocal(emitter, (norm,), wanted)
    return _cast(emitter, inverse, element_type(wanted))


def _extreme(kind: type[Any], is_unsigned: bool = False) -> Rule:
    def choose(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
        lhs, rhs = map(emitter.as_unsigned, values) if is_unsigned else values
        made = emitter.add(kind, lhs=lhs, rhs=rhs)
        return emitter.as_signed(made) if is_unsigned else made

    return choose


def _multiply_high(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    return emitter.add(MulHigh, lhs=values[0], rhs=values[1])


def _unsigned_multiply_high(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    lhs, rhs = (emitter.as_unsigned(value) for value in values)
    return emitter.as_signed(emitter.add(MulHigh, lhs=lhs, rhs=rhs))


def _multiply_24(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    low_bits = emitter.constant(0xFFFFFF, values[0].type)
    lhs, rhs = (emitter.add(And, lhs=value, rhs=low_bits) for value in values)
    return emitter.add(Mul, lhs=lhs, rhs=rhs)


def _signed_multiply_24(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    """The product of the low 24 bits, read as signed numbers."""
    eight = emitter.constant(8, values[0].type)
    lifted = [emitter.add(ShiftLeft, lhs=value, rhs=eight) for value in values]
    lhs, rhs = (emitter.add(ShiftRight, lhs=value, rhs=eight) for value in lifted)
    return emitter.add(Mul, lhs=lhs, rhs=rhs)


def _byte_permutation(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    """Four bytes out of the eight of x (lower) and y, chosen by 3 bits of each nibble of s."""
    x, y, selector = (_cast(emitter, emitter.as_unsigned(value), U64) for value in values)

    def number(content: int) -> Value:
        return emitter.constant(content, x.type)

    both = emitter.add(Or, lhs=x, rhs=emitter.add(ShiftLeft, lhs=y, rhs=number(32)))
    chosen = number(0)
    for position in range(4):
        nibble = emitter.add(ShiftRight, lhs=selector, rhs=number(4 * position))
        byte = emitter.add(And, lhs=nibble, rhs=number(7))
        distance = emitter.add(ShiftLeft, lhs=byte, rhs=number(3))
        moved = emitter.add(ShiftRight, lhs=both, rhs=distance)
        low = emitter.add(And, lhs=moved, rhs=number(0xFF))
        placed = emitter.add(ShiftLeft, lhs=low, rhs=number(8 * position))
        chosen = emitter.add(Or, lhs=chosen, rhs=placed)
    return _cast(emitter, chosen, element_type(wanted))


def _double_of_halves(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    high, low = (_cast(emitter, emitter.as_unsigned(value), U64) for value in values)
    shift = emitter.constant(32, high.type)
    bits = emitter.add(Or, lhs=emitter.add(ShiftLeft, lhs=high, rhs=shift), rhs=low)
    return emitter.bitcast(bits, F64)


def _half_of_double(distance: int) -> Rule:
    def half(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
        bits = emitter.bitcast(values[0], U64)
        moved = emitter.add(ShiftRight, lhs=bits, rhs=emitter.constant(distance, bits.type))
        return _cast(emitter, moved, element_type(wanted))

    return half


def _reciprocal_of_high_half(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    """1 / x to the upper 32 bits, the lower ones being zero."""
    bits = emitter.bitcast(_reciprocal(emitter, values, wanted), U64)
    kept = emitter.add(And, lhs=bits, rhs=emitter.constant(0xFFFFFFFF00000000, bits.type))
    return emitter.bitcast(kept, F64)


def _bessel_of_order(function: str) -> Rule:
    def call(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
        order, x = values
        order = _cast(emitter, order, element_type(x.type))
        return emitter.add(MathCall, function=function, arguments=(order, x))

    return call


def _find_first_set(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    """The position of the lowest set bit, counted from 1; 0 for zero."""
    (source,) = values
    zero = emitter.constant(0, source.type)
    trailing = emitter.add(MathCall, function="ctz", arguments=(source,))
    position = emitter.add(Add, lhs=trailing, rhs=_one(emitter, source.type))
    is_zero = emitter.add(Compare, predicate="eq", lhs=source, rhs=zero)
    found = emitter.add(Select, condition=is_zero, if_true=zero, if_false=position)
    return found if found.type == wanted else _cast(emitter, found, element_type(wanted))


def _halving(round_up: bool, is_unsigned: bool) -> Rule:
    def halve(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
        """The mean without overflow: common bits plus or minus half of those that differ."""
        if is_unsigned:
            values = tuple(emitter.as_unsigned(value) for value in values)
        lhs, rhs = values
        differing = emitter.add(Xor, lhs=lhs, rhs=rhs)
        half = emitter.add(ShiftRight, lhs=differing, rhs=_one(emitter, lhs.type))
        common = emitter.add(Or if round_up else And, lhs=lhs, rhs=rhs)
        return emitter.as_signed(emitter.add(Sub if round_up else Add, lhs=common, rhs=half))

    return halve


def _absolute_difference(is_unsigned: bool) -> Rule:
    def accumulate(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
        if is_unsigned:
            values = tuple(emitter.as_unsigned(value) for value in values)
        lhs, rhs, total = values
        high = emitter.add(Max, lhs=lhs, rhs=rhs)
        low = emitter.add(Min, lhs=lhs, rhs=rhs)
        difference = emitter.add(Sub, lhs=high, rhs=low)
        return emitter.as_signed(emitter.add(Add, lhs=difference, rhs=total))

    return accumulate


def _same(emitter: Emitter, values: tuple[Value, ...], wanted: Type) -> Value:
    return _cast(emitter, values[0], element_type(wanted))


_SPECIAL: dict[str, Rule] = {
    "fma": _fma,
    "fma_rn": _fma,
    "fmaf_rn": _fma,
    "fdivide": _divide,
    "frcp_rn": _reciprocal,
    "drcp_rn": _reciprocal,
    "saturate": _saturate,
    "fmax": _extreme(Max),
    "fmin": _extreme(Min),
    **{f"{prefix}max": _extreme(Max, prefix[:1] == "u") for prefix in ("", "ll", "u", "ull")},
    **{f"{prefix}min": _extreme(Min, prefix[:1] == "u") for prefix in ("", "ll", "u", "ull")},
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
    match: re.Match[str], emitter: Emitter, values: tuple[Value, ...], wanted: Type
) -> Value:
    rounded = emitter.add(MathCall, function=_ROUNDINGS[match[2]], arguments=values)
    element = element_type(unsigned(wanted) if match[1].startswith("u") else signed(wanted))
    return emitter.as_signed(_cast(emitter, rounded, element))


def _to_integer_named(
    match: re.Match[str], emitter: Emitter, values: tuple[Value, ...], wanted: Type
) -> Value:
    rounded = emitter.add(MathCall, function=match[1], arguments=values)
    return _cast(emitter, rounded, element_type(wanted))


def _to_float(
    match: re.Match[str], emitter: Emitter, values: tuple[Value, ...], wanted: Type
) -> Value:
    (source,) = values
    assert is_integer(source.type)
    if match[1].startswith("u"):
        source = emitter.as_unsigned(source)
    return _cast(emitter, source, element_type(wanted))


def _as_bits(
    match: re.Match[str], emitter: Emitter, values: tuple[Value, ...], wanted: Type
) -> Value:
    return emitter.bitcast(values[0], element_type(wanted))


def _rounded_binary(
    match: re.Match[str], emitter: Emitter, values: tuple[Value, ...], wanted: Type
) -> Value:
    return emitter.add(_BINARY[match[1]], lhs=values[0], rhs=values[1])


_PATTERNS: list[tuple[re.Pattern[str], Family]] = [
    (_TO_INTEGER, _to_integer),
    (_TO_INTEGER_NAMED, _to_integer_named),
    (_TO_FLOAT, _to_float),
    (_BITS, _as_bits),
    (_BINARY_RN, _rounded_binary),
    (DIRECTED_OPERATION, operate_directed),
    (DIRECTED_CAST, cast_directed),
]
