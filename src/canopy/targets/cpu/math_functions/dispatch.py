"""Which implementation serves a function, and the LLVM function that holds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from llvmlite import ir

from canopy.ir.math import FUNCTIONS
from canopy.targets.cpu.math_functions import exponentials, simple, single, trigonometry, wide
from canopy.targets.cpu.math_functions.lanes import (
    Lanes,
    LLVMType,
    LLVMValue,
    element_of,
    lanes_of,
    type_name,
)
from canopy.targets.cpu.math_functions.libm import emit_lane_loop

__all__ = ["Strategy", "emit_math", "strategy_of"]

Body = Callable[..., Lanes]
CHUNK_BITS = 512  # what a chunked function takes at once: one AVX-512 register, two AVX2 ones


class Strategy(Enum):
    """How a function reaches the machine."""

    DIRECT = "direct"  # a few instructions, written where it is called
    INLINE = "inline"  # an alwaysinline function over the whole vector
    CHUNKED = "chunked"  # a noinline function over one chunk, called for each
    REDUCED = "reduced"  # inline, with libm for the vectors that hold an argument out of range
    LIBM = "libm"  # one call of libm for each lane


@dataclass(frozen=True)
class Implementation:
    """A function's strategy and its body; ``through_f64``: f32 arguments are widened for it."""

    strategy: Strategy
    body: Body | None = None
    through_f64: bool = False


def _table(bits: int) -> dict[str, Implementation]:
    """Implementations for the float format of ``bits``; what is missing goes to libm."""
    table = {name: Implementation(Strategy.DIRECT, body) for name, body in simple.DIRECT.items()}
    for name, body in exponentials.FUNCTIONS.items():
        table[name] = Implementation(Strategy.INLINE, body)
    for name, body in trigonometry.REDUCED.items():
        table[name] = Implementation(Strategy.REDUCED, body)
    for name, body in trigonometry.TURNS.items():
        table[name] = Implementation(Strategy.CHUNKED, body)
    if bits == 64:
        for name, body in wide.FULL_F64.items():
            table[name] = Implementation(Strategy.CHUNKED, body)
        return table
    for name, body in single.FUNCTIONS.items():
        table[name] = Implementation(Strategy.INLINE, body)
    table["tan"] = Implementation(Strategy.REDUCED, trigonometry.REDUCED["tan"], through_f64=True)
    for name, body in wide.THROUGH_F64.items():
        table[name] = Implementation(Strategy.CHUNKED, body, through_f64=True)
    return table


_TABLES = {bits: _table(bits) for bits in (32, 64)}


def strategy_of(function: str, bits: int) -> Strategy:
    """How ``function`` of f32 or f64 lanes is computed."""
    found = _TABLES[bits].get(function)
    return found.strategy if found else Strategy.LIBM


def emit_math(builder: Any, function: str, arguments: list[LLVMValue]) -> LLVMValue:
    """The value of ``function``, a name of `canopy.ir.math.FUNCTIONS`.

    Arguments are scalars or vectors of f32, f64 or (for the integer functions) integers, all of
    one type, which the result has too; isnan, isinf, isfinite and signbit give i32 lanes 0 or 1.
    Raises KeyError for an unknown function.
    """
    if function not in FUNCTIONS:
        raise KeyError(function)
    type_ = arguments[0].type
    lanes = [Lanes(builder, value) for value in arguments]
    if not lanes[0].is_float:
        return simple.INTEGER[function](lanes[0]).value
    if function in simple.PREDICATES:
        return simple.PREDICATES[function](lanes[0]).value
    found = _TABLES[lanes[0].format.bits].get(function)
    if found and found.strategy is Strategy.DIRECT and found.body:
        return found.body(*lanes).value
    return builder.call(_library_function(builder.module, function, type_, len(lanes)), arguments)


def _library_function(module: Any, function: str, type_: LLVMType, arity: int) -> Any:
    """The module's internal ``canopy.<function>.<type>``, written if it is not there."""
    name = f"canopy.{function}.{type_name(type_)}"
    if name in module.globals:
        return module.globals[name]
    target = ir.Function(module, ir.FunctionType(type_, [type_] * arity), name)
    target.linkage = "internal"
    builder = ir.IRBuilder(target.append_basic_block("entry"))
    bits = 32 if isinstance(element_of(type_), ir.FloatType) else 64
    found = _TABLES[bits].get(function)
    strategy = found.strategy if found else Strategy.LIBM
    inline = strategy is Strategy.INLINE
    target.attributes.add("alwaysinline" if inline else "noinline")
    target.attributes.add("nounwind")
    arguments = [Lanes(builder, value) for value in target.args]
    chunk = CHUNK_BITS // bits
    if found is None or found.body is None:
        builder.ret(emit_lane_loop(builder, function, target.args))
    elif not inline and lanes_of(type_) > chunk:
        builder.ret(_in_chunks(builder, function, target.args, chunk))
    elif strategy is Strategy.REDUCED:
        _emit_reduced(builder, function, arguments, found)
    else:
        builder.ret(_run(found, arguments).value)
    return target


def _run(implementation: Implementation, arguments: list[Lanes]) -> Lanes:
    assert implementation.body is not None
    if not implementation.through_f64:
        return implementation.body(*arguments)
    return implementation.body(*(argument.widened() for argument in arguments)).narrowed()


def _emit_reduced(
    builder: Any, function: str, arguments: list[Lanes], implementation: Implementation
) -> None:
    """The fast body, and libm in the lanes beyond its argument reduction, if there are any.

    A lane's result thus never depends on its neighbours.
    """
    x = arguments[0]
    beyond = trigonometry.beyond_reduction(x)
    fast = _run(implementation, arguments)
    with builder.if_then(trigonometry.any_lane(beyond).value, likely=False):
        exact = Lanes(builder, emit_lane_loop(builder, function, [x.value]))
        builder.ret(beyond.where(exact, fast).value)
    builder.ret(fast.value)


def _in_chunks(builder: Any, function: str, values: tuple[LLVMValue, ...], chunk: int) -> LLVMValue:
    """The function of each run of ``chunk`` lanes, joined again."""
    total = lanes_of(values[0].type)
    part_type = ir.VectorType(values[0].type.element, chunk)
    worker = _library_function(builder.module, function, part_type, len(values))
    parts = [
        builder.call(worker, [_slice(builder, value, start, chunk) for value in values])
        for start in range(0, total, chunk)
    ]
    while len(parts) > 1:
        parts = [_join(builder, *parts[i : i + 2]) for i in range(0, len(parts), 2)]
    return parts[0]


def _shuffle_mask(indices: range) -> LLVMValue:
    lane = ir.IntType(32)
    return ir.Constant(ir.VectorType(lane, len(indices)), [lane(i) for i in indices])


def _slice(builder: Any, value: LLVMValue, start: int, count: int) -> LLVMValue:
    return builder.shuffle_vector(value, value, _shuffle_mask(range(start, start + count)))


def _join(builder: Any, left: LLVMValue, right: LLVMValue) -> LLVMValue:
    count = lanes_of(left.type) + lanes_of(right.type)
    return builder.shuffle_vector(left, right, _shuffle_mask(range(count)))
