"""The calls of the vector unit: what public documentation of Ascend C names, and their types.

A `VectorCall` names one of these. ``types`` are those that the target of architecture 2201 may
have; sources are of the same type where ``sources`` does not say otherwise. A row of ``compute``
gives the lanes of the target from those of the sources, as the documentation describes them.

    Add(dst, src0, src1, count)                       count form
    Add(dst, src0, src1, mask, repeats, strides)      repeat form
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from canopy.ir.interpreter.functions import _FLOAT
from canopy.ir.interpreter.numeric import convert, dtype_of
from canopy.ir.types import BF16, F16, F32, I8, I16, I32, I64, U8, U16, U32, ElementType, ScalarType

__all__ = ["CALLS", "CASTS", "ROUND_MODES", "Call", "compute"]

Array = np.ndarray[Any, Any]

FLOATS = frozenset({F16, F32})
NUMBERS = frozenset({F16, F32, I16, I32})
BITS = frozenset({I16, U16})
WORDS = frozenset({I16, U16, I32, U32})
MOVABLE = frozenset({F16, BF16, F32, *WORDS})

_EXACT_ROUNDING = {"CAST_FLOOR": np.floor, "CAST_CEIL": np.ceil, "CAST_TRUNC": np.trunc}
ROUND_MODES = frozenset({"CAST_NONE", "CAST_RINT", "CAST_ROUND", *_EXACT_ROUNDING})
CASTS: frozenset[tuple[ElementType, ElementType]] = frozenset(
    {
        *((F16, t) for t in (F32, I32, I16, I8, U8)),
        *((F32, t) for t in (F32, F16, BF16, I64, I32, I16)),
        *((BF16, t) for t in (F32, I32)),
        *((I16, t) for t in (F16, F32)),
        *((I32, t) for t in (F32, I64, I16)),
        *((I64, t) for t in (F32, I32)),
        *((t, F16) for t in (U8, I8)),
    }
)


@dataclass(frozen=True, slots=True)
class Call:
    """One call: ``sources`` tensors and ``scalars`` numbers. ``forms``: "count", "repeat", "both".
    ``shape`` says how lanes meet: lanes (lane by lane), fill, bits (the target is a bit per lane),
    select (the first source is), gather, spread, fold (a lane per repeat)."""

    sources: int
    scalars: int
    types: frozenset[Any]
    forms: str = "both"
    shape: str = "lanes"
    cycles: str = "repeat"  # which figure of the chip a repeat costs: repeat, slow_repeat


def _math(*names: str) -> dict[str, Call]:
    return {name: Call(1, 0, FLOATS, "count", cycles="slow_repeat") for name in names}


CALLS: dict[str, Call] = {
    # two tensors
    **dict.fromkeys(("Add", "Sub", "Mul", "Max", "Min"), Call(2, 0, NUMBERS)),
    "Div": Call(2, 0, FLOATS, cycles="slow_repeat"),
    **dict.fromkeys(("And", "Or"), Call(2, 0, BITS)),
    # a tensor and a scalar of its type
    **dict.fromkeys(("Adds", "Muls", "Maxs", "Mins"), Call(1, 1, NUMBERS)),
    **dict.fromkeys(("ShiftLeft", "ShiftRight"), Call(1, 1, WORDS)),
    # one tensor
    "Not": Call(1, 0, BITS),
    "Abs": Call(1, 0, FLOATS),
    **dict.fromkeys(("Exp", "Ln", "Sqrt", "Rsqrt"), Call(1, 0, FLOATS, cycles="slow_repeat")),
    **_math("Tanh", "Erf", "Erfc", "Sin", "Cos", "Tan", "Asin", "Acos", "Atan", "Sinh", "Cosh"),
    **_math("Asinh", "Acosh", "Atanh", "Lgamma"),
    "Power": Call(2, 0, FLOATS, "count", cycles="slow_repeat"),
    "Fmod": Call(2, 0, FLOATS, "count", cycles="slow_repeat"),
    "Cast": Call(1, 0, frozenset({*MOVABLE, I8, U8, I64})),  # CASTS has the pairs
    # lanes to and from bits: bit i of the uint8 tensor is lane i
    "Compare": Call(2, 0, frozenset({U8}), shape="bits"),  # modes LT GT GE LE EQ NE; int32: EQ
    "CompareScalar": Call(1, 1, frozenset({U8}), shape="bits"),
    "Select": Call(3, 0, FLOATS, "both", "select"),  # VSEL_TENSOR_TENSOR_MODE
    "SelectScalar": Call(2, 1, FLOATS, "both", "select"),  # Select, VSEL_TENSOR_SCALAR_MODE
    # moving
    "Duplicate": Call(0, 1, MOVABLE, shape="fill"),
    "Copy": Call(1, 0, MOVABLE, "repeat"),
    "CreateVecIndex": Call(0, 1, NUMBERS, "count", "fill"),  # first, first + 1, ..
    "Brcb": Call(1, 0, MOVABLE, "repeat", "spread"),  # 8 lanes to 8 blocks, in each repeat
    "Gather": Call(2, 0, MOVABLE, "count", "gather"),  # second source: uint32 byte offsets
    # a lane per repeat
    **dict.fromkeys(
        ("WholeReduceSum", "WholeReduceMax", "WholeReduceMin"),
        Call(1, 0, FLOATS, "repeat", "fold"),
    ),
}


# ---- what they compute


def _wide(function: Callable[..., Any]) -> Callable[..., Array]:
    """Floats are computed in float32 and rounded to their type, integers as they are."""

    def compute(*sources: Array) -> Array:
        dtype = sources[0].dtype
        if dtype.kind in "iu" or dtype == np.float32:
            return np.asarray(function(*sources)).astype(dtype, copy=False)
        wide = function(*(s.astype(np.float32) for s in sources))
        return np.asarray(wide).astype(dtype)

    return compute


def _exact(name: str) -> Callable[..., Array]:
    """A function computed in float64 and rounded once."""
    function = _FLOAT[name]

    def compute(*sources: Array) -> Array:
        wide = function(*(s.astype(np.float64) for s in sources))
        return np.asarray(wide, np.float64).astype(sources[0].dtype)

    return compute


_COMPUTE: dict[str, Callable[..., Array]] = {
    "Add": _wide(np.add),
    "Adds": _wide(np.add),
    "Sub": _wide(np.subtract),
    "Mul": _wide(np.multiply),
    "Muls": _wide(np.multiply),
    "Div": _wide(np.divide),
    "Max": _wide(np.fmax),
    "Maxs": _wide(np.fmax),
    "Min": _wide(np.fmin),
    "Mins": _wide(np.fmin),
    "And": np.bitwise_and,
    "Or": np.bitwise_or,
    "Not": np.bitwise_not,
    "Abs": np.abs,
    "Copy": lambda x: x,
    "ShiftLeft": lambda x, by: np.left_shift(x, by.astype(x.dtype)),
    "ShiftRight": lambda x, by: np.right_shift(x, by.astype(x.dtype)),
    **{
        name: _exact(function)
        for name, function in (
            *(("Exp", "exp"), ("Ln", "log"), ("Sqrt", "sqrt"), ("Rsqrt", "rsqrt")),
            *(("Tanh", "tanh"), ("Erf", "erf"), ("Erfc", "erfc"), ("Sin", "sin"), ("Cos", "cos")),
            *(("Tan", "tan"), ("Asin", "asin"), ("Acos", "acos"), ("Atan", "atan")),
            *(("Sinh", "sinh"), ("Cosh", "cosh"), ("Asinh", "asinh"), ("Acosh", "acosh")),
            *(("Atanh", "atanh"), ("Lgamma", "lgamma"), ("Power", "pow"), ("Fmod", "fmod")),
        )
    },
}

_FOLD: dict[str, Callable[[Array], Array]] = {
    "WholeReduceSum": lambda rows: rows.sum(axis=1, dtype=np.float32),
    "WholeReduceMax": lambda rows: np.fmax.reduce(rows, axis=1),
    "WholeReduceMin": lambda rows: np.fmin.reduce(rows, axis=1),
}

_PREDICATES: dict[str, Any] = {
    "EQ": np.equal,
    "NE": np.not_equal,
    "LT": np.less,
    "LE": np.less_equal,
    "GT": np.greater,
    "GE": np.greater_equal,
}


def compute(name: str, sources: list[Array], mode: str, target: ElementType) -> Array:
    """The lanes of a target from those of its sources (scalars are 0-d)."""
    if name == "Cast":
        return _cast(sources[0], mode, target)
    if name in ("Compare", "CompareScalar"):
        left, right = sources
        return np.asarray(_PREDICATES[mode](left, right))
    if name in ("Select", "SelectScalar"):
        return np.where(*sources)
    if name in _FOLD:
        return _FOLD[name](sources[0]).astype(sources[0].dtype)
    return _COMPUTE[name](*sources)


def _cast(source: Array, mode: str, to: ElementType) -> Array:
    """Integers out of range become the nearest that is inside."""
    assert isinstance(to, ScalarType)
    dtype = dtype_of(to)
    if to.kind == "float":
        if mode in _EXACT_ROUNDING and to == F32 and source.dtype == np.float32:
            return np.asarray(_EXACT_ROUNDING[mode](source))
        if mode == "CAST_RINT" and to == F32 and source.dtype == np.float32:
            return np.asarray(np.rint(source))
        if mode == "CAST_ROUND" and to == F32 and source.dtype == np.float32:
            return np.asarray(_FLOAT["round"](source.astype(np.float64))).astype(np.float32)
        rounding = "rtz" if mode == "CAST_TRUNC" else "rtne"
        return convert(source, _type_of(source), to, rounding)
    if source.dtype.kind in "iu":
        info = np.iinfo(dtype)
        return np.clip(source.astype(np.int64), info.min, info.max).astype(dtype)
    wide = source.astype(np.float64)
    rounded = _EXACT_ROUNDING.get(mode, np.rint)(wide)
    return convert(rounded.astype(np.float64), _F64, to)


_F64 = ScalarType("f64", "float", 64)
_TYPES = {dtype_of(t): t for t in (BF16, F16, F32, I8, I16, I32, I64, U8, U16, U32)}


def _type_of(source: Array) -> ScalarType:
    return _TYPES[source.dtype]
