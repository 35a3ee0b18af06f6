"""Helpers over llvmlite's builder: vectors, intrinsics, loops. llvmlite is untyped, hence Any."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import llvmlite.ir as ll

__all__ = [
    "I1",
    "I8",
    "I16",
    "I32",
    "I64",
    "POINTER",
    "Builder",
    "LLValue",
    "as_pointer",
    "call_intrinsic",
    "constant",
    "counted_loop",
    "in_entry_block",
    "iota",
    "lane_loop",
    "lanes_of",
    "splat",
    "type_code",
    "vector",
]

Builder = Any  # llvmlite.ir.IRBuilder
LLValue = Any  # llvmlite.ir.Value

I1, I8, I16, I32, I64 = (ll.IntType(n) for n in (1, 8, 16, 32, 64))
POINTER = ll.PointerType()


def vector(element: Any, lanes: int) -> Any:
    """The vector type of ``lanes`` elements."""
    return ll.VectorType(element, lanes)


def lanes_of(value: LLValue) -> int:
    """Number of lanes of a vector; 0 for a scalar."""
    return int(value.type.count) if isinstance(value.type, ll.VectorType) else 0


def constant(type_: Any, value: Any) -> LLValue:
    """A constant, repeated over the lanes of a vector type."""
    if isinstance(type_, ll.VectorType):
        return ll.Constant(type_, [ll.Constant(type_.element, value)] * type_.count)
    return ll.Constant(type_, value)


def iota(element: Any, lanes: int, step: int = 1) -> LLValue:
    """The constant vector 0, step, 2*step ..."""
    return ll.Constant(
        vector(element, lanes), [ll.Constant(element, i * step) for i in range(lanes)]
    )


def splat(builder: Builder, scalar: LLValue, lanes: int) -> LLValue:
    """A vector with ``scalar`` in every lane."""
    if isinstance(scalar, ll.Constant):
        return ll.Constant(vector(scalar.type, lanes), [scalar] * lanes)
    type_ = vector(scalar.type, lanes)
    single = builder.insert_element(ll.Constant(type_, ll.Undefined), scalar, ll.Constant(I32, 0))
    zeros = ll.Constant(vector(I32, lanes), [ll.Constant(I32, 0)] * lanes)
    return builder.shuffle_vector(single, ll.Constant(type_, ll.Undefined), zeros)


def type_code(type_: Any) -> str:
    """The type as it is mangled in intrinsic names."""
    if isinstance(type_, ll.VectorType):
        return f"v{type_.count}{type_code(type_.element)}"
    if isinstance(type_, ll.IntType):
        return f"i{type_.width}"
    if isinstance(type_, ll.PointerType):
        return "p0"
    return {ll.HalfType: "f16", ll.FloatType: "f32", ll.DoubleType: "f64"}[type(type_)]


def call_intrinsic(
    builder: Builder, name: str, result: Any, arguments: list[LLValue], overloads: list[Any]
) -> LLValue:
    """Calls an LLVM intrinsic by base name and overloaded types."""
    full = ".".join([name, *map(type_code, overloads)])
    module = builder.module
    function = module.globals.get(full)
    if function is None:
        function = ll.Function(module, ll.FunctionType(result, [a.type for a in arguments]), full)
    return builder.call(function, arguments)


def as_pointer(builder: Builder, address: LLValue) -> LLValue:
    """A 64-bit address, or a vector of them, as LLVM pointers."""
    lanes = lanes_of(address)
    return builder.inttoptr(address, vector(POINTER, lanes) if lanes else POINTER)


@contextmanager
def counted_loop(builder: Builder, count: LLValue, name: str, step: int = 1) -> Iterator[LLValue]:
    """A loop whose body runs with i = 0, step, .. < count (i64); the builder then stands behind it.

    The body runs at least once: the caller guarantees count > 0.
    """
    function = builder.function
    before = builder.block
    body = function.append_basic_block(f"{name}.body")
    after = function.append_basic_block(f"{name}.end")
    builder.branch(body)
    builder.position_at_end(body)
    index = builder.phi(I64, f"{name}.i")
    index.add_incoming(ll.Constant(I64, 0), before)
    yield index
    following = builder.add(index, ll.Constant(I64, step))
    index.add_incoming(following, builder.block)
    builder.cbranch(builder.icmp_unsigned("<", following, count), body, after)
    builder.position_at_end(after)


@contextmanager
def in_entry_block(builder: Builder) -> Iterator[None]:
    """Emits before the terminator of the function's entry block; then goes on where it was.

    llvmlite's own `goto_entry_block` comes back to the *end* of a block, even of a terminated one.
    """
    block, anchor = builder._block, builder._anchor
    entry = builder.function.entry_basic_block
    if entry.terminator is None:
        builder.position_at_end(entry)
    else:
        builder.position_before(entry.terminator)
    yield
    builder._block, builder._anchor = block, anchor


def lane_loop(builder: Builder, lanes: int, body: Callable[[LLValue], None]) -> None:
    """Runs ``body`` once per lane, in order; ``body`` may add blocks."""
    with counted_loop(builder, ll.Constant(I64, lanes), "lane") as lane:
        body(lane)
