"""Short ways to build kernels in tests."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from canopy.errors import Location
from canopy.ir import (
    Builder,
    Kernel,
    Load,
    Offset,
    Op,
    Parameter,
    Range,
    Region,
    Reshape,
    Splat,
    Store,
    Value,
    Yield,
)
from canopy.ir.interpreter import Interpreter
from canopy.ir.interpreter.numeric import Array, dtype_of
from canopy.ir.types import I32, PTR, TileType, Type, element_type, shape_of

Build = Callable[..., Any]


def make_kernel(types: Sequence[Type], build: Build) -> Kernel:
    """A kernel with parameters a, b, c.. of the given types; ``build(builder, *parameters)``."""
    values = [Value(type_) for type_ in types]
    builder = Builder(Region(), Location("test.py", 7))
    build(builder, *values)
    parameters = tuple(Parameter(v, "abcdefgh"[i]) for i, v in enumerate(values))
    return Kernel("test", parameters, builder.region, Location("test.py", 1))


def combine(kinds: Sequence[type[Op]], elements: Sequence[Type]) -> Region:
    """A reduce region that combines source i with op kinds[i]."""
    count = len(kinds)
    args = tuple(Value(e) for e in (*elements, *elements))
    inner = Builder(Region(args), Location("test.py", 8))
    values = tuple(inner.add(kinds[i], lhs=args[i], rhs=args[count + i]) for i in range(count))
    inner.effect(Yield, values=values)
    return inner.region


def evaluate(build: Build, *inputs: tuple[Array, Type]) -> list[Array]:
    """Runs ``build(builder, *values) -> Value | tuple`` on arrays: loads every input as a tile of
    its type (a scalar for shape ()), and stores the results to fresh arrays."""
    outputs: list[Array] = []
    result_types: list[Type] = []

    def body(builder: Builder, *pointers: Value) -> None:
        values = []
        for pointer, (_, type_) in zip(pointers, inputs, strict=False):
            lanes = _lanes(builder, pointer, type_)
            values.append(builder.add(Load, pointer=lanes, type=element_type(type_)))
        made = build(builder, *values)
        results = made if isinstance(made, tuple) else (made,)
        result_types.extend(v.type for v in results)
        for pointer, value in zip(pointers[len(inputs) :], results, strict=False):
            builder.effect(Store, pointer=_lanes(builder, pointer, value.type), value=value)

    make_kernel([PTR] * len(inputs), body)  # a first time for the types of the results
    count = len(result_types)
    kernel = make_kernel([PTR] * (len(inputs) + count), body)
    outputs = [np.zeros(shape_of(t), dtype_of(t)) for t in result_types[:count]]
    arrays = [np.ascontiguousarray(array, dtype_of(t)) for array, t in inputs]
    Interpreter(kernel, [*arrays, *outputs]).run()
    return outputs


def _lanes(builder: Builder, pointer: Value, type_: Type) -> Value:
    if not isinstance(type_, TileType):
        return pointer
    index = builder.add(Range, start=0, end=type_.size, type=I32)
    index = builder.add(Reshape, source=index, shape=type_.shape)
    base = builder.add(Splat, source=pointer, shape=type_.shape)
    return builder.add(Offset, pointer=base, index=index, scale=type_.element.bytes)
