"""Scalars of an NPU program as C++: names, types, polynomials, and the scalar unit's arithmetic.

Poly(places * 4 + 64)      ->  "places * 4 + 64"
Assign(n, Min, (a, 128))   ->  "a < 128 ? a : 128"
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence

from canopy import ir
from canopy.errors import UnsupportedError
from canopy.ir.types import ElementType, PointerType, element_type, is_float
from canopy.targets.ascend.scalars import Number, Poly, Register, Scalar
from canopy.targets.ascend.text.prelude import SCALAR_FUNCTIONS

__all__ = ["Names", "cpp_type", "divided", "number_text", "operation"]

_TYPES = {
    "i1": "bool",
    "f16": "half",
    "bf16": "bfloat16_t",
    "f32": "float",
    **{f"i{n}": f"int{n}_t" for n in (8, 16, 32, 64)},
    **{f"u{n}": f"uint{n}_t" for n in (8, 16, 32, 64)},
}
# Words of C++ and of Ascend C that a user's value may be called.
_WORDS = (
    "auto bool break case char class const continue default delete do double else enum false float "
    "for if int long namespace new operator private public return short signed sizeof static "
    "struct switch template this true typename union unsigned using void volatile while half "
    "pipe ub scratch workspace number programs Add Sub Mul Div Max Min And Or Not Exp Ln Abs Sqrt "
    "Cast Select Copy"
)
_TAKEN = set(_WORDS.split())


def cpp_type(type_: ElementType, in_memory: bool = False) -> str:
    """The type's name; bools take a byte in memory."""
    if isinstance(type_, PointerType):
        return "int64_t"
    if in_memory and type_.kind == "bool":
        return "uint8_t"
    if type_.name not in _TYPES:
        raise UnsupportedError(f"Ascend C has no {type_} that could be printed")
    return _TYPES[type_.name]


class Names:
    """What registers and buffers are called in the text: the user's names, made different."""

    def __init__(self) -> None:
        self._names: dict[object, str] = {}
        self._used: set[str] = set()

    def of(self, register: Register) -> str:
        """A register's name."""
        return self.give(register, register.name or f"s{register.index}")

    def give(self, key: object, wanted: str) -> str:
        """The name of ``key``: ``wanted`` if nothing else has it."""
        if key not in self._names:
            base = re.sub(r"\W", "_", wanted) or "value"
            if base[0].isdigit() or base in _TAKEN:
                base = f"{base}_" if not base[0].isdigit() else f"v{base}"
            name, number = base, 1
            while name in self._used:
                number += 1
                name = f"{base}{number}"
            self._used.add(name)
            self._names[key] = name
        return self._names[key]

    def fresh(self, wanted: str) -> str:
        """A name that nothing has."""
        return self.give(object(), wanted)

    def scalar(self, scalar: Scalar | Poly) -> str:
        match scalar:
            case Number():
                return number_text(scalar.value, scalar.type)
            case Register():
                return self.of(scalar)
            case Poly():
                return self.poly(scalar)

    def poly(self, poly: Poly) -> str:
        """Sums of products, in 64 bits where they may need them."""
        text = ""
        for monomial, factor in poly.terms:
            sign, factor = ("-", -factor) if factor < 0 else ("+", factor)
            parts = [self.of(register) for register in monomial]
            if len(parts) + (factor != 1) > 1 and monomial and monomial[0].type.bits < 64:
                parts[0] = f"int64_t({parts[0]})"
            if factor != 1 or not parts:
                parts.append(str(factor))
            term = " * ".join(parts)
            if not text:
                text = f"-{term}" if sign == "-" else term
            else:
                text += f" {sign} {term}"
        return text or "0"


