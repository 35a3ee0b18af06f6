"""The mathematical functions that `MathCall` may name, and their number of arguments.

Every function takes and gives floats of one type (``jn`` and ``yn`` take their order so too), but
for those in `INTEGER_FUNCTIONS` (integers) and those whose op names a result type (``isnan`` and
its like give i32, as in libdevice).
"""

from __future__ import annotations

__all__ = ["FUNCTIONS", "INTEGER_FUNCTIONS", "PREDICATES"]

_UNARY = (
    "abs neg floor ceil round rint trunc sqrt rsqrt cbrt rcbrt exp exp2 exp10 expm1 log log2 log10 "
    "log1p sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh erf erfc erfinv erfcinv "
    "lgamma tgamma normcdf normcdfinv erfcx sinpi cospi logb j0 j1 y0 y1 i0 i1 sigmoid"
)
_BINARY = "pow atan2 fmod remainder hypot copysign nextafter fdim ldexp jn yn"

PREDICATES = frozenset({"isnan", "isinf", "isfinite", "signbit"})
INTEGER_FUNCTIONS: dict[str, int] = {
    "abs": 1,
    "neg": 1,
    "clz": 1,
    "ctz": 1,
    "popcount": 1,
    "bit_reverse": 1,
}

FUNCTIONS: dict[str, int] = {
    **dict.fromkeys(_UNARY.split(), 1),
    **dict.fromkeys(_BINARY.split(), 2),
    **dict.fromkeys(PREDICATES, 1),
    **INTEGER_FUNCTIONS,
}
