"""libdevice's functions with a direction of rounding, through the sign of the rounding error.

``__nv_fadd_rd(a, b)`` -> the sum rounded to nearest, and its neighbour below where the exact sum is
smaller. The exact value is known as an unevaluated sum of two f64, ``high + low``: for f32 operands
``high`` is computed in f64, for f64 operands ``low`` comes from an error-free transformation
(Knuth's two-sum; fma for products, quotients and roots; Boldo and Muller's for the fma itself).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from canopy.frontends.libdevice.emitter import Emitter
from canopy.ir import (
    Add,
    And,
    Cast,
    Compare,
    Div,
    Fma,
    MathCall,
    Mul,
    Or,
    Select,
    ShiftRight,
    Sub,
    Value,
)
from canopy.ir.types import BOOL, F32, F64, Type, element_type, with_element

__all__ = ["DIRECTED_CAST", "DIRECTED_OPERATION", "cast_directed", "operate_directed"]

DIRECTED_OPERATION = re.compile(r"^([fd])(add|sub|mul|div|rcp|sqrt)_(rd|ru|rz)$|^fmaf?_(rd|ru|rz)$")
DIRECTED_CAST = re.compile(r"^(int|uint|ll|ull|double)2(float|double)_(rd|ru|rz)$")

_TINY = 2.0**-900  # below it the errors of f64 products and quotients may underflow
_LIFT = 2.0**600
Pair = tuple[Value, Value]


def operate_directed(
    match: re.Match[str], emitter: Emitter, values: tuple[Value, ...], wanted: Type
) -> Value:
    name, mode = (match[2], match[3]) if match[2] else ("fma", match[4])
    return _Directed(emitter, element_type(wanted), mode).operate(name, values)


def cast_directed(
    match: re.Match[str], emitter: Emitter, values: tuple[Value, ...], wanted: Type
) -> Value:
    source = emitter.as_unsigned(values[0]) if match[1].startswith("u") else values[0]
    return _Directed(emitter, element_type(wanted), match[3]).cast(source)


class _Directed:
    """One operation under construction."""

    def __init__(self, emitter: Emitter, element: Any, mode: str) -> None:
        self.emitter = emitter
        self.element = element
        self.mode = mode

    # ---- what is asked for -------------------------------------------------------------------

    def operate(self, name: str, values: tuple[Value, ...]) -> Value:
        wide = [self.to(value, F64) for value in values]
        if name == "sub":
            name, wide[1] = "add", self.negated(wide[1])
        if name == "rcp":
            name, wide = "div", [self.number(1.0, wide[0]), *wide]
        pairs: dict[str, Callable[..., Pair]] = {
            "add": self.two_sum,
            "mul": self.product,
            "div": self.quotient,
            "sqrt": self.root,
            "fma": self.product_and_sum,
        }
        high, low = pairs[name](*wide)
        if name == "div":  # a division by zero is exact
            wide[0] = self.where(self.is_zero(wide[1]), self.number(float("inf"), high), wide[0])
        rounded = self.rounded(high, self.unless_overflown(high, low, wide))
        if self.mode != "rd" or name not in ("add", "fma"):
            return rounded
        first = wide[0] if name == "add" else self.op(Mul, wide[0], wide[1])
        return self.with_zero_below(rounded, first, wide[-1])

    def cast(self, source: Value) -> Value:
        element = element_type(source.type)
        if element == F64 or element.bits < 64:
            return self.rounded(high := self.to(source, F64), self.number(0.0, high))
        half = self.emitter.constant(32, source.type)
        top = self.to(self.op(ShiftRight, source, half), F64)
        mask = self.emitter.constant(0xFFFFFFFF, source.type)
        bottom = self.to(self.op(And, source, mask), F64)
        return self.rounded(*self.two_sum(self.op(Mul, top, self.number(2.0**32, top)), bottom))

    # ---- exact values as high + low ----------------------------------------------------------

    def two_sum(self, a: Value, b: Value) -> Pair:
        total = self.op(Add, a, b)
        b_part = self.op(Sub, total, a)
        a_part = self.op(Sub, total, b_part)
        return total, self.op(Add, self.op(Sub, a, a_part), self.op(Sub, b, b_part))

    def product(self, a: Value, b: Value) -> Pair:
        """The error of a tiny product is that of the product with its smaller factor lifted."""
        high = self.op(Mul, a, b)
        is_smaller = self.compare("lt", self.magnitude(a), self.magnitude(b))
        small, large = self.where(is_smaller, a, b), self.where(is_smaller, b, a)
        lift = self.lift(self.compare("lt", self.magnitude(high), self.number(_TINY, high)), high)
        exact = self.fma(self.op(Mul, small, lift), large, self.negated(self.op(Mul, high, lift)))
        signs = self.op(Mul, self.signed_one(a), self.signed_one(b))
        return high, self.where(self.is_zero(high), signs, exact)

    def quotient(self, a: Value, b: Value) -> Pair:
        high = self.op(Div, a, b)
        lift = self.lift(self.compare("lt", self.magnitude(a), self.number(_TINY, a)), a)
        rest = self.fma(self.negated(self.op(Mul, high, lift)), b, self.op(Mul, a, lift))
        return high, self.op(Mul, self.signed_one(rest), self.signed_one(b))

    def root(self, x: Value) -> Pair:
        high = self.call("sqrt", x)
        is_tiny = self.compare("lt", x, self.number(_TINY, x))
        lift = self.lift(is_tiny, x)
        root_lift = self.where(is_tiny, self.number(_LIFT**0.5, x), self.number(1.0, x))
        lifted = self.op(Mul, high, root_lift)
        return high, self.fma(self.negated(lifted), lifted, self.op(Mul, x, lift))

    def product_and_sum(self, a: Value, b: Value, c: Value) -> Pair:
        if self.element == F32:  # the product is exact
            return self.two_sum(self.op(Mul, a, b), c)
        high = self.fma(a, b, c)
        product = self.op(Mul, a, b)
        product_error = self.fma(a, b, self.negated(product))
        small, small_error = self.two_sum(c, product_error)
        large, large_error = self.two_sum(product, small)
        gap = self.op(Add, self.op(Sub, large, high), large_error)
        return high, self.op(Add, gap, small_error)

    def unless_overflown(self, high: Value, low: Value, inputs: list[Value]) -> Value:
        """An infinity that came from finite numbers lies beyond the exact value."""
        beyond = self.call("isinf", high, BOOL)
        for value in inputs:
            beyond = self.op(And, beyond, self.call("isfinite", value, BOOL))
        return self.where(beyond, self.negated(high), low)

    # ---- rounding ------------------------------------------------------------------------------

    def rounded(self, high: Value, low: Value) -> Value:
        """high + low in the wanted type and direction."""
        nearest, error = high, low
        if self.element == F32:
            nearest = self.to(high, F32)
            rest = self.op(Sub, high, self.to(nearest, F64))
            error = self.where(self.is_zero(rest), low, rest)
        zero, none = self.number(0.0, nearest), self.number(0.0, error)
        infinity = self.number(float("inf"), nearest)
        too_large = self.compare("lt", error, none)
        too_small = self.compare("gt", error, none)
        down = self.call("nextafter", nearest, None, self.negated(infinity))
        up = self.call("nextafter", nearest, None, infinity)
        if self.mode == "rd":
            return self.where(too_large, down, nearest)
        if self.mode == "ru":
            return self.where(too_small, up, nearest)
        below = self.op(And, too_large, self.compare("gt", nearest, zero))
        above = self.op(And, too_small, self.compare("lt", nearest, zero))
        return self.where(below, down, self.where(above, up, nearest))

    def with_zero_below(self, rounded: Value, a: Value, b: Value) -> Value:
        """Rounding down, an exact zero is -0.0 unless both terms are +0.0."""
        negative = self.op(Or, self.call("signbit", a, BOOL), self.call("signbit", b, BOOL))
        turned = self.op(And, self.is_zero(rounded), negative)
        return self.where(turned, self.number(-0.0, rounded), rounded)

    # ---- ops -----------------------------------------------------------------------------------

    def op(self, kind: type[Any], lhs: Value, rhs: Value) -> Value:
        return self.emitter.add(kind, lhs=lhs, rhs=rhs)

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        return self.emitter.add(Fma, a=a, b=b, c=c)

    def call(self, name: str, value: Value, answer: Any = None, *others: Value) -> Value:
        return self.emitter.add(MathCall, function=name, arguments=(value, *others), type=answer)

    def compare(self, predicate: str, lhs: Value, rhs: Value) -> Value:
        return self.emitter.add(Compare, predicate=predicate, lhs=lhs, rhs=rhs)

    def is_zero(self, value: Value) -> Value:
        return self.compare("eq", value, self.number(0.0, value))

    def where(self, condition: Value, yes: Value, no: Value) -> Value:
        return self.emitter.add(Select, condition=condition, if_true=yes, if_false=no)

    def number(self, content: float, like: Value) -> Value:
        return self.emitter.constant(content, like.type)

    def to(self, value: Value, element: Any) -> Value:
        if value.type == with_element(value.type, element):
            return value
        return self.emitter.add(Cast, source=value, type=element)

    def negated(self, value: Value) -> Value:
        return self.call("neg", value)

    def magnitude(self, value: Value) -> Value:
        return self.call("abs", value)

    def signed_one(self, value: Value) -> Value:
        """-1, 0 or 1; NaN counts as 0."""
        zero, one = self.number(0.0, value), self.number(1.0, value)
        positive = self.where(self.compare("gt", value, zero), one, zero)
        return self.where(self.compare("lt", value, zero), self.number(-1.0, value), positive)

    def lift(self, is_tiny: Value, like: Value) -> Value:
        return self.where(is_tiny, self.number(_LIFT, like), self.number(1.0, like))
