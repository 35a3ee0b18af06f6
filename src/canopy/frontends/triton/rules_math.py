"""Reader rules: the math dialect, and Triton's precise square root."""

from __future__ import annotations

from typing import TYPE_CHECKING

from canopy.frontends.triton.rules import reads
from canopy.ir import Cast, MathCall, Value
from canopy.ir.types import BOOL, I32, element_type

if TYPE_CHECKING:
    from canopy.frontends.triton.reader import Reader
    from canopy.frontends.triton.text import Operation

__all__: list[str] = []

_SAME_NAME = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 "
    "floor log log10 log1p log2 round rsqrt sin sinh sqrt tan tanh trunc"
)
_FUNCTIONS = {
    "math.absf": "abs",
    "math.absi": "abs",
    "math.ctlz": "clz",
    "math.cttz": "ctz",
    "math.ctpop": "popcount",
    "math.powf": "pow",
    "math.roundeven": "rint",
    "tt.precise_sqrt": "sqrt",
    **{f"math.{name}": name for name in _SAME_NAME.split()},
}


@reads(*_FUNCTIONS)
def _function(reader: Reader, op: Operation) -> Value:
    return reader.add(MathCall, function=_FUNCTIONS[op.name], arguments=reader.values(op))


@reads("math.isnan", "math.isinf", "math.isfinite")
def _predicate(reader: Reader, op: Operation) -> Value:
    name = op.name.removeprefix("math.")
    answer = reader.add(MathCall, function=name, arguments=reader.values(op), type=I32)
    return reader.add(Cast, source=answer, type=BOOL)


@reads("math.fpowi")
def _power(reader: Reader, op: Operation) -> Value:
    base, exponent = reader.values(op)
    exponent = reader.add(Cast, source=exponent, type=element_type(base.type))
    return reader.add(MathCall, function="pow", arguments=(base, exponent))