def divided(poly: Poly, size: int) -> Poly | None:
    """poly / size where that is exact in every term, as for bytes to elements."""
    if any(factor % size for _, factor in poly.terms):
        return None
    return Poly(tuple((monomial, factor // size) for monomial, factor in poly.terms))


def number_text(value: float | int | bool, type_: ElementType) -> str:
    """A literal of an element type."""
    if isinstance(type_, PointerType):
        return str(int(value))
    if type_.kind == "bool":
        return "true" if value else "false"
    if not is_float(type_):
        whole = int(value)
        suffix = {"i64": "LL", "u32": "u", "u64": "ull"}.get(type_.name, "")
        if type_.name == "i32" and whole == -(2**31):
            return "(-2147483647 - 1)"
        if type_.name == "i64" and whole == -(2**63):
            return "(-9223372036854775807LL - 1)"
        return f"{whole}{suffix}"
    wide = _float_text(float(value))
    if type_.name == "f32":
        return wide
    return f"ToBfloat16({wide})" if type_.name == "bf16" else f"half({wide})"


def _float_text(value: float) -> str:
    if math.isnan(value):
        return '__builtin_nanf("")'
    if math.isinf(value):
        return "INFINITY" if value > 0 else "-INFINITY"
    if value == int(value) and abs(value) < 1e7:
        return f"{value:.1f}f"
    return f"{value:.9g}f" if "e" in f"{value:.9g}" or "." in f"{value:.9g}" else f"{value:.9g}.0f"


# ---- operations

_INFIX: dict[type[ir.Op], str] = {
    ir.Add: "+",
    ir.Sub: "-",
    ir.Mul: "*",
    ir.Div: "/",
    ir.Rem: "%",
    ir.And: "&",
    ir.Or: "|",
    ir.Xor: "^",
}
_PREDICATES = {"eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_FUNCTIONS: dict[str, Callable[[str], str]] = {
    "neg": lambda x: f"-({x})",
    "abs": lambda x: f"({x} < 0 ? -({x}) : {x})",
    "exp2": lambda x: f"ScalarExp(scratch, ({x}) * 0.6931471805599453f)",
    **{
        name: (lambda x, call=call: f"Scalar{call}(scratch, {x})")  # type: ignore[misc]
        for name, call in SCALAR_FUNCTIONS.items()
    },
}


def operation(op: ir.Op, operands: Sequence[str]) -> str:
    """The expression of a scalar op on scalar expressions; UnsupportedError with the line."""
    found = _expression(op, operands)
    if found is None:
        name = getattr(op, "function", op.mnemonic())
        raise UnsupportedError(
            f"{name} on scalars has no printed form in Ascend C", location=op.location
        )
    return found


def _is_wide_float(op: ir.Op) -> bool:
    type_ = element_type(op.operands[0].type)
    return isinstance(type_, PointerType) or not is_float(type_) or type_.name == "f32"


def _expression(op: ir.Op, operands: Sequence[str]) -> str | None:
    args = list(operands)
    result = cpp_type(element_type(op.results[0].type)) if op.results else ""
    if not _is_wide_float(op) and not isinstance(op, ir.Cast | ir.Bitcast | ir.Splat):
        return None  # half and bfloat16 have no scalar arithmetic
    match op:
        case ir.Min() | ir.Max():
            sign = "<" if isinstance(op, ir.Min) else ">"
            return f"({args[0]} {sign} {args[1]} ? {args[0]} : {args[1]})"
        case ir.Clamp():
            source, low, high = args
            if op.propagate_nan:
                return f"({source} < {low} ? {low} : {source} > {high} ? {high} : {source})"
            return f"({source} > {low} ? ({source} < {high} ? {source} : {high}) : {low})"
        case ir.Rem() if is_float(element_type(op.lhs.type)):
            return None
        case ir.Binary() if type(op) in _INFIX:
            return f"static_cast<{result}>({args[0]} {_INFIX[type(op)]} {args[1]})"
        case ir.ShiftLeft() | ir.ShiftRight():
            sign = "<<" if isinstance(op, ir.ShiftLeft) else ">>"
            return f"static_cast<{result}>({args[0]} {sign} {args[1]})"
        case ir.MulHigh():
            bits = element_type(op.lhs.type).bits
            wide = "uint64_t" if result.startswith("u") else "int64_t"
            if bits > 32:
                return None
            return f"static_cast<{result}>(({wide}({args[0]}) * {wide}({args[1]})) >> {bits})"
        case ir.Compare():
            return f"({args[0]} {_PREDICATES[op.predicate]} {args[1]})"
        case ir.Select():
            return f"({args[0]} ? {args[1]} : {args[2]})"
        case ir.Offset():
            return f"({args[0]} + int64_t({args[1]}) * {op.scale})"
        case ir.Fma():
            return f"({args[0]} * {args[1]} + {args[2]})"
        case ir.Cast():
            return _cast(op, args[0], result)
        case ir.Bitcast() if isinstance(element_type(op.type), PointerType):
            return f"static_cast<int64_t>({args[0]})"
        case ir.Bitcast():
            return f"BitCast<{result}>({args[0]})"
        case ir.MathCall() if op.function in _FUNCTIONS:
            return _FUNCTIONS[op.function](args[0])
        case ir.Splat() | ir.Unsplat():
            return args[0]
    return None


def _cast(op: ir.Cast, source: str, result: str) -> str | None:
    of = element_type(op.source.type)
    if result == "bool":
        return f"({source} != 0)"
    if not isinstance(of, PointerType) and of.name == "bf16":
        source = f"ToFloat({source})"
    if result == "bfloat16_t":
        return f"ToBfloat16(static_cast<float>({source}))"
    return f"static_cast<{result}>({source})"
